//! Finds the programs `initdb` and `postgres`.

use std::{
    cmp::Reverse,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    StartError, embedded,
    user::{User, become_user, user_to_become},
};
use crate::process::output;

/// Names the directory of `initdb` and `postgres`, before all other places; or asks for a prebuilt
/// server, even where one is installed.
const DIRECTORY_VARIABLE: &str = "TESTKIT_POSTGRES_BIN";

/// Where Debian and its kin put the server, which is not in `PATH` there.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A directory with the two programs.
#[derive(Clone, Debug)]
pub(super) struct Binaries(PathBuf);

impl Binaries {
    /// Looks at the variable, `PATH`, the usual places, and at last fetches a prebuilt server. What
    /// is found but cannot be run is passed over for the next place, unless the variable names it.
    pub(super) async fn find() -> Result<Self, StartError> {
        let mut passed_over = Vec::new();
        let named = std::env::var_os(DIRECTORY_VARIABLE);
        let asked_for = named.as_ref().and_then(|named| named.to_str());
        let asked_for = asked_for.and_then(embedded::Version::asked_for);
        match named {
            Some(_) if asked_for.is_some() => {}
            Some(named) => {
                let directory = PathBuf::from(named);
                return Self::at(&directory).ok_or(StartError::NotInDirectory {
                    variable: DIRECTORY_VARIABLE,
                    directory,
                });
            }
            None => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let found = Self::first_that_runs(places(&path), &mut passed_over).await?;
                if let Some(found) = found {
                    return Ok(found);
                }
            }
        }
        let directory = embedded::fetch(asked_for.unwrap_or(embedded::DEFAULT))
            .await
            .map_err(|error| StartError::NoBinaries {
                cause: error.to_string(),
                passed_over,
            })?;
        Self::at(&directory).ok_or(StartError::NotInDirectory {
            variable: "the fetched package",
            directory,
        })
    }

    async fn first_that_runs(
        places: Vec<PathBuf>,
        passed_over: &mut Vec<String>,
    ) -> Result<Option<Self>, StartError> {
        let user = user_to_become()?;
        for found in places.iter().filter_map(|place| Self::at(place)) {
            match found.run(user).await {
                Ok(()) => return Ok(Some(found)),
                Err(problem) => passed_over.push(problem),
            }
        }
        Ok(None)
    }

    /// Tries both programs, as the user that will run them.
    async fn run(&self, user: Option<User>) -> Result<(), String> {
        for program in [self.initdb(), self.postgres()] {
            let mut command = Command::new(&program);
            command.arg("--version").current_dir("/");
            become_user(&mut command, user);
            let path = program.display();
            match output(command, Stdio::null()).await {
                Ok(output) if output.status.success() => {}
                Ok(output) => return Err(format!("{path} ends with {}", output.status)),
                Err(error) => return Err(format!("{path} cannot be run: {error}")),
            }
        }
        Ok(())
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

/// Where an installed server may be: `path`, and Debian's places.
fn places(path: &OsStr) -> Vec<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    // The newest first; a version before 10 is out of the question.
    versions.sort_by_key(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        Reverse(name.and_then(|name| name.parse::<u32>().ok()))
    });
    let versions = versions.iter().map(|version| version.join("bin"));
    std::env::split_paths(path).chain(versions).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A directory that every user can enter, with programs of these scripts and modes.
    fn directory(name: &str, programs: &[(&str, &str, u32)]) -> PathBuf {
        let id = uuid::Uuid::now_v7().simple();
        let directory = std::env::temp_dir().join(format!("binaries-{name}-{id}"));
        std::fs::create_dir(&directory).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&directory, mode).unwrap();
        for (program, script, mode) in programs {
            let path = directory.join(program);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            let mode = std::fs::Permissions::from_mode(*mode);
            std::fs::set_permissions(&path, mode).unwrap();
        }
        directory
    }

    #[tokio::test]
    async fn a_program_that_cannot_be_run_is_passed_over_for_the_next_place() {
        let closed = directory("closed", &[("initdb", "", 0o600), ("postgres", "", 0o755)]);
        let broken = directory(
            "broken",
            &[("initdb", "", 0o755), ("postgres", "exit 3", 0o755)],
        );
        let half = directory("half", &[("initdb", "", 0o755)]);
        let whole = directory("whole", &[("initdb", "", 0o755), ("postgres", "", 0o755)]);
        let places = [&closed, &broken, &half, &whole].map(Clone::clone);
        let mut passed_over = Vec::new();
        let found = Binaries::first_that_runs(places.to_vec(), &mut passed_over).await;
        assert_eq!(found.unwrap().unwrap().initdb(), whole.join("initdb"));
        for place in &places {
            std::fs::remove_dir_all(place).unwrap();
        }
        assert_eq!(passed_over.len(), 2, "{passed_over:?}");
        let initdb = closed.join("initdb");
        let problem = format!("{} cannot be run: Permission denied", initdb.display());
        assert!(passed_over[0].starts_with(&problem), "{passed_over:?}");
        assert!(passed_over[1].ends_with("postgres ends with exit status: 3"));
    }
}
