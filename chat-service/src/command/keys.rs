//! `chat-service keys generate`: new keys as files, readable by their owner only. `chat-service
//! keys reseal`: the last step of a rotation of those that seal.

use std::{
    fs::OpenOptions,
    io::{self, Write},
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

use crate::{
    accounts::{
        reseal::{self, KeyUse},
        seal::KeyRing,
    },
    config::ResealSettings,
    store::{PoolOptions, Store},
};

/// Writes an Ed25519 key pair in PEM, `jwt.key` for the issuer of tokens and `jwt.pub` for the
/// services, and a key ring, `seal.keys`, into `dir`, which is made if it is not there.
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

/// Seals every credential under the first key of the ring. Prints to `out` which key seals how many
/// then, and to `notes` how far it is.
///
/// # Errors
///
/// When the database is away or its schema another one; and when a credential is left that another
/// key seals, so that the key must stay: one that does not open, or that a process which still
/// seals by another key has written. All others are sealed all the same.
pub async fn reseal(
    settings: &ResealSettings,
    out: &mut (dyn Write + Send),
    notes: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let ResealSettings {
        database,
        keys,
        dry_run,
    } = settings;
    let store = Store::new(database.url()?.expose_secret(), &PoolOptions::default())?;
    store.require_current_schema().await?;
    let mut progress = |looked_at, resealed| {
        // The work continues if the progress output cannot be written.
        let _ = writeln!(notes, "looked at {looked_at}, sealed anew {resealed}");
    };
    let usage = reseal::reseal(&store, keys, *dry_run, &mut progress).await?;
    let left = usage.left(keys.active_id());
    let KeyUse {
        credentials,
        resealed,
        unopened,
    } = usage;
    writeln!(out, "sealed anew: {resealed}")?;
    for (key, count) in credentials {
        writeln!(out, "sealed by {key}: {count}")?;
    }
    if *dry_run || left == 0 {
        return Ok(());
    }
    if unopened > 0 {
        anyhow::bail!("{unopened} credentials do not open: their key is not in the ring");
    }
    anyhow::bail!(
        "{left} credentials were sealed by other keys meanwhile; run this again when every process \
         has the ring whose first key is {}",
        keys.active_id()
    )
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
