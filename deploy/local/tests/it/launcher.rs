//! A running launcher in a place of its own, and everything that belongs to it.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use testkit::{
    process::{Process, Signal, binaries, command},
    wait::{until, within},
};

/// A machine that is busy with other tests takes its time.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);

/// A directory of one test, removed with it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        let name = format!("local-it-{}", uuid::Uuid::now_v7().simple());
        let place = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(place.temporary()).unwrap();
        // The database's user has to pass, and to leave a sign.
        fs::set_permissions(&place.0, fs::Permissions::from_mode(0o777)).unwrap();
        place
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Appears when a program is stuck.
    pub(crate) fn sign(&self) -> PathBuf {
        self.file("sign")
    }

    /// What the launcher takes for the machine's directory of temporary files.
    fn temporary(&self) -> PathBuf {
        self.file("tmp")
    }

    /// What is in it.
    pub(crate) fn temporary_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.temporary()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// A program that does what `script` says.
    pub(crate) fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// The processes that belong to this place: that have it in their arguments, or are in it.
    /// Those that are dead and not yet reaped are none.
    pub(crate) fn processes(&self) -> Vec<String> {
        let ours = |path: &Path| -> Option<String> {
            let stat = fs::read_to_string(path.join("stat")).ok()?;
            if stat.rsplit_once(") ")?.1.starts_with(['Z', 'X']) {
                return None;
            }
            let arguments = fs::read(path.join("cmdline")).ok()?;
            let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
            let at = fs::read_link(path.join("cwd")).unwrap_or_default();
            let name = self.0.to_str()?;
            (arguments.contains(name) || at.starts_with(&self.0))
                .then(|| format!("{}: {arguments}", path.display()))
        };
        let entries = fs::read_dir("/proc").unwrap();
        entries
            .filter_map(|entry| ours(&entry.unwrap().path()))
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A script that goes on for ever with a child of its own, after it has left its sign; what it was
/// to make, it has begun.
pub(crate) fn stuck(place: &Place) -> String {
    format!(
        r#"
for last; do :; done
case "$last" in /*) mkdir -p "$last" && : >"$last/jwt.key" ;; esac
cd {}
sleep 600 &
: >sign
wait
"#,
        place.0.display()
    )
}

/// A program like `real` that is stuck when its first argument is `first`.
pub(crate) fn stuck_at(place: &Place, first: &str, real: &Path) -> PathBuf {
    let script = format!(
        r#"if [ "$1" != {first} ]; then exec {} "$@"; fi{}"#,
        real.display(),
        stuck(place)
    );
    place.program("chat-service", &script)
}

/// A launcher in a place, with real services unless a test replaces them.
pub(crate) struct Launcher<'a> {
    place: &'a Place,
    variables: Vec<(&'static str, OsString)>,
    flags: Vec<String>,
}

impl<'a> Launcher<'a> {
    pub(crate) fn at(place: &'a Place) -> Self {
        Self {
            place,
            variables: vec![
                ("CHAT_SERVICE_BIN", binaries().chat_service.clone().into()),
                (
                    "GITSYNC_SERVICE_BIN",
                    binaries().gitsync_service.clone().into(),
                ),
            ],
            flags: Vec::new(),
        }
    }

    /// With another value for a variable.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.into()));
        self
    }

    /// Without a variable.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self
    }

    pub(crate) fn flag(self, flag: &str, value: &Path) -> Self {
        self.argument(flag, &value.display().to_string())
    }

    pub(crate) fn argument(mut self, flag: &str, value: &str) -> Self {
        self.flags.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    pub(crate) fn start(self) -> Process {
        let mut launcher = command(env!("CARGO_BIN_EXE_local"));
        self.configure(&mut launcher);
        launcher.args(self.arguments());
        Process::spawn("local", launcher).unwrap()
    }

    /// Starts it at a terminal, which writes what it shows into a file.
    pub(crate) fn start_at_a_terminal(self, typescript: &Path) -> Process {
        let mut script = command("script");
        self.configure(&mut script);
        let launcher = env!("CARGO_BIN_EXE_local");
        let line = format!("{launcher} {}", self.arguments().join(" "));
        script
            .env("TERM", "xterm")
            .args(["--quiet", "--return", "--flush", "--command", &line])
            .arg(typescript);
        Process::spawn("script", script).unwrap()
    }

    fn arguments(&self) -> Vec<String> {
        let ports = ["--port", "0", "--gitsync-port", "0"].map(str::to_owned);
        [&ports[..], &self.flags].concat()
    }

    fn configure(&self, launcher: &mut Command) {
        if let Some(programs) = std::env::var_os("TESTKIT_POSTGRES_BIN") {
            launcher.env("TESTKIT_POSTGRES_BIN", programs);
        }
        launcher
            .env("TMPDIR", self.place.temporary())
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
    }
}

/// Waits until the launcher prints a line that begins so.
pub(crate) async fn says(launcher: &mut Process, beginning: &str) {
    within(PATIENCE, beginning, || {
        let said = launcher.lines();
        let ended = launcher.ended().unwrap();
        async move {
            match said.iter().any(|line| line.starts_with(beginning)) {
                true => Ok(()),
                false => Err((ended, said)),
            }
        }
    })
    .await;
}

/// Waits until a file is there.
pub(crate) async fn appears(path: &Path) {
    within(PATIENCE, &path.display().to_string(), || async {
        path.exists().then_some(()).ok_or("not there")
    })
    .await;
}

/// Asks the launcher to end, and asserts that it does so in order and leaves nothing behind.
pub(crate) async fn ends_without_a_trace(launcher: Process, place: &Place, signal: Signal) {
    let mut launcher = launcher;
    launcher.signal(signal).unwrap();
    let status = launcher.wait().await;
    assert!(status.success(), "{status}: {}", launcher.tail(20));
    assert_eq!(place.temporary_files(), Vec::<PathBuf>::new());
    // Guards notice the end of the launcher, and need a moment to see it.
    until("no process is left", || async {
        let left = place.processes();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}
