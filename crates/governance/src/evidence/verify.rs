//! Checking a bundle, without a network and without trust in who made it.

use contracts::{
    Digest,
    audit::{AuditLeaf, Checkpoint, InvalidNote, Jwks, extends, includes, open_note},
    canonical_json,
};
use serde_json::Value;

use super::{Bundle, Evidence, FORMAT, Told, bindings, sealed_text};
use crate::{Grant, GrantRefused, GrantVerifier};

/// What a sound bundle proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub approval_id: String,
    /// One line for each thing that was checked.
    pub checks: Vec<String>,
    /// What this bundle cannot prove by itself.
    pub limits: Vec<String>,
    /// The state of the log: keep it, to hold the next bundle against it.
    pub checkpoint: Checkpoint,
}

/// The first thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("this is no evidence bundle: {0}")]
    Form(String),
    #[error("the file was changed: it is not in canonical form (RFC 8785)")]
    NotCanonical,
    #[error("the seal does not hold: {0}")]
    Seal(InvalidNote),
    #[error("the file was changed after it was sealed")]
    Changed,
    #[error("the checkpoint does not hold: {0}")]
    Checkpoint(InvalidNote),
    #[error("the checkpoint is of the log {found:?}, the seal of {expected:?}")]
    OtherLog { expected: String, found: String },
    #[error("leaf {index} is not in the log of the checkpoint")]
    NotInLog { index: u64 },
    #[error("leaf {index} is out of order, or about another request")]
    Misplaced { index: u64 },
    #[error("the log does not say what the file says: {0}")]
    Differs(String),
    #[error("the grant does not hold: {0}")]
    Grant(String),
    #[error("the log was rolled back: it has {now} leaves, and had {before}")]
    RolledBack { before: u64, now: u64 },
    #[error("the log was rewritten: it does not begin with the earlier checkpoint of {before} leaves")]
    Forked { before: u64 },
    #[error(
        "whether the log was rewritten cannot be told: the file has no proof from {before} leaves on; export it with \
         ?consistent_with={before}"
    )]
    Unproved { before: u64 },
}

/// Checks every statement of the bundle. `trusted`: keys that the reader got another way; without them, those in the
/// file. `earlier`: a checkpoint that was kept from before this file was made.
///
/// # Errors
/// [`Broken`], the first thing that does not hold.
pub fn verify(file: &[u8], trusted: Option<&Jwks>, earlier: Option<&str>) -> Result<Verified, Broken> {
    let form = |error: serde_json::Error| Broken::Form(error.to_string());
    let raw: Value = serde_json::from_slice(file).map_err(form)?;
    let Bundle { evidence, seal } = serde_json::from_value(raw.clone()).map_err(form)?;
    if canonical_json(&raw).map_err(form)? != file {
        return Err(Broken::NotCanonical);
    }
    if evidence.format != FORMAT {
        return Err(Broken::Form(format!("its format is {:?}, not {FORMAT:?}", evidence.format)));
    }
    let audit_keys = trusted.unwrap_or(&evidence.keys.audit);
    let (text, log) = open_note(&seal, audit_keys).map_err(Broken::Seal)?;
    if text != sealed_text(&Digest::of(&raw["evidence"]).map_err(form)?) {
        return Err(Broken::Changed);
    }
    let mut checks = vec![format!("seal: no byte was changed since {} sealed it", log)];
    let checkpoint = Checkpoint::open(&evidence.checkpoint, audit_keys).map_err(Broken::Checkpoint)?;
    if checkpoint.origin != log {
        return Err(Broken::OtherLog { expected: log.to_owned(), found: checkpoint.origin });
    }
    checks.push(leaves(&evidence, &checkpoint)?);
    checks.extend(contents(&evidence)?);
    checks.extend(grant(&evidence, trusted.unwrap_or(&evidence.keys.grants))?);
    let mut limits = Vec::new();
    match earlier {
        Some(note) => checks.push(history(&evidence, &checkpoint, note, audit_keys)?),
        None => {
            limits.push("the log may have been rewritten before this checkpoint: give one kept from earlier".into())
        }
    }
    if evidence.grant_withheld {
        limits.push("the grant is still live, and so not in the file".into());
    }
    if trusted.is_none() {
        limits.push("the keys are those in the file: give --jwks to know whose they are".into());
    }
    Ok(Verified { approval_id: evidence.approval_id, checks, limits, checkpoint })
}

/// Every leaf is in the log, about this request, and in its order.
fn leaves(evidence: &Evidence, checkpoint: &Checkpoint) -> Result<String, Broken> {
    let subject = format!("approval:{}", evidence.approval_id);
    let mut next = 0;
    for one in &evidence.leaves {
        if one.index < next || one.leaf.subject != subject {
            return Err(Broken::Misplaced { index: one.index });
        }
        next = one.index + 1;
        let hash = one.leaf.hash().map_err(|error| Broken::Form(error.to_string()))?;
        if !includes(checkpoint.root, checkpoint.size, one.index, hash, &one.path) {
            return Err(Broken::NotInLog { index: one.index });
        }
    }
    let (count, size, origin) = (evidence.leaves.len(), checkpoint.size, &checkpoint.origin);
    Ok(format!("log: {count} leaves are in the signed log {origin} of {size}"))
}

fn of_verb<'e>(evidence: &'e Evidence, verb: &str) -> Option<&'e AuditLeaf> {
    evidence.leaves.iter().rev().map(|one| &one.leaf).find(|leaf| leaf.verb == verb)
}

/// Case, policy, state and decisions are what the leaves hold the hashes of.
fn contents(evidence: &Evidence) -> Result<Vec<String>, Broken> {
    let differs = |what: &str| Broken::Differs(what.to_owned());
    let form = |error: serde_json::Error| Broken::Form(error.to_string());
    let asked = of_verb(evidence, "approval.requested").ok_or_else(|| differs("no leaf tells of the request"))?;
    if asked.actor != evidence.requested_by || asked.at != evidence.created_at {
        return Err(differs("who asked, or when"));
    }
    if asked.details["reference"].as_str() != evidence.reference.as_deref() {
        return Err(differs("the reference"));
    }
    let mut facts = evidence.case["facts"].clone();
    if let Some(fields) = facts.as_object_mut() {
        // As `contracts::Facts::digest`: the moment at which they were read is not part of what they say.
        fields.retain(|name, _| name != "hash" && name != "as_of");
    }
    let facts = Digest::of(&facts).map_err(form)?;
    let shown = evidence.case["facts_hash"].as_str();
    let newest = evidence.leaves.iter().rev().find_map(|one| one.leaf.details["facts_hash"].as_str());
    if shown != Some(facts.as_str()) || newest != shown {
        return Err(differs("the facts"));
    }
    let mut checks = vec![format!("facts: {facts} is what was shown and decided on")];
    checks.push(policies(evidence)?);
    let bound = evidence.leaves.iter().rev().find_map(|one| one.leaf.details.get("binds").filter(|one| !one.is_null()));
    // What is still under way has no leaf yet that binds its state; what is over has, and says so in both places.
    let over = of_verb(evidence, "approval.ended").is_some();
    if over != (evidence.state["phase"]["phase"] == "ended") {
        return Err(differs("whether it is over"));
    }
    let found = bindings(&evidence.case, &evidence.state, evidence.grant.as_deref()).map_err(form)?;
    for part in ["case", "state", "grant"] {
        if part == "grant" && evidence.grant_withheld {
            continue;
        }
        let held = bound.map(|bound| &bound[part]);
        if held != Some(&found[part]) && (over || part == "case") {
            return Err(differs(part));
        }
    }
    checks.push("case, score, route and state are those whose hashes the log holds".to_owned());
    if Told::of(evidence.leaves.iter().map(|one| &one.leaf)) != evidence.told {
        return Err(differs("people, messages or execution"));
    }
    checks.push(decisions(evidence)?);
    Ok(checks)
}

/// The documents are those that the route names, and have the digests under which it names them.
fn policies(evidence: &Evidence) -> Result<String, Broken> {
    let form = |error: serde_json::Error| Broken::Form(error.to_string());
    let route = &evidence.case["route"];
    let named: Vec<&Value> = [&route["policy"], &route["overlay"]].into_iter().filter(|one| !one.is_null()).collect();
    let held = evidence.policies.iter().map(|one| serde_json::to_value(&one.reference)).collect::<Result<Vec<_>, _>>();
    let held = held.map_err(form)?;
    if held.iter().collect::<Vec<_>>() != named {
        return Err(Broken::Differs("the policies that judged are not those in the file".to_owned()));
    }
    for one in &evidence.policies {
        if Digest::of(&one.document).map_err(form)? != one.reference.digest {
            return Err(Broken::Differs(format!("the document of policy {}", one.reference.id)));
        }
    }
    let logged = evidence.leaves.iter().rev().find_map(|one| one.leaf.details["policy"]["digest"].as_str());
    if logged != route["policy"]["digest"].as_str() {
        return Err(Broken::Differs("the policy".to_owned()));
    }
    let names = evidence.policies.iter().map(|one| format!("{}@{}", one.reference.id, one.reference.version));
    Ok(format!("policy: {} is what judged", names.collect::<Vec<_>>().join(" with ")))
}

/// Each decision has its leaf and each leaf its decision, in their order.
fn decisions(evidence: &Evidence) -> Result<String, Broken> {
    // Sending back is a question and not always among the decisions; its leaf speaks for itself.
    let verb = |one: &Value| match one["verdict"].as_str() {
        Some("approve") => Some("approval.approved"),
        Some("reject") => Some("approval.rejected"),
        _ => None,
    };
    let said = evidence.state["decisions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let said: Vec<_> = said
        .iter()
        .filter_map(|one| Some((format!("person:{}", one["person"].as_str()?), verb(one)?, &one["step"])))
        .collect();
    let verbs = ["approval.approved", "approval.rejected"];
    let logged: Vec<_> = evidence
        .leaves
        .iter()
        .filter_map(|one| Some((&one.leaf, *verbs.iter().find(|verb| **verb == one.leaf.verb)?)))
        .map(|(leaf, verb)| (leaf.actor.clone(), verb, &leaf.details["step"]))
        .collect();
    if said != logged {
        return Err(Broken::Differs("the decisions".to_owned()));
    }
    Ok(format!("people: {} decision(s), each with its leaf", said.len()))
}

/// The grant is signed, and for exactly this case.
fn grant(evidence: &Evidence, keys: &Jwks) -> Result<Option<String>, Broken> {
    let Some(token) = &evidence.grant else {
        let issued = of_verb(evidence, "grant.issued").is_some();
        return if issued && !evidence.grant_withheld {
            Err(Broken::Grant("the log tells of one, the file has none".into()))
        } else {
            Ok(None)
        };
    };
    let refused = |error: GrantRefused| Broken::Grant(error.to_string());
    let verifier = GrantVerifier::from_jwks(keys).map_err(|error| Broken::Grant(error.to_string()))?;
    let grant = verifier.read(token).map_err(refused)?;
    let Grant { grant_id, approval_id, action, facts_hash, bounds, policy, requested_by, .. } = &grant;
    let case = &evidence.case;
    let same = |claim: Result<Vec<u8>, serde_json::Error>, held: &Value| {
        claim.is_ok_and(|claim| canonical_json(held).is_ok_and(|held| held == claim))
    };
    let issued = of_verb(evidence, "grant.issued").and_then(|leaf| leaf.details["grant_id"].as_str());
    let holds = [
        ("request", *approval_id == evidence.approval_id),
        ("id", issued == Some(grant_id.as_str())),
        ("action", same(canonical_json(action), &case["action"])),
        ("facts", case["facts_hash"] == facts_hash.as_str()),
        ("bounds", same(canonical_json(bounds), &case["bounds"])),
        ("policy", same(canonical_json(policy), &case["route"]["policy"])),
        // Grants of versions before this claim name nobody.
        ("requester", requested_by.as_ref().is_none_or(|by| same(canonical_json(by), &evidence.state["requester"]))),
    ];
    match holds.iter().find(|(_, holds)| !holds) {
        Some((what, _)) => Err(Broken::Grant(format!("it is for another {what}"))),
        None => Ok(Some(format!("grant: {grant_id} is signed, and for exactly this case"))),
    }
}

/// The log of the file begins with the log of the earlier checkpoint.
fn history(evidence: &Evidence, now: &Checkpoint, note: &str, keys: &Jwks) -> Result<String, Broken> {
    let before = Checkpoint::open(note, keys).map_err(Broken::Checkpoint)?;
    if before.origin != now.origin {
        return Err(Broken::OtherLog { expected: before.origin, found: now.origin.clone() });
    }
    let (old, new) = ((before.size, before.root), (now.size, now.root));
    if before.size > now.size {
        return Err(Broken::RolledBack { before: before.size, now: now.size });
    }
    let proof = evidence.consistency.as_ref().filter(|proof| proof.from == before.size);
    let path = match proof {
        Some(proof) => proof.path.as_slice(),
        None if before.size == now.size || before.size == 0 => &[],
        None => return Err(Broken::Unproved { before: before.size }),
    };
    if !extends(old, new, path) {
        return Err(Broken::Forked { before: before.size });
    }
    Ok(format!("history: the log of {} leaves begins with the {} of the earlier checkpoint", now.size, before.size))
}
