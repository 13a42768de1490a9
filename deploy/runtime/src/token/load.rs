//! One load of the keys of a source, bounded in bytes and in time.

use std::{io, path::PathBuf, time::Duration};

use tokio::{io::AsyncReadExt as _, time::timeout};

use super::{
    key::{self, Key, KeyError},
    source::KeySource,
};
use crate::egress::{EgressProxy, http_client};

/// Bytes of a file or an answer at most. A set of five RSA keys with certificates has 10 KB.
const MAX_BYTES: usize = 256 * 1024;
/// How long a load may take, as generous as `OpenID` Connect libraries are.
const LOAD_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why keys could not be loaded; for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("the file cannot be read: {0}")]
    File(#[from] io::Error),
    #[error("the provider cannot be asked{0}")]
    Http(String),
    #[error("the provider answered with HTTP status {0}")]
    Status(u16),
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("it took longer than {LOAD_TIMEOUT:?}")]
    Timeout,
    #[error("it {0}")]
    Keys(#[from] KeyError),
}

/// The client and token for identity providers.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    /// Authorities (PEM) that their certificates are verified by, beside the system's.
    pub(super) authorities: Option<PathBuf>,
    /// A file with a bearer token that they ask for, as a Kubernetes API server does.
    pub(super) bearer: Option<PathBuf>,
    /// What they are reached through, if not directly.
    pub(super) proxy: Option<EgressProxy>,
}

impl From<reqwest::Error> for LoadError {
    /// With all that caused it: the outermost text says only that a request failed.
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut text = String::new();
        let mut next: Option<&dyn std::error::Error> = Some(&error);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        Self::Http(text)
    }
}

pub(super) async fn load(source: &KeySource, access: &Access) -> Result<Vec<Key>, LoadError> {
    let loading = async {
        let bytes = match source {
            KeySource::File(path) => {
                let mut bytes = Vec::new();
                let file = tokio::fs::File::open(path).await?;
                let most = u64::try_from(MAX_BYTES + 1).unwrap_or(u64::MAX);
                file.take(most).read_to_end(&mut bytes).await?;
                bytes
            }
            KeySource::Url(url) => fetch(url, access).await?,
        };
        if bytes.len() > MAX_BYTES {
            return Err(LoadError::TooLarge);
        }
        Ok(key::parse(&bytes)?)
    };
    timeout(LOAD_TIMEOUT, loading)
        .await
        .unwrap_or(Err(LoadError::Timeout))
}

/// Both files are read each time, since they may have been replaced; a client each time costs
/// milliseconds every few minutes.
async fn fetch(url: &reqwest::Url, access: &Access) -> Result<Vec<u8>, LoadError> {
    let mut client = http_client(access.proxy.as_ref())?.connect_timeout(CONNECT_TIMEOUT);
    if let Some(path) = &access.authorities {
        let pem = tokio::fs::read(path).await?;
        client = client.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem)?);
    }
    let mut request = client.build()?.get(url.clone());
    if let Some(path) = &access.bearer {
        request = request.bearer_auth(tokio::fs::read_to_string(path).await?.trim());
    }
    let mut answer = request.send().await?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(LoadError::Status(answer.status().as_u16()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_BYTES {
            return Err(LoadError::TooLarge);
        }
    }
    Ok(bytes)
}
