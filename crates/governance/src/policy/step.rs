//! What a row does: pass, deny, or ask people, step by step.

use std::{collections::BTreeSet, fmt};

use contracts::PersonId;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Array, ArrayBuilder, OneOfBuilder, Ref};

use crate::{Role, Within};

/// What a row does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Passes without a person.
    AutoApprove,
    Deny,
    /// One after the other, or several at once ([`Step::with_previous`]); all must pass.
    Steps(Vec<Step>),
}

/// Most steps of a row, most alternatives of a step, and most reminders of one.
const MOST: usize = 20;

/// One step: who is asked, how many must agree, and what happens when they do not in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub ask: Who,
    /// Opens together with the step before it; the next step that does not waits for all of them.
    #[serde(default, skip_serializing_if = "is_no")]
    pub with_previous: bool,
    /// How many of them must approve. One rejection ends the request.
    #[serde(default = "one")]
    #[schema(minimum = 1)]
    pub quorum: u32,
    /// Whoever approved an earlier step, or one that opened before this in the same group, does not count here.
    #[serde(default = "yes")]
    pub distinct: bool,
    /// Each approval of the quorum stands for another alternative of `ask` (or of the escalation): two holders of the
    /// same role count once.
    #[serde(default, skip_serializing_if = "is_no")]
    pub distinct_roles: bool,
    pub decide_within: Within,
    /// After the step opened, once or several times; each shorter than `decide_within` and counted in the same hours.
    #[serde(default, skip_serializing_if = "Reminders::is_empty")]
    pub remind_after: Reminders,
    #[serde(default)]
    pub at_timeout: AtTimeout,
    /// What an edit of the request does to the approvals of this step.
    #[serde(default, skip_serializing_if = "OnEdit::is_strict")]
    pub on_edit: OnEdit,
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_no(flag: &bool) -> bool {
    !flag
}

/// Who is asked: the holders of a role, people by name, or any of several such groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged, try_from = "RawWho")]
pub enum Who {
    Role(RoleAt),
    People(People),
    AnyOf(AnyOf),
}

/// Read by hand, because the derived reader of untagged enums cannot say what is wrong.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWho {
    role: Option<Role>,
    at: Option<SiteOf>,
    people: Option<Vec<PersonId>>,
    any_of: Option<Vec<Who>>,
}

impl TryFrom<RawWho> for Who {
    type Error = &'static str;
    fn try_from(raw: RawWho) -> Result<Self, &'static str> {
        match raw {
            RawWho { role: Some(role), at, people: None, any_of: None } => {
                Ok(Self::Role(RoleAt { role, at: at.unwrap_or_default() }))
            }
            RawWho { role: None, at: None, people: Some(people), any_of: None } => Ok(Self::People(People { people })),
            RawWho { role: None, at: None, people: None, any_of: Some(any_of) } => {
                if any_of.iter().any(|who| matches!(who, Self::AnyOf(_))) {
                    return Err("any_of holds roles and people, not another any_of");
                }
                Ok(Self::AnyOf(AnyOf { any_of }))
            }
            _ => Err("asks either role or people or any_of; at belongs to a role"),
        }
    }
}

impl Who {
    /// The groups that it is made of: several for `any_of`, otherwise itself.
    #[must_use]
    pub fn alternatives(&self) -> &[Self] {
        match self {
            Self::AnyOf(group) => &group.any_of,
            one => std::slice::from_ref(one),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(RoleAt { role, at: SiteOf::Anywhere }) => write!(f, "{role}"),
            Self::Role(RoleAt { role, at: SiteOf::From }) => write!(f, "{role} of the place it comes from"),
            Self::Role(RoleAt { role, at: SiteOf::To }) => write!(f, "{role} of the place it goes to"),
            Self::People(named) => {
                let names: Vec<_> = named.people.iter().map(PersonId::as_str).collect();
                f.write_str(&names.join(" or "))
            }
            Self::AnyOf(group) => {
                let groups: Vec<_> = group.any_of.iter().map(ToString::to_string).collect();
                f.write_str(&groups.join(" or "))
            }
        }
    }
}

/// The holders of a role for one end of the movement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleAt {
    pub role: Role,
    #[serde(default)]
    pub at: SiteOf,
}

/// People by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct People {
    #[schema(min_items = 1)]
    pub people: Vec<PersonId>,
}

/// Any of these groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnyOf {
    /// Roles and people.
    #[schema(schema_with = groups)]
    pub any_of: Vec<Who>,
}

/// Says what the reader takes: a schema that held itself would promise groups within groups.
fn groups() -> Array {
    let group = OneOfBuilder::new().item(Ref::from_schema_name("RoleAt")).item(Ref::from_schema_name("People"));
    ArrayBuilder::new()
        .items(group)
        .min_items(Some(1))
        .max_items(Some(MOST))
        .description(Some("Roles and people, not another `any_of`."))
        .build()
}

/// For which place a role must be held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SiteOf {
    /// Where the stock comes from: the donor of a transfer.
    From,
    /// Where the stock goes to.
    To,
    /// Held for any place at all.
    #[default]
    Anywhere,
}

/// When people are reminded; one length of time or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(from = "OneOrMore", into = "OneOrMore")]
#[schema(value_type = OneOrMore)]
pub struct Reminders(Vec<Within>);

/// One or a list of at most 20.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
enum OneOrMore {
    One(Within),
    More(Vec<Within>),
}

impl From<OneOrMore> for Reminders {
    fn from(raw: OneOrMore) -> Self {
        match raw {
            OneOrMore::One(one) => Self(vec![one]),
            OneOrMore::More(more) => Self(more),
        }
    }
}

impl From<Reminders> for OneOrMore {
    fn from(Reminders(mut list): Reminders) -> Self {
        match (list.len(), list.pop()) {
            (1, Some(one)) => Self::One(one),
            (_, last) => {
                list.extend(last);
                Self::More(list)
            }
        }
    }
}

impl Reminders {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As written.
    #[must_use]
    pub fn all(&self) -> &[Within] {
        &self.0
    }
}

/// What happens when a step is not decided in time. There is no way to write "approve".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AtTimeout {
    #[default]
    Deny,
    /// Once; after `within` the request is denied.
    Escalate(Escalation),
}

/// Who is asked in addition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    pub to: Who,
    pub within: Within,
}

/// What an edit does to the approvals of a step, by what was edited. The strictest of the edited parts counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnEdit {
    /// How much is moved, bought or lost. Never `none`.
    pub quantity: Upon,
    /// Places, supplier and order of the action. Never `none`.
    pub parties: Upon,
    pub facts: Upon,
    pub score: Upon,
    pub title: Upon,
    /// `decide_by` and the cost of waiting.
    pub timing: Upon,
}

/// Part of a request that was edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Edited {
    Quantity,
    Parties,
    Facts,
    Score,
    Title,
    Timing,
}

/// What becomes of an approval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Upon {
    /// It stands.
    None,
    /// It stands as long as the policy asks the same steps of the edited request.
    ReEvaluate,
    /// It is void; the step is asked again.
    #[default]
    Void,
}

impl OnEdit {
    #[must_use]
    pub fn of(&self, edited: Edited) -> Upon {
        match edited {
            Edited::Quantity => self.quantity,
            Edited::Parties => self.parties,
            Edited::Facts => self.facts,
            Edited::Score => self.score,
            Edited::Title => self.title,
            Edited::Timing => self.timing,
        }
    }

    fn is_strict(&self) -> bool {
        *self == Self::default()
    }
}

/// Everything that is wrong with the steps of a row, each with its place below `/then/steps`.
pub(super) fn violations(steps: &[Step]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut refuse = |bad: bool, place: &str, detail: &str| {
        if bad {
            found.push((place.to_owned(), detail.to_owned()));
        }
    };
    refuse(steps.is_empty(), "", "asks nobody; write auto_approve or deny");
    refuse(steps.len() > MOST, "", "has more than 20 steps");
    for (i, step) in steps.iter().enumerate() {
        let at = |field: &str| format!("/{i}/{field}");
        refuse(i == 0 && step.with_previous, &at("with_previous"), "there is no step before the first");
        refuse(step.quorum == 0, &at("quorum"), "is at least 1");
        nobody(&step.ask, &at("ask"), &mut refuse);
        let (groups, people) = (step.ask.alternatives().len(), most_people(&step.ask));
        if step.at_timeout == AtTimeout::Deny {
            let few = format!("asks for {} of fewer people", step.quorum);
            refuse(people.is_some_and(|people| people < step.quorum as usize), &at("quorum"), &few);
            let few = format!("asks for {} different groups, there are {groups}", step.quorum);
            refuse(step.distinct_roles && groups < step.quorum as usize, &at("quorum"), &few);
        }
        refuse(step.remind_after.all().len() > MOST, &at("remind_after"), "has more than 20 reminders");
        for reminder in step.remind_after.all() {
            refuse(
                !reminder.same_hours(step.decide_within),
                &at("remind_after"),
                "counts other hours than decide_within",
            );
            let late = reminder.span() >= step.decide_within.span();
            refuse(late, &at("remind_after"), "must be shorter than decide_within");
        }
        if let AtTimeout::Escalate(escalation) = &step.at_timeout {
            nobody(&escalation.to, &at("at_timeout/escalate/to"), &mut refuse);
        }
        for (field, upon) in [("quantity", step.on_edit.quantity), ("parties", step.on_edit.parties)] {
            let detail = "what a grant allows is what was approved: re_evaluate or void";
            refuse(upon == Upon::None, &at(&format!("on_edit/{field}")), detail);
        }
    }
    found
}

fn nobody(who: &Who, at: &str, refuse: &mut impl FnMut(bool, &str, &str)) {
    let groups = who.alternatives();
    refuse(groups.is_empty(), &format!("{at}/any_of"), "names nobody");
    refuse(groups.len() > MOST, &format!("{at}/any_of"), "has more than 20 groups");
    for (i, group) in groups.iter().enumerate() {
        let below =
            if matches!(who, Who::AnyOf(_)) { format!("{at}/any_of/{i}/people") } else { format!("{at}/people") };
        refuse(matches!(group, Who::People(named) if named.people.is_empty()), &below, "names nobody");
    }
}

/// How many different people it can come to; `None` when a role is among them.
fn most_people(who: &Who) -> Option<usize> {
    let mut people = BTreeSet::new();
    for group in who.alternatives() {
        match group {
            Who::People(named) => people.extend(&named.people),
            _ => return None,
        }
    }
    Some(people.len())
}
