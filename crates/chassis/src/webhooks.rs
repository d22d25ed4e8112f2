//! Standard Webhooks 1.0 (<https://www.standardwebhooks.com>): how an HTTP body is signed and believed.
//!
//! Signed content is `id.timestamp.body` over the raw bytes: a body that was parsed and written again has another
//! signature. The id stays the same over retries, the timestamp is that of the attempt.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

pub const ID: &str = "webhook-id";
pub const TIMESTAMP: &str = "webhook-timestamp";
pub const SIGNATURE: &str = "webhook-signature";

/// How far a timestamp may be from now, either way. What the reference implementations use.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Why a webhook is not believed, or cannot be signed. Never holds the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    #[error("the secret is not `whsec_` and base64 of 24 to 64 bytes")]
    Secret,
    #[error("header {0} is missing or malformed")]
    Header(&'static str),
    #[error("the timestamp is more than 5 minutes from now")]
    Stale,
    #[error("no signature matches")]
    Mismatch,
}

/// The three headers of one delivery attempt.
///
/// # Errors
/// When the secret is malformed.
pub fn sign(
    secret: &SecretString,
    id: &str,
    timestamp: Timestamp,
    body: &[u8],
) -> Result<[(&'static str, String); 3], WebhookError> {
    let seconds = timestamp.as_second();
    let tag = hmac::sign(&key(secret)?, &content(id, seconds, body));
    let signature = format!("v1,{}", BASE64.encode(tag));
    Ok([(ID, id.to_owned()), (TIMESTAMP, seconds.to_string()), (SIGNATURE, signature)])
}

/// Checks a received webhook and returns its id, to be remembered against replays inside the tolerance.
///
/// `secrets` may hold two while one is rotated; `header` looks a header up by lower-case name.
///
/// # Errors
/// When a header is missing, the timestamp is stale or no signature of any secret matches.
pub fn verify<'h>(
    secrets: &[SecretString],
    header: impl Fn(&'static str) -> Option<&'h str>,
    body: &[u8],
    now: Timestamp,
) -> Result<&'h str, WebhookError> {
    let need = |name| header(name).filter(|value| !value.is_empty()).ok_or(WebhookError::Header(name));
    let id = need(ID)?;
    let seconds: i64 = need(TIMESTAMP)?.parse().map_err(|_| WebhookError::Header(TIMESTAMP))?;
    let signatures = need(SIGNATURE)?;
    if seconds.abs_diff(now.as_second()) > TOLERANCE.as_secs() {
        return Err(WebhookError::Stale);
    }
    let content = content(id, seconds, body);
    let candidates = || signatures.split(' ').filter_map(|one| BASE64.decode(one.strip_prefix("v1,")?).ok());
    for secret in secrets {
        let key = key(secret)?;
        // `hmac::verify` compares in constant time.
        if candidates().any(|tag| hmac::verify(&key, &content, &tag).is_ok()) {
            return Ok(id);
        }
    }
    Err(WebhookError::Mismatch)
}

/// Whether a text is a usable secret; for checking configuration before the first delivery.
///
/// # Errors
/// When it is not.
pub fn check_secret(secret: &SecretString) -> Result<(), WebhookError> {
    key(secret).map(drop)
}

fn key(secret: &SecretString) -> Result<hmac::Key, WebhookError> {
    let encoded = secret.expose_secret().strip_prefix("whsec_").ok_or(WebhookError::Secret)?;
    let bytes = BASE64.decode(encoded).map_err(|_| WebhookError::Secret)?;
    if !(24..=64).contains(&bytes.len()) {
        return Err(WebhookError::Secret);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn content(id: &str, seconds: i64, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", seconds.to_string().as_bytes(), b".", body].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    // The example of the specification and of its reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const MESSAGE: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const KNOWN: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn check(headers: &[(&'static str, String)], body: &[u8], now: i64) -> Result<String, WebhookError> {
        let headers: HashMap<_, _> = headers.iter().cloned().collect();
        let secrets = [SecretString::from("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), SecretString::from(SECRET)];
        verify(&secrets, |name| headers.get(name).map(String::as_str), body, at(now)).map(str::to_owned)
    }

    #[test]
    fn the_specification_s_example_has_the_specification_s_signature() {
        let headers = sign(&SecretString::from(SECRET), MESSAGE, at(1_614_265_330), BODY).unwrap();
        assert_eq!(headers[2], (SIGNATURE, KNOWN.to_owned()));
    }

    #[test]
    fn one_good_signature_among_several_and_either_live_secret_is_enough() {
        let mut headers = sign(&SecretString::from(SECRET), MESSAGE, at(1000), BODY).unwrap();
        headers[2].1 = format!("v1a,xxxx v1,AAAA {}", headers[2].1);
        assert_eq!(check(&headers, BODY, 1300).unwrap(), MESSAGE);
    }

    #[test]
    fn a_changed_byte_another_id_and_an_old_or_future_timestamp_are_refused() {
        let headers = sign(&SecretString::from(SECRET), MESSAGE, at(1000), BODY).unwrap();
        assert_eq!(check(&headers, br#"{"test":2432232314}"#, 1000), Err(WebhookError::Mismatch));
        let mut other = headers.clone();
        other[0].1 = "msg_2".into();
        assert_eq!(check(&other, BODY, 1000), Err(WebhookError::Mismatch));
        assert_eq!(check(&headers, BODY, 1301), Err(WebhookError::Stale));
        assert_eq!(check(&headers, BODY, 699), Err(WebhookError::Stale));
        assert_eq!(check(&headers[..2], BODY, 1000), Err(WebhookError::Header(SIGNATURE)));
    }

    #[test]
    fn a_malformed_secret_is_refused_without_being_shown() {
        for bad in ["", "whsec_", "whsec_c2hvcnQ=", "plain", "whsec_%%%"] {
            assert_eq!(check_secret(&SecretString::from(bad)), Err(WebhookError::Secret), "{bad}");
        }
    }
}
