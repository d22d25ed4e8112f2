//! When a transport arrives: what its steps took, what those ahead usually take, and the two put together.
//!
//! Delivery decides. Its duration spreads over three orders of magnitude (lognormal), while all other steps together
//! have a spread of hours. So the others enter a leg by their first two moments, and delivery by its whole
//! distribution: the leg's is a mixture of shifted lognormals over Gauss-Hermite nodes.

use statrs::function::erf::{erfc, erfc_inv};

use super::{
    parameters::{Duration, Durations, Place},
    types::{Leg, Milestone, Step, Transport},
};

/// Nodes and weights of Gauss-Hermite quadrature of order 5 for a standard normal (Abramowitz and Stegun, 25.4.46).
const NODES: [(f64, f64); 5] = [
    (-2.856_970_013_872_806, 0.011_257_411_327_720_69),
    (-1.355_626_179_974_266, 0.222_075_922_005_612_6),
    (0.0, 0.533_333_333_333_333_3),
    (1.355_626_179_974_266, 0.222_075_922_005_612_6),
    (2.856_970_013_872_806, 0.011_257_411_327_720_69),
];
/// Equally likely outbound durations that stand for its distribution while inbound legs are still open.
const OUTBOUND_POINTS: u32 = 16;
/// Largest variance of the logarithm of a step that enters by its moments: those of a wider lognormal belong to a
/// tail that none of these steps has.
const WIDEST: f64 = 1.0;

/// What is taken into account: for explanations, which take facts away one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) places: bool,
    pub(super) inbound: bool,
    pub(super) outbound: bool,
}

impl View {
    pub(super) const FULL: Self = Self { places: true, inbound: true, outbound: true };
}

/// The time that a leg takes.
#[derive(Clone, Copy, Debug, Default)]
struct Remaining {
    /// Minutes that are certain.
    taken: f64,
    /// Moments of the open steps before delivery.
    mean: f64,
    variance: f64,
    delivery: Option<Delivery>,
}

/// An open delivery: a lognormal known to exceed what has elapsed.
#[derive(Clone, Copy, Debug)]
struct Delivery {
    mean: f64,
    deviation: f64,
    elapsed: f64,
}

/// The time that a transport takes.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    inbound: Vec<Remaining>,
    outbound: Remaining,
}

impl Arrival {
    pub(super) fn of(transport: &Transport, durations: &Durations, view: View) -> Self {
        let remaining = |leg: &Leg, progress: bool| Remaining::of(leg, durations, View { inbound: progress, ..view });
        Self {
            inbound: transport.inbound.iter().map(|leg| remaining(leg, view.inbound)).collect(),
            outbound: transport.outbound.as_ref().map_or_else(Remaining::default, |leg| remaining(leg, view.outbound)),
        }
    }

    /// P(it takes longer than so many minutes).
    pub(super) fn later_than(&self, minutes: f64) -> f64 {
        // Once the longest inbound leg is certain, only the outbound one is left.
        if self.inbound.iter().all(Remaining::certain) {
            let inbound = self.inbound.iter().map(|leg| leg.taken).fold(0.0, f64::max);
            return 1.0 - self.outbound.within(minutes - inbound);
        }
        let all_within = |minutes: f64| self.inbound.iter().map(|leg| leg.within(minutes)).product::<f64>();
        if self.outbound.certain() {
            return 1.0 - all_within(minutes - self.outbound.taken);
        }
        let points = (0..OUTBOUND_POINTS).map(|i| (f64::from(i) + 0.5) / f64::from(OUTBOUND_POINTS));
        let within: f64 = points.map(|share| all_within(minutes - self.outbound.quantile(share))).sum();
        1.0 - within / f64::from(OUTBOUND_POINTS)
    }
}

impl Remaining {
    fn of(leg: &Leg, durations: &Durations, view: View) -> Self {
        leg.steps.iter().fold(Self::default(), |sum, step| match step.took_minutes.filter(|_| view.inbound) {
            Some(minutes) => Self { taken: sum.taken + minutes, ..sum },
            None => sum.plus(step, durations.of(step.until), view),
        })
    }

    fn plus(self, step: &Step, duration: &Duration, view: View) -> Self {
        let Place(mean, variance) = duration.at(if view.places { &step.place } else { "" });
        let mean = if duration.relative_to_plan { mean + step.planned_minutes.max(1.0).ln() } else { mean };
        let elapsed = step.elapsed_minutes.filter(|_| view.inbound).unwrap_or(0.0);
        if step.until == Milestone::Delivered {
            return Self { delivery: Some(Delivery { mean, deviation: variance.sqrt(), elapsed }), ..self };
        }
        let (first, second) = moments(mean, variance.min(WIDEST), elapsed);
        Self { mean: self.mean + first, variance: self.variance + second, ..self }
    }

    fn certain(&self) -> bool {
        self.mean == 0.0 && self.delivery.is_none()
    }

    /// P(it takes at most so many minutes).
    fn within(&self, minutes: f64) -> f64 {
        let left = minutes - self.taken;
        let deviation = self.variance.sqrt();
        match self.delivery {
            None if deviation > 0.0 => normal_below((left - self.mean) / deviation),
            None => f64::from(u8::from(left >= self.mean)),
            Some(delivery) if deviation > 0.0 => {
                let at = |node: f64| delivery.within(left - (self.mean + node * deviation).max(0.0));
                NODES.into_iter().map(|(node, weight)| weight * at(node)).sum()
            }
            Some(delivery) => delivery.within(left),
        }
    }

    /// About the minutes that a share of such legs take at most. Beside delivery the spread of the rest is small.
    fn quantile(&self, share: f64) -> f64 {
        let base = self.taken + self.mean;
        match self.delivery {
            None => (base + normal_quantile(share) * self.variance.sqrt()).max(self.taken),
            Some(delivery) => base + delivery.quantile(share),
        }
    }
}

impl Delivery {
    /// P(longer than `minutes`) before anything has elapsed.
    fn exceeds(&self, minutes: f64) -> f64 {
        if minutes > 0.0 { 1.0 - normal_below((minutes.ln() - self.mean) / self.deviation) } else { 1.0 }
    }

    fn within(&self, minutes: f64) -> f64 {
        // The ratio can be 0 / 0 only for a wait that no delivery has lasted: then nothing is known but the delay.
        if minutes <= self.elapsed { 0.0 } else { (1.0 - self.exceeds(minutes) / self.exceeds(self.elapsed)).max(0.0) }
    }

    fn quantile(&self, share: f64) -> f64 {
        let exceeded = (1.0 - share) * self.exceeds(self.elapsed);
        (self.mean - self.deviation * normal_quantile(exceeded)).exp().max(self.elapsed)
    }
}

impl Duration {
    /// Mean and variance of the logarithm at a place; those of all places when it was never seen.
    fn at(&self, place: &str) -> Place {
        self.places.get(place).copied().unwrap_or(Place(self.mean, self.variance))
    }
}

/// Mean and variance of a lognormal known to exceed `elapsed`, by the moments of the truncated lognormal.
fn moments(mean: f64, variance: f64, elapsed: f64) -> (f64, f64) {
    let first = (mean + variance / 2.0).exp();
    if elapsed <= 0.0 {
        return (first, first * first * variance.exp_m1());
    }
    let deviation = variance.sqrt();
    let bound = (elapsed.ln() - mean) / deviation;
    let beyond = normal_below(-bound);
    if beyond < f64::EPSILON {
        // Longer than any step so far: the best guess is that it ends now.
        return (elapsed, 0.0);
    }
    let conditional = first * normal_below(deviation - bound) / beyond;
    let square = first * first * variance.exp() * normal_below(2.0 * deviation - bound) / beyond;
    (conditional.max(elapsed), (square - conditional * conditional).max(0.0))
}

fn normal_below(z: f64) -> f64 {
    erfc(-z / std::f64::consts::SQRT_2) / 2.0
}

fn normal_quantile(share: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * share)
}
