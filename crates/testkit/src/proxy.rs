use crate::free_port;
use anyhow::{Context as _, Result};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Enough that a proxied server is not slowed down by us.
const BUFFER: usize = 64 * 1024;

/// A direction of what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToClient,
}

/// What the network does at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Weather {
    refuses: bool,
    /// Bytes that go this way are read and kept back: an answer that never comes, over a connection that looks alive.
    stalled: Option<Way>,
    delay: Duration,
    /// Connections live and die with the number they began under.
    generation: u64,
}

/// A bad network in front of a server: connections are cut, refused, stalled or slowed down at will.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    weather: Arc<watch::Sender<Weather>>,
    /// Ends the proxy with the value.
    _server: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port and passes everything on to that port of 127.0.0.1.
    pub async fn before(server: u16) -> Result<Self> {
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.context("the proxy cannot listen")?;
        let weather = Arc::new(watch::Sender::new(Weather::default()));
        let mut tasks = JoinSet::new();
        let seen = Arc::clone(&weather);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // Refused by closing at once: letting the port go could give it to somebody else.
                if seen.borrow().refuses {
                    drop(client.set_zero_linger());
                    continue;
                }
                connections.spawn(carry(client, server, seen.subscribe()));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, weather, _server: tasks })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Resets every connection there is; new ones are welcome.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.generation += 1);
    }

    /// Resets every connection there is and every new one, until [`resume`](Self::resume).
    pub fn refuse(&self) {
        self.weather.send_modify(|weather| {
            weather.refuses = true;
            weather.generation += 1;
        });
    }

    /// Keeps back everything that goes this way, on connections old and new. What was kept arrives after
    /// [`resume`](Self::resume), unless the connection was given up meanwhile.
    pub fn stall(&self, way: Way) {
        self.weather.send_modify(|weather| weather.stalled = Some(way));
    }

    /// Every piece in either direction arrives that much later.
    pub fn delay(&self, by: Duration) {
        self.weather.send_modify(|weather| weather.delay = by);
    }

    /// Fair weather again.
    pub fn resume(&self) {
        self.weather.send_modify(|weather| *weather = Weather { generation: weather.generation, ..Weather::default() });
    }
}

async fn carry(client: TcpStream, server: u16, mut weather: watch::Receiver<Weather>) {
    let Ok(upstream) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else { return };
    // A cut looks like a reset, not like a polite end.
    for socket in [&client, &upstream] {
        drop(socket.set_zero_linger());
        drop(socket.set_nodelay(true));
    }
    let generation = weather.borrow_and_update().generation;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = upstream.into_split();
    let there = pump(from_client, to_server, Way::ToServer, weather.clone());
    let back = pump(from_server, to_client, Way::ToClient, weather.clone());
    tokio::select! {
        // Either end hanging up ends both ways: no protocol of ours lives on half a connection.
        _ = there => {}
        _ = back => {}
        _ = weather.wait_for(|now| now.generation != generation) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    mut weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let delay = match weather.wait_for(|now| now.stalled != Some(way)).await {
            Ok(now) => now.delay,
            Err(_) => return Ok(()),
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Answers every byte with the same byte.
    async fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut input, mut output) = connection.split();
                    let _ = tokio::io::copy(&mut input, &mut output).await;
                });
            }
        });
        port
    }

    async fn say(connection: &mut TcpStream, byte: u8) -> io::Result<u8> {
        connection.write_all(&[byte]).await?;
        connection.read_u8().await
    }

    async fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.unwrap()
    }

    #[tokio::test]
    async fn a_cut_ends_what_is_open_and_lets_new_connections_in() {
        let proxy = Proxy::before(echo().await).await.unwrap();
        let mut old = connect(&proxy).await;
        assert_eq!(say(&mut old, 7).await.unwrap(), 7);
        proxy.cut();
        assert!(old.read_u8().await.is_err(), "it survived the cut");
        assert_eq!(say(&mut connect(&proxy).await, 8).await.unwrap(), 8);
    }

    #[tokio::test]
    async fn while_it_refuses_nobody_gets_through() {
        let proxy = Proxy::before(echo().await).await.unwrap();
        proxy.refuse();
        assert!(say(&mut connect(&proxy).await, 7).await.is_err());
        proxy.resume();
        assert_eq!(say(&mut connect(&proxy).await, 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_stalled_answer_comes_after_the_resumption() {
        let proxy = Proxy::before(echo().await).await.unwrap();
        let mut connection = connect(&proxy).await;
        assert_eq!(say(&mut connection, 6).await.unwrap(), 6);
        proxy.stall(Way::ToClient);
        let kept = tokio::time::timeout(Duration::from_millis(200), say(&mut connection, 7)).await;
        assert!(kept.is_err(), "it was answered: {kept:?}");
        proxy.resume();
        assert_eq!(connection.read_u8().await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_delay_is_paid_in_both_directions() {
        let proxy = Proxy::before(echo().await).await.unwrap();
        proxy.delay(Duration::from_millis(100));
        let started = Instant::now();
        assert_eq!(say(&mut connect(&proxy).await, 7).await.unwrap(), 7);
        assert!(started.elapsed() >= Duration::from_millis(200));
    }
}
