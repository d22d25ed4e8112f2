//! From the body of a request to a case that has been judged.

use contracts::{Action, Digest, Facts, FieldError, Money, PersonId};
use governance::{
    Route, Rulebook,
    drift::{self, Bound},
    policy::{Edited, Input},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::reask::AsksAgain;

const MAX_TITLE: usize = 200;
/// Long enough for any document number, short enough for an index.
const MAX_REFERENCE: usize = 128;
const MAX_URL: usize = 2048;
/// As long as names in a policy.
const MAX_UNIT: usize = 100;
/// Longest free text that is kept: comment, counterfactual, reason.
pub(crate) const MAX_TEXT: usize = 2000;
const MAX_CONTRIBUTIONS: usize = 50;
const MAX_RELATED: usize = 20;
const MAX_WATCHERS: usize = 50;
/// A score of one, in the millionths in which scores travel.
pub(crate) const ONE: u32 = 1_000_000;

/// A change that needs an answer, and everything that people will look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApproval {
    /// One line for people.
    #[schema(min_length = 1, max_length = 200, example = "24 x Coffee 500 g from store-7 to store-1")]
    pub title: String,
    pub action: Action,
    /// As supply sealed them; for a transfer, those of the receiver.
    pub facts: Facts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Scored>,
    /// The caller's own word for the part of the business it is for; its overlay judges, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, example = "pharmacy")]
    pub business_unit: Option<String>,
    /// Of the exception behind the request, 1 (look when you can) to 4 (now).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4)]
    pub severity: Option<u8>,
    /// For whom the caller asks. An assertion: it takes this person out of the approvers and gives nobody a right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<PersonId>,
    /// Unique business reference: a repeat with another key returns the first request, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub reference: Option<String>,
    /// Ids or references of earlier requests of the same business, as the purchase of what is now written off. Nobody
    /// asks for one document of such a chain and approves another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 20)]
    pub related: Vec<String>,
    /// Id of the caller's approved request whose facts have drifted, for the same action: people are shown what changed
    /// since, and its grant is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    pub asks_again: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// When the business needs the answer (truck cut-off, projected stock-out): nobody is asked beyond it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide_by: Option<Timestamp>,
    /// What an hour of waiting costs, in any currency that the policy states a rate for: an inbox begins with what loses
    /// most. Without it, or without a rate, the deadline alone counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_of_waiting_per_hour: Option<Money>,
    /// People who may look at it and are told of the end. It gives nobody a right to decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 50)]
    pub watchers: Vec<PersonId>,
}

/// Where the decision is delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Callback {
    /// Must begin with an entry of `outgoing.callback_allow`; the resume URL of an n8n Wait node fits.
    #[schema(max_length = 2048, example = "https://n8n.example/webhook-waiting/42?signature=ab12")]
    pub url: String,
}

/// What a model said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Scored {
    /// Millionths.
    #[schema(maximum = 1_000_000)]
    pub micros: u32,
    #[schema(example = "high")]
    pub band: String,
    #[schema(example = "replenishment-priority@1")]
    pub model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 50)]
    pub contributions: Vec<Contribution>,
    /// What would have to be different for another band.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000)]
    pub counterfactual: Option<String>,
}

/// How much one input moved the score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    #[schema(example = "stock-out probability")]
    pub name: String,
    /// Millionths of the score, up or down.
    pub micros: i64,
}

/// What was asked and by what it was judged: the decision is about exactly this. Only an edit replaces it, and what was
/// replaced is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) title: String,
    pub(crate) action: Action,
    pub(crate) facts: Facts,
    pub(crate) facts_hash: Digest,
    pub(crate) score: Option<Scored>,
    /// What the policy judged by.
    pub(crate) input: Input,
    pub(crate) route: Route,
    /// The facts that a grant will rest on, taken down now.
    pub(crate) bounds: Vec<Bound>,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) cost_of_waiting_per_hour: Option<Money>,
    /// The same in the currency of the policy, by its rates of then; absent without a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cost_compared: Option<Money>,
    /// What was approved before and no longer stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asks_again: Option<AsksAgain>,
}

impl Case {
    /// What differs from an earlier form of the same request.
    pub(crate) fn changed_since(&self, before: &Self) -> Vec<Edited> {
        let parties = |action: &Action| {
            let mut action = serde_json::to_value(action).unwrap_or_default();
            action.as_object_mut().map(|fields| fields.remove("quantity"));
            action
        };
        // Another unit may have other rules.
        let unit = |case: &Self| case.input.business_unit.clone();
        let timing = |case: &Self| (case.deadline, case.cost_of_waiting_per_hour);
        let quantity = |case: &Self| case.action.quantity().to_bits();
        let parts = [
            (Edited::Quantity, quantity(self) != quantity(before)),
            (Edited::Parties, parties(&self.action) != parties(&before.action) || unit(self) != unit(before)),
            (Edited::Facts, self.facts_hash != before.facts_hash),
            (Edited::Score, self.score != before.score || self.input.severity != before.input.severity),
            (Edited::Title, self.title != before.title),
            (Edited::Timing, timing(self) != timing(before)),
        ];
        parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect()
    }

    /// Under an earlier route, whose facts a grant will rest on as they are now.
    ///
    /// # Errors
    /// When the route's tolerances do not fit the action.
    pub(crate) fn under(self, route: Route) -> Result<Self, Vec<FieldError>> {
        let bounds = bounds(&self.facts, &self.action, &route)?;
        Ok(Self { route, bounds, ..self })
    }
}

fn bounds(facts: &Facts, action: &Action, route: &Route) -> Result<Vec<Bound>, Vec<FieldError>> {
    let facts = serde_json::to_value(facts).unwrap_or_default();
    drift::bind(&facts, action, &route.tolerances)
        .map_err(|error| vec![FieldError::new("/action", format!("the policy cannot bind it: {error}"))])
}

impl NewApproval {
    /// The fields that make it this request and no other. Not the callback: a retried workflow brings a new one. Not
    /// the facts: a workflow that runs again reads them again, and must meet the request that people already look at.
    pub(crate) fn fingerprint(&self) -> impl Serialize + Sync + '_ {
        (&self.action, &self.on_behalf_of, &self.reference)
    }

    /// Judges it by the policy in force.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its pointer.
    pub(crate) fn judge(&self, book: &Rulebook) -> Result<Case, Vec<FieldError>> {
        let mut errors = self.violations();
        let facts_hash = match (&self.facts.hash, self.facts.digest()) {
            (Some(sent), Ok(found)) if *sent == found => Some(found),
            (None, _) => refuse(&mut errors, "/facts/hash", "is missing: send the facts as supply sealed them"),
            _ => refuse(&mut errors, "/facts/hash", "does not match: the facts were changed after supply sealed them"),
        };
        let input = Input::of(&self.action, &self.facts)
            .map_err(|error| FieldError::new(format!("/action{}", error.pointer), error.to_string()));
        let input = input.map_or_else(
            |error| {
                errors.push(error);
                None
            },
            Some,
        );
        let (Some(facts_hash), Some(mut input), true) = (facts_hash, input, errors.is_empty()) else {
            return Err(errors);
        };
        if let Some(score) = &self.score {
            (input.score, input.band) = (Some(score.micros), Some(score.band.clone()));
        }
        (input.severity, input.business_unit) = (self.severity, self.business_unit.clone());
        let route = book.route(&input);
        let bounds = bounds(&self.facts, &self.action, &route)?;
        Ok(Case {
            title: self.title.trim().to_owned(),
            action: self.action.clone(),
            facts: self.facts.clone(),
            facts_hash,
            score: self.score.clone(),
            input,
            route,
            bounds,
            deadline: self.decide_by,
            cost_of_waiting_per_hour: self.cost_of_waiting_per_hour,
            cost_compared: self.cost_of_waiting_per_hour.and_then(|cost| book.base().money.as_ref()?.convert(cost)),
            asks_again: None,
        })
    }

    fn violations(&self) -> Vec<FieldError> {
        let mut found = self.facts.violations("/facts");
        let mut text = |pointer: &str, text: Option<&String>, most: usize| {
            if text.is_some_and(|text| text.trim().is_empty() || text.chars().count() > most) {
                found.push(FieldError::new(pointer, format!("must have 1 to {most} characters")));
            }
        };
        let score = self.score.as_ref();
        text("/title", Some(&self.title), MAX_TITLE);
        text("/reference", self.reference.as_ref(), MAX_REFERENCE);
        text("/business_unit", self.business_unit.as_ref(), MAX_UNIT);
        text("/callback/url", self.callback.as_ref().map(|callback| &callback.url), MAX_URL);
        text("/score/band", score.map(|score| &score.band), MAX_REFERENCE);
        text("/score/model", score.map(|score| &score.model), MAX_REFERENCE);
        text("/score/counterfactual", score.and_then(|score| score.counterfactual.as_ref()), MAX_TEXT);
        for (i, part) in score.iter().flat_map(|score| &score.contributions).enumerate() {
            text(&format!("/score/contributions/{i}/name"), Some(&part.name), MAX_REFERENCE);
        }
        let mut rule = |broken: bool, pointer: &str, detail: &str| {
            if broken {
                found.push(FieldError::new(pointer, detail));
            }
        };
        rule(self.related.len() > MAX_RELATED, "/related", "must have at most 20 items");
        let quantity = self.action.quantity();
        rule(!(quantity.is_finite() && quantity > 0.0), "/action/quantity", "must be above 0");
        let nowhere = matches!(&self.action, Action::Transfer { from, to, .. } if from == to);
        rule(nowhere, "/action/to", "must differ from the place it comes from");
        rule(score.is_some_and(|score| score.micros > ONE), "/score/micros", "must be at most 1000000");
        rule(self.watchers.len() > MAX_WATCHERS, "/watchers", "must have at most 50 items");
        let severity = self.severity.is_some_and(|severity| !(1..=4).contains(&severity));
        rule(severity, "/severity", "must be 1 to 4");
        let parts = score.map_or(0, |score| score.contributions.len());
        rule(parts > MAX_CONTRIBUTIONS, "/score/contributions", "must have at most 50 items");
        let cost = self.cost_of_waiting_per_hour;
        rule(cost.is_some_and(|cost| cost.minor < 0), "/cost_of_waiting_per_hour/minor", "must not be negative");
        found
    }
}

fn refuse<T>(errors: &mut Vec<FieldError>, pointer: &str, detail: &str) -> Option<T> {
    errors.push(FieldError::new(pointer, detail));
    None
}
