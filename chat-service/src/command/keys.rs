//! `chat-service keys generate`: new keys as files, readable by their owner only.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use pem::{EncodeConfig, LineEnding, Pem};
use secrecy::{ExposeSecret as _, SecretString};

use crate::accounts::seal::KeyRing;

/// Writes an Ed25519 key pair in PEM, `jwt.key` for the issuer of tokens and `jwt.pub` for the services,
/// and a key ring, `seal.keys`, into `dir`, which is made if it is not there.
///
/// # Errors
///
/// When a file is there already or cannot be written, or no key can be made.
pub fn generate(dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let private = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new())?;
    let pair = Ed25519KeyPair::from_pkcs8(private.as_ref())?;
    let public = pair.public_key().as_der()?;
    write(dir, "jwt.key", &pem("PRIVATE KEY", private.as_ref()))?;
    write(dir, "jwt.pub", &pem("PUBLIC KEY", public.as_ref()))?;
    write(dir, "seal.keys", &KeyRing::generate_file_text())
}

fn pem(label: &str, der: &[u8]) -> SecretString {
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), lines).into()
}

fn write(dir: &Path, name: &str, text: &SecretString) -> anyhow::Result<()> {
    let path = dir.join(name);
    let named = |error: io::Error| anyhow::anyhow!("{}: {error}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(named)?;
    file.write_all(text.expose_secret().as_bytes())
        .map_err(named)
}
