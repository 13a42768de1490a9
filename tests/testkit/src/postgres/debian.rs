//! Programs of Debian packages, with the libraries of their release, so that they run on any other.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::fetch::{Aside, FetchError, cache_directory, io, run};
use crate::process;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where libraries are, of newer releases first.
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
const LOADER: &str = "ld-linux-x86-64.so.2";

/// The root of unpacked packages.
#[derive(Debug)]
pub(crate) struct Debian(PathBuf);

impl Debian {
    /// The packages of the release `suite`, from the cache under `name` if they are there. They
    /// must include the libraries of the programs, the C library too.
    ///
    /// apt proves their origin by the archive's signature; a digest of our own would be gone with
    /// the next security fix.
    pub(crate) async fn fetch(
        name: &str,
        suite: &str,
        packages: &[&str],
    ) -> Result<Self, FetchError> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Err(FetchError::Platform);
        }
        let cache = cache_directory()?;
        let ready = cache.join(format!("{name}-{suite}"));
        if !ready.exists() {
            let aside = Aside::within(&cache)?;
            let root = unpack(&aside.0, suite, packages).await?;
            aside.keep(&root, &ready)?;
        }
        Ok(Self(ready))
    }

    /// Where a file of the packages is.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// A command that runs a program of the packages, as in `usr/bin/prometheus`, with their
    /// libraries.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut places = LIBRARIES.iter().map(|place| self.0.join(place));
        let libraries = places.find(|place| place.join(LOADER).exists());
        let libraries = libraries.unwrap_or_default();
        let mut command = process::command(libraries.join(LOADER));
        command.arg("--library-path").arg(&libraries);
        command.arg(self.0.join(program));
        command
    }
}

async fn unpack(directory: &Path, suite: &str, wanted: &[&str]) -> Result<PathBuf, FetchError> {
    for name in ["state/lists/partial", "cache/archives/partial", "packages"] {
        let path = directory.join(name);
        std::fs::create_dir_all(&path).map_err(io("create", &path))?;
    }
    let sources = directory.join("sources.list");
    let line = format!("deb [signed-by={KEYRING}] http://deb.debian.org/debian {suite} main\n");
    std::fs::write(&sources, line).map_err(io("write", &sources))?;
    let packages = directory.join("packages");
    run("apt-get update", apt(directory, &["update"]), directory).await?;
    let mut download = apt(directory, &["download"]);
    download.args(wanted);
    run("apt-get download", download, &packages).await?;
    let root = directory.join("root");
    let list = std::fs::read_dir(&packages).map_err(io("list", &packages))?;
    for package in list {
        let package = package.map_err(io("list", &packages))?.path();
        let mut extract = Command::new("dpkg-deb");
        extract.arg("-x").arg(&package).arg(&root);
        run("dpkg-deb", extract, directory).await?;
    }
    Ok(root)
}

/// apt with lists, cache and state of its own: it neither needs nor changes the machine's.
fn apt(directory: &Path, arguments: &[&str]) -> Command {
    let mut apt = Command::new("apt-get");
    for (name, value) in [
        ("Dir::Etc::sourcelist", "sources.list"),
        ("Dir::State", "state"),
        ("Dir::Cache", "cache"),
    ] {
        let path = directory.join(value);
        apt.arg("-o").arg(format!("{name}={}", path.display()));
    }
    for option in [
        "Dir::Etc::sourceparts=-",
        "Dir::State::status=/dev/null",
        "APT::Architecture=amd64",
        "APT::Sandbox::User=root",
    ] {
        apt.args(["-o", option]);
    }
    apt.arg("-qq").args(arguments);
    apt
}
