//! What HTTP callers say before a handler runs.

use std::future::ready;

use actix_web::{
    FromRequest as _, ResponseError as _, body::MessageBody as _, dev::Payload, http::header::HeaderValue,
    test::TestRequest, web::Bytes,
};
use chassis::http::{IdempotencyKey, IfMatch, Ndjson, Paging, Params, Prefer};
use futures_util::{FutureExt as _, future::poll_fn, stream};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    cursor: Option<String>,
    limit: Option<u32>,
    subject: Option<String>,
}

/// The first line is a header's value, the rest a query: taken, or refused with a 400 that names it.
pub fn headers(data: &[u8]) {
    let (header, query) = super::split(data);
    let mut request = TestRequest::default();
    if let Ok(value) = HeaderValue::from_bytes(header) {
        for name in ["idempotency-key", "if-match", "prefer"] {
            request = request.insert_header((name, value.clone()));
        }
        if let Ok(text) = value.to_str() {
            drop(chassis::telemetry::span_from(Some(text), tracing::Span::none()));
        }
    }
    // The characters that a request line can hold; the others come percent-encoded.
    let query: String =
        query.iter().filter(|byte| byte.is_ascii_graphic() && **byte != b'#').map(|byte| char::from(*byte)).collect();
    if format!("/?{query}").parse::<actix_web::http::Uri>().is_ok() {
        request = request.uri(&format!("/?{query}"));
    }
    let request = request.to_http_request();
    let mut none = Payload::None;
    if let Some(key) = named(IdempotencyKey::from_request(&request, &mut none).into_inner(), "header:Idempotency-Key") {
        assert!((1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    named(IfMatch::from_request(&request, &mut none).into_inner(), "header:If-Match");
    let prefer = named(Prefer::from_request(&request, &mut none).into_inner(), "");
    assert!(prefer.and_then(|prefer| prefer.wait).is_none_or(|wait| wait.as_secs() <= 30));
    let Some(filter) = named(Params::<Filter>::from_request(&request, &mut none).into_inner(), "query:") else {
        return;
    };
    assert!(filter.subject.as_ref().is_none_or(|subject| !subject.contains('\0')));
    if let Some(paging) = named(Paging::parse(filter.cursor.as_deref(), filter.limit), "query:") {
        assert!((1..=500).contains(&paging.limit));
        if let Some(position) = named(paging.after::<(i64, String)>(), "query:cursor").flatten() {
            let printed = Paging::cursor(&position);
            let again = Paging::parse(Some(&printed), None).ok().and_then(|paging| paging.after().ok().flatten());
            assert_eq!(again, Some(position));
        }
    }
}

fn named<T>(read: Result<T, chassis::http::ApiError>, place: &str) -> Option<T> {
    read.inspect_err(|error| assert_eq!(error.status_code(), 400))
        .map_err(|error| error.into_problem())
        .inspect_err(|problem| {
            assert!(problem.errors.iter().any(|error| error.pointer.starts_with(place)), "{problem:?}")
        })
        .ok()
}

/// The first byte says how the rest is cut into pieces: the lines are the same however it comes.
pub fn ndjson(data: &[u8]) {
    let Some((size, text)) = data.split_first() else { return };
    let pieces: Vec<_> = text.chunks(usize::from(*size) + 1).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let request = TestRequest::default().insert_header(("content-type", "application/x-ndjson")).to_http_request();
    let mut payload: Payload = Payload::Stream { payload: Box::pin(stream::iter(pieces)) };
    let lines = Ndjson::from_request(&request, &mut payload).into_inner().expect("the content type is right");
    let answer =
        lines.batches(|lines: Vec<Value>| ready(Ok(lines.into_iter().map(Ok::<_, contracts::Problem>).collect())));
    let mut body = Box::pin(answer.into_body());
    let mut answered = Vec::new();
    // Nothing here waits for anything; a poll without an answer only lets others in.
    while let Some(piece) = (0..).find_map(|_: u64| poll_fn(|cx| body.as_mut().poll_next(cx)).now_or_never()).flatten()
    {
        answered.extend(piece.expect("no line ends the stream"));
    }
    assert_eq!(answered.iter().filter(|byte| **byte == b'\n').count(), naive(text).len());
    for (answer, line) in answered.split(|byte| *byte == b'\n').zip(naive(text)) {
        let answer: Value = serde_json::from_slice(answer).expect("each line is JSON");
        match chassis::http::parse_json::<Value>(line) {
            Ok(value) if line.len() <= 64 * 1024 => assert_eq!(answer, value),
            _ => assert!(answer["problem"]["status"].as_u64().is_some_and(|status| (400..500).contains(&status))),
        }
    }
}

/// Lines as anybody would cut them: at line feeds, without a carriage return before it, without blank ones.
fn naive(text: &[u8]) -> Vec<&[u8]> {
    let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.iter().all(u8::is_ascii_whitespace)).collect()
}
