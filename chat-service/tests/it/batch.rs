//! `BatchGetChats`: several chats by id.

use proto::chat::v1::{
    self, BatchGetChatsRequest, BatchGetChatsResponse, ChatView, GetChatsRequest,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    stack::{Caller, Stack, refused},
    worker::Owner,
};

async fn get(
    stack: &Stack,
    caller: &Caller,
    chat_ids: Vec<String>,
) -> Result<BatchGetChatsResponse, Status> {
    let request = BatchGetChatsRequest {
        chat_ids,
        ..BatchGetChatsRequest::default()
    };
    let response = stack.chats(caller).batch_get_chats(request).await?;
    Ok(response.into_inner())
}

#[tokio::test]
async fn several_chats_come_in_the_order_of_their_ids_as_each_alone() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let mut ids = Vec::new();
        for branch in ["a", "b", "c"] {
            ids.push(owner.chat(branch).await.id);
        }
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
            let wanted: Vec<String> = order.iter().map(|place| ids[*place].clone()).collect();
            let response = get(stack, &owner.caller, wanted.clone()).await.unwrap();
            let mut alone = Vec::new();
            for id in &wanted {
                alone.push(owner.get(id).await);
            }
            assert_eq!(response.chats, alone);
            assert_eq!(response.missing_chat_ids, Vec::<String>::new());
        }
        // In the view of a list, unless it is asked for all.
        for view in [ChatView::Basic, ChatView::Full] {
            let request = BatchGetChatsRequest {
                chat_ids: ids.clone(),
                view: view.into(),
            };
            let batch = stack.chats(&owner.caller).batch_get_chats(request).await;
            let mut batch = batch.unwrap().into_inner().chats;
            let list = GetChatsRequest {
                view: view.into(),
                ..GetChatsRequest::default()
            };
            let list = stack.chats(&owner.caller).get_chats(list).await.unwrap();
            batch.sort_by(|one, other| other.id.cmp(&one.id));
            assert_eq!(batch, list.into_inner().chats);
        }
        let unknown = BatchGetChatsRequest {
            chat_ids: ids,
            view: 9,
        };
        let refused = refused(stack.chats(&owner.caller).batch_get_chats(unknown).await);
        assert_eq!(refused.2.as_deref(), Some("view"));
    })
    .await;
}

#[tokio::test]
async fn chats_that_do_not_exist_for_the_caller_are_named_and_cost_the_others_nothing() {
    Stack::run(async |stack| {
        let (owner, other) = (Caller::user(), Caller::user());
        let own = stack.chat(&owner).await;
        let hidden = stack.chat(&other).await;
        let absent = Uuid::now_v7().to_string();
        let wanted = vec![hidden.id.clone(), own.id.clone(), absent.clone()];
        let response = get(stack, &owner, wanted.clone()).await.unwrap();
        assert_eq!(response.chats, [own]);
        assert_eq!(response.missing_chat_ids, [hidden.id, absent]);
        for stranger in [owner.clone().suspended(), Caller::gitsync()] {
            let response = get(stack, &stranger, wanted.clone()).await.unwrap();
            assert_eq!(response.chats, Vec::<v1::Chat>::new());
            assert_eq!(response.missing_chat_ids, wanted);
        }
    })
    .await;
}

#[tokio::test]
async fn a_batch_has_one_to_a_hundred_ids_none_twice() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let some = |count: usize| -> Vec<String> {
            (0..count).map(|_| Uuid::now_v7().to_string()).collect()
        };
        assert!(get(stack, &owner, some(100)).await.is_ok());
        let twice = vec![some(1).remove(0); 2];
        let no_id = vec!["x".to_owned()];
        for (ids, field) in [
            (some(0), "chat_ids"),
            (some(101), "chat_ids"),
            (twice, "chat_ids[1]"),
            (no_id, "chat_ids[0]"),
        ] {
            let refusal = refused(get(stack, &owner, ids).await);
            assert_eq!(refusal.0, Code::InvalidArgument);
            assert_eq!(refusal.2.as_deref(), Some(field));
        }
    })
    .await;
}
