//! Compiles the `.proto` files with `protox`, so that no `protoc` is needed.

#[path = "build/secret.rs"]
mod secret;

use std::{env, path::PathBuf};

use prost::Message as _;
use protox::prost_reflect::DescriptorPool;

const PROTO_FILES: [&str; 6] = [
    "chat/v1/chat_service.proto",
    "chat/v1/git_account_service.proto",
    "chat/v1/sync_service.proto",
    "chat/v1/sync_admin_service.proto",
    "gitsync/v1/worker_service.proto",
    "externalscaler/externalscaler.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=chat");
    println!("cargo:rerun-if-changed=externalscaler");
    println!("cargo:rerun-if-changed=gitsync");
    let descriptors = protox::compile(PROTO_FILES, ["."])?;
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(out_dir.join("descriptor.bin"), descriptors.encode_to_vec())?;
    let pool = DescriptorPool::from_file_descriptor_set(descriptors.clone())?;
    let secret = secret::secret_messages(&pool);
    tonic_prost_build::configure()
        .btree_map(".")
        // Cloned when a call is repeated.
        .bytes(".chat.v1.Diff.content")
        .skip_debug(secret.iter().map(|name| format!(".{name}")))
        .compile_fds(descriptors)?;
    Ok(())
}
