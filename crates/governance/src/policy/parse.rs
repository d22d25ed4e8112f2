//! Reading a policy: first its shape, then what the shape cannot say. Every complaint names the row and the field.

use std::collections::BTreeSet;

use contracts::FieldError;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::{
    NO_ROW, Policy,
    step::{self, Then},
    table::{Row, When},
};
use crate::{Kind, drift};

/// Most rows of one policy; far above what people can read, and a bound on the work of checking.
pub const MAX_ROWS: usize = 500;

/// Why a text is not a policy.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPolicy {
    /// Not YAML at all; the source says line and column.
    #[error("the policy is not readable YAML")]
    Syntax(#[source] serde_saphyr::Error),
    /// Readable, but not a policy. Pointers lead into the document, details name the row.
    #[error("{}", list(.0))]
    Fields(Vec<FieldError>),
}

fn list(errors: &[FieldError]) -> String {
    errors.iter().map(|error| format!("{}: {}", error.pointer, error.detail)).collect::<Vec<_>>().join("; ")
}

impl Policy {
    /// Reads YAML or JSON.
    ///
    /// # Errors
    /// [`InvalidPolicy`].
    pub fn parse(text: &str) -> Result<Self, InvalidPolicy> {
        let document: Value = serde_saphyr::from_str(text).map_err(InvalidPolicy::Syntax)?;
        Self::from_json(document)
    }

    /// From a JSON document, such as a request body.
    ///
    /// # Errors
    /// [`InvalidPolicy::Fields`]: the first field of a wrong shape, or everything that is wrong within the shape.
    pub fn from_json(document: Value) -> Result<Self, InvalidPolicy> {
        let policy: Self = serde_path_to_error::deserialize(&document)
            .map_err(|error| InvalidPolicy::Fields(vec![misshapen(&document, &error)]))?;
        let errors = policy.violations();
        if errors.is_empty() { Ok(policy) } else { Err(InvalidPolicy::Fields(errors)) }
    }

    fn violations(&self) -> Vec<FieldError> {
        let mut found = Complaints::default();
        found.refuse(self.policy.trim().is_empty(), "/policy", || "must not be empty".into());
        found.refuse(self.version == 0, "/version", || "starts at 1".into());
        found.refuse(self.rows.is_empty(), "/rows", || "a policy without rows denies everything".into());
        found.refuse(self.rows.len() > MAX_ROWS, "/rows", || format!("at most {MAX_ROWS}, has {}", self.rows.len()));
        for (kind, tolerances) in &self.tolerances {
            for (i, tolerance) in tolerances.iter().enumerate() {
                let at = format!("/tolerances/{}/{i}/pointer", word(*kind));
                let error = drift::check_pointer(&tolerance.pointer, *kind).err();
                found.refuse(error.is_some(), &at, || error.map(|e| e.to_string()).unwrap_or_default());
            }
        }
        let mut names = BTreeSet::from([NO_ROW]);
        for (i, row) in self.rows.iter().enumerate() {
            found.within(format!("/rows/{i}"), row.name.clone());
            let fresh = names.insert(&row.name) && !row.name.trim().is_empty();
            found.refuse(!fresh, "/name", || format!("is empty, used by another row, or {NO_ROW:?}"));
            check_row(row, &mut found);
        }
        found.errors
    }
}

/// The kind's own spelling in JSON.
fn word(kind: Kind) -> String {
    serde_json::to_value(kind).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Collects complaints below a place in the document.
#[derive(Default)]
struct Complaints {
    base: String,
    row: Option<String>,
    errors: Vec<FieldError>,
}

impl Complaints {
    fn within(&mut self, base: String, row: String) {
        (self.base, self.row) = (base, Some(row));
    }

    fn refuse(&mut self, bad: bool, pointer: &str, detail: impl FnOnce() -> String) {
        if bad {
            let row = self.row.as_ref().map(|name| format!("row {name:?}: ")).unwrap_or_default();
            self.errors.push(FieldError::new(format!("{}{pointer}", self.base), format!("{row}{}", detail())));
        }
    }
}

fn check_row(row: &Row, found: &mut Complaints) {
    let When { kind, value, score, .. } = &row.when;
    let empty = value.is_some_and(|range| range.below.is_some_and(|below| below <= range.at_least.unwrap_or(0)));
    found.refuse(empty, "/when/value", || "no amount >= 0 is in this range".into());
    let empty =
        score.is_some_and(|range| range.below.is_some_and(|below| below.0 <= range.at_least.map_or(0, |s| s.0)));
    found.refuse(empty, "/when/score", || "no score is in this range".into());
    let kinds = if kind.is_empty() { &Kind::ALL[..] } else { kind };
    for (i, tolerance) in row.tolerances.iter().flatten().enumerate() {
        let error = kinds.iter().find_map(|kind| drift::check_pointer(&tolerance.pointer, *kind).err());
        found.refuse(error.is_some(), &format!("/tolerances/{i}/pointer"), || {
            error.map(|e| e.to_string()).unwrap_or_default()
        });
    }
    if let Then::Steps(steps) = &row.then {
        for (place, detail) in step::violations(steps) {
            found.refuse(true, &format!("/then/steps{place}"), || detail);
        }
    }
}

/// Where the shape is wrong, with the row's name, which people find faster than an index.
fn misshapen(document: &Value, error: &serde_path_to_error::Error<serde_json::Error>) -> FieldError {
    let mut pointer = String::new();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")));
            }
            Segment::Unknown => {}
        }
    }
    let mut parts = pointer.split('/').skip(1);
    let row = (parts.next() == Some("rows")).then(|| parts.next()).flatten();
    let name = row.and_then(|index| document.pointer(&format!("/rows/{index}/name"))).and_then(Value::as_str);
    let prefix = name.map(|name| format!("row {name:?}: ")).unwrap_or_default();
    FieldError::new(pointer, format!("{prefix}{}", error.inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(rows: &str) -> Vec<(String, String)> {
        let text = format!("policy: p\nversion: 1\ngrant_valid_for: 1h\nrows:\n{rows}");
        match Policy::parse(&text) {
            Err(InvalidPolicy::Fields(errors)) => errors.into_iter().map(|e| (e.pointer, e.detail)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_wrong_shape_names_row_and_field() {
        let cases = [
            ("{ask: {role: ops}, decide_within: soon}", "/rows/0/then/steps/0/decide_within", "4h"),
            ("{ask: {role: Ops}, decide_within: 1h}", "/rows/0/then/steps/0/ask/role", "lower-case"),
            ("{ask: {}, decide_within: 1h}", "/rows/0/then/steps/0/ask", "either role or people or any_of"),
            (
                "{ask: {role: ops}, decide_within: 1h, at_timeout: approve}",
                "/rows/0/then/steps/0/at_timeout",
                "approve",
            ),
            ("{ask: {role: ops}, decide_within: 1h, quorom: 2}", "/rows/0/then/steps/0/quorom", "quorom"),
        ];
        for (step, pointer, detail) in cases {
            let found = complaints(&format!("- {{name: big, then: {{steps: [{step}]}}}}"));
            assert_eq!(found[0].0, pointer, "{found:?}");
            assert!(found[0].1.starts_with("row \"big\": ") && found[0].1.contains(detail), "{found:?}");
        }
    }

    #[test]
    fn everything_wrong_within_the_shape_is_named_at_once() {
        let rows = r#"
- {name: a, when: {value: {currency: EUR, at_least: 5, below: 5}}, then: deny}
- {name: a, then: {steps: []}}
- {name: no-row, when: {score: {below: 0}}, then: auto_approve}
- name: c
  tolerances: [{pointer: "/donors/[location={from}]/stock/on_hand"}]
  then: {steps: [{ask: {people: [mia]}, quorum: 2, decide_within: 1h, remind_after: 2h}, {ask: {people: []}, quorum: 0, decide_within: 1h}]}
"#;
        let pointers: Vec<_> = complaints(rows).into_iter().map(|(pointer, _)| pointer).collect();
        let expected = [
            "/rows/0/when/value",
            "/rows/1/name",
            "/rows/1/then/steps",
            "/rows/2/name",
            "/rows/2/when/score",
            "/rows/3/tolerances/0/pointer",
            "/rows/3/then/steps/0/quorum",
            "/rows/3/then/steps/0/remind_after",
            "/rows/3/then/steps/1/quorum",
            "/rows/3/then/steps/1/ask/people",
        ];
        assert_eq!(pointers, expected);
    }

    #[test]
    fn json_is_read_as_well_and_a_key_twice_is_not() {
        let json = r#"{"policy": "p", "version": 1, "grant_valid_for": "1h", "rows": [{"name": "a", "then": "deny"}]}"#;
        let policy = Policy::parse(json).unwrap();
        assert_eq!(Policy::from_json(serde_json::to_value(&policy).unwrap()).unwrap(), policy);
        assert!(matches!(Policy::parse("policy: p\npolicy: q\n"), Err(InvalidPolicy::Syntax(_))));
    }
}
