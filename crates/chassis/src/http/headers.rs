//! Request headers with a meaning of their own.

use std::{
    future::{Ready, ready},
    ops::Deref,
    time::Duration,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use utoipa::{
    IntoParams,
    openapi::{
        Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Type},
    },
};

use super::ApiError;

/// Longest idempotency key, in bytes.
const MAX_KEY: usize = 255;
/// Longest wait that `Prefer: wait` is given, so that it ends before any proxy's timeout.
const MAX_WAIT: Duration = Duration::from_secs(30);

fn one_header<'r>(request: &'r HttpRequest, name: &str) -> Result<Option<&'r str>, ApiError> {
    let mut values = request.headers().get_all(name);
    let first = values.next();
    if values.next().is_some() {
        return Err(ApiError::bad_parameter(format!("header:{name}"), "is given twice"));
    }
    let text = first.map(|value| value.to_str().map(str::trim));
    text.transpose().map_err(|_| ApiError::bad_parameter(format!("header:{name}"), "must be ASCII text"))
}

fn header_parameter(name: &str, required: Required, schema: ObjectBuilder, about: &str) -> Vec<Parameter> {
    let schema = schema.schema_type(Type::String);
    vec![
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(required)
            .description(Some(about))
            .schema(Some(schema))
            .build(),
    ]
}

/// `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), bare or as the draft's quoted string: what makes a
/// repeat of a creating request recognisable. Take it from the business event, not from the execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    const NAME: &'static str = "Idempotency-Key";

    fn parse(text: Option<&str>) -> Result<Self, ApiError> {
        let bad = |detail: String| ApiError::bad_parameter(format!("header:{}", Self::NAME), detail);
        let text = text.ok_or_else(|| bad("is required".to_owned()))?;
        let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        match bare.len() {
            0 => Err(bad("must not be empty".to_owned())),
            1..=MAX_KEY if bare.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self(bare.to_owned())),
            1..=MAX_KEY => Err(bad("must be visible ASCII without spaces".to_owned())),
            length => Err(bad(format!("must be at most {MAX_KEY} bytes, is {length}"))),
        }
    }
}

impl Deref for IdempotencyKey {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl IdempotencyKey {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromRequest for IdempotencyKey {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(one_header(request, Self::NAME).and_then(Self::parse))
    }
}

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "Names this request: the same key with the same fields gets the same answer for 7 days.";
        let schema = ObjectBuilder::new()
            .min_length(Some(1))
            .max_length(Some(MAX_KEY))
            .pattern(Some("^[!-~]+$"))
            .examples(["low-stock:SKU-10233@store-017:2026-11-23"]);
        header_parameter(Self::NAME, Required::True, schema, about)
    }
}

/// `Prefer: wait=10` (RFC 7240): how long the caller would wait for the end of what was accepted. Unknown preferences
/// are ignored, as the RFC asks; more than 30 s is 30 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    pub wait: Option<Duration>,
}

impl Prefer {
    fn parse<'v>(values: impl Iterator<Item = &'v str>) -> Self {
        let mut preferences = values.flat_map(|value| value.split([',', ';']));
        let wait = preferences.find_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            let seconds = value.trim().trim_matches('"').parse().ok()?;
            name.trim().eq_ignore_ascii_case("wait").then(|| Duration::from_secs(seconds).min(MAX_WAIT))
        });
        Self { wait }
    }
}

impl FromRequest for Prefer {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::parse(request.headers().get_all("prefer").filter_map(|value| value.to_str().ok()))))
    }
}

impl IntoParams for Prefer {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "`wait=<seconds>`, at most 30: answer with the finished result when it comes in that time.";
        header_parameter("Prefer", Required::False, ObjectBuilder::new().examples(["wait=10"]), about)
    }
}

/// `If-Match`: the version that the caller decided on. `None` when the header is absent or `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfMatch(pub Option<i64>);

/// The strong entity tag of a version.
#[must_use]
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

impl IfMatch {
    const NAME: &'static str = "If-Match";

    /// Compares with the current version; without the header any version matches.
    ///
    /// # Errors
    /// 412 when it is another one.
    pub fn check(self, current: i64) -> Result<(), ApiError> {
        match self.0 {
            Some(seen) if seen != current => Err(ApiError::stale(&etag(current))),
            _ => Ok(()),
        }
    }

    fn parse(text: Option<&str>) -> Result<Self, ApiError> {
        let version = match text {
            None | Some("*") => None,
            Some(tag) => {
                let bare = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                let version = bare.and_then(|digits| digits.parse().ok());
                let bad =
                    || ApiError::bad_parameter("header:If-Match", "must be an ETag as it was given, such as \"3\"");
                Some(version.ok_or_else(bad)?)
            }
        };
        Ok(Self(version))
    }
}

impl FromRequest for IfMatch {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(one_header(request, Self::NAME).and_then(Self::parse))
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "The ETag that was read; 412 when it is no longer the current one.";
        let schema = ObjectBuilder::new().pattern(Some(r#"^("[0-9]{1,18}"|\*)$"#)).examples(["\"3\""]);
        header_parameter(Self::NAME, Required::False, schema, about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_bare_or_quoted_and_has_limits() {
        assert_eq!(IdempotencyKey::parse(Some("a:b")).unwrap().as_str(), "a:b");
        assert_eq!(IdempotencyKey::parse(Some("\"a:b\"")).unwrap().as_str(), "a:b");
        for bad in [None, Some(""), Some("\"\""), Some("a b"), Some("x".repeat(256).as_str())] {
            assert!(IdempotencyKey::parse(bad).is_err(), "{bad:?}");
        }
        assert!(IdempotencyKey::parse(Some(&"x".repeat(255))).is_ok());
    }

    #[test]
    fn prefer_finds_its_wait_among_others_and_bounds_it() {
        let wait = |values: &[&str]| Prefer::parse(values.iter().copied()).wait;
        assert_eq!(wait(&["respond-async, wait=10"]), Some(Duration::from_secs(10)));
        assert_eq!(wait(&["return=minimal", "Wait=\"5\""]), Some(Duration::from_secs(5)));
        assert_eq!(wait(&["wait=4000"]), Some(MAX_WAIT));
        assert_eq!(wait(&["wait=soon", "waiting=3"]), None);
    }

    #[test]
    fn a_version_is_compared_with_the_one_that_was_seen() {
        let seen = IfMatch::parse(Some(&etag(3))).unwrap();
        assert!(seen.check(3).is_ok());
        assert_eq!(seen.check(4).unwrap_err().into_problem().status, 412);
        assert!(IfMatch::parse(None).unwrap().check(9).is_ok() && IfMatch::parse(Some("*")).unwrap().check(9).is_ok());
        for bad in ["3", "W/\"3\"", "\"x\"", "\"1\", \"2\""] {
            assert!(IfMatch::parse(Some(bad)).is_err(), "{bad}");
        }
    }
}
