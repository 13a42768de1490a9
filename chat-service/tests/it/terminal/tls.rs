//! A server behind something that speaks TLS.

use std::{net::Ipv4Addr, sync::Arc};

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

use super::client::Client;
use crate::stack::{Caller, Stack};

/// Puts TLS in front of `upstream`, with a certificate of an authority of its own. Returns the port and
/// the authority's certificate.
async fn front(tasks: &mut JoinSet<()>, upstream: String) -> (u16, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &authority).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
            connections.spawn(async move {
                // A client that does not trust the certificate ends here.
                if let Ok(mut client) = acceptor.accept(client).await {
                    let mut server = TcpStream::connect(upstream).await.unwrap();
                    // Either side may break off.
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    (port, authority.pem())
}

#[tokio::test]
async fn a_server_behind_tls_is_called_if_its_certificate_is_believed() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let mut tasks = JoinSet::new();
        let upstream = stack.public_url.trim_start_matches("http://").to_owned();
        let (port, authority) = front(&mut tasks, upstream).await;
        let client = Client::of(stack, &owner).at(&format!("https://localhost:{port}"));
        let path = client.file("authority.pem");
        std::fs::write(&path, authority).unwrap();
        let strange = client.run(&["list"]).await;
        assert_eq!(strange.code, Some(69), "{}", strange.err);
        assert!(strange.err.contains("certificate"), "{}", strange.err);
        let client = client.with("SSL_CERT_FILE", path.display().to_string());
        assert!(client.ok(&["list"]).await.contains(&chat.id));
    })
    .await;
}
