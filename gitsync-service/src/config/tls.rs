//! How the process speaks TLS, and where it does not.

use clap::ValueEnum;
use service_runtime::{
    config::{Reader, is_private},
    tls::{Authorities, Certificates, ClientTls, Identity, ServerCheck, ServerTls},
};
use url::Url;

/// Where plain text may be spoken with other machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Plaintext {
    /// The listener for operators.
    Grpc,
    /// The operations endpoint.
    Ops,
    /// chat-service.
    ChatService,
}

/// The certificate and authorities of the process.
#[derive(Default)]
pub struct Tls {
    identity: Option<Identity>,
    /// Who signs for chat-service; the system's authorities unless set.
    chat_service: Option<Authorities>,
    plaintext: Vec<Plaintext>,
    /// The certificates, which are read again when they change.
    pub certificates: Certificates,
}

impl Tls {
    /// Reads the files that the settings name, and refuses plain text where others could read it
    /// unless that is asked for.
    pub(super) fn read(reader: &mut Reader) -> Self {
        let mut certificates = Certificates::default();
        let identity = reader.identity(&mut certificates, "worker");
        let field = "chat_service_ca_file";
        let chat_service = reader.authorities(&mut certificates, "chat-service", field);
        let plaintext: Vec<Plaintext> = reader.plaintext();
        reader.require_tls(&[("listen", Plaintext::Grpc), ("ops_listen", Plaintext::Ops)]);
        let url = reader.value::<String>("chat_service_url");
        let url = url.and_then(|url| Url::parse(&url).ok());
        if url.is_some_and(|url| !is_private(&url)) && !plaintext.contains(&Plaintext::ChatService)
        {
            reader.refuse(
                "GITSYNC_CHAT_SERVICE_URL leads to another machine in plain text, where others can \
                 read access tokens: let it begin with https://, or name chat-service in \
                 GITSYNC_PLAINTEXT"
                    .to_owned(),
            );
        }
        Self {
            identity,
            chat_service,
            plaintext,
            certificates,
        }
    }

    /// How the listener `place` speaks TLS, if it does.
    ///
    /// # Errors
    ///
    /// When the cryptography cannot be used.
    pub fn of(&self, place: Plaintext) -> anyhow::Result<Option<ServerTls>> {
        let identity = self.identity.as_ref();
        let Some(identity) = identity.filter(|_| !self.plaintext.contains(&place)) else {
            return Ok(None);
        };
        let http1 = place == Plaintext::Ops;
        Ok(Some(ServerTls::new(identity, None, http1)?))
    }

    /// How chat-service is spoken with, where its URL begins with `https://`.
    ///
    /// # Errors
    ///
    /// When the cryptography cannot be used.
    pub fn chat_service(&self) -> anyhow::Result<ClientTls> {
        let authorities = self.chat_service.clone();
        let authorities = authorities.unwrap_or_else(Authorities::of_system);
        let check = ServerCheck::Name(authorities);
        Ok(ClientTls::new(check, self.identity.as_ref(), &["h2"])?)
    }
}
