//! The audit log as it travels: leaves, the Merkle tree over them, and signed checkpoints of it.
//!
//! Each service has a log of its own. A leaf is written in the transaction that it tells of; one sequencer folds leaves
//! into the log afterwards, so that auditing does not serialise deciding. Whoever keeps an old checkpoint can find out
//! whether the log was rolled back or rewritten since.

mod checkpoint;
mod key;
mod tree;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    checkpoint::{Checkpoint, InvalidNote, NoteSigner, open_note},
    key::{InvalidKey, Jwk, Jwks},
    tree::{Fold, Subtree, TreeHash, consistency_path, extends, includes, inclusion_path, subtrees},
};
use crate::canonical_json;

/// One thing that happened. What is hashed is its canonical JSON (RFC 8785).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditLeaf {
    pub id: String,
    pub at: Timestamp,
    /// `key:n8n`, `person:olga`, `policy:...`, `service:supply`.
    pub actor: String,
    /// What was done, past tense.
    #[schema(example = "approval.approved")]
    pub verb: String,
    #[schema(example = "approval:0192f0c1-...")]
    pub subject: String,
    /// W3C trace id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Whatever proves it later: policy version, facts hash, comment.
    #[schema(value_type = Object)]
    pub details: Value,
}

/// Integers up to here are what they are in canonical JSON, which knows 64-bit floats only: 2^53 - 1.
const LARGEST_EXACT: u64 = (1 << 53) - 1;

impl AuditLeaf {
    /// Stored details as a leaf holds them: the JSON of the text, or the text itself where canonical JSON would round an
    /// integer, so that no two different details have one hash.
    #[must_use]
    pub fn details_of(text: String) -> Value {
        serde_json::from_str(&text).ok().filter(is_exact).unwrap_or(Value::String(text))
    }

    /// Leaf hash over the canonical JSON.
    ///
    /// # Errors
    /// When the leaf has no JSON form.
    pub fn hash(&self) -> Result<TreeHash, serde_json::Error> {
        Ok(TreeHash::leaf(&canonical_json(self)?))
    }
}

fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number
            .as_u64()
            .or_else(|| number.as_i64().map(i64::unsigned_abs))
            .is_none_or(|whole| whole <= LARGEST_EXACT),
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(fields) => fields.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_leaf_has_another_hash_and_key_order_does_not_matter() {
        let leaf = |details: &str| AuditLeaf {
            id: "1".into(),
            at: "2026-11-23T08:00:00Z".parse().unwrap(),
            actor: "steward".into(),
            verb: "approval.expired".into(),
            subject: "approval:1".into(),
            trace_id: None,
            correlation_id: None,
            details: AuditLeaf::details_of(details.to_owned()),
        };
        let hash = |details| leaf(details).hash().unwrap();
        assert_eq!(hash(r#"{"a": 1, "b": 2}"#), hash(r#"{"b": 2.0, "a": 1}"#));
        assert_ne!(hash(r#"{"a": 1}"#), hash(r#"{"a": 2}"#));
        // As 64-bit floats these are one number each.
        assert_ne!(hash(r#"{"a": [9007199254740992]}"#), hash(r#"{"a": [9007199254740993]}"#));
        assert_ne!(hash(r#"{"a": {"b": -9007199254740992}}"#), hash(r#"{"a": {"b": -9007199254740993}}"#));
    }

    /// Guards serde_json's `float_roundtrip`, which serde_json_canonicalizer switches on for us: without it some numbers
    /// are read one last digit off, and a stored leaf would no longer prove itself.
    #[test]
    fn a_leaf_keeps_its_hash_through_the_database() {
        let mut state = 1_u64;
        for _ in 0..20_000 {
            // Numbers of full precision: an LCG (Knuth, MMIX), so that the test needs no randomness.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            #[expect(clippy::cast_precision_loss, reason = "53 bits remain")]
            let number = (state >> 11) as f64 / 1e13;
            let hash = |details: &Value| TreeHash::leaf(&canonical_json(details).unwrap());
            let details = serde_json::json!(number);
            let stored: Value = serde_json::from_str(&details.to_string()).unwrap();
            assert_eq!(hash(&stored), hash(&details), "{number}");
        }
    }
}
