use crate::wait;
use anyhow::{Context as _, Result};
use mail_parser::{Addr, Address, MessageParser};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A mail as the sink received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Sender and recipients of the envelope, without display names: where it really went.
    pub from: String,
    pub to: Vec<String>,
    /// Addresses of the `To` header.
    pub header_to: Vec<String>,
    pub message_id: String,
    pub subject: String,
    /// The text part, decoded; made from the HTML part where there is only that.
    pub body_text: String,
    pub body_html: String,
    /// The message as it came over the wire, dots unstuffed.
    pub raw: Vec<u8>,
}

impl Mail {
    fn parse(from: String, to: Vec<String>, raw: Vec<u8>) -> Option<Self> {
        let message = MessageParser::new().parse(&raw)?;
        let body = |found: Option<std::borrow::Cow<'_, str>>| found.unwrap_or_default().into_owned();
        let address = |addr: &Addr<'_>| addr.address.as_deref().unwrap_or_default().to_owned();
        Some(Self {
            header_to: message.to().into_iter().flat_map(Address::iter).map(address).collect(),
            message_id: message.message_id().unwrap_or_default().to_owned(),
            subject: message.subject().unwrap_or_default().to_owned(),
            body_text: body(message.body_text(0)),
            body_html: body(message.body_html(0)),
            from,
            to,
            raw,
        })
    }

    /// The first link in the text that contains `part`.
    pub fn link(&self, part: &str) -> Option<&str> {
        let is_end = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | ')' | ']');
        let starts = self.body_text.match_indices("http").map(|(at, _)| &self.body_text[at..]);
        let mut links = starts.filter_map(|rest| rest.split(is_end).next());
        links.find(|link| (link.starts_with("http://") || link.starts_with("https://")) && link.contains(part))
    }
}

#[derive(Debug, Default)]
struct Shelf {
    mails: Mutex<Vec<Mail>>,
    hold: Mutex<Duration>,
}

type Mailbox = Arc<Shelf>;

/// A mail server that accepts everything and keeps it, without TLS or log-in. Runs on the runtime of the test.
#[derive(Debug)]
pub struct SmtpSink {
    port: u16,
    mailbox: Mailbox,
    /// Ends the server with the sink.
    _server: JoinSet<()>,
}

impl SmtpSink {
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let mailbox = Mailbox::default();
        let mut server = JoinSet::new();
        let inbox = Arc::clone(&mailbox);
        server.spawn(async move {
            let mut conversations = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let inbox = Arc::clone(&inbox);
                // A client that breaks off is the client's matter; what it sent completely is kept.
                conversations.spawn(async move { drop(serve(connection, &inbox).await) });
                while conversations.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, mailbox, _server: server })
    }

    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on the 250 after a mail comes that much later than the mail is kept: whoever dies in between has sent
    /// it and does not know.
    pub fn hold_receipts(&self, by: Duration) {
        *lock(&self.mailbox.hold) = by;
    }

    /// All mails so far, oldest first.
    pub fn messages(&self) -> Vec<Mail> {
        lock(&self.mailbox.mails).clone()
    }

    /// How many mails came so far.
    pub fn count(&self) -> usize {
        lock(&self.mailbox.mails).len()
    }

    /// The oldest mail for which `wanted` holds.
    pub fn find(&self, wanted: impl Fn(&Mail) -> bool) -> Option<Mail> {
        lock(&self.mailbox.mails).iter().find(|mail| wanted(mail)).cloned()
    }

    /// The first mail for which `wanted` holds, once it is there.
    ///
    /// # Errors
    /// When it does not come within `within`; the message lists what came instead.
    pub async fn wait_for(&self, wanted: impl Fn(&Mail) -> bool, within: Duration) -> Result<Mail> {
        let probe = async || {
            let mails = self.messages();
            mails.iter().find(|mail| wanted(mail)).cloned().with_context(|| {
                let seen: Vec<String> = mails.iter().map(|mail| format!("{:?} {}", mail.to, mail.subject)).collect();
                format!("the {} mails are: {seen:?}", seen.len())
            })
        };
        wait::poll(within, "the wanted mail arrives", probe).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The part of RFC 5321 that a client needs to deliver mail.
async fn serve(mut connection: TcpStream, mailbox: &Mailbox) -> Result<()> {
    let (input, mut output) = connection.split();
    let mut input = BufReader::new(input);
    let (mut from, mut to) = (String::new(), Vec::new());
    say(&mut output, "220 testkit").await?;
    while let Some(line) = read_line(&mut input).await? {
        let line = String::from_utf8_lossy(&line).into_owned();
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => say(&mut output, "250-testkit\r\n250-8BITMIME\r\n250 SMTPUTF8").await?,
            "HELO" | "NOOP" => say(&mut output, "250 testkit").await?,
            "RSET" => {
                (from, to) = (String::new(), Vec::new());
                say(&mut output, "250 forgotten").await?;
            }
            "MAIL" => {
                (from, to) = (path_of(&line), Vec::new());
                say(&mut output, "250 sender noted").await?;
            }
            "RCPT" => {
                to.push(path_of(&line));
                say(&mut output, "250 recipient noted").await?;
            }
            "DATA" if to.is_empty() => say(&mut output, "503 name a recipient first").await?,
            "DATA" => {
                say(&mut output, "354 go on").await?;
                let raw = read_data(&mut input).await?;
                let mail = Mail::parse(std::mem::take(&mut from), std::mem::take(&mut to), raw);
                let answer = if mail.is_some() { "250 kept" } else { "554 this is no mail" };
                lock(&mailbox.mails).extend(mail);
                let hold = *lock(&mailbox.hold);
                tokio::time::sleep(hold).await;
                say(&mut output, answer).await?;
            }
            "QUIT" => return say(&mut output, "221 bye").await,
            _ => say(&mut output, "502 not spoken here").await?,
        }
    }
    Ok(())
}

async fn say(output: &mut (impl AsyncWrite + Unpin), answer: &str) -> Result<()> {
    output.write_all(format!("{answer}\r\n").as_bytes()).await.context("the client is gone")
}

/// A line without its end, or `None` where the client hung up.
async fn read_line(input: &mut BufReader<impl AsyncRead + Unpin>) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if input.read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    line.truncate(line.trim_ascii_end().len());
    Ok(Some(line))
}

/// Everything up to the lone dot. A line that begins with a dot came with one more (RFC 5321, 4.5.2).
async fn read_data(input: &mut BufReader<impl AsyncRead + Unpin>) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    loop {
        let mut line = Vec::new();
        anyhow::ensure!(input.read_until(b'\n', &mut line).await? > 0, "the client hung up in the middle of a mail");
        match line.as_slice() {
            b".\r\n" | b".\n" => return Ok(data),
            [b'.', rest @ ..] => data.extend_from_slice(rest),
            whole => data.extend_from_slice(whole),
        }
    }
}

/// The address between the angle brackets of `MAIL FROM:<...>` and `RCPT TO:<...>`.
fn path_of(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(address, _)| address);
    inner.unwrap_or_default().to_owned()
}
