//! The audit log: leaves that hash themselves, and the Merkle tree they are folded into (RFC 6962, section 2.1).
//!
//! The service stores leaves in the transaction that decides; one sequencer folds them afterwards, so that auditing
//! does not serialise deciding. [`Fold`] is all the sequencer needs to keep: one hash per set bit of the size.

use std::fmt;

use aws_lc_rs::digest;
use contracts::canonical_json;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Actor;

/// RFC 6962, section 2.1: leaves and inner nodes are hashed apart, so that neither can pass for the other.
const LEAF_PREFIX: u8 = 0;
const NODE_PREFIX: u8 = 1;

/// SHA-256 of a leaf or a node; 64 hexadecimal digits in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeHash([u8; 32]);

impl TreeHash {
    /// Hash of raw leaf bytes.
    #[must_use]
    pub fn leaf(bytes: &[u8]) -> Self {
        Self::of(LEAF_PREFIX, &[bytes])
    }

    fn node(left: Self, right: Self) -> Self {
        Self::of(NODE_PREFIX, &[&left.0, &right.0])
    }

    fn of(prefix: u8, parts: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&[prefix]);
        parts.iter().for_each(|part| context.update(part));
        Self::from_digest(&context.finish())
    }

    fn from_digest(digest: &digest::Digest) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TreeHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TreeHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.as_ref(), &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

impl utoipa::PartialSchema for TreeHash {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9a-f]{64}$")).into()
    }
}
impl utoipa::ToSchema for TreeHash {}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditLeaf {
    pub at: Timestamp,
    pub actor: Actor,
    /// What was done, past tense: `approval.decided`, `grant.issued`.
    #[schema(example = "approval.decided")]
    pub action: String,
    /// What it was done to: `approval:<id>`.
    pub subject: String,
    /// W3C trace id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Whatever proves it later: policy version, facts hash, comment.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub details: serde_json::Value,
}

impl AuditLeaf {
    /// RFC 6962 leaf hash over the canonical JSON (RFC 8785) of the leaf.
    ///
    /// # Errors
    /// When `details` holds what canonical JSON cannot express (an integer beyond 2^53).
    pub fn leaf_hash(&self) -> Result<TreeHash, serde_json::Error> {
        Ok(TreeHash::leaf(&canonical_json(self)?))
    }
}

/// An append-only Merkle tree in as few hashes as it can be continued from: the roots of its perfect subtrees, largest
/// first, one for every set bit of its size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "RawFold")]
pub struct Fold {
    size: u64,
    peaks: Vec<TreeHash>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFold {
    size: u64,
    peaks: Vec<TreeHash>,
}

impl TryFrom<RawFold> for Fold {
    type Error = String;
    fn try_from(raw: RawFold) -> Result<Self, String> {
        let (want, have) = (raw.size.count_ones() as usize, raw.peaks.len());
        if want == have {
            return Ok(Self { size: raw.size, peaks: raw.peaks });
        }
        Err(format!("a tree of {} leaves has {want} peaks, not {have}", raw.size))
    }
}

impl Fold {
    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf: like adding one to a binary number, where every carry merges two equal subtrees.
    pub fn append(&mut self, leaf: TreeHash) {
        let mut hash = leaf;
        let carries = (self.size.trailing_ones() as usize).min(self.peaks.len());
        for left in self.peaks.split_off(self.peaks.len() - carries).into_iter().rev() {
            hash = TreeHash::node(left, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The Merkle tree hash; of an empty tree the hash of nothing (RFC 6962, section 2.1).
    #[must_use]
    pub fn root(&self) -> TreeHash {
        self.peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| TreeHash::node(left, right))
            .unwrap_or_else(|| TreeHash::from_digest(&digest::digest(&digest::SHA256, b"")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leaves and roots of the reference implementation of RFC 6962 (certificate-transparency, `merkle_tree_test`).
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn the_fold_gives_the_published_roots() {
        let mut fold = Fold::default();
        assert_eq!(fold.root().to_string(), ROOTS[0]);
        for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
            fold.append(TreeHash::leaf(&hex::decode(leaf).unwrap()));
            assert_eq!(fold.root().to_string(), *root, "{} leaves", fold.size());
        }
    }

    #[test]
    fn a_fold_continues_where_it_was_stored() {
        let leaf = |i: u8| TreeHash::leaf(&[i]);
        let (mut whole, mut parts) = (Fold::default(), Fold::default());
        for i in 0..100 {
            whole.append(leaf(i));
            parts = serde_json::from_str(&serde_json::to_string(&parts).unwrap()).unwrap();
            parts.append(leaf(i));
        }
        assert_eq!(parts, whole);
        assert!(serde_json::from_str::<Fold>(r#"{"size": 3, "peaks": []}"#).is_err());
    }

    #[test]
    fn a_changed_leaf_has_another_hash_and_key_order_does_not_matter() {
        let leaf = |details: &str| AuditLeaf {
            at: "2026-11-23T08:00:00Z".parse().unwrap(),
            actor: Actor::Steward,
            action: "approval.expired".into(),
            subject: "approval:1".into(),
            trace_id: None,
            details: serde_json::from_str(details).unwrap(),
        };
        let hash = |details| leaf(details).leaf_hash().unwrap();
        assert_eq!(hash(r#"{"a": 1, "b": 2}"#), hash(r#"{"b": 2.0, "a": 1}"#));
        assert_ne!(hash(r#"{"a": 1}"#), hash(r#"{"a": 2}"#));
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
            let hash = |details: &serde_json::Value| TreeHash::leaf(&canonical_json(details).unwrap());
            let details = serde_json::json!(number);
            let stored: serde_json::Value = serde_json::from_str(&details.to_string()).unwrap();
            assert_eq!(hash(&stored), hash(&details), "{number}");
        }
    }
}
