//! All states that small routes can come to, one by one: none is approved without its quorum, none is stuck, none is
//! left after its end, and every kind of state is reached.

#![expect(clippy::unwrap_used, reason = "clippy excuses the tests themselves, but not what they share")]

use std::collections::{BTreeSet, HashMap, VecDeque};

use contracts::PersonId;
use governance::{
    Actor, Command, Directory, Requester, Site, State,
    policy::{AtTimeout, Edited, Step, Then, Who},
    request::{Edit, End, Opening, Phase, Refused, Timing, Verdict},
};
use jiff::Timestamp;
use serde_json::{Value, json};

const START: Timestamp = Timestamp::constant(1_795_431_960, 0);
/// More than any of the routes below has; a larger one needs another kind of test.
const MOST_STATES: usize = 60_000;
const PEOPLE: [&str; 5] = ["ann", "ben", "cat", "dan", "eve"];

fn id(name: &str) -> PersonId {
    PersonId::new(name).unwrap()
}

/// ann, ben and eve hold a, cat holds b, dan both; ann asks for herself.
fn people() -> Directory {
    Directory::parse(
        "people: [{id: ann, name: A, roles: [{role: a}]}, {id: ben, name: B, roles: [{role: a}]},
         {id: cat, name: C, roles: [{role: b}]}, {id: dan, name: D, roles: [{role: a}, {role: b}]},
         {id: eve, name: E, roles: [{role: a}]}]",
    )
    .unwrap()
}

fn requester() -> Actor {
    Actor::Person { person: id("ann") }
}

/// Routes whose states are walked through.
fn routes() -> Vec<Vec<Step>> {
    let a = json!({"ask": {"role": "a"}, "decide_within": "4h"});
    let b = json!({"ask": {"role": "b"}, "decide_within": "2h"});
    let with = |step: &Value, more: Value| {
        let mut step = step.clone();
        step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        step
    };
    let escalates = json!({"at_timeout": {"escalate": {"to": {"role": "b"}, "within": "1h"}}});
    let kind = json!({"on_edit": {"quantity": "re_evaluate", "parties": "re_evaluate", "facts": "re_evaluate",
        "score": "none", "title": "none", "timing": "none"}});
    let any = json!({"ask": {"any_of": [{"role": "a"}, {"role": "b"}]}, "quorum": 2, "distinct_roles": true,
        "decide_within": "1h"});
    let routes = json!([
        [a],
        [with(&a, json!({"quorum": 2, "remind_after": ["1h", "2h"]}))],
        [with(&a, escalates.clone()), b],
        [a, with(&b, json!({"with_previous": true}))],
        [with(&a, kind.clone()), with(&b, json!({"with_previous": true, "distinct": false}))],
        [any],
        [with(&any, json!({"quorum": 3, "at_timeout": {"escalate": {"to": {"people": ["ben", "cat"]}, "within": "1h"}}}))],
        [b, with(&b, json!({"distinct": false})), with(&a, kind)],
        [{"ask": {"role": "nobody"}, "decide_within": "1h"}],
    ]);
    serde_json::from_value(routes).unwrap()
}

/// Everything that anybody may try. `now` is the state's own instant.
fn commands(route: &[Step]) -> Vec<Command> {
    let mut all = Vec::new();
    for person in PEOPLE {
        for verdict in [Verdict::Approve, Verdict::Reject, Verdict::SendBack] {
            for step in (0..u32::try_from(route.len()).unwrap()).map(Some) {
                let (person, comment) = (id(person), Some("?".into()));
                all.push(Command::Decide { person, verdict, comment, step, version: None, revision: None });
            }
        }
    }
    let edit = |changed, then| {
        let (from, to) = <(Site, Site)>::default();
        let edit = Edit { changed: vec![changed], from, to, row: "row".into(), then, deadline: None };
        Command::Edit { by: requester(), edit, text: None, version: None }
    };
    all.push(edit(Edited::Quantity, Then::Steps(route.to_vec())));
    all.push(edit(Edited::Title, Then::Steps(route.to_vec())));
    all.push(Command::Answer { by: requester(), text: "!".into() });
    all.push(Command::AddApprover { by: id("dan"), person: id("cat"), step: None });
    all.push(Command::Withdraw { by: requester(), comment: None });
    all
}

/// What two states have in common that nobody can tell apart from now on.
fn essence(state: &State, now: Timestamp) -> String {
    let ago = |at: Timestamp| at.duration_since(now).as_secs();
    let said: Vec<_> = state.decisions.iter().filter(|said| said.superseded_at.is_none()).collect();
    let said: BTreeSet<_> =
        said.iter().map(|said| format!("{} {} {:?}", said.person, said.step, said.verdict)).collect();
    let added: BTreeSet<_> = state.added.iter().map(|added| format!("{} {}", added.person, added.step)).collect();
    let phase = match &state.phase {
        Phase::Waiting(open) => {
            let step = |one: &governance::request::Waiting| {
                (one.step, ago(one.decide_by), one.remind_at.map(ago), one.escalated)
            };
            format!("{:?}", open.steps.iter().map(step).collect::<Vec<_>>())
        }
        Phase::SentBack(question) => format!("back {} {}", question.step, ago(question.answer_by)),
        Phase::Ended(ended) => format!("{:?}", ended.how),
    };
    format!("{said:?} {added:?} {phase}")
}

/// The steps' own words, read without the state machine: may these people, together, be the quorum?
fn fulfilled(state: &State, index: usize, directory: &Directory) -> bool {
    let step = &state.steps[index];
    let covers = |who: &Who, person: &PersonId| match who {
        Who::People(named) => named.people.contains(person),
        Who::Role(role) => directory.person(person).unwrap().roles.iter().any(|held| held.role == role.role),
        Who::AnyOf(_) => unreachable!("groups are flat"),
    };
    let mut groups: Vec<&Who> = step.ask.alternatives().iter().collect();
    if let AtTimeout::Escalate(escalation) = &step.at_timeout {
        groups.extend(escalation.to.alternatives());
    }
    let approved: BTreeSet<&PersonId> = state
        .decisions
        .iter()
        .filter(|said| said.superseded_at.is_none() && said.step as usize == index && said.verdict == Verdict::Approve)
        .map(|said| &said.person)
        .collect();
    let of_them: Vec<&PersonId> =
        approved.iter().copied().filter(|person| groups.iter().any(|who| covers(who, person))).collect();
    // All ways to give each of them another group, tried out.
    fn most(people: &[&PersonId], free: &[&Who], covers: &dyn Fn(&Who, &PersonId) -> bool) -> usize {
        let Some((first, rest)) = people.split_first() else { return 0 };
        let skipped = most(rest, free, covers);
        let taken = (0..free.len()).filter(|at| covers(free[*at], first)).map(|at| {
            let left: Vec<&Who> = free.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, who)| *who).collect();
            1 + most(rest, &left, covers)
        });
        taken.fold(skipped, usize::max)
    }
    let count = if step.distinct_roles { most(&of_them, &groups, &covers) } else { of_them.len() };
    let added = state.added.iter().filter(|added| added.step as usize == index);
    count >= step.quorum as usize && added.into_iter().all(|added| approved.contains(&added.person))
}

fn check_approved(state: &State, directory: &Directory) {
    for index in 0..state.steps.len() {
        assert!(fulfilled(state, index, directory), "step {index} is not fulfilled: {state:#?}");
    }
    let counts = |person: &PersonId| {
        let said = state.decisions.iter().filter(|said| said.superseded_at.is_none() && said.person == *person);
        said.filter(|said| state.steps[said.step as usize].distinct || said.step == 0).count()
    };
    assert!(!state.approvers().contains(&id("ann")), "who asked approved");
    let twice =
        state.approvers().into_iter().find(|person| counts(person) > 1 && state.steps.iter().all(|s| s.distinct));
    assert_eq!(twice, None, "one person stands for two steps that want different people");
}

fn check_over(state: &State, now: Timestamp, commands: &[Command], directory: &Directory) {
    assert_eq!(state.next_wake(), None);
    for command in commands.iter().chain([&Command::Tick]) {
        match state.apply(command, now, directory) {
            Ok(transition) => assert!(transition.happened.is_empty(), "an end was left by {command:?}"),
            Err(refused) => assert!(!matches!(refused, Refused::Stale { .. }), "{refused:?}"),
        }
    }
}

/// From wherever it stands, time alone ends it.
fn check_time_ends(state: &State, directory: &Directory) {
    let mut state = state.clone();
    for _ in 0..20 {
        let Some(wake) = state.next_wake() else { return };
        let ticked = state.apply(&Command::Tick, wake, directory).unwrap();
        assert!(!ticked.happened.is_empty(), "a due tick did nothing: {state:#?}");
        state = ticked.state;
    }
    panic!("stuck: {state:#?}");
}

#[test]
fn every_state_of_small_routes_is_sound() {
    let directory = people();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    for route in routes() {
        let commands = commands(&route);
        let requester = Requester { by: requester(), on_behalf_of: None };
        let (from, to) = Default::default();
        let (then, timing) = (Then::Steps(route), Timing::default());
        let opening = Opening { requester, from, to, row: "row".into(), then, timing, watchers: Vec::new() };
        let first = State::open(opening, START, &directory).state;
        let mut seen: HashMap<String, ()> = HashMap::from([(essence(&first, START), ())]);
        let mut queue = VecDeque::from([(first, START)]);
        while let Some((state, now)) = queue.pop_front() {
            match &state.phase {
                Phase::Ended(ended) => {
                    reached.insert(format!("{:?}", ended.how));
                    if ended.how == End::Approved {
                        check_approved(&state, &directory);
                    }
                    check_over(&state, now, &commands, &directory);
                    continue;
                }
                Phase::Waiting(_) => reached.insert("waiting".into()),
                Phase::SentBack(_) => reached.insert("sent back".into()),
            };
            check_time_ends(&state, &directory);
            let wake = state.next_wake().unwrap();
            let tries = commands.iter().map(|command| (command, now)).chain([(&Command::Tick, wake)]);
            for (command, at) in tries {
                let Ok(next) = state.apply(command, at, &directory) else { continue };
                if seen.insert(essence(&next.state, at), ()).is_none() {
                    queue.push_back((next.state, at));
                }
            }
            assert!(seen.len() < MOST_STATES, "too many states");
        }
    }
    let all = ["Approved", "Denied", "Expired", "NobodyToAsk", "Withdrawn", "sent back", "waiting"];
    assert_eq!(reached.iter().map(String::as_str).collect::<Vec<_>>(), all);
}
