use crate::reaper::{self, MARK, Scratch};
use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a started program may see of the developer's environment. Settings of the shell (`STEWARD__...`, `PG...`,
/// proxies) must not decide whether a test passes.
const INHERITED: [&str; 9] =
    ["PATH", "HOME", "USER", "LANG", "CI", "XDG_CACHE_HOME", "RUST_LOG", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"];

/// A program and how to start and stop it, ready for [`Process::start`](crate::Process::start).
#[derive(Debug, Clone)]
pub struct Program {
    file: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    pub(crate) patience: Duration,
    pub(crate) last_signal: Signal,
}

impl Program {
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            args: Vec::new(),
            env: Vec::new(),
            folder: None,
            patience: Duration::from_secs(30),
            last_signal: Signal::SIGKILL,
        }
    }

    /// A binary of this workspace, from the target folder that the running test was built into.
    ///
    /// # Errors
    /// When it has not been built: cargo builds the binaries of other packages only when asked to.
    pub fn built(name: &str) -> Result<Self> {
        let test = std::env::current_exe()?;
        // target/<profile>/deps/<test>-<hash>
        let folder = test.parent().and_then(Path::parent).context("the test runs outside of a target folder")?;
        let file = folder.join(name);
        if !file.exists() {
            bail!("{} does not exist; build it first: cargo build --bin {name}", file.display());
        }
        Ok(Self::new(file))
    }

    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub fn envs<N: Into<OsString>, V: Into<OsString>>(mut self, env: impl IntoIterator<Item = (N, V)>) -> Self {
        self.env.extend(env.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// The folder it runs in.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// How long [`Process::terminate`](crate::Process::terminate) waits for it. 30 seconds unless told.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The signal of a drop, for what leaves things behind when it is simply killed.
    #[must_use]
    pub(crate) fn last_signal(mut self, signal: Signal) -> Self {
        self.last_signal = signal;
        self
    }

    /// The last part of the path, for messages and for the names of folders.
    pub fn name(&self) -> String {
        self.file.file_name().map_or_else(|| "program".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// The command, in a process group of its own, and the mark that its descendants inherit.
    pub(crate) fn command(&self, temporary: &Path) -> (Command, String) {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let mark = reaper::mark(STARTED.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new(&self.file);
        command.env_clear().stdin(Stdio::null()).process_group(0);
        command.envs(INHERITED.iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value))));
        command.args(&self.args).envs(self.env.iter().cloned());
        command.env("TMPDIR", temporary).env(MARK, &mark);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        (command, mark)
    }

    /// Runs it to its end and returns what it printed on standard output.
    ///
    /// # Errors
    /// When it cannot be started, takes longer than `within`, or fails; the message then holds all that it printed.
    pub async fn run(&self, within: Duration) -> Result<String> {
        let scratch = Scratch::new("run")?;
        let mut command = tokio::process::Command::from(self.command(scratch.path()).0);
        let name = self.name();
        let output = tokio::time::timeout(within, command.kill_on_drop(true).output()).await;
        let output = output.with_context(|| format!("{name} did not end within {within:?}"))?;
        let output = output.with_context(|| format!("cannot start {}", self.file.display()))?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("{name} {:?}: {}\n{printed}{}", self.args, output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(printed)
    }
}
