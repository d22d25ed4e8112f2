//! The evidence of a decision proves itself, and nothing else.

use chassis::prelude::Digest;
use contracts::{
    EventPayload,
    audit::{Checkpoint, Jwks, NoteSigner, extends, includes},
    canonical_json,
    events::{GrantConsumed, MessageFailed, MessageSent, TransferDrafted},
};
use governance::evidence::{Broken, Bundle, sealed_text, verify};
use serde_json::{Value, json};
use testkit::{borrow_database, require};

use crate::bed::{Bed, Wish, cross_region, key, routine};

/// A request that was approved by a person, whose grant was used.
async fn carried_out(bed: &Bed) -> String {
    let id = bed.ask_id(&cross_region()).await;
    assert_eq!(bed.decide("olga", &id, json!({"decision": "approve", "comment": "go"})).await.status, 200);
    let grant_id = bed.events().await.last().unwrap().1["grant_id"].as_str().unwrap().to_owned();
    let used = GrantConsumed {
        grant_id: grant_id.clone(),
        approval_id: id.clone(),
        operation_id: "operation-1".into(),
        executor: "key:n8n".into(),
        consumed_at: bed.clock.now(),
    };
    bed.publish(&used).await;
    let drafted = json!({"operation_id": "operation-1", "approval_id": id, "grant_id": grant_id, "product": "SKU-1",
        "from": "store-7", "to": "store-1", "quantity": 24.0, "odoo_id": 7, "odoo_name": "WH/INT/7",
        "projected_available": 27.5});
    bed.publish(&serde_json::from_value::<TransferDrafted>(drafted).unwrap()).await;
    id
}

fn signer() -> NoteSigner {
    NoteSigner::new("steward/approvals", key(2).pkcs8_der()).unwrap()
}

/// What somebody could make who holds the key of the seal, but not the log.
fn sealed_again(mut bundle: Value) -> Vec<u8> {
    let digest = Digest::of(&bundle["evidence"]).unwrap();
    bundle["seal"] = json!(signer().sign(&sealed_text(&digest)));
    canonical_json(&bundle).unwrap()
}

async fn a_decision_is_proved_from_its_file_alone(bed: &Bed) {
    let id = carried_out(bed).await;
    let file = bed.evidence("audra", &id, "").await;
    let sound = verify(&file, None, None).unwrap();
    assert_eq!((sound.approval_id.as_str(), sound.limits.len()), (id.as_str(), 2));
    let bundle: Value = serde_json::from_slice(&file).unwrap();
    let evidence = &bundle["evidence"];
    assert_eq!(evidence["case"]["score"]["contributions"][0]["micros"], 700_000);
    assert_eq!(evidence["policies"][0]["document"]["policy"], evidence["case"]["route"]["policy"]["id"]);
    let words = |part: &str| {
        let told = evidence["told"][part].as_array().unwrap();
        told.iter().map(|one| one["what"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(words("people"), ["approval.approved", "approval.ended"]);
    assert_eq!(words("messages"), ["approval.step_opened"]);
    assert_eq!(words("execution"), ["grant.issued", "grant.consumed", "transfer.drafted"]);
    // With keys that the reader got elsewhere; with keys of somebody else, nothing holds.
    let both = |audit: u8, grants: u8| Jwks { keys: vec![key(audit).jwk(), key(grants).jwk()] };
    assert_eq!(verify(&file, Some(&both(2, 1)), None).unwrap().limits.len(), 1);
    assert!(matches!(verify(&file, Some(&both(3, 1)), None), Err(Broken::Seal(_))));
    assert!(matches!(verify(&file, Some(&both(2, 3)), None), Err(Broken::Grant(_))));
}

#[tokio::test]
async fn the_evidence_of_a_decision_proves_itself_on_sqlite() {
    let bed = Bed::start().await;
    a_decision_is_proved_from_its_file_alone(&bed).await;
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_evidence_of_a_decision_proves_itself_on_postgresql() {
    require!(Postgres);
    let url = borrow_database().await.unwrap();
    let bed = Bed::with(&Wish { store: Some(&url), ..Wish::default() }).await;
    a_decision_is_proved_from_its_file_alone(&bed).await;
    bed.stop().await;
}

/// An event of the notifier, as JSON brings it.
async fn notified<E: EventPayload>(bed: &Bed, about: Option<&str>, end: Value) {
    let mut event = json!({"message_id": "m-1", "channel": "email", "template": "approval-requested",
        "recipient": "olga", "about": about});
    event.as_object_mut().unwrap().extend(end.as_object().unwrap().clone());
    bed.publish(&serde_json::from_value::<E>(event).unwrap()).await;
}

async fn who_was_told_of_a_request_and_with_what_result_is_in_its_evidence(bed: &Bed) {
    let id = bed.ask_id(&cross_region()).await;
    let (about, sent) = (format!("approval:{id}"), json!({"sent_at": "2026-11-23T08:00:05Z"}));
    notified::<MessageFailed>(bed, Some(&about), json!({"recipient": "sven", "reason": "550 no such mailbox"})).await;
    notified::<MessageSent>(bed, Some(&about), sent.clone()).await;
    for foreign in [None, Some("approval:of-somebody-else"), Some("purchase:7")] {
        notified::<MessageSent>(bed, foreign, sent.clone()).await;
    }
    assert_eq!(bed.audited("approval:of-somebody-else").await, []);
    let file = bed.evidence("audra", &id, "").await;
    verify(&file, None, None).unwrap();
    let evidence: Value = serde_json::from_slice(&file).unwrap();
    let told = evidence["evidence"]["told"]["messages"].as_array().unwrap();
    let told: Vec<_> = told.iter().skip(1).map(|one| (&one["what"], &one["details"])).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert_eq!((told[0].0, &told[0].1["recipient"]), (&json!("message.failed"), &json!("sven")));
    assert_eq!(told[0].1["reason"], "550 no such mailbox");
    assert_eq!((told[1].0, &told[1].1["recipient"]), (&json!("message.sent"), &json!("olga")));
    assert_eq!(told[1].1["sent_at"], sent["sent_at"]);
    assert!(!told[1].1.to_string().contains('@'), "to whom, not where: {told:#?}");
}

#[tokio::test]
async fn who_was_told_is_in_the_evidence_on_sqlite() {
    let bed = Bed::start().await;
    who_was_told_of_a_request_and_with_what_result_is_in_its_evidence(&bed).await;
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_told_is_in_the_evidence_on_postgresql() {
    require!(Postgres);
    let url = borrow_database().await.unwrap();
    let bed = Bed::with(&Wish { store: Some(&url), ..Wish::default() }).await;
    who_was_told_of_a_request_and_with_what_result_is_in_its_evidence(&bed).await;
    bed.stop().await;
}

#[tokio::test]
async fn any_changed_byte_of_the_evidence_fails() {
    let bed = Bed::start().await;
    let file = bed.evidence("audra", &carried_out(&bed).await, "").await;
    // A prime step meets every part of the file; all bytes take minutes without optimisation.
    for at in (0..file.len()).step_by(97).chain(file.len() - 200..file.len()) {
        let mut changed = file.clone();
        // Another bit of each byte; bit 5 turns letters into others, 0 digits into their neighbours.
        changed[at] ^= 1 << (at % 7);
        assert!(verify(&changed, None, None).is_err(), "byte {at}");
    }
    for cut in [&file[1..], &file[..file.len() - 1], &[&file[..], b"\n"].concat()] {
        assert!(verify(cut, None, None).is_err());
    }
    bed.stop().await;
}

/// Every value in the file, as pointers to it.
fn scalars(value: &Value, pointer: &str, found: &mut Vec<String>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| scalars(value, &format!("{pointer}/{}", escaped(key)), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| scalars(value, &format!("{pointer}/{i}"), found));
        }
        _ => found.push(pointer.to_owned()),
    }
}

#[tokio::test]
async fn whoever_holds_the_key_of_the_seal_cannot_tell_another_story_than_the_log() {
    let bed = Bed::start().await;
    let file = bed.evidence("audra", &carried_out(&bed).await, "").await;
    let bundle: Value = serde_json::from_slice(&file).unwrap();
    let mut pointers = Vec::new();
    scalars(&bundle["evidence"], "/evidence", &mut pointers);
    assert!(pointers.len() > 200);
    // The moment of the export and the published keys are the seal's word alone; the log does not know them.
    let free = ["/evidence/exported_at", "/evidence/keys"];
    // Of the hashes of a path one is as good as another.
    pointers.retain(|pointer| !pointer.contains("/path/") || pointer.ends_with("/path/0"));
    // A fifth of the long parts, which are bound as a whole.
    let (mut nth, long) = (0, ["/case/facts", "/document/", "/told/"]);
    pointers.retain(|pointer| {
        nth += 1;
        nth % 5 == 0 || !long.iter().any(|part| pointer.contains(part))
    });
    let mut believed = Vec::new();
    for pointer in pointers.iter().filter(|pointer| !free.iter().any(|free| pointer.starts_with(free))) {
        let mut forged = bundle.clone();
        let value = forged.pointer_mut(pointer).unwrap();
        *value = match value {
            Value::Number(number) => json!(number.as_f64().unwrap() + 1.0),
            Value::Bool(flag) => json!(!*flag),
            Value::String(text) => json!(format!("{text}x")),
            _ => json!("x"),
        };
        if verify(&sealed_again(forged), None, None).is_ok() {
            believed.push(pointer);
        }
    }
    assert_eq!(believed, [] as [&String; 0]);
    for part in ["leaves", "policies"] {
        let mut forged = bundle.clone();
        forged["evidence"][part].as_array_mut().unwrap().remove(0);
        assert!(verify(&sealed_again(forged), None, None).is_err(), "without one of {part}");
    }
    let mut forged = bundle.clone();
    forged["evidence"].as_object_mut().unwrap().remove("grant");
    assert!(matches!(verify(&sealed_again(forged), None, None), Err(Broken::Differs(_))));
    assert!(verify(&sealed_again(bundle), None, None).is_ok(), "the forgery itself is sound");
    bed.stop().await;
}

#[tokio::test]
async fn a_log_that_was_rolled_back_or_rewritten_is_found_out_by_an_earlier_checkpoint() {
    let (bed, other) = (Bed::start().await, Bed::start().await);
    let first = carried_out(&bed).await;
    let early: Bundle = serde_json::from_slice(&bed.evidence("audra", &first, "").await).unwrap();
    let kept = early.evidence.checkpoint;
    let size = Checkpoint::open(&kept, &early.evidence.keys.audit).unwrap().size;
    let second = carried_out(&bed).await;
    let late = bed.evidence("audra", &second, &format!("?consistent_with={size}")).await;
    assert!(verify(&late, None, Some(&kept)).unwrap().checks.iter().any(|check| check.starts_with("history")));
    let without = bed.evidence("audra", &second, "").await;
    assert_eq!(verify(&without, None, Some(&kept)), Err(Broken::Unproved { before: size }));

    // The same service with another past, under the same key.
    other.ask(&routine()).await;
    let id = carried_out(&other).await;
    let shorter = other.evidence("audra", &id, "").await;
    let bundle: Bundle = serde_json::from_slice(&without).unwrap();
    let newer = bundle.evidence.checkpoint;
    assert!(matches!(verify(&shorter, None, Some(&newer)), Err(Broken::RolledBack { .. })));
    while carried_out(&other).await.is_empty() {}
    let id = carried_out(&other).await;
    let forked = other.evidence("audra", &id, &format!("?consistent_with={size}")).await;
    assert_eq!(verify(&forked, None, Some(&kept)), Err(Broken::Forked { before: size }));
    bed.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn proofs_are_there_for_who_may_read_the_audit() {
    let bed = Bed::start().await;
    let id = carried_out(&bed).await;
    bed.evidence("audra", &id, "").await;
    let checkpoint = bed.get("audra", "/v1/audit/checkpoint").await.body;
    let keys: Jwks = serde_json::from_value(bed.get("", "/v1/audit/keys").await.body).unwrap();
    let opened = Checkpoint::open(checkpoint["note"].as_str().unwrap(), &keys).unwrap();
    assert_eq!((opened.origin.as_str(), json!(opened.size)), ("steward/approvals", checkpoint["size"].clone()));
    assert_eq!((&checkpoint["unfolded"], &checkpoint["maximum_lag_seconds"]), (&json!(0), &json!(10)));
    let leaf = bed.get("audra", "/v1/audit?limit=1").await.body["items"][0]["id"].as_str().unwrap().to_owned();
    let proof = bed.get("audra", &format!("/v1/audit/proofs/inclusion?id={leaf}&size=3")).await.body;
    let read = |pointer: &str| serde_json::from_value(proof.pointer(pointer).unwrap().clone()).unwrap();
    let path: Vec<_> = serde_json::from_value(proof["path"].clone()).unwrap();
    assert!(includes(read("/root"), 3, proof["index"].as_u64().unwrap(), read("/leaf_hash"), &path));
    let proof = bed.get("audra", "/v1/audit/proofs/consistency?from=3").await.body;
    let path: Vec<_> = serde_json::from_value(proof["path"].clone()).unwrap();
    let from_root = serde_json::from_value(proof["from_root"].clone()).unwrap();
    assert!(extends((3, from_root), (opened.size, opened.root), &path));

    assert_eq!(bed.get("audra", "/v1/audit/proofs/inclusion?id=nothing").await.status, 404);
    for wrong in ["inclusion?id=x&size=99999", "consistency?from=99999", "consistency?from=1&to=99999"] {
        assert_eq!(bed.get("audra", &format!("/v1/audit/proofs/{wrong}")).await.status, 422, "{wrong}");
    }
    assert_eq!(bed.get("n8n", "/v1/audit/checkpoint").await.status, 403);
    assert_eq!(bed.get("wim", &format!("/v1/approvals/{id}/evidence")).await.status, 404, "outside their region");
    bed.stop().await;
}

#[tokio::test]
async fn a_grant_that_is_still_live_is_only_in_the_file_of_who_may_use_it() {
    let bed = Bed::start().await;
    let id = bed.ask_id(&routine()).await;
    let file = bed.evidence("audra", &id, "").await;
    let bundle: Bundle = serde_json::from_slice(&file).unwrap();
    assert!(bundle.evidence.grant.is_none() && bundle.evidence.grant_withheld);
    assert!(verify(&file, None, None).unwrap().limits.iter().any(|limit| limit.contains("still live")));
    bed.stop().await;
}
