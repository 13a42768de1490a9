//! A network to the database that loses nothing and passes nothing on for a while.

use std::time::Duration;

use chat_service::config::Settings;
use proto::chat::v1::{GetChatsRequest, GetChatsResponse};
use testkit::{proxy::Proxy, wait};
use tokio::time::sleep;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::stack::{Caller, Stack, facts};

/// Longer than a list may take the database.
const BEYOND_A_LIST: Duration = Duration::from_millis(2_500);

async fn list(stack: &Stack, owner: &Caller) -> Result<GetChatsResponse, Status> {
    let request = GetChatsRequest::default();
    let listed = stack.chats(owner).get_chats(request).await?;
    Ok(listed.into_inner())
}

#[tokio::test]
async fn a_list_is_never_too_broad_since_the_network_is_silent() {
    let database = testkit::postgres::database().await;
    let proxy = Proxy::start(database.address()).await;
    let url = database.url_through(proxy.address());
    let behind_proxy = |settings: &mut Settings, _: &mut _| {
        settings.database.database_url = Some(url.into());
    };
    Stack::run_on(database, behind_proxy, async |stack| {
        let owner = Caller::user();
        stack.chat(&owner).await;
        list(stack, &owner).await.unwrap();

        // The statement arrives late, and takes the database no longer than before.
        proxy.stall();
        let heal = async {
            sleep(BEYOND_A_LIST).await;
            proxy.restore();
        };
        let (listed, ()) = tokio::join!(list(stack, &owner), heal);
        assert_eq!(listed.unwrap().chats.len(), 1);

        proxy.stall();
        let refused = list(stack, &owner).await.unwrap_err();
        let (code, reason, _) = facts(&refused);
        assert_eq!(
            (code, reason.as_str()),
            (Code::Unavailable, "DEPENDENCY_UNAVAILABLE")
        );
        assert!(refused.get_error_details().retry_info().is_some());
        proxy.restore();
        wait::until("lists are answered", || list(stack, &owner)).await;
        let timeouts = async |kind: &str| {
            let name = format!("chat_database_timeouts_total{{kind=\"{kind}\"}}");
            stack.metric::<u64>(&name).await
        };
        assert!(timeouts("silence").await > 0);
        assert_eq!(timeouts("statement").await, 0);
    })
    .await;
}
