//! Many refs in one request: how few it takes.

use std::{sync::Arc, time::Duration};

use proto::sync::{CheckState, Finding, Lane, Lease, LeasedRef, MergeState, Outcome, Upstream};
use testkit::github::{GitHub, Matching, ReviewState};

use crate::support::{
    Refreshed, engine, found, git_ref, group, in_both_interfaces, knowing, lease, number, ref_name,
    refresh, world,
};

/// What chat-service keeps of an outcome, as the next lease has it.
pub(crate) fn after(outcome: &Outcome, git_ref: LeasedRef) -> LeasedRef {
    let found = found(outcome);
    let number = u64::try_from(found.shown.number).unwrap();
    let mut next = knowing(git_ref, &found.repository, number);
    let known = next.known.as_mut().unwrap();
    known.host_id.clone_from(&found.host_id);
    known.state = found.shown.state;
    let head = &found.shown.head;
    let checks = head.checks.as_ref().map(|checks| checks.state);
    known.checks_pending = checks == Some(CheckState::Pending);
    known.merge_unknown = head.merge_state == Some(MergeState::Unknown);
    let learned = &outcome.learned;
    LeasedRef {
        since_found: Some(Duration::from_secs(60)),
        since_reported: Duration::from_secs(60 * 60),
        fingerprint: learned.fingerprint.clone().or(next.fingerprint),
        ..next
    }
}

/// `count` branches with an open pull request each.
pub(crate) fn opened(github: &GitHub, count: usize) -> Vec<LeasedRef> {
    (0..count)
        .map(|index| {
            let branch = format!("b{index}");
            github.pull_request("acme/web").head(&branch).open();
            git_ref(&branch, "acme/web", &branch)
        })
        .collect()
}

/// The same, as they are once they were looked up.
pub(crate) async fn linked(github: &GitHub, token: &str, count: usize) -> Vec<LeasedRef> {
    let refs = opened(github, count);
    let refreshed = refresh(&engine(), lease(vec![group(github, token, refs.clone())])).await;
    github.clear_requests();
    refs.into_iter()
        .map(|git_ref| after(&refreshed.outcomes[&ref_name(git_ref.id)], git_ref))
        .collect()
}

pub(crate) fn operations(github: &GitHub) -> Vec<String> {
    let names = github.requests().into_iter().map(|request| {
        let operation = request.graphql.and_then(|query| query.operation);
        operation.unwrap_or(request.path)
    });
    names.collect()
}

fn leased(github: &GitHub, token: &str, refs: &[LeasedRef]) -> Arc<Lease> {
    lease(vec![group(github, token, refs.to_vec())])
}

#[tokio::test]
async fn fifty_linked_refs_of_one_user_take_at_most_three_requests() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 50).await;
    for index in 0..50 {
        github.edit_pull_request("acme/web", index + 1, |pull| pull.title.push('!'));
        // The stand-in's clock counts seconds; a new commit is a change whatever it says.
        github.repository("acme/web").push(&format!("b{index}"));
    }
    let refreshed = refresh(&engine(), leased(&github, &token, &refs)).await;
    assert_eq!(refreshed.outcomes.len(), 50);
    for git_ref in &refs {
        let title = &refreshed.found(&ref_name(git_ref.id)).shown.title;
        assert!(title.ends_with('!'), "{title}");
    }
    assert!(github.requests().len() <= 3, "{:?}", operations(&github));
}

#[tokio::test]
async fn fifty_refs_on_which_nothing_changed_are_one_request() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 50).await;
    let refreshed = refresh(&engine(), leased(&github, &token, &refs)).await;
    assert_eq!(operations(&github), ["Probe"]);
    for git_ref in &refs {
        assert_eq!(
            *refreshed.finding(&ref_name(git_ref.id)),
            Finding::Unchanged
        );
    }
    let query = github.requests()[0].graphql.clone().unwrap();
    assert_eq!((query.cost, query.ids), (1, 50));
}

#[tokio::test]
async fn only_what_changed_is_asked_for_in_whole() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 50).await;
    github.repository("acme/web").push("b7");
    github.set_draft("acme/web", 10, true);
    let refreshed = refresh(&engine(), leased(&github, &token, &refs)).await;
    assert_eq!(operations(&github), ["Probe", "Detail"]);
    assert_eq!(github.requests()[1].graphql.clone().unwrap().ids, 2);
    assert_eq!(refreshed.found("b7").shown.number, 8);
    assert!(refreshed.found("b9").shown.draft);
    assert_eq!(*refreshed.finding("b8"), Finding::Unchanged);
}

#[tokio::test]
async fn a_few_refs_are_asked_for_in_whole_at_once() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 25).await;
    let refreshed = refresh(&engine(), leased(&github, &token, &refs)).await;
    assert_eq!(operations(&github), ["Detail"]);
    assert_eq!(refreshed.found("b3").shown.number, 4);
}

#[tokio::test]
async fn the_whole_is_asked_for_after_six_probes_and_after_half_an_hour() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 30).await;
    for overdue in [
        |git_ref: &mut LeasedRef| git_ref.unchanged_count = 5,
        |git_ref: &mut LeasedRef| git_ref.since_found = Some(Duration::from_secs(31 * 60)),
    ] {
        github.clear_requests();
        let mut refs = refs.clone();
        refs[..20].iter_mut().for_each(overdue);
        let refreshed = refresh(&engine(), leased(&github, &token, &refs)).await;
        let mut asked = operations(&github);
        asked.sort();
        assert_eq!(asked, ["Detail", "Probe"]);
        refreshed.found("b19");
        assert_eq!(*refreshed.finding("b20"), Finding::Unchanged);
    }
}

#[tokio::test]
async fn what_cannot_be_asked_whether_it_changed_is_asked_for_in_whole() {
    let (github, token) = world().await;
    let mut refs = linked(&github, &token, 30).await;
    for git_ref in &mut refs {
        git_ref.fingerprint = None;
    }
    let refreshed = refresh(&engine(), leased(&github, &token, &refs)).await;
    assert_eq!(operations(&github), ["Detail", "Detail"]);
    refreshed.found("b29");
}

/// Goes on as chat-service would.
fn count_unchanged(git_ref: &mut LeasedRef, refreshed: &Refreshed) {
    match refreshed.finding(&ref_name(git_ref.id)) {
        Finding::Unchanged => git_ref.unchanged_count += 1,
        Finding::PullRequest(_) => git_ref.unchanged_count = 0,
        other @ (Finding::NoPullRequest | Finding::Gone | Finding::Failed { .. }) => {
            panic!("{other:?}")
        }
    }
}

/// Of GitHub's 5,000 points an hour, with thirty cycles in it, and the whole of each ref seen again
/// and again.
#[tokio::test]
async fn two_hundred_refs_every_two_minutes_take_less_than_a_twentieth_of_the_hour() {
    let (github, token) = world().await;
    let mut refs = linked(&github, &token, 200).await;
    let refresher = engine();
    for _ in 0..30 {
        // A lease that is half full.
        for hundred in refs.chunks_mut(100) {
            let refreshed = refresh(&refresher, leased(&github, &token, hundred)).await;
            assert_eq!(refreshed.outcomes.len(), 100);
            for git_ref in hundred {
                count_unchanged(git_ref, &refreshed);
            }
        }
    }
    let spent: u64 = github
        .requests()
        .into_iter()
        .map(|request| request.graphql.map_or(1, |query| query.cost))
        .sum();
    assert!(spent < 5000 / 20, "{spent} points");
}

/// Over many cycles, with the whole of each seen again and again.
#[tokio::test]
async fn a_steady_state_is_one_request_for_fifty_refs_in_five_cycles_of_six() {
    let (github, token) = world().await;
    let mut refs = linked(&github, &token, 50).await;
    let refresher = engine();
    let mut asked = Vec::new();
    for _ in 0..18 {
        github.clear_requests();
        let refreshed = refresh(&refresher, leased(&github, &token, &refs)).await;
        asked.push(operations(&github).len());
        for git_ref in &mut refs {
            count_unchanged(git_ref, &refreshed);
            assert!(git_ref.unchanged_count <= 5, "one is never seen in whole");
        }
    }
    let whole = asked.iter().filter(|requests| **requests == 2).count();
    let unchanged = asked.iter().filter(|requests| **requests == 1).count();
    assert_eq!((unchanged, whole), (15, 3), "{asked:?}");
}

#[tokio::test]
async fn up_to_five_unknown_branches_are_looked_up_together_in_one_round_trip() {
    let (github, token) = world().await;
    let refs = opened(&github, 5);
    let refreshed = refresh(&engine(), leased(&github, &token, &refs)).await;
    assert_eq!(operations(&github), ["Discover"]);
    for (index, git_ref) in refs.iter().enumerate() {
        let found = refreshed.found(&ref_name(git_ref.id));
        assert_eq!(found.shown.number, i32::try_from(index + 1).unwrap());
        let outcome = &refreshed.outcomes[&ref_name(git_ref.id)];
        assert!(outcome.learned.fingerprint.is_some());
        assert_eq!(outcome.learned.upstream, Upstream::NoFork);
    }
    assert_eq!(github.requests()[0].graphql.clone().unwrap().cost, 1);
}

/// What was just pushed is seen at once, whatever else is due with it.
#[tokio::test]
async fn an_urgent_branch_is_one_round_trip_also_beside_many_that_are_not() {
    let (github, token) = world().await;
    let mut refs = opened(&github, 1);
    refs.extend((0..9).map(|index| LeasedRef {
        lane: Lane::Idle,
        ..git_ref(&format!("n{index}"), "acme/web", &format!("none-{index}"))
    }));
    let refreshed = refresh(&engine(), leased(&github, &token, &refs)).await;
    assert_eq!(refreshed.found("b0").shown.number, 1);
    assert_eq!(operations(&github), ["Discover"]);
    assert_eq!(github.requests()[0].graphql.clone().unwrap().cost, 1);
}

#[tokio::test]
async fn many_chats_on_one_pull_request_or_branch_are_one_lookup() {
    let (github, token) = world().await;
    let pull = github.pull_request("acme/web").head("feature").open();
    github.pull_request("acme/web").head("other").open();
    let node_id = github
        .find_pull_request("acme/web", pull)
        .unwrap()
        .node_id();
    let mut refs: Vec<LeasedRef> = (0..20)
        .map(|index| {
            let mut known = knowing(
                git_ref(&format!("k{index}"), "acme/web", "feature"),
                "acme/web",
                pull,
            );
            known.known.as_mut().unwrap().host_id = Some(node_id.clone());
            known
        })
        .collect();
    refs.extend((0..20).map(|index| git_ref(&format!("n{index}"), "Acme/Web", "feature")));
    refs.extend((0..20).map(|index| git_ref(&format!("o{index}"), "acme/web", "other")));
    let refreshed = refresh(&engine(), leased(&github, &token, &refs)).await;
    assert_eq!(refreshed.outcomes.len(), 60);
    assert_eq!(refreshed.found("n3").shown.number, number(pull));
    let requests = github.requests();
    assert_eq!(requests.len(), 1, "{:?}", operations(&github));
    let asked: usize = requests
        .iter()
        .map(|request| request.graphql.as_ref().unwrap())
        // Two fields ride along with each query.
        .map(|query| query.ids.max(query.aliases - 2))
        .sum();
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn a_pull_request_says_the_same_over_graphql_as_over_rest() {
    let (github, token) = world().await;
    github
        .user("eve")
        .set_avatar_url("https://avatars.example.com/eve");
    let pull = github
        .pull_request("acme/web")
        .head("feature")
        .title("Add a thing")
        .author("eve")
        .diff(10, 2, 3)
        .commits(4)
        .draft()
        .open();
    for (login, state) in [
        ("ann", ReviewState::ChangesRequested),
        ("ann", ReviewState::Approved),
        ("bob", ReviewState::Approved),
        ("bob", ReviewState::Commented),
        ("carl", ReviewState::Approved),
        ("dora", ReviewState::Commented),
    ] {
        github.review("acme/web", pull, login, state);
    }
    github.delete_user("carl");
    for gone in [false, true] {
        if gone {
            github.delete_user("eve");
        }
        let git_ref = git_ref("r", "acme/web", "feature");
        let refs = || vec![git_ref.clone()];
        let over_graphql = refresh(&engine(), leased(&github, &token, &refs())).await;
        let over_rest = refresh(
            &crate::support::refresher(),
            leased(&github, &token, &refs()),
        )
        .await;
        let [graphql, rest] =
            [&over_graphql, &over_rest].map(|refreshed| in_both_interfaces(refreshed.finding("r")));
        assert_eq!(graphql, rest);
        let shown = &over_graphql.found("r").shown;
        assert_eq!(shown.author_login.is_none(), gone);
        assert!(
            shown.approved,
            "no review is required, and GitHub decides nothing"
        );
        assert_eq!(shown.reviewer_count, 2);
    }
    assert!(github.unexpected().is_empty());
}

#[tokio::test]
async fn one_query_of_a_key_is_at_the_host_at_once_and_keys_go_beside_each_other() {
    let (github, token) = world().await;
    let bob = github.user("bob");
    github.repository("acme/web").grant(&bob);
    let refs = opened(&github, 40);
    let hold = github.hold(Matching::graphql());
    let refresher = engine();
    let (ann, other, ()) = tokio::join!(
        refresh(&refresher, leased(&github, &token, &refs)),
        refresh(&refresher, leased(&github, &bob.token(), &refs)),
        async {
            hold.waiting(2).await;
            hold.release();
        }
    );
    assert_eq!((ann.outcomes.len(), other.outcomes.len()), (40, 40));
    for login in ["ann", "bob"] {
        let caller = testkit::github::Caller::User(login.to_owned());
        assert_eq!(github.max_in_flight_by(&caller), 1, "{login}");
    }
}

#[tokio::test]
async fn groups_of_a_key_take_turns_each_with_its_own_token() {
    let (github, token) = world().await;
    let second = github.user("ann").token();
    let refs = opened(&github, 10);
    let (one, other) = refs.split_at(5);
    let lease = lease(vec![
        group(&github, &token, one.to_vec()),
        group(&github, &second, other.to_vec()),
    ]);
    let refreshed = refresh(&engine(), lease).await;
    assert_eq!(refreshed.outcomes.len(), 10);
    assert_eq!(operations(&github), ["Discover", "Discover"]);
}

#[tokio::test]
async fn the_host_identifies_the_account_and_both_windows_are_separate() {
    let (github, token) = world().await;
    let refs = opened(&github, 1);
    let refreshed = refresh(&engine(), leased(&github, &token, &refs)).await;
    let graphql = refreshed.window("graphql");
    assert_eq!((graphql.limit, graphql.remaining), (Some(5000), Some(4999)));
    assert!(graphql.reset_in.is_some());
    assert_eq!(refreshed.window("core").limit, None);
    let budget = refreshed.budget.unwrap();
    assert_eq!(budget.account_id, Some(github.user("ann").id().to_string()));
}

#[tokio::test]
async fn without_limit_headers_the_answer_itself_tells_nothing_wrong() {
    let (github, token) = world().await;
    github.set_rate_limits(false);
    let refs = opened(&github, 1);
    let refreshed = refresh(&engine(), leased(&github, &token, &refs)).await;
    assert_eq!(refreshed.found("b0").shown.number, 1);
    let graphql = refreshed.window("graphql");
    assert_eq!((graphql.limit, graphql.remaining), (None, None));
}
