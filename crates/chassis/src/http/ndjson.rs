//! Bulk streams: NDJSON in, NDJSON out, line by line in order. A bad line yields an error line in its place.
//!
//! Memory stays flat however long the stream is: few batches of lines are worked on at a time, enough to keep all cores
//! busy, and nothing is read while the caller does not take the answers (so read while you send). When the caller goes
//! away, the response is dropped and the work stops with it.

use std::{
    future::{Future, Ready, ready},
    sync::Arc,
    thread::available_parallelism,
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, ResponseError as _,
    dev::Payload,
    error::PayloadError,
    web::{Buf as _, Bytes, BytesMut},
};
use contracts::{Problem, append_json};
use futures_util::{FutureExt, StreamExt, stream};
use memchr::{memchr, memchr_iter};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    ApiError,
    body::{expect_type, parse_json},
};

/// Longest line in bytes, without its line end.
const MAX_LINE: usize = 64 * 1024;
/// Most lines that are worked on at a time: enough to be worth a transaction or a thread hop.
const BATCH: usize = 256;
/// Bytes of lines that are worth a thread hop; more are not waited for, nor looked for.
const ENOUGH: usize = 128 * 1024;

/// The body of a bulk request, `application/x-ndjson`.
pub struct Ndjson(Lines);

/// Some lines as they came. Cutting them apart is part of the work, and done where that is done.
enum Batch {
    /// Complete lines, each with its end; `first` is the number of the first one, counted from 1.
    Lines { first: u64, text: Bytes },
    /// The line of this number, of which nothing is kept.
    TooLong(u64),
}

/// A line that is not blank and its number, or why it cannot be read.
type Numbered<'a> = (u64, Result<&'a [u8], Problem>);

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
    /// Answers each line by itself; `work` gets its bytes. It runs on blocking threads, several at a time: it may
    /// compute, and must not wait.
    pub fn each<O, F>(self, work: F) -> HttpResponse
    where
        O: Serialize,
        F: Fn(&[u8]) -> Result<O, Problem> + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        // One more than there are cores, so that none waits while answers are sent.
        self.answer(available_parallelism().map_or(1, usize::from) + 1, move |batch| {
            let (work, span) = (Arc::clone(&work), tracing::Span::current());
            async move {
                let computed = tokio::task::spawn_blocking(move || {
                    let _entered = span.entered();
                    let mut out = Vec::with_capacity(batch.likely_answer());
                    for (number, line) in batch.lines() {
                        write_line(&mut out, number, line.and_then(|line| work(line)));
                    }
                    out
                });
                computed.await.map_err(ApiError::internal)
            }
        })
    }

    /// Answers lines in batches of at most 256, for work that waits (a transaction per batch), one after the other.
    /// `work` gets the lines that could be read and must return as many answers, in the same order.
    pub fn batches<I, O, F, Fut>(self, work: F) -> HttpResponse
    where
        I: DeserializeOwned + 'static,
        O: Serialize,
        F: Fn(Vec<I>) -> Fut + 'static,
        Fut: Future<Output = Result<Vec<Result<O, Problem>>, ApiError>>,
    {
        let work = Arc::new(work);
        self.answer(1, move |batch| {
            let work = Arc::clone(&work);
            async move {
                let mut inputs = Vec::new();
                let mut read = Vec::new();
                for (number, line) in batch.lines() {
                    let input = line.and_then(parse_json).map(|input| inputs.push(input));
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

    /// Works on `at_once` batches at a time and answers them in order.
    fn answer<F, Fut>(self, at_once: usize, work: F) -> HttpResponse
    where
        F: Fn(Batch) -> Fut + 'static,
        Fut: Future<Output = Result<Vec<u8>, ApiError>>,
    {
        let batches = stream::unfold(Some(self.0), |lines| async {
            let mut lines = lines?;
            match lines.batch().await {
                Ok(batch) => Some((Ok(batch?), Some(lines))),
                Err(error) => Some((Err(error), None)),
            }
        });
        let answers = batches.map(move |batch| {
            let answer = batch.map(&work);
            async { answer?.await }
        });
        let answers = answers.buffered(at_once).scan(false, |broken, answer| {
            // The status is long sent: breaking the connection off is the only way to say that this is not all.
            let last = *broken;
            *broken = answer.as_ref().inspect_err(|error| broken_off(error)).is_err();
            ready((!last).then(|| answer.map(Bytes::from)))
        });
        // An empty piece would end the body, and a batch of blank lines has no answers.
        let answers = answers.filter(|answer| ready(answer.as_ref().map_or(true, |bytes| !bytes.is_empty())));
        HttpResponse::Ok().content_type("application/x-ndjson").streaming(answers)
    }
}

fn broken_off(error: &ApiError) {
    if error.status_code().is_client_error() {
        tracing::warn!(%error, "a caller broke a bulk stream off");
    } else {
        tracing::error!(error = %crate::chain(error), "a bulk stream was broken off");
    }
}

fn write_line<O: Serialize>(out: &mut Vec<u8>, number: u64, answer: Result<O, Problem>) {
    let start = out.len();
    let bad = |problem| BadLine { line: number, problem };
    let answer = answer.map_or_else(|problem| Line::Bad(bad(problem)), Line::Good);
    if append_json(out, &answer).is_err() {
        out.truncate(start);
        let problem = Problem::new("internal", 500, "The answer has no JSON form");
        out.extend(serde_json::to_vec(&bad(problem)).unwrap_or_default());
    }
    out.push(b'\n');
}

/// Cuts a payload into batches without ever holding more than one line and one chunk.
struct Lines {
    payload: Payload,
    buffer: BytesMut,
    /// Of the last line that was cut off.
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
    /// What has come, as soon as it holds a line; none at the end.
    async fn batch(&mut self) -> Result<Option<Batch>, ApiError> {
        let mut batch = self.cut();
        while batch.is_none() && self.state != State::Ended {
            let chunk = self.payload.next().await;
            self.take(chunk)?;
            // What else is here already goes with it: a hop to another thread is then worth more.
            while self.state != State::Ended
                && self.buffer.len() < ENOUGH
                && let Some(chunk) = self.payload.next().now_or_never()
            {
                self.take(chunk)?;
            }
            batch = self.cut();
            if batch.is_none() {
                // Without this, who sends an endless line has the worker for himself.
                tokio::task::yield_now().await;
            }
        }
        Ok(batch)
    }

    fn take(&mut self, chunk: Option<Result<Bytes, PayloadError>>) -> Result<(), ApiError> {
        match chunk {
            Some(chunk) => {
                let chunk = chunk.map_err(|error| ApiError::malformed(error.to_string()))?;
                self.buffer.extend_from_slice(&chunk);
            }
            None => {
                if self.state == State::Skipping {
                    self.skip();
                }
                // The last line may lack its end.
                if !self.buffer.is_empty() {
                    self.buffer.extend_from_slice(b"\n");
                }
                self.state = State::Ended;
            }
        }
        Ok(())
    }

    /// Takes complete lines off the buffer; `None` when it holds none.
    fn cut(&mut self) -> Option<Batch> {
        if self.state == State::Skipping {
            self.skip();
        }
        let (mut lines, mut length) = (0, 0);
        for end in memchr_iter(b'\n', &self.buffer).take(BATCH) {
            lines += 1;
            length = end + 1;
        }
        if lines > 0 {
            let first = self.number + 1;
            self.number += lines;
            return Some(Batch::Lines { first, text: self.buffer.split_to(length).freeze() });
        }
        // A carriage return may still turn out to belong to the line's end.
        if self.buffer.len() > MAX_LINE + 1 {
            self.state = State::Skipping;
            self.buffer.clear();
            self.number += 1;
            return Some(Batch::TooLong(self.number));
        }
        None
    }

    fn skip(&mut self) {
        match memchr(b'\n', &self.buffer) {
            Some(end) => {
                self.buffer.advance(end + 1);
                self.state = State::Open;
            }
            None => self.buffer.clear(),
        }
    }
}

impl Batch {
    /// Bytes that the answers hardly exceed: answers are of the size of their questions, and growing means copying.
    fn likely_answer(&self) -> usize {
        match self {
            Self::Lines { text, .. } => 2 * text.len(),
            Self::TooLong(_) => 0,
        }
    }

    /// The lines that want an answer.
    fn lines(&self) -> impl Iterator<Item = Numbered<'_>> {
        let (first, text, left_out): (u64, &[u8], _) = match self {
            Self::Lines { first, text } => (*first, text, None),
            Self::TooLong(number) => (0, &[], Some((*number, Err(too_long())))),
        };
        let ends = memchr_iter(b'\n', text).scan(0, |start, end| Some(std::mem::replace(start, end + 1)..end));
        let lines = (first..).zip(ends.map(|range| &text[range])).filter_map(|(number, line)| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let read = if line.len() > MAX_LINE { Err(too_long()) } else { Ok(line) };
            (!line.iter().all(u8::is_ascii_whitespace)).then_some((number, read))
        });
        lines.chain(left_out)
    }
}

fn too_long() -> Problem {
    let problem = Problem::new("line-too-long", 413, "The line is too long");
    problem.detail(format!("A line has at most {MAX_LINE} bytes."))
}
