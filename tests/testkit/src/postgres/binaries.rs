//! Finds the programs `initdb` and `postgres`, and the user who may run them.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{StartError, embedded};

/// Names the directory of `initdb` and `postgres`, before all other places; or says
/// [`EMBEDDED`].
const DIRECTORY_VARIABLE: &str = "TESTKIT_POSTGRES_BIN";

/// Asks for the prebuilt server, even where one is installed.
const EMBEDDED: &str = "embedded";

/// Where Debian and its kin put the server, which is not in `PATH` there.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A directory with the two programs.
#[derive(Clone, Debug)]
pub(super) struct Binaries(PathBuf);

impl Binaries {
    /// Looks at the variable, `PATH`, the usual places, and at last fetches a prebuilt server.
    pub(super) async fn find() -> Result<Self, StartError> {
        match std::env::var_os(DIRECTORY_VARIABLE) {
            Some(named) if named == EMBEDDED => {}
            Some(named) => {
                let directory = PathBuf::from(named);
                return Self::at(&directory).ok_or(StartError::NotInDirectory {
                    variable: DIRECTORY_VARIABLE,
                    directory,
                });
            }
            None => {
                if let Some(found) = installed() {
                    return Ok(found);
                }
            }
        }
        let directory = embedded::fetch()
            .await
            .map_err(|source| StartError::NoBinaries {
                source: Box::new(source),
            })?;
        Self::at(&directory).ok_or(StartError::NotInDirectory {
            variable: "the fetched package",
            directory,
        })
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.0.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.0.join("postgres")
    }

    fn at(directory: &Path) -> Option<Self> {
        let found = Self(directory.to_owned());
        (found.initdb().is_file() && found.postgres().is_file()).then_some(found)
    }
}

fn installed() -> Option<Binaries> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find_map(|directory| Binaries::at(&directory))
        .or_else(|| {
            let mut versions: Vec<PathBuf> = std::fs::read_dir(DEBIAN)
                .ok()?
                .filter_map(|entry| Some(entry.ok()?.path()))
                .collect();
            // The newest; a version before 10 is out of the question.
            versions.sort_by_key(|path| {
                path.file_name()
                    .and_then(|name| name.to_str()?.parse::<u32>().ok())
            });
            versions
                .iter()
                .rev()
                .find_map(|version| Binaries::at(&version.join("bin")))
        })
}

/// A user and its main group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Whether this process runs as root.
pub(super) fn we_are_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// PostgreSQL refuses to run as root: whom to become instead, if we are.
pub(super) fn user_to_become() -> Result<Option<User>, StartError> {
    if !we_are_root() {
        return Ok(None);
    }
    let path = Path::new("/etc/passwd");
    let passwd = std::fs::read_to_string(path).map_err(StartError::io("read", path))?;
    find_user(&passwd, "postgres")
        .or_else(|| find_user(&passwd, "nobody"))
        .map(Some)
        .ok_or(StartError::NoUser)
}

/// The owner of what a former start made, if we are root and so cannot be it.
pub(super) fn owner_to_become(path: &Path) -> Result<Option<User>, StartError> {
    let owner = std::fs::metadata(path).map_err(StartError::io("look at", path))?;
    Ok(we_are_root().then(|| User {
        uid: owner.uid(),
        gid: owner.gid(),
    }))
}

/// Looks a user up in the text of `/etc/passwd`.
fn find_user(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let _password = fields.next()?;
        Some(User {
            uid: fields.next()?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n\
                      postgresql:x:7:7::/:/bin/sh\n\
                      postgres:x:101:104:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(
            find_user(passwd, "postgres"),
            Some(User { uid: 101, gid: 104 })
        );
        assert_eq!(find_user(passwd, "nobody"), None);
    }
}
