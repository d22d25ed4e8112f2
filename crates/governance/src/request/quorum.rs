//! What counts: which approvals, towards which step, and whether they are enough.

use std::collections::BTreeSet;

use contracts::PersonId;

use super::{Decision, State, Verdict, Waiting};
use crate::{
    Directory,
    policy::{AtTimeout, Step, Who},
};

impl State {
    /// What was said and still counts.
    pub(super) fn words(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| decision.superseded_at.is_none())
    }

    pub(super) fn approvals(&self) -> impl Iterator<Item = &Decision> {
        self.words().filter(|decision| decision.verdict == Verdict::Approve)
    }

    /// What this person said at the step, or somebody said there on their authority.
    pub(super) fn word_of(&self, person: &PersonId, step: u32) -> Option<&Decision> {
        self.words().find(|decision| decision.step == step && decision.involves(person))
    }

    /// Whether the quorum of the step has approved, and everybody who was added to it.
    #[must_use]
    pub fn passed(&self, step: u32) -> bool {
        let Some(quorum) = self.step(step).map(|step| step.quorum as usize) else { return false };
        let added = |person: &PersonId| self.approvals().any(|said| said.step == step && said.involves(person));
        self.counted(step) >= quorum
            && self.added.iter().filter(|added| added.step == step).all(|one| added(&one.person))
    }

    /// How many approvals count towards the quorum of the step.
    #[must_use]
    pub fn counted(&self, step: u32) -> usize {
        let here = self.approvals().filter(|said| said.step == step && !said.ad_hoc);
        match self.step(step) {
            Some(one) if one.distinct_roles => different(here.map(|said| said.stands_for.as_slice())),
            _ => here.count(),
        }
    }

    /// Whether one more approval for these groups would count.
    pub(super) fn would_count(&self, step: u32, stands_for: &[u32]) -> bool {
        let here = self.approvals().filter(|said| said.step == step && !said.ad_hoc);
        different(here.map(|said| said.stands_for.as_slice()).chain([stands_for])) > self.counted(step)
    }

    /// The largest count that the step can come to with the people of this moment and what was said already.
    pub(super) fn reachable(&self, waiting: &Waiting, directory: &Directory) -> usize {
        let Some(step) = self.step(waiting.step) else { return 0 };
        let said = || self.approvals().filter(|said| said.step == waiting.step && !said.ad_hoc);
        let silent = |person: &&PersonId| !said().any(|said| said.involves(person));
        let eligible = self.eligible(waiting, directory);
        // One standing is one approval, however many may act in it.
        let root = |person: &PersonId| self.root_of(person, waiting, directory).unwrap_or_else(|| person.clone());
        let roots: BTreeSet<PersonId> = eligible.iter().filter(silent).map(root).collect();
        let groups: Vec<Vec<u32>> = roots.iter().map(|root| self.groups_of(root, waiting, directory)).collect();
        let others = groups.iter().filter(|groups| !groups.is_empty());
        let hands = eligible.iter().filter(silent).count();
        if step.distinct_roles {
            let all = different(said().map(|said| said.stands_for.as_slice()).chain(others.map(Vec::as_slice)));
            return all.min(said().count() + hands);
        }
        said().count() + others.count().min(hands)
    }

    /// The groups that the step asks now.
    pub(super) fn groups<'a>(&self, step: &'a Step, escalated: bool) -> impl Iterator<Item = &'a Who> {
        let further = match &step.at_timeout {
            AtTimeout::Escalate(escalation) if escalated => escalation.to.alternatives(),
            _ => &[],
        };
        step.ask.alternatives().iter().chain(further)
    }

    /// The steps that open next: those of the first group that has not passed. Empty when all have.
    pub(super) fn next_group(&self) -> Vec<u32> {
        let mut group: Vec<u32> = Vec::new();
        for (index, step) in (0_u32..).zip(&self.steps) {
            if !step.with_previous && !group.is_empty() {
                break;
            }
            if !self.passed(index) {
                group.push(index);
            }
        }
        group
    }
}

/// How many different groups the approvals can stand for, each for one: the size of a maximum matching (augmenting
/// paths, Kuhn 1955). An approval that does not enlarge it now never will, because matchings form a matroid.
fn different<'a>(approvals: impl Iterator<Item = &'a [u32]>) -> usize {
    let approvals: Vec<&[u32]> = approvals.collect();
    let mut holder: Vec<Option<usize>> = Vec::new();
    let mut count = 0;
    for at in 0..approvals.len() {
        let mut tried = Vec::new();
        count += usize::from(seat(at, &approvals, &mut holder, &mut tried));
    }
    count
}

fn seat(at: usize, approvals: &[&[u32]], holder: &mut Vec<Option<usize>>, tried: &mut Vec<u32>) -> bool {
    for group in approvals[at] {
        if tried.contains(group) {
            continue;
        }
        tried.push(*group);
        let place = *group as usize;
        if holder.len() <= place {
            holder.resize(place + 1, None);
        }
        if holder[place].is_none_or(|other| seat(other, approvals, holder, tried)) {
            holder[place] = Some(at);
            return true;
        }
    }
    false
}
