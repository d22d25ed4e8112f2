//! What moves demand: price, promotion, advertising, weekday. Each is estimated from the article's own history and
//! shrunk towards what is usual, by as much as there is little of it.

use super::{
    demand::WEEK,
    history::{Bucket, Cause, rate},
    parameters::DemandParameters,
};

/// Farthest that the article's own elasticity may lie from the usual one, below and above.
const OWN_ELASTICITY: (f64, f64) = (-1.0, 3.0);

/// Factors on an ordinary bucket at the regular price.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effects {
    pub(super) elasticity: f64,
    promotion: f64,
    advertised: f64,
    /// Factor of each weekday, Monday first, beside that of holidays.
    pub(super) weekday: [f64; WEEK],
}

impl Effects {
    /// Estimates the effects and multiplies them into the factors of the buckets.
    pub(super) fn estimate(buckets: &mut [Bucket], days: bool, parameters: &DemandParameters) -> Self {
        let priced = buckets.iter().any(|bucket| bucket.log_price < 0.0);
        let elasticity = parameters.elasticity + if priced { own_elasticity(buckets, parameters) } else { 0.0 };
        let uplift_prior = if priced { parameters.uplift_prior_priced } else { parameters.uplift_prior };
        let mut effects =
            Self { elasticity, promotion: uplift_prior, advertised: parameters.advertised_prior, weekday: [1.0; WEEK] };
        let moved = buckets.iter().any(|bucket| bucket.cause != Cause::Ordinary);
        if moved {
            let ordinary = buckets.iter().filter(|bucket| bucket.cause == Cause::Ordinary);
            let base = rate(ordinary).or_else(|| rate(buckets.iter())).unwrap_or(0.0);
            effects.promotion = uplift(buckets, Cause::Promotion, base, uplift_prior, parameters);
            effects.advertised = uplift(buckets, Cause::Advertised, base, parameters.advertised_prior, parameters);
            buckets.iter_mut().for_each(|bucket| bucket.factor *= effects.of(bucket.cause));
        }
        if days {
            effects.weekday = weekdays(buckets, parameters.weekday_prior);
            buckets.iter_mut().for_each(|bucket| bucket.factor *= effects.weekday[bucket.weekday]);
        }
        effects
    }

    pub(super) fn of(&self, cause: Cause) -> f64 {
        match cause {
            Cause::Ordinary => 1.0,
            Cause::Promotion => self.promotion,
            // Advertising comes with a promotion or without; it is not expected to take from it.
            Cause::Advertised => self.advertised.max(self.promotion),
        }
    }
}

/// The article's own elasticity less the usual one, applied to the buckets' factors: one Newton step of the Poisson
/// regression of sales on the log price, with the usual elasticity as prior.
fn own_elasticity(buckets: &mut [Bucket], parameters: &DemandParameters) -> f64 {
    let level = rate(buckets.iter()).unwrap_or(0.0);
    let expected = |bucket: &Bucket| level * bucket.trust * bucket.exposure * bucket.factor;
    let (mut mass, mut priced) = (0.0, 0.0);
    for bucket in &*buckets {
        mass += expected(bucket);
        priced += expected(bucket) * bucket.log_price;
    }
    if mass <= 0.0 {
        return 0.0;
    }
    // Centred, so that an error in the level is not read as one in the elasticity.
    let (mut slope, mut information) = (0.0, parameters.elasticity_prior);
    for bucket in &*buckets {
        let distance = bucket.log_price - priced / mass;
        slope -= (bucket.trust * bucket.units - expected(bucket)) * distance;
        information += expected(bucket) * distance * distance;
    }
    let own = (slope / information).clamp(OWN_ELASTICITY.0, OWN_ELASTICITY.1).max(-parameters.elasticity);
    for bucket in buckets.iter_mut().filter(|bucket| bucket.log_price < 0.0) {
        bucket.factor *= (-own * bucket.log_price).exp();
    }
    own
}

/// Ratio of the buckets of one cause to ordinary ones, with `uplift_prior_buckets` of the usual uplift mixed in.
fn uplift(buckets: &[Bucket], cause: Cause, base: f64, prior: f64, parameters: &DemandParameters) -> f64 {
    let mut expected = parameters.uplift_prior_buckets * base;
    let mut units = expected * prior;
    for bucket in buckets.iter().filter(|bucket| bucket.cause == cause) {
        units += bucket.trust * bucket.units;
        expected += bucket.trust * bucket.exposure * bucket.factor * base;
    }
    // Nothing is promoted to sell less; an apparent drop is noise.
    if expected > 0.0 { (units / expected).clamp(1.0, parameters.most_uplift) } else { prior }
}

/// Factor of each weekday, Monday first, with `prior` average days mixed into each, normalised to a mean of 1.
fn weekdays(buckets: &[Bucket], prior: f64) -> [f64; WEEK] {
    let level = rate(buckets.iter()).unwrap_or(0.0);
    if level <= 0.0 {
        return [1.0; WEEK];
    }
    let mut units = [prior * level; WEEK];
    let mut expected = units;
    for bucket in buckets {
        units[bucket.weekday] += bucket.trust * bucket.units;
        expected[bucket.weekday] += bucket.trust * bucket.exposure * bucket.factor * level;
    }
    let factors: [f64; WEEK] = std::array::from_fn(|k| units[k] / expected[k]);
    let mean = factors.iter().sum::<f64>() / WEEK as f64;
    factors.map(|factor| factor / mean)
}
