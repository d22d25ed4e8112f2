use crate::free_port;
use anyhow::{Context as _, Result};
use reqwest::{Client, Method, Url, redirect};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Headers by which a request says that it is one that came before.
const KEYS: [&str; 2] = ["webhook-id", "idempotency-key"];
/// Of one hop only (RFC 9110, 7.6.1), or made anew by whoever sends.
const HOP: [&str; 4] = ["connection", "transfer-encoding", "content-length", "host"];

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Lower-case names; of a repeated header the last.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// 1 for the first request with this key, and for every request without one.
    pub time: usize,
}

impl Asked {
    /// `webhook-id` or `Idempotency-Key`.
    pub fn key(&self) -> Option<&str> {
        KEYS.iter().find_map(|name| self.headers.get(*name)).map(String::as_str)
    }
}

/// What a peer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// What it really has to say: the upstream's answer, or 200 for a ledger.
    Honest,
    /// The connection is reset.
    Reset,
    Status(u16),
    /// 200 with bytes that are no HTML, no JSON and no UTF-8.
    Garbage,
    /// 302 to a place that would take everything, if anybody followed.
    Redirect,
    /// 503 that asks to come back after so many seconds.
    ComeBack(u16),
    /// Nothing for so long, and then a reset.
    Hang(Duration),
}

/// How a request is met: whether it has its effect, and what is said of it. The two need not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deed {
    pub takes: bool,
    pub says: Answer,
}

impl Deed {
    pub const HONEST: Self = Self { takes: true, says: Answer::Honest };

    /// Does as asked and lies about it.
    pub fn takes_and(says: Answer) -> Self {
        Self { takes: true, says }
    }

    pub fn refuses_with(says: Answer) -> Self {
        Self { takes: false, says }
    }
}

/// What was taken under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub key: String,
    pub path: String,
    pub body: Vec<u8>,
    /// How often the key has arrived and been taken. A peer that is idempotent acts on the first alone.
    pub times: usize,
}

type Script = Box<dyn Fn(&Asked) -> Deed + Send + Sync>;

struct State {
    script: Mutex<Arc<Script>>,
    upstream: Option<String>,
    http: Client,
    seen: Mutex<BTreeMap<String, usize>>,
    ledger: Mutex<Ledger>,
    asked: Mutex<usize>,
}

/// In the order in which the keys came, and where each stands.
#[derive(Default)]
struct Ledger {
    taken: Vec<Taken>,
    place: BTreeMap<String, usize>,
}

impl Ledger {
    fn note(&mut self, key: &str, asked: &Asked) {
        let next = self.taken.len();
        let place = *self.place.entry(key.to_owned()).or_insert(next);
        match self.taken.get_mut(place) {
            Some(known) => known.times += 1,
            None => self.taken.push(Taken {
                key: key.to_owned(),
                path: asked.path.clone(),
                body: asked.body.clone(),
                times: 1,
            }),
        }
    }
}

/// An HTTP server that does not always tell the truth. It stands at the far end and keeps a ledger of what it took, or
/// in front of a server whose answers it falsifies.
pub struct Peer {
    port: u16,
    state: Arc<State>,
    /// Ends the server with the value.
    _server: JoinSet<()>,
}

impl Peer {
    /// Takes everything and keeps a ledger by `webhook-id` or `Idempotency-Key`. Honest until told otherwise.
    pub async fn ledger() -> Result<Self> {
        Self::start(None).await
    }

    /// Passes everything on to this base URL. Honest until told otherwise.
    pub async fn before(upstream: &str) -> Result<Self> {
        Self::start(Some(upstream.trim_end_matches('/').to_owned())).await
    }

    async fn start(upstream: Option<String>) -> Result<Self> {
        crate::install_tls_provider();
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.context("the peer cannot listen")?;
        let http = Client::builder().redirect(redirect::Policy::none()).no_proxy().build()?;
        let honest: Script = Box::new(|_| Deed::HONEST);
        let state = Arc::new(State {
            script: Mutex::new(Arc::new(honest)),
            upstream,
            http,
            seen: Mutex::default(),
            ledger: Mutex::default(),
            asked: Mutex::default(),
        });
        let (mut tasks, shared) = (JoinSet::new(), Arc::clone(&state));
        tasks.spawn(async move {
            let mut conversations = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                // A caller that breaks off is the caller's matter; what was taken stays in the ledger.
                conversations.spawn(async move { drop(converse(connection, &state).await) });
                while conversations.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, state, _server: tasks })
    }

    /// Without a slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on requests are met as this says.
    pub fn behave(&self, script: impl Fn(&Asked) -> Deed + Send + Sync + 'static) {
        *lock(&self.state.script) = Arc::new(Box::new(script));
    }

    pub fn behave_well(&self) {
        self.behave(|_| Deed::HONEST);
    }

    /// What was taken under a key, in the order in which the keys came.
    pub fn taken(&self) -> Vec<Taken> {
        lock(&self.state.ledger).taken.clone()
    }

    /// What was taken after the first `known` keys: for who follows the ledger.
    pub fn taken_since(&self, known: usize) -> Vec<Taken> {
        lock(&self.state.ledger).taken.get(known..).unwrap_or_default().to_vec()
    }

    /// How many requests came, repeats and refused ones among them.
    pub fn asked(&self) -> usize {
        *lock(&self.state.asked)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer on its way out.
struct Wire {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Wire {
    fn of(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), content_type.to_owned())], body: body.into() }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Said\r\ncontent-length: {}\r\n", self.status, self.body.len());
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        [format!("{head}\r\n").as_bytes(), &self.body].concat()
    }
}

async fn converse(mut connection: TcpStream, state: &State) -> Result<()> {
    connection.set_nodelay(true)?;
    let mut stream = BufReader::new(&mut connection);
    while let Some(mut asked) = read(&mut stream).await? {
        *lock(&state.asked) += 1;
        asked.time = asked.key().map_or(1, |key| {
            let mut seen = lock(&state.seen);
            let times = seen.entry(key.to_owned()).or_default();
            *times += 1;
            *times
        });
        let script = Arc::clone(&lock(&state.script));
        let deed = script(&asked);
        let honest = if deed.takes { Some(state.take(&asked).await?) } else { None };
        match say(deed.says, honest, &mut stream).await? {
            Then::GoOn => {}
            Then::Reset => break,
        }
    }
    drop(connection.set_zero_linger());
    Ok(())
}

enum Then {
    GoOn,
    Reset,
}

async fn say(answer: Answer, honest: Option<Wire>, stream: &mut BufReader<&mut TcpStream>) -> Result<Then> {
    let wire = match answer {
        Answer::Honest => honest.unwrap_or_else(|| Wire::of(503, "text/plain", "not taken")),
        Answer::Reset => return Ok(Then::Reset),
        Answer::Hang(long) => {
            tokio::time::sleep(long).await;
            return Ok(Then::Reset);
        }
        Answer::Status(status) => Wire::of(status, "text/html", "<h1>It did not work</h1>"),
        Answer::Garbage => Wire::of(200, "application/json", [0xff, 0x00, b'{', 0xfe, b'"'].repeat(20)),
        Answer::Redirect => Wire::of(302, "text/plain", "").with("location", "http://127.0.0.1:9/elsewhere"),
        Answer::ComeBack(seconds) => Wire::of(503, "text/plain", "busy").with("retry-after", seconds.to_string()),
    };
    stream.get_mut().write_all(&wire.bytes()).await?;
    Ok(Then::GoOn)
}

impl State {
    /// Lets the request have its effect.
    async fn take(&self, asked: &Asked) -> Result<Wire> {
        if let Some(key) = asked.key() {
            lock(&self.ledger).note(key, asked);
        }
        let Some(upstream) = &self.upstream else { return Ok(Wire::of(200, "application/json", "{}")) };
        let url = Url::parse(&format!("{upstream}{}", asked.path))?;
        let mut onward = self.http.request(Method::from_bytes(asked.method.as_bytes())?, url);
        for (name, value) in asked.headers.iter().filter(|(name, _)| !HOP.contains(&name.as_str())) {
            onward = onward.header(name, value);
        }
        let answer = onward.body(asked.body.clone()).send().await?;
        let mut wire = Wire { status: answer.status().as_u16(), headers: Vec::new(), body: Vec::new() };
        for (name, value) in answer.headers().iter().filter(|(name, _)| !HOP.contains(&name.as_str())) {
            wire = wire.with(name.as_str(), String::from_utf8_lossy(value.as_bytes()));
        }
        wire.body = answer.bytes().await?.to_vec();
        Ok(wire)
    }
}

/// One request of HTTP/1.1 with `Content-Length`, which is how our clients write; `None` where the caller hung up.
async fn read(stream: &mut BufReader<&mut TcpStream>) -> Result<Option<Asked>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let (method, path) = (words.next().context("no method")?, words.next().context("no path")?);
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(Ok(0), |length| length.parse())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(Asked { method, path, headers, body, time: 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    async fn post(peer: &Peer, id: &str) -> reqwest::Result<reqwest::Response> {
        let http = Client::builder().redirect(redirect::Policy::none()).timeout(Duration::from_secs(1)).build()?;
        http.post(format!("{}/hook", peer.base_url())).header("webhook-id", id).body("tea").send().await
    }

    #[tokio::test]
    async fn it_takes_a_key_once_however_often_it_comes() {
        let peer = Peer::ledger().await.unwrap();
        for id in ["a", "b", "a"] {
            assert_eq!(post(&peer, id).await.unwrap().status(), 200);
        }
        let taken: Vec<_> = peer.taken().into_iter().map(|one| (one.key, one.times, one.body)).collect();
        assert_eq!(taken, [("a".to_owned(), 2, b"tea".to_vec()), ("b".to_owned(), 1, b"tea".to_vec())]);
        assert_eq!(peer.asked(), 3);
    }

    #[tokio::test]
    async fn it_lies_as_told_and_the_ledger_says_what_was_true() {
        let peer = Peer::ledger().await.unwrap();
        peer.behave(|asked| match asked.key().unwrap_or_default() {
            "reset" => Deed::takes_and(Answer::Reset),
            "garbage" => Deed::refuses_with(Answer::Garbage),
            "redirect" => Deed::refuses_with(Answer::Redirect),
            "busy" if asked.time == 1 => Deed::refuses_with(Answer::ComeBack(7)),
            "hang" => Deed::takes_and(Answer::Hang(Duration::from_secs(30))),
            "gone" => Deed::refuses_with(Answer::Status(410)),
            _ => Deed::HONEST,
        });
        assert!(post(&peer, "reset").await.is_err());
        let garbage = post(&peer, "garbage").await.unwrap();
        assert!(garbage.status() == 200 && garbage.json::<serde_json::Value>().await.is_err());
        assert_eq!(post(&peer, "redirect").await.unwrap().status(), 302);
        let busy = post(&peer, "busy").await.unwrap();
        assert_eq!((busy.status().as_u16(), &busy.headers()["retry-after"]), (503, &"7".parse().unwrap()));
        assert_eq!(post(&peer, "busy").await.unwrap().status(), 200, "the second time it is honest");
        assert_eq!(post(&peer, "gone").await.unwrap().status(), 410);
        let started = Instant::now();
        assert!(post(&peer, "hang").await.is_err_and(|error| error.is_timeout()));
        assert!(started.elapsed() >= Duration::from_secs(1));
        let taken: Vec<_> = peer.taken().into_iter().map(|one| one.key).collect();
        assert_eq!(taken, ["reset", "busy", "hang"]);
    }

    #[tokio::test]
    async fn before_a_server_it_passes_on_and_falsifies_the_answer() {
        let server = Peer::ledger().await.unwrap();
        let peer = Peer::before(&server.base_url()).await.unwrap();
        assert_eq!(post(&peer, "a").await.unwrap().text().await.unwrap(), "{}");
        peer.behave(|_| Deed::takes_and(Answer::Status(500)));
        assert_eq!(post(&peer, "b").await.unwrap().status(), 500);
        peer.behave(|_| Deed::refuses_with(Answer::Reset));
        assert!(post(&peer, "c").await.is_err());
        let reached: Vec<_> = server.taken().into_iter().map(|one| one.key).collect();
        assert_eq!(reached, ["a", "b"], "the lie hid what was done, and the refusal kept it from being done");
    }
}
