//! A stack whose listeners speak TLS.

use testkit::clients::{channel, secure_channel};
use tonic::transport::Channel;

use super::Stack;

/// The authority of the stack's certificates.
const AUTHORITY: &str = "authority.pem";

impl Stack {
    /// Calls chat-service over TLS from now on; `authority` (PEM) has signed its certificate.
    ///
    /// # Panics
    ///
    /// When the authority cannot be written down.
    pub fn speak_tls(&mut self, authority: &str) {
        std::fs::write(self.directory.file(AUTHORITY), authority).expect("write the authority");
        let addresses = &mut self.addresses;
        for url in [&mut addresses.grpc, &mut addresses.sync, &mut addresses.ops] {
            *url = url.replace("http://", "https://");
        }
    }

    /// A channel to one of the stack's listeners.
    pub(super) fn channel(&self, url: &str) -> Channel {
        if !url.starts_with("https://") {
            return channel(url);
        }
        let authority = std::fs::read_to_string(self.directory.file(AUTHORITY));
        secure_channel(url, &authority.expect("the authority"), None)
    }
}
