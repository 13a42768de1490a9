//! chat-service.
fn main() {}
