//! The transitions.

use std::collections::BTreeSet;

use contracts::{PersonId, events::DecidedBy};
use jiff::Timestamp;

use super::{Command, Decision, End, Ended, Happened, Opening, Phase, Refused, State, Transition, Verdict, Waiting};
use crate::{
    Actor, Directory, Site,
    policy::{AtTimeout, SiteOf, Step, Then, Who},
};

impl State {
    /// Opens a request: at its first step, or at its end when the policy needs nobody.
    #[must_use]
    pub fn open(opening: Opening, now: Timestamp, directory: &Directory) -> Transition {
        let Opening { requester, from, to, row, then } = opening;
        let by = DecidedBy::Policy { row: row.clone() };
        let (steps, how) = match then {
            Then::AutoApprove => (Vec::new(), End::Approved),
            Then::Deny => (Vec::new(), End::Denied),
            Then::Steps(steps) => (steps, End::NobodyToAsk),
        };
        let phase = Phase::Ended(Ended { how, at: now, by, comment: None });
        let state = Self { requester, from, to, row, steps, version: 0, decisions: Vec::new(), phase };
        let mut walk = Walk { state, happened: Vec::new(), now, directory };
        if walk.state.steps.is_empty() {
            walk.end(how, DecidedBy::Policy { row: walk.state.row.clone() }, None);
        } else {
            walk.open_step(0);
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
        let mut walk = Walk { state: self.clone(), happened: Vec::new(), now, directory };
        match command {
            Command::Decide { person, verdict, comment, step, version } => {
                let step = self.may_decide(person, *step, *version, now, directory)?;
                if *verdict == Verdict::SendBack && comment.as_deref().is_none_or(|text| text.trim().is_empty()) {
                    return Err(Refused::CommentNeeded);
                }
                let authority = self.root_of(person, directory);
                let (person, comment) = (person.clone(), comment.clone());
                walk.decide(Decision { person, authority, step, verdict: *verdict, comment, at: now });
            }
            Command::Withdraw { by, comment } => {
                let by = self.may_withdraw(by)?;
                walk.end(End::Withdrawn, by, comment.clone());
            }
            Command::Tick => walk.tick(),
        }
        Ok(walk.finish())
    }

    /// The people who may decide the open step now, whether they were asked or not.
    #[must_use]
    pub fn may_be_decided_by(&self, directory: &Directory) -> Vec<PersonId> {
        let Some(waiting) = self.waiting() else { return Vec::new() };
        let all = directory.people().iter().map(|person| &person.id);
        all.filter(|id| self.standing(id, waiting, directory).is_ok()).cloned().collect()
    }

    /// The step that this person's decision counts for.
    fn may_decide(
        &self,
        person: &PersonId,
        step: Option<u32>,
        version: Option<u32>,
        now: Timestamp,
        directory: &Directory,
    ) -> Result<u32, Refused> {
        // A second click comes first: it gets the first answer whatever has happened since.
        let shown = step.or_else(|| self.waiting().map(|waiting| waiting.step));
        let mut own = self.decisions.iter().filter(|decision| decision.involves(person));
        if let Some(first) = own.find(|decision| shown.is_none_or(|step| step == decision.step)) {
            return Err(Refused::AlreadyDecided(first.clone()));
        }
        let waiting = match &self.phase {
            Phase::Waiting(waiting) => waiting,
            Phase::Ended(ended) => return Err(Refused::Over(ended.clone())),
        };
        if let Some(step) = step.filter(|step| *step != waiting.step) {
            return Err(Refused::OtherStep { step, open: waiting.step });
        }
        self.standing(person, waiting, directory)?;
        if let Some(seen) = version.filter(|seen| *seen != self.version) {
            return Err(Refused::Stale { seen, current: self.version });
        }
        // An escalation that is due but not yet carried out leaves the door open to those who were asked first.
        if now >= waiting.decide_by && self.escalation(waiting).is_none() {
            return Err(Refused::TooLate { decide_by: waiting.decide_by });
        }
        Ok(waiting.step)
    }

    /// On whose authority this person may decide the open step: their own goes before that of others.
    fn root_of(&self, person: &PersonId, directory: &Directory) -> Option<PersonId> {
        self.standing(person, self.waiting()?, directory).ok().flatten()
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
            let free = !self.requester.is(root) && !directory.standing().barred.contains_key(*root);
            free && self.stands(root, person, waiting, directory).is_ok()
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
        let mut asked = vec![&step.ask];
        if let (AtTimeout::Escalate(escalation), true) = (&step.at_timeout, waiting.escalated) {
            asked.push(&escalation.to);
        }
        let called_in = directory.standing().called_in.contains(&(waiting.step, root.clone()));
        if !called_in && !asked.iter().any(|who| self.includes(who, root, directory)) {
            let needs = asked.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
            return Err(Refused::NotAsked { person: actor.clone(), needs });
        }
        let involved = |decision: &Decision| decision.involves(root) || decision.involves(actor);
        let earlier = |decision: &Decision| decision.step < waiting.step && involved(decision);
        if step.distinct && self.decisions.iter().any(earlier) {
            return Err(Refused::ApprovedEarlierStep { person: actor.clone() });
        }
        // One standing counts once in a step, through whosever hands.
        let spent = |decision: &&Decision| {
            decision.step == waiting.step && decision.person != *actor && decision.involves(root)
        };
        match self.decisions.iter().find(spent) {
            Some(first) => Err(Refused::AlreadyDecided(first.clone())),
            None => Ok(()),
        }
    }

    /// How many approvals these people can give together: as many as there are hands, and standings to act in.
    fn seats(&self, people: &[PersonId], directory: &Directory) -> usize {
        let root = |person: &PersonId| self.root_of(person, directory).unwrap_or_else(|| person.clone());
        let roots: BTreeSet<_> = people.iter().map(root).collect();
        roots.len().min(people.len())
    }

    fn may_withdraw(&self, by: &Actor) -> Result<DecidedBy, Refused> {
        if let Phase::Ended(ended) = &self.phase {
            return Err(Refused::Over(ended.clone()));
        }
        match by {
            Actor::Person { person } if self.requester.is(person) => {
                Ok(DecidedBy::People { people: vec![person.clone()] })
            }
            Actor::Service { key } if self.requester.by == *by => Ok(DecidedBy::Service { key: key.clone() }),
            _ => Err(Refused::NotTheRequester),
        }
    }

    fn includes(&self, who: &Who, person: &PersonId, directory: &Directory) -> bool {
        match who {
            Who::People(named) => named.people.contains(person) && directory.person(person).is_some(),
            Who::Role(role) => directory.holders(&role.role, self.site(role.at)).any(|holder| holder.id == *person),
        }
    }

    fn site(&self, of: SiteOf) -> Option<&Site> {
        match of {
            SiteOf::From => Some(&self.from),
            SiteOf::To => Some(&self.to),
            SiteOf::Anywhere => None,
        }
    }

    fn step(&self, index: u32) -> Option<&Step> {
        self.steps.get(index as usize)
    }

    /// The escalation that still lies ahead of the open step.
    fn escalation(&self, waiting: &Waiting) -> Option<&crate::policy::Escalation> {
        match &self.step(waiting.step)?.at_timeout {
            AtTimeout::Escalate(escalation) if !waiting.escalated => Some(escalation),
            _ => None,
        }
    }

    fn approvals(&self, step: u32) -> usize {
        let counts = |decision: &&Decision| decision.step == step && decision.verdict == Verdict::Approve;
        self.decisions.iter().filter(counts).count()
    }
}

/// A transition in the making.
struct Walk<'a> {
    state: State,
    happened: Vec<Happened>,
    now: Timestamp,
    directory: &'a Directory,
}

impl Walk<'_> {
    fn finish(mut self) -> Transition {
        if !self.happened.is_empty() {
            self.state.version += 1;
        }
        Transition { state: self.state, happened: self.happened }
    }

    fn end(&mut self, how: End, by: DecidedBy, comment: Option<String>) {
        let ended = Ended { how, at: self.now, by, comment };
        self.happened.push(Happened::Ended(ended.clone()));
        self.state.phase = Phase::Ended(ended);
    }

    fn end_by_policy(&mut self, how: End) {
        self.end(how, DecidedBy::Policy { row: self.state.row.clone() }, None);
    }

    /// Opens a step, or ends the request approved when there is none left.
    fn open_step(&mut self, index: u32) {
        let Some(step) = self.state.step(index) else {
            let people = self.state.approvers();
            return self.end(End::Approved, DecidedBy::People { people }, None);
        };
        let quorum = step.quorum as usize;
        let waiting = Waiting {
            step: index,
            opened_at: self.now,
            decide_by: step.decide_within.after(self.now),
            remind_at: step.remind_after.map(|span| span.after(self.now)),
            escalated: false,
            asked: Vec::new(),
        };
        self.state.phase = Phase::Waiting(waiting.clone());
        let asked = self.state.may_be_decided_by(self.directory);
        let waiting = Waiting { asked: asked.clone(), ..waiting };
        let (decide_by, short) = (waiting.decide_by, self.state.seats(&asked, self.directory) < quorum);
        self.state.phase = Phase::Waiting(waiting.clone());
        self.happened.push(Happened::StepOpened { step: index, asked, decide_by });
        if short {
            // Waiting would change nothing: those who could decide are too few.
            self.time_out(waiting);
        }
    }

    fn decide(&mut self, decision: Decision) {
        let Decision { person, step, verdict, comment, .. } = decision.clone();
        self.state.decisions.push(decision.clone());
        self.happened.push(Happened::Decided(decision));
        let by = DecidedBy::People { people: vec![person] };
        match verdict {
            Verdict::Reject => self.end(End::Denied, by, comment),
            Verdict::SendBack => self.end(End::SentBack, by, comment),
            Verdict::Approve => {
                let quorum = self.state.step(step).map_or(u32::MAX, |step| step.quorum);
                if self.state.approvals(step) >= quorum as usize {
                    self.open_step(step + 1);
                }
            }
        }
    }

    fn tick(&mut self) {
        let Some(waiting) = self.state.waiting().cloned() else { return };
        if self.now >= waiting.decide_by {
            return self.time_out(waiting);
        }
        if waiting.remind_at.is_some_and(|at| self.now >= at) {
            let decided = |id: &PersonId| {
                self.state.decisions.iter().any(|decision| decision.step == waiting.step && decision.person == *id)
            };
            let people = self.state.may_be_decided_by(self.directory).into_iter().filter(|id| !decided(id)).collect();
            let (step, decide_by) = (waiting.step, waiting.decide_by);
            self.state.phase = Phase::Waiting(Waiting { remind_at: None, ..waiting });
            self.happened.push(Happened::Reminded { step, people, decide_by });
        }
    }

    /// Escalates once; ends the request when that was done, is not asked for, or finds too few people.
    fn time_out(&mut self, waiting: Waiting) {
        let Some(within) = self.state.escalation(&waiting).map(|escalation| escalation.within) else {
            let short = self.eligible() < self.quorum(waiting.step);
            return self.end_by_policy(if short { End::NobodyToAsk } else { End::Expired });
        };
        let (step, told, decide_by) = (waiting.step, waiting.asked.clone(), within.after(self.now));
        self.state.phase = Phase::Waiting(Waiting { escalated: true, decide_by, remind_at: None, ..waiting });
        let all = self.state.may_be_decided_by(self.directory);
        let asked: Vec<_> = all.iter().filter(|id| !told.contains(id)).cloned().collect();
        if self.state.seats(&all, self.directory) < self.quorum(step) {
            return self.end_by_policy(End::NobodyToAsk);
        }
        if let Phase::Waiting(waiting) = &mut self.state.phase {
            waiting.asked.extend(asked.iter().cloned());
        }
        self.happened.push(Happened::Escalated { step, asked, decide_by });
    }

    /// How many people may decide the open step, those included who have.
    fn eligible(&self) -> usize {
        self.state.seats(&self.state.may_be_decided_by(self.directory), self.directory)
    }

    fn quorum(&self, step: u32) -> usize {
        self.state.step(step).map_or(0, |step| step.quorum as usize)
    }
}
