//! The online judge of readings: how far a reading departs from its hour of the day, and how rare such a departure
//! has been in this stream.
//!
//! No distribution is assumed. A departure is ranked among all earlier ones of the same stream, which makes the
//! probability conformal (Vovk et al. 2005; Laxhammar and Falkman 2010), and beyond the largest the tail is
//! extrapolated by its Hill index (Hill 1975). The departure of now sees spikes, the sustained one shifts.

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{
    parameters::ReadingParameters,
    types::{Event, Expected, Reading, Side, Signal},
};
use crate::Score;

const HOURS: usize = 24;
/// Bins per doubling of a departure, and their number: 64 doublings from the smallest to the largest.
const PER_DOUBLING: f64 = 4.0;
const BINS: usize = 256;
/// Bin of the first departure that is not zero.
const FIRST_BIN: f64 = 128.0;

/// Mean of an hour of the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandSignalHour)]
pub struct Hour {
    mean: f64,
    readings: u32,
}

/// Departures so far, counted in logarithmic bins: memory does not grow with the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandSignalDepartures)]
pub struct Departures {
    bins: Vec<u32>,
    count: u32,
    /// `log2` of the first departure that was not zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<f64>,
}

impl Departures {
    fn new() -> Self {
        Self { bins: vec![0; BINS], count: 0, origin: None }
    }

    /// Position on the scale of bins, fractions included; none for zero.
    fn position(&self, departure: f64) -> Option<f64> {
        let log = departure.log2();
        if departure > 0.0 { Some((log - self.origin.unwrap_or(log)) * PER_DOUBLING + FIRST_BIN) } else { None }
    }

    fn bin(position: Option<f64>) -> usize {
        // The clamp keeps the conversion inside the array.
        position.map_or(0, |position| position.floor().clamp(0.0, (BINS - 1) as f64) as usize)
    }

    /// `-log10` of the probability of a departure at least as large.
    fn surprise(&self, departure: f64, parameters: &ReadingParameters) -> f64 {
        if self.count < parameters.least_readings {
            return 0.0;
        }
        let count = f64::from(self.count);
        let position = self.position(departure);
        let bin = Self::bin(position);
        let wanted = (parameters.tail_share * count).max(1.0);
        let (mut beyond, mut at_or_beyond) = (0.0, 0.0);
        let (mut excess, mut start) = (0.0, 0);
        for (i, inside) in self.bins.iter().enumerate().rev() {
            let inside = f64::from(*inside);
            if i > bin {
                beyond += inside;
            }
            at_or_beyond += inside;
            if at_or_beyond >= wanted && i <= bin {
                start = i;
                break;
            }
        }
        // A departure below the start of the tail has a rank; there the walk above ended in its own bin.
        if start == bin {
            return -((beyond + (at_or_beyond - beyond) / 2.0 + 0.5) / (count + 1.0)).log10();
        }
        for (i, inside) in self.bins.iter().enumerate().skip(start) {
            excess += f64::from(*inside) * (i - start) as f64;
        }
        let per_bin = std::f64::consts::LN_2 / PER_DOUBLING;
        let index = (excess / at_or_beyond * per_bin).max(parameters.least_tail);
        let above = (position.unwrap_or(0.0) - start as f64 - 0.5).max(0.0) * per_bin;
        -(at_or_beyond / count).log10() + std::f64::consts::LOG10_E * above / index
    }

    fn add(&mut self, departure: f64) {
        if departure > 0.0 && self.origin.is_none() {
            self.origin = Some(departure.log2());
        }
        let bin = Self::bin(self.position(departure));
        // A state that was cut short outside loses counts, not the service.
        if let Some(inside) = self.bins.get_mut(bin) {
            *inside = inside.saturating_add(1);
            self.count = self.count.saturating_add(1);
        }
    }

    /// Upper edge of the bin that holds the quantile.
    fn quantile(&self, probability: f64) -> f64 {
        let wanted = probability * f64::from(self.count);
        let mut below = 0.0;
        for (i, inside) in self.bins.iter().enumerate() {
            below += f64::from(*inside);
            if below >= wanted {
                let Some(origin) = self.origin.filter(|_| i > 0) else { return 0.0 };
                return ((i as f64 + 1.0 - FIRST_BIN) / PER_DOUBLING + origin).exp2();
            }
        }
        0.0
    }
}

/// What is known of a stream of readings after its last one: its size is constant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandSignalReadingState)]
pub struct ReadingState {
    pub(super) observed: u32,
    hours: [Hour; HOURS],
    /// Departures averaged with a short memory.
    sustained: f64,
    now_departures: Departures,
    sustained_departures: Departures,
    /// Readings since the last event; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since_event: Option<u32>,
}

/// A reading beside what was expected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weighed {
    pub(super) expected: f64,
    pub(super) departure: f64,
    pub(super) sustained: f64,
    /// Surprise of the departure of now and of the sustained one.
    pub(super) surprise_now: f64,
    pub(super) surprise_sustained: f64,
    /// Whether an event was reported so shortly before that this is the same incident.
    pub(super) same_incident: bool,
}

impl Weighed {
    pub(super) fn surprise(&self) -> f64 {
        f64::midpoint(self.surprise_now, self.surprise_sustained)
    }
}

/// The judge with its constants and the false-alarm rate that was asked for.
#[derive(Clone, Copy)]
pub(super) struct Stream<'a> {
    pub(super) parameters: &'a ReadingParameters,
    pub(super) rate: f64,
}

impl Stream<'_> {
    pub(super) fn start() -> ReadingState {
        ReadingState {
            observed: 0,
            hours: [Hour::default(); HOURS],
            sustained: 0.0,
            now_departures: Departures::new(),
            sustained_departures: Departures::new(),
            since_event: None,
        }
    }

    pub(super) fn weigh(&self, state: &ReadingState, at: Timestamp, value: f64) -> Weighed {
        let p = self.parameters;
        let hour = state.hours[hour(at)];
        let expected = if hour.readings == 0 { value } else { hour.mean };
        let departure = value - expected;
        let sustained = p.sustained_memory * state.sustained + (1.0 - p.sustained_memory) * departure;
        Weighed {
            expected,
            departure,
            sustained,
            surprise_now: state.now_departures.surprise(departure.abs(), p),
            surprise_sustained: state.sustained_departures.surprise(sustained.abs(), p),
            same_incident: state.since_event.is_some_and(|readings| readings < p.quiet_readings),
        }
    }

    pub(super) fn signal(&self, state: &ReadingState, weighed: &Weighed) -> Signal {
        let surprise = weighed.surprise();
        let leading =
            if weighed.surprise_sustained > weighed.surprise_now { weighed.sustained } else { weighed.departure };
        let shifted = weighed.surprise_sustained > weighed.surprise_now;
        let event = if state.observed < self.parameters.least_readings {
            Event::Unknown
        } else if weighed.same_incident || surprise < -self.rate.log10() {
            Event::Ordinary
        } else {
            match (leading >= 0.0, shifted) {
                (true, true) => Event::LevelShiftUp,
                (true, false) => Event::Spike,
                (false, true) => Event::LevelShiftDown,
                (false, false) => Event::Drop,
            }
        };
        let score = super::score(surprise, self.parameters.false_alarm_rate);
        Signal {
            event,
            score: if weighed.same_incident { Score::of(0.0) } else { score },
            surprise,
            side: if leading >= 0.0 { Side::Above } else { Side::Below },
            expected: weighed.expected,
            stock_out_probability: 0.0,
        }
    }

    /// Judges a reading and learns from it.
    pub(super) fn observe(&self, state: &mut ReadingState, reading: &Reading) -> Signal {
        let Some(value) = reading.value else {
            return Signal::unknown(state.hours[hour(reading.at)].mean);
        };
        let weighed = self.weigh(state, reading.at, value);
        let signal = self.signal(state, &weighed);
        state.since_event = match state.since_event {
            _ if signal.event.is_alarm() => Some(0),
            readings => readings.map(|readings| readings.saturating_add(1)),
        };
        let hour = &mut state.hours[hour(reading.at)];
        hour.readings = hour.readings.saturating_add(1);
        let weight = (1.0 - self.parameters.profile_memory).max(1.0 / f64::from(hour.readings));
        hour.mean += weight * (value - hour.mean);
        state.sustained = weighed.sustained;
        state.now_departures.add(weighed.departure.abs());
        state.sustained_departures.add(weighed.sustained.abs());
        state.observed = state.observed.saturating_add(1);
        signal
    }

    /// The band that nine of ten readings of the stream have kept to.
    pub(super) fn expected(state: &ReadingState, weighed: &Weighed) -> Expected {
        let spread = state.now_departures.quantile(0.9);
        let mean = weighed.expected;
        Expected { mean, p05: mean - spread, p50: mean, p95: mean + spread }
    }
}

fn hour(at: Timestamp) -> usize {
    usize::try_from(at.to_zoned(TimeZone::UTC).hour()).unwrap_or(0) % HOURS
}
