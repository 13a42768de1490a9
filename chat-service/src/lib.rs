//! Lists chats exactly as far as the caller may read them, keeps each chat's git refs with the
//! status of their pull requests, and publishes every change.
//!
//! The layers, outermost first: [`server`] (listeners, health, drain), `grpc` (parse, call, render),
//! the domain (`chat`, `git_ref`, [`accounts`], [`events`]), [`authz`] (who may do what, as a
//! predicate), [`store`] (all SQL).

pub mod accounts;
pub mod auth;
pub mod authz;
pub mod chat;
pub mod chat_filter;
pub mod config;
pub mod diff_status;
pub mod error;
pub mod events;
pub mod git_ref;
mod grpc;
pub mod id;
pub mod key_files;
pub mod keys;
pub mod metrics;
pub mod page_token;
pub mod policy_command;
pub mod provider;
pub mod refresh;
pub mod server;
pub mod store;
pub mod sync;
mod text_enum;
pub mod token;
