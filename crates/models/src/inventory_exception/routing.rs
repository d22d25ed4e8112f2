//! Where a case goes: least expected cost over a matrix of classes and routes.

use contracts::Money;

use super::{
    parameters::{MAX_CLASSES, Parameters},
    table::PerClass,
    types::{Alternative, Facts, Route},
};

/// The cost matrix in the order of classes and routes.
#[derive(Clone, Debug)]
pub(super) struct Costs {
    routes: Vec<(String, f64)>,
    /// Share of the value lost, by route and class.
    lost: Vec<PerClass>,
    unattended: usize,
}

/// What a variance is worth, in cents, and in which money that is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) cents: f64,
    /// Currency and its minor units per cent; `None` when the worth of a unit is not known.
    told_in: Option<(contracts::money::Currency, f64)>,
}

impl Value {
    pub(super) fn of(facts: &Facts, variance: f64, parameters: &Parameters) -> Self {
        let stake = &parameters.stake;
        let Some(unit) = facts.item.unit_cost.or(facts.item.unit_price) else {
            return Self { cents: variance.abs() * stake.typical_unit, told_in: None };
        };
        let rate = stake.cents.get(unit.currency.as_str()).copied().unwrap_or(1.0);
        Self { cents: variance.abs() * unit.minor as f64 / rate, told_in: Some((unit.currency, rate)) }
    }

    pub(super) fn money(&self, cents: f64) -> Option<Money> {
        // A saturating conversion: more than i64 cents are in no shop.
        self.told_in.map(|(currency, rate)| Money::new((cents * rate).round() as i64, currency))
    }

    fn minor(&self, cents: f64) -> f64 {
        cents * self.told_in.map_or(1.0, |(_, rate)| rate)
    }
}

impl Costs {
    pub(super) fn of(parameters: &Parameters) -> Self {
        let lost = |route: &str| {
            let mut row = [0.0; MAX_CLASSES];
            let shares = parameters.classes.iter().map(|class| class.lost.get(route).copied().unwrap_or(1.0));
            row.iter_mut().zip(shares).for_each(|(cell, share)| *cell = share);
            row
        };
        Self {
            lost: parameters.routes.iter().map(|route| lost(&route.name)).collect(),
            unattended: parameters
                .routes
                .iter()
                .position(|route| route.name == parameters.unattended)
                .unwrap_or_default(),
            routes: parameters.routes.iter().map(|route| (route.name.clone(), route.work)).collect(),
        }
    }

    /// Expected cost in cents of giving a case to a route.
    fn expected(&self, route: usize, probabilities: &PerClass, value: f64) -> f64 {
        self.routes[route].1 + value * dot(&self.lost[route], probabilities)
    }

    /// Expected loss in cents when nobody looks.
    pub(super) fn unattended(&self, probabilities: &PerClass, value: f64) -> f64 {
        self.expected(self.unattended, probabilities, value)
    }

    /// The cheapest route if the class were known.
    fn with_certainty(&self, class: usize, value: f64) -> f64 {
        let costs = (0..self.routes.len()).map(|route| self.routes[route].1 + value * self.lost[route][class]);
        costs.fold(f64::INFINITY, f64::min)
    }

    /// Chooses among the routes; of equal ones the first in the parameters.
    pub(super) fn choose(&self, probabilities: &PerClass, classes: usize, value: Value) -> Route {
        let expected = |route: usize| self.expected(route, probabilities, value.cents);
        // Parameters without a route are refused, so there is always one to begin with.
        let (best, least) = (1..self.routes.len())
            .map(|route| (route, expected(route)))
            .fold((0, expected(0)), |best, one| if one.1 < best.1 { one } else { best });
        let certain: f64 =
            (0..classes).map(|class| probabilities[class] * self.with_certainty(class, value.cents)).sum();
        Route {
            to: self.routes[best].0.clone(),
            expected_cost: value.money(least),
            cost_of_being_wrong: value.money((least - certain).max(0.0)),
            alternatives: Vec::new(),
        }
    }

    /// Every choice, the cheapest first.
    pub(super) fn alternatives(&self, probabilities: &PerClass, value: Value) -> Vec<Alternative> {
        let expected_cost_minor = |route: usize| value.minor(self.expected(route, probabilities, value.cents));
        let mut alternatives: Vec<Alternative> = self
            .routes
            .iter()
            .enumerate()
            .map(|(route, (name, _))| Alternative { to: name.clone(), expected_cost_minor: expected_cost_minor(route) })
            .collect();
        alternatives.sort_by(|a, b| a.expected_cost_minor.total_cmp(&b.expected_cost_minor));
        alternatives
    }

    /// Cost in cents of sending a case of a known class to a route, beyond that of the best route for it.
    pub(super) fn regret(&self, route: &str, class: usize, value: f64) -> f64 {
        let taken = self.routes.iter().position(|(name, _)| name == route).unwrap_or(self.unattended);
        self.routes[taken].1 + value * self.lost[taken][class] - self.with_certainty(class, value)
    }
}

fn dot(a: &PerClass, b: &PerClass) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
