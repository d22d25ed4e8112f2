//! What would have been different: recorded decisions replayed under a draft.
//!
//! People cannot be replayed, only routes can. So the hours that a draft would take are estimated: each approval that
//! it asks for counts with the median hours that the same people (a role, or persons by name) took in the decisions
//! that are replayed. An approval that nobody has ever been asked for has no history; it is named and counts no time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use contracts::{Money, PersonId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    check::can_be_filled,
    overlay::Rulebook,
    route::{Input, NO_ROW},
    step::{Step, Then},
};
use crate::{Directory, Site, request::End};

/// Most moves between rows, and most ids of each kind, in a report.
const SHOWN: usize = 20;

/// One decision of the past, as far as a replay needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    pub id: String,
    /// What the policy judged by.
    pub input: Input,
    /// Name of the row that judged, or [`NO_ROW`].
    pub row: String,
    pub outcome: Outcome,
    /// Who asked, and for whom: they may not approve.
    pub requesters: Vec<PersonId>,
    pub opened_at: Timestamp,
    pub ended_at: Timestamp,
    pub how: End,
}

/// What the policy of then did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Passed,
    Denied,
    Asked(Vec<Asked>),
}

/// One step of the past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Who was asked, in the words of [`super::Who`].
    pub who: String,
    pub quorum: u32,
    /// From the opening of the step to its end; absent when it was never opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

impl Outcome {
    /// The outcome of a row, before anybody was asked.
    #[must_use]
    pub fn of(then: &Then) -> Self {
        match then {
            Then::AutoApprove => Self::Passed,
            Then::Deny => Self::Denied,
            Then::Steps(steps) => Self::Asked(steps.iter().map(Asked::of).collect()),
        }
    }

    fn asks(&self) -> Vec<(&str, u32)> {
        match self {
            Self::Asked(asked) => asked.iter().map(|asked| (asked.who.as_str(), asked.quorum)).collect(),
            Self::Passed | Self::Denied => Vec::new(),
        }
    }

    /// Whether both do the same, however long it took.
    fn same(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.asks() == other.asks()
    }
}

impl Asked {
    fn of(step: &Step) -> Self {
        Self { who: step.ask.to_string(), quorum: step.quorum, seconds: None }
    }
}

/// What would have been different.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Simulation {
    /// Decisions that were replayed.
    pub replayed: u64,
    /// Decisions for which the draft does the same: passes, denies, or asks the same people.
    pub unchanged: u64,
    pub changed: u64,
    /// By who is asked: how many approvals there were to give, and how many the draft would ask for.
    pub approvals: BTreeMap<String, Approvals>,
    /// Hours from the opening of steps to their end, over all decisions.
    pub approver_hours: Hours,
    /// Median over the changed decisions; negative when the draft takes longer. Absent when nothing changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_hours_saved: Option<f64>,
    /// Asked by the draft and never asked before: no time is counted for them.
    pub without_history: BTreeSet<String>,
    /// People were asked, and the draft lets it pass.
    pub passing_unseen: Tally,
    /// Of these, what people refused or let expire.
    pub passing_though_refused: Tally,
    /// It passed by itself, and the draft asks people.
    pub newly_asked: Tally,
    /// It was not denied by the policy, and the draft denies it.
    pub newly_denied: Tally,
    /// The draft asks too few people who are not the requester and differ from each other, as far as the directory of
    /// now says; under the policy of then there were enough.
    pub duty_conflicts: Tally,
    /// From which row to which, the most frequent first; at most 20.
    pub moves: Vec<Move>,
}

/// Approvals of one role or of people by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Approvals {
    pub before: u64,
    pub after: u64,
    pub removed: u64,
    pub added: u64,
}

/// Before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ApproverHours)]
pub struct Hours {
    pub before: f64,
    /// Estimated from the medians of those who are asked.
    pub after: f64,
}

/// How many, and what they are worth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tally {
    pub count: u64,
    /// In the draft's currency where it has a rate, else in their own.
    pub value: Vec<Money>,
    /// How many of them have no known value.
    pub of_unknown_value: u64,
    /// Some of them, at most 20.
    #[schema(max_items = 20)]
    pub examples: Vec<String>,
}

/// Decisions that another row would judge otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Move {
    pub from_row: String,
    pub to_row: String,
    pub count: u64,
}

impl Tally {
    fn add(&mut self, id: &str, value: Option<Money>) {
        self.count += 1;
        if self.examples.len() < SHOWN {
            self.examples.push(id.to_owned());
        }
        let Some(value) = value else {
            self.of_unknown_value += 1;
            return;
        };
        match self.value.iter_mut().find(|sum| sum.currency == value.currency) {
            Some(sum) => sum.minor = sum.minor.saturating_add(value.minor),
            None => self.value.push(value),
        }
    }
}

/// Who is asked, by number: names repeat for every decision.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn number(&mut self, name: &str) -> usize {
        self.0.iter().position(|known| known == name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        })
    }
}

/// Replays decisions one after the other, in any order.
pub struct Simulator<'a> {
    draft: &'a Rulebook,
    directory: &'a Directory,
    report: Simulation,
    names: Names,
    /// Seconds that the approvals of each name took.
    took: Vec<Vec<u32>>,
    /// Seconds of a decision that changes, and whom the draft asks instead.
    changed: Vec<(u64, Vec<usize>)>,
    /// Approvals that stay as they are: they cost what they did.
    unchanged_seconds: u64,
    moves: HashMap<(String, String), u64>,
    filled: HashMap<Duty, bool>,
}

/// What decides whether the steps of a row find their people: they are the same for many decisions.
#[derive(PartialEq, Eq, Hash)]
struct Duty {
    row: String,
    unit: Option<String>,
    from: Site,
    to: Site,
    requesters: Vec<PersonId>,
}

impl<'a> Simulator<'a> {
    #[must_use]
    pub fn new(draft: &'a Rulebook, directory: &'a Directory) -> Self {
        Self {
            draft,
            directory,
            report: Simulation::default(),
            names: Names::default(),
            took: Vec::new(),
            changed: Vec::new(),
            unchanged_seconds: 0,
            moves: HashMap::new(),
            filled: HashMap::new(),
        }
    }

    /// Replays one.
    pub fn replay(&mut self, past: &Recorded) {
        let (row, seen) = self.draft.row_for(&past.input);
        let value = seen.value.or_else(|| past.input.value.filter(|value| value.minor >= 0));
        let (name, then) = row.map_or((NO_ROW, &Then::Deny), |row| (&row.name, &row.then));
        let outcome = Outcome::of(then);
        let seconds = self.remember(&past.outcome);
        self.count_approvals(&past.outcome, &outcome);
        self.report.replayed += 1;
        if past.outcome.same(&outcome) {
            self.report.unchanged += 1;
            self.unchanged_seconds += seconds;
            return;
        }
        self.report.changed += 1;
        *self.moves.entry((past.row.clone(), name.to_owned())).or_default() += 1;
        let asks = outcome.asks().into_iter().map(|(who, _)| self.names.number(who)).collect();
        self.changed.push((seconds, asks));
        let report = &mut self.report;
        match (&past.outcome, &outcome) {
            (Outcome::Asked(_), Outcome::Passed) => {
                report.passing_unseen.add(&past.id, value);
                if matches!(past.how, End::Denied | End::Expired | End::NobodyToAsk) {
                    report.passing_though_refused.add(&past.id, value);
                }
            }
            (Outcome::Passed, Outcome::Asked(_)) => report.newly_asked.add(&past.id, value),
            (_, Outcome::Denied) => report.newly_denied.add(&past.id, value),
            _ => {}
        }
        if let Then::Steps(steps) = then
            && past.how != End::NobodyToAsk
            && !self.finds_people(name, steps, past)
        {
            self.report.duty_conflicts.add(&past.id, value);
        }
    }

    /// Learns how long approvals take; answers how long all of these took.
    fn remember(&mut self, outcome: &Outcome) -> u64 {
        let Outcome::Asked(asked) = outcome else { return 0 };
        let mut total = 0;
        for (who, seconds) in asked.iter().filter_map(|asked| Some((&asked.who, asked.seconds?))) {
            let number = self.names.number(who);
            if self.took.len() <= number {
                self.took.resize_with(number + 1, Vec::new);
            }
            self.took[number].push(seconds);
            total += u64::from(seconds);
        }
        total
    }

    fn count_approvals(&mut self, before: &Outcome, after: &Outcome) {
        let mut difference: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        before.asks().into_iter().for_each(|(who, quorum)| difference.entry(who).or_default().0 += u64::from(quorum));
        after.asks().into_iter().for_each(|(who, quorum)| difference.entry(who).or_default().1 += u64::from(quorum));
        for (who, (before, after)) in difference {
            if !self.report.approvals.contains_key(who) {
                self.report.approvals.insert(who.to_owned(), Approvals::default());
            }
            if let Some(sum) = self.report.approvals.get_mut(who) {
                sum.before += before;
                sum.after += after;
                sum.removed += before.saturating_sub(after);
                sum.added += after.saturating_sub(before);
            }
        }
    }

    /// Whether there are enough different people besides who asked.
    fn finds_people(&mut self, row: &str, steps: &[Step], past: &Recorded) -> bool {
        let duty = Duty {
            row: row.to_owned(),
            unit: past.input.business_unit.clone(),
            from: past.input.from.clone(),
            to: past.input.to.clone(),
            requesters: past.requesters.clone(),
        };
        let directory = self.directory;
        *self.filled.entry(duty).or_insert_with(|| {
            let others = directory.people().iter().filter(|person| !past.requesters.contains(&person.id));
            let others = Directory::new(others.cloned().collect()).unwrap_or_default();
            can_be_filled(steps, &past.input.from, &past.input.to, &others)
        })
    }

    /// The report over all that was replayed.
    #[must_use]
    pub fn finish(self) -> Simulation {
        let mut report = self.report;
        let medians: Vec<Option<f64>> = self.took.into_iter().map(|took| median(&hours(&took))).collect();
        let expected = |number: &usize| medians.get(*number).copied().flatten();
        let before = |seconds: u64| hours_of(seconds);
        let mut saved = Vec::with_capacity(self.changed.len());
        let mut total = Hours { before: before(self.unchanged_seconds), after: before(self.unchanged_seconds) };
        for (seconds, asks) in &self.changed {
            let after: f64 = asks.iter().filter_map(expected).sum();
            let unknown = asks.iter().filter(|number| expected(number).is_none());
            report.without_history.extend(unknown.filter_map(|number| self.names.0.get(*number).cloned()));
            total.before += before(*seconds);
            total.after += after;
            saved.push(before(*seconds) - after);
        }
        report.approver_hours = total;
        report.median_hours_saved = median(&saved);
        let mut moves: Vec<Move> =
            self.moves.into_iter().map(|((from_row, to_row), count)| Move { from_row, to_row, count }).collect();
        moves.sort_by(|a, b| (b.count, &a.from_row, &a.to_row).cmp(&(a.count, &b.from_row, &b.to_row)));
        moves.truncate(SHOWN);
        report.moves = moves;
        report
    }
}

#[expect(clippy::cast_precision_loss, reason = "years of approvals are far below 2^53 seconds")]
fn hours_of(seconds: u64) -> f64 {
    seconds as f64 / 3600.0
}

fn hours(seconds: &[u32]) -> Vec<f64> {
    seconds.iter().map(|seconds| f64::from(*seconds) / 3600.0).collect()
}

/// The middle one, or the mean of the two in the middle.
fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle)?;
    if values.len() % 2 == 1 { Some(*upper) } else { Some(f64::midpoint(values[middle - 1], *upper)) }
}
