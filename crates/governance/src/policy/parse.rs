//! Reading a policy: first its shape, then what the shape cannot say. Every complaint names the row and the field.

use std::collections::BTreeSet;

use contracts::{FieldError, money::Currency, problem::pointer_to};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    NO_ROW, Overlay, Policy,
    step::{self, Then},
    table::{Case, Row, When},
};
use crate::{Kind, drift};

/// Most rows of one policy; far above what people can read, and a bound on the work of checking.
pub const MAX_ROWS: usize = 500;
/// Most test cases of one policy.
pub const MAX_CASES: usize = 500;
/// Most names in one condition.
pub const MAX_NAMES: usize = 200;
/// Longest name of a row, category, band or business unit, in bytes.
const MAX_NAME: usize = 100;
/// Longest text for people, in bytes.
const MAX_TEXT: usize = 500;

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
        read(&document, Self::violations)
    }

    fn violations(&self) -> Vec<FieldError> {
        let mut found = Complaints::default();
        check_id(&self.policy, "/policy", &mut found);
        found.refuse(self.version == 0, "/version", || "starts at 1".into());
        found.refuse(self.rows.is_empty(), "/rows", || "a policy without rows denies everything".into());
        for (kind, tolerances) in &self.tolerances {
            for (i, tolerance) in tolerances.iter().enumerate() {
                let at = format!("/tolerances/{}/{i}/pointer", word(*kind));
                let error = drift::check_pointer(&tolerance.pointer, *kind).err();
                found.refuse(error.is_some(), &at, || error.map(|e| e.to_string()).unwrap_or_default());
            }
        }
        if let Some(conversion) = &self.money {
            let itself = conversion.rates.contains_key(&conversion.base);
            found.refuse(itself, "/money/rates", || format!("{:?} is the base itself", conversion.base));
        }
        check_cases(&self.cases, &mut found);
        check_rows(&self.rows, &mut found);
        if let Some(conversion) = &self.money {
            check_currencies(&self.rows, conversion.base, &mut found);
        }
        found.errors
    }
}

impl Overlay {
    /// From a JSON document.
    ///
    /// # Errors
    /// [`InvalidPolicy::Fields`]: the first field of a wrong shape, or everything that is wrong within the shape.
    pub fn from_json(document: Value) -> Result<Self, InvalidPolicy> {
        read(&document, Self::violations)
    }

    fn violations(&self) -> Vec<FieldError> {
        let mut found = Complaints::default();
        check_id(&self.overlay, "/overlay", &mut found);
        check_id(&self.over, "/over", &mut found);
        found.refuse(self.overlay == self.over, "/over", || "an overlay lies over another document".into());
        found.refuse(self.version == 0, "/version", || "starts at 1".into());
        let unit = self.business_unit.trim();
        let named = !unit.is_empty() && unit == self.business_unit && unit.len() <= MAX_NAME;
        found.refuse(!named, "/business_unit", || format!("has 1 to {MAX_NAME} bytes, no space around them"));
        check_cases(&self.cases, &mut found);
        for (i, case) in self.cases.iter().enumerate() {
            let other = case.given.business_unit.as_ref().is_some_and(|unit| *unit != self.business_unit);
            let at = format!("/cases/{i}/given/business_unit");
            found.refuse(other, &at, || format!("the overlay is for {:?}", self.business_unit));
        }
        check_rows(&self.rows, &mut found);
        for (i, row) in self.rows.iter().enumerate() {
            found.within(format!("/rows/{i}"), row.name.to_string());
            let repeated = !row.when.business_unit.is_empty();
            found.refuse(repeated, "/when/business_unit", || "the whole overlay is for one business unit".into());
        }
        found.errors
    }
}

fn read<T: DeserializeOwned>(
    document: &Value,
    violations: impl FnOnce(&T) -> Vec<FieldError>,
) -> Result<T, InvalidPolicy> {
    let read: T = serde_path_to_error::deserialize(document)
        .map_err(|error| InvalidPolicy::Fields(vec![misshapen(document, &error)]))?;
    let errors = violations(&read);
    if errors.is_empty() { Ok(read) } else { Err(InvalidPolicy::Fields(errors)) }
}

/// Ids stand in addresses.
fn check_id(id: &str, pointer: &str, found: &mut Complaints) {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-';
    let sound = (1..=64).contains(&id.len()) && id.bytes().all(plain);
    found.refuse(!sound, pointer, || "has 1 to 64 lower-case letters, digits, - and _".into());
}

fn check_cases(cases: &[Case], found: &mut Complaints) {
    found.refuse(cases.len() > MAX_CASES, "/cases", || format!("at most {MAX_CASES}, has {}", cases.len()));
}

fn check_rows(rows: &[Row], found: &mut Complaints) {
    found.refuse(rows.len() > MAX_ROWS, "/rows", || format!("at most {MAX_ROWS}, has {}", rows.len()));
    let mut names = BTreeSet::from([NO_ROW]);
    for (i, row) in rows.iter().enumerate() {
        found.within(format!("/rows/{i}"), row.name.to_string());
        let fresh = names.insert(&row.name) && !row.name.trim().is_empty() && row.name.len() <= MAX_NAME;
        found.refuse(!fresh, "/name", || {
            format!("is empty, longer than {MAX_NAME} bytes, used by another row, or {NO_ROW:?}")
        });
        check_row(row, found);
    }
}

/// One currency in all conditions, so that a reader need not convert to compare two rows.
fn check_currencies(rows: &[Row], base: Currency, found: &mut Complaints) {
    for (i, row) in rows.iter().enumerate() {
        found.within(format!("/rows/{i}"), row.name.to_string());
        let foreign = row.when.value.is_some_and(|range| range.currency != base);
        found.refuse(foreign, "/when/value/currency", || format!("conditions are in the policy's currency, {base:?}"));
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

fn check_when(when: &When, found: &mut Complaints) {
    let When { kind, category, region, location, band, severity, business_unit, .. } = when;
    let lengths = [
        ("/when/kind", kind.len()),
        ("/when/category", category.len()),
        ("/when/region/from", region.from.len()),
        ("/when/region/to", region.to.len()),
        ("/when/location/from", location.from.len()),
        ("/when/location/to", location.to.len()),
        ("/when/band", band.len()),
        ("/when/severity", severity.len()),
        ("/when/business_unit", business_unit.len()),
    ];
    for (pointer, length) in lengths {
        found.refuse(length > MAX_NAMES, pointer, || format!("at most {MAX_NAMES}, has {length}"));
    }
    for (pointer, names) in [("/when/category", category), ("/when/band", band), ("/when/business_unit", business_unit)]
    {
        let odd = names.iter().any(|name| name.is_empty() || name.len() > MAX_NAME);
        found.refuse(odd, pointer, || format!("names have 1 to {MAX_NAME} bytes"));
    }
    let odd = severity.iter().any(|severity| !(1..=4).contains(severity));
    found.refuse(odd, "/when/severity", || "severities are 1 to 4".into());
}

fn check_row(row: &Row, found: &mut Complaints) {
    let When { kind, value, score, .. } = &row.when;
    check_when(&row.when, found);
    let long = row.why.as_ref().is_some_and(|why| why.len() > MAX_TEXT);
    found.refuse(long, "/why", || format!("has at most {MAX_TEXT} bytes"));
    let reason = row.uncapped.as_ref().map_or(3, |reason| reason.trim().len());
    found.refuse(!(3..=MAX_TEXT).contains(&reason), "/uncapped", || format!("says why, in 3 to {MAX_TEXT} bytes"));
    let aimless = row.uncapped.is_some() && row.then != Then::AutoApprove;
    found.refuse(aimless, "/uncapped", || "only a row with auto_approve needs a limit".into());
    found.refuse(row.shadows.len() > 50, "/shadows", || format!("at most 50, has {}", row.shadows.len()));
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
    let pointer = pointer_to(error.path());
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
