//! One tenant does not behave, in each way that is known; another does.

use std::time::Duration;

use e2e::{
    abuse::{Abuse, Abuser, Amount, Neighbour},
    stack::Stack,
};

use crate::raw::peak_mib;

/// Of each kind.
const TIME: Duration = Duration::from_secs(2);
const AMOUNT: Amount = Amount {
    calls: 200,
    unread: 200,
    connections: 300,
};
/// More than the bounds of what is in flight and unread allow, on top of what the process has at
/// rest.
const MOST_MIB: u64 = 400;

/// Promise 10: no caller, whatever it sends or leaves unread, makes callers of other chats wait
/// more than a second, or the process grow past its bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_who_does_not_behave_delays_no_other_and_grows_no_process() {
    Stack::run_with(&[("CHAT_USER_CALLS_PER_SECOND", "100")], async |stack| {
        let mut neighbour = Neighbour::new(stack).await;
        let abuser = Abuser::new(stack, &neighbour, AMOUNT).await;
        for abuse in Abuse::ALL {
            let (_, met) = abuser.abuse_beside(abuse, TIME, &mut neighbour);
            assert!(!met.times.is_empty(), "{abuse:?}: no call was answered");
            assert!(met.failures.is_empty(), "{abuse:?}: {:?}", met.failures);
            let slow = met.percentile(95);
            assert!(slow < Duration::from_secs(1), "{abuse:?}: {slow:?}");
            let ready = testkit::http::get(stack.ops_url(), "/readyz").await;
            assert!(ready.starts_with("HTTP/1.1 200"), "{abuse:?}: {ready}");
        }
        let peak = peak_mib(&stack.chat_service);
        assert!(peak < MOST_MIB, "{peak} MiB");
        Vec::new()
    })
    .await;
}
