//! The evidence of one decision: a file that proves by itself who decided what, on which facts, under which policy, and
//! what came of it.
//!
//! What the file says is bound three times. The seal signs its canonical JSON, so that any changed byte shows. The leaves
//! of the audit log hold the hashes of the case, the state and the grant, and are proved to be in a signed checkpoint.
//! And a checkpoint that an auditor kept from earlier shows whether that log was rolled back or rewritten. The first is
//! the service's word of today; the other two hold even against a service that would like to tell another story.

mod verify;

use contracts::audit::{AuditLeaf, Jwks, TreeHash};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::verify::{Broken, Verified, verify};
use crate::PolicyRef;

/// The form of the file; another form is another name.
pub const FORMAT: &str = "steward-evidence/1";

/// The file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    pub evidence: Evidence,
    /// C2SP signed note over the digest of `evidence`, with the key of the audit log.
    pub seal: String,
}

/// What is proved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    #[schema(example = "steward-evidence/1")]
    pub format: String,
    pub exported_at: Timestamp,
    pub approval_id: String,
    #[schema(example = "key:n8n")]
    pub requested_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    pub created_at: Timestamp,
    /// What was asked: action, facts and their hash, score with contributions, what the policy judged by, the route with
    /// its trace, and the facts that the grant rests on.
    #[schema(value_type = Object)]
    pub case: Value,
    /// The policy documents that judged it.
    pub policies: Vec<JudgedBy>,
    /// Steps, who was asked, decisions, how it ended.
    #[schema(value_type = Object)]
    pub state: Value,
    /// The grant, a JWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// Set when a grant was given that is still live: then only who may use it gets a file with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grant_withheld: bool,
    pub told: Told,
    /// All leaves about this request, in the order of the log.
    pub leaves: Vec<ProvedLeaf>,
    /// C2SP signed checkpoint of the log that the leaves are in.
    pub checkpoint: String,
    /// Proof that the log begins with an earlier state of it, when one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    pub keys: EvidenceKeys,
}

/// A version of a policy, as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PolicyDocument)]
pub struct JudgedBy {
    pub reference: PolicyRef,
    #[schema(value_type = Object)]
    pub document: Value,
}

/// What the leaves say, by what a reader looks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// What people did, and for whom.
    pub people: Vec<Deed>,
    /// Who was asked, reminded and told, and which mails about it were sent or failed, when, and to whom.
    pub messages: Vec<Deed>,
    /// What became of the grant.
    pub execution: Vec<Deed>,
}

/// One leaf, in a reader's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deed {
    pub at: Timestamp,
    pub actor: String,
    #[schema(example = "approval.approved")]
    pub what: String,
    #[schema(value_type = Object)]
    pub details: Value,
}

/// A leaf and the hashes that prove its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProvedLeaf {
    pub index: u64,
    pub leaf: AuditLeaf,
    /// RFC 9162, section 2.1.3.
    pub path: Vec<TreeHash>,
}

/// The log began like this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// Leaves of the earlier state.
    pub from: u64,
    pub root: TreeHash,
    /// RFC 9162, section 2.1.4.
    pub path: Vec<TreeHash>,
}

/// The keys that the service published. They prove that the file is of one piece; only keys that the reader got another
/// way prove whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceKeys {
    /// Of checkpoints and of the seal.
    pub audit: Jwks,
    pub grants: Jwks,
}

impl Told {
    /// Sorts the leaves by what a reader looks for. A leaf may answer several questions, or none.
    #[must_use]
    pub fn of<'l>(leaves: impl Iterator<Item = &'l AuditLeaf>) -> Self {
        let mut told = Self::default();
        for leaf in leaves {
            let AuditLeaf { at, actor, verb, details, .. } = leaf.clone();
            let one = Deed { at, actor, what: verb, details };
            let verb = one.what.as_str();
            if one.actor.starts_with("person:") {
                told.people.push(one.clone());
            }
            let asks = ["approval.step_opened", "approval.reminded", "approval.escalated", "approval.approver_added"];
            if asks.contains(&verb) || verb.starts_with("callback.") || verb.starts_with("message.") {
                told.messages.push(one);
            } else if verb.starts_with("grant.") || verb.starts_with("transfer.") {
                told.execution.push(one);
            }
        }
        told
    }
}

/// The text that the seal signs.
#[must_use]
pub fn sealed_text(digest: &contracts::Digest) -> String {
    format!("{FORMAT}\n{digest}\n")
}

/// What the leaf of a request's end must hold, so that the file can be checked against it.
///
/// # Errors
/// When a part has no canonical form.
pub fn bindings(case: &Value, state: &Value, grant: Option<&str>) -> Result<Value, serde_json::Error> {
    let grant = grant.map(|token| contracts::Digest::of_bytes(token.as_bytes()));
    Ok(json!({"case": contracts::Digest::of(case)?, "state": contracts::Digest::of(state)?, "grant": grant}))
}
