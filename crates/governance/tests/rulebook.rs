//! Overlays, what the check refuses, and replaying the past.

#![expect(clippy::unwrap_used, reason = "clippy excuses the tests themselves, but not what they share")]

use governance::{
    Directory, Policy, Rulebook,
    policy::{
        DEFAULT_POLICY, Document, Finding, FindingKind, Input, InvalidPolicy, InvalidRulebook, Level, Overlay, Then,
        simulate::{Asked, Outcome, Recorded, Simulation, Simulator},
    },
};
use serde_json::{Value, json};

const PEOPLE: &str = "
people:
  - {id: fay, name: Fay, roles: [{role: finance}]}
  - {id: olga, name: Olga, roles: [{role: operator}]}
";
const BASE: &str = "
policy: base
version: 3
grant_valid_for: 1h
money: {base: EUR, as_of: 2026-11-02, rates: {USD: \"0.5\"}}
rows:
  - {name: small, when: {kind: [transfer], value: {currency: EUR, below: 100}}, then: auto_approve}
  - {name: large, when: {kind: [transfer], value: {currency: EUR, at_least: 900}}, then: deny}
  - {name: rest, then: {steps: [{ask: {role: finance}, decide_within: 1h}]}}
";

fn people() -> Directory {
    Directory::parse(PEOPLE).unwrap()
}

fn base() -> Policy {
    Policy::parse(BASE).unwrap()
}

fn overlay(rows: Value) -> Value {
    json!({"overlay": "toys", "version": 1, "over": "base", "business_unit": "toys", "rows": rows})
}

fn book(rows: Value) -> Rulebook {
    Rulebook::new(base(), [Overlay::from_json(overlay(rows)).unwrap()]).unwrap()
}

fn transfer(minor: i64, unit: Option<&str>) -> Input {
    let value = json!({"minor": minor, "currency": "EUR"});
    serde_json::from_value(json!({"kind": "transfer", "value": value, "business_unit": unit})).unwrap()
}

fn errors(findings: &[Finding]) -> Vec<(FindingKind, &str)> {
    let errors = findings.iter().filter(|finding| finding.is_error());
    errors.map(|finding| (finding.kind, finding.pointer.as_str())).collect()
}

/// What the check says of the base when one text in it is another.
fn doctored(from: &str, to: &str) -> Vec<Finding> {
    assert!(BASE.contains(from), "{from}");
    Policy::parse(&BASE.replacen(from, to, 1)).unwrap().check(&people())
}

#[test]
fn rows_of_an_overlay_replace_those_of_their_name_and_go_before_all_others_for_their_unit_alone() {
    let book = book(json!([
        {"name": "tiny", "when": {"value": {"currency": "EUR", "below": 10}}, "then": "auto_approve"},
        {"name": "small", "when": {"value": {"currency": "EUR", "below": 50}}, "then": "deny"},
    ]));
    let row = |minor, unit| book.route(&transfer(minor, unit)).row;
    assert_eq!([9, 49, 50, 900].map(|minor| row(minor, Some("toys"))), ["tiny", "small", "rest", "large"]);
    assert_eq!([9, 49, 50, 900].map(|minor| row(minor, None)), ["small", "small", "small", "large"]);
    assert_eq!([9, 900].map(|minor| row(minor, Some("food"))), ["small", "large"], "another unit has the base");
    let route = book.route(&transfer(9, Some("toys")));
    assert_eq!((route.policy.id.as_str(), route.policy.version), ("base", 3));
    assert_eq!(route.overlay.map(|overlay| (overlay.id, overlay.version)), Some(("toys".into(), 1)));
    assert_eq!(book.route(&transfer(9, None)).overlay, None);
}

#[test]
fn an_overlay_without_rows_changes_nothing_but_the_pin() {
    let (empty, plain) = (book(json!([])), Rulebook::new(base(), []).unwrap());
    for minor in [0, 99, 100, 900] {
        let (with, without) =
            (empty.route(&transfer(minor, Some("toys"))), plain.route(&transfer(minor, Some("toys"))));
        assert_eq!((with.row, with.then, with.trace), (without.row, without.then, without.trace));
    }
    assert_eq!(empty.check(&people()), plain.check(&people()));
}

#[test]
fn overlays_that_do_not_fit_the_base_or_each_other_make_no_book() {
    let read = |document: Value| Overlay::from_json(document).unwrap();
    let mut elsewhere = overlay(json!([]));
    elsewhere["over"] = json!("other");
    let refused = Rulebook::new(base(), [read(elsewhere)]).unwrap_err();
    assert!(matches!(&refused, InvalidRulebook::OtherBase { .. }), "{refused}");
    let mut twin = overlay(json!([]));
    twin["overlay"] = json!("twin");
    let refused = Rulebook::new(base(), [read(overlay(json!([]))), read(twin)]).unwrap_err();
    assert_eq!(refused.field_error().pointer, "/business_unit");
    let mut narrowed = overlay(json!([{"name": "a", "when": {"business_unit": ["food"]}, "then": "deny"}]));
    narrowed["cases"] =
        json!([{"name": "c", "given": {"kind": "transfer", "business_unit": "food"}, "expect": {"row": "a"}}]);
    let Err(InvalidPolicy::Fields(fields)) = Overlay::from_json(narrowed) else { panic!("must be refused") };
    let pointers: Vec<_> = fields.iter().map(|field| field.pointer.as_str()).collect();
    assert_eq!(pointers, ["/cases/0/given/business_unit", "/rows/0/when/business_unit"]);
}

#[test]
fn an_overlay_is_checked_with_the_base_beneath_it_and_named_in_what_is_found() {
    let rows = json!([
        {"name": "all", "then": {"steps": [{"ask": {"role": "nobody_has_it"}, "decide_within": "1h"}]}},
        {"name": "never", "when": {"value": {"currency": "USD", "below": 5}}, "then": "auto_approve"},
    ]);
    let findings = book(rows).check(&people());
    let expected = [
        (FindingKind::Unreachable, "/rows/1"),
        (FindingKind::NobodyHolds, "/rows/0/then/steps/0/ask"),
        (FindingKind::OtherCurrency, "/rows/1/when/value/currency"),
    ];
    assert_eq!(errors(&findings), expected, "rows of the base behind the overlay are no finding");
    assert!(findings.iter().all(|finding| finding.overlay.as_deref() == Some("toys")));

    let mut with_case = overlay(json!([{"name": "rest", "when": {"kind": ["purchase"]}, "then": "deny"}]));
    with_case["cases"] = json!([{"name": "c", "given": {"kind": "purchase"}, "expect": {"row": "small"}}]);
    let narrowed = Rulebook::new(base(), [Overlay::from_json(with_case).unwrap()]).unwrap();
    let findings = narrowed.check(&people());
    assert!(findings.iter().any(|finding| finding.kind == FindingKind::Gap), "the replaced row was the last one");
    let case = findings.iter().find(|finding| finding.kind == FindingKind::CaseFailed).unwrap();
    assert_eq!(case.row.as_deref(), Some("rest"), "judged as a request of the unit, though the case does not say so");
}

#[test]
fn each_slip_of_an_author_is_found_where_it_was_made() {
    assert_eq!(base().check(&people()), []);
    let gap = doctored("- {name: rest, then", "- {name: rest, when: {kind: [purchase, write_off, substitution]}, then");
    assert_eq!(gap[0].kind, FindingKind::Gap);
    assert_eq!(gap[0].example.as_ref().unwrap().value.unwrap().minor, 100, "the limit itself falls in");
    let unreachable = doctored("at_least: 900", "at_least: 0, below: 100");
    assert_eq!(errors(&unreachable), [(FindingKind::Unreachable, "/rows/1")]);
    let uncapped = doctored("below: 100", "at_least: 0");
    assert!(errors(&uncapped).contains(&(FindingKind::Uncapped, "/rows/0/when/value")));
    let meant = doctored("then: auto_approve", "uncapped: a test, then: auto_approve");
    assert_eq!(meant, []);
    let nobody = doctored("role: finance", "role: auditor");
    assert_eq!(errors(&nobody), [(FindingKind::NobodyHolds, "/rows/2/then/steps/0/ask")]);
    let never = doctored("{role: finance}", "{role: finance}, quorum: 2");
    assert_eq!(errors(&never), [(FindingKind::NeverSatisfied, "/rows/2/then/steps")]);
    let shadow = doctored("then: deny", "then: deny, shadows: [small]");
    assert_eq!(errors(&shadow), [(FindingKind::UnknownRow, "/rows/1/shadows/0")], "only later rows can be shadowed");
}

#[test]
fn a_timeout_cannot_be_written_to_approve() {
    let text = BASE.replace("decide_within: 1h}", "decide_within: 1h, at_timeout: approve}");
    let Err(InvalidPolicy::Fields(fields)) = Policy::parse(&text) else { panic!("must be refused") };
    assert_eq!(fields[0].pointer, "/rows/2/then/steps/0/at_timeout");
}

#[test]
fn rows_that_cross_are_an_error_when_the_earlier_passes_and_a_warning_otherwise_unless_meant() {
    let crossing = |first: &str, more: &str| {
        let small = "{name: small, when: {kind: [transfer], value: {currency: EUR, below: 100}}, then: auto_approve}";
        let rows = format!(
            "{{name: cheap, when: {{kind: [transfer], value: {{currency: EUR, below: 1000}}}}, {first}{more}}}\n  \
             - {{name: drugs, when: {{category: [drugs]}}, then: {{steps: [{{ask: {{role: operator}}, decide_within: 1h}}]}}}}"
        );
        doctored(
            &format!(
                "{small}\n  - {{name: large, when: {{kind: [transfer], value: {{currency: EUR, at_least: 900}}}}, then: deny}}"
            ),
            &rows,
        )
    };
    let passes = crossing("then: auto_approve", "");
    let found: Vec<_> = passes.iter().map(|one| (one.level, one.kind, one.pointer.as_str())).collect();
    assert_eq!(found, [(Level::Error, FindingKind::Overlap, "/rows/0/when")]);
    assert!(passes[0].detail.contains("\"drugs\""), "{}", passes[0]);
    assert_eq!(passes[0].example.as_ref().unwrap().category.as_deref(), Some("drugs"));
    let denies = crossing("then: deny", "");
    assert_eq!(
        denies.iter().map(|one| (one.level, one.kind)).collect::<Vec<_>>(),
        [(Level::Warning, FindingKind::Overlap)]
    );
    assert_eq!(crossing("then: auto_approve", ", shadows: [drugs]"), []);
}

#[test]
fn the_default_policy_sends_each_scenario_to_its_people() {
    let book = Rulebook::new(Policy::parse(DEFAULT_POLICY).unwrap(), []).unwrap();
    let asks = |given: Value| {
        let route = book.route(&serde_json::from_value(given).unwrap());
        let asks = match &route.then {
            Then::Steps(steps) => steps.iter().map(|step| step.ask.to_string()).collect(),
            Then::AutoApprove => vec!["passes".to_owned()],
            Then::Deny => vec!["denied".to_owned()],
        };
        (route.row, asks.join(", "))
    };
    let euro = |minor: i64| json!({"minor": minor, "currency": "EUR"});
    let (north, south) = (json!({"region": "north"}), json!({"region": "south"}));
    let scenarios = [
        (json!({"kind": "transfer", "value": euro(100), "from": north, "to": north}), "routine-transfer", "passes"),
        (
            json!({"kind": "transfer", "value": euro(100), "from": south, "to": north}),
            "cross-region-transfer",
            "regional_ops of the place it comes from",
        ),
        (
            json!({"kind": "purchase", "value": euro(99_999), "score": 700_000}),
            "urgent-small-purchase",
            "store_manager of the place it goes to",
        ),
        (json!({"kind": "purchase", "value": euro(100_000), "severity": 4}), "emergency-purchase", "procurement_lead"),
        (json!({"kind": "write_off", "value": euro(20_000)}), "write-off", "finance"),
        (json!({"kind": "substitution", "promotion": true}), "substitution-during-promotion", "procurement_lead"),
    ];
    for (given, row, who) in scenarios {
        assert_eq!(asks(given), (row.to_owned(), who.to_owned()));
    }
}

#[test]
fn the_same_version_read_again_gives_every_route_again() {
    let once = Rulebook::new(base(), []).unwrap();
    let Document::Policy(again) = Document::from_json(serde_json::to_value(base()).unwrap()).unwrap() else {
        panic!("it is a policy")
    };
    let again = Rulebook::new(again, []).unwrap();
    for minor in [0, 99, 100, 899, 900] {
        assert_eq!(once.route(&transfer(minor, None)), again.route(&transfer(minor, None)));
    }
}

/// A decision that the base has made, with the hours that finance took.
fn past(id: &str, minor: i64, hours: u32, how: &str, requester: Option<&str>) -> Recorded {
    let input = transfer(minor, None);
    let route = Rulebook::new(base(), []).unwrap().route(&input);
    let mut outcome = Outcome::of(&route.then);
    if let Outcome::Asked(asked) = &mut outcome {
        asked.iter_mut().for_each(|step: &mut Asked| step.seconds = Some(hours * 3600));
    }
    let (opened_at, ended_at) = ("2026-11-02T08:00:00Z".parse().unwrap(), "2026-11-02T18:00:00Z".parse().unwrap());
    let how = serde_json::from_value(json!(how)).unwrap();
    let requesters = requester.into_iter().map(|id| serde_json::from_value(json!(id)).unwrap()).collect();
    Recorded { id: id.to_owned(), input, row: route.row, outcome, requesters, opened_at, ended_at, how }
}

fn simulate(draft: &Rulebook, past: &[Recorded]) -> Simulation {
    let people = people();
    let mut simulator = Simulator::new(draft, &people);
    past.iter().for_each(|one| simulator.replay(one));
    simulator.finish()
}

#[test]
fn a_replay_under_the_same_policy_changes_nothing_and_a_draft_shows_what_it_would() {
    let record = [
        past("passed", 50, 0, "approved", None),
        past("approved", 100, 2, "approved", None),
        past("refused", 200, 4, "denied", None),
        past("still-asked", 500, 6, "approved", None),
        past("denied", 900, 0, "denied", None),
        past("by-olga", 600, 6, "approved", Some("olga")),
    ];
    let same = simulate(&Rulebook::new(base(), []).unwrap(), &record);
    assert_eq!((same.replayed, same.unchanged, same.changed, same.median_hours_saved), (6, 6, 0, None));
    assert_eq!((same.approver_hours.before, same.approver_hours.after), (18.0, 18.0));

    let draft = BASE.replace("below: 100", "below: 300").replace(
        "  - {name: rest",
        "  - {name: odd, when: {value: {currency: EUR, at_least: 600}}, then: {steps: [{ask: {role: operator}, decide_within: 1h}]}}\n  - {name: rest",
    );
    let report = simulate(&Rulebook::new(Policy::parse(&draft).unwrap(), []).unwrap(), &record);
    assert_eq!((report.unchanged, report.changed), (3, 3));
    assert_eq!(report.passing_unseen.examples, ["approved", "refused"]);
    assert_eq!(report.passing_unseen.value[0].minor, 300);
    assert_eq!(report.passing_though_refused.examples, ["refused"]);
    let finance = report.approvals["finance"];
    assert_eq!((finance.before, finance.after, finance.removed, finance.added), (4, 1, 3, 0));
    assert_eq!(report.approvals["operator"].added, 1);
    assert_eq!(report.median_hours_saved, Some(4.0), "2, 4, and 6 of which nobody knows how long operators take");
    assert_eq!(report.without_history.iter().collect::<Vec<_>>(), ["operator"]);
    assert_eq!(report.duty_conflicts.examples, ["by-olga"], "she asked, and is the only operator");
    assert_eq!((report.approver_hours.before, report.approver_hours.after), (18.0, 6.0));
}
