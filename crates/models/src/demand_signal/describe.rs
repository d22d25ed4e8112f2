//! A kept state in figures that people know.

use serde::Serialize;

use super::{
    Model,
    count::{CountState, Filter},
    types::{Bucket, State},
};

/// What is known of a series of counts.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = DemandSignalDescription)]
pub struct Description {
    /// Buckets passed since the state began, and those with a count among them.
    pub buckets: u32,
    pub observed: u32,
    /// Whether that is enough to call a bucket an event.
    pub judges: bool,
    /// Units of an average, fully stocked bucket at the regular price without a promotion.
    pub level: f64,
    /// Variance beyond that of chance, as a share of the squared mean: 0 is Poisson.
    pub dispersion: f64,
    /// Units on each day of the week as a share of the average day, counted from the first bucket's day; empty for weeks.
    pub weekdays: Vec<f64>,
}

impl Model {
    /// A state in words; `None` for readings, whose state is a profile of hours.
    #[must_use]
    pub fn describe(&self, state: &State) -> Option<Description> {
        let (state, filter) = match state {
            State::Day(state) => (state, self.filter(&self.parameters.day, None)),
            State::Week(state) => (state, self.filter(&self.parameters.week, None)),
            State::Reading(_) => return None,
        };
        Some(filter.describe(state))
    }
}

impl Filter<'_> {
    fn describe(&self, state: &CountState) -> Description {
        let outlook = self.outlook(state, &Bucket::default());
        // Each day's share is what the filter would expect of it next: the state one day, two days on.
        let on = |day: u32| {
            let mut then = state.clone();
            then.buckets = day;
            self.outlook(&then, &Bucket::default()).weekday
        };
        let weekdays = self.parameters.weekday.map(|_| (0..7).map(on).collect());
        Description {
            buckets: state.buckets,
            observed: state.observed,
            judges: state.observed >= self.parameters.least_buckets,
            level: outlook.level,
            dispersion: outlook.dispersion,
            weekdays: weekdays.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Judge, demand_signal::Observation};

    #[test]
    fn a_learnt_week_is_told_day_by_day() {
        let model = Model::standard().unwrap();
        let day = |units: f64| Observation::Day(Bucket { units: Some(units), ..Bucket::default() });
        let mut state = model.start(&day(0.0));
        for nth in 0..210_u32 {
            // Ten a day, and thirty on the third day of each week.
            model.observe(&mut state, &day(if nth % 7 == 2 { 30.0 } else { 10.0 })).unwrap();
        }
        let told = model.describe(&state).unwrap();
        assert_eq!((told.buckets, told.observed, told.judges, told.weekdays.len()), (210, 210, true, 7));
        assert!((10.0..16.0).contains(&told.level), "{told:?}");
        let others = told.weekdays.iter().enumerate().filter(|(day, _)| *day != 2).map(|(_, share)| *share);
        let busiest = others.fold(0.0, f64::max);
        assert!(told.weekdays[2] > 1.8 * busiest, "{told:?}");
    }
}
