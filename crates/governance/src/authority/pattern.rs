//! What no single request shows: patterns over several, each with its evidence. Nothing is refused for them; people who
//! audit are told.

use contracts::{LocationId, Money, PersonId, ProductId, SupplierId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Kind, Span};

/// Windows and thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PatternRules {
    /// How far apart the parts of a split purchase may lie.
    pub split_window: Span,
    /// "Just below": a part counts from this share of the limit on, in percent.
    #[schema(minimum = 1, maximum = 100)]
    pub split_part_percent: u8,
    /// How far apart two people's approvals of each other may lie.
    pub reciprocal_window: Span,
    /// Approvals in each direction from which on it counts as a pattern.
    #[schema(minimum = 1)]
    pub reciprocal_at_least: u32,
    /// How soon after an approval the same thing, asked again with other numbers, counts as an edit of it.
    pub edit_window: Span,
}

impl Default for PatternRules {
    fn default() -> Self {
        Self {
            split_window: Span::days(7),
            split_part_percent: 50,
            reciprocal_window: Span::days(30),
            reciprocal_at_least: 2,
            edit_window: Span::days(1),
        }
    }
}

impl PatternRules {
    /// The first threshold that makes no sense, and why.
    #[must_use]
    pub fn violation(&self) -> Option<(&'static str, &'static str)> {
        if !(1..=100).contains(&self.split_part_percent) {
            return Some(("split_part_percent", "is 1 to 100"));
        }
        (self.reciprocal_at_least == 0).then_some(("reciprocal_at_least", "is at least 1"))
    }

    /// The longest look back that requests need.
    #[must_use]
    pub fn longest(&self) -> Span {
        self.split_window.max(self.edit_window)
    }
}

/// What is suspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// Purchases that stay below a limit one by one and pass it together.
    SplitPurchase,
    /// Two people approve each other's requests.
    ReciprocalApprovals,
    /// Approved, then asked again with other numbers.
    ApproveThenEdit,
}

/// A pattern and what shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Suspicion {
    pub pattern: Pattern,
    pub evidence: Evidence,
}

/// Facts that an auditor can look up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SuspicionEvidence)]
pub struct Evidence {
    /// One sentence for people.
    pub summary: String,
    /// The requests that form the pattern, the newest last.
    pub approvals: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Money>,
}

/// A request, as far as patterns ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Past {
    pub id: String,
    /// The person behind it, by their id, or the key of the program: `person:mia`, `key:n8n`.
    pub requester: String,
    pub kind: Kind,
    pub product: ProductId,
    pub supplier: Option<SupplierId>,
    pub place: Option<LocationId>,
    pub quantity: f64,
    pub value: Option<Money>,
    pub at: Timestamp,
    pub approved_at: Option<Timestamp>,
}

/// One approval: who, of whose request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub approval: String,
    pub approver: PersonId,
    pub requester: PersonId,
    pub at: Timestamp,
}

/// What a new request looks like beside earlier ones of the same requester. `limits` are the highest amounts that still
/// pass a limit or a step of the policy, in any currency.
#[must_use]
pub fn suspicions(new: &Past, earlier: &[Past], limits: &[Money], rules: &PatternRules) -> Vec<Suspicion> {
    split(new, earlier, limits, rules).into_iter().chain(edited(new, earlier, rules)).collect()
}

fn within(span: Span, from: Timestamp, to: Timestamp) -> bool {
    from <= to && span.after(from) > to
}

/// The largest limit that the parts pass together.
fn split(new: &Past, earlier: &[Past], limits: &[Money], rules: &PatternRules) -> Option<Suspicion> {
    let value = new.value.filter(|_| new.kind == Kind::Purchase)?;
    // A person may spread over a supplier's articles; a program that orders many articles of one supplier does its work.
    let person = new.requester.starts_with("person:");
    let alike = |one: &&Past| {
        one.kind == Kind::Purchase
            && one.requester == new.requester
            && within(rules.split_window, one.at, new.at)
            && (one.product == new.product && (person || one.place == new.place)
                || person && one.supplier.is_some() && one.supplier == new.supplier)
    };
    let alike: Vec<_> = earlier.iter().filter(alike).collect();
    let found = limits.iter().filter(|limit| limit.currency == value.currency && limit.minor > 0);
    let found = found.filter_map(|limit| {
        let just_below = |value: Money| {
            let (amount, most) = (i128::from(value.minor), i128::from(limit.minor));
            value.currency == limit.currency
                && amount <= most
                && amount * 100 >= most * i128::from(rules.split_part_percent)
        };
        let part = |one: &&&Past| one.value.is_some_and(just_below);
        let parts: Vec<_> = alike.iter().filter(part).collect();
        let sum = parts.iter().filter_map(|one| one.value).try_fold(value, Money::checked_add)?;
        (just_below(value) && !parts.is_empty() && sum.minor > limit.minor).then_some((limit, parts, sum))
    });
    let (limit, parts, sum) = found.max_by_key(|(limit, ..)| limit.minor)?;
    let summary = format!(
        "{} purchases by {} within {} come to {sum}, each at or just below {limit}",
        parts.len() + 1,
        new.requester,
        rules.split_window
    );
    let approvals = parts.iter().map(|one| one.id.clone()).chain([new.id.clone()]).collect();
    let evidence = Evidence { summary, approvals, people: Vec::new(), sum: Some(sum), limit: Some(*limit) };
    Some(Suspicion { pattern: Pattern::SplitPurchase, evidence })
}

/// The same thing for the same place, approved a little while ago, with other numbers now.
fn edited(new: &Past, earlier: &[Past], rules: &PatternRules) -> Option<Suspicion> {
    // A program asks anew when stock has moved; a person who does has thought again after the answer.
    if !new.requester.starts_with("person:") {
        return None;
    }
    let same = |one: &&Past| {
        let approved = one.approved_at.is_some_and(|at| within(rules.edit_window, at, new.at));
        let thing = (&one.product, &one.supplier, &one.place) == (&new.product, &new.supplier, &new.place);
        approved && thing && one.requester == new.requester && one.kind == new.kind && one.quantity < new.quantity
    };
    let first = earlier.iter().filter(same).max_by_key(|one| one.approved_at)?;
    let summary = format!(
        "{} asks for {} of {}, where {} were approved within {}",
        new.requester, new.quantity, new.product, first.quantity, rules.edit_window
    );
    let approvals = vec![first.id.clone(), new.id.clone()];
    let evidence = Evidence { summary, approvals, people: Vec::new(), sum: new.value, limit: first.value };
    Some(Suspicion { pattern: Pattern::ApproveThenEdit, evidence })
}

impl PatternRules {
    /// What a new approval looks like beside earlier ones between the same two people, in either direction.
    #[must_use]
    pub fn reciprocal(&self, new: &Asked, earlier: &[Asked]) -> Option<Suspicion> {
        let near = |one: &&Asked| within(self.reciprocal_window, one.at, new.at);
        let there = earlier.iter().filter(near).filter(|one| {
            (&one.approver, &one.requester) == (&new.approver, &new.requester) && one.approval != new.approval
        });
        let back = earlier.iter().filter(near);
        let back = back.filter(|one| (&one.approver, &one.requester) == (&new.requester, &new.approver));
        let (there, back): (Vec<_>, Vec<_>) = (there.collect(), back.collect());
        let least = self.reciprocal_at_least as usize;
        if new.approver == new.requester || there.len() + 1 < least || back.len() < least {
            return None;
        }
        let (a, b) = (&new.approver, &new.requester);
        let summary = format!(
            "within {}, {a} approved {} requests of {b}, and {b} {} of {a}",
            self.reciprocal_window,
            there.len() + 1,
            back.len()
        );
        let mut found: Vec<_> = there.into_iter().chain(back).collect();
        found.sort_by_key(|one| one.at);
        let approvals = found.into_iter().map(|one| one.approval.clone()).chain([new.approval.clone()]).collect();
        let evidence = Evidence { summary, approvals, people: vec![a.clone(), b.clone()], sum: None, limit: None };
        Some(Suspicion { pattern: Pattern::ReciprocalApprovals, evidence })
    }

    /// A request that was edited after somebody had approved it.
    #[must_use]
    pub fn edited_after(&self, approval: &str, approvers: &[PersonId], changed: &[String]) -> Option<Suspicion> {
        if approvers.is_empty() || changed.is_empty() {
            return None;
        }
        let summary = format!("{} changed after {} had approved", changed.join(", "), names(approvers));
        let (approvals, people) = (vec![approval.to_owned()], approvers.to_vec());
        let evidence = Evidence { summary, approvals, people, sum: None, limit: None };
        Some(Suspicion { pattern: Pattern::ApproveThenEdit, evidence })
    }
}

fn names(people: &[PersonId]) -> String {
    people.iter().map(PersonId::as_str).collect::<Vec<_>>().join(" and ")
}
