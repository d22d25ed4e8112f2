//! The online filter of counts: what a bucket is expected to sell, how strange what it sold is, what is learnt from it.
//!
//! A gamma-Poisson filter with exponential forgetting (West and Harrison 1997, chapter 14; Harvey and Fernandes 1989)
//! whose forecasts are negative binomial. Weekday, price, promotion and holiday scale the expectation; dispersion
//! and elasticity are learnt per series and shrunk to their priors. Everything is one pass with constant state.

use serde::{Deserialize, Serialize};

use super::{
    evidence::{self, Evidence, Judged},
    parameters::{CountParameters, MAX_WINDOW},
    types::{Bucket, Event, Side, Signal},
};
use crate::counts::Counts;

/// Expectations below this are a rounding of nothing.
pub(super) const LEAST_MEAN: f64 = 0.05;
/// A price cut beyond this says no more about demand (70 %).
const LEAST_PRICE: f64 = 0.3;
/// Least share of its demand that a bucket is taken to have seen: stock that is booked as none sometimes sells.
const LEAST_EXPOSURE: f64 = 0.05;
/// Dispersion stays between nearly Poisson and three times the squared mean.
const DISPERSION: (f64, f64) = (0.03, 3.0);
/// A squared error counts at most this many variances for the dispersion.
const SQUARED_CLIP: f64 = 16.0;
/// Buckets before dispersion and elasticity are learnt: the first levels are mostly prior.
const WARM_UP: u32 = 7;
/// Buckets of a mean above this inform dispersion and elasticity no more than one of it.
const INFORMATIVE_MEAN: f64 = 5.0;
/// Bounds of how far false alarms may raise a series' limit, in powers of ten.
const MOST_TIGHTENING: f64 = 2.0;

/// A decayed sum over a decayed sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandSignalRatio)]
pub struct Ratio {
    pub sum: f64,
    pub weight: f64,
}

impl Ratio {
    /// The ratio with a prior value that counts for `weight`.
    fn shrunk(self, prior: f64, weight: f64) -> f64 {
        (self.sum + prior * weight) / (self.weight + weight)
    }

    fn learn(&mut self, memory: f64, sum: f64, weight: f64) {
        self.sum = memory * self.sum + sum;
        self.weight = memory * self.weight + weight;
    }
}

/// What is known of a series of counts after its last bucket: a constant number of figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandSignalCountState)]
pub struct CountState {
    /// Buckets passed, and those with a count among them.
    pub(super) buckets: u32,
    pub(super) observed: u32,
    level: Ratio,
    recent: Ratio,
    weekday: [Ratio; 7],
    elasticity: Ratio,
    dispersion: Ratio,
    usual_price_cut: Ratio,
    usual_promotion: Ratio,
    /// Powers of ten that past alarms have raised the limit by.
    tightening: f64,
    /// The latest buckets with a count, the newest first.
    past: [Judged; MAX_WINDOW - 1],
}

/// What a bucket is expected to sell, part by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandSignalOutlook)]
pub struct Outlook {
    /// Units of an average, fully stocked bucket without promotion, and the units that this rests on.
    pub(super) level: f64,
    pub(super) mass: f64,
    pub(super) weekday: f64,
    pub(super) promotion: f64,
    pub(super) exposure: f64,
    pub(super) dispersion: f64,
    /// Relative variance because price or promotion differ from what the level was learnt under.
    pub(super) unfamiliar: f64,
}

impl Outlook {
    pub(super) fn mean(&self) -> f64 {
        (self.level * self.weekday * self.promotion * self.exposure).max(LEAST_MEAN)
    }

    fn side(&self, units: f64) -> Side {
        if units >= self.mean() { Side::Above } else { Side::Below }
    }

    /// The forecast of the bucket alone.
    pub(super) fn counts(&self) -> Counts {
        let mean = self.mean();
        let relative = self.dispersion + 1.0 / self.mass.max(0.5) + self.unfamiliar;
        Counts::by_moments(mean, mean + relative * mean * mean)
    }

    /// Probability that a bucket without a sale was out of stock rather than without demand.
    fn stock_out(&self, unseen: f64) -> f64 {
        let size = 1.0 / (self.dispersion + 1.0 / self.mass.max(0.5));
        let none = (-size * (self.mean() / size).ln_1p()).exp();
        unseen / (unseen + none)
    }
}

/// The filter with its constants and the false-alarm rate that was asked for.
#[derive(Clone, Copy)]
pub(super) struct Filter<'a> {
    pub(super) parameters: &'a CountParameters,
    pub(super) rate: f64,
}

impl Filter<'_> {
    pub(super) fn start(&self) -> CountState {
        let prior = self.parameters.level_prior;
        let level = Ratio { sum: prior.units * prior.buckets, weight: prior.buckets };
        CountState {
            buckets: 0,
            observed: 0,
            level,
            recent: level,
            weekday: [Ratio::default(); 7],
            elasticity: Ratio::default(),
            dispersion: Ratio::default(),
            usual_price_cut: Ratio::default(),
            usual_promotion: Ratio::default(),
            tightening: 0.0,
            past: [Judged::default(); MAX_WINDOW - 1],
        }
    }

    /// What the next bucket is expected to sell.
    pub(super) fn outlook(&self, state: &CountState, bucket: &Bucket) -> Outlook {
        let p = self.parameters;
        let (effect, cut, flag) = (&p.promotion, price_cut(bucket), f64::from(u8::from(bucket.promotion)));
        let elasticity = effect.elasticity + state.elasticity.sum / (state.elasticity.weight + effect.elasticity_prior);
        let holiday = f64::from(u8::from(bucket.holiday));
        let dispersion = state.dispersion.shrunk(p.dispersion.prior, p.dispersion.prior_buckets);
        let dispersion = dispersion.clamp(DISPERSION.0, DISPERSION.1);
        let level = self.level(state).max(LEAST_MEAN);
        let unfamiliar = effect.elasticity_variance * (cut - usual(state.usual_price_cut)).powi(2)
            + effect.flag_variance * (flag - usual(state.usual_promotion)).powi(2);
        Outlook {
            level,
            mass: state.level.sum,
            weekday: p.weekday.map_or(1.0, |weekday| {
                // A pattern not yet learnt looks like dispersion; it must not stand in its own way.
                let noise = 1.0 / level + dispersion.min(p.dispersion.prior);
                state.weekday[slot(state)].shrunk(1.0, noise / weekday.variance)
            }),
            promotion: (elasticity * cut + effect.flag * flag + effect.holiday * holiday).exp(),
            exposure: match bucket.out_of_stock {
                Some(share) if share > 0.0 => (1.0 - share).powf(p.stock.exposure).max(LEAST_EXPOSURE),
                _ => 1.0,
            },
            dispersion,
            unfamiliar,
        }
    }

    fn level(&self, state: &CountState) -> f64 {
        let slow = state.level.sum / state.level.weight;
        let weight = self.parameters.recent.weight;
        if weight == 0.0 {
            return slow;
        }
        // Nothing sold lately would make a geometric mean zero for good.
        let recent = (state.recent.sum / state.recent.weight).max(LEAST_MEAN);
        slow.max(LEAST_MEAN).powf(1.0 - weight) * recent.powf(weight)
    }

    /// How strange so many units are beside what was expected.
    pub(super) fn judge(&self, outlook: &Outlook, bucket: &Bucket, units: f64) -> Judged {
        let unseen = if bucket.out_of_stock.is_some() { 0.0 } else { self.parameters.stock.unseen_stock_out };
        let stock_out = if units == 0.0 && unseen > 0.0 { outlook.stock_out(unseen) } else { 0.0 };
        let full = bucket.out_of_stock.is_none_or(|share| share < self.parameters.stock.censored_share);
        Judged { units, outlook: *outlook, weight: 1.0 - stock_out, observed: true, full, side: outlook.side(units) }
    }

    pub(super) fn evidence(&self, state: &CountState, now: &Judged) -> Evidence {
        evidence::strongest(self.parameters, &state.past, now, evidence::Facts::ALL)
    }

    /// Judges a bucket and learns from it.
    pub(super) fn observe(&self, state: &mut CountState, bucket: &Bucket) -> Signal {
        let outlook = self.outlook(state, bucket);
        let Some(units) = bucket.units else {
            state.buckets += 1;
            return Signal::unknown(outlook.mean());
        };
        let now = self.judge(&outlook, bucket, units);
        let evidence = self.evidence(state, &now);
        let event = self.event(state, &now, &evidence);
        let signal = Signal {
            event,
            score: super::score(evidence.surprise, self.parameters.false_alarm_rate),
            surprise: evidence.surprise,
            side: now.side,
            expected: outlook.mean(),
            stock_out_probability: bucket.out_of_stock.unwrap_or(1.0 - now.weight),
        };
        self.learn(state, bucket, &now);
        self.tighten(state, event);
        state.past.rotate_right(1);
        state.past[0] = now;
        signal
    }

    fn event(&self, state: &CountState, now: &Judged, evidence: &Evidence) -> Event {
        if state.observed < self.parameters.least_buckets {
            return Event::Unknown;
        }
        if evidence.surprise < -self.rate.log10() + state.tightening {
            return if now.full { Event::Ordinary } else { Event::Censored };
        }
        let shifted = evidence.buckets > 1
            && state.past[..evidence.buckets - 1].iter().all(|past| past.observed && past.side == now.side);
        match (now.side, shifted) {
            (Side::Above, true) => Event::LevelShiftUp,
            (Side::Above, false) => Event::Spike,
            (Side::Below, true) => Event::LevelShiftDown,
            (Side::Below, false) => Event::Drop,
        }
    }

    /// Holds a series to the rate even where the calibration does not fit it: each alarm raises its limit, each quiet
    /// bucket lowers it again by what the rate allows (adaptive conformal inference, Gibbs and Candès 2021).
    fn tighten(&self, state: &mut CountState, event: Event) {
        if event != Event::Unknown {
            let step = f64::from(u8::from(event.is_alarm())) - self.rate;
            state.tightening = (state.tightening + self.parameters.tightening * step).clamp(0.0, MOST_TIGHTENING);
        }
    }

    fn learn(&self, state: &mut CountState, bucket: &Bucket, now: &Judged) {
        let (p, outlook, mean) = (self.parameters, &now.outlook, now.outlook.mean());
        let variance = mean + outlook.dispersion * mean * mean;
        let deviation = variance.sqrt();
        // An outlier pulls the level, but not farther than a few deviations.
        let clipped = now.units.clamp((mean - p.clip.below * deviation).max(0.0), mean + p.clip.above * deviation);
        let units = if state.observed < 3 { now.units } else { clipped };
        let in_stock = 1.0 - bucket.out_of_stock.unwrap_or(0.0);
        let trust = now.weight * if in_stock < 1.0 { in_stock.powf(p.stock.trust) } else { 1.0 };
        let factor = outlook.weekday * outlook.promotion * outlook.exposure;
        state.level.learn(p.memory, trust * units, trust * factor);
        state.recent.learn(p.recent.memory, trust * units, trust * factor);
        if let Some(weekday) = p.weekday {
            let plain = (mean / outlook.weekday).max(LEAST_MEAN);
            state.weekday[slot(state)].learn(weekday.memory, trust * units / plain, trust);
        }
        let cut = price_cut(bucket);
        if state.observed >= WARM_UP {
            let information = trust * (mean / (1.0 + outlook.dispersion * mean)).min(INFORMATIVE_MEAN);
            let error = ((units + 0.5) / (mean + 0.5)).ln().clamp(-1.5, 1.5);
            state.elasticity.learn(1.0, information * error * cut, information * cut * cut);
            let share = trust * mean.min(INFORMATIVE_MEAN) / INFORMATIVE_MEAN;
            let excess = ((now.units - mean).powi(2) - mean).min(SQUARED_CLIP * variance);
            state.dispersion.learn(p.dispersion.memory, share * excess / mean.max(0.5).powi(2), share);
        }
        state.usual_price_cut.learn(p.memory, cut, 1.0);
        state.usual_promotion.learn(p.memory, f64::from(u8::from(bucket.promotion)), 1.0);
        state.buckets += 1;
        state.observed += 1;
    }
}

impl CountState {
    pub(super) fn past(&self) -> &[Judged] {
        &self.past
    }
}

/// Position in the week, counted from the first bucket.
fn slot(state: &CountState) -> usize {
    state.buckets as usize % 7
}

fn price_cut(bucket: &Bucket) -> f64 {
    if bucket.price_share < 1.0 { -bucket.price_share.max(LEAST_PRICE).ln() } else { 0.0 }
}

fn usual(ratio: Ratio) -> f64 {
    if ratio.weight > 0.0 { ratio.sum / ratio.weight } else { 0.0 }
}
