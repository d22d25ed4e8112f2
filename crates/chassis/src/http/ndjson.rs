//! Bulk streams: NDJSON in, NDJSON out, line by line in order. A bad line yields an error line in its place.
//!
//! Memory stays flat however long the stream is: one batch of lines is read, worked on and answered before the next
//! one is read, and nothing is read while the caller does not take the answers (so read while you send). When the
//! caller goes away, the response is dropped and the work stops with it.

use std::{
    future::{Future, Ready, ready},
    sync::Arc,
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, ResponseError as _,
    dev::Payload,
    web::{Bytes, BytesMut},
};
use contracts::Problem;
use futures_util::{StreamExt, stream};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    ApiError,
    body::{expect_type, parse_json},
};

/// Longest line in bytes, without its line end.
const MAX_LINE: usize = 64 * 1024;
/// Most lines that are worked on at a time: enough to be worth a transaction or a thread hop.
const BATCH: usize = 256;

/// The body of a bulk request, `application/x-ndjson`.
pub struct Ndjson(Lines);

/// A line and its number, counted from 1; or why it cannot be read.
type Numbered = (u64, Result<Bytes, Problem>);

/// A line of the answer, for its schema too.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Line<T> {
    Good(T),
    Bad(BadLine),
}

/// What stands in place of the answer to a bad line.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BadLine {
    /// Counted from 1.
    #[schema(minimum = 1)]
    line: u64,
    problem: Problem,
}

impl FromRequest for Ndjson {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let accepted = expect_type(request, &["application/x-ndjson", "application/ndjson"]);
        let payload = payload.take();
        ready(accepted.map(|()| Self(Lines { payload, buffer: BytesMut::new(), number: 0, state: State::Open })))
    }
}

impl Ndjson {
    /// Answers each line by itself. `work` runs on a blocking thread: it may compute, and must not wait.
    pub fn each<I, O, F>(self, work: F) -> HttpResponse
    where
        I: DeserializeOwned,
        O: Serialize,
        F: Fn(I) -> Result<O, Problem> + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        self.answer(move |lines| {
            let (work, span) = (Arc::clone(&work), tracing::Span::current());
            async move {
                let computed = tokio::task::spawn_blocking(move || {
                    let _entered = span.entered();
                    let mut out = Vec::new();
                    for (number, line) in lines {
                        let answer = line.and_then(|line| parse_json(&line)).and_then(|input| work(input));
                        write_line(&mut out, number, answer);
                    }
                    out
                });
                computed.await.map_err(ApiError::internal)
            }
        })
    }

    /// Answers lines in batches of at most 256, for work that waits (a transaction per batch). `work` gets the lines
    /// that could be read and must return as many answers, in the same order.
    pub fn batches<I, O, F, Fut>(self, work: F) -> HttpResponse
    where
        I: DeserializeOwned + 'static,
        O: Serialize,
        F: Fn(Vec<I>) -> Fut + 'static,
        Fut: Future<Output = Result<Vec<Result<O, Problem>>, ApiError>>,
    {
        let work = Arc::new(work);
        self.answer(move |lines| {
            let work = Arc::clone(&work);
            async move {
                let mut inputs = Vec::new();
                let mut read = Vec::with_capacity(lines.len());
                for (number, line) in lines {
                    let input = line.and_then(|line| parse_json(&line)).map(|input| inputs.push(input));
                    read.push((number, input));
                }
                let mut answers = if inputs.is_empty() { Vec::new() } else { work(inputs).await? }.into_iter();
                let mut out = Vec::new();
                for (number, input) in read {
                    let answer = match input {
                        Ok(()) => answers.next().ok_or_else(|| ApiError::internal("an answer per line is missing"))?,
                        Err(problem) => Err(problem),
                    };
                    write_line(&mut out, number, answer);
                }
                Ok(out)
            }
        })
    }

    fn answer<F, Fut>(self, work: F) -> HttpResponse
    where
        F: Fn(Vec<Numbered>) -> Fut + 'static,
        Fut: Future<Output = Result<Vec<u8>, ApiError>>,
    {
        let answers = stream::unfold(Some((self.0, work)), |going| async {
            let (mut lines, work) = going?;
            let answer = match lines.batch().await {
                Ok(batch) if batch.is_empty() => return None,
                Ok(batch) => work(batch).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(bytes) => Some((Ok(Bytes::from(bytes)), Some((lines, work)))),
                // The status is long sent: breaking the connection off is the only way to say that this is not all.
                Err(error) if error.status_code().is_client_error() => {
                    tracing::warn!(error = %error, "a caller broke a bulk stream off");
                    Some((Err(error), None))
                }
                Err(error) => {
                    tracing::error!(error = %crate::chain(&error), "a bulk stream was broken off");
                    Some((Err(error), None))
                }
            }
        });
        HttpResponse::Ok().content_type("application/x-ndjson").streaming(answers)
    }
}

fn write_line<O: Serialize>(out: &mut Vec<u8>, number: u64, answer: Result<O, Problem>) {
    let start = out.len();
    let bad = |problem| BadLine { line: number, problem };
    let answer = answer.map_or_else(|problem| Line::Bad(bad(problem)), Line::Good);
    if serde_json::to_writer(&mut *out, &answer).is_err() {
        out.truncate(start);
        let problem = Problem::new("internal", 500, "The answer has no JSON form");
        out.extend(serde_json::to_vec(&bad(problem)).unwrap_or_default());
    }
    out.push(b'\n');
}

/// Cuts a payload into lines without ever holding more than one line and one chunk.
struct Lines {
    payload: Payload,
    buffer: BytesMut,
    number: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The rest of an over-long line is thrown away as it comes.
    Skipping,
    Ended,
}

impl Lines {
    /// The next lines, at least one; none at the end.
    async fn batch(&mut self) -> Result<Vec<Numbered>, ApiError> {
        let mut batch = Vec::new();
        loop {
            let mut seen = 0;
            while seen < BATCH
                && let Some(line) = self.cut()
            {
                seen += 1;
                batch.extend(line);
            }
            if !batch.is_empty() || self.state == State::Ended {
                return Ok(batch);
            }
            // Lines that are passed over bring no batch and so no pause: without this, who sends them without end has
            // the worker for himself.
            tokio::task::yield_now().await;
            if seen > 0 {
                continue;
            }
            match self.payload.next().await {
                Some(chunk) => {
                    let chunk = chunk.map_err(|error| ApiError::malformed(error.to_string()))?;
                    self.buffer.extend_from_slice(&chunk);
                }
                None => {
                    // The last line may lack its end.
                    if self.state == State::Open && !self.buffer.is_empty() {
                        self.buffer.extend_from_slice(b"\n");
                        batch.extend(self.cut().flatten());
                    }
                    self.state = State::Ended;
                }
            }
        }
    }

    /// Takes one line off the buffer: `None` when it holds no complete one, `Some(None)` for one to pass over.
    fn cut(&mut self) -> Option<Option<Numbered>> {
        let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
            if self.state == State::Skipping {
                self.buffer.clear();
            } else if self.buffer.len() > MAX_LINE + 1 {
                self.state = State::Skipping;
                self.buffer.clear();
                return Some(Some(self.too_long()));
            }
            return None;
        };
        let line = self.buffer.split_to(end + 1).freeze();
        if self.state == State::Skipping {
            self.state = State::Open;
            return Some(None);
        }
        let content = line.slice(..end);
        let content = if content.ends_with(b"\r") { content.slice(..end - 1) } else { content };
        if content.len() > MAX_LINE {
            return Some(Some(self.too_long()));
        }
        self.number += 1;
        let blank = content.iter().all(u8::is_ascii_whitespace);
        Some((!blank).then_some((self.number, Ok(content))))
    }

    fn too_long(&mut self) -> Numbered {
        self.number += 1;
        let problem = Problem::new("line-too-long", 413, "The line is too long");
        (self.number, Err(problem.detail(format!("A line has at most {MAX_LINE} bytes."))))
    }
}
