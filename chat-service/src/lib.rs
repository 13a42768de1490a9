//! Lists chats exactly as far as the caller may read them, keeps each chat's git refs with the
//! status of their pull requests, and publishes every change.
//!
//! The layers, outermost first: [`server`] (listeners, health, drain), `grpc` (parse, call, render),
//! the domain (`chat`, `git_ref`, [`accounts`], [`events`]), [`authz`] (who may do what, as a
//! predicate), [`store`] (all SQL).

pub mod authz;
pub mod chat;
pub mod diff_status;
pub mod error;
pub mod events;
pub mod id;
pub mod store;
mod text_enum;
