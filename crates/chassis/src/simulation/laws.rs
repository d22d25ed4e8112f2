//! What must be true when all faults are healed and everything has come to rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use sqlx::FromRow;

use super::{
    Ground, REFUSED, Scenario,
    far_end::{Peer, ledger},
};
use crate::store::Store;

/// A law that was broken, with what breaks it.
pub(super) type Broken = String;

macro_rules! law {
    ($holds:expr, $($what:tt)+) => { if !$holds { return Err(format!($($what)+)); } };
}

async fn rows<R>(store: &Store, sql: &'static str) -> Vec<R>
where
    R: Send + Unpin + for<'r> FromRow<'r, sqlx::any::AnyRow>,
{
    let mut reader = store.read().await.unwrap();
    sqlx::query_as(sql).fetch_all(&mut *reader).await.unwrap()
}

/// Those that are there more than once.
fn repeated(counts: &[(String, i64)]) -> Vec<&(String, i64)> {
    counts.iter().filter(|(_, times)| *times != 1).collect()
}

/// Whether nothing waits any more.
pub(super) async fn at_rest(store: &Store, ground: &Ground) -> bool {
    let waiting = "SELECT (SELECT COUNT(*) FROM outbox WHERE state = 'pending') + \
                   (SELECT COUNT(*) FROM inbox WHERE state = 'pending')";
    let waiting: Vec<(i64,)> = rows(store, waiting).await;
    waiting == [(0,)] && ground.broker.as_ref().is_none_or(|broker| broker.depth() == 0)
}

/// What has not come to rest, for whoever looks at a failed run.
pub(super) async fn what_waits(store: &Store) -> String {
    let waiting = "SELECT 'outbox ' || destination, about, attempts, COALESCE(last_error, ''), next_attempt_at FROM outbox \
                   WHERE state = 'pending' UNION ALL SELECT 'inbox', subject, attempts, COALESCE(last_error, ''), \
                   next_attempt_at FROM inbox WHERE state = 'pending'";
    let waiting: Vec<(String, String, i64, String, i64)> = rows(store, waiting).await;
    format!("{waiting:?}")
}

pub(super) async fn all(store: &Store, ground: &Ground, scenario: &Scenario) -> Result<(), Broken> {
    each_command_was_carried_out_once(store, scenario).await?;
    each_event_was_handled_once_and_in_order(store, scenario).await?;
    only_what_was_refused_is_dead(store, scenario).await?;
    effects_reached_their_peers(store, ground, scenario).await?;
    nobody_tried_for_ever(store).await?;
    digests_missed_nothing(ground, scenario)
}

async fn each_command_was_carried_out_once(store: &Store, scenario: &Scenario) -> Result<(), Broken> {
    let asked: Vec<(String, i64)> =
        rows(store, "SELECT subject, COUNT(*) FROM audit WHERE verb = 'asked' GROUP BY subject").await;
    law!(repeated(&asked).is_empty(), "a command was carried out twice: {:?}", repeated(&asked));
    law!(asked.len() == scenario.commands(), "of {} commands were carried out: {asked:?}", scenario.commands());
    Ok(())
}

async fn each_event_was_handled_once_and_in_order(store: &Store, scenario: &Scenario) -> Result<(), Broken> {
    let heard: Vec<(String, String)> =
        rows(store, "SELECT subject, details FROM audit WHERE verb = 'heard' ORDER BY seq").await;
    let mut by_subject = BTreeMap::<&str, Vec<u64>>::new();
    for (subject, number) in &heard {
        by_subject.entry(subject).or_default().push(number.parse().unwrap());
    }
    law!(by_subject.len() == scenario.subjects, "an event was lost: {by_subject:?}");
    let all: Vec<u64> = (1..=scenario.each).collect();
    law!(by_subject.values().all(|numbers| *numbers == all), "events not once or not in order: {by_subject:?}");
    Ok(())
}

async fn effects_reached_their_peers(store: &Store, ground: &Ground, scenario: &Scenario) -> Result<(), Broken> {
    let effects: Vec<(String, String)> = rows(store, "SELECT id, destination FROM outbox WHERE kind = 'effect'").await;
    let settled: Vec<(String, i64)> =
        rows(store, "SELECT subject, COUNT(*) FROM audit WHERE verb = 'settled' GROUP BY subject").await;
    law!(repeated(&settled).is_empty(), "an effect's end was followed up twice: {:?}", repeated(&settled));
    law!(settled.len() == effects.len(), "{} of {} effects were followed up", settled.len(), effects.len());
    let refused: Vec<(String,)> = rows(store, "SELECT id FROM outbox WHERE kind = 'effect' AND state = 'dead'").await;
    let refused: BTreeSet<&String> = refused.iter().map(|(id,)| id).collect();
    let ledger = ledger(&ground.far_end);
    let mut doubled = 0;
    for peer in [Peer::Idempotent, Peer::Probeable, Peer::InDoubt] {
        let of_peer: Vec<_> = effects.iter().filter(|(id, to)| to == peer.name() && !refused.contains(id)).collect();
        let expected = scenario.commands() - if peer == Peer::Idempotent { scenario.refusals() } else { 0 };
        law!(of_peer.len() == expected, "{} effects for {peer:?}, wanted {expected}", of_peer.len());
        for (id, _) in of_peer {
            let made = ledger.made.get(id).copied().unwrap_or(0);
            law!(made > 0, "an effect was lost at {peer:?}: {id}");
            law!(made == 1 || peer == Peer::InDoubt, "an effect was doubled at {peer:?}: {id}");
            let window = ground.interruptions.load(Ordering::SeqCst) + ledger.unanswered.get(id).copied().unwrap_or(0);
            law!(made - 1 <= window, "{id} was made {made} times, with {window} interruptions");
            doubled += made - 1;
        }
    }
    let counted = ground.in_doubt();
    law!(doubled <= counted, "{doubled} effects were doubled, and {counted} in doubt were counted");
    let mut latest = BTreeMap::new();
    for (peer, subject, number, _) in &ledger.arrived {
        let before = latest.insert((peer, subject), *number).unwrap_or(0);
        law!(before <= *number, "{number} of {subject} reached {peer} after {before}");
    }
    Ok(())
}

async fn only_what_was_refused_is_dead(store: &Store, scenario: &Scenario) -> Result<(), Broken> {
    let dead: Vec<(String, String, String)> = rows(
        store,
        "SELECT id, payload, last_error FROM outbox WHERE state = 'dead' \
         UNION ALL SELECT event_id, message, last_error FROM inbox WHERE state = 'dead'",
    )
    .await;
    let refused = dead.iter().filter(|(_, payload, _)| *payload == REFUSED.to_string()).count();
    law!(refused == dead.len() && refused == scenario.refusals(), "dead letters: {dead:?}");
    let told: Vec<(String, i64)> =
        rows(store, "SELECT subject, COUNT(*) FROM audit WHERE verb = 'told' GROUP BY subject").await;
    let once: BTreeSet<_> = told.iter().filter(|(_, times)| *times == 1).map(|(id, _)| id).collect();
    law!(once == dead.iter().map(|(id, _, _)| id).collect(), "told of {told:?}, dead are {dead:?}");
    Ok(())
}

/// Attempts are bounded by the schedule (twenty delays), whatever happened.
async fn nobody_tried_for_ever(store: &Store) -> Result<(), Broken> {
    let most: Vec<(i64,)> = rows(store, "SELECT MAX(attempts) FROM outbox").await;
    law!(most[0].0 <= 21, "an effect was attempted {} times", most[0].0);
    Ok(())
}

fn digests_missed_nothing(ground: &Ground, scenario: &Scenario) -> Result<(), Broken> {
    let digests = &ledger(&ground.far_end).digests;
    let missed = digests.values().any(|seen| *seen != i64::try_from(scenario.each).unwrap());
    law!(!missed && digests.len() == scenario.subjects, "a digest missed an event: {digests:?}");
    Ok(())
}
