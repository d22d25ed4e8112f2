use crate::{Process, Program, Scratch, Tool, free_port};
use anyhow::{Context as _, Result, ensure};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A Redis server of its own that writes nothing to disk: it forgets all when it stops.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    port: u16,
    _scratch: Scratch,
}

impl Redis {
    pub async fn start() -> Result<Self> {
        let server = Tool::Redis.find().context("Redis is not installed")?;
        let (scratch, port) = (Scratch::new("redis")?, free_port());
        let program = Program::new(server).folder(scratch.path()).args(["--port", &port.to_string()]);
        let program = program.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let mut redis = Self { process: Process::start(program)?, port, _scratch: scratch };
        redis.wait_ready().await?;
        Ok(redis)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub async fn stop(&mut self) -> Result<()> {
        self.process.terminate().await?;
        Ok(())
    }

    /// On the same port, empty.
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

    async fn wait_ready(&mut self) -> Result<()> {
        let address = (Ipv4Addr::LOCALHOST, self.port);
        let probe = async || {
            let mut connection = TcpStream::connect(address).await?;
            connection.write_all(b"PING\r\n").await?;
            let mut answer = [0; 7];
            connection.read_exact(&mut answer).await?;
            ensure!(&answer == b"+PONG\r\n", "it answered {:?}", String::from_utf8_lossy(&answer));
            Ok(())
        };
        self.process.until(Duration::from_secs(20), "Redis answers PING", probe).await
    }
}
