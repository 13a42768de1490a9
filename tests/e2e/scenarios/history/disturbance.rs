//! What happens to the replicas while histories run.

use std::{convert::Infallible, time::Duration};

use e2e::stack::{Replica, Stack};
use testkit::random::Random;
use tokio::time::sleep;

use super::places::Places;

/// Between two disturbances.
const REST: Duration = Duration::from_millis(1500);
/// How long a replica is cut off from its database.
const CUT: Duration = Duration::from_millis(200);

/// The relay's lease is over, and any replica takes over.
const HAND_OVER: &str =
    "UPDATE change_relay SET holder = NULL, epoch = epoch + 1, expires_at = '-infinity'";

/// What `chat-service new-generation` does.
const NEW_GENERATION: &str = "UPDATE change_relay SET generation = gen_random_uuid()";

/// Something that happens to the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disturbance {
    /// Another relay.
    HandOver,
    /// A replica loses its connections to the database.
    Cut,
    /// A replica is gone, and another one in its place.
    Kill,
    /// An operator restored a backup.
    NewGeneration,
}

/// Disturbs the replicas, which are the second and third of `places`; the first one is spared, so
/// that a call that is repeated gets through.
pub(super) async fn disturb(
    stack: &Stack,
    replicas: &mut [Replica; 2],
    places: &Places,
    disturbances: &[Disturbance],
    mut random: Random,
) -> Infallible {
    let client = stack.database.client().await;
    for disturbance in disturbances.iter().cycle() {
        sleep(REST).await;
        let number = random.below(replicas.len());
        match disturbance {
            Disturbance::HandOver => client.batch_execute(HAND_OVER).await.unwrap(),
            Disturbance::Cut => {
                replicas[number].database_proxy.cut();
                sleep(CUT).await;
                replicas[number].database_proxy.restore();
            }
            Disturbance::Kill => {
                // The histories may end at any await, and all replicas must then be alive: the
                // new one starts first.
                let other = stack.replica().await;
                places.replace(number + 1, other.grpc_url());
                let killed = std::mem::replace(&mut replicas[number], other);
                killed.process.kill();
                // If it was the relay, its lease would go on for 10 s: that is another test's
                // matter.
                client.batch_execute(HAND_OVER).await.unwrap();
            }
            Disturbance::NewGeneration => client.batch_execute(NEW_GENERATION).await.unwrap(),
        }
    }
    unreachable!("a cycle has no end")
}
