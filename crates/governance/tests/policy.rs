//! Policies as their authors and readers know them.

#![expect(clippy::unwrap_used, reason = "clippy excuses the tests themselves, but not what they share")]

use contracts::{Action, Facts, LocationId, Money, RegionId, money::Currency};
use governance::{
    Directory, Kind, Policy, Site,
    policy::{CannotJudge, DEFAULT_POLICY, FindingKind, Input, NO_ROW, RequesterExecutes, Row, Then, When},
};
use proptest::prelude::*;
use serde_json::json;

const PEOPLE: &str = "
people:
  - {id: nora, name: Nora, roles: [{role: regional_ops, region: north}]}
  - {id: sam, name: Sam, roles: [{role: regional_ops, region: south}]}
  - {id: mia, name: Mia, roles: [{role: store_manager, location: store-1}]}
  - {id: fay, name: Fay, roles: [{role: finance}]}
  - {id: paul, name: Paul, roles: [{role: procurement_lead}]}
  - {id: otto, name: Otto, roles: [{role: operator}]}
";

fn people() -> Directory {
    Directory::parse(PEOPLE).unwrap()
}

fn policy(rows: &str) -> Policy {
    Policy::parse(&format!("policy: test\nversion: 1\ngrant_valid_for: 1h\nrows:\n{rows}")).unwrap()
}

fn kinds_found(policy: &Policy) -> Vec<(FindingKind, String)> {
    policy.check(&people()).into_iter().map(|finding| (finding.kind, finding.pointer)).collect()
}

fn input(value: serde_json::Value) -> Input {
    serde_json::from_value(value).unwrap()
}

#[test]
fn the_default_policy_is_fit_to_be_published() {
    let policy = Policy::parse(DEFAULT_POLICY).unwrap();
    assert!(policy.cases.len() > 5);
    let findings = policy.check(&people());
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn a_route_is_pinned_and_says_which_rows_failed_on_what() {
    let policy = Policy::parse(DEFAULT_POLICY).unwrap();
    let reference = policy.reference().unwrap();
    let given = input(json!({"kind": "transfer", "value": {"minor": 60000, "currency": "EUR"},
        "from": {"region": "south"}, "to": {"region": "north"}}));
    let route = policy.route(&reference, &given);
    assert_eq!((route.row.as_str(), &route.policy), ("cross-region-transfer", &reference));
    let trace: Vec<_> = route.trace.iter().map(|tried| (tried.row.as_str(), &*tried.failed)).collect();
    assert_eq!(trace, [("routine-transfer", "/when/value"), ("large-cross-region-transfer", "/when/value")]);
    assert_eq!(route.tolerances, policy.tolerances[&Kind::Transfer]);
    assert_eq!(route.grant_valid_for.to_string(), "1d");
    let mut edited = policy.clone();
    edited.rows[0].then = Then::Deny;
    assert_ne!(edited.reference().unwrap().digest, reference.digest);
}

#[test]
fn a_row_says_otherwise_than_its_policy_whether_the_requester_executes() {
    let text = "
policy: test
version: 1
grant_valid_for: 1h
requester_executes: programs_only
rows:
  - {name: sell-off, when: {kind: [write_off]}, then: deny, requester_executes: refused}
  - {name: rest, then: deny}";
    let policy = Policy::parse(text).unwrap();
    let reference = policy.reference().unwrap();
    let rule = |kind: &str| policy.route(&reference, &input(json!({"kind": kind}))).requester_executes;
    assert_eq!(rule("write_off"), RequesterExecutes::Refused);
    assert_eq!(rule("purchase"), RequesterExecutes::ProgramsOnly);
    let silent = Policy { requester_executes: RequesterExecutes::Allowed, ..policy.clone() };
    assert!(serde_json::to_value(&silent).unwrap().get("requester_executes").is_none(), "its digest is the old one");
}

#[test]
fn what_no_row_matches_is_denied() {
    let policy = policy("- {name: buy, when: {kind: [purchase]}, then: auto_approve}");
    let route = policy.route(&policy.reference().unwrap(), &input(json!({"kind": "write_off"})));
    assert_eq!((route.row.as_str(), route.then), (NO_ROW, Then::Deny));
}

#[test]
fn a_gap_is_shown_by_an_example_that_falls_into_it() {
    let rows = "
- {name: small, when: {value: {currency: EUR, below: 100}}, then: auto_approve}
- {name: large, when: {value: {currency: EUR, at_least: 101}}, then: deny}
- {name: foreign, when: {value: {currency: USD}}, then: deny}
";
    let findings = policy(rows).check(&people());
    assert!(findings.iter().all(|finding| finding.kind == FindingKind::Gap), "{findings:#?}");
    assert!(findings[0].detail.contains("worth 1.00 EUR"), "{}", findings[0].detail);
    let example = findings[0].example.as_ref().unwrap();
    assert_eq!(example.value, Some(Money::new(100, Currency::new("EUR").unwrap())));
}

#[test]
fn rows_that_nothing_reaches_are_named() {
    let rows = "
- {name: crossing, when: {region: {crosses: true}}, then: deny}
- {name: within, when: {region: {crosses: false}}, then: deny}
- {name: north-to-south, when: {region: {from: [north], to: [south]}}, then: auto_approve, uncapped: a test}
- {name: rest, then: deny}
";
    assert_eq!(kinds_found(&policy(rows)), [(FindingKind::Unreachable, "/rows/2".into())]);
}

#[test]
fn steps_that_nobody_could_satisfy_are_named() {
    let step = |steps: &str| {
        let rows = format!("- {{name: all, when: {{}}, then: {{steps: [{steps}]}}}}");
        kinds_found(&policy(&rows))
    };
    let at = |place: &str| format!("/rows/0/then/steps{place}");
    assert_eq!(step("{ask: {role: auditor}, decide_within: 1h}"), [(FindingKind::NobodyHolds, at("/0/ask"))]);
    assert_eq!(step("{ask: {people: [zoe]}, decide_within: 1h}"), [(FindingKind::UnknownPerson, at("/0/ask"))]);
    // One regional_ops per region: two of them never meet at one place.
    let never = [(FindingKind::NeverSatisfied, at(""))];
    assert_eq!(step("{ask: {role: regional_ops, at: from}, quorum: 2, decide_within: 1h}"), never);
    assert_eq!(step("{ask: {role: regional_ops}, quorum: 2, decide_within: 1h}"), []);
    let finance = |more: &str| format!("{{ask: {{role: finance}}, decide_within: 1h{more}}}");
    assert_eq!(step(&format!("{}, {}", finance(""), finance(""))), never, "the second step wants somebody else");
    assert_eq!(step(&format!("{}, {}", finance(""), finance(", distinct: false"))), []);
    // The matching has to move Fay from the first step to the second.
    assert_eq!(step(&format!("{{ask: {{people: [fay, otto]}}, decide_within: 1h}}, {}", finance(""))), []);
}

#[test]
fn a_person_whom_the_directory_does_not_know_is_named_wherever_they_are_asked() {
    let step = |step: &str| {
        let rows = format!("- {{name: all, then: {{steps: [{{{step}, decide_within: 1h}}]}}}}");
        policy(&rows).check(&people())
    };
    for (asks, at) in [
        ("ask: {people: [fay, zoe]}", "ask"),
        ("ask: {any_of: [{role: finance}, {people: [zoe]}]}", "ask/any_of/1"),
        ("ask: {role: finance}, at_timeout: {escalate: {to: {people: [zoe]}, within: 1h}}", "at_timeout/escalate/to"),
    ] {
        let findings = step(asks);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        let finding = &findings[0];
        assert_eq!((finding.kind, finding.is_error()), (FindingKind::UnknownPerson, true));
        assert_eq!((finding.row.as_deref(), &*finding.pointer), (Some("all"), &*format!("/rows/0/then/steps/0/{at}")));
        assert_eq!(finding.detail, "the directory knows no zoe");
    }
}

#[test]
fn a_table_with_too_many_cases_to_tell_is_refused_and_one_below_is_checked() {
    // A transfer has two regions, so the cases grow with the square of the names.
    let named = |count: usize| {
        let regions = (0..count).map(|n| format!("r{n}")).collect::<Vec<_>>().join(", ");
        let rows = format!(
            "- {{name: far, when: {{region: {{from: [{regions}]}}}}, then: deny}}\n- {{name: rest, then: deny}}"
        );
        policy(&rows).check(&people())
    };
    assert_eq!(named(150), []);
    let findings = named(180);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let finding = &findings[0];
    assert_eq!((finding.kind, finding.is_error(), &*finding.pointer), (FindingKind::TooComplex, true, "/rows"));
    assert!(finding.detail.contains("too intertwined"), "{}", finding.detail);
}

#[test]
fn a_case_that_comes_out_differently_is_named() {
    let text = "
policy: p
version: 1
grant_valid_for: 1h
rows: [{name: buy, when: {kind: [purchase]}, then: deny}, {name: rest, then: deny}]
cases: [{name: buying, given: {kind: transfer}, expect: {row: buy}}]
";
    let findings = Policy::parse(text).unwrap().check(&people());
    assert_eq!((findings.len(), findings[0].kind), (1, FindingKind::CaseFailed));
    assert!(findings[0].detail.contains("/when/kind"), "{}", findings[0].detail);
}

#[test]
fn an_input_takes_what_the_facts_know() {
    let facts: Facts = serde_json::from_value(json!({
        "product": "SKU-1", "location": "store-1", "as_of": "2026-11-23T08:00:00Z",
        "item": {"category": "toys", "unit_cost": {"minor": 333, "currency": "EUR"}}, "place": {"region": "north"},
        "stock": {"on_hand": 4.0, "observed_at": "2026-11-23T07:59:00Z"},
        "demand": {"first_day": "2026-11-20", "units": []}, "lead_time": {},
        "donors": [{"location": "store-2", "region": "south", "daily_demand": 1.0, "transfer_days": 1.0,
            "stock": {"on_hand": 40.0, "observed_at": "2026-11-23T07:59:00Z"}}]
    }))
    .unwrap();
    let action = |value| serde_json::from_value::<Action>(value).unwrap();
    let transfer =
        action(json!({"type": "transfer", "product": "SKU-1", "from": "store-2", "to": "store-1", "quantity": 2.5}));
    let input = Input::of(&transfer, &facts).unwrap();
    assert_eq!(input.value.unwrap().minor, 833, "832.5 rounded up");
    assert_eq!(input.category.as_deref(), Some("toys"));
    assert_eq!(input.from.region, Some(RegionId::new("south").unwrap()));
    let write_off = action(json!({"type": "write_off", "product": "SKU-1", "location": "store-1", "quantity": 1.0}));
    let input = Input::of(&write_off, &facts).unwrap();
    assert_eq!(input.from, input.to);
    let elsewhere =
        action(json!({"type": "purchase", "product": "SKU-1", "to": "store-9", "supplier": "s", "quantity": 1.0}));
    assert!(matches!(Input::of(&elsewhere, &facts), Err(CannotJudge { pointer: "/to", .. })));
}

fn region() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["north", "south", "east"]).prop_map(str::to_owned)
}

fn currency() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["EUR", "USD", "GBP", "SEK"])
}

fn inputs() -> impl Strategy<Value = Input> {
    let name = || prop::option::of(prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned));
    let place = || prop::option::of(prop::sample::select(vec!["store-1", "store-2", "store-3"]));
    let site = || {
        (prop::option::of(region()), place()).prop_map(|(region, place)| Site {
            location: place.map(|id| LocationId::new(id).unwrap()),
            region: region.map(|id| RegionId::new(id).unwrap()),
        })
    };
    let money = (0_i64..8, currency()).prop_map(|(minor, code)| Money::new(minor, Currency::new(code).unwrap()));
    (
        prop::sample::select(Kind::ALL.to_vec()),
        prop::option::of(money),
        name(),
        site(),
        site(),
        prop::option::of(0_u32..8),
        (prop::option::of(1_u8..5), prop::option::of(any::<bool>()), name(), name()),
    )
        .prop_map(|(kind, value, category, from, to, score, (severity, promotion, band, business_unit))| Input {
            kind,
            value,
            category,
            to: if kind == Kind::Transfer { to } else { from.clone() },
            from,
            score: score.map(|score| score * 100_000),
            band,
            severity,
            promotion,
            business_unit,
        })
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let subset = |all: Vec<&'static str>| prop_oneof![2 => Just(vec![]), 1 => prop::sample::subsequence(all.clone(), 1..=all.len().min(2))];
    let range = || prop_oneof![2 => Just(None), 1 => (0_i64..4, 1_i64..4).prop_map(Some)];
    let half = || prop_oneof![2 => Just(None), 1 => any::<bool>().prop_map(Some)];
    let when = (
        subset(vec!["transfer", "purchase", "write_off"]),
        (range(), currency()),
        subset(vec!["a", "b"]),
        (subset(vec!["north", "south"]), subset(vec!["north", "south"]), half()),
        range(),
        (subset(vec!["store-1", "store-2"]), subset(vec!["store-1", "store-2"])),
        (prop::collection::vec(1_u8..5, 0..2), half(), subset(vec!["a", "b"]), subset(vec!["a", "b"])),
    );
    let when = when.prop_map(|(kind, (value, code), category, (from, to, crosses), score, ends, more)| {
        let mut when = json!({"kind": kind, "category": category, "region": {"from": from, "to": to},
            "location": {"from": ends.0, "to": ends.1}, "severity": more.0, "band": more.2, "business_unit": more.3});
        if let Some(promotion) = more.1 {
            when["promotion"] = json!(promotion);
        }
        if let Some((low, width)) = value {
            when["value"] = json!({"currency": code, "at_least": low, "below": low + width});
        }
        if let Some((low, width)) = score {
            when["score"] = json!({"at_least": low as f64 / 10.0, "below": (low + width) as f64 / 10.0});
        }
        if let Some(crosses) = crosses {
            when["region"]["crosses"] = json!(crosses);
        }
        serde_json::from_value::<When>(when).unwrap()
    });
    prop::collection::vec(when, 1..6).prop_map(|whens| {
        let row = |(i, when)| Row {
            name: format!("row-{i}").as_str().into(),
            why: None,
            when,
            then: if i % 2 == 0 { Then::AutoApprove } else { Then::Deny },
            uncapped: None,
            shadows: Vec::new(),
            tolerances: None,
            grant_valid_for: None,
            requester_executes: None,
        };
        whens.into_iter().enumerate().map(row).collect()
    })
}

/// The table read as prose: written apart from the evaluator, over the JSON form.
fn naive(rows: &[Row], input: &Input, converts: bool) -> Option<String> {
    let mut given = serde_json::to_value(input).unwrap();
    if converts && input.value.is_some() {
        let minor = given["value"]["minor"].as_i64().unwrap();
        given["value"] = match given["value"]["currency"].as_str().unwrap() {
            "EUR" => given["value"].clone(),
            "USD" => json!({"minor": minor * 2, "currency": "EUR"}),
            "GBP" => json!({"minor": (minor + 1) / 2, "currency": "EUR"}),
            _ => json!(null),
        };
    }
    let holds = |row: &Row| {
        let when = serde_json::to_value(&row.when).unwrap();
        let listed = |rule: &serde_json::Value, found: &serde_json::Value| {
            rule.as_array().is_none_or(|wanted| wanted.contains(found))
        };
        let between = |rule: &serde_json::Value, found: Option<f64>| {
            rule.is_null()
                || found.is_some_and(|n| n >= rule["at_least"].as_f64().unwrap() && n < rule["below"].as_f64().unwrap())
        };
        let (from, to) = (&given["from"]["region"], &given["to"]["region"]);
        let crosses = match (input.kind == Kind::Transfer, from.is_null() || to.is_null()) {
            (true, true) => json!("unknown"),
            (true, false) => json!(from != to),
            (false, _) => json!(false),
        };
        let region = &when["region"];
        let same_currency = when["value"].is_null() || when["value"]["currency"] == given["value"]["currency"];
        listed(&when["kind"], &given["kind"])
            && listed(&when["category"], &given["category"])
            && listed(&region["from"], from)
            && listed(&region["to"], to)
            && (region["crosses"].is_null() || region["crosses"] == crosses)
            && listed(&when["location"]["from"], &given["from"]["location"])
            && listed(&when["location"]["to"], &given["to"]["location"])
            && listed(&when["severity"], &given["severity"])
            && listed(&when["band"], &given["band"])
            && listed(&when["business_unit"], &given["business_unit"])
            && (when["promotion"].is_null() || when["promotion"] == given["promotion"])
            && same_currency
            && between(&when["value"], given["value"]["minor"].as_f64())
            && between(&when["score"], given["score"].as_f64().map(|score| score / 1e6))
    };
    rows.iter().find(|row| holds(row)).map(|row| row.name.to_string())
}

/// `converts`: by rates of which one has no remainder and one has, and with none for SEK.
fn table(mut rows: Vec<Row>, converts: bool) -> Policy {
    let money = json!({"base": "EUR", "as_of": "2026-11-02", "rates": {"USD": "2", "GBP": "0.50"}});
    if converts {
        let euro = Currency::new("EUR").unwrap();
        rows.iter_mut().filter_map(|row| row.when.value.as_mut()).for_each(|range| range.currency = euro);
    }
    let money = converts.then(|| serde_json::from_value(money).unwrap());
    Policy { rows, money, ..policy("- {name: x, then: deny}") }
}

proptest! {
    #[test]
    fn the_evaluator_equals_a_naive_one(
        rows in rows(), converts: bool, inputs in prop::collection::vec(inputs(), 20)
    ) {
        let policy = table(rows, converts);
        let reference = policy.reference().unwrap();
        for input in inputs {
            let expected = naive(&policy.rows, &input, converts).unwrap_or_else(|| NO_ROW.to_owned());
            prop_assert_eq!(policy.route(&reference, &input).row, expected);
        }
    }

    #[test]
    fn gaps_overlaps_and_unreachable_rows_are_found_and_only_those(
        rows in rows(), converts: bool, inputs in prop::collection::vec(inputs(), 40)
    ) {
        let policy = table(rows, converts);
        let reference = policy.reference().unwrap();
        let findings = policy.check(&people());
        let gaps: Vec<_> = findings.iter().filter(|finding| finding.kind == FindingKind::Gap).collect();
        for gap in &gaps {
            let example = gap.example.as_ref().unwrap();
            prop_assert_eq!(policy.route(&reference, example).row, NO_ROW);
        }
        for overlap in findings.iter().filter(|finding| finding.kind == FindingKind::Overlap) {
            let example = overlap.example.as_ref().unwrap();
            let route = policy.route(&reference, example);
            prop_assert_eq!(Some(&route.row), overlap.row.as_ref());
            let other = policy.rows.iter().skip_while(|row| *row.name != *route.row).find(|row| {
                row.then != route.then && naive(std::slice::from_ref(*row), example, false).is_some()
            });
            prop_assert!(other.is_some(), "nothing else matches {:?}", example);
        }
        for input in inputs {
            let row = policy.route(&reference, &input).row;
            prop_assert!(row != NO_ROW || !gaps.is_empty(), "missed gap: {:?}", input);
            let dead = findings.iter().any(|f| f.kind == FindingKind::Unreachable && f.row.as_deref() == Some(&row));
            prop_assert!(!dead, "{} is reached by {:?}", row, input);
        }
    }
}
