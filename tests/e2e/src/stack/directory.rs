//! The files of one stack.

use std::path::PathBuf;

/// Keys and tokens of one stack; removed when it is dropped.
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Has all that is printed searched for the keys.
    pub(super) fn note_keys(&self) {
        for (what, name) in [("a private key", "jwt.key"), ("a sealing key", "seal.keys")] {
            let keys = std::fs::read_to_string(self.file(name)).expect("read keys");
            testkit::secrets::note_keys(what, &keys);
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
