//! Tests of chat-service against a real PostgreSQL.

mod chats;
mod get_chats;
mod stack;
mod watch;
