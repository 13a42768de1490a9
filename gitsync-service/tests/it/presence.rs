//! What the process says about whether it is of use: readiness and health.

use std::process::Command;

use testkit::{clients, http, process::Process, wait::until};
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    binary::{Keys, configured},
    stack::Stack,
};

/// A running process, to be asked.
struct Asked {
    process: Process,
    grpc: Channel,
    ops: String,
}

impl Asked {
    async fn start(command: Command) -> Self {
        let mut process = Process::spawn("gitsync-service", command).unwrap();
        let listening = process.wait_for_event("listening").await;
        let url = |name: &str| format!("http://{}", listening[name].as_str().unwrap());
        Self {
            process,
            grpc: clients::channel(&url("grpc")),
            ops: url("ops"),
        }
    }

    /// Whether it says of itself that it is of use, by all ways of asking; they must agree.
    async fn is_of_use(&self) -> Result<bool, Vec<bool>> {
        let mut said = vec![
            http::get(&self.ops, "/readyz")
                .await
                .starts_with("HTTP/1.1 200"),
        ];
        for service in ["", "gitsync.v1.WorkerService"] {
            let request = HealthCheckRequest {
                service: service.to_owned(),
            };
            let answer = HealthClient::new(self.grpc.clone())
                .check(request)
                .await
                .unwrap();
            said.push(answer.into_inner().status() == ServingStatus::Serving);
        }
        match said.iter().all(|one| *one == said[0]) {
            true => Ok(said[0]),
            false => Err(said),
        }
    }

    async fn until_of_use(&self, of_use: bool) {
        until(&format!("it says {of_use}"), || async {
            let said = self.is_of_use().await;
            if said == Ok(of_use) {
                Ok(())
            } else {
                Err(said)
            }
        })
        .await;
    }
}

#[tokio::test]
async fn it_is_of_no_use_before_chat_service_answered_and_is_alive() {
    Stack::run(async |stack| {
        let keys = Keys::new();
        stack.chat().accept_only("another token");
        let asked = Asked::start(configured(stack, &keys)).await;
        asked.process.expect_warnings(&[
            "a call to chat-service failed: chat-service does not accept this worker's token",
        ]);
        assert_eq!(asked.is_of_use().await, Ok(false));
        until("it was refused", || async {
            let calls = stack.chat().calls("lease").len();
            if calls >= 2 { Ok(()) } else { Err(calls) }
        })
        .await;
        assert_eq!(asked.is_of_use().await, Ok(false));
        assert!(
            http::get(&asked.ops, "/livez")
                .await
                .starts_with("HTTP/1.1 200")
        );
        asked.process.stop().await;
    })
    .await;
}

#[tokio::test]
async fn it_says_so_when_chat_service_is_silent_and_when_it_is_back() {
    Stack::run(async |stack| {
        let keys = Keys::new();
        let mut command = configured(stack, &keys);
        command.env("GITSYNC_INTERVAL", "100ms");
        let asked = Asked::start(command).await;
        asked.until_of_use(true).await;
        asked.process.expect_warnings(&[
            "a call to chat-service failed: chat-service did not answer (UNAVAILABLE): away",
            "chat-service does not answer",
        ]);
        stack.chat().away(true);
        asked.until_of_use(false).await;
        assert!(
            http::get(&asked.ops, "/livez")
                .await
                .starts_with("HTTP/1.1 200")
        );
        stack.chat().away(false);
        asked.until_of_use(true).await;
        asked.process.stop().await;
    })
    .await;
}
