//! A grant opens exactly one door, for a while, as long as the facts hold.

#![expect(clippy::unwrap_used, reason = "clippy excuses the tests themselves, but not what they share")]

use contracts::{Action, Digest, PersonId};
use governance::{
    Actor, Grant, GrantRefused, GrantSigner, GrantVerifier, Jwks, PolicyRef, Requester,
    authority::{Mandate, Standing},
    drift::{Allowed, Bound, Fact, Tolerance, bind, drift},
    grant::{CLOCK_LEEWAY, InvalidKey, Jwk, MAX_STAND_INS, StandIn},
    policy::RequesterExecutes,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);
const AUDIENCE: &str = "steward/supply";

fn signer(seed: u8) -> GrantSigner {
    GrantSigner::from_seed(&[seed; 32]).unwrap()
}

fn verifier(signers: &[&GrantSigner]) -> GrantVerifier {
    let jwks = Jwks { keys: signers.iter().map(|signer| signer.jwk()).collect() };
    // Through JSON, as executors get it.
    let fetched: Jwks = serde_json::from_str(&serde_json::to_string(&jwks).unwrap()).unwrap();
    GrantVerifier::from_jwks(&fetched).unwrap()
}

fn transfer() -> Action {
    serde_json::from_value(
        json!({"type": "transfer", "product": "SKU-1", "from": "store-2", "to": "store-1", "quantity": 12.5}),
    )
    .unwrap()
}

fn id(name: &str) -> PersonId {
    PersonId::new(name).unwrap()
}

fn person(name: &str) -> Actor {
    Actor::Person { person: id(name) }
}

fn stand_in(person: &str, acts_for: &str) -> StandIn {
    StandIn { person: id(person), acts_for: id(acts_for), delegation: format!("lent-to-{person}") }
}

fn grant() -> Grant {
    Grant {
        issuer: "steward/approvals".into(),
        audience: AUDIENCE.into(),
        approval_id: "a-1".into(),
        grant_id: "g-1".into(),
        issued_at: NOW,
        not_before: NOW,
        expires_at: NOW + SignedDuration::from_hours(1),
        action: transfer(),
        facts_hash: Digest::of_bytes(b"facts"),
        bounds: vec![Bound {
            pointer: "/stock/on_hand".into(),
            approved: Fact::Number(4.0),
            rise: Allowed::Absolute(5.0),
            fall: Allowed::Relative(0.2),
        }],
        policy: PolicyRef { id: "default".into(), version: 3, digest: Digest::of_bytes(b"policy") },
        requested_by: Some(Requester { by: person("mia"), on_behalf_of: Some(id("ann")) }),
        requester_executes: RequesterExecutes::Refused,
        stand_ins: vec![stand_in("dora", "mia")],
        more_stand_ins: false,
        decided_by: vec![id("olga")],
        by_override: None,
    }
}

#[test]
fn a_grant_is_honoured_by_whoever_has_the_public_key() {
    let token = signer(1).sign(&grant()).unwrap();
    assert_eq!(verifier(&[&signer(1)]).verify(&token, AUDIENCE, NOW), Ok(grant()));
    let rotating = verifier(&[&signer(2), &signer(1)]);
    assert_eq!(rotating.verify(&token, AUDIENCE, NOW), Ok(grant()));
}

#[test]
fn every_reason_to_refuse_is_told_apart() {
    let token = signer(1).sign(&grant()).unwrap();
    let ours = verifier(&[&signer(1)]);
    let kid = signer(1).kid().to_owned();
    assert_eq!(
        verifier(&[&signer(2)]).verify(&token, AUDIENCE, NOW),
        Err(GrantRefused::UnknownKey { kid: kid.clone() })
    );
    // A foreign key published under our key's name.
    let forged = Jwk { kid, ..signer(2).jwk() };
    let forged = GrantVerifier::from_jwks(&Jwks { keys: vec![forged] }).unwrap();
    assert_eq!(forged.verify(&token, AUDIENCE, NOW), Err(GrantRefused::BadSignature));
    let foreign = ours.verify(&token, "steward/notify", NOW);
    assert!(matches!(foreign, Err(GrantRefused::ForeignAudience { .. })));
    let at = grant().expires_at;
    assert_eq!(ours.verify(&token, AUDIENCE, at), Err(GrantRefused::Expired { at }));
    assert!(ours.verify(&token, AUDIENCE, at - SignedDuration::from_secs(1)).is_ok());
    assert!(ours.verify(&token, AUDIENCE, NOW - CLOCK_LEEWAY).is_ok(), "a clock a little behind");
    let early = NOW - CLOCK_LEEWAY - SignedDuration::from_secs(1);
    assert_eq!(ours.verify(&token, AUDIENCE, early), Err(GrantRefused::NotYetValid { from: NOW }));
    for nonsense in ["", "a.b.c", "....", "eyJhbGciOiJub25lIn0.e30."] {
        assert_eq!(ours.verify(nonsense, AUDIENCE, NOW), Err(GrantRefused::Malformed), "{nonsense}");
    }
}

#[test]
fn another_kind_of_token_signed_with_our_key_is_no_grant() {
    let key = jsonwebtoken::EncodingKey::from_ed_der(signer(1).pkcs8_der());
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
    header.kid = Some(signer(1).kid().to_owned());
    let token = jsonwebtoken::encode(&header, &grant(), &key).unwrap();
    assert_eq!(verifier(&[&signer(1)]).verify(&token, AUDIENCE, NOW), Err(GrantRefused::Malformed));
}

#[test]
fn a_grant_is_for_one_action() {
    assert_eq!(grant().permits(&transfer()), Ok(()));
    let other = |field: &str, value: Value| {
        let mut action = serde_json::to_value(transfer()).unwrap();
        action[field] = value;
        grant().permits(&serde_json::from_value(action).unwrap())
    };
    for (field, value) in [("quantity", json!(12.0)), ("from", json!("store-3")), ("product", json!("SKU-2"))] {
        assert_eq!(other(field, value), Err(GrantRefused::OtherAction { field: field.into() }));
    }
    let purchase = json!({"type": "purchase", "product": "SKU-1", "to": "store-1", "supplier": "s", "quantity": 12.5});
    let refused = grant().permits(&serde_json::from_value(purchase).unwrap());
    assert_eq!(refused, Err(GrantRefused::OtherAction { field: "type".into() }));
}

#[test]
fn who_approved_never_executes_and_who_asked_as_the_policy_says() {
    let n8n = || Actor::Service { key: "n8n".into() };
    let may = |requester: Option<Requester>, rule, executor: &Actor| {
        let grant = Grant { requested_by: requester, requester_executes: rule, ..grant() };
        // As the executor gets it.
        let read: Grant = serde_json::from_str(&serde_json::to_string(&grant).unwrap()).unwrap();
        read.executable_by(executor)
    };
    let by = |by, on_behalf_of| Some(Requester { by, on_behalf_of });
    use RequesterExecutes::{Allowed, ProgramsOnly, Refused};
    for rule in [Allowed, ProgramsOnly, Refused] {
        let own = GrantRefused::ApproverMayNotExecute { person: id("olga") };
        assert_eq!(may(by(person("mia"), None), rule, &person("olga")), Err(own.clone()), "{rule:?}");
        assert_eq!(may(None, rule, &person("olga")), Err(own), "{rule:?}");
        assert_eq!(may(None, rule, &person("mia")), Ok(()), "an older grant names nobody");
        for other in [person("otto"), Actor::Service { key: "robot".into() }] {
            assert_eq!(may(by(n8n(), Some(id("mia"))), rule, &other), Ok(()), "{rule:?} {other}");
        }
    }
    let refused = |requester: Actor| Err(GrantRefused::RequesterMayNotExecute { requester });
    for asked in [by(person("mia"), None), by(n8n(), Some(id("mia")))] {
        assert_eq!(may(asked.clone(), Allowed, &person("mia")), Ok(()));
        assert_eq!(may(asked.clone(), ProgramsOnly, &person("mia")), refused(person("mia")));
        assert_eq!(may(asked, Refused, &person("mia")), refused(person("mia")));
    }
    assert_eq!(may(by(n8n(), None), ProgramsOnly, &n8n()), Ok(()));
    assert_eq!(may(by(n8n(), None), Refused, &n8n()), refused(n8n()));
}

#[test]
fn who_acts_for_who_asked_does_not_execute_either() {
    let mandate = |root: &str, actor: &str| Mandate {
        root: id(root),
        actor: id(actor),
        path: vec!["first".into(), format!("lent-to-{actor}")],
        out_of_office: false,
    };
    // ann is the one for whom it was asked; otto acts for somebody who has nothing to do with it.
    let mandates = vec![mandate("mia", "dora"), mandate("ann", "carl"), mandate("zoe", "otto"), mandate("ann", "dora")];
    let standing = Standing { mandates, ..Standing::default() };
    let issued = |rule, standing: &Standing| {
        let bare = Grant { stand_ins: Vec::new(), requester_executes: rule, ..grant() };
        let issued = bare.with_stand_ins(standing);
        verifier(&[&signer(1)]).verify(&signer(1).sign(&issued).unwrap(), AUDIENCE, NOW).unwrap()
    };
    use RequesterExecutes::{Allowed, ProgramsOnly, Refused};
    for rule in [ProgramsOnly, Refused] {
        let read = issued(rule, &standing);
        assert_eq!(read.stand_ins, [stand_in("dora", "mia"), stand_in("carl", "ann")], "each once");
        let refused = read.executable_by(&person("carl")).unwrap_err();
        let (acts_for, delegation) = (id("ann"), "lent-to-carl".to_owned());
        assert_eq!(refused, GrantRefused::StandInMayNotExecute { person: id("carl"), acts_for, delegation });
        assert_eq!(refused.code(), "grant-own-request");
        assert!(refused.to_string().contains("carl acts for ann") && refused.to_string().contains("lent-to-carl"));
        assert_eq!(read.executable_by(&person("otto")), Ok(()), "{rule:?}");
        assert_eq!(read.executable_by(&Actor::Service { key: "robot".into() }), Ok(()));
    }
    let open = issued(Allowed, &standing);
    assert_eq!((open.executable_by(&person("carl")), open.stand_ins.len()), (Ok(()), 0), "who asked may as well");

    // More than a grant names: whoever is not named may be one of them.
    let crowd = (0..=MAX_STAND_INS).map(|n| mandate("mia", &format!("d{n}"))).collect();
    let read = issued(ProgramsOnly, &Standing { mandates: crowd, ..Standing::default() });
    assert_eq!((read.stand_ins.len(), read.more_stand_ins), (MAX_STAND_INS, true));
    for executor in ["d0", "d20", "otto"] {
        assert_eq!(read.executable_by(&person(executor)).unwrap_err().code(), "grant-own-request", "{executor}");
    }
    assert_eq!(read.executable_by(&Actor::Service { key: "n8n".into() }), Ok(()));
}

/// The key, the thumbprint and the public part of RFC 8037, appendix A; the PEM as `openssl pkey` writes it.
#[test]
fn keys_are_those_of_the_standard() {
    const PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";
    let signer = GrantSigner::from_pkcs8_pem(PEM.as_bytes()).unwrap();
    assert_eq!(signer.jwk().x, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    assert_eq!(signer.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let stored = GrantSigner::from_pkcs8_der(signer.pkcs8_der()).unwrap();
    assert_eq!(stored.kid(), signer.kid());
    assert_eq!(GrantSigner::from_pkcs8_pem(b"no key").err(), Some(InvalidKey::Pem));
    assert_eq!(GrantSigner::from_pkcs8_der(b"no key").err(), Some(InvalidKey::Pkcs8));
    let short = Jwk { x: "AAAA".into(), ..signer.jwk() };
    assert_eq!(GrantVerifier::from_jwks(&Jwks { keys: vec![short] }).err(), Some(InvalidKey::Jwk));
}

fn facts(donor: f64, other: f64) -> Value {
    json!({"stock": {"on_hand": 4.0}, "item": {"category": "toys"}, "incoming": [{"order": "P1"}],
        "donors": [{"location": "store-3", "stock": {"on_hand": other}},
                   {"location": "store-2", "stock": {"on_hand": donor}}]})
}

fn tolerances() -> Vec<Tolerance> {
    serde_json::from_value(json!([
        {"pointer": "/donors/[location={from}]/stock/on_hand", "fall": "20%", "rise": "any"},
        {"pointer": "/stock/on_hand", "rise": 5},
        {"pointer": "/item/category"}, {"pointer": "/item/unit_cost/minor"}, {"pointer": "/incoming"}
    ]))
    .unwrap()
}

#[test]
fn drift_is_found_where_it_is_and_named() {
    let bounds = bind(&facts(50.0, 9.0), &transfer(), &tolerances()).unwrap();
    assert_eq!(bounds[0].pointer, "/donors/[location=store-2]/stock/on_hand");
    let pointers = |current: &Value| {
        drift(&bounds, current).unwrap().into_iter().map(|drifted| drifted.pointer).collect::<Vec<_>>()
    };
    assert!(pointers(&facts(40.0, 0.0)).is_empty(), "20 % less at the donor, another donor empty");
    assert!(pointers(&facts(500.0, 9.0)).is_empty());
    let changed = drift(&bounds, &facts(39.0, 9.0)).unwrap();
    assert_eq!(
        changed[0].to_string(),
        "/donors/[location=store-2]/stock/on_hand was 50 and is 39 (may rise by any, fall by 20%)"
    );
    let mut current = facts(50.0, 9.0);
    current["donors"] = json!([]);
    current["stock"]["on_hand"] = json!(9.5);
    current["item"] = json!({"category": "food", "unit_cost": {"minor": 5}});
    current["incoming"] = json!([{"order": "P2"}]);
    assert_eq!(pointers(&current).len(), 5, "gone, risen, changed, appeared, another list");
    current = facts(50.0, 9.0);
    current["stock"]["on_hand"] = json!(3.9);
    assert_eq!(pointers(&current), ["/stock/on_hand"], "no fall is allowed");
}

#[test]
fn a_pointer_that_the_action_cannot_fill_binds_nothing_silently() {
    let tolerance = |pointer: &str| vec![serde_json::from_value::<Tolerance>(json!({"pointer": pointer})).unwrap()];
    for bad in ["stock", "/a/{supplier}", "/a/{from", "/donors/[location]/x", "/donors/[location=a/x"] {
        assert!(bind(&json!({}), &transfer(), &tolerance(bad)).is_err(), "{bad}");
    }
    for bad in [json!("-1%"), json!(-1), json!("some"), json!("NaN%"), json!(null)] {
        assert!(serde_json::from_value::<Allowed>(bad.clone()).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn a_grant_with_any_character_changed_is_refused(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9._-]") {
        let token = signer(1).sign(&grant()).unwrap();
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &to);
        prop_assume!(changed != token);
        prop_assert!(verifier(&[&signer(1)]).verify(&changed, AUDIENCE, NOW).is_err());
    }

    #[test]
    fn drift_within_the_tolerance_passes_and_beyond_is_named(
        was in 0.0..1e6_f64, share in 0.0..1.0_f64, units in 0.0..1e3_f64, part in 0.0..1.0_f64, beyond in 0.01..1e3_f64,
    ) {
        let bound = Bound {
            pointer: "/n".into(),
            approved: Fact::Number(was),
            rise: Allowed::Absolute(units),
            fall: Allowed::Relative(share),
        };
        // As the executor gets it: inside a token.
        let bounds: Vec<Bound> = serde_json::from_str(&serde_json::to_string(&[bound]).unwrap()).unwrap();
        let drifts = |now: f64| drift(&bounds, &json!({"n": now})).unwrap().len();
        prop_assert_eq!(drifts(was + units * part), 0);
        prop_assert_eq!(drifts(was - was * share * part), 0);
        prop_assert_eq!(drifts(was + units + beyond), 1);
        prop_assert_eq!(drifts(was - was * share - beyond), 1);
    }
}
