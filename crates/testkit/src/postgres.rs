use crate::{Process, Program, Scratch, Tool, free_port};
use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// A PostgreSQL server of its own, empty but for the database `postgres`. Ready in about two seconds.
///
/// A commit survives the death of the server, though not of the machine, unless [`Postgres::start_with`] turns fsync on.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: u16,
    programs: PathBuf,
    data: PathBuf,
    _scratch: Scratch,
}

impl Postgres {
    pub async fn start() -> Result<Self> {
        Self::start_with(&["fsync=off", "full_page_writes=off"]).await
    }

    /// With these settings (`name=value`) beside those that make it private.
    pub async fn start_with(settings: &[&str]) -> Result<Self> {
        let server = Tool::Postgres.find().context("PostgreSQL is not installed")?;
        let programs = server.parent().context("the server is in no folder")?.to_owned();
        let scratch = Scratch::new("postgres")?;
        if geteuid().is_root() {
            let user = User::from_name("postgres")?.context("there is no user `postgres`")?;
            chown(scratch.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let data = scratch.path().join("data");
        let initdb = as_postgres(&programs.join("initdb"), scratch.path());
        let initdb = initdb.args(["--no-sync", "--auth=trust", "--username=steward", "--encoding=UTF8", "--locale=C"]);
        initdb.args(["-D".as_ref(), data.as_os_str()]).run(PATIENCE).await?;

        let port = free_port();
        let listen = format!("port={port}");
        let own = [&listen, "listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"];
        let program = as_postgres(&server, scratch.path()).args(["-D".as_ref(), data.as_os_str()]);
        let program = program.args(own.iter().chain(settings).flat_map(|setting| ["-c", *setting]));
        // Killed outright, it would leave a shared memory segment behind. SIGQUIT is its "immediate" shutdown.
        let process = Process::start(program.last_signal(Signal::SIGQUIT))?;
        let mut postgres = Self { process, port, programs, data, _scratch: scratch };
        postgres.wait_ready().await?;
        Ok(postgres)
    }

    /// The database `postgres`, as a superuser.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://steward@127.0.0.1:{}/{database}", self.port)
    }

    /// Creates an empty database and returns its URL.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        let createdb = Program::new(self.programs.join("createdb"));
        let port = self.port.to_string();
        createdb.args(["-h", "127.0.0.1", "-p", &port, "-U", "steward", name]).run(PATIENCE).await?;
        Ok(self.url_of(name))
    }

    /// Ends it as an operator would ("fast" shutdown): open transactions are rolled back, connections cut.
    pub async fn stop(&mut self) -> Result<()> {
        let ended = self.process.end_with(Signal::SIGINT).await?;
        ensure!(ended.success(), "PostgreSQL ended with {ended}:\n{}", self.process.log());
        Ok(())
    }

    /// Ends it without farewell ("immediate" shutdown): what was not committed is gone, and the next start recovers.
    pub async fn stop_at_once(&mut self) -> Result<()> {
        self.process.end_with(Signal::SIGQUIT).await?;
        Ok(())
    }

    /// On the same port, with the data it had.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process.start_again()?;
        self.wait_ready().await
    }

    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.start_again().await
    }

    /// All its processes at once; [`start_again`](Self::start_again) recovers from the write-ahead log.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The eighth line of `postmaster.pid` is the state of the server, as `pg_ctl` reads it (since version 10). A file
    /// that a killed server left behind still says "ready", so the first line must name the server of now.
    async fn wait_ready(&mut self) -> Result<()> {
        let lock = self.data.join("postmaster.pid");
        let pid = self.process.pid().context("PostgreSQL has ended")?.to_string();
        let probe = async || {
            let text = fs::read_to_string(&lock)?;
            let mut lines = text.lines().map(str::trim);
            ensure!(lines.next() == Some(&pid), "no lock file of {pid} yet");
            ensure!(lines.nth(6) == Some("ready"), "it says: {text}");
            Ok(())
        };
        self.process.until(PATIENCE, "PostgreSQL is ready", probe).await
    }
}

/// PostgreSQL refuses to run as root. setpriv replaces itself by the server, so the process id stays ours.
fn as_postgres(program: &Path, folder: &Path) -> Program {
    let program = if geteuid().is_root() {
        let setpriv = Program::new("/usr/bin/setpriv").args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
        setpriv.args([program])
    } else {
        Program::new(program)
    };
    program.folder(folder)
}
