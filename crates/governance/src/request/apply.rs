//! Who may do what to a request.

use contracts::{PersonId, events::DecidedBy};
use jiff::Timestamp;

use super::{
    Command, Decision, Edit, End, Ended, Open, Opening, Phase, Refused, RemarkKind, State, Transition, Verdict,
    Waiting, walk::Walk,
};
use crate::{
    Actor, Directory, Site,
    policy::{AtTimeout, Edited, SiteOf, Step, Then, Upon, Who},
};

/// Most people that approvers may add to a request.
pub(super) const MAX_ADDED: usize = 20;
/// Most people who may watch a request.
pub(super) const MAX_WATCHERS: usize = 50;
/// Most comments, answers and edits that are kept with a request.
pub(super) const MAX_REMARKS: usize = 200;

impl State {
    /// Opens a request: at its first steps, or at its end when the policy needs nobody.
    #[must_use]
    pub fn open(opening: Opening, now: Timestamp, directory: &Directory) -> Transition {
        let Opening { requester, from, to, row, then, timing, watchers } = opening;
        let (steps, how) = match then {
            Then::AutoApprove => (Vec::new(), End::Approved),
            Then::Deny => (Vec::new(), End::Denied),
            Then::Steps(steps) => (steps, End::NobodyToAsk),
        };
        let state = Self {
            requester,
            from,
            to,
            row,
            steps,
            version: 0,
            revision: 0,
            decisions: Vec::new(),
            added: Vec::new(),
            watchers,
            remarks: Vec::new(),
            timing,
            phase: Phase::Waiting(Open { steps: Vec::new() }),
        };
        let mut walk = Walk::new(state, now, directory);
        if walk.state.steps.is_empty() {
            walk.end_by_policy(how);
        } else {
            walk.advance();
        }
        walk.finish()
    }

    /// Carries out one command.
    ///
    /// Whether a person may decide is judged by the directory of this moment: who lost the role may no longer, who
    /// gained it may. A [`Command::Tick`] that comes too early or too often changes nothing.
    ///
    /// # Errors
    /// [`Refused`]; the state is then as it was.
    pub fn apply(&self, command: &Command, now: Timestamp, directory: &Directory) -> Result<Transition, Refused> {
        let mut walk = Walk::new(self.clone(), now, directory);
        match command {
            Command::Decide { person, verdict, comment, step, version, revision } => {
                let waiting = self.may_decide(person, (*step, *version), now, directory)?;
                if let Some(seen) = revision.filter(|seen| *seen != self.revision) {
                    return Err(Refused::Edited { seen, current: self.revision });
                }
                let decision = self.word(person, *verdict, comment.clone(), waiting, now, directory)?;
                walk.decide(decision);
            }
            Command::Comment { by, text } => {
                self.still_open()?;
                self.room_for_a_remark()?;
                walk.remark(by, RemarkKind::Comment, Some(text.clone()));
            }
            Command::Answer { by, text } => {
                self.is_requester(by)?;
                self.still_open()?;
                self.question().ok_or(Refused::NothingAsked)?;
                self.room_for_a_remark()?;
                walk.answer(by, text.clone());
            }
            Command::Edit { by, edit, text, version } => {
                self.is_requester(by)?;
                self.still_open()?;
                if let Some(seen) = version.filter(|seen| *seen != self.version) {
                    return Err(Refused::Stale { seen, current: self.version });
                }
                if edit.changed.is_empty() {
                    return Err(Refused::Unchanged);
                }
                self.room_for_a_remark()?;
                walk.edit(by, edit, text.clone());
            }
            Command::AddApprover { by, person, step } => {
                let step = self.may_add(by, person, *step, now, directory)?;
                walk.add_approver(step, person, by);
            }
            Command::Watch { person } => {
                self.still_open()?;
                directory.person(person).ok_or_else(|| Refused::UnknownPerson { person: person.clone() })?;
                let known = self.watchers.contains(person);
                if !known && self.watchers.len() >= MAX_WATCHERS {
                    return Err(Refused::TooMany { what: "watchers", most: MAX_WATCHERS });
                }
                if !known {
                    walk.watch(person);
                }
            }
            Command::Withdraw { by, comment } => {
                let by = self.may_withdraw(by)?;
                walk.end(End::Withdrawn, by, comment.clone());
            }
            Command::Tick => walk.tick(),
        }
        Ok(walk.finish())
    }

    /// Whether an edit of these parts has the policy asked again, because a step wants that or loses its approvals.
    #[must_use]
    pub fn judges_again(&self, changed: &[Edited]) -> bool {
        self.steps.iter().any(|step| changed.iter().any(|part| step.on_edit.of(*part) > Upon::None))
    }

    /// Whether an edit leads to another route, of which nothing is decided yet.
    #[must_use]
    pub fn starts_anew(&self, edit: &Edit) -> bool {
        let same = edit.row == self.row && matches!(&edit.then, Then::Steps(steps) if *steps == self.steps);
        !same && self.judges_again(&edit.changed)
    }

    /// The people who may decide one of the open steps now, whether they were asked or not.
    #[must_use]
    pub fn may_be_decided_by(&self, directory: &Directory) -> Vec<PersonId> {
        let all = directory.people().iter().map(|person| &person.id);
        let open = self.open_steps();
        all.filter(|id| open.iter().any(|waiting| self.standing(id, waiting, directory).is_ok())).cloned().collect()
    }

    /// Whether this person may decide this step now and has not done so.
    #[must_use]
    pub fn awaits(&self, person: &PersonId, step: u32, directory: &Directory) -> bool {
        let mut open = self.open_steps().iter().filter(|waiting| waiting.step == step);
        open.any(|waiting| self.standing(person, waiting, directory).is_ok()) && self.word_of(person, step).is_none()
    }

    /// As [`State::may_be_decided_by`], of one step.
    pub(super) fn eligible(&self, waiting: &Waiting, directory: &Directory) -> Vec<PersonId> {
        let all = directory.people().iter().map(|person| &person.id);
        all.filter(|id| self.standing(id, waiting, directory).is_ok()).cloned().collect()
    }

    /// The open step that this person's decision counts for; of several, the first that waits for them.
    fn may_decide(
        &self,
        person: &PersonId,
        (step, version): (Option<u32>, Option<u32>),
        now: Timestamp,
        directory: &Directory,
    ) -> Result<&Waiting, Refused> {
        let shown = || self.open_steps().iter().filter(move |waiting| step.is_none_or(|step| step == waiting.step));
        let silent = |waiting: &&Waiting| self.word_of(person, waiting.step).is_none();
        let fits = |waiting: &&Waiting| self.standing(person, waiting, directory).is_ok();
        let Some(waiting) = shown().filter(silent).find(fits).or_else(|| shown().find(silent)) else {
            return Err(self.not_open_to(person, step));
        };
        // A second click gets the first answer, unless another step waits for the same person.
        let said = shown().find_map(|waiting| self.word_of(person, waiting.step));
        match (self.standing(person, waiting, directory), said) {
            (Ok(_), _) => {}
            (Err(_), Some(first)) => return Err(Refused::AlreadyDecided(Box::new(first.clone()))),
            (Err(refused), None) => return Err(refused),
        }
        if let Some(seen) = version.filter(|seen| *seen != self.version) {
            return Err(Refused::Stale { seen, current: self.version });
        }
        // An escalation that is due but not yet carried out leaves the door open to those who were asked first.
        if now >= waiting.decide_by && self.escalation(waiting, now).is_none() {
            return Err(Refused::TooLate { decide_by: waiting.decide_by });
        }
        Ok(waiting)
    }

    /// Why nothing is open to this person at the step they were shown. A second click comes first: it gets the first
    /// answer whatever has happened since.
    fn not_open_to(&self, person: &PersonId, step: Option<u32>) -> Refused {
        let here = |said: &&Decision| {
            let open = || self.open_steps().iter().any(|waiting| waiting.step == said.step);
            step.map_or_else(|| self.open_steps().is_empty() || open(), |step| step == said.step)
        };
        if let Some(first) = self.words().filter(|said| said.involves(person)).find(here) {
            return Refused::AlreadyDecided(Box::new(first.clone()));
        }
        match &self.phase {
            Phase::Ended(ended) => Refused::Over(ended.clone()),
            Phase::SentBack(question) => Refused::WaitsForAnswer(question.clone()),
            Phase::Waiting(open) => Refused::OtherStep {
                step: step.unwrap_or_default(),
                open: open.steps.first().map_or(0, |waiting| waiting.step),
            },
        }
    }

    /// On whose authority this person may decide the open step: their own goes before that of others.
    pub(super) fn root_of(&self, person: &PersonId, waiting: &Waiting, directory: &Directory) -> Option<PersonId> {
        self.standing(person, waiting, directory).ok().flatten()
    }

    /// Segregation of duties, then the role, in the person's own right or in that of somebody they act for, whom it
    /// names. Whoever acts for another is judged twice: by their own duties and as the other would be.
    fn standing(
        &self,
        person: &PersonId,
        waiting: &Waiting,
        directory: &Directory,
    ) -> Result<Option<PersonId>, Refused> {
        self.free_of_duty(person, directory)?;
        let own = self.stands(person, person, waiting, directory);
        let has_room = |root: &PersonId| !directory.standing().short.contains_key(root);
        if own.is_ok() && has_room(person) {
            return Ok(None);
        }
        let able = |root: &&PersonId| {
            self.free_of_duty(root, directory).is_ok() && self.stands(root, person, waiting, directory).is_ok()
        };
        let roots: Vec<_> = directory.standing().roots(person).filter(able).collect();
        match (own, roots.iter().find(|root| has_room(root)), roots.first()) {
            (_, Some(root), _) => Ok(Some((*root).clone())),
            (Ok(()), None, _) => Ok(None),
            (Err(_), None, Some(root)) => Ok(Some((*root).clone())),
            (Err(refused), None, None) => Err(refused),
        }
    }

    /// Whoever asked, acts for who asked, or asked for a related document decides nothing here.
    ///
    /// # Errors
    /// Which duty it is.
    pub fn free_of_duty(&self, person: &PersonId, directory: &Directory) -> Result<(), Refused> {
        let (person_named, standing) = (|| person.clone(), directory.standing());
        if self.requester.is(person) {
            return Err(Refused::RequesterMayNotApprove { person: person_named() });
        }
        if let Some(requester) = standing.roots(person).find(|root| self.requester.is(root)) {
            return Err(Refused::ActsForRequester { person: person_named(), requester: requester.clone() });
        }
        match standing.barred.get(person) {
            Some(related) => Err(Refused::AskedForRelated { person: person_named(), related: related.clone() }),
            None => Ok(()),
        }
    }

    /// Whether `actor` may decide the open step in the right of `root`, who may be themselves.
    fn stands(
        &self,
        root: &PersonId,
        actor: &PersonId,
        waiting: &Waiting,
        directory: &Directory,
    ) -> Result<(), Refused> {
        let Some(step) = self.step(waiting.step) else { return Ok(()) };
        let added = self.is_added(root, waiting.step) && directory.person(root).is_some();
        if !added && self.groups_of(root, waiting, directory).is_empty() {
            let asked = self.groups(step, waiting.escalated);
            let needs = asked.map(ToString::to_string).collect::<Vec<_>>().join(" or ");
            return Err(Refused::NotAsked { person: actor.clone(), needs });
        }
        // Of two steps, the later one says whether it wants somebody else.
        let elsewhere = |said: &Decision| {
            let later = self.step(said.step.max(waiting.step));
            let involved = said.involves(root) || said.involves(actor);
            involved && said.step != waiting.step && later.is_some_and(|step| step.distinct)
        };
        if self.words().any(elsewhere) {
            return Err(Refused::ApprovedEarlierStep { person: actor.clone() });
        }
        // One standing counts once in a step, through whosever hands.
        let spent = |said: &&Decision| said.step == waiting.step && said.person != *actor && said.involves(root);
        match self.words().find(spent) {
            Some(first) => Err(Refused::AlreadyDecided(Box::new(first.clone()))),
            None => Ok(()),
        }
    }

    /// The groups of the step that this person belongs to now: indices as in [`Decision::stands_for`]. Who was called in
    /// for want of authority may stand for each.
    pub(super) fn groups_of(&self, person: &PersonId, waiting: &Waiting, directory: &Directory) -> Vec<u32> {
        let Some(step) = self.step(waiting.step) else { return Vec::new() };
        let called_in = directory.standing().called_in.contains(&(waiting.step, person.clone()));
        let groups = (0_u32..).zip(self.groups(step, waiting.escalated));
        let belongs = |who: &Who| called_in || self.includes(who, person, directory);
        groups.filter(|(_, who)| belongs(who)).map(|(index, _)| index).collect()
    }

    fn word(
        &self,
        person: &PersonId,
        verdict: Verdict,
        comment: Option<String>,
        waiting: &Waiting,
        now: Timestamp,
        directory: &Directory,
    ) -> Result<Decision, Refused> {
        if verdict == Verdict::SendBack && comment.as_deref().is_none_or(|text| text.trim().is_empty()) {
            return Err(Refused::CommentNeeded);
        }
        let authority = self.root_of(person, waiting, directory);
        let root = authority.as_ref().unwrap_or(person);
        let groups = self.groups_of(root, waiting, directory);
        let ad_hoc = groups.is_empty();
        let roles = self.step(waiting.step).is_some_and(|step| step.distinct_roles);
        let stands_for = if roles { groups } else { Vec::new() };
        let counts = !roles || self.is_added(root, waiting.step) || self.would_count(waiting.step, &stands_for);
        if verdict == Verdict::Approve && !counts {
            return Err(Refused::RoleHasSpoken);
        }
        let (person, step, revision) = (person.clone(), waiting.step, self.revision);
        Ok(Decision {
            person,
            authority,
            step,
            verdict,
            comment,
            at: now,
            revision,
            stands_for,
            ad_hoc,
            superseded_at: None,
        })
    }

    fn may_add(
        &self,
        by: &PersonId,
        person: &PersonId,
        step: Option<u32>,
        now: Timestamp,
        directory: &Directory,
    ) -> Result<u32, Refused> {
        let mut open = self.open_steps().iter().filter(|waiting| step.is_none_or(|step| step == waiting.step));
        let Some(waiting) = open.find(|waiting| self.standing(by, waiting, directory).is_ok()) else {
            let refused = self.waiting().and_then(|waiting| self.standing(by, waiting, directory).err());
            return Err(refused.unwrap_or_else(|| self.not_open_to(by, step)));
        };
        if now >= waiting.decide_by {
            return Err(Refused::TooLate { decide_by: waiting.decide_by });
        }
        let named = person.clone();
        directory.person(person).ok_or(Refused::UnknownPerson { person: named })?;
        if self.is_added(person, waiting.step) || self.word_of(person, waiting.step).is_some() {
            return Err(Refused::AskedAlready { person: person.clone() });
        }
        // Another pair of eyes, or nothing would be added.
        self.free_of_duty(person, directory)?;
        if self.words().any(|said| said.involves(person)) {
            return Err(Refused::ApprovedEarlierStep { person: person.clone() });
        }
        if self.added.len() >= MAX_ADDED {
            return Err(Refused::TooMany { what: "added approvers", most: MAX_ADDED });
        }
        Ok(waiting.step)
    }

    fn may_withdraw(&self, by: &Actor) -> Result<DecidedBy, Refused> {
        self.still_open()?;
        self.is_requester(by)?;
        Ok(match by {
            Actor::Person { person } => DecidedBy::People { people: vec![person.clone()] },
            Actor::Service { key } => DecidedBy::Service { key: key.clone() },
            Actor::Steward => DecidedBy::Policy { row: self.row.clone() },
        })
    }

    /// The person who asked or is asked for, or the service that did.
    fn is_requester(&self, by: &Actor) -> Result<(), Refused> {
        match by {
            Actor::Person { person } if self.requester.is(person) => Ok(()),
            Actor::Service { .. } if self.requester.by == *by => Ok(()),
            _ => Err(Refused::NotTheRequester),
        }
    }

    fn still_open(&self) -> Result<(), Refused> {
        self.ended().map_or(Ok(()), |ended: &Ended| Err(Refused::Over(ended.clone())))
    }

    fn room_for_a_remark(&self) -> Result<(), Refused> {
        let full = self.remarks.len() >= MAX_REMARKS;
        if full { Err(Refused::TooMany { what: "remarks", most: MAX_REMARKS }) } else { Ok(()) }
    }

    fn is_added(&self, person: &PersonId, step: u32) -> bool {
        self.added.iter().any(|added| added.step == step && added.person == *person)
    }

    fn includes(&self, who: &Who, person: &PersonId, directory: &Directory) -> bool {
        match who {
            Who::People(named) => named.people.contains(person) && directory.person(person).is_some(),
            Who::Role(role) => directory.holders(&role.role, self.site(role.at)).any(|holder| holder.id == *person),
            Who::AnyOf(group) => group.any_of.iter().any(|who| self.includes(who, person, directory)),
        }
    }

    fn site(&self, of: SiteOf) -> Option<&Site> {
        match of {
            SiteOf::From => Some(&self.from),
            SiteOf::To => Some(&self.to),
            SiteOf::Anywhere => None,
        }
    }

    pub(super) fn step(&self, index: u32) -> Option<&Step> {
        self.steps.get(index as usize)
    }

    /// The escalation that still lies ahead of an open step.
    pub(super) fn escalation(&self, waiting: &Waiting, now: Timestamp) -> Option<&crate::policy::Escalation> {
        match &self.step(waiting.step)?.at_timeout {
            AtTimeout::Escalate(escalation) if !waiting.escalated && !self.past_deadline(now) => Some(escalation),
            _ => None,
        }
    }
}
