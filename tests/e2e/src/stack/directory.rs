//! The files of one stack.

use std::path::PathBuf;

/// Keys and tokens of one stack; removed when it is dropped.
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
