//! The user that PostgreSQL runs as.

use std::{
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::StartError;
use crate::process::output;

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

/// The user to run PostgreSQL as, which refuses to run as root; `None` if this process is not root.
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

/// Has a command run as `user`, if that is another one than ours.
pub(super) fn become_user(command: &mut Command, user: Option<User>) {
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
}

/// The first directory on the way to `directory` that a user cannot enter. It is tried, since modes
/// do not tell of access lists.
pub(super) async fn closed_to(user: User, directory: &Path) -> Option<PathBuf> {
    if enters(user, directory).await {
        return None;
    }
    let mut way: Vec<&Path> = directory.ancestors().collect();
    way.reverse();
    for above in way {
        if !enters(user, above).await {
            return Some(above.to_owned());
        }
    }
    Some(directory.to_owned())
}

async fn enters(user: User, directory: &Path) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", ":"]).current_dir(directory);
    become_user(&mut command, Some(user));
    output(command, Stdio::null()).await.is_ok()
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
