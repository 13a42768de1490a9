//! Compiles the `.proto` files with `protox`, so that no `protoc` is needed.

use std::{env, path::PathBuf};

use prost::Message as _;

const PROTO_FILES: [&str; 5] = [
    "chat/v1/chat_service.proto",
    "chat/v1/git_account_service.proto",
    "chat/v1/sync_service.proto",
    "chat/v1/sync_admin_service.proto",
    "gitsync/v1/worker_service.proto",
];

/// Messages that hold a secret, and those that hold such messages: none of them has `Debug`, so
/// none can be logged by accident.
const SECRET_MESSAGES: [&str; 5] = [
    ".chat.v1.LinkGitAccountRequest",
    ".chat.v1.LeaseDiffStatusesResponse",
    ".chat.v1.Lease",
    ".chat.v1.LeaseGroup",
    ".chat.v1.Credential",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=chat");
    println!("cargo:rerun-if-changed=gitsync");
    let descriptors = protox::compile(PROTO_FILES, ["."])?;
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(out_dir.join("descriptor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .btree_map(".")
        .skip_debug(SECRET_MESSAGES)
        .compile_fds(descriptors)?;
    Ok(())
}
