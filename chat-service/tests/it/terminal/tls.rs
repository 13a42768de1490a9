//! A server behind something that speaks TLS.

use testkit::tls::TlsFront;

use super::client::Client;
use crate::stack::{Caller, Stack};

#[tokio::test]
async fn a_server_behind_tls_is_called_if_its_certificate_is_believed() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let upstream = stack.public_url.trim_start_matches("http://");
        let front = TlsFront::start(upstream, &["localhost"], &["h2"]).await;
        let url = format!("https://localhost:{}", front.address().port());
        let client = Client::of(stack, &owner).at(&url);
        let path = client.file("authority.pem");
        std::fs::write(&path, front.authority()).unwrap();
        let strange = client.run(&["list"]).await;
        assert_eq!(strange.code, Some(69), "{}", strange.err);
        assert!(strange.err.contains("certificate"), "{}", strange.err);
        let client = client.with("SSL_CERT_FILE", path.display().to_string());
        assert!(client.ok(&["list"]).await.contains(&chat.id));
    })
    .await;
}
