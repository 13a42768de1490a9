//! Which port a service listens on.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::say;

/// The port that was asked for, else the usual one if it is free, else 0 for any.
pub(crate) fn choose(asked: Option<u16>, usual: u16, name: &str) -> SocketAddr {
    let port = asked.unwrap_or_else(|| {
        if TcpListener::bind((Ipv4Addr::LOCALHOST, usual)).is_ok() {
            usual
        } else {
            say::line(&format!("port {usual} is taken: {name} gets a free one"));
            0
        }
    });
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Any free port, for the service itself to choose.
pub(crate) fn any() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_port_that_is_taken_is_not_insisted_on() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_eq!(choose(None, port, "it").port(), 0);
        assert_eq!(choose(Some(port), 1, "it").port(), port);
    }
}
