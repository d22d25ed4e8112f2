//! What a policy must pass before it is published.
//!
//! Rows are read from top to bottom, so a special case stands before the general one, and that order is no finding. What
//! is found are rows that cross: each takes some of what the other would. Where the earlier one passes without a person
//! what the later one would have refused or shown to somebody, the policy is refused until the earlier row says in
//! `shadows` that it means it; otherwise it is a warning. A timeout cannot approve: there is no way to write it.

use std::{collections::BTreeMap, fmt};

use contracts::{PersonId, RegionId, money::Currency};
use serde::{Deserialize, Serialize};

use super::{
    Input, NO_ROW,
    reach::{Overlap, reach},
    step::{AtTimeout, SiteOf, Step, Then, Who},
    table::{Case, Policy, Row},
};
use crate::{Directory, Kind, Site};

/// Gaps and overlaps shown at most; one mended row often closes many.
const SHOWN: usize = 20;

/// Whether a finding stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The policy is not published.
    Error,
    /// Worth a look; the policy may mean it.
    Warning,
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// An input that no row covers; it would be denied.
    Gap,
    /// Rows above take everything this row could match.
    Unreachable,
    /// Two rows with different outcomes match the same input, and neither is a special case of the other.
    Overlap,
    /// `shadows` names no later row.
    UnknownRow,
    /// A row passes requests of any value and does not say why.
    Uncapped,
    /// A condition is in another currency than the policy's.
    OtherCurrency,
    /// The table is too intertwined for the check of gaps, reach and overlaps.
    TooComplex,
    /// Nobody in the directory holds the role.
    NobodyHolds,
    /// The directory does not know the person.
    UnknownPerson,
    /// Wherever the stock moves, too few different people may decide.
    NeverSatisfied,
    /// One of the policy's own cases comes out differently.
    CaseFailed,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    pub level: Level,
    pub kind: FindingKind,
    /// The overlay that it is about; absent for the base policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// JSON pointer into the policy or overlay.
    #[schema(example = "/rows/2/then/steps/0/ask")]
    pub pointer: String,
    pub detail: String,
    /// An input that shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Input>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(overlay) = &self.overlay {
            write!(f, "overlay {overlay}: ")?;
        }
        write!(f, "{}: {}", self.pointer, self.detail)
    }
}

impl Finding {
    fn new(kind: FindingKind, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let (pointer, detail) = (pointer.into(), detail.into());
        Self { level: Level::Error, kind, overlay: None, row: None, pointer, detail, example: None }
    }

    fn of(row: &Row, kind: FindingKind, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { row: Some(row.name.to_string()), ..Self::new(kind, pointer, detail) }
    }

    /// A condition of an overlay that could never be compared with the values of the base.
    pub(super) fn other_currency(index: usize, row: &Row, base: Currency) -> Self {
        let detail = format!("conditions are in the currency of the base policy, {base:?}");
        Self::of(row, FindingKind::OtherCurrency, format!("/rows/{index}/when/value/currency"), detail)
    }

    #[must_use]
    pub fn is_error(&self) -> bool {
        self.level == Level::Error
    }
}

/// The rows that judge: those of a base policy, or of a base with an overlay, whose own rows are then looked at.
pub(super) struct Rows<'a> {
    pub(super) policy: &'a Policy,
    /// Of each row its index in the overlay; `None`, it belongs to the base, which is checked by itself.
    pub(super) own: Option<&'a [Option<usize>]>,
    /// The business unit that is judged; all when absent.
    pub(super) unit: Option<&'a String>,
}

impl Policy {
    /// Everything that would surprise its author: gaps, rows out of reach or across each other, roles nobody holds,
    /// steps nobody can satisfy, cases that fail. No error among it = fit to be published.
    #[must_use]
    pub fn check(&self, directory: &Directory) -> Vec<Finding> {
        let mut findings = Rows { policy: self, own: None, unit: None }.check(directory);
        let cases = self.cases.iter().enumerate();
        findings.extend(cases.filter_map(|(i, case)| self.check_case(i, case)));
        findings
    }

    pub(super) fn check_case(&self, index: usize, case: &Case) -> Option<Finding> {
        let (won, trace) = self.first_match(&self.see(&case.given));
        let row = won.map_or(NO_ROW, |row| &row.name);
        let asks: Vec<Who> = match won.map(|row| &row.then) {
            Some(Then::Steps(steps)) => steps.iter().map(|step| step.ask.clone()).collect(),
            _ => Vec::new(),
        };
        let detail = if row != case.expect.row {
            let expected = trace.iter().find(|tried| *tried.row == *case.expect.row);
            let because = expected.map(|tried| format!(", since {} does not hold", tried.failed)).unwrap_or_default();
            format!("case {:?} comes to row {row:?}, not {:?}{because}", case.name, case.expect.row)
        } else if case.expect.asks.as_ref().is_some_and(|expected| *expected != asks) {
            let asks = asks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", then ");
            format!("case {:?} asks {}", case.name, if asks.is_empty() { "nobody" } else { &asks })
        } else {
            return None;
        };
        let finding = Finding::new(FindingKind::CaseFailed, format!("/cases/{index}"), detail);
        Some(Finding { row: Some(row.to_owned()), ..finding })
    }
}

impl Rows<'_> {
    pub(super) fn check(&self, directory: &Directory) -> Vec<Finding> {
        let mut findings = self.check_reach();
        for (i, row) in self.policy.rows.iter().enumerate() {
            let Some(own) = self.own(i) else { continue };
            findings.extend(uncapped(own, row));
            findings.extend(self.unknown_shadows(i, own, row));
            if let Then::Steps(steps) = &row.then {
                let mut people = check_people(own, row, steps, directory);
                if people.is_empty() {
                    people.extend(check_satisfiable(own, row, steps, directory));
                }
                findings.append(&mut people);
            }
        }
        findings
    }

    /// Where the row stands in the document that is looked at.
    fn own(&self, index: usize) -> Option<usize> {
        match self.own {
            None => Some(index),
            Some(own) => own.get(index).copied().flatten(),
        }
    }

    fn check_reach(&self) -> Vec<Finding> {
        let Some(reach) = reach(self) else {
            let detail = "the conditions are too intertwined to check for gaps; use fewer different limits and names";
            return vec![Finding::new(FindingKind::TooComplex, "/rows", detail)];
        };
        let rows = &self.policy.rows;
        let unreachable = reach.unreachable.into_iter().filter_map(|i| {
            let detail = "no request gets here: the rows above match everything that this one would";
            Some(Finding::of(rows.get(i)?, FindingKind::Unreachable, format!("/rows/{}", self.own(i)?), detail))
        });
        let gaps = reach.gaps.into_iter().take(SHOWN).map(|example| {
            let detail = format!("no row matches {}", in_words(&example));
            Finding { example: Some(example), ..Finding::new(FindingKind::Gap, "/rows", detail) }
        });
        let overlaps = reach.overlaps.into_iter().filter_map(|overlap| self.overlap(overlap));
        unreachable.chain(gaps).chain(overlaps.take(SHOWN)).collect()
    }

    fn overlap(&self, overlap: Overlap) -> Option<Finding> {
        let own = self.own(overlap.earlier)?;
        let (earlier, later) = (self.policy.rows.get(overlap.earlier)?, self.policy.rows.get(overlap.later)?);
        let passes = earlier.then == Then::AutoApprove;
        let does = if passes { "passes, without a person," } else { "goes before" };
        let detail = format!(
            "{does} some of what row {:?} would judge otherwise, such as {}; narrow one of them, or name it in shadows",
            later.name.as_str(),
            in_words(&overlap.example)
        );
        let finding = Finding::of(earlier, FindingKind::Overlap, format!("/rows/{own}/when"), detail);
        let level = if passes { Level::Error } else { Level::Warning };
        Some(Finding { level, example: Some(overlap.example), ..finding })
    }

    fn unknown_shadows(&self, index: usize, own: usize, row: &Row) -> Vec<Finding> {
        let later = self.policy.rows.get(index + 1..).unwrap_or_default();
        let unknown =
            row.shadows.iter().enumerate().filter(|(_, name)| !later.iter().any(|other| other.name == **name));
        let finding = |(i, name)| {
            let detail = format!("no later row is called {:?}", str::to_owned(name));
            Finding::of(row, FindingKind::UnknownRow, format!("/rows/{own}/shadows/{i}"), detail)
        };
        unknown.map(|(i, name)| finding((i, name))).collect()
    }
}

fn uncapped(index: usize, row: &Row) -> Option<Finding> {
    let capped = row.when.value.is_some_and(|range| range.below.is_some()) || row.uncapped.is_some();
    (row.then == Then::AutoApprove && !capped).then(|| {
        let detail = "passes requests of any value without a person; give when/value/below, or say why in uncapped";
        Finding::of(row, FindingKind::Uncapped, format!("/rows/{index}/when/value"), detail)
    })
}

fn in_words(input: &Input) -> String {
    let region = |region: &Option<RegionId>| region.as_ref().map_or("an unknown region".into(), |id| format!("{id:?}"));
    let mut words = vec![match input.kind {
        Kind::Transfer => format!("a transfer from {} to {}", region(&input.from.region), region(&input.to.region)),
        Kind::Purchase => format!("a purchase in {}", region(&input.to.region)),
        Kind::WriteOff => format!("a write-off in {}", region(&input.from.region)),
        Kind::Substitution => format!("a substitution in {}", region(&input.to.region)),
    }];
    words.push(input.value.map_or("of unknown value".into(), |value| format!("worth {value}")));
    words.extend(input.from.location.as_ref().map(|id| format!("out of {id}")));
    words.extend(input.to.location.as_ref().map(|id| format!("into {id}")));
    words.extend(input.score.map(|score| format!("with score {}", f64::from(score) / 1e6)));
    words.extend(input.category.as_ref().map(|name| format!("in category {name:?}")));
    words.extend(input.band.as_ref().map(|name| format!("in band {name:?}")));
    words.extend(input.severity.map(|severity| format!("with severity {severity}")));
    words.extend(input.promotion.map(|on| if on { "on promotion".into() } else { "not on promotion".into() }));
    words.extend(input.business_unit.as_ref().map(|name| format!("for business unit {name:?}")));
    words.join(" ")
}

/// Everybody that a step may come to, with the place in the table.
fn asked(step: &Step) -> Vec<(String, &Who)> {
    let mut places = vec![("ask", &step.ask)];
    if let AtTimeout::Escalate(escalation) = &step.at_timeout {
        places.push(("at_timeout/escalate/to", &escalation.to));
    }
    let groups = places.into_iter().flat_map(|(place, who)| {
        let groups = who.alternatives().iter().enumerate();
        groups.map(move |(i, group)| match who {
            Who::AnyOf(_) => (format!("{place}/any_of/{i}"), group),
            _ => (place.to_owned(), group),
        })
    });
    groups.collect()
}

fn check_people(row_index: usize, row: &Row, steps: &[Step], directory: &Directory) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |kind, pointer: String, detail: String| findings.push(Finding::of(row, kind, pointer, detail));
    for (i, step) in steps.iter().enumerate() {
        for (place, who) in asked(step) {
            let pointer = format!("/rows/{row_index}/then/steps/{i}/{place}");
            match who {
                Who::Role(role) => {
                    if directory.holders(&role.role, None).next().is_none() {
                        add(FindingKind::NobodyHolds, pointer, format!("nobody holds the role {}", role.role));
                    }
                }
                Who::People(named) => {
                    for id in named.people.iter().filter(|id| directory.person(id).is_none()) {
                        let detail = format!("the directory knows no {id}");
                        add(FindingKind::UnknownPerson, pointer.clone(), detail);
                    }
                }
                // Groups hold roles and people only.
                Who::AnyOf(_) => {}
            }
        }
    }
    findings
}

/// Looks for one movement in which the steps can be filled with different people. Tried are all pairs of places that
/// somebody's role names, and places nobody names.
fn check_satisfiable(index: usize, row: &Row, steps: &[Step], directory: &Directory) -> Option<Finding> {
    let held = directory.people().iter().flat_map(|person| &person.roles);
    let mut sites: Vec<Site> =
        held.map(|held| Site { location: held.location.clone(), region: held.region.clone() }).collect();
    sites.push(Site::default());
    // Regions of the row's own conditions, so that a row about a region that nobody's role names is tried at all.
    let named = row.when.region.from.iter().chain(&row.when.region.to);
    sites.extend(named.map(|region| Site { location: None, region: Some(region.clone()) }));
    sites.sort();
    sites.dedup();
    let fits = |rule: &[RegionId], site: &Site| {
        // A site without a region may lie in any: roles held for a single location do not say.
        rule.is_empty() || site.region.as_ref().is_none_or(|region| rule.contains(region))
    };
    let crosses = |from: &Site, to: &Site| match (&from.region, &to.region, row.when.region.crosses) {
        (Some(from), Some(to), Some(crosses)) => (from != to) == crosses,
        _ => true,
    };
    for from in sites.iter().filter(|site| fits(&row.when.region.from, site)) {
        let ends = sites.iter().filter(|site| fits(&row.when.region.to, site) && crosses(from, site));
        for to in ends {
            if can_be_filled(steps, from, to, directory) {
                return None;
            }
        }
    }
    let detail = "wherever the stock moves, too few different people may decide these steps";
    Some(Finding::of(row, FindingKind::NeverSatisfied, format!("/rows/{index}/then/steps"), detail))
}

/// Whether every step alone finds its quorum, and all steps that want different people find them together.
pub(super) fn can_be_filled(steps: &[Step], from: &Site, to: &Site, directory: &Directory) -> bool {
    let mut slots: Vec<Vec<&PersonId>> = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let people = candidates(step, from, to, directory);
        if people.len() < step.quorum as usize {
            return false;
        }
        if step.distinct_roles {
            let groups = by_group(step, from, to, directory);
            let mut taken = BTreeMap::new();
            let filled = (0..groups.len()).filter(|group| seat(*group, &groups, &mut taken, &mut Vec::new())).count();
            if filled < step.quorum as usize {
                return false;
            }
        }
        // The first step always counts: whoever is distinct later is distinct from it.
        if i == 0 || step.distinct {
            slots.extend(std::iter::repeat_n(people, step.quorum as usize));
        }
    }
    let mut taken = BTreeMap::new();
    (0..slots.len()).all(|slot| seat(slot, &slots, &mut taken, &mut Vec::new()))
}

fn candidates<'a>(step: &'a Step, from: &'a Site, to: &'a Site, directory: &'a Directory) -> Vec<&'a PersonId> {
    let mut people: Vec<_> = by_group(step, from, to, directory).into_iter().flatten().collect();
    people.sort();
    people.dedup();
    people
}

/// The people of each group that a step may come to.
fn by_group<'a>(step: &'a Step, from: &'a Site, to: &'a Site, directory: &'a Directory) -> Vec<Vec<&'a PersonId>> {
    let group = |(_, who): (String, &'a Who)| {
        let mut people = Vec::new();
        match who {
            Who::AnyOf(_) => {}
            Who::People(named) => {
                people.extend(named.people.iter().filter(|id| directory.person(id).is_some()));
            }
            Who::Role(role) => {
                let site = match role.at {
                    SiteOf::From => Some(from),
                    SiteOf::To => Some(to),
                    SiteOf::Anywhere => None,
                };
                people.extend(directory.holders(&role.role, site).map(|person| &person.id));
            }
        }
        people
    };
    asked(step).into_iter().map(group).collect()
}

/// Seats a slot, moving others if that helps (augmenting paths of bipartite matching, Kuhn 1955).
fn seat<'a>(
    slot: usize,
    slots: &[Vec<&'a PersonId>],
    taken: &mut BTreeMap<&'a PersonId, usize>,
    tried: &mut Vec<&'a PersonId>,
) -> bool {
    for person in &slots[slot] {
        if tried.contains(person) {
            continue;
        }
        tried.push(person);
        let free = match taken.get(person).copied() {
            None => true,
            Some(other) => seat(other, slots, taken, tried),
        };
        if free {
            taken.insert(person, slot);
            return true;
        }
    }
    false
}
