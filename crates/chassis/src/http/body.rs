//! JSON bodies, read strictly, and YAML where people write the document.

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    pin::Pin,
};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header};
use contracts::{
    FieldError, Problem,
    problem::{pointer_to, push_key},
};
use futures_util::StreamExt;
use memchr::memmem;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{ApiError, BodyLimit, params::quoted_field, strict::Strict};

/// The one character that PostgreSQL's TEXT cannot hold, as JSON must write it. No name or text of the field needs it;
/// that a backslash before `u0000` could itself be escaped is not worth telling apart.
const NUL: &[u8] = br"\u0000";

/// Most bytes of a [`LargeBody`]: the most that `http.body_limit_bytes` can be set to.
const LARGE: usize = 16 << 20;

/// A JSON body. 415 unless it says that it is JSON, 413 above `http.body_limit_bytes`, 400 when it is not JSON, 422
/// with a JSON pointer when it is not a `T`. Types use `deny_unknown_fields`, so a misspelt field is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body<T>(pub T);

impl<T> Body<T> {
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Body<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Body<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let limit = limit(&request)?;
            json_body(&request, payload, limit).await.map(Self)
        })
    }
}

/// As [`Body`], for what is large by nature (a fitted model) and sent by few: 413 above 16 MiB. The caller's permission
/// must stand before it in the handler, so that nobody else's bytes are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargeBody<T>(pub T);

impl<T> LargeBody<T> {
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for LargeBody<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move { json_body(&request, payload, LARGE).await.map(Self) })
    }
}

/// A document that people write, as JSON (`application/json`) or YAML (`application/yaml`); read as JSON either way.
/// 415, 413 and 400 as for [`Body`]; the type is for [`parse_json`].
#[derive(Clone, Debug)]
pub struct JsonOrYaml(pub Box<RawValue>);

impl FromRequest for JsonOrYaml {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            expect_type(&request, &["application/json", "application/yaml"])?;
            let bytes = read(&request, payload, limit(&request)?).await?;
            if request.content_type().eq_ignore_ascii_case("application/json") {
                return parse_json(&bytes).map(Self).map_err(ApiError::problem);
            }
            let text = String::from_utf8(bytes).map_err(|_| ApiError::malformed("not UTF-8"))?;
            let value: serde_json::Value =
                serde_saphyr::from_str(&text).map_err(|error| ApiError::malformed(format!("not YAML: {error}")))?;
            Ok(Self(serde_json::value::to_raw_value(&value).map_err(ApiError::internal)?))
        })
    }
}

async fn json_body<T: DeserializeOwned>(request: &HttpRequest, payload: Payload, limit: usize) -> Result<T, ApiError> {
    expect_type(request, &["application/json"])?;
    let bytes = read(request, payload, limit).await?;
    parse_json(&bytes).map_err(ApiError::problem)
}

/// Refuses other content types, and compressed bodies: their unpacked size is not bounded by what was received.
pub(super) fn expect_type(request: &HttpRequest, accepted: &[&str]) -> Result<(), ApiError> {
    let given = request.content_type();
    let plain = request.headers().get(header::CONTENT_ENCODING).is_none_or(|value| value == "identity");
    if plain && accepted.iter().any(|name| given.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    Err(ApiError::unsupported_type(accepted.first().copied().unwrap_or_default()))
}

fn limit(request: &HttpRequest) -> Result<usize, ApiError> {
    request.app_data().map(|BodyLimit(limit)| *limit).ok_or_else(ApiError::misconfigured)
}

async fn read(request: &HttpRequest, mut payload: Payload, limit: usize) -> Result<Vec<u8>, ApiError> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(ApiError::too_large(limit));
    }
    let mut bytes = Vec::with_capacity(announced.unwrap_or_default());
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| ApiError::malformed(error.to_string()))?;
        if bytes.len() + chunk.len() > limit {
            return Err(ApiError::too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Reads one JSON text strictly.
///
/// # Errors
/// A 400 problem when it is not JSON, a 422 problem with a JSON pointer when it is not a `T`.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if memmem::find(bytes, NUL).is_some() {
        let problem = Problem::new("malformed-request", 400, "The request cannot be read");
        return Err(problem.detail("strings must not hold the character U+0000"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Strict(&mut reader)).and_then(|value| reader.end().map(|()| value));
    // Knowing at each step where one is costs more than reading: only what is refused is read again, for its pointer.
    value.or_else(|_| read_with_path(bytes))
}

fn read_with_path<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(Strict(&mut reader))
        .map_err(|error| if error.inner().is_data() { violation(&error) } else { not_json(error.inner()) })?;
    reader.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::new("malformed-request", 400, "The request cannot be read").detail(format!("not JSON: {error}"))
}

fn violation(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let message = error.inner().to_string();
    // Line and column say less than the pointer does.
    let message = message.split(" at line ").next().unwrap_or_default();
    let mut pointer = pointer_to(error.path());
    if let Some(field) = quoted_field(message) {
        let mut own = String::new();
        push_key(&mut own, field);
        // A missing field is named by its own pointer, not by that of the object it is missing from.
        if !pointer.ends_with(&own) || message.starts_with("missing") {
            pointer.push_str(&own);
        }
    }
    Problem::new("invalid-request", 422, "The request has invalid fields")
        .errors(vec![FieldError::new(pointer, message)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        use contracts::{Action, Facts, Money};

        let facts = |lead_time: &str| {
            let text = format!(
                r#"{{"product": "p", "location": "l", "as_of": "2026-11-23T08:00:00Z", "item": {{}}, "place": {{}},
                    "stock": {{"on_hand": 1, "observed_at": "2026-11-23T08:00:00Z"}},
                    "demand": {{"first_day": "2026-11-23", "units": []}}, "lead_time": {lead_time}}}"#
            );
            parse_json::<Vec<Option<Facts>>>(format!("[null, {text}]").as_bytes())
        };
        assert!(facts("{}").is_ok());
        let refused = facts("[null, null]").unwrap_err();
        assert_eq!((refused.status, refused.errors[0].pointer.as_str()), (422, "/1/lead_time"));
        assert_eq!(parse_json::<Money>(br#"[1, "EUR"]"#).unwrap_err().status, 422);
        let action = br#"{"type": "write_off", "product": "p", "location": "l", "quantity": 1}"#;
        assert!(parse_json::<Action>(action).is_ok());
        // What is kept as text, and what may hold anything, keeps its arrays.
        assert!(parse_json::<Vec<Box<RawValue>>>(b"[[1]]").is_ok());
        assert_eq!(parse_json::<serde_json::Value>(b"[[1]]").unwrap(), serde_json::json!([[1]]));
    }

    #[test]
    fn a_character_that_no_store_can_hold_is_refused_at_the_door() {
        assert_eq!(parse_json::<String>(br#""a\u0000b""#).unwrap_err().status, 400);
        assert_eq!(parse_json::<String>(br#""a\u0001b""#).unwrap(), "a\u{1}b");
    }
}
