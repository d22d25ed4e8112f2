//! Steps that run together, quorums of different roles, questions, edits, further approvers, and time.

#![expect(clippy::unwrap_used, reason = "clippy excuses the tests themselves, but not what they share")]

use contracts::PersonId;
use governance::{
    Actor, Command, Directory, Requester, Site, State,
    calendar::Calendars,
    policy::{Edited, Policy, Step, Then},
    request::{Edit, End, Happened, Opening, Refused, RemarkKind, Timing, Transition, Verdict},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// A Monday, 11:06 UTC.
const START: Timestamp = Timestamp::constant(1_795_431_960, 0);

fn after(minutes: i64) -> Timestamp {
    START + SignedDuration::from_mins(minutes)
}

fn id(name: &str) -> PersonId {
    PersonId::new(name).unwrap()
}

fn ids(names: &[&str]) -> Vec<PersonId> {
    names.iter().map(|name| id(name)).collect()
}

/// olga and omar hold `ops`, fay and fred hold `finance`, mia both; ann holds nothing.
fn people() -> Directory {
    Directory::parse(
        "people: [{id: olga, name: Olga, roles: [{role: ops}]}, {id: omar, name: Omar, roles: [{role: ops}]},
         {id: fay, name: Fay, roles: [{role: finance}]}, {id: fred, name: Fred, roles: [{role: finance}]},
         {id: mia, name: Mia, roles: [{role: ops}, {role: finance}]}, {id: ann, name: Ann}]",
    )
    .unwrap()
}

fn n8n() -> Actor {
    Actor::Service { key: "n8n".into() }
}

fn steps(value: Value) -> Vec<Step> {
    serde_json::from_value(value).unwrap()
}

fn open_within(steps_: Value, timing: Timing) -> Transition {
    let requester = Requester { by: n8n(), on_behalf_of: None };
    let (from, to) = Default::default();
    let then = Then::Steps(steps(steps_));
    let opening = Opening { requester, from, to, row: "row".into(), then, timing, watchers: Vec::new() };
    State::open(opening, START, &people())
}

fn open(steps: Value) -> State {
    open_within(steps, Timing::default()).state
}

fn say(person: &str, verdict: Verdict) -> Command {
    let comment = Some("because".into());
    Command::Decide { person: id(person), verdict, comment, step: None, version: None, revision: None }
}

fn act(state: &State, command: &Command) -> Result<State, Refused> {
    state.apply(command, after(1), &people()).map(|transition| transition.state)
}

fn approve(state: &State, person: &str) -> Result<State, Refused> {
    act(state, &say(person, Verdict::Approve))
}

fn open_now(state: &State) -> Vec<u32> {
    state.open_steps().iter().map(|waiting| waiting.step).collect()
}

fn end(state: &State) -> Option<End> {
    state.ended().map(|ended| ended.how)
}

fn ops_beside_finance_then_mia() -> Value {
    json!([
        {"ask": {"role": "ops"}, "decide_within": "4h"},
        {"ask": {"role": "finance"}, "with_previous": true, "decide_within": "8h"},
        {"ask": {"people": ["mia", "ann"]}, "decide_within": "1h"}
    ])
}

#[test]
fn steps_that_run_together_are_asked_at_once_and_pass_in_any_order() {
    let opened = open_within(ops_beside_finance_then_mia(), Timing::default());
    let asked: Vec<_> = opened
        .happened
        .iter()
        .map(|happened| match happened {
            Happened::StepOpened { step, asked, .. } => (*step, asked.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(asked, [(0, 3), (1, 3)]);
    let state = opened.state;
    assert_eq!((open_now(&state), state.waiting().unwrap().step), (vec![0, 1], 0), "the one that times out first");
    let finance = approve(&state, "fay").unwrap();
    assert_eq!(open_now(&finance), [0]);
    let both = approve(&finance, "omar").unwrap();
    assert_eq!(open_now(&both), [2]);
    assert_eq!(end(&approve(&both, "ann").unwrap()), Some(End::Approved));
}

#[test]
fn one_person_does_not_stand_for_two_steps_that_run_together() {
    let one = approve(&open(ops_beside_finance_then_mia()), "mia").unwrap();
    assert_eq!(open_now(&one), [1]);
    assert!(matches!(approve(&one, "mia"), Err(Refused::ApprovedEarlierStep { .. } | Refused::AlreadyDecided(_))));
    let two = approve(&one, "fay").unwrap();
    assert!(matches!(approve(&two, "mia"), Err(Refused::ApprovedEarlierStep { .. })));
    assert_eq!(end(&approve(&two, "ann").unwrap()), Some(End::Approved));
}

#[test]
fn a_rejection_at_one_of_them_ends_all() {
    let denied = act(&open(ops_beside_finance_then_mia()), &say("fred", Verdict::Reject)).unwrap();
    assert_eq!((end(&denied), denied.next_wake()), (Some(End::Denied), None));
}

fn of_each_role() -> Value {
    json!([{"ask": {"any_of": [{"role": "ops"}, {"role": "finance"}]}, "quorum": 2, "distinct_roles": true,
            "decide_within": "4h"}])
}

#[test]
fn two_of_the_same_role_count_once_where_roles_must_differ() {
    let ops = approve(&open(of_each_role()), "olga").unwrap();
    assert_eq!(approve(&ops, "omar"), Err(Refused::RoleHasSpoken));
    assert_eq!(end(&approve(&ops, "fay").unwrap()), Some(End::Approved));
    // mia may stand for either: with olga she is finance, with fay she is ops.
    let mia = approve(&open(of_each_role()), "mia").unwrap();
    for other in ["olga", "fay"] {
        assert_eq!(end(&approve(&mia, other).unwrap()), Some(End::Approved), "{other}");
    }
    let rejects = act(&ops, &say("omar", Verdict::Reject)).unwrap();
    assert_eq!(end(&rejects), Some(End::Denied), "a rejection needs no count");
}

#[test]
fn a_quorum_that_roles_cannot_fill_does_not_wait() {
    let three = json!([{"ask": {"any_of": [{"role": "ops"}, {"role": "finance"}, {"role": "audit"}]}, "quorum": 3,
        "distinct_roles": true, "decide_within": "4h"}]);
    assert_eq!(end(&open(three)), Some(End::NobodyToAsk));
}

#[test]
fn several_reminders_come_in_turn_and_missed_ones_as_one() {
    let state = open(json!([{"ask": {"role": "ops"}, "decide_within": "4h", "remind_after": ["1h", "2h", "3h"]}]));
    let tick = |state: &State, minutes| state.apply(&Command::Tick, after(minutes), &people()).unwrap();
    let first = tick(&state, 60);
    assert!(matches!(first.happened[..], [Happened::Reminded { .. }]));
    assert_eq!(first.state.next_wake(), Some(after(120)));
    let late = tick(&first.state, 185);
    assert_eq!((late.happened.len(), late.state.next_wake()), (1, Some(after(240))));
}

#[test]
fn time_stands_still_for_a_step_while_its_place_is_closed() {
    let calendars = "calendars: [{name: shop, locations: [store-1], time_zone: Europe/Berlin, \
        hours: [{days: [mon, tue, wed, thu, fri], from: \"08:00\", to: \"18:00\"}]}]";
    let calendars = Calendars::parse(calendars).unwrap();
    let shop = Site { location: Some(contracts::LocationId::new("store-1").unwrap()), region: None };
    let timing = Timing { to: calendars.of(&shop).cloned(), ..Timing::default() };
    let ask =
        json!([{"ask": {"role": "ops"}, "decide_within": {"business": "8h"}, "remind_after": {"business": "6h"}}]);
    let state = open_within(ask, timing).state;
    let local = |text: &str| format!("{text}[Europe/Berlin]").parse::<jiff::Zoned>().unwrap().timestamp();
    let waiting = state.waiting().unwrap();
    assert_eq!(START, local("2026-11-23T12:06"));
    assert_eq!(waiting.remind_at, Some(local("2026-11-24T08:06")), "5 h 54 min today, the rest tomorrow");
    assert_eq!(waiting.decide_by, local("2026-11-24T10:06"));
}

#[test]
fn a_deadline_of_the_business_leaves_everybody_the_same_share() {
    let ask = json!([{"ask": {"role": "ops"}, "decide_within": "4h", "remind_after": "2h",
        "at_timeout": {"escalate": {"to": {"role": "finance"}, "within": "2h"}}}]);
    let dates = |minutes| {
        let timing = Timing { deadline: Some(after(minutes)), ..Timing::default() };
        let state = open_within(ask.clone(), timing).state;
        let waiting = state.waiting().unwrap().clone();
        (waiting.remind_at.unwrap(), waiting.decide_by, state)
    };
    assert_eq!((dates(600).0, dates(600).1), (after(120), after(240)), "late enough");
    let (remind, escalate, state) = dates(60);
    assert_eq!((remind, escalate), (after(20), after(40)));
    let escalated = state.apply(&Command::Tick, after(40), &people()).unwrap();
    assert!(matches!(escalated.happened[..], [Happened::Escalated { decide_by, .. }] if decide_by == after(60)));
    let over = escalated.state.apply(&Command::Tick, after(60), &people()).unwrap().state;
    assert_eq!(end(&over), Some(End::Expired));
    // A replica that was away wakes up after the deadline: it is too late to ask anybody.
    assert_eq!(end(&state.apply(&Command::Tick, after(61), &people()).unwrap().state), Some(End::Expired));
}

fn two_of_ops() -> Value {
    json!([{"ask": {"role": "ops"}, "quorum": 2, "decide_within": "1h"}])
}

fn ask_back(state: &State, person: &str) -> State {
    act(state, &say(person, Verdict::SendBack)).unwrap()
}

#[test]
fn a_question_stops_the_clock_and_its_answer_opens_the_step_again_with_what_others_approved() {
    let back = ask_back(&approve(&open(two_of_ops()), "olga").unwrap(), "omar");
    let question = back.question().unwrap();
    assert_eq!((question.by.as_str(), question.answer_by, end(&back)), ("omar", after(61), None));
    assert!(matches!(approve(&back, "mia"), Err(Refused::WaitsForAnswer(_))));
    assert!(matches!(act(&back, &say("omar", Verdict::SendBack)), Err(Refused::AlreadyDecided(_))));
    let answer = |by| Command::Answer { by, text: "a promotion".into() };
    let stranger = Actor::Service { key: "pos".into() };
    assert_eq!(act(&back, &answer(stranger)), Err(Refused::NotTheRequester));
    let answered = back.apply(&answer(n8n()), after(30), &people()).unwrap();
    assert!(
        matches!(&answered.happened[..], [Happened::Remarked { remark, superseded: 1 }, Happened::StepOpened { decide_by, .. }]
        if remark.kind == RemarkKind::Answer && *decide_by == after(90))
    );
    let again = answered.state;
    assert!(matches!(act(&again, &answer(n8n())), Err(Refused::NothingAsked)));
    assert_eq!(end(&approve(&again, "omar").unwrap()), Some(End::Approved), "olga's approval stands");
}

#[test]
fn a_question_that_nobody_answers_expires() {
    let back = ask_back(&open(two_of_ops()), "omar");
    assert_eq!(back.next_wake(), Some(after(61)));
    let over = back.apply(&Command::Tick, after(61), &people()).unwrap().state;
    assert_eq!((end(&over), over.next_wake()), (Some(End::Expired), None));
    assert!(matches!(act(&over, &Command::Answer { by: n8n(), text: "late".into() }), Err(Refused::Over(_))));
}

#[test]
fn a_comment_decides_nothing() {
    let state = open(two_of_ops());
    let said = act(&state, &Command::Comment { by: Actor::Person { person: id("ann") }, text: "hm".into() }).unwrap();
    assert_eq!((said.version, &said.phase, said.remarks.len()), (state.version + 1, &state.phase, 1));
}

fn add(by: &str, person: &str) -> Command {
    Command::AddApprover { by: id(by), person: id(person), step: None }
}

#[test]
fn one_more_approver_only_tightens() {
    let state = open(json!([{"ask": {"role": "ops"}, "decide_within": "1h"}]));
    assert!(matches!(act(&state, &add("fay", "ann")), Err(Refused::NotAsked { .. })), "fay is not asked herself");
    assert!(matches!(act(&state, &add("olga", "nobody")), Err(Refused::UnknownPerson { .. })));
    let added = act(&state, &add("olga", "ann")).unwrap();
    assert!(matches!(act(&added, &add("omar", "ann")), Err(Refused::AskedAlready { .. })));
    let quorum = approve(&added, "olga").unwrap();
    assert_eq!(open_now(&quorum), [0], "the quorum alone is not enough");
    let done = approve(&quorum, "ann").unwrap();
    assert_eq!((end(&done), done.approvers()), (Some(End::Approved), ids(&["olga", "ann"])));
    let ann_first = approve(&added, "ann").unwrap();
    assert_eq!((open_now(&ann_first), ann_first.counted(0)), (vec![0], 0), "she does not count for the quorum");
    assert_eq!(end(&act(&added, &say("ann", Verdict::Reject)).unwrap()), Some(End::Denied));
}

#[test]
fn who_asks_or_has_approved_is_no_further_pair_of_eyes() {
    let requester = Requester { by: n8n(), on_behalf_of: Some(id("ann")) };
    let mut state = open(json!([{"ask": {"role": "ops"}, "decide_within": "1h"},
        {"ask": {"role": "finance"}, "decide_within": "1h"}]));
    state.requester = requester;
    assert!(matches!(act(&state, &add("olga", "ann")), Err(Refused::RequesterMayNotApprove { .. })));
    let second = approve(&state, "olga").unwrap();
    assert!(matches!(act(&second, &add("fay", "olga")), Err(Refused::ApprovedEarlierStep { .. })));
}

#[test]
fn a_watcher_gets_no_say() {
    let watched = act(&open(two_of_ops()), &Command::Watch { person: id("ann") }).unwrap();
    assert_eq!(watched.watchers, ids(&["ann"]));
    assert!(matches!(approve(&watched, "ann"), Err(Refused::NotAsked { .. })));
    let twice = watched.apply(&Command::Watch { person: id("ann") }, START, &people()).unwrap();
    assert_eq!((twice.happened.len(), twice.state.version), (0, watched.version));
}

fn edit_to(changed: &[Edited], then: Then) -> Command {
    let (from, to) = Default::default();
    let edit = Edit { changed: changed.to_vec(), from, to, row: "row".into(), then, deadline: None };
    Command::Edit { by: n8n(), edit, text: None, version: None }
}

#[test]
fn an_edit_voids_what_was_approved_unless_the_policy_says_otherwise() {
    let on_edit =
        |rules: Value| json!([{"ask": {"role": "ops"}, "quorum": 2, "decide_within": "1h", "on_edit": rules}]);
    let lenient = json!({"quantity": "re_evaluate", "parties": "void", "facts": "void", "score": "void",
        "title": "none", "timing": "none"});
    for (rules, changed, stands) in [
        (json!({}), Edited::Title, false),
        (json!({}), Edited::Facts, false),
        (lenient.clone(), Edited::Title, true),
        (lenient.clone(), Edited::Quantity, true),
        (lenient.clone(), Edited::Facts, false),
    ] {
        let one = approve(&open(on_edit(rules.clone())), "olga").unwrap();
        let same = Then::Steps(steps(on_edit(rules.clone())));
        let edited = act(&one, &edit_to(&[changed], same)).unwrap();
        assert_eq!((edited.counted(0), edited.revision), (usize::from(stands), 1), "{rules} {changed:?}");
        let said = &edited.decisions[0];
        assert_eq!((said.person.as_str(), said.superseded_at.is_none()), ("olga", stands), "kept in sight");
        let next = approve(&edited, "omar").unwrap();
        assert_eq!(end(&next).is_some(), stands);
    }
}

#[test]
fn an_edit_for_which_the_policy_asks_others_starts_again() {
    let rules = json!({"quantity": "re_evaluate", "title": "none", "parties": "void", "facts": "void", "score": "void",
        "timing": "void"});
    let asks = json!([{"ask": {"role": "ops"}, "quorum": 2, "decide_within": "1h", "on_edit": rules}]);
    let one = approve(&open(asks), "olga").unwrap();
    let finance = Then::Steps(steps(json!([{"ask": {"role": "finance"}, "decide_within": "2h"}])));
    let more = act(&one, &edit_to(&[Edited::Quantity], finance.clone())).unwrap();
    assert_eq!((more.steps[0].ask.to_string().as_str(), more.counted(0)), ("finance", 0));
    assert_eq!(end(&approve(&more, "fay").unwrap()), Some(End::Approved));
    let title = act(&one, &edit_to(&[Edited::Title], finance)).unwrap();
    assert_eq!((title.steps[0].ask.to_string().as_str(), title.counted(0)), ("ops", 1), "not asked of the policy");
    for (then, how) in [(Then::AutoApprove, End::Approved), (Then::Deny, End::Denied)] {
        assert_eq!(end(&act(&one, &edit_to(&[Edited::Quantity], then)).unwrap()), Some(how));
    }
    assert_eq!(act(&one, &edit_to(&[], Then::AutoApprove)), Err(Refused::Unchanged));
}

#[test]
fn an_edit_goes_back_to_the_step_that_lost_its_approvals_and_keeps_the_others() {
    let mut asks = json!([{"ask": {"role": "ops"}, "decide_within": "1h"},
        {"ask": {"role": "finance"}, "quorum": 2, "decide_within": "1h"}]);
    asks[1]["on_edit"] = json!({"title": "none", "quantity": "void", "parties": "void", "facts": "void",
        "score": "void", "timing": "void"});
    let half = approve(&approve(&open(asks.clone()), "olga").unwrap(), "fay").unwrap();
    let edited = act(&half, &edit_to(&[Edited::Title], Then::Steps(steps(asks)))).unwrap();
    assert_eq!(open_now(&edited), [0]);
    let back = approve(&edited, "omar").unwrap();
    assert_eq!((open_now(&back), back.counted(1)), (vec![1], 1), "fay need not say it twice");
}

#[test]
fn an_edit_answers_the_question_and_does_not_shake_off_who_was_added() {
    let added = act(&open(two_of_ops()), &add("olga", "ann")).unwrap();
    let back = ask_back(&added, "ann");
    let edited = act(&back, &edit_to(&[Edited::Quantity], Then::Steps(steps(two_of_ops())))).unwrap();
    assert_eq!((edited.question(), open_now(&edited)), (None, vec![0]));
    let both = approve(&approve(&edited, "olga").unwrap(), "omar").unwrap();
    assert_eq!(open_now(&both), [0], "ann is still needed");
    assert_eq!(end(&approve(&both, "ann").unwrap()), Some(End::Approved));
}

#[test]
fn who_looked_at_an_earlier_form_is_told() {
    let edited = act(&open(two_of_ops()), &edit_to(&[Edited::Quantity], Then::Steps(steps(two_of_ops())))).unwrap();
    let decide = |revision| {
        let (verdict, comment) = (Verdict::Approve, None);
        Command::Decide { person: id("olga"), verdict, comment, step: Some(0), version: None, revision }
    };
    assert_eq!(act(&edited, &decide(Some(0))), Err(Refused::Edited { seen: 0, current: 1 }));
    assert!(act(&edited, &decide(Some(1))).is_ok());
}

#[test]
fn a_policy_that_could_loosen_by_edits_or_never_be_fulfilled_is_not_read() {
    let parse = |step: &str| {
        let text =
            format!("policy: p\nversion: 1\ngrant_valid_for: 1h\nrows: [{{name: a, then: {{steps: [{step}]}}}}]");
        Policy::parse(&text).map_err(|error| error.to_string())
    };
    for (step, complaint) in [
        ("{ask: {role: ops}, decide_within: 1h, on_edit: {quantity: none}}", "/rows/0/then/steps/0/on_edit/quantity"),
        ("{ask: {role: ops}, decide_within: 1h, with_previous: true}", "/rows/0/then/steps/0/with_previous"),
        ("{ask: {role: ops}, quorum: 2, distinct_roles: true, decide_within: 1h}", "/rows/0/then/steps/0/quorum"),
        ("{ask: {any_of: []}, decide_within: 1h}", "/rows/0/then/steps/0/ask/any_of"),
        ("{ask: {any_of: [{any_of: [{role: a}]}]}, decide_within: 1h}", "another any_of"),
        ("{ask: {role: ops}, decide_within: {business: 8h}, remind_after: 2h}", "/rows/0/then/steps/0/remind_after"),
    ] {
        let error = parse(step).expect_err(step);
        assert!(error.contains(complaint), "{step}: {error}");
    }
    let rich = "{ask: {any_of: [{role: ops, at: from}, {people: [mia]}]}, quorum: 2, distinct_roles: true, \
                decide_within: {business: 8h}, remind_after: [{business: 2h}, {business: 4h}], on_edit: {title: none}}";
    let policy = parse(rich).unwrap();
    assert_eq!(Policy::from_json(serde_json::to_value(&policy).unwrap()).unwrap(), policy);
}
