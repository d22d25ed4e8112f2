use std::{io, time::Duration};

use reqwest::header;
use serde_json::{Map, Value, ser::Formatter};

/// Odoo waits this long for the connection and again for the answer, then forgets the event.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A webhook action on `stock.quant`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// User and password in it become the `Authorization` header, as in Odoo.
    pub url: String,
    /// Name and id of the action: `_action` is `<name>(#<id>)`.
    pub action: String,
    /// How often each post is sent. A rule without trigger fields was seen to send 8 of one kind.
    pub copies: usize,
}

/// What became of the posts of one change. Odoo itself keeps no such account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    pub posted: usize,
    /// Answered with 2xx in time. The others are lost for good.
    pub accepted: usize,
}

impl Webhook {
    /// The rule as `deploy/` sets it up: each post once.
    #[must_use]
    pub fn to(url: &str) -> Self {
        Self { url: url.to_owned(), action: "steward quant(#478)".into(), copies: 1 }
    }

    /// One after another, in the thread that made the change, as Odoo does after its commit.
    pub(super) async fn post(&self, client: &reqwest::Client, bodies: &[Map<String, Value>]) -> Delivery {
        let mut delivery = Delivery::default();
        for fields in bodies {
            let mut body = fields.clone();
            body.insert("_action".into(), Value::from(&*self.action));
            let text = to_python_json(&Value::Object(body));
            for _ in 0..self.copies {
                let request =
                    client.post(&self.url).header(header::CONTENT_TYPE, "application/json").body(text.clone());
                delivery.posted += 1;
                if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
                    delivery.accepted += 1;
                }
            }
        }
        delivery
    }
}

/// Speaks like `python-requests`, follows redirects like it, and never uses a proxy.
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    let headers = [(header::ACCEPT_ENCODING, "gzip, deflate"), (header::ACCEPT, "*/*")];
    let headers = headers.into_iter().map(|(name, value)| (name, header::HeaderValue::from_static(value)));
    reqwest::Client::builder()
        .no_proxy()
        .user_agent("python-requests/2.31.0")
        .default_headers(headers.collect())
        .connect_timeout(TIMEOUT)
        .timeout(2 * TIMEOUT)
        .read_timeout(TIMEOUT)
        .build()
}

/// JSON as Python's `json.dumps(value, sort_keys=True)` writes it: spaces after `,` and `:`, ASCII only. Receivers
/// hash these bytes, so they matter.
#[must_use]
pub fn to_python_json(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Python);
    // Values serialize into memory without fail.
    let written = serde::Serialize::serialize(&sorted(value), &mut serializer);
    debug_assert!(written.is_ok());
    String::from_utf8(bytes).unwrap_or_default()
}

/// Sorted explicitly: another crate may switch serde_json to insertion order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for unit in fragment.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte @ b' '..=b'~') => writer.write_all(&[byte])?,
                _ => write!(writer, "\\u{unit:04x}")?,
            }
        }
        Ok(())
    }
}
