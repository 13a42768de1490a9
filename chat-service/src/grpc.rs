//! The RPCs: take the caller, parse, make one call, render. Contract types stop here.

pub(crate) mod call;
pub(crate) mod chat;
mod convert;
mod diff;
pub(crate) mod git_account;
mod list;
pub(crate) mod scaler;
pub(crate) mod sync;
pub(crate) mod sync_admin;
mod update;
mod viewer;
mod watch;

pub use list::filter as list_filter;
