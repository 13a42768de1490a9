//! Tests of chat-service against a real PostgreSQL.
