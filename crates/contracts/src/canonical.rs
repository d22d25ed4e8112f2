//! Canonical JSON (RFC 8785) and the SHA-256 digest over it: what hashes, fingerprints and signatures are taken of.

use std::{fmt, io};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::ser::{CompactFormatter, Formatter};

/// SHA-256, written as `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String")]
#[schema(
    pattern = "^sha256:[0-9a-f]{64}$",
    example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
)]
pub struct Digest(String);

/// Why a text is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be \"sha256:\" and 64 lower-case hexadecimal digits")]
pub struct InvalidDigest;

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        let digits = text.strip_prefix("sha256:").ok_or(InvalidDigest)?;
        let sound = digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if sound { Ok(Self(text)) } else { Err(InvalidDigest) }
    }
}

impl Digest {
    /// Digest of raw bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity("sha256:".len() + 64);
        text.push_str("sha256:");
        for byte in digest::digest(&digest::SHA256, bytes).as_ref() {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        Self(text)
    }

    /// Digest of a value's canonical JSON.
    ///
    /// # Errors
    /// When the value cannot be JSON (a map with non-string keys, a NaN).
    pub fn of<T: Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self::of_bytes(&canonical_json(value)?))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Appends a value's JSON, byte for byte as `serde_json` writes it, faster where numbers are whole: units sold, stock
/// and days mostly are, and finding the shortest decimal fraction of each costs more than all else in an answer.
///
/// # Errors
/// When the value cannot be JSON; then part of it may have been written.
pub fn append_json<T: Serialize>(out: &mut Vec<u8>, value: &T) -> Result<(), serde_json::Error> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, WholeNumbers))
}

struct WholeNumbers;

impl Formatter for WholeNumbers {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        // Far below where the exponent comes into use; the sign is looked at because of -0.0.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "compared with the original next")]
        let whole = value as u32;
        if f64::from(whole).to_bits() != value.to_bits() {
            return CompactFormatter.write_f64(writer, value);
        }
        self.write_u32(writer, whole)?;
        writer.write_all(b".0")
    }
}

/// The RFC 8785 form of a value: keys sorted by UTF-16 code units, no white space, shortest numbers.
///
/// # Errors
/// When the value cannot be JSON.
pub fn canonical_json<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json_canonicalizer::to_vec(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_digest_is_parsed_at_the_door() {
        let text = |digest: &Digest| serde_json::to_string(digest).unwrap();
        let digest = Digest::of_bytes(b"");
        assert_eq!(serde_json::from_str::<Digest>(&text(&digest)).unwrap(), digest);
        for bad in [text(&digest).to_uppercase(), text(&digest).replace(":e", ":"), "\"AAA\"".into(), "1".into()] {
            assert!(serde_json::from_str::<Digest>(&bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_are_written_as_all_others_are(any: Vec<f64>, sold: Vec<u32>, owed: Vec<i32>) {
            let sold: Vec<f64> = sold.into_iter().map(f64::from).collect();
            let quarters: Vec<f64> = owed.into_iter().map(|n| f64::from(n) / 4.0).collect();
            let value = (any, sold, quarters, [-0.0, 1e15, 1e16, 4_294_967_295.0, 4_294_967_296.0]);
            let mut written = Vec::new();
            append_json(&mut written, &value).unwrap();
            prop_assert_eq!(written, serde_json::to_vec(&value).unwrap());
        }
    }

    #[test]
    fn key_order_does_not_change_the_digest() {
        let a = serde_json::json!({"b": 1, "a": {"y": 2.50, "x": "é"}});
        let b: serde_json::Value = serde_json::from_str(r#"{"a":{"x":"é","y":2.5},"b":1.0}"#).unwrap();
        assert_eq!(Digest::of(&a).unwrap(), Digest::of(&b).unwrap());
        assert_eq!(canonical_json(&a).unwrap(), r#"{"a":{"x":"é","y":2.5},"b":1}"#.as_bytes());
    }
}
