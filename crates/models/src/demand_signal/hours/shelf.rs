//! The shelf as a hidden Markov chain over hours: full or empty, seen only through whether an hour had a sale.
//!
//! An empty shelf sells nothing but for leaks; a full one is without a sale in an hour with probability
//! `exp(-m / batch)`. A day may be a slow, usual or busy one (the chain runs once for each kind and the likelihoods
//! are mixed), so that a quiet day is not taken for an empty shelf. Forward-backward (Rabiner 1989, Proceedings of the
//! IEEE 77(2), section III) gives the probability of each hour in the light of all hours. Each day's forward pass is
//! run again on the way back: that is cheaper than to keep it.

use super::{
    parameters::Shelf,
    types::{HOURS, HourlySales},
};

/// Kinds of day, side by side.
const KINDS: usize = 3;
type Lanes = [f64; KINDS];

/// Least probability of a sale with a full shelf: nothing is impossible at night.
const LEAST_SALE: f64 = 1e-6;
/// What is left for a full shelf in an hour that is known to be out of stock.
const CONTRADICTION: f64 = 1e-12;

/// Likelihood of the sales up to an hour, for a full and an empty shelf in it.
#[derive(Clone, Copy)]
struct Pair {
    full: Lanes,
    empty: Lanes,
}

/// What an hour says about the shelf.
#[derive(Clone, Copy)]
struct Emission {
    full: Lanes,
    empty: f64,
}

pub(super) struct Chain<'a> {
    shelf: &'a Shelf,
    /// Probability of a full and an empty shelf before each day, by the days before.
    starts: Vec<[f64; 2]>,
}

impl<'a> Chain<'a> {
    pub(super) fn new(shelf: &'a Shelf) -> Self {
        Self { shelf, starts: Vec::new() }
    }

    /// Writes the probability of an empty shelf in each hour to `out`. `silence` holds the square root of each hour's
    /// probability to be without sale on a usual day.
    pub(super) fn run(&mut self, sales: &HourlySales, silence: &[f64], out: &mut [f64]) {
        let days = out.len() / HOURS;
        let mut start = [0.5, 0.5];
        self.starts.clear();
        let mut forward = [Pair { full: [0.0; KINDS], empty: [0.0; KINDS] }; HOURS];
        for day in 0..days {
            self.starts.push(start);
            let emissions = self.emissions(sales, silence, day);
            self.forward(start, &emissions, &mut forward);
            start = self.mixed(&forward[HOURS - 1]);
        }
        let mut end = [1.0, 1.0];
        for day in (0..days).rev() {
            let emissions = self.emissions(sales, silence, day);
            self.forward(self.starts[day], &emissions, &mut forward);
            end = self.backward(end, &emissions, &forward, &mut out[day * HOURS..(day + 1) * HOURS]);
        }
    }

    fn emissions(&self, sales: &HourlySales, silence: &[f64], day: usize) -> [Emission; HOURS] {
        std::array::from_fn(|hour| {
            let hour = day * HOURS + hour;
            if sales.out_of_stock.get(hour).copied().unwrap_or(false) {
                return Emission { full: [CONTRADICTION; KINDS], empty: 1.0 };
            }
            let Some(units) = sales.units.get(hour) else {
                // An hour still to come says nothing.
                return Emission { full: [1.0; KINDS], empty: 1.0 };
            };
            let half = silence[hour];
            let once = half * half;
            let still = [half, once, once * once];
            if *units > 0.0 {
                Emission { full: still.map(|still| (1.0 - still).max(LEAST_SALE)), empty: self.shelf.leak }
            } else {
                Emission { full: still, empty: 1.0 - self.shelf.leak }
            }
        })
    }

    fn forward(&self, start: [f64; 2], emissions: &[Emission; HOURS], forward: &mut [Pair; HOURS]) {
        let mut last = Pair { full: [start[0]; KINDS], empty: [start[1]; KINDS] };
        for (hour, (emission, pair)) in emissions.iter().zip(forward).enumerate() {
            let (empties, fills) = (self.shelf.empties[hour], self.shelf.fills[hour]);
            for kind in 0..KINDS {
                let (full, empty) = (last.full[kind], last.empty[kind]);
                pair.full[kind] = (full * (1.0 - empties) + empty * fills) * emission.full[kind];
                pair.empty[kind] = (full * empties + empty * (1.0 - fills)) * emission.empty;
            }
            last = *pair;
        }
    }

    /// Over the kinds of day, as probabilities.
    fn mixed(&self, pair: &Pair) -> [f64; 2] {
        let weigh =
            |lanes: &Lanes| lanes.iter().zip(self.shelf.day_kinds).map(|(lane, share)| lane * share).sum::<f64>();
        let (full, empty) = (weigh(&pair.full), weigh(&pair.empty));
        [full / (full + empty), empty / (full + empty)]
    }

    /// Writes the probabilities of one day and returns the likelihood of its sales for each state before it.
    fn backward(
        &self,
        end: [f64; 2],
        emissions: &[Emission; HOURS],
        forward: &[Pair; HOURS],
        out: &mut [f64],
    ) -> [f64; 2] {
        let mut after = Pair { full: [end[0]; KINDS], empty: [end[1]; KINDS] };
        for hour in (0..HOURS).rev() {
            let (here, emission) = (&forward[hour], &emissions[hour]);
            let (empties, fills) = (self.shelf.empties[hour], self.shelf.fills[hour]);
            let (mut sum_full, mut sum_empty) = (0.0, 0.0);
            for kind in 0..KINDS {
                let share = self.shelf.day_kinds[kind];
                sum_full += share * here.full[kind] * after.full[kind];
                sum_empty += share * here.empty[kind] * after.empty[kind];
                let full = emission.full[kind] * after.full[kind];
                let empty = emission.empty * after.empty[kind];
                after.full[kind] = (1.0 - empties) * full + empties * empty;
                after.empty[kind] = fills * full + (1.0 - fills) * empty;
            }
            out[hour] = sum_empty / (sum_full + sum_empty);
        }
        self.mixed(&after)
    }
}
