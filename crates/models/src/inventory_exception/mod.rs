//! Inventory exception: the likely cause of a count variance, what it costs, and who should look; or no cause named.
//!
//! A request is read into observations (`evidence`); a table of weights turns them into probabilities of causes
//! (`table`); a cost matrix chooses the route (`routing`). The weights have three ages: set by hand in the shipped
//! parameters, fitted to a file of resolved cases (`fit`), moved by each resolved case after that (`learned`).

mod backtest;
mod evidence;
mod explain;
mod fit;
mod learned;
mod limits;
mod parameters;
mod routing;
mod table;
mod types;

use contracts::{Digest, FieldError};
use jiff::{Span, Timestamp};

use self::{
    evidence::{ARTICLE, Observed, RESOLVED, VARIANCE},
    routing::{Costs, Value},
    table::{PerClass, Table, softmax},
};
pub use self::{
    learned::{LearnError, Learned, Shift},
    parameters::{Abstain, Class, Fitting, Learning, Parameters, RouteCost, Stake},
    types::{
        Adjustment, Alternative, Answer, Assessment, ClassProbability, Count, Evidence, Facts, Handling, Item, Moves,
        Neighbours, Options, Outcome, Receipts, Request, Route, Sales,
    },
};
use crate::{Case, FitError, Judge, Missing, ModelRef, ParameterError, Score, judge, metrics::Figures};

/// The model: parameters, and what resolved cases have taught beside them.
#[derive(Clone, Debug)]
pub struct Model {
    parameters: Parameters,
    reference: ModelRef,
    costs: Costs,
    learned: Learned,
    /// The parameters' weights, moved by what was learnt.
    table: Table,
}

/// A request as read: the variance, what was observed, what is at stake.
struct Reading<'a> {
    facts: &'a Facts,
    variance: f64,
    observed: Observed,
    value: Value,
}

impl Model {
    /// Learns from a resolved case. The answer to the same facts moves towards what was observed.
    ///
    /// # Errors
    /// When the request cannot be judged, or the class is none of the model's.
    pub fn learn(&mut self, request: &Request, outcome: &Outcome) -> Result<(), LearnError> {
        let errors = request.violations();
        if !errors.is_empty() {
            return Err(LearnError::Refused(errors));
        }
        let reading = self.read(request).map_err(LearnError::Insufficient)?;
        let classes = self.parameters.classes.iter().map(|class| &class.name);
        let Some(truth) = classes.clone().position(|name| *name == outcome.class) else {
            let known = classes.cloned().collect();
            return Err(LearnError::UnknownClass { class: outcome.class.clone(), known });
        };
        let probabilities = self.probabilities(&reading, u16::MAX);
        let (observed, learning) = (&reading.observed, &self.parameters.learning);
        let probabilities = &probabilities[..self.table.classes];
        let moves = self.learned.observe(reading.facts, observed, probabilities, truth, learning);
        let mut moves = moves.iter();
        moves.next().into_iter().for_each(|step| table::add(&mut self.table.prior, step));
        observed.rows().zip(moves).for_each(|(row, step)| table::add(&mut self.table.rows[row], step));
        Ok(())
    }

    /// What was learnt so far, to be stored beside the parameters.
    #[must_use]
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// The model with what was learnt before.
    ///
    /// # Errors
    /// When the state was learnt beside other parameters or is damaged.
    pub fn with_learned(mut self, learned: Learned) -> Result<Self, LearnError> {
        learned.check(&self.reference.parameters, self.parameters.classes.len())?;
        self.table = Table::of(&self.parameters);
        learned.apply(&mut self.table);
        self.learned = learned;
        Ok(self)
    }

    /// # Errors
    /// What is missing to know the variance.
    fn read<'a>(&self, request: &'a Request) -> Result<Reading<'a>, Vec<Missing>> {
        let facts = &request.facts;
        let variance = variance(&facts.count)?;
        let value = Value::of(facts, variance, &self.parameters);
        Ok(Reading { facts, variance, observed: Observed::read(facts, variance), value })
    }

    /// Probabilities from the groups of facts in `present` (a bit each) alone.
    fn probabilities(&self, reading: &Reading<'_>, present: u16) -> PerClass {
        let mut log_odds = self.table.log_odds(reading.observed.among(present));
        if present & RESOLVED != 0 {
            self.learned.add_particular(reading.facts, &mut log_odds);
        }
        softmax(&log_odds, self.table.classes)
    }

    /// Urgency in 0 to 1: `1 - e^(-L / scale)` for the loss `L` expected when nobody looks.
    fn urgency(&self, reading: &Reading<'_>, present: u16, probabilities: &PerClass) -> f64 {
        let cents = match present & (VARIANCE | ARTICLE) {
            0 | ARTICLE => 0.0,
            VARIANCE => reading.variance.abs() * self.parameters.stake.typical_unit,
            _ => reading.value.cents,
        };
        -(-self.costs.unattended(probabilities, cents) / self.parameters.stake.scale).exp_m1()
    }

    fn assess(&self, request: &Request, reading: &Reading<'_>) -> Result<Assessment, serde_json::Error> {
        let (parameters, facts) = (&self.parameters, reading.facts);
        let probabilities = self.probabilities(reading, u16::MAX);
        let score = Score::of(self.urgency(reading, u16::MAX, &probabilities));
        let mut classes: Vec<ClassProbability> = parameters
            .classes
            .iter()
            .zip(probabilities)
            .map(|(class, probability)| ClassProbability {
                class: class.name.clone(),
                probability,
                evidence: Vec::new(),
            })
            .collect();
        let mut contributions = Vec::new();
        let mut counterfactuals = Vec::new();
        let band = parameters.stake.bands.band(score);
        let mut route = self.costs.choose(&probabilities, self.table.classes, reading.value);
        if request.options.explain {
            route.alternatives = self.costs.alternatives(&probabilities, reading.value);
            explain::evidence(self, reading, &probabilities, &mut classes);
            contributions = explain::contributions(self, reading, score);
            counterfactuals = explain::counterfactuals(self, request, reading, band);
        }
        classes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        let likely = classes.first().filter(|class| class.probability >= parameters.abstain.least_probability);
        Ok(Assessment {
            product: facts.product.clone(),
            location: facts.location.clone(),
            score,
            band,
            variance: reading.variance,
            likely: likely.map(|class| class.class.clone()),
            abstained: likely.is_none(),
            route,
            expected_loss: reading.value.money(self.costs.unattended(&probabilities, reading.value.cents)),
            classes,
            contributions,
            counterfactuals,
            learned_cases: self.learned.cases,
            model: self.reference.clone(),
            input_hash: Digest::of_bytes(&serde_json::to_vec(request)?),
            valid_until: facts.as_of.checked_add(Span::new().hours(parameters.valid_hours)).unwrap_or(Timestamp::MAX),
        })
    }
}

impl Judge for Model {
    const NAME: &'static str = "inventory-exception";
    type Request = Request;
    type Answer = Answer;
    type Outcome = Outcome;
    type Parameters = Parameters;
    const STANDARD: &'static str = include_str!("../../parameters/inventory-exception.v1.json");

    fn new(parameters: Parameters) -> Result<Self, ParameterError> {
        parameters.check()?;
        let reference = judge::reference::<Self>(&parameters.version, &parameters)?;
        Ok(Self {
            costs: Costs::of(&parameters),
            learned: Learned::none(reference.parameters.clone()),
            table: Table::of(&parameters),
            reference,
            parameters,
        })
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn reference(&self) -> &ModelRef {
        &self.reference
    }

    fn judge(&self, request: &Request) -> Result<Answer, Vec<FieldError>> {
        let errors = request.violations();
        if !errors.is_empty() {
            return Err(errors);
        }
        match self.read(request) {
            Ok(reading) => self
                .assess(request, &reading)
                .map(|assessment| Answer::Scored(Box::new(assessment)))
                // A request that passed its checks but has no JSON form holds a number that is not finite.
                .map_err(judge::unhashable),
            Err(missing) => Ok(Answer::InsufficientData {
                product: request.facts.product.clone(),
                location: request.facts.location.clone(),
                missing,
            }),
        }
    }

    fn backtest(&self, cases: &[Case<Request, Outcome>]) -> Figures {
        backtest::figures(self, cases)
    }

    fn fit(
        start: &Parameters,
        version: &str,
        cases: &[Case<Request, Outcome>],
        progress: &mut dyn FnMut(f64),
    ) -> Result<Parameters, FitError> {
        fit::fit(start, version, cases, progress)
    }
}

/// The variance as told, or as the two counts make it.
fn variance(count: &Count) -> Result<f64, Vec<Missing>> {
    let told = count.variance.or_else(|| Some(count.counted? - count.system?));
    told.ok_or_else(|| {
        let detail = "needs the variance, or both system and counted".to_owned();
        vec![Missing { pointer: "/facts/count/variance".to_owned(), detail }]
    })
}
