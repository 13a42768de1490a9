//! The contract between the services and with their clients: the messages and services of `proto/`,
//! their descriptors for reflection, the stable reasons of errors, the bounds of texts and
//! messages, and the words of the sync contract as types.
//!
//! Nothing here does I/O or knows a rule of either service.

pub mod bounds;
pub mod reason;
pub mod sync;

#[allow(
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
mod generated {
    pub mod chat {
        pub mod v1 {
            tonic::include_proto!("chat.v1");
        }
    }

    pub mod gitsync {
        pub mod v1 {
            tonic::include_proto!("gitsync.v1");
        }
    }

    pub mod externalscaler {
        tonic::include_proto!("externalscaler");
    }
}

/// `chat.v1`: chats, git accounts, and the work that gitsync-service leases.
pub use generated::chat;
/// `externalscaler`: KEDA's contract, by which it learns how many workers the due work needs.
pub use generated::externalscaler;
/// `gitsync.v1`: the state of one worker.
pub use generated::gitsync;

/// All files of the contract with their imports and comments, encoded as a
/// `google.protobuf.FileDescriptorSet`, for server reflection and for tests.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));
