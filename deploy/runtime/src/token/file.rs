//! A service's own token.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::sync::watch;
use tonic::metadata::{Ascii, MetadataValue};

/// A service's own token, in a file that its issuer may replace at any time (as Kubernetes does
/// with projected tokens). Reads it anew when asked, and keeps the last good one.
#[derive(Clone)]
pub struct TokenFile {
    path: PathBuf,
    bearer: watch::Sender<MetadataValue<Ascii>>,
}

impl TokenFile {
    /// Reads the token for the first time.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or holds nothing that fits a header.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            bearer: watch::Sender::new(read(path)?),
        })
    }

    /// Reads the file again, and returns whether it holds another token than before. The last good
    /// token stays when that fails.
    ///
    /// # Errors
    ///
    /// As [`TokenFile::open`].
    pub fn reload(&self) -> io::Result<bool> {
        let bearer = read(&self.path)?;
        Ok(self.bearer.send_if_modified(|last| {
            let is_new = *last != bearer;
            *last = bearer;
            is_new
        }))
    }

    /// The `authorization` metadata to send; marked sensitive, so that `Debug` hides it.
    #[must_use]
    pub fn bearer(&self) -> MetadataValue<Ascii> {
        self.bearer.borrow().clone()
    }
}

fn read(path: &Path) -> io::Result<MetadataValue<Ascii>> {
    let text = std::fs::read_to_string(path)?;
    let token = text.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = MetadataValue::try_from(format!("Bearer {token}")).ok();
    let mut value = value.filter(|_| is_token).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the file holds no bearer token")
    })?;
    value.set_sensitive(true);
    Ok(value)
}
