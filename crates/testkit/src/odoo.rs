use crate::{OdooApi, OdooUser, Postgres, Process, Program, Scratch, Tool, free_port};
use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Twelve seconds are usual; beside builds and other servers it takes its time.
const PATIENCE: Duration = Duration::from_secs(120);
const DATABASE: &str = "odoo";

/// A real Odoo 19 Community: stock, purchasing, sales orders and automation rules, one company, no demo data, three people
/// ([`OdooUser`](crate::OdooUser)). Ready in about twelve seconds.
///
/// Its scheduled actions do not run: some of them call Odoo's own servers. Automation rules and their webhooks do.
#[derive(Debug)]
pub struct Odoo {
    process: Process,
    api: OdooApi,
    installed: PathBuf,
    _scratch: Scratch,
}

impl Odoo {
    /// With a database of its own on that server, which must outlive it; a server can hold one.
    pub async fn start(postgres: &Postgres) -> Result<Self> {
        let program = Tool::Odoo.find().context("Odoo is not installed")?;
        let installed = program.ancestors().nth(2).context("Odoo lies in no folder")?.to_owned();
        let scratch = Scratch::new("odoo")?;
        postgres.create_database(DATABASE).await?;
        restore(postgres.port(), &installed, scratch.path()).await?;
        let port = free_port();
        let settings = [
            format!("--database={DATABASE}"),
            "--db_host=127.0.0.1".to_owned(),
            format!("--db_port={}", postgres.port()),
            "--db_user=steward".to_owned(),
            format!("--data-dir={}", scratch.path().display()),
            "--http-interface=127.0.0.1".to_owned(),
            format!("--http-port={port}"),
            "--workers=0".to_owned(),
            "--max-cron-threads=0".to_owned(),
        ];
        let program = Program::new(program).args(["server".to_owned()]).args(settings).folder(scratch.path());
        let api = OdooApi::new(format!("http://127.0.0.1:{port}"), DATABASE, &installed.join("keys.json"))?;
        let mut odoo = Self { process: Process::start(program)?, api, installed, _scratch: scratch };
        odoo.wait_ready().await?;
        Ok(odoo)
    }

    /// Without a slash at its end.
    pub fn base_url(&self) -> &str {
        self.api.base_url()
    }

    /// A client that outlives every stop, for whoever looks at what stands in Odoo.
    pub fn api(&self) -> &OdooApi {
        &self.api
    }

    /// Makes it tell of stock and of answers: the rules and the right of `deploy/odoo/README.md`, by running the scripts
    /// there as an administrator would, with names and secrets filled in. `hook` is where the rules post to.
    pub async fn follow_readme(&self, hook: &str) -> Result<()> {
        let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/odoo/README.md");
        let readme = std::fs::read_to_string(readme)?;
        let scripts = readme.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next());
        let mut script = scripts.collect::<Vec<_>>().join("\n");
        let account = format!("\"{DATABASE}\", \"admin\", \"{}\"", self.api.key(OdooUser::Admin));
        for (placeholder, value) in [
            ("https://odoo.example.com", self.base_url()),
            ("\"odoo\", \"admin\", \"KEY\"", &account),
            ("https://odoo:SECRET@steward.example.com/supply/v1/hooks/odoo", hook),
        ] {
            ensure!(script.contains(placeholder), "the script does not say {placeholder}");
            script = script.replace(placeholder, value);
        }
        Program::new(self.installed.join("bin/python")).args(["-c", &script]).run(PATIENCE).await.map(drop)
    }

    /// As an operator would: running requests may end.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.end_with(Signal::SIGTERM).await?;
        Ok(())
    }

    /// In the middle of whatever it does; PostgreSQL rolls back what was not committed.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// On the same port and database.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process.start_again()?;
        self.wait_ready().await
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let url = format!("{}/web/health", self.api.base_url());
        self.process.wait_ready(&url, PATIENCE).await
    }
}

/// The initialised database, and its attachments where Odoo looks for them.
async fn restore(port: u16, installed: &Path, data: &Path) -> Result<()> {
    let server = Tool::Postgres.find().context("PostgreSQL is not installed")?;
    let pg_restore = Program::new(server.with_file_name("pg_restore"));
    let place = ["-h", "127.0.0.1", "-U", "steward", "-d", DATABASE, "-p", &port.to_string()].map(str::to_owned);
    let pg_restore = pg_restore.args(["--no-owner", "--exit-on-error", "--jobs=2"]).args(place);
    pg_restore.args([installed.join("database.dump")]).run(PATIENCE).await?;
    let attachments = data.join("filestore");
    std::fs::create_dir(&attachments)?;
    let copied = tokio::process::Command::new("cp")
        .arg("-r")
        .args([installed.join("filestore"), attachments.join(DATABASE)])
        .status()
        .await?;
    ensure!(copied.success(), "the attachments could not be copied: {copied}");
    Ok(())
}
