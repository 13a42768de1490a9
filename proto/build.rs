//! Compiles the `.proto` files with `protox`, so that no `protoc` is needed.

use std::{collections::BTreeSet, env, path::PathBuf};

use prost::Message as _;

const PROTO_FILES: [&str; 5] = [
    "chat/v1/chat_service.proto",
    "chat/v1/git_account_service.proto",
    "chat/v1/sync_service.proto",
    "chat/v1/sync_admin_service.proto",
    "gitsync/v1/worker_service.proto",
];

/// What holds a secret, wherever it is.
const SECRET_FIELDS: [&str; 3] = ["access_token", "refresh_token", "password"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=chat");
    println!("cargo:rerun-if-changed=gitsync");
    let descriptors = protox::compile(PROTO_FILES, ["."])?;
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(out_dir.join("descriptor.bin"), descriptors.encode_to_vec())?;
    // A message that holds a secret, itself or further inside, has no `Debug`: none can be logged by
    // accident.
    let mut secret = BTreeSet::new();
    loop {
        let known = secret.len();
        for file in &descriptors.file {
            for message in &file.message_type {
                let is_secret = message.field.iter().any(|field| {
                    SECRET_FIELDS.contains(&field.name()) || secret.contains(field.type_name())
                });
                if is_secret {
                    secret.insert(format!(".{}.{}", file.package(), message.name()));
                }
            }
        }
        if secret.len() == known {
            break;
        }
    }
    tonic_prost_build::configure()
        .btree_map(".")
        .skip_debug(secret)
        .compile_fds(descriptors)?;
    Ok(())
}
