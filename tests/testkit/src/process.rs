//! Real processes: the services' binaries, started, watched, signalled and ended by a test.

pub(crate) mod guard;
