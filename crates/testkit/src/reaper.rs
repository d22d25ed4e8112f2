//! Ends what a test left behind when its process died before any destructor could run.

use anyhow::{Context as _, Result};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use tempfile::TempDir;

/// The environment variable that marks every process started by this crate, and by inheritance all its descendants.
/// Process groups alone do not hold them: epmd and chromium start groups of their own.
pub(crate) const MARK: &str = "STEWARD_TESTKIT";

/// Reads what to end and what to remove from its standard input, and does so when the other side is gone.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
groups= folders=
while read -r verb what; do
  case $verb in
    started) groups="$groups $what" ;;
    ended) groups=$(for group in $groups; do [ "$group" = "$what" ] || printf '%s ' "$group"; done) ;;
    folder) folders="$folders $what" ;;
  esac
done
# A second for those who tidy up: PostgreSQL, killed outright, leaves a shared memory segment behind.
alive=
for group in $groups; do kill -TERM "-$group" && alive=yes; done
[ -z "$alive" ] || sleep 1
for group in $groups; do kill -KILL "-$group"; done
for environ in $(grep -lz "^$0=$1[.]" /proc/[0-9]*/environ); do
  process=${environ#/proc/}
  kill -KILL "${process%/environ}"
done
rm -rf $folders || { sleep 1; rm -rf $folders; }
"#;

/// One shell per test process, in a process group of its own so that Ctrl-C does not reach it. `None` where it could
/// not be started: then only destructors clean up.
static REAPER: LazyLock<Option<Mutex<ChildStdin>>> = LazyLock::new(|| {
    let mut shell = Command::new("/bin/sh");
    // Without the mark that a test kit above us may have set: it would end the shell together with us.
    shell.args(["-c", SCRIPT, MARK, &RUN]).env_remove(MARK).process_group(0);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().ok()?.stdin.take().map(Mutex::new)
});

/// Tells this test process from every other, also from a later one with the same process id.
static RUN: LazyLock<String> =
    LazyLock::new(|| format!("{}-{:x}", std::process::id(), RandomState::new().hash_one(std::process::id())));

/// The mark of the `number`th process of this run.
pub(crate) fn mark(number: u64) -> String {
    format!("{}.{number}", *RUN)
}

fn tell(line: &str) {
    if let Some(reaper) = &*REAPER {
        let _ = reaper.lock().unwrap_or_else(PoisonError::into_inner).write_all(format!("{line}\n").as_bytes());
    }
}

pub(crate) fn group_started(leader: i32) {
    tell(&format!("started {leader}"));
}

pub(crate) fn group_ended(leader: i32) {
    tell(&format!("ended {leader}"));
}

/// A temporary folder that is removed when dropped, and also when the test process is killed: a small shell waits for
/// the end of the process and removes what is left. It ends left-over servers in the same way, so a server may be kept
/// in a `static`, which Rust never drops.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// `what` and the id of the test process become part of the folder's name, for the eyes of whoever debugs.
    pub fn new(what: &str) -> Result<Self> {
        let prefix = format!("steward-{what}-{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir();
        let folder = folder.context("cannot create a temporary folder")?;
        tell(&format!("folder {}", folder.path().display()));
        Ok(Self(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}
