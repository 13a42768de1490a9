//! The stable half of an error: `google.rpc.ErrorInfo.reason`. Clients match on these; texts may
//! change at any time.

/// `google.rpc.ErrorInfo.domain` of every error of both services.
pub const DOMAIN: &str = "chat.v1";

/// No bearer token came with the call.
pub const CREDENTIALS_MISSING: &str = "CREDENTIALS_MISSING";
/// The bearer token is malformed, forged, expired, or issued for another audience.
pub const CREDENTIALS_INVALID: &str = "CREDENTIALS_INVALID";
/// The bearer token is longer, or names more organizations or groups, than is accepted.
pub const CREDENTIALS_TOO_LARGE: &str = "CREDENTIALS_TOO_LARGE";
/// The resource does not exist for the caller.
pub const RESOURCE_NOT_FOUND: &str = "RESOURCE_NOT_FOUND";
/// The caller may see the resource but not do this to it.
pub const ACTION_NOT_ALLOWED: &str = "ACTION_NOT_ALLOWED";
/// A field is unacceptable; the `BadRequest` detail names it.
pub const FIELD_INVALID: &str = "FIELD_INVALID";
/// The request's bytes are not a message of its method.
pub const REQUEST_MALFORMED: &str = "REQUEST_MALFORMED";
/// The request is longer than any that its method takes.
pub const REQUEST_TOO_LARGE: &str = "REQUEST_TOO_LARGE";
/// The listener serves no such method; another one may.
pub const METHOD_UNKNOWN: &str = "METHOD_UNKNOWN";
/// The request is compressed in a way that is not accepted.
pub const ENCODING_UNKNOWN: &str = "ENCODING_UNKNOWN";
/// A page token that is malformed, forged, or of another request or caller.
pub const PAGE_TOKEN_INVALID: &str = "PAGE_TOKEN_INVALID";
/// The origin's host is no configured provider's.
pub const PROVIDER_NOT_CONFIGURED: &str = "PROVIDER_NOT_CONFIGURED";
/// More subjects than a chat may be shared with.
pub const TOO_MANY_SUBJECTS: &str = "TOO_MANY_SUBJECTS";
/// More unarchived chats in a workspace than one report can be of.
pub const TOO_MANY_CHATS: &str = "TOO_MANY_CHATS";
/// The lease expired or was released: write nothing, lease again.
pub const LEASE_LOST: &str = "LEASE_LOST";
/// No worker answered a refresh in time.
pub const NO_WORKER_IN_TIME: &str = "NO_WORKER_IN_TIME";
/// The git host failed.
pub const GIT_HOST_FAILED: &str = "GIT_HOST_FAILED";
/// The owner's rate limit at the git host is spent.
pub const GIT_HOST_RATE_LIMITED: &str = "GIT_HOST_RATE_LIMITED";
/// The rest of the owner's rate limit at the git host is reserved for the owner.
pub const GIT_HOST_LIMIT_RESERVED: &str = "GIT_HOST_LIMIT_RESERVED";
/// The owner's account at the git host is suspended, or locked for a while.
pub const GIT_ACCOUNT_LOCKED: &str = "GIT_ACCOUNT_LOCKED";
/// The owner has linked no account at the provider.
pub const GIT_ACCOUNT_NOT_LINKED: &str = "GIT_ACCOUNT_NOT_LINKED";
/// The git host does not accept the owner's token.
pub const GIT_CREDENTIAL_REJECTED: &str = "GIT_CREDENTIAL_REJECTED";
/// The git host refuses the owner this repository.
pub const GIT_ACCESS_DENIED: &str = "GIT_ACCESS_DENIED";
/// The chat has no branch, or the git host does not have it or its pull request any more.
pub const DIFF_NOT_FOUND: &str = "DIFF_NOT_FOUND";
/// The diff is larger than any that is given, or that the git host makes.
pub const DIFF_TOO_LARGE: &str = "DIFF_TOO_LARGE";
/// The diff was replaced or forgotten while it was sent: call again.
pub const DIFF_REPLACED: &str = "DIFF_REPLACED";
/// The diffs of too many branches of the owner's account are asked for.
pub const TOO_MANY_DIFFS: &str = "TOO_MANY_DIFFS";
/// The outcome could not be stored.
pub const OUTCOME_NOT_STORED: &str = "OUTCOME_NOT_STORED";
/// The chat was changed since its etag was read: read it again.
pub const ETAG_MISMATCH: &str = "ETAG_MISMATCH";
/// Another change won; the whole operation may be tried again.
pub const CONCURRENT_CHANGE: &str = "CONCURRENT_CHANGE";
/// The server as a whole has too much to do; try again later.
pub const TOO_MANY_REQUESTS: &str = "TOO_MANY_REQUESTS";
/// The caller has too many calls in flight; one is, until its answer is read.
pub const TOO_MANY_CALLS: &str = "TOO_MANY_CALLS";
/// The caller makes too many calls a second.
pub const CALL_RATE_EXCEEDED: &str = "CALL_RATE_EXCEEDED";
/// The caller has too many calls that wait, as `RefreshChat` does.
pub const TOO_MANY_WAITING_CALLS: &str = "TOO_MANY_WAITING_CALLS";
/// The caller has too many `WatchChats` streams.
pub const TOO_MANY_WATCHES: &str = "TOO_MANY_WATCHES";
/// The caller has too much of earlier answers to read first.
pub const ANSWERS_NOT_READ: &str = "ANSWERS_NOT_READ";
/// The database or another dependency is away; try again later.
pub const DEPENDENCY_UNAVAILABLE: &str = "DEPENDENCY_UNAVAILABLE";
/// All connections to the database are in use; nothing was changed; try again later.
pub const DATABASE_SATURATED: &str = "DATABASE_SATURATED";
/// The database takes too long for this; nothing was changed.
pub const STATEMENT_TIMEOUT: &str = "STATEMENT_TIMEOUT";
/// Another change holds for too long what this one needs; nothing was changed; try again.
pub const LOCK_TIMEOUT: &str = "LOCK_TIMEOUT";
/// The list matches so much, and so little of it that the caller may read, that it takes the
/// database too long: narrow it.
pub const LIST_TOO_BROAD: &str = "LIST_TOO_BROAD";
/// The call's deadline passed.
pub const DEADLINE: &str = "DEADLINE";
/// Our fault.
pub const INTERNAL: &str = "INTERNAL";
