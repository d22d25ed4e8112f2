//! The runs of the simulation, and the proof that it can fail.

use super::{steps::Fate, *};

const TWO_REPLICAS: Scenario = Scenario { subjects: 3, each: 4, broker: true, replicas: 2, flaw: Flaw::None };
const ONE_PROCESS: Scenario = Scenario { replicas: 1, broker: false, ..TWO_REPLICAS };
const SMALL: Scenario = Scenario { subjects: 1, each: 1, replicas: 1, ..TWO_REPLICAS };
/// Faults of a run by chance.
const FAULTS: u32 = 12;

fn number_from(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

/// Each kind of ground has its turn.
fn by_chance(seed: u64) -> Outcome {
    run(seed, Faults::Random(FAULTS), if seed.is_multiple_of(3) { ONE_PROCESS } else { TWO_REPLICAS })
}

/// On as many threads as there are; the first that breaks a law ends it.
fn each<T: Send>(work: Vec<T>, one: impl Fn(T) -> Outcome + Sync) {
    let work = Mutex::new(work.into_iter());
    // A law that is broken poisons the list, which ends the other threads too.
    let next = || work.lock().ok()?.next();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
            scope.spawn(|| {
                while let Some(item) = next() {
                    let outcome = one(item);
                    let Some(broken) = outcome.broken else { continue };
                    let (seed, steps) = (outcome.seed, outcome.trace.join("\n"));
                    let _no_more = work.lock();
                    panic!("{steps}\n\n{broken}\n\nagain with: STEWARD_SEED={seed} cargo test -p chassis simulation");
                }
            });
        }
    });
}

#[test]
fn nothing_is_lost_or_doubled_whatever_fails() {
    let runs = number_from("STEWARD_RUNS").unwrap_or(40);
    let seeds = number_from("STEWARD_SEED").map_or((0..runs).collect(), |seed| vec![seed]);
    each(seeds, by_chance);
}

#[test]
fn a_seed_replays_its_run_step_by_step() {
    for seed in [1, 3] {
        let (one, same) = (by_chance(seed), by_chance(seed));
        let parted = one.trace.iter().zip(&same.trace).position(|(one, same)| one != same);
        if let Some(parted) = parted {
            let from = parted.saturating_sub(5);
            panic!("seed {seed}: {:?} or {:?}", &one.trace[from..=parted], &same.trace[from..=parted]);
        }
        assert_eq!(one.trace.len(), same.trace.len(), "seed {seed}");
        assert!(one.steps > 100, "{} steps", one.steps);
    }
}

#[test]
fn a_fault_at_any_single_step_is_survived() {
    for scenario in [SMALL, Scenario { broker: false, ..SMALL }] {
        let undisturbed = run(0, Faults::Random(0), scenario);
        assert_eq!(undisturbed.broken, None);
        let fates = [Fate::Fail, Fate::Crash, Fate::Stall];
        let steps = (1..=undisturbed.steps).flat_map(|step| fates.map(|fate| (step, fate)));
        each(steps.collect(), |(step, fate)| run(0, Faults::At(step, fate), scenario));
    }
}

#[test]
fn the_laws_see_each_flaw_that_is_made_on_purpose() {
    for flaw in [Flaw::PeerForgets, Flaw::ProbeIsBlind, Flaw::BrokerShuffles, Flaw::AckComesFirst] {
        let scenario = Scenario { flaw, ..TWO_REPLICAS };
        let seen = (0..50).any(|seed| run(seed, Faults::Random(FAULTS), scenario).broken.is_some());
        assert!(seen, "{flaw:?} breaks no law");
    }
}
