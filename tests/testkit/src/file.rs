//! Files and directories that a test hands to a process, and replaces while it runs.

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

/// A directory of its own in the system's temporary directory; gone, with what is in it, when it is
/// dropped.
#[derive(Debug)]
pub struct TempDirectory(PathBuf);

impl TempDirectory {
    /// A new one, empty.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("testkit-{}", Uuid::now_v7()));
        fs::create_dir(&path).expect("make a directory");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The same as text, as settings name it.
    #[must_use]
    pub fn name(&self) -> String {
        self.0.display().to_string()
    }

    /// A file in it, as settings name it.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Default for TempDirectory {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TempDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
