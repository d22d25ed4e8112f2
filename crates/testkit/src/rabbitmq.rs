use crate::{Process, Program, Scratch, Tool, free_port};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(90);

/// A RabbitMQ node of its own: own data, own cookie, own name service. Ready in about five seconds.
#[derive(Debug)]
pub struct RabbitMq {
    process: Process,
    /// rabbitmqctl with the environment that makes it find this node and no other.
    ctl: Program,
    port: u16,
    _scratch: Scratch,
}

impl RabbitMq {
    pub async fn start() -> Result<Self> {
        let server = Tool::RabbitMq.find().context("RabbitMQ is not installed")?;
        let ctl = server.with_file_name("rabbitmqctl");
        let (scratch, port) = (Scratch::new("rabbitmq")?, free_port());
        let env = environment(scratch.path(), port)?;
        let ctl = Program::new(ctl).envs(env.clone()).folder(scratch.path());
        let program = Program::new(server).envs(env).folder(scratch.path()).patience(PATIENCE);
        let mut rabbitmq = Self { process: Process::start(program)?, ctl, port, _scratch: scratch };
        rabbitmq.wait_ready().await?;
        Ok(rabbitmq)
    }

    /// The default virtual host `/`, as the administrator `guest`.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Creates an empty virtual host that `guest` may use, and returns its URL.
    pub async fn create_virtual_host(&self, name: &str) -> Result<String> {
        // In one call, because each costs a second.
        let create = format!(
            "rabbit_vhost:add(<<\"{name}\">>, <<\"guest\">>), rabbit_auth_backend_internal:set_permissions(\
             <<\"guest\">>, <<\"{name}\">>, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"guest\">>)."
        );
        self.ctl(&["eval", &create]).await?;
        Ok(format!("amqp://guest:guest@127.0.0.1:{}/{name}", self.port))
    }

    /// `rabbitmqctl` against this node; returns what it printed. Costs about a second.
    pub async fn ctl(&self, args: &[&str]) -> Result<String> {
        self.ctl.clone().args(args).run(PATIENCE).await
    }

    /// Raises or clears the memory alarm: while it stands, the broker reads nothing more from who publishes, and says so
    /// (`connection.blocked`).
    pub async fn alarm(&self, raised: bool) -> Result<()> {
        let watermark = if raised { "0.0000001" } else { "0.6" };
        self.ctl(&["set_vm_memory_high_watermark", watermark]).await?;
        Ok(())
    }

    /// Messages in each queue, ready and unacknowledged together.
    pub async fn queues(&self) -> Result<BTreeMap<String, u64>> {
        let table = self.ctl(&["-q", "--no-table-headers", "list_queues", "name", "messages"]).await?;
        let line = |line: &str| {
            let (name, messages) = line.split_once('\t').with_context(|| format!("not a queue: {line:?}"))?;
            Ok((name.to_owned(), messages.trim().parse()?))
        };
        table.lines().filter(|line| !line.trim().is_empty()).map(line).collect()
    }

    pub async fn stop(&mut self) -> Result<()> {
        self.process.terminate().await?;
        Ok(())
    }

    /// On the same port, with its durable queues and persistent messages.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process.start_again()?;
        self.wait_ready().await
    }

    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The listener opens at the end of the boot. A broker that has begun its handshake serves.
    async fn wait_ready(&mut self) -> Result<()> {
        let address = (Ipv4Addr::LOCALHOST, self.port);
        let probe = async || {
            let mut connection = TcpStream::connect(address).await?;
            connection.write_all(b"AMQP\x00\x00\x09\x01").await?;
            let mut answer = [0; 1];
            connection.read_exact(&mut answer).await?;
            // Type 1 is a method frame (Connection.Start); a refusal begins with "AMQP" (AMQP 0-9-1, 4.2.2).
            ensure!(answer == [1], "it refused the handshake");
            Ok(())
        };
        self.process.until(PATIENCE, "RabbitMQ begins the AMQP handshake", probe).await
    }
}

/// Everything that RabbitMQ would otherwise take from /etc/rabbitmq, /var/lib/rabbitmq, the home folder, or a standard
/// port. Removes nothing, so a stopped node finds its data again.
fn environment(folder: &Path, port: u16) -> Result<Vec<(&'static str, String)>> {
    let file = |name: &str, content: &str| -> Result<String> {
        let path: PathBuf = folder.join(name);
        fs::write(&path, content)?;
        Ok(path.display().to_string())
    };
    let place = |name: &str| folder.join(name).display().to_string();
    let config = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\nlog.console.level = info\nlog.file = false\n\
         disk_free_limit.absolute = 50MB\n"
    );
    Ok(vec![
        ("HOME", folder.display().to_string()),
        // `localhost` needs no name service of the network.
        ("RABBITMQ_NODENAME", format!("steward-{port}@localhost")),
        ("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf", &config)?),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", file("enabled_plugins", "[].\n")?),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", place("advanced.config")),
        ("RABBITMQ_MNESIA_BASE", place("data")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", place("generated")),
        ("RABBITMQ_LOG_BASE", place("logs")),
        ("RABBITMQ_PID_FILE", place("pid")),
        ("RABBITMQ_DIST_PORT", free_port().to_string()),
        ("ERL_EPMD_PORT", free_port().to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("ERL_CRASH_DUMP", "/dev/null".to_owned()),
        // Makes the start script become the server instead of waiting for it, so that a signal reaches the server.
        ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
    ])
}
