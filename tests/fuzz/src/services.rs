//! What is told to the services: mails they compose, and what Odoo answers them.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use odoo::{
    Client, Domain, Error, OdooConfig, Record, TransportChoice,
    stock::{Move, Quant},
};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

/// Headers that a mail of ours has, each once. Whoever names an article or a shop writes none of them.
const HEADERS: [&str; 9] = [
    "From",
    "To",
    "Subject",
    "Message-ID",
    "Date",
    "Content-Type",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Transfer-Encoding",
];

/// Fields of a transfer, which has no public record of its own.
const PICKING: [&str; 8] =
    ["id", "name", "state", "origin", "picking_type_id", "location_id", "location_dest_id", "write_date"];

/// Whatever stands in names, subjects and bodies, a mail goes to one address and says nothing else in its headers.
pub fn mail(data: &[u8]) {
    let Some(mail) = notifier_svc::fuzz::mail(data) else { return };
    let text = String::from_utf8_lossy(&mail);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let names = head.lines().filter(|line| !line.starts_with([' ', '\t']));
    let mut names: Vec<_> = names.filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "a header stands twice: {head}");
    assert!(names.iter().all(|name| HEADERS.contains(name)), "a header of somebody else's: {head}");
    let payload: Value = serde_json::from_slice(data).expect("it was read before");
    let read = mail_parser::MessageParser::default().parse(&mail).expect("what we send is a mail");
    let to: Vec<_> = read.to().into_iter().flat_map(|to| to.iter()).filter_map(|to| to.address()).collect();
    assert_eq!(to, [payload["address"].as_str().expect("it was read before")]);
}

/// Answers separated by a line of `--`, each a status and a body; the last one again and again. Whatever Odoo answers,
/// a verb gives a value or says why it cannot.
pub fn odoo_answers(data: &[u8]) {
    static ODOO: LazyLock<Odoo> = LazyLock::new(Odoo::start);
    ODOO.play(data);
}

/// A server that answers as the input says, and the client under test.
struct Odoo {
    runtime: Runtime,
    client: Client,
}

static ANSWERS: Mutex<Vec<(u16, Vec<u8>)>> = Mutex::new(Vec::new());

impl Odoo {
    fn start() -> Self {
        let _chosen_already = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let base_url = format!("http://{}", listener.local_addr().expect("bound"));
        std::thread::spawn(move || {
            listener.incoming().flatten().for_each(|peer| drop(std::thread::spawn(|| serve(peer))))
        });
        let config = OdooConfig {
            base_url,
            database: "fuzz".to_owned(),
            login: None,
            api_key: "key".to_owned().into(),
            timeout: Duration::from_secs(5),
            max_calls_per_second: 1e6,
            transport: TransportChoice::Json2,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let client = runtime.block_on(Client::connect(config)).expect("the server signs in");
        Self { runtime, client }
    }

    fn play(&self, data: &[u8]) {
        let text = String::from_utf8_lossy(data);
        let answers = text.split("\n--\n").map(|one| {
            let (status, body) = one.split_once(' ').unwrap_or(("200", one));
            (status.parse().ok().filter(|status| (200..600).contains(status)).unwrap_or(200), body.as_bytes().to_vec())
        });
        let mut answers: Vec<_> = answers.collect();
        answers.reverse();
        self.runtime.block_on(async {
            let client = &self.client;
            let begin = || ANSWERS.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&answers);
            begin();
            told(client.read_quants(&[], &[]).await);
            begin();
            told(client.search_read("res.partner", &Domain::all(), &["name"], "id", 5).await);
            begin();
            told(client.create("res.partner", vec![Map::new()]).await);
            begin();
            told(client.message_post("res.partner", 1, "text").await);
            begin();
            told(client.find_transfer("steward/1").await);
            begin();
            told(client.incoming_moves(&[1], &[]).await);
            begin();
            told(client.changed_moves(Timestamp::UNIX_EPOCH, Duration::ZERO).await);
        });
    }
}

fn told<T>(outcome: Result<T, Error>) {
    if let Err(error) = outcome {
        assert!(!error.to_string().is_empty());
    }
}

/// One connection: sign-in and schemas as a healthy Odoo tells them, everything else as the input says.
fn serve(mut peer: TcpStream) {
    let Ok(read) = peer.try_clone() else { return };
    let mut read = BufReader::new(read);
    loop {
        let Some((path, length)) = head(&mut read) else { return };
        let mut body = vec![0; length];
        if read.read_exact(&mut body).is_err() {
            return;
        }
        let (status, answer) = answer_to(&path);
        // In one piece: the second of two waits for the peer to acknowledge the first.
        let mut whole = format!("HTTP/1.1 {status} Any\r\ncontent-length: {}\r\n\r\n", answer.len()).into_bytes();
        whole.extend(answer);
        if peer.write_all(&whole).is_err() {
            return;
        }
    }
}

/// Path and length of the body of the next request; `None` when there is none.
fn head(read: &mut impl std::io::BufRead) -> Option<(String, usize)> {
    let mut lines = read.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let length = lines.find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    lines.for_each(drop);
    Some((path, length.unwrap_or(0)))
}

fn answer_to(path: &str) -> (u16, Vec<u8>) {
    let canned = match path.rsplit('/').next() {
        Some("version") => json!({"version_info": [19, 0, 0, "final", 0, ""]}),
        Some("context_get") => json!({"uid": 2}),
        Some("fields_get") => {
            let names = Quant::FIELDS.iter().chain(Move::FIELDS).chain(&PICKING);
            names.map(|name| ((*name).to_owned(), json!({"type": "char"}))).collect::<Map<_, _>>().into()
        }
        _ => {
            let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
            let last = answers.len() <= 1;
            return if last { answers.first().cloned() } else { answers.pop() }.unwrap_or((200, Vec::new()));
        }
    };
    (200, canned.to_string().into_bytes())
}
