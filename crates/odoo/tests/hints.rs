//! Webhook bodies as captured from running servers (17, 18 and 19).

use odoo::{Hint, HintError, replay::to_python_json};
use pretty_assertions::assert_eq;
use serde_json::Value;

/// `{"path", "body"}` per line; `body` is the exact text that arrived.
fn captures() -> Vec<(String, String)> {
    let text = include_str!("../fixtures/webhooks.ndjson");
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        (text("path"), text("body"))
    };
    text.lines().map(read).collect()
}

#[test]
fn every_capture_is_a_hint() {
    let captures = captures();
    assert!(captures.len() >= 20);
    for (path, body) in captures {
        let hint = Hint::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{path}: {error} in {body}"));
        assert!(hint.id > 0 && hint.model.contains('.'), "{hint:?}");
        assert!(hint.action.is_some_and(|action| action.contains("(#")));
        assert!(!hint.fields.keys().any(|key| key.starts_with('_')));
    }
}

#[test]
fn a_stock_hint_says_where_to_look() {
    let (_, body) = captures().into_iter().find(|(path, _)| path == "/ok/increase").unwrap();
    let hint = Hint::parse(body.as_bytes()).unwrap();
    assert_eq!((hint.model.as_str(), hint.id), ("stock.quant", 2));
    assert_eq!(hint.action.as_deref(), Some("steward quant(#478)"));
    assert_eq!(hint.write_date.unwrap().to_string(), "2026-11-23T10:05:00.666055Z");
    assert_eq!(hint.fields["location_id"], 14);
    assert_eq!(hint.fields["quantity"], 10.0);
}

#[test]
fn our_python_json_is_byte_for_byte_what_odoo_sends() {
    for (path, body) in captures() {
        let parsed: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(to_python_json(&parsed), body, "{path}");
    }
}

#[test]
fn what_is_no_hint_is_refused_with_the_place() {
    assert!(matches!(Hint::parse(b"not json"), Err(HintError::Json(_))));
    for (body, expected) in [
        ("[]", ""),
        (r#"{"_id": 1}"#, "/_model"),
        (r#"{"_model": 5, "_id": 1}"#, "/_model"),
        (r#"{"_model": "stock.quant"}"#, "/_id"),
        (r#"{"_model": "stock.quant", "_id": "1"}"#, "/_id"),
    ] {
        match Hint::parse(body.as_bytes()) {
            Err(HintError::Field { pointer, .. }) => assert_eq!(pointer, expected, "{body}"),
            other => panic!("{body} became {other:?}"),
        }
    }
}

#[test]
fn odd_optional_fields_do_not_spoil_a_hint() {
    let hint = Hint::parse(br#"{"_model": "x.y", "_id": 3, "write_date": false, "_action": 7}"#).unwrap();
    assert_eq!((hint.id, hint.action, hint.write_date), (3, None, None));
}
