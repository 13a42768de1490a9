//! The secrets that tests made, so that what processes print can be searched for them.
//!
//! What makes a secret notes it: the GitHub stand-in its tokens, the database its password, clients
//! their bearer tokens, a stack its keys. [`crate::process`] searches all that its processes print,
//! and their metrics, and fails the test that started one that prints a secret.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{LazyLock, PoisonError, RwLock},
};

/// Shorter texts are words, and no secrets.
const LEAST_BYTES: usize = 12;
/// A part of a secret that is found like the whole one: logs cut long values off.
const PART_BYTES: usize = 32;
/// Bytes by which a part is looked up.
const HEAD_BYTES: usize = 8;

static NOTED: LazyLock<RwLock<HashMap<[u8; HEAD_BYTES], Vec<Part>>>> =
    LazyLock::new(RwLock::default);

/// What is searched for.
struct Part {
    what: &'static str,
    text: String,
}

/// Notes a secret; `what` says what it is. A text of fewer than 12 bytes is not treated as a
/// secret.
pub fn note(what: &'static str, secret: &str) {
    if secret.len() < LEAST_BYTES {
        return;
    }
    let mut noted = NOTED.write().unwrap_or_else(PoisonError::into_inner);
    for text in parts(secret) {
        let Some(head) = text.as_bytes().first_chunk() else {
            continue;
        };
        let same = noted.entry(*head).or_default();
        if !same.iter().any(|part| part.text == text) {
            same.push(Part { what, text });
        }
    }
}

/// Notes each line of a file of keys: of PEM the base64, of a key ring the key of each line.
pub fn note_keys(what: &'static str, file: &str) {
    for line in file.lines().filter(|line| !line.starts_with("-----")) {
        let key = line.split_whitespace().next_back();
        note(what, key.unwrap_or_default());
    }
}

/// Which secret of those that were noted so far `text` has, and what stands before it; none if it
/// has none.
pub fn found_in(text: &str) -> Option<String> {
    let noted = NOTED.read().unwrap_or_else(PoisonError::into_inner);
    for (start, head) in text.as_bytes().windows(HEAD_BYTES).enumerate() {
        let head: &[u8; HEAD_BYTES] = head.first_chunk()?;
        for part in noted.get(head).into_iter().flatten() {
            if text.as_bytes()[start..].starts_with(part.text.as_bytes()) {
                let before = text.get(..start).unwrap_or_default();
                return Some(format!("{} is in: {before}***", part.what));
            }
        }
    }
    None
}

/// The secret, or of a long one beginning and end; and its beginning as `Debug` shows bytes.
fn parts(secret: &str) -> Vec<String> {
    let mut parts = match (
        secret.get(..PART_BYTES),
        secret.len().checked_sub(PART_BYTES),
    ) {
        (Some(begin), Some(from)) => {
            let end = secret.get(from..).unwrap_or(secret);
            vec![begin.to_owned(), end.to_owned()]
        }
        _ => vec![secret.to_owned()],
    };
    let mut bytes = String::new();
    for byte in secret.bytes().take(LEAST_BYTES) {
        // Writing to a String cannot fail.
        let _ = write!(bytes, "{byte}, ");
    }
    parts.push(bytes.trim_end_matches(", ").to_owned());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its secrets are noted once for the process: each test has its own.
    fn long() -> String {
        let part = uuid::Uuid::new_v4().simple().to_string();
        format!("ghu_{}", format!("{part}._-").repeat(15))
            .chars()
            .take(520)
            .collect()
    }

    #[test]
    fn a_secret_is_found_wherever_it_is_and_not_repeated() {
        let secret = long();
        assert_eq!(found_in(&secret), None);
        note("a token", &secret);
        for text in [
            secret.clone(),
            format!(r#"{{"fields":{{"token":"{secret}"}}}}"#),
            format!("cut off: {}...", &secret[..40]),
            format!("...{} is its end", &secret[480..]),
            format!("{:?}", secret.as_bytes()),
            format!("Some(SecretString({:?}))", &secret[..100]),
        ] {
            let found = found_in(&text).unwrap();
            assert!(found.starts_with("a token is in: "), "{found}");
            assert!(!found.contains(&secret[..33]), "{found}");
        }
        for text in ["", "ghu_", "a", &long(), &secret[..20]] {
            assert_eq!(found_in(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_is_noted_by_its_lines_and_a_word_not_at_all() {
        let (pem, ring) = (long(), long());
        note_keys(
            "a key",
            &format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n"),
        );
        note_keys("a key", &format!("key-1 {ring}\n"));
        assert!(found_in(&pem).is_some() && found_in(&ring).is_some());
        assert_eq!(found_in("-----BEGIN PRIVATE KEY----- key-1"), None);
        note("a word", "postgres");
        assert_eq!(found_in("postgres"), None);
    }
}
