//! Lists chats exactly as far as the caller may read them, keeps each chat's git refs with the
//! status of their pull requests, and publishes every change.
//!
//! The layers, outermost first: [`server`] (listeners, health, drain) and [`command`] (what the
//! binary does besides), `grpc` (parse, call, render), the use cases ([`git_ref`], [`refresh`],
//! [`sync`],
//! [`accounts`], [`oauth`], [`events`]), [`store`] (all SQL), [`authz`] (who may do what, as a
//! predicate), and the words that all share ([`chat`], [`diff_status`], [`attention`], [`id`],
//! [`error`]). No modules import one another in a circle; a repository rule keeps it so.

pub mod accounts;
pub mod attention;
pub mod auth;
pub mod authz;
pub mod branch_name;
pub mod chat;
pub mod chat_filter;
pub mod command;
pub mod config;
mod diff;
pub mod diff_status;
pub mod error;
pub mod etag;
pub mod events;
pub mod git_ref;
mod grpc;
pub mod id;
pub mod limits;
pub mod metrics;
pub mod oauth;
pub mod page_token;
pub mod provider;
pub mod refresh;
pub mod server;
pub mod store;
pub mod survey;
pub mod sync;
mod text_enum;
pub mod title;
pub mod web;

pub use grpc::list_filter;
