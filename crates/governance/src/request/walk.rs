//! The transitions, once it is clear that they may be made.

use contracts::{PersonId, events::DecidedBy};
use jiff::Timestamp;

use super::{
    Added, Decision, Edit, End, Ended, Happened, Open, Phase, Question, Remark, RemarkKind, State, Transition, Verdict,
    Waiting,
};
use crate::{
    Actor, Directory,
    policy::{Step, Then, Upon},
};

/// A transition in the making.
pub(super) struct Walk<'a> {
    pub(super) state: State,
    happened: Vec<Happened>,
    now: Timestamp,
    directory: &'a Directory,
}

impl<'a> Walk<'a> {
    pub(super) fn new(state: State, now: Timestamp, directory: &'a Directory) -> Self {
        Self { state, happened: Vec::new(), now, directory }
    }

    pub(super) fn finish(mut self) -> Transition {
        if !self.happened.is_empty() {
            self.state.version += 1;
        }
        Transition { state: self.state, happened: self.happened }
    }

    pub(super) fn end(&mut self, how: End, by: DecidedBy, comment: Option<String>) {
        let ended = Ended { how, at: self.now, by, comment };
        self.happened.push(Happened::Ended(ended.clone()));
        self.state.phase = Phase::Ended(ended);
    }

    pub(super) fn end_by_policy(&mut self, how: End) {
        self.end(how, DecidedBy::Policy { row: self.state.row.clone() }, None);
    }

    /// Opens the next steps, or ends the request approved when all have passed. A step that is open already stays so.
    pub(super) fn advance(&mut self) {
        let group = self.state.next_group();
        if group.is_empty() {
            // With its last approval, which says why.
            let comment = self.state.approvals().last().and_then(|said| said.comment.clone());
            let people = self.state.approvers();
            return self.end(End::Approved, DecidedBy::People { people }, comment);
        }
        let open = self.state.open_steps().to_vec();
        let already = |step: u32| open.iter().find(|waiting| waiting.step == step);
        let steps = group.iter().map(|step| already(*step).cloned().unwrap_or_else(|| self.opened(*step))).collect();
        self.state.phase = Phase::Waiting(Open { steps });
        for step in group.into_iter().filter(|step| already(*step).is_none()) {
            self.tell_opened(step);
            if self.state.ended().is_some() {
                return;
            }
        }
    }

    fn opened(&self, step: u32) -> Waiting {
        let (decide_by, reminders) =
            self.state.step(step).map_or((self.now, Vec::new()), |step| self.state.dates(step, self.now));
        let remind_at = reminders.first().copied();
        Waiting { step, opened_at: self.now, decide_by, remind_at, escalated: false, asked: Vec::new() }
    }

    fn tell_opened(&mut self, step: u32) {
        let Some(waiting) = self.open_step(step).cloned() else { return };
        let asked = self.state.eligible(&waiting, self.directory);
        let decide_by = waiting.decide_by;
        if let Some(waiting) = self.open_step(step) {
            waiting.asked.clone_from(&asked);
        }
        self.happened.push(Happened::StepOpened { step, asked: asked.clone(), decide_by });
        let waiting = Waiting { asked, ..waiting };
        if self.short(&waiting) {
            // Waiting would change nothing: those who could decide are too few.
            self.time_out(&waiting);
        }
    }

    fn open_step(&mut self, step: u32) -> Option<&mut Waiting> {
        match &mut self.state.phase {
            Phase::Waiting(open) => open.steps.iter_mut().find(|waiting| waiting.step == step),
            Phase::SentBack(_) | Phase::Ended(_) => None,
        }
    }

    pub(super) fn decide(&mut self, decision: Decision) {
        let Decision { person, step, verdict, comment, .. } = decision.clone();
        self.state.decisions.push(decision.clone());
        self.happened.push(Happened::Decided(decision));
        let by = || DecidedBy::People { people: vec![person.clone()] };
        match verdict {
            Verdict::Reject => self.end(End::Denied, by(), comment),
            Verdict::SendBack => {
                let answer_by =
                    self.state.step(step).map_or(self.now, |one| self.state.until(one.decide_within, one, self.now));
                let question = Question {
                    step,
                    by: person.clone(),
                    question: comment.unwrap_or_default(),
                    at: self.now,
                    answer_by,
                };
                self.happened.push(Happened::SentBack(question.clone()));
                self.state.phase = Phase::SentBack(question);
            }
            Verdict::Approve => self.close_passed(),
        }
    }

    /// Closes the steps that have passed, and goes on when none is open any more.
    fn close_passed(&mut self) {
        let passed: Vec<u32> = self
            .state
            .open_steps()
            .iter()
            .map(|waiting| waiting.step)
            .filter(|step| self.state.passed(*step))
            .collect();
        if let Phase::Waiting(open) = &mut self.state.phase {
            open.steps.retain(|waiting| !passed.contains(&waiting.step));
            if open.steps.is_empty() {
                self.advance();
            }
        }
    }

    pub(super) fn remark(&mut self, by: &Actor, kind: RemarkKind, text: Option<String>) {
        let remark = Remark { by: by.clone(), at: self.now, kind, text, edited: Vec::new() };
        self.say(remark, 0);
    }

    fn say(&mut self, remark: Remark, superseded: u32) {
        self.state.remarks.push(remark.clone());
        self.happened.push(Happened::Remarked { remark, superseded });
    }

    /// The steps that were open open again, with all their time. What others approved was about the same facts and
    /// stands; who asked may decide now.
    pub(super) fn answer(&mut self, by: &Actor, text: String) {
        let superseded = self.supersede(|said| said.verdict == Verdict::SendBack);
        let remark =
            Remark { by: by.clone(), at: self.now, kind: RemarkKind::Answer, text: Some(text), edited: Vec::new() };
        self.say(remark, superseded);
        self.state.phase = Phase::Waiting(Open { steps: Vec::new() });
        self.advance();
    }

    fn supersede(&mut self, which: impl Fn(&Decision) -> bool) -> u32 {
        let mut count = 0;
        for said in self.state.decisions.iter_mut().filter(|said| said.superseded_at.is_none()) {
            if which(said) {
                said.superseded_at = Some(self.now);
                count += 1;
            }
        }
        count
    }

    /// What the edit does to each step is its [`crate::policy::OnEdit`]. Where the policy asks other steps of the edited
    /// request, and any step wants that looked at, the request starts again with those.
    pub(super) fn edit(&mut self, by: &Actor, edit: &Edit, text: Option<String>) {
        let upon = |step: &Step| edit.changed.iter().map(|part| step.on_edit.of(*part)).max().unwrap_or_default();
        let rules: Vec<Upon> = self.state.steps.iter().map(upon).collect();
        let judged = self.state.judges_again(&edit.changed);
        let anew = self.state.starts_anew(edit);
        let void = |step: u32| anew || rules.get(step as usize) == Some(&Upon::Void);
        let superseded = self.supersede(|said| void(said.step) || said.verdict == Verdict::SendBack);
        self.state.revision += 1;
        self.state.timing.deadline = edit.deadline;
        if judged {
            (self.state.from, self.state.to) = (edit.from.clone(), edit.to.clone());
        }
        let edited = edit.changed.clone();
        self.say(Remark { by: by.clone(), at: self.now, kind: RemarkKind::Edit, text, edited }, superseded);
        let mut open = self.state.open_steps().to_vec();
        open.retain(|waiting| !void(waiting.step));
        self.state.phase = Phase::Waiting(Open { steps: open });
        if anew {
            self.start_again(edit);
        } else {
            self.advance();
        }
    }

    fn start_again(&mut self, edit: &Edit) {
        self.state.row.clone_from(&edit.row);
        match &edit.then {
            Then::AutoApprove => self.end_by_policy(End::Approved),
            Then::Deny => self.end_by_policy(End::Denied),
            Then::Steps(steps) => {
                self.state.steps.clone_from(steps);
                // Who was added stays added: an edit must not shake them off.
                let last = u32::try_from(steps.len().saturating_sub(1)).unwrap_or(u32::MAX);
                self.state.added.iter_mut().for_each(|added| added.step = added.step.min(last));
                self.advance();
            }
        }
    }

    pub(super) fn add_approver(&mut self, step: u32, person: &PersonId, by: &PersonId) {
        let added = Added { step, person: person.clone(), by: by.clone(), at: self.now };
        self.state.added.push(added.clone());
        let Some(waiting) = self.open_step(step) else { return };
        if !waiting.asked.contains(person) {
            waiting.asked.push(person.clone());
        }
        let decide_by = waiting.decide_by;
        self.happened.push(Happened::ApproverAdded { added, decide_by });
    }

    pub(super) fn watch(&mut self, person: &PersonId) {
        self.state.watchers.push(person.clone());
        self.happened.push(Happened::WatcherAdded { person: person.clone() });
    }

    pub(super) fn tick(&mut self) {
        if self.state.question().is_some_and(|question| self.now >= question.answer_by) {
            return self.end_by_policy(End::Expired);
        }
        for waiting in self.state.open_steps().to_vec() {
            if self.now >= waiting.decide_by {
                self.time_out(&waiting);
            } else if waiting.remind_at.is_some_and(|at| self.now >= at) {
                self.remind(&waiting);
            }
            if self.state.ended().is_some() {
                return;
            }
        }
    }

    fn remind(&mut self, waiting: &Waiting) {
        let (step, decide_by) = (waiting.step, waiting.decide_by);
        let silent = |id: &PersonId| self.state.word_of(id, step).is_none();
        let people = self.state.eligible(waiting, self.directory).into_iter().filter(silent).collect();
        // Reminders that were missed come as one.
        let next = self.state.step(step).and_then(|one| {
            let (_, reminders) = self.state.dates(one, waiting.opened_at);
            reminders.into_iter().find(|at| *at > self.now && *at < decide_by)
        });
        if let Some(waiting) = self.open_step(step) {
            waiting.remind_at = next;
        }
        self.happened.push(Happened::Reminded { step, people, decide_by });
    }

    /// Escalates once; ends the request when that was done, is not asked for, or finds too few people.
    fn time_out(&mut self, waiting: &Waiting) {
        let step = waiting.step;
        let within = self.state.escalation(waiting, self.now).map(|escalation| escalation.within);
        let (Some(within), Some(one)) = (within, self.state.step(step)) else {
            let short = self.short(waiting);
            return self.end_by_policy(if short { End::NobodyToAsk } else { End::Expired });
        };
        let decide_by = self.state.until(within, one, self.now);
        let mut escalated = Waiting { escalated: true, decide_by, remind_at: None, ..waiting.clone() };
        let all = self.state.eligible(&escalated, self.directory);
        let asked: Vec<_> = all.into_iter().filter(|id| !waiting.asked.contains(id)).collect();
        if self.short(&escalated) {
            return self.end_by_policy(End::NobodyToAsk);
        }
        escalated.asked.extend(asked.iter().cloned());
        if let Some(open) = self.open_step(step) {
            *open = escalated;
        }
        self.happened.push(Happened::Escalated { step, asked, decide_by });
    }

    /// Whether too few may decide the step, those included who have.
    fn short(&self, waiting: &Waiting) -> bool {
        let quorum = self.state.step(waiting.step).map_or(0, |step| step.quorum as usize);
        self.state.reachable(waiting, self.directory) < quorum
    }
}
