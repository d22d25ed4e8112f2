use crate::family::{self, Member};
use crate::reaper::{self, Scratch};
use crate::{Program, wait};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// A running program of a test. Ends, with all its descendants, when dropped.
///
/// It sees only what [`Program`] gives it plus a few harmless variables of the environment (`PATH`, `HOME`, `RUST_LOG`,
/// ...), and its `TMPDIR` is a folder that goes away with it.
#[derive(Debug)]
pub struct Process {
    program: Program,
    running: Option<Running>,
    scratch: Scratch,
}

#[derive(Debug)]
struct Running {
    child: Child,
    mark: String,
    family: Vec<Member>,
}

impl Process {
    pub fn start(program: Program) -> Result<Self> {
        let scratch = Scratch::new(&program.name())?;
        let mut process = Self { program, running: None, scratch };
        process.start_again()?;
        Ok(process)
    }

    /// Starts the same program again, after [`terminate`](Self::terminate), [`kill9`](Self::kill9) or its own end.
    /// The log goes on in the same file.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(!self.is_running(), "{} is still running", self.program.name());
        self.running = None;
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let (mut command, mark) = self.program.command(self.scratch.path());
        let child = command.stdout(log.try_clone()?).stderr(log).spawn();
        let child = child.with_context(|| format!("cannot start {}", self.program.name()))?;
        let running = Running { child, mark, family: Vec::new() };
        reaper::group_started(running.pid().as_raw());
        self.running = Some(running);
        Ok(())
    }

    /// The process id, while it runs.
    pub fn pid(&mut self) -> Option<u32> {
        self.alive().map(|running| running.child.id())
    }

    pub fn is_running(&mut self) -> bool {
        self.alive().is_some()
    }

    /// What runs and has not been waited for, so that its process id is still its own.
    fn alive(&mut self) -> Option<&mut Running> {
        let running = self.running.as_mut()?;
        matches!(running.child.try_wait(), Ok(None)).then_some(running)
    }

    /// Waits until a GET of `url` answers 2xx.
    ///
    /// # Errors
    /// When that takes longer than `within` or the program ends first; the message holds the end of its log.
    pub async fn wait_ready(&mut self, url: &str, within: Duration) -> Result<()> {
        crate::install_tls_provider();
        let http = reqwest::Client::new();
        self.until(within, &format!("{url} answers 2xx"), async || {
            let answer = http.get(url).send().await?;
            let status = answer.status();
            ensure!(status.is_success(), "{status}: {}", answer.text().await?);
            Ok(())
        })
        .await
    }

    /// [`poll`](crate::poll), given up as soon as the program has ended.
    pub async fn until<T>(
        &mut self,
        within: Duration,
        what: &str,
        mut probe: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        let name = self.program.name();
        let log = self.log_path();
        let outcome = wait::poll(within, what, async || {
            // An end is final: the inner Err leaves the polling at once.
            if self.is_running() { probe().await.map(Ok) } else { Ok(Err(anyhow!("{name} has ended"))) }
        });
        outcome.await.flatten().with_context(|| format!("the log of {name} ends:\n{}", tail(&log)))
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    /// When it has not ended within its [`patience`](Program::patience); it is killed then.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        self.end_with(Signal::SIGTERM).await
    }

    pub(crate) async fn end_with(&mut self, signal: Signal) -> Result<ExitStatus> {
        self.signal(signal)?;
        let ended = self.wait_exit(self.program.patience).await;
        self.kill9();
        ended.with_context(|| format!("{signal} was not enough"))
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        let name = self.program.name();
        let Some(running) = self.alive() else { bail!("{name} is not running") };
        running.note_family();
        kill(running.pid(), signal).with_context(|| format!("cannot send {signal} to {name}"))
    }

    /// Waits for it to end by itself.
    pub async fn wait_exit(&mut self, within: Duration) -> Result<ExitStatus> {
        let (name, log) = (self.program.name(), self.log_path());
        let Some(running) = &mut self.running else { bail!("{name} is not running") };
        let ended = wait::poll(within, "it ends", async || running.child.try_wait()?.context("it still runs"));
        ended.await.with_context(|| format!("the log of {name} ends:\n{}", tail(&log)))
    }

    /// Ends it and all its descendants at once, as a power cut would.
    pub fn kill9(&mut self) {
        if let Some(running) = self.running.take() {
            running.end();
        }
    }

    /// All that it has printed, standard output and error together, over all its starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    pub fn log_path(&self) -> PathBuf {
        self.scratch.path().join("log")
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the log of a server is gone with it, and a failed test needs it")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the log of {} ends:\n{}\n---", self.program.name(), tail(&self.log_path()));
        }
        if self.program.last_signal != Signal::SIGKILL && self.signal(self.program.last_signal).is_ok() {
            let deadline = Instant::now() + Duration::from_secs(5);
            while self.is_running() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.kill9();
    }
}

impl Running {
    /// The leader of its process group. Linux ids fit: they stay below 2^22.
    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Before any signal: once the leader is gone nobody can tell who its descendants were.
    fn note_family(&mut self) {
        self.family.extend(family::descendants(self.pid()));
    }

    /// Kills the group and whoever left it, and returns when all are gone: the children of PostgreSQL, for one, leave
    /// the group, hide their environment, and hold on to the data folder for a moment longer than their parent.
    fn end(mut self) {
        let leader = self.pid();
        // Before it is waited for: its id, and with it the group's, cannot have been given to anybody else yet.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.note_family();
            let _ = killpg(leader, Signal::SIGKILL);
        }
        let _ = self.child.wait();
        reaper::group_ended(leader.as_raw());
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            // Looked for anew each time: one that was forking while we looked is found by the next look.
            let mut left = family::marked(&self.mark);
            left.extend(self.family.iter().copied().filter(Member::is_alive));
            if left.is_empty() {
                return;
            }
            for member in left {
                let _ = kill(member.pid, Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The last lines of a log: enough to see why a server gave up.
fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
