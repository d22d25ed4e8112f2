//! The life of a request.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy excuses the tests themselves, but not what they share"
)]

use contracts::{PersonId, events::DecidedBy};
use governance::{
    Actor, Command, Directory, Requester, State,
    policy::{AtTimeout, Step, Then, Who},
    request::{Decision, End, Happened, Opening, Phase, Refused, Timing, Transition, Verdict},
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

const START: Timestamp = Timestamp::constant(1_795_000_000, 0);

fn after(seconds: i64) -> Timestamp {
    START + SignedDuration::from_secs(seconds)
}

fn id(name: &str) -> PersonId {
    PersonId::new(name).unwrap()
}

fn ids(names: &[&str]) -> Vec<PersonId> {
    names.iter().map(|name| id(name)).collect()
}

/// olga and omar hold `ops`, fay holds `finance`, mia both.
fn people() -> Directory {
    Directory::parse(
        "people: [{id: olga, name: Olga, roles: [{role: ops}]}, {id: omar, name: Omar, roles: [{role: ops}]},
         {id: fay, name: Fay, roles: [{role: finance}]}, {id: mia, name: Mia, roles: [{role: ops}, {role: finance}]}]",
    )
    .unwrap()
}

fn n8n() -> Requester {
    Requester { by: Actor::Service { key: "n8n".into() }, on_behalf_of: None }
}

fn steps(value: serde_json::Value) -> Then {
    Then::Steps(serde_json::from_value(value).unwrap())
}

fn opening(requester: Requester, then: Then) -> Opening {
    let (from, to) = Default::default();
    Opening { requester, from, to, row: "row".into(), then, timing: Timing::default(), watchers: Vec::new() }
}

fn open(requester: Requester, then: Then) -> Transition {
    State::open(opening(requester, then), START, &people())
}

fn say(person: &str, verdict: Verdict) -> Command {
    Command::Decide {
        person: id(person),
        verdict,
        comment: Some("because".into()),
        step: None,
        version: None,
        revision: None,
    }
}

fn approve(state: &State, person: &str) -> Result<Transition, Refused> {
    state.apply(&say(person, Verdict::Approve), after(1), &people())
}

fn ops_then_finance() -> Then {
    steps(json!([
        {"ask": {"role": "ops"}, "decide_within": "4h", "remind_after": "2h",
         "at_timeout": {"escalate": {"to": {"people": ["fay"]}, "within": "1h"}}},
        {"ask": {"role": "finance"}, "decide_within": "8h"}
    ]))
}

fn end(state: &State) -> End {
    state.ended().expect("is over").how
}

#[test]
fn a_policy_that_asks_nobody_decides_at_once() {
    for (then, how) in [(Then::AutoApprove, End::Approved), (Then::Deny, End::Denied)] {
        let opened = open(n8n(), then);
        assert_eq!((end(&opened.state), opened.state.version, opened.state.next_wake()), (how, 1, None));
        assert_eq!(opened.state.ended().unwrap().by, DecidedBy::Policy { row: "row".into() });
        assert!(matches!(opened.happened[..], [Happened::Ended(_)]));
    }
}

#[test]
fn steps_are_walked_in_order_by_different_people() {
    let opened = open(n8n(), ops_then_finance());
    let asked = ids(&["olga", "omar", "mia"]);
    assert_eq!(opened.happened, [Happened::StepOpened { step: 0, asked, decide_by: after(4 * 3600) }]);
    assert!(matches!(approve(&opened.state, "fay"), Err(Refused::NotAsked { .. })));
    let second = approve(&opened.state, "mia").unwrap();
    assert_eq!(second.state.version, 2);
    let asked = ids(&["fay"]);
    assert!(matches!(&second.happened[1], Happened::StepOpened { step: 1, asked: a, .. } if *a == asked));
    assert!(matches!(approve(&second.state, "olga"), Err(Refused::NotAsked { .. })));
    let done = approve(&second.state, "fay").unwrap();
    assert_eq!(done.state.ended().unwrap().by, DecidedBy::People { people: ids(&["mia", "fay"]) });
    let stored: State = serde_json::from_str(&serde_json::to_string(&done.state).unwrap()).unwrap();
    assert_eq!(stored, done.state);
}

#[test]
fn who_asks_or_is_asked_for_does_not_approve() {
    let person = Requester { by: Actor::Person { person: id("olga") }, on_behalf_of: None };
    let asserted = Requester { on_behalf_of: Some(id("olga")), ..n8n() };
    for requester in [person, asserted] {
        let opened = open(requester, ops_then_finance()).state;
        assert_eq!(opened.waiting().unwrap().asked, ids(&["omar", "mia"]));
        assert_eq!(approve(&opened, "olga"), Err(Refused::RequesterMayNotApprove { person: id("olga") }));
    }
}

#[test]
fn an_approver_of_an_earlier_step_counts_once_unless_the_policy_says_otherwise() {
    let both = |distinct: bool| {
        steps(json!([{"ask": {"role": "finance"}, "decide_within": "1h"},
            {"ask": {"role": "finance"}, "quorum": 1, "distinct": distinct, "decide_within": "1h"}]))
    };
    let first = approve(&open(n8n(), both(true)).state, "mia").unwrap().state;
    let again = Command::Decide {
        person: id("mia"),
        verdict: Verdict::Approve,
        comment: None,
        step: Some(1),
        version: None,
        revision: None,
    };
    let refused = first.apply(&again, after(2), &people());
    assert_eq!(refused, Err(Refused::ApprovedEarlierStep { person: id("mia") }));
    let first = approve(&open(n8n(), both(false)).state, "mia").unwrap().state;
    let done = first.apply(&again, after(2), &people()).unwrap().state;
    assert_eq!((end(&done), done.approvers()), (End::Approved, ids(&["mia"])));
}

#[test]
fn a_second_click_gets_the_first_answer_even_when_all_is_over() {
    let two = steps(json!([{"ask": {"role": "ops"}, "quorum": 2, "decide_within": "1h"}]));
    let one = approve(&open(n8n(), two).state, "olga").unwrap().state;
    let first = Decision {
        authority: None,
        person: id("olga"),
        step: 0,
        verdict: Verdict::Approve,
        comment: Some("because".into()),
        at: after(1),
        revision: 0,
        stands_for: Vec::new(),
        ad_hoc: false,
        superseded_at: None,
    };
    let reject = say("olga", Verdict::Reject);
    assert_eq!(one.apply(&reject, after(9), &people()), Err(Refused::AlreadyDecided(Box::new(first.clone()))));
    let done = approve(&one, "omar").unwrap().state;
    assert_eq!(done.apply(&reject, after(9), &people()), Err(Refused::AlreadyDecided(Box::new(first))));
    assert_eq!(approve(&done, "mia"), Err(Refused::Over(done.ended().unwrap().clone())));
}

#[test]
fn one_who_saw_another_version_or_step_is_told() {
    let two = steps(json!([{"ask": {"role": "ops"}, "quorum": 2, "decide_within": "1h"}]));
    let one = approve(&open(n8n(), two).state, "olga").unwrap().state;
    let decide = |step, version| {
        let command = Command::Decide {
            person: id("omar"),
            verdict: Verdict::Approve,
            comment: None,
            step,
            version,
            revision: None,
        };
        one.apply(&command, after(2), &people())
    };
    assert_eq!(decide(None, Some(1)), Err(Refused::Stale { seen: 1, current: 2 }));
    assert_eq!(decide(Some(1), None), Err(Refused::OtherStep { step: 1, open: 0 }));
    assert_eq!(end(&decide(Some(0), Some(2)).unwrap().state), End::Approved);
}

#[test]
fn one_rejection_ends_it_and_a_question_needs_words() {
    let state = open(n8n(), ops_then_finance()).state;
    let denied = state.apply(&say("olga", Verdict::Reject), after(1), &people()).unwrap().state;
    let ended = denied.ended().unwrap();
    assert_eq!((ended.how, ended.comment.as_deref()), (End::Denied, Some("because")));
    let mute = Command::Decide {
        person: id("olga"),
        verdict: Verdict::SendBack,
        comment: Some(" ".into()),
        step: None,
        version: None,
        revision: None,
    };
    assert_eq!(state.apply(&mute, after(1), &people()), Err(Refused::CommentNeeded));
}

#[test]
fn only_who_asked_withdraws() {
    let state = open(Requester { on_behalf_of: Some(id("olga")), ..n8n() }, ops_then_finance()).state;
    let withdraw = |by| state.apply(&Command::Withdraw { by, comment: None }, after(1), &people());
    let service = withdraw(Actor::Service { key: "n8n".into() }).unwrap().state;
    assert_eq!(service.ended().unwrap().by, DecidedBy::Service { key: "n8n".into() });
    assert_eq!(end(&withdraw(Actor::Person { person: id("olga") }).unwrap().state), End::Withdrawn);
    assert_eq!(withdraw(Actor::Person { person: id("mia") }), Err(Refused::NotTheRequester));
    assert_eq!(withdraw(Actor::Service { key: "pos".into() }), Err(Refused::NotTheRequester));
}

#[test]
fn time_reminds_then_escalates_then_expires() {
    let state = open(n8n(), ops_then_finance()).state;
    let tick = |state: &State, at| state.apply(&Command::Tick, at, &people()).unwrap();
    assert_eq!(state.next_wake(), Some(after(7200)));
    let early = tick(&state, after(7199));
    assert_eq!((early.state.version, early.happened), (1, vec![]), "too early changes nothing");
    let reminded = tick(&state, after(7200));
    assert!(matches!(&reminded.happened[..], [Happened::Reminded { step: 0, people, .. }] if people.len() == 3));
    assert_eq!(reminded.state.next_wake(), Some(after(4 * 3600)));
    // Nobody has escalated yet: who was asked first may still decide.
    let late = reminded.state.apply(&say("olga", Verdict::Approve), after(5 * 3600), &people());
    assert!(late.is_ok());
    assert!(matches!(approve(&reminded.state, "fay"), Err(Refused::NotAsked { .. })));
    let escalated = tick(&reminded.state, after(4 * 3600));
    let decide_by = after(5 * 3600);
    assert_eq!(escalated.happened, [Happened::Escalated { step: 0, asked: ids(&["fay"]), decide_by }]);
    assert!(approve(&escalated.state, "fay").is_ok());
    let refused = escalated.state.apply(&say("fay", Verdict::Approve), decide_by, &people());
    assert_eq!(refused, Err(Refused::TooLate { decide_by }));
    let expired = tick(&escalated.state, decide_by).state;
    assert_eq!((end(&expired), expired.next_wake()), (End::Expired, None));
    assert!(tick(&expired, after(99_999)).happened.is_empty());
}

#[test]
fn a_step_with_too_few_people_does_not_wait_for_them() {
    let nobody = json!({"ask": {"role": "auditor"}, "decide_within": "4h"});
    let ended = open(n8n(), steps(json!([nobody]))).state;
    assert_eq!((end(&ended), ended.ended().unwrap().at), (End::NobodyToAsk, START));
    let mut helped = nobody;
    helped["at_timeout"] = json!({"escalate": {"to": {"role": "finance"}, "within": "1h"}});
    let opened = open(n8n(), steps(json!([helped])));
    assert!(matches!(&opened.happened[1], Happened::Escalated { asked, .. } if *asked == ids(&["fay", "mia"])));
    assert_eq!(opened.state.next_wake(), Some(after(3600)));
}

#[test]
fn the_role_counts_as_it_is_held_at_the_moment_of_deciding() {
    let state = open(n8n(), ops_then_finance()).state;
    let changed = "people: [{id: olga, name: Olga}, {id: newt, name: Newt, roles: [{role: ops}]}]";
    let changed = Directory::parse(changed).unwrap();
    let decide = |person| state.apply(&say(person, Verdict::Approve), after(1), &changed);
    assert!(matches!(decide("olga"), Err(Refused::NotAsked { .. })));
    assert!(decide("newt").is_ok());
}

const NAMES: [&str; 6] = ["p0", "p1", "p2", "p3", "p4", "p5"];

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || {
        prop_oneof![
            prop::sample::select(vec!["a", "b"]).prop_map(|role| json!({"role": role})),
            prop::sample::subsequence(NAMES.to_vec(), 1..4).prop_map(|people| json!({"people": people})),
        ]
    };
    let timeout =
        prop_oneof![Just(json!("deny")), who().prop_map(|to| json!({"escalate": {"to": to, "within": "30m"}})),];
    let step = (who(), 1_u32..4, any::<bool>(), any::<bool>(), timeout).prop_map(
        |(ask, quorum, distinct, remind, at_timeout)| {
            let mut step = json!({"ask": ask, "quorum": quorum, "distinct": distinct, "decide_within": "1h",
                "at_timeout": at_timeout});
            if remind {
                step["remind_after"] = json!("20m");
            }
            serde_json::from_value(step).unwrap()
        },
    );
    prop::collection::vec(step, 1..4)
}

/// Everybody p0..p5 with some of the roles a and b.
fn any_directory() -> impl Strategy<Value = Directory> {
    let roles = prop::sample::subsequence(vec!["a", "b"], 0..=2);
    prop::collection::vec(roles, NAMES.len()).prop_map(|held| {
        let person = |(name, roles): (&&str, Vec<&str>)| {
            let roles: Vec<_> = roles.iter().map(|role| json!({"role": role})).collect();
            json!({"id": name, "name": name, "roles": roles})
        };
        let people: Vec<_> = NAMES.iter().zip(held).map(person).collect();
        serde_json::from_value(json!({"people": people})).unwrap()
    })
}

fn any_requester() -> impl Strategy<Value = Requester> {
    let person = || prop::sample::select(NAMES.to_vec()).prop_map(id);
    prop_oneof![
        person().prop_map(|person| Requester { by: Actor::Person { person }, on_behalf_of: None }),
        prop::option::of(person()).prop_map(|on_behalf_of| Requester { on_behalf_of, ..n8n() }),
    ]
}

/// Mostly approvals, so that many sequences get somewhere.
fn any_command() -> impl Strategy<Value = Command> {
    let verdict = prop_oneof![12 => Just(Verdict::Approve), 1 => Just(Verdict::Reject), 1 => Just(Verdict::SendBack)];
    let decide = (prop::sample::select(NAMES.to_vec()), verdict, prop::option::of(0_u32..3)).prop_map(
        |(person, verdict, step)| Command::Decide {
            person: id(person),
            verdict,
            comment: Some("?".into()),
            step,
            version: None,
            revision: None,
        },
    );
    let withdraw = Command::Withdraw { by: Actor::Service { key: "n8n".into() }, comment: None };
    let answer = Command::Answer { by: Actor::Service { key: "n8n".into() }, text: "so".into() };
    prop_oneof![20 => decide, 1 => Just(withdraw), 2 => Just(answer), 5 => Just(Command::Tick)]
}

/// Whether the step may count this person at all, read off the step without the state machine.
fn eligible(step: &Step, person: &PersonId, directory: &Directory) -> bool {
    let covers = |who: &Who| match who {
        Who::People(named) => named.people.contains(person),
        Who::Role(role) => directory.person(person).unwrap().roles.iter().any(|held| held.role == role.role),
        Who::AnyOf(_) => unreachable!("not among these steps"),
    };
    let escalated = matches!(&step.at_timeout, AtTimeout::Escalate(escalation) if covers(&escalation.to));
    covers(&step.ask) || escalated
}

fn check_approved(state: &State, directory: &Directory) -> Result<(), TestCaseError> {
    for (i, step) in state.steps.iter().enumerate() {
        let of = |step: usize| {
            let approvals = state
                .decisions
                .iter()
                .filter(move |d| d.step as usize == step && d.verdict == Verdict::Approve && d.superseded_at.is_none());
            approvals.map(|decision| decision.person.clone()).collect::<std::collections::BTreeSet<_>>()
        };
        let here = of(i);
        prop_assert!(here.len() >= step.quorum as usize, "step {} passed with {:?}", i, here);
        for person in &here {
            prop_assert!(!state.requester.is(person), "the requester approved");
            prop_assert!(eligible(step, person, directory), "{} has no standing in step {}", person, i);
            prop_assert!(
                !step.distinct || (0..i).all(|earlier| !of(earlier).contains(person)),
                "{} counted twice",
                person
            );
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_sequence_is_approved_without_the_quorum_of_each_step_and_none_gets_stuck(
        then in any_steps(),
        directory in any_directory(),
        requester in any_requester(),
        commands in prop::collection::vec((any_command(), 0_i64..1500), 0..40),
    ) {
        let steps = then.len();
        let mut state = State::open(opening(requester, Then::Steps(then)), START, &directory).state;
        let mut now = START;
        for (command, pause) in commands {
            now += SignedDuration::from_secs(pause);
            let before = state.clone();
            if let Ok(transition) = state.apply(&command, now, &directory) {
                let moved = u32::from(!transition.happened.is_empty());
                prop_assert_eq!(transition.state.version, before.version + moved);
                prop_assert!(moved == 1 || transition.state == before, "silent change");
                prop_assert!(before.ended().is_none() || transition.state == before, "an end was left");
                state = transition.state;
            }
            if state.ended().is_some_and(|ended| ended.how == End::Approved) {
                check_approved(&state, &directory)?;
            }
        }
        // From wherever it stands, time alone ends it: a reminder, an escalation and an expiry per step at most.
        let mut ticks = 0;
        while let Some(wake) = state.next_wake() {
            let ticked = state.apply(&Command::Tick, wake.max(now), &directory).unwrap();
            prop_assert!(!ticked.happened.is_empty(), "a due tick did nothing");
            state = ticked.state;
            ticks += 1;
            prop_assert!(ticks <= 3 * steps.max(1) + 1, "stuck");
        }
        prop_assert!(matches!(state.phase, Phase::Ended(_)));
    }
}
