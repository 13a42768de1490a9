//! TLS settings, and the rule that plain text to other machines must be allowed by name. Both
//! services have the fields `tls_cert_file`, `tls_key_file` and `plaintext`.

use std::{net::SocketAddr, path::PathBuf};

use clap::ValueEnum;

use url::{Host, Url};

use super::Reader;
use crate::tls::{Authorities, Certificates, Identity};

const CERTIFICATE: &str = "tls_cert_file";
const KEY: &str = "tls_key_file";
const PLAINTEXT: &str = "plaintext";

impl Reader {
    /// The process's own certificate, if there is one.
    pub fn identity(
        &mut self,
        certificates: &mut Certificates,
        role: &'static str,
    ) -> Option<Identity> {
        let files = [CERTIFICATE, KEY].map(|field| self.value::<PathBuf>(field));
        let names = [CERTIFICATE, KEY]
            .map(|field| self.name_of(field))
            .join(" and ");
        match files {
            [Some(certificate), Some(key)] => {
                let opened = Identity::open(certificates, role, &certificate, &key);
                let opened =
                    opened.map_err(|error| vec![format!("{names} cannot be used: {error}")]);
                self.collect(opened.map(Some))
            }
            [None, None] => None,
            [Some(_), None] | [None, Some(_)] => {
                self.refuse(format!("{names} are required together"));
                None
            }
        }
    }

    /// The authorities in the file of a setting, which is named by its field, if that is set.
    pub fn authorities(
        &mut self,
        certificates: &mut Certificates,
        role: &'static str,
        field: &str,
    ) -> Option<Authorities> {
        let file = self.value::<PathBuf>(field)?;
        let opened = Authorities::open(certificates, role, &file).map_err(|error| {
            let name = self.name_of(field);
            vec![format!("{name} cannot be used: {error}")]
        });
        self.collect(opened.map(Some))
    }

    /// Where plain text is asked for by name.
    #[must_use]
    pub fn plaintext<P: Place>(&self) -> Vec<P> {
        let places = self.leaf().try_get_many(PLAINTEXT).ok().flatten();
        places.into_iter().flatten().cloned().collect()
    }

    /// Refuses listeners that others than this machine can reach and that speak no TLS, unless that
    /// is asked for by name. They are named by their fields.
    pub fn require_tls<P: Place>(&mut self, listeners: &[(&str, P)]) {
        if self.value::<PathBuf>(CERTIFICATE).is_some() {
            return;
        }
        let plaintext = self.plaintext();
        for (field, place) in listeners {
            let Some(address) = self.value::<SocketAddr>(field) else {
                continue;
            };
            if address.ip().is_loopback() || plaintext.contains(place) {
                continue;
            }
            let value = place.to_possible_value();
            let problem = format!(
                "{} is {address}, in plain text, where others can read it: set {}, or name {} in {}",
                self.name_of(field),
                self.name_of(CERTIFICATE),
                value.as_ref().map_or("", |value| value.get_name()),
                self.name_of(PLAINTEXT),
            );
            self.refuse(problem);
        }
    }
}

/// Where a process may speak plain text off this machine, by the name of a listener or of a peer.
pub trait Place: ValueEnum + PartialEq + Send + Sync + 'static {}

impl<P: ValueEnum + PartialEq + Send + Sync + 'static> Place for P {}

/// Whether others cannot read what is said to the server at `url`: it is this machine, or TLS is
/// spoken.
#[must_use]
pub fn is_private(url: &Url) -> bool {
    url.scheme() == "https"
        || match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}
