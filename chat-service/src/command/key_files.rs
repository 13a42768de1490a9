//! `chat-service keys generate`: new keys as files, readable by their owner only.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use secrecy::ExposeSecret as _;

use super::keys::TokenKeyPair;
use crate::accounts::seal::KeyRing;

/// Writes `jwt.key`, `jwt.pub` and `seal.keys` into `dir`, which is made if it is not there.
///
/// # Errors
///
/// When a file is there already or cannot be written, or no key can be made.
pub fn generate(dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let pair = TokenKeyPair::generate()?;
    write(&dir.join("jwt.key"), pair.private_pem.expose_secret())?;
    write(&dir.join("jwt.pub"), &pair.public_pem)?;
    write(
        &dir.join("seal.keys"),
        KeyRing::generate_file_text().expose_secret(),
    )?;
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let named = |error: io::Error| anyhow::anyhow!("{}: {error}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(named)?;
    file.write_all(text.as_bytes()).map_err(named)
}
