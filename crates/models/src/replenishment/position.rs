//! Stock by date against demand by date: the risk that stock runs out, and what is lost when it does.

use contracts::Facts;

use super::{
    demand::{Demand, days_between},
    lead_time::LeadTimes,
};
use crate::counts::{Beyond, Counts, quantiles};

/// A receipt past its due date is counted on for tomorrow: it is under way, but not here.
const OVERDUE_DAYS: f64 = 1.0;

/// Units that arrive so many days ahead, before that day's demand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Receipt {
    pub(super) days: f64,
    pub(super) units: f64,
}

/// Receipts under way, soonest first.
pub(super) fn receipts(facts: &Facts, demand: &Demand) -> Vec<Receipt> {
    let mut receipts: Vec<_> = facts
        .incoming
        .iter()
        .map(|order| {
            let days = days_between(demand.today, order.due);
            // Day counts between civil dates are far below 2^52.
            Receipt { days: if days < 0 { OVERDUE_DAYS } else { days as f64 }, units: order.quantity }
        })
        .collect();
    receipts.sort_by(|a, b| a.days.total_cmp(&b.days));
    receipts
}

/// One possible lead time: its probability, when an order placed now arrives, and how long that order must last.
#[derive(Clone, Copy, Debug)]
struct Course {
    probability: f64,
    arrives: f64,
    ends: f64,
    demand: Counts,
}

/// The time that stock must last: lead time and review period, with the demand in it.
pub(super) struct RiskPeriod<'a> {
    demand: &'a Demand,
    courses: [Course; LeadTimes::MOST],
    length: usize,
}

/// What lies ahead if nothing else happens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Outlook {
    pub(super) probability: f64,
    pub(super) units_lost: f64,
}

/// Stock on its way through the risk period, and the worst that was met so far.
#[derive(Clone, Copy)]
struct Walk {
    stock: f64,
    worst: Beyond,
}

impl Walk {
    /// Running out by several dates overlaps almost wholly, because demand adds up; the largest of the
    /// probabilities (and losses) stands for their union, from below.
    fn check(&mut self, demand: Counts) {
        let beyond = demand.beyond(self.stock);
        self.worst.probability = self.worst.probability.max(beyond.probability);
        self.worst.excess = self.worst.excess.max(beyond.excess);
    }

    fn receive(&mut self, receipt: Receipt, demand: &Demand) {
        self.check(demand.over(receipt.days));
        self.stock += receipt.units;
    }
}

impl<'a> RiskPeriod<'a> {
    pub(super) fn new(demand: &'a Demand, lead_times: &LeadTimes, review_days: f64) -> Self {
        let points = lead_times.points();
        let courses = std::array::from_fn(|i| {
            let (probability, arrives) = points.get(i).copied().unwrap_or_default();
            let ends = arrives + review_days;
            let counts = if i < points.len() { demand.over(ends) } else { Counts::poisson(0.0) };
            Course { probability, arrives, ends, demand: counts }
        });
        Self { demand, courses, length: points.len() }
    }

    fn courses(&self) -> &[Course] {
        &self.courses[..self.length]
    }

    /// Stock-out probability and expected units lost, starting from `available`, when `order` more units arrive with
    /// the lead time. Averaged over the possible lead times.
    pub(super) fn outlook(&self, available: f64, receipts: &[Receipt], order: f64) -> Outlook {
        let mut outlook = Outlook::default();
        let mut walk = Walk { stock: available, worst: Beyond::default() };
        let mut next = 0;
        // Courses are sorted by arrival, so what comes in before one comes in before the next as well.
        for course in self.courses() {
            while let Some(receipt) = receipts.get(next).filter(|receipt| receipt.days <= course.arrives) {
                walk.receive(*receipt, self.demand);
                next += 1;
            }
            let mut rest = walk;
            if order > 0.0 {
                rest.receive(Receipt { days: course.arrives, units: order }, self.demand);
            }
            for receipt in receipts[next..].iter().take_while(|receipt| receipt.days <= course.ends) {
                rest.receive(*receipt, self.demand);
            }
            rest.check(course.demand);
            outlook.probability += course.probability * rest.worst.probability;
            outlook.units_lost += course.probability * rest.worst.excess;
        }
        outlook
    }

    /// Expected length in days.
    pub(super) fn days(&self) -> f64 {
        self.courses().iter().map(|course| course.probability * course.ends).sum()
    }

    /// Expected arrival of an order placed now, in days.
    pub(super) fn arrives(&self) -> f64 {
        self.courses().iter().map(|course| course.probability * course.arrives).sum()
    }

    /// Expected demand in units.
    pub(super) fn mean(&self) -> f64 {
        self.courses().iter().map(|course| course.probability * course.demand.mean()).sum()
    }

    /// Quantiles of the demand, over uncertain demand and uncertain lead time, at increasing probabilities.
    pub(super) fn quantiles<const N: usize>(&self, probabilities: [f64; N]) -> [f64; N] {
        let mut mixture = [(0.0, Counts::poisson(0.0)); LeadTimes::MOST];
        for (part, course) in mixture.iter_mut().zip(self.courses()) {
            *part = (course.probability, course.demand);
        }
        quantiles(&mixture[..self.length], probabilities)
    }

    /// Units of `receipts` that arrive within the expected risk period.
    pub(super) fn due(&self, receipts: &[Receipt]) -> f64 {
        let days = self.days();
        receipts.iter().filter(|receipt| receipt.days <= days).map(|receipt| receipt.units).sum()
    }
}
