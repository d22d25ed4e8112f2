//! What travels between services and from Odoo.

use std::{collections::BTreeMap, fmt::Debug};

use chassis::http::parse_json;
use contracts::{Action, Digest, Envelope, Facts, Money, Problem, canonical_json};
use odoo::{Hint, HintError};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// `name: value` lines, an empty line, the body. What is read prints and reads again to the same.
pub fn envelope(data: &[u8]) {
    let end = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let text = String::from_utf8_lossy(&data[..end]);
    let pairs = text.lines().filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<String, String> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let Ok(event) = Envelope::from_headers(&headers, data.get(end + 2..).unwrap_or_default()) else { return };
    let printed = event.headers().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let again = Envelope::from_headers(&printed, event.data.get().as_bytes()).expect("what we print can be read");
    assert_eq!(again.headers(), event.headers());
    assert_eq!(again.data.get(), event.data.get());
    // Between processes it also travels as JSON, in the inbox.
    let kept = serde_json::to_string(&event).expect("an event has a JSON form");
    let kept: Envelope = serde_json::from_str(&kept).expect("what is kept can be read");
    assert_eq!((kept.headers(), kept.data.get()), (event.headers(), event.data.get()));
}

/// The bodies that everything else is built of: read strictly, refused by name.
pub fn body(data: &[u8]) {
    same::<Facts>(data);
    same::<Action>(data);
    same::<Money>(data);
    if let Ok(facts) = parse_json::<Facts>(data) {
        let sealed = facts.clone().seal().expect("what came as JSON has a digest");
        assert_eq!(sealed.digest().ok(), sealed.hash, "sealing changes nothing that is sealed");
        for violation in facts.violations("/facts") {
            let at = violation.pointer.strip_prefix("/facts").expect("below its base");
            let printed = serde_json::to_value(&facts).expect("JSON");
            assert!(printed.pointer(at).is_some(), "{at} names nothing");
        }
    }
    if let Ok(money) = parse_json::<Money>(data) {
        assert!(money.to_string().ends_with(money.currency.as_str()));
    }
}

fn same<T: DeserializeOwned + Serialize + PartialEq + Debug>(data: &[u8]) {
    match parse_json::<T>(data) {
        Ok(value) => {
            let printed = serde_json::to_vec(&value).expect("it came as JSON");
            assert_eq!(parse_json::<T>(&printed).expect("what we print can be read"), value);
        }
        Err(problem) => refused_well(&problem),
    }
}

/// 400 for what is no JSON; 422 with the place for what is none of ours.
fn refused_well(problem: &Problem) {
    match problem.status {
        400 => assert!(problem.detail.is_some()),
        422 => assert!(problem.errors.iter().all(|error| error.pointer.is_empty() || error.pointer.starts_with('/'))),
        other => panic!("refused with {other}"),
    }
    assert!(problem.status == 400 || !problem.errors.is_empty(), "no field is named: {problem:?}");
}

/// Canonical JSON is a fixed point, and order and spaces do not change a digest.
pub fn canonical(data: &[u8]) {
    let Ok(value) = parse_json::<Value>(data) else { return };
    let Ok(once) = canonical_json(&value) else { return };
    let read: Value = serde_json::from_slice(&once).expect("canonical JSON is JSON");
    assert_eq!(canonical_json(&read).expect("again"), once);
    let pretty = serde_json::to_vec_pretty(&value).expect("JSON");
    let pretty: Value = serde_json::from_slice(&pretty).expect("JSON");
    assert_eq!(Digest::of(&pretty).ok(), Digest::of(&value).ok());
}

/// Odoo's webhook: two fields make it a hint, nothing else stops it.
pub fn hint(data: &[u8]) {
    match Hint::parse(data) {
        Ok(hint) => {
            assert!(!hint.model.is_empty() && hint.model.is_ascii());
            assert!(["_model", "_id", "_action", "write_date"].iter().all(|name| !hint.fields.contains_key(*name)));
        }
        Err(HintError::Json(_)) => assert!(serde_json::from_slice::<Value>(data).is_err()),
        Err(HintError::Field { pointer, .. }) => assert!(pointer.is_empty() || pointer.starts_with('/')),
    }
}
