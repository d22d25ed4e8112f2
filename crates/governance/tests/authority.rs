//! Authority: it only ever takes away.

#![expect(clippy::unwrap_used, reason = "clippy excuses the tests themselves, but not what they share")]

use contracts::{LocationId, Money, PersonId, ProductId, RegionId, money::Currency};
use governance::{
    Actor, Command, Directory, Kind, Requester, Role, Site, Span, State,
    authority::{
        Asked, Cap, Delegation, Given, MAX_DEPTH, MAX_OVERDUE_COUNTED, Matter, NotDelegable, OverrideRefused, Past,
        Pattern, PatternRules, Scope, Standing, mandates, same_currency, suspicions,
    },
    policy::Then,
    request::{End, Opening, Refused, Timing, Verdict},
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

const START: Timestamp = Timestamp::constant(1_795_000_000, 0);
const NAMES: [&str; 6] = ["ann", "bob", "cat", "dan", "eve", "fay"];

fn after(seconds: i64) -> Timestamp {
    START + SignedDuration::from_secs(seconds)
}

fn id(name: &str) -> PersonId {
    PersonId::new(name).unwrap()
}

fn euros(minor: i64) -> Money {
    Money::new(minor, Currency::new("EUR").unwrap())
}

fn place(name: &str, region: &str) -> Site {
    Site { location: Some(LocationId::new(name).unwrap()), region: Some(RegionId::new(region).unwrap()) }
}

fn matter(minor: i64) -> Matter {
    Matter {
        kind: Kind::Transfer,
        value: Some(euros(minor)),
        category: Some("dry".into()),
        from: place("s1", "south"),
        to: place("n1", "north"),
    }
}

/// ann and bob are ops of the south, cat of the north; dan and eve hold finance, fay nothing.
const PEOPLE: &str = "
people:
  - {id: ann, name: Ann, roles: [{role: ops, region: south}]}
  - {id: bob, name: Bob, roles: [{role: ops, region: south}]}
  - {id: cat, name: Cat, roles: [{role: ops, region: north}]}
  - {id: dan, name: Dan, roles: [{role: finance}]}
  - {id: eve, name: Eve, roles: [{role: finance}, {role: ops, region: south}]}
  - {id: fay, name: Fay}
";

fn directory(more: &str) -> Directory {
    Directory::parse(&format!("{PEOPLE}{more}")).unwrap()
}

fn lend(name: &str, from: &str, to: &str) -> Delegation {
    Delegation {
        id: name.into(),
        delegator: id(from),
        delegate: id(to),
        parent: None,
        scope: Scope::default(),
        value_cap: None,
        starts_at: START,
        ends_at: after(3600),
        out_of_office: false,
        revoked_at: None,
    }
}

fn standing(delegations: &[Delegation], matter: &Matter, now: Timestamp) -> Standing {
    Standing { mandates: mandates(delegations, matter, now, &same_currency), ..Standing::default() }
}

/// Asks ops of the south, as many as `quorum` says, then finance.
fn open(requester: Requester, quorum: u32, directory: &Directory) -> State {
    let then = Then::Steps(
        serde_json::from_value(json!([
            {"ask": {"role": "ops", "at": "from"}, "quorum": quorum, "decide_within": "4h"},
            {"ask": {"role": "finance"}, "decide_within": "4h"}
        ]))
        .unwrap(),
    );
    let (from, to) = (matter(1).from, matter(1).to);
    let (row, timing, watchers) = ("row".into(), Timing::default(), Vec::new());
    State::open(Opening { requester, from, to, row, then, timing, watchers }, START, directory).state
}

fn by(person: &str) -> Requester {
    Requester { by: Actor::Person { person: id(person) }, on_behalf_of: None }
}

fn n8n() -> Requester {
    Requester { by: Actor::Service { key: "n8n".into() }, on_behalf_of: None }
}

fn approve(person: &PersonId) -> Command {
    let (person, verdict) = (person.clone(), Verdict::Approve);
    Command::Decide { person, verdict, comment: None, step: None, version: None, revision: None }
}

#[test]
fn a_delegate_decides_as_the_root_within_a_half_open_window_and_the_scope() {
    let delegation = Delegation { value_cap: Some(euros(100)), ..lend("d", "ann", "fay") };
    let roots = |minor, seconds| {
        let found = mandates(std::slice::from_ref(&delegation), &matter(minor), after(seconds), &same_currency);
        found.into_iter().map(|one| (one.root, one.actor)).collect::<Vec<_>>()
    };
    let pair = vec![(id("ann"), id("fay"))];
    assert_eq!(roots(100, 0), pair);
    assert_eq!(roots(100, 3599), pair);
    assert_eq!((roots(100, -1), roots(100, 3600), roots(101, 0)), (vec![], vec![], vec![]));
    let unknown = Matter { value: None, ..matter(1) };
    assert!(mandates(&[delegation], &unknown, START, &same_currency).is_empty(), "what is unknown is not small");

    let lent = directory("").for_matter(standing(&[lend("d", "ann", "fay")], &matter(1), START));
    let state = open(n8n(), 2, &lent);
    let decided = state.apply(&approve(&id("fay")), after(1), &lent).unwrap().state;
    assert_eq!(decided.decisions[0].authority, Some(id("ann")));
    let root = decided.apply(&approve(&id("ann")), after(2), &lent);
    assert!(matches!(root, Err(Refused::AlreadyDecided(first)) if first.person == id("fay")), "one standing, once");
    assert_eq!(decided.approvers(), [id("ann"), id("fay")]);
}

#[test]
fn what_would_mislead_is_not_lent() {
    let directory = directory("");
    let own = lend("a", "ann", "bob");
    let passed_on = Delegation { parent: Some("a".into()), ..lend("b", "bob", "fay") };
    let admit = |new: &Delegation, existing: &[Delegation]| new.admit(existing, &directory, START);
    assert_eq!(admit(&own, &[]), Ok(()));
    assert_eq!(admit(&passed_on, std::slice::from_ref(&own)), Ok(()));
    let both = [own.clone(), passed_on];
    let third = Delegation { parent: Some("b".into()), ..lend("c", "fay", "dan") };
    assert_eq!(admit(&third, &both), Err(NotDelegable::TooDeep("b".into())));
    assert_eq!(admit(&lend("c", "cat", "cat"), &[]), Err(NotDelegable::ToOneself));
    assert_eq!(admit(&lend("c", "fay", "cat"), &[]), Err(NotDelegable::NothingToLend(id("fay"))));
    assert_eq!(admit(&lend("c", "bob", "ann"), &both), Err(NotDelegable::Circle(id("ann"))));
    let later = Delegation { starts_at: after(3600), ends_at: after(7200), ..lend("c", "bob", "ann") };
    assert_eq!(admit(&later, &both), Ok(()), "the other one has ended by then");
    let north = Scope { regions: vec![RegionId::new("north").unwrap()], ..Scope::default() };
    let foreign = Delegation { scope: north, ..lend("c", "ann", "cat") };
    assert!(matches!(admit(&foreign, &[]), Err(NotDelegable::WiderThanOwn { field: "scope/regions", .. })));
    let capped = [Delegation { value_cap: Some(euros(100)), ..own }];
    let wider = Delegation { parent: Some("a".into()), value_cap: Some(euros(101)), ..lend("c", "bob", "dan") };
    assert!(matches!(admit(&wider, &capped), Err(NotDelegable::WiderThanOwn { field: "value_cap", .. })));
}

#[test]
fn whoever_acts_for_the_requester_or_asked_for_a_related_document_keeps_out() {
    let lent = directory("").for_matter(standing(&[lend("d", "ann", "eve")], &matter(1), START));
    let asserted = Requester { on_behalf_of: Some(id("ann")), ..n8n() };
    for requester in [by("ann"), asserted] {
        let state = open(requester, 1, &lent);
        let acting = state.free_of_duty(&id("eve"), &lent).unwrap_err();
        assert_eq!(acting, Refused::ActsForRequester { person: id("eve"), requester: id("ann") });
        assert!(matches!(
            state.overridden(&id("ann"), "now".into(), START, &lent),
            Err(Refused::RequesterMayNotApprove { .. })
        ));
    }
    let barred = Standing { barred: [(id("ann"), "PO-1".into())].into(), ..Standing::default() };
    let chained = directory("").for_matter(barred);
    let refused = open(n8n(), 2, &chained).apply(&approve(&id("ann")), after(1), &chained);
    assert_eq!(refused, Err(Refused::AskedForRelated { person: id("ann"), related: "PO-1".into() }));
}

const LIMITS: &str = "
limits:
  - {name: ops, role: ops, per_request: {minor: 500, currency: EUR}}
  - {name: money, role: finance, per_request: {minor: 900, currency: EUR},
     rolling: {total: {minor: 1000, currency: EUR}, within: 1d}}
  - {name: ann, person: ann, scope: {categories: [dry]}, per_request: {minor: 50, currency: EUR}}
  - {name: fresh, role: ops, scope: {categories: [fresh]}, per_request: {minor: 10, currency: EUR}}
";

#[test]
fn a_person_s_own_limit_goes_first_then_the_widest_of_their_roles() {
    let directory = directory(LIMITS);
    let room = |name: &str, matter: &Matter| {
        let person = directory.person(&id(name)).unwrap();
        directory.room(person, matter, &[], START, &same_currency).map_err(|over| over.limit)
    };
    assert_eq!((room("ann", &matter(50)), room("ann", &matter(51))), (Ok(()), Err("ann".into())));
    assert_eq!((room("bob", &matter(500)), room("bob", &matter(501))), (Ok(()), Err("ops".into())));
    assert_eq!((room("eve", &matter(900)), room("eve", &matter(901))), (Ok(()), Err("money".into())), "ops or finance");
    assert_eq!(room("fay", &matter(1_000_000)), Ok(()), "no limit names fay");
    let fresh = Matter { category: Some("fresh".into()), ..matter(11) };
    assert_eq!(room("bob", &fresh), Err("fresh".into()), "of one role every limit must leave room");
    let unknown = Matter { category: None, ..matter(11) };
    assert_eq!(room("bob", &unknown), Err("fresh".into()), "what is unknown is never taken for harmless");
    let dollars = Matter { value: Some(Money::new(1, Currency::new("USD").unwrap())), ..matter(1) };
    assert_eq!(room("bob", &dollars), Err("ops".into()));
    let person = directory.person(&id("bob")).unwrap();
    let double = |amount: Money, to: Currency| Some(Money::new(amount.minor * 2, to));
    assert!(directory.room(person, &dollars, &[], START, &double).is_ok(), "by the stated rate");
    assert!(matches!(room("bob", &Matter { value: None, ..matter(1) }), Err(limit) if limit == "ops"));
}

#[test]
fn a_role_s_limit_counts_where_the_role_is_held() {
    let text = "
people:
  - {id: ann, name: Ann, roles: [{role: manager, location: s1}, {role: ops, region: west}]}
  - {id: bob, name: Bob, roles: [{role: ops, region: west}]}
limits:
  - {name: small, role: manager, per_request: {minor: 500, currency: EUR}}
  - {name: large, role: ops, per_request: {minor: 50000, currency: EUR}}
";
    let directory = Directory::parse(text).unwrap();
    let allowed = |name: &str, minor: i64| {
        let person = directory.person(&id(name)).unwrap();
        directory.room(person, &matter(minor), &[], START, &same_currency).is_ok()
    };
    assert!(allowed("ann", 500) && !allowed("ann", 501), "the larger limit is one of the west");
    // Nobody is free of limits for being elsewhere, but nobody is called in from there.
    assert!(allowed("bob", 50_000) && !allowed("bob", 50_001));
    let limited = |name: &str| directory.is_limited(directory.person(&id(name)).unwrap(), &matter(1));
    assert!(limited("ann") && !limited("bob"));
}

#[test]
fn a_limit_is_read_with_its_holder_or_refused() {
    let wrong = [
        ("{name: x, per_request: {minor: 1, currency: EUR}}", "either a role or a person"),
        ("{name: x, role: ops}", "neither per_request nor rolling"),
        ("{name: x, role: ops, per_request: {minor: -1, currency: EUR}}", "below zero"),
    ];
    for (limit, why) in wrong {
        let error = Directory::parse(&format!("{PEOPLE}limits: [{limit}]")).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(why), "{limit}: {source}");
    }
    let directory = directory(LIMITS);
    let text = serde_json::to_string(directory.limits()).unwrap();
    let again: Vec<governance::authority::Limit> = serde_json::from_str(&text).unwrap();
    assert_eq!(again, directory.limits());
}

fn bought(name: &str, minor: i64, seconds: i64) -> Past {
    Past {
        id: name.into(),
        requester: "person:ann".into(),
        kind: Kind::Purchase,
        product: ProductId::new("SKU-1").unwrap(),
        supplier: None,
        place: None,
        quantity: 1.0,
        value: Some(euros(minor)),
        at: after(seconds),
        approved_at: None,
    }
}

#[test]
fn a_split_is_parts_just_below_a_limit_that_pass_it_together() {
    let rules = PatternRules::default();
    let day = 86_400;
    let found = |earlier: &[Past], new: &Past| {
        let found = suspicions(new, earlier, &[euros(1000)], &rules);
        found.into_iter().map(|one| (one.pattern, one.evidence.approvals)).collect::<Vec<_>>()
    };
    let new = bought("new", 600, 7 * day);
    let split = |names: &[&str]| vec![(Pattern::SplitPurchase, names.iter().map(ToString::to_string).collect())];
    assert_eq!(found(&[bought("a", 500, day)], &new), split(&["a", "new"]));
    assert_eq!(found(&[bought("a", 400, day)], &new), [], "sums up to the limit, and is below half of it");
    assert_eq!(found(&[bought("a", 500, 0)], &new), [], "a week ago");
    assert_eq!(found(&[bought("a", 1001, day)], &new), [], "was above the limit by itself");
    let other = Past { requester: "person:bob".into(), ..bought("a", 500, day) };
    assert_eq!(found(&[other], &new), []);
    let transfer = Past { kind: Kind::Transfer, ..new.clone() };
    assert_eq!(found(&[bought("a", 500, day)], &transfer), []);
}

#[test]
fn mutual_approvals_count_in_both_directions_and_within_the_window() {
    let rules = PatternRules { reciprocal_at_least: 1, ..PatternRules::default() };
    let asked = |approval: &str, approver: &str, requester: &str, seconds| Asked {
        approval: approval.into(),
        approver: id(approver),
        requester: id(requester),
        at: after(seconds),
    };
    let (new, month) = (asked("b", "bob", "ann", 30 * 86_400), 30 * 86_400);
    let back = asked("a", "ann", "bob", 1);
    let found = rules.reciprocal(&new, std::slice::from_ref(&back)).unwrap();
    assert_eq!((found.pattern, found.evidence.approvals), (Pattern::ReciprocalApprovals, vec!["a".into(), "b".into()]));
    assert_eq!(rules.reciprocal(&new, &[asked("a", "ann", "bob", 0)]), None, "{month} s ago");
    assert_eq!(rules.reciprocal(&new, &[asked("a", "bob", "ann", 1)]), None, "one way only");
    let twice = PatternRules { reciprocal_at_least: 2, ..rules };
    assert_eq!(twice.reciprocal(&new, &[back]), None);
    assert!(rules.edited_after("a", &[id("ann")], &["/action".into()]).is_some());
    assert!(rules.edited_after("a", &[], &["/action".into()]).is_none());
}

#[test]
fn an_override_is_capped_by_role_and_place_and_ends_the_request_by_one_hand() {
    let rules = "
overrides:
  - {role: ops, cap: {minor: 100, currency: EUR}, reviewer: finance, review_within: 1d}
  - {role: finance, scope: {types: [purchase]}, cap: {minor: 900, currency: EUR}, reviewer: ops, review_within: 1d}
";
    let directory = directory(rules);
    let allowed = |name: &str, minor, overdue| {
        let found = directory.override_rule(&id(name), &matter(minor), |_: &Role| overdue, &same_currency);
        found.map(|(rule, cap)| (rule.role.to_string(), cap.now.minor))
    };
    assert_eq!(allowed("ann", 100, 0), Ok(("ops".into(), 100)));
    assert_eq!(allowed("cat", 100, 0), Ok(("ops".into(), 100)), "holds it where the stock goes");
    assert_eq!(allowed("dan", 1, 0), Err(OverrideRefused::NoRule(id("dan"))), "not for transfers");
    assert!(matches!(allowed("ann", 51, 1), Err(OverrideRefused::OverCap { .. })));
    assert_eq!(allowed("ann", 50, 1), Ok(("ops".into(), 50)));
    let state = open(n8n(), 2, &directory);
    let done = state.overridden(&id("ann"), "fire".into(), after(1), &directory).unwrap().state;
    assert_eq!((done.ended().unwrap().how, done.version), (End::Approved, state.version + 1));
    assert!(matches!(done.overridden(&id("ann"), "x".into(), after(2), &directory), Err(Refused::Over(_))));
}

fn any_person() -> impl Strategy<Value = &'static str> {
    prop::sample::select(NAMES.to_vec())
}

fn any_delegation() -> impl Strategy<Value = Delegation> {
    let cap = prop::option::of(0_i64..300);
    let parent = prop::option::of(0_usize..8);
    let types = prop::sample::subsequence(Kind::ALL.to_vec(), 0..3);
    (any_person(), any_person(), parent, cap, types, 0_i64..100, 1_i64..200).prop_map(
        |(from, to, parent, cap, types, start, long)| Delegation {
            parent: parent.map(|nth| nth.to_string()),
            value_cap: cap.map(euros),
            scope: Scope { types, ..Scope::default() },
            starts_at: after(start),
            ends_at: after(start + long),
            ..lend("", from, to)
        },
    )
}

/// As many of them as are admitted one after the other.
fn admitted(wanted: Vec<Delegation>, directory: &Directory) -> Vec<Delegation> {
    let mut taken: Vec<Delegation> = Vec::new();
    for mut one in wanted {
        one.id = taken.len().to_string();
        if one.admit(&taken, directory, START).is_ok() {
            taken.push(one);
        }
    }
    taken
}

proptest! {
    #[test]
    fn delegation_never_widens(
        wanted in prop::collection::vec(any_delegation(), 0..12),
        revoked in prop::collection::vec(any::<bool>(), 12),
        minor in 0_i64..300,
        at in 0_i64..300,
        requester in prop::option::of(any_person()),
    ) {
        let (plain, now) = (directory(""), after(at));
        let mut taken = admitted(wanted, &plain);
        for (one, revoked) in taken.iter_mut().zip(revoked) {
            one.revoked_at = revoked.then_some(START);
        }
        let matter = matter(minor);
        let standing = standing(&taken, &matter, now);
        for mandate in &standing.mandates {
            prop_assert!(mandate.path.len() <= MAX_DEPTH as usize && mandate.root != mandate.actor);
            let path: Vec<_> = mandate.path.iter().map(|id| taken.iter().find(|one| one.id == *id).unwrap()).collect();
            for one in &path {
                prop_assert!(one.revoked_at.is_none() && one.starts_at <= now && now < one.ends_at);
                prop_assert!(one.value_cap.is_none_or(|cap| minor <= cap.minor));
                prop_assert!(one.scope.types.is_empty() || one.scope.types.contains(&Kind::Transfer));
            }
            prop_assert_eq!((&path[0].delegator, &path[path.len() - 1].delegate), (&mandate.root, &mandate.actor));
        }
        // Whatever somebody may decide for another, that other may decide themselves without any delegation.
        let lent = plain.for_matter(standing);
        let requester = requester.map_or_else(n8n, by);
        let alone = open(requester.clone(), 1, &plain).may_be_decided_by(&plain);
        let state = open(requester.clone(), 1, &lent);
        for person in state.may_be_decided_by(&lent) {
            prop_assert!(!requester.is(&person));
            prop_assert!(lent.standing().roots(&person).all(|root| !requester.is(root)));
            let decided = state.apply(&approve(&person), after(1), &lent).unwrap().state;
            let root = decided.decisions[0].authority.clone().unwrap_or(person);
            prop_assert!(alone.contains(&root), "{} is not asked", root);
        }
    }

    /// Whoever acts for whom, no hand and no standing counts twice on the way to an approval.
    #[test]
    fn duties_stay_apart(
        wanted in prop::collection::vec(any_delegation(), 0..12),
        tries in prop::collection::vec(any_person(), 0..20),
        barred in prop::option::of(any_person()),
        requester in any_person(),
        quorum in 1_u32..=2,
    ) {
        let (plain, now) = (directory(""), after(50));
        let taken = admitted(wanted, &plain);
        let mut standing = standing(&taken, &matter(1), now);
        standing.barred.extend(barred.map(|name| (id(name), "PO-1".to_owned())));
        let lent = plain.for_matter(standing);
        let mut state = open(by(requester), quorum, &lent);
        for person in tries {
            if let Ok(next) = state.apply(&approve(&id(person)), now, &lent) {
                state = next.state;
            }
        }
        let mut people: Vec<_> = state.decisions.iter().map(|one| one.person.clone()).collect();
        let mut roots: Vec<_> =
            state.decisions.iter().map(|one| one.authority.clone().unwrap_or(one.person.clone())).collect();
        for person in people.iter().chain(&roots) {
            prop_assert!(*person != id(requester) && barred.is_none_or(|name| id(name) != *person));
            let acts_for_requester = lent.standing().roots(person).any(|root| *root == id(requester));
            prop_assert!(!acts_for_requester, "{person} acts for who asked");
        }
        for all in [&mut people, &mut roots] {
            let count = all.len();
            all.sort();
            all.dedup();
            prop_assert_eq!(all.len(), count, "twice in {:?}", state.decisions);
        }
        if state.ended().is_some_and(|ended| ended.how == End::Approved) {
            prop_assert_eq!(state.decisions.len(), quorum as usize + 1);
        }
    }

    #[test]
    fn no_sequence_of_approvals_passes_a_rolling_total(
        tries in prop::collection::vec((0_i64..1200, 0_i64..40_000), 0..60),
        total in 0_i64..2000,
        within in 1_u32..90_000,
    ) {
        let limit = format!("
limits: [{{name: x, role: finance, rolling: {{total: {{minor: {total}, currency: EUR}}, within: {within}s}}}}]
");
        let directory = directory(&limit);
        let dan = directory.person(&id("dan")).unwrap();
        let (mut given, mut now): (Vec<Given>, _) = (Vec::new(), START);
        for (minor, wait) in tries {
            now += SignedDuration::from_secs(wait);
            if directory.room(dan, &matter(minor), &given, now, &same_currency).is_ok() {
                given.push(Given { matter: matter(minor), at: now });
            }
        }
        let within: Span = format!("{within}s").parse().unwrap();
        for last in &given {
            let inside = |one: &&Given| one.at <= last.at && within.after(one.at) > last.at;
            let sum: i64 = given.iter().filter(inside).map(|one| one.matter.value.unwrap().minor).sum();
            prop_assert!(sum <= total, "{} of {}", sum, total);
        }
    }

    #[test]
    fn debts_only_lower_a_cap_and_paying_restores_it(stated in 0_i64..i64::MAX, overdue in 0_u32..100) {
        let cap = |overdue| Cap::lowered(euros(stated), overdue).now.minor;
        prop_assert!(cap(overdue + 1) <= cap(overdue) && cap(overdue) <= stated);
        prop_assert_eq!(cap(0), stated);
        prop_assert!(overdue < MAX_OVERDUE_COUNTED || cap(overdue) == 0);
        prop_assert!(overdue == 0 || cap(overdue) <= stated / 2);
    }
}
