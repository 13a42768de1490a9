//! Where keys come from: files, and what identity providers publish.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

use super::key::{self, Key};

/// A file or a URL with public keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// PEM or a JSON Web Key Set; read again when it is replaced.
    File(PathBuf),
    /// A JSON Web Key Set over HTTPS, or over plain HTTP from the same machine.
    Url(reqwest::Url),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => write!(f, "{url}"),
        }
    }
}

impl KeySource {
    fn parse(text: &str) -> Result<Self, String> {
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        let url: reqwest::Url = text.parse().map_err(|_| format!("{text} is no URL"))?;
        let is_near = url.host_str().is_some_and(|host| {
            let address = host.trim_start_matches('[').trim_end_matches(']');
            let address: Result<IpAddr, _> = address.parse();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        });
        if !url.username().is_empty() || url.password().is_some() {
            Err("URLs must not hold credentials".to_owned())
        } else if url.scheme() == "https" || (url.scheme() == "http" && is_near) {
            Ok(Self::Url(url))
        } else {
            Err(format!("{url} must begin with https://"))
        }
    }
}

/// The files and URLs of one setting, with the keys that the files hold.
#[derive(Clone)]
pub struct KeySources(pub(super) Vec<(KeySource, Vec<Key>)>);

impl KeySources {
    /// Takes files and URLs with commas between, and reads the files.
    ///
    /// # Errors
    ///
    /// All problems, with what each is about: a file that cannot be used, a text that is not a
    /// URL. They quote nothing of a file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut sources, mut problems) = (Vec::new(), Vec::new());
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            let read = KeySource::parse(entry).and_then(|source| match &source {
                KeySource::File(path) => Ok((source.clone(), read(path)?)),
                KeySource::Url(_) => Ok((source, Vec::new())),
            });
            match read {
                Ok(source) => sources.push(source),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            Err(format!("cannot be used: {}", problems.join("; ")))
        } else if sources.is_empty() {
            Err("must name files or URLs, with commas between".to_owned())
        } else {
            Ok(Self(sources))
        }
    }
}

fn read(path: &Path) -> Result<Vec<Key>, String> {
    let named = |problem: &dyn fmt::Display| format!("{}: {problem}", path.display());
    let bytes = std::fs::read(path).map_err(|error| named(&error))?;
    key::parse(&bytes).map_err(|error| named(&error))
}
