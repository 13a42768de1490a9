//! Files that a test hands to a process, and replaces while it runs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// A file of its own in the system's temporary directory; gone when it is dropped.
#[derive(Debug)]
pub struct TempFile(PathBuf);

impl TempFile {
    /// A new file with this content.
    pub fn new(content: &str) -> Self {
        let file = Self(std::env::temp_dir().join(format!("testkit-{}", Uuid::now_v7())));
        file.write(content);
        file
    }

    /// Puts another file in its place, as Kubernetes does: a reader sees the one or the other.
    pub fn replace(&self, content: &str) {
        let next = Self::new(content);
        fs::rename(&next.0, &self.0).expect("replace a file");
    }

    /// Writes over it in place, as a careless copy does.
    pub fn write(&self, content: &str) {
        fs::write(&self.0, content).expect("write a file");
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The same as text, as settings name it.
    pub fn name(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // One that was renamed is gone already.
        let _ = fs::remove_file(&self.0);
    }
}
