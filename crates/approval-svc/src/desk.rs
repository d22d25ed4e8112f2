//! The desk where requests are taken in, decided and timed: the same three moves every time, in one transaction. Load
//! and lock; let the state machine judge; write the new state with everything that follows from it.

mod aside;
mod authority;
pub(crate) mod edit;
mod inbox;
mod overrides;
mod timer;

use std::sync::Arc;

use aside::in_time;
use chassis::{
    prelude::{ConfigError, Cx, NewEffect, Settings, StoreError, Timestamp, Tx},
    reload::Reloaded,
};
use contracts::{
    FieldError, PersonId,
    events::{ApprovalDecided, ApprovalReminded, ApprovalRequested, AskedPerson, DecidedBy},
};
use governance::{
    Actor, Command, Directory, Requester, State,
    authority::{OverrideRefused, PatternRules},
    calendar::{self, Calendars},
    link::{Link, LinkRefused},
    policy::{AtTimeout, RequesterExecutes, Then},
    request::{Decision, Ended, Happened, Opening, Refused, Timing, Transition, Verdict},
};
use jiff::SignedDuration;
pub(crate) use overrides::{Breaking, ReviewRefused, tell_unreviewed};
use serde_json::json;
pub(crate) use timer::tell_lapsed;

use crate::{
    books::Books,
    effects::callback::{self, Delivery},
    reask,
    rules::{
        claims, past,
        proposal::{Case, NewApproval},
        view::Status,
    },
    settings::{ApprovalSettings, GrantKeys, LinkKeys},
    store::{self, IssuedGrant, Stored, policies},
};

/// A link still shows how the matter ended after the step's time is over.
const LINK_OUTLIVES_STEP: SignedDuration = SignedDuration::from_hours(24);
/// How long watchers may look at the end.
const WATCHERS_LOOK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Most addresses of one request: each is an execution of the caller's that waits for the same decision.
const MAX_CALLBACKS: usize = 50;

/// Everything a decision is made with.
pub(crate) struct Desk {
    directory: Arc<Reloaded<Directory>>,
    calendars: Reloaded<Calendars>,
    policies: Books,
    keys: Reloaded<GrantKeys>,
    links: LinkKeys,
    /// Base of links; no slash at the end.
    public_url: String,
    patterns: PatternRules,
}

/// Why the desk did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeskError {
    #[error("there is no such request")]
    Unknown,
    #[error("the request is refused")]
    Refused(#[from] Refused),
    #[error("the fields of the request are invalid")]
    Invalid(Vec<FieldError>),
    #[error("there is no override")]
    Override(#[source] OverrideRefused),
    #[error("the review is refused")]
    Review(#[from] ReviewRefused),
    #[error("another action has this reference already")]
    ReferenceTaken { first: String },
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("a key cannot be used")]
    Key(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl DeskError {
    fn key(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Key(Box::new(error))
    }
}

impl Desk {
    /// # Errors
    /// Everything wrong in the section `approvals` and the files it names.
    pub(crate) fn new(settings: &Settings, section: &ApprovalSettings) -> Result<Self, ConfigError> {
        let people = section.directory().and_then(|directory| {
            let directory = Arc::new(directory);
            section.policy(&directory).map(|policy| (directory, Books::new(policy)))
        });
        match (people, section.calendars(), section.grant_keys(), section.link_key()) {
            (Ok((directory, policies)), Ok(calendars), Ok(keys), Ok(links)) => {
                let patterns = section.patterns;
                Ok(Self { directory, calendars, policies, keys, links, public_url: public_url(settings), patterns })
            }
            (people, calendars, keys, links) => {
                let errors = [people.err(), calendars.err(), keys.err(), links.err()].into_iter().flatten();
                Err(errors.reduce(ConfigError::and).unwrap_or_else(|| ConfigError::one("approvals")))
            }
        }
    }

    pub(crate) fn policies(&self) -> &Books {
        &self.policies
    }

    pub(crate) fn grant_keys(&self) -> Arc<GrantKeys> {
        self.keys.get()
    }

    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.directory.get()
    }

    /// Whom a link lets in.
    pub(crate) fn read_link(&self, token: &str, now: Timestamp) -> Result<Result<Link, LinkRefused>, ConfigError> {
        Ok(self.links.get()?.verify(token, now))
    }

    /// Takes a request in. A request with a known reference is the first one again, with its callback added.
    ///
    /// # Errors
    /// [`DeskError`]; the transaction must then not be committed.
    pub(crate) async fn open(
        &self,
        tx: &mut Tx,
        by: Actor,
        new: &NewApproval,
        mut case: Case,
    ) -> Result<(Stored, Fresh), DeskError> {
        if let Some(first) = self.repeated(tx, new).await? {
            return Ok((first, Fresh::No));
        }
        if new.decide_by.is_some_and(|decide_by| decide_by <= tx.now()) {
            return Err(DeskError::Invalid(vec![FieldError::new("/decide_by", "must lie ahead")]));
        }
        let directory = self.directory.get();
        let unknown = new.watchers.iter().enumerate().filter(|(_, id)| directory.person(id).is_none());
        let unknown: Vec<_> = unknown
            .map(|(i, _)| FieldError::new(format!("/watchers/{i}"), "is nobody whom the directory knows"))
            .collect();
        if !unknown.is_empty() {
            return Err(DeskError::Invalid(unknown));
        }
        case.asks_again = reask::since(tx, new, &by.to_string()).await?;
        let id = tx.new_id().to_string();
        if tx.trace().correlation_id.is_none() {
            tx.correlate(id.clone());
        }
        let requester = Requester { by: by.clone(), on_behalf_of: new.on_behalf_of.clone() };
        let chain = self.chain_of(tx, &new.related, &requester).await?;
        // Who acts for whom matters only where somebody is asked, or must not carry it out.
        let kept_out = case.route.requester_executes != RequesterExecutes::Allowed;
        let people = match case.route.then {
            Then::Deny => directory,
            Then::AutoApprove if !kept_out || authority::people_of(&requester).is_empty() => directory,
            Then::Steps(_) | Then::AutoApprove => Arc::new(self.people_opening(tx, &case.input, &chain).await?),
        };
        let opening = Opening {
            requester,
            from: case.input.from.clone(),
            to: case.input.to.clone(),
            row: case.route.row.clone(),
            then: case.route.then.clone(),
            timing: self.timing(&case),
            watchers: new.watchers.clone(),
        };
        let Transition { state, happened } = State::open(opening, tx.now(), &people);
        let mut request = Stored {
            id,
            reference: new.reference.clone(),
            requested_by: by.to_string(),
            case,
            state,
            grant: None,
            thread: tx.trace().clone(),
            created_at: tx.now(),
            callbacks: new.callback.iter().map(|callback| callback.url.clone()).collect(),
        };
        self.grant_if_approved(tx, &mut request, &people)?;
        if !store::add(tx, &request).await? {
            // A twin with the same reference was faster; it has committed by now.
            let first = self.repeated(tx, new).await?;
            return first.map(|first| (first, Fresh::No)).ok_or(DeskError::Unknown);
        }
        store::add_asked(tx, &request.id, &request.state.watchers).await?;
        self.audit_opening(tx, &request).await?;
        self.note_opening(tx, &request, &chain).await?;
        self.tell(tx, &request, &happened, "").await?;
        Ok((request, Fresh::Yes))
    }

    /// The opening hours that count, as they are now, and the deadline of the business.
    fn timing(&self, case: &Case) -> Timing {
        let calendars = self.calendars.get();
        let of = |site| calendars.of(site).cloned();
        Timing { deadline: case.deadline, from: of(&case.input.from), to: of(&case.input.to) }
    }

    async fn repeated(&self, tx: &mut Tx, new: &NewApproval) -> Result<Option<Stored>, DeskError> {
        let Some(reference) = &new.reference else { return Ok(None) };
        let Some(mut first) = store::lock_reference(tx, reference).await? else { return Ok(None) };
        if first.case.action != new.action {
            return Err(DeskError::ReferenceTaken { first: first.id });
        }
        if let Some(callback) = &new.callback {
            self.attach(tx, &mut first, &callback.url).await?;
        }
        Ok(Some(first))
    }

    /// Adds a callback to a locked request, and serves it at once when all is decided.
    ///
    /// # Errors
    /// When the store fails; [`DeskError::Invalid`] when there are too many.
    pub(crate) async fn attach(&self, tx: &mut Tx, request: &mut Stored, url: &str) -> Result<(), DeskError> {
        if request.callbacks.iter().any(|known| known == url) {
            return Ok(());
        }
        if request.callbacks.len() >= MAX_CALLBACKS {
            let detail = format!("the request has {MAX_CALLBACKS} callbacks already");
            return Err(DeskError::Invalid(vec![FieldError::new("/callback/url", detail)]));
        }
        request.callbacks.push(url.to_owned());
        store::set_callbacks(tx, request).await?;
        if request.state.ended().is_some() {
            deliver(tx, request, url).await?;
        }
        Ok(())
    }

    /// Carries out a person's or the requester's command. `how` is how it reached us, for the audit.
    ///
    /// # Errors
    /// [`DeskError`].
    pub(crate) async fn command(&self, cx: &Cx, id: &str, command: &Command, how: &str) -> Result<Stored, DeskError> {
        let mut tx = cx.store().begin().await?;
        let outcome = self.carry_out(&mut tx, id, command, how).await;
        // A refusal leaves its audit leaf; any other failure leaves nothing.
        if matches!(outcome, Ok(_) | Err(DeskError::Refused(_))) {
            tx.commit().await?;
        }
        outcome
    }

    /// As [`Self::command`], in a transaction of somebody else's.
    pub(crate) async fn carry_out(
        &self,
        tx: &mut Tx,
        id: &str,
        command: &Command,
        how: &str,
    ) -> Result<Stored, DeskError> {
        let request = store::lock(tx, id).await?.ok_or(DeskError::Unknown)?;
        self.carry_out_on(tx, request, command, how).await
    }

    /// As [`Desk::carry_out`], on a request that is locked already.
    async fn carry_out_on(
        &self,
        tx: &mut Tx,
        mut request: Stored,
        command: &Command,
        how: &str,
    ) -> Result<Stored, DeskError> {
        if let Some(correlation) = &request.thread.correlation_id {
            tx.correlate(correlation.clone());
        }
        let people = self.people_deciding(tx, &request, command).await?;
        let judged = request.state.apply(command, tx.now(), &people);
        let judged = self.spend(tx, &request, judged, &people).await?;
        let Transition { state, happened } = match judged {
            Ok(transition) => transition,
            Err(refused) => {
                audit_refusal(tx, &request.id, command, &refused, how).await?;
                return Err(refused.into());
            }
        };
        if happened.is_empty() {
            return Ok(request);
        }
        let seen = request.state.version;
        request.state = state;
        self.grant_if_approved(tx, &mut request, &people)?;
        store::record(tx, &request, seen).await?;
        self.tell(tx, &request, &happened, how).await?;
        Ok(request)
    }

    /// An approval without its grant would be a promise that nobody can redeem, so both are in one transaction.
    fn grant_if_approved(&self, tx: &Tx, request: &mut Stored, people: &Directory) -> Result<(), DeskError> {
        if Status::of(&request.state) == Status::Approved {
            let id = tx.new_id().to_string();
            let claims = claims((&request.case, &request.state), &request.id, id.clone(), people, tx.now());
            let token = self.keys.get().signer.sign(&claims).map_err(DeskError::key)?;
            request.grant = Some(IssuedGrant { id, token });
        }
        Ok(())
    }

    async fn audit_opening(&self, tx: &mut Tx, request: &Stored) -> Result<(), StoreError> {
        let case = &request.case;
        let details = json!({
            "title": case.title, "action": case.action, "facts_hash": case.facts_hash, "policy": case.route.policy, "overlay": case.route.overlay,
            "row": case.route.row, "passed_over": case.route.trace, "score": case.score.as_ref().map(|s| s.micros),
            // Nobody proved it; it can only have tightened the rules.
            "on_behalf_of_asserted": request.state.requester.on_behalf_of, "binds": binds(request)?,
            "reference": request.reference,
        });
        tx.audit(&request.requested_by, "approval.requested", &subject(&request.id), details).await
    }

    /// Everything that follows from what happened: audit leaves, events, callbacks.
    async fn tell(&self, tx: &mut Tx, request: &Stored, happened: &[Happened], how: &str) -> Result<(), DeskError> {
        let over = request.state.ended().is_some();
        for one in happened {
            match one {
                Happened::StepOpened { step, asked, decide_by } => {
                    self.tell_asked(tx, request, (*step, asked, *decide_by), over).await?;
                }
                Happened::Decided(decision) => audit_decision(tx, request, decision, how).await?,
                Happened::Reminded { step, people, decide_by } => {
                    self.tell_reminded(tx, request, (*step, people, *decide_by), false, over).await?;
                }
                Happened::Escalated { step, asked, decide_by } => {
                    self.tell_reminded(tx, request, (*step, asked, *decide_by), true, over).await?;
                }
                Happened::SentBack(question) => self.tell_sent_back(tx, request, question).await?,
                Happened::Remarked { remark, superseded } => {
                    aside::audit_remark(tx, request, remark, *superseded, how).await?;
                }
                Happened::ApproverAdded { added, decide_by } => self.tell_added(tx, request, added, *decide_by).await?,
                Happened::WatcherAdded { person } => aside::add_watcher(tx, request, person, how).await?,
                Happened::Ended(ended) => self.tell_ended(tx, request, ended).await?,
            }
        }
        Ok(())
    }

    async fn tell_asked(
        &self,
        tx: &mut Tx,
        request: &Stored,
        (step, asked, decide_by): (u32, &[PersonId], Timestamp),
        over: bool,
    ) -> Result<(), DeskError> {
        let details = json!({"step": step, "asked": asked, "decide_by": decide_by});
        tx.audit("steward", "approval.step_opened", &subject(&request.id), details).await?;
        store::add_asked(tx, &request.id, asked).await?;
        // A step that ended as it opened, because too few may decide, asks nobody.
        if over || asked.is_empty() {
            return Ok(());
        }
        self.emit_requested(tx, request, step, asked, decide_by).await
    }

    async fn emit_requested(
        &self,
        tx: &mut Tx,
        request: &Stored,
        step: u32,
        asked: &[PersonId],
        decide_by: Timestamp,
    ) -> Result<(), DeskError> {
        let told = self.in_office(tx, request, asked).await?;
        let event = ApprovalRequested {
            approval_id: request.id.clone(),
            title: request.case.title.clone(),
            action: request.case.action.clone(),
            reason: request.case.route.why.clone().unwrap_or_else(|| request.case.route.row.clone()),
            step,
            asked: self.invite(request, step, &told, decide_by)?,
            revision: request.state.revision,
            decide_by,
            score: request.case.score.as_ref().map(|score| score.micros),
        };
        tx.emit(&event).await?;
        Ok(())
    }

    async fn tell_reminded(
        &self,
        tx: &mut Tx,
        request: &Stored,
        (step, people, decide_by): (u32, &[PersonId], Timestamp),
        escalated: bool,
        over: bool,
    ) -> Result<(), DeskError> {
        let verb = if escalated { "approval.escalated" } else { "approval.reminded" };
        let details = json!({"step": step, "people": people, "decide_by": decide_by});
        tx.audit("steward", verb, &subject(&request.id), details).await?;
        // Who is reminded was told before, but for those who came into the role since.
        let open = request.state.open_steps().iter().find(|waiting| waiting.step == step);
        let told = |id: &&PersonId| !escalated && open.is_some_and(|waiting| waiting.asked.contains(id));
        let new: Vec<PersonId> = people.iter().filter(|id| !told(id)).cloned().collect();
        store::add_asked(tx, &request.id, &new).await?;
        if over || people.is_empty() {
            return Ok(());
        }
        let told = self.in_office(tx, request, people).await?;
        let event = ApprovalReminded {
            approval_id: request.id.clone(),
            title: request.case.title.clone(),
            step,
            escalated,
            asked: self.invite(request, step, &told, decide_by)?,
            decide_by,
        };
        tx.emit(&event).await?;
        Ok(())
    }

    async fn tell_ended(&self, tx: &mut Tx, request: &Stored, ended: &Ended) -> Result<(), DeskError> {
        let (case, subject) = (&request.case, subject(&request.id));
        let details = json!({
            "how": ended.how, "by": ended.by, "comment": ended.comment, "facts_hash": case.facts_hash,
            "binds": binds(request)?,
        });
        tx.audit(&ended_by(case, &ended.by), "approval.ended", &subject, details).await?;
        if let Some(grant) = &request.grant {
            let details = json!({
                "grant_id": grant.id, "kid": self.keys.get().signer.kid(), "bounds": case.bounds,
                "expires_at": case.route.grant_valid_for.after(tx.now()),
            });
            tx.audit("steward", "grant.issued", &subject, details).await?;
            store::add_unused(tx, &grant.id, &request.id, case.route.grant_valid_for.after(tx.now())).await?;
        }
        let event = ApprovalDecided {
            approval_id: request.id.clone(),
            title: case.title.clone(),
            outcome: ended.how.into(),
            by: ended.by.clone(),
            comment: ended.comment.clone(),
            action: case.action.clone(),
            facts_hash: case.facts_hash.clone(),
            grant_id: request.grant.as_ref().map(|grant| grant.id.clone()),
            decided_at: ended.at,
            watchers: self.links_for(request, 0, &request.state.watchers, in_time(ended.at, WATCHERS_LOOK))?,
        };
        tx.emit(&event).await?;
        policies::remember(tx, &past::recorded(request, ended)).await?;
        for url in &request.callbacks {
            deliver(tx, request, url).await?;
        }
        Ok(())
    }

    /// A link for each of these people, good as long as they may decide and a day longer to look at the result.
    fn invite(
        &self,
        request: &Stored,
        step: u32,
        people: &[PersonId],
        decide_by: Timestamp,
    ) -> Result<Vec<AskedPerson>, DeskError> {
        let one = request.state.steps.get(step as usize);
        let after_escalation = match one.map(|step| &step.at_timeout) {
            // On the clock, or in opening hours of either end, whichever is later: a link may live too long, not too
            // short.
            Some(AtTimeout::Escalate(escalation)) => {
                let timing = &request.state.timing;
                let ends = [&timing.from, &timing.to]
                    .map(|place| calendar::after(escalation.within, decide_by, place.as_ref()));
                ends.into_iter().max().unwrap_or(decide_by)
            }
            _ => decide_by,
        };
        self.links_for(request, step, people, in_time(after_escalation, LINK_OUTLIVES_STEP))
    }

    /// Links for these people, as far as the directory knows them, until they expire.
    fn links_for(
        &self,
        request: &Stored,
        step: u32,
        people: &[PersonId],
        expires_at: Timestamp,
    ) -> Result<Vec<AskedPerson>, DeskError> {
        if people.is_empty() {
            return Ok(Vec::new());
        }
        let (directory, key) = (self.directory.get(), self.links.get().map_err(DeskError::key)?);
        let asked = people.iter().filter_map(|id| directory.person(id)).map(|person| {
            let link = Link { approval_id: request.id.clone(), person: person.id.clone(), step, expires_at };
            let token = key.issue(&link).map_err(StoreError::from)?;
            Ok(AskedPerson {
                person: person.id.clone(),
                name: person.name.clone(),
                email: person.email.clone(),
                link: format!("{}/approvals/decide/{token}", self.public_url),
            })
        });
        asked.collect()
    }
}

/// As the settings promise: where nothing is said, the address that is listened on.
fn public_url(settings: &Settings) -> String {
    match settings.common.public_url.as_str() {
        "" => format!("http://{}", settings.common.http.listen),
        url => url.to_owned(),
    }
}

/// Whether a request was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fresh {
    Yes,
    No,
}

/// Hashes of the request as it is now, which its evidence is checked against.
pub(crate) fn binds(request: &Stored) -> Result<serde_json::Value, StoreError> {
    let (case, state) = (serde_json::to_value(&request.case)?, serde_json::to_value(&request.state)?);
    Ok(governance::evidence::bindings(&case, &state, request.grant.as_ref().map(|grant| grant.token.as_str()))?)
}

pub(crate) fn subject(id: &str) -> String {
    format!("approval:{id}")
}

fn ended_by(case: &Case, by: &DecidedBy) -> String {
    match by {
        DecidedBy::People { people } => people.last().map_or_else(|| "steward".into(), |id| format!("person:{id}")),
        DecidedBy::Policy { .. } => format!("policy:{}@{}", case.route.policy.id, case.route.policy.version),
        DecidedBy::Service { key } => format!("key:{key}"),
    }
}

async fn deliver(tx: &mut Tx, request: &Stored, url: &str) -> Result<(), StoreError> {
    let delivery = Delivery { approval_id: request.id.clone(), url: url.to_owned() };
    // One order key per execution: n8n answers 500 to one of two resumes at the same moment, and an execution that is
    // gone for good must not hold back another one that waits for the same decision.
    let mut effect = NewEffect::new(callback::NAME, url, &delivery)?.about(subject(&request.id));
    if let Some(value) = request.case.input.value {
        effect = effect.at_stake(value);
    }
    tx.effect(effect).await.map(drop)
}

async fn audit_decision(tx: &mut Tx, request: &Stored, decision: &Decision, how: &str) -> Result<(), StoreError> {
    let verb = match decision.verdict {
        Verdict::Approve => "approval.approved",
        Verdict::Reject => "approval.rejected",
        Verdict::SendBack => "approval.sent_back",
    };
    let details = json!({
        "step": decision.step, "comment": decision.comment, "via": how, "facts_hash": request.case.facts_hash,
        "version": request.state.version, "revision": decision.revision, "on_authority_of": decision.authority,
    });
    tx.audit(&format!("person:{}", decision.person), verb, &subject(&request.id), details).await
}

/// Somebody tried what they may not: that leaves a leaf. Slips (a second click, a stale page) do not.
async fn audit_refusal(
    tx: &mut Tx,
    id: &str,
    command: &Command,
    refused: &Refused,
    how: &str,
) -> Result<(), StoreError> {
    let actor = match command {
        Command::Decide { person, .. } | Command::AddApprover { by: person, .. } => format!("person:{person}"),
        Command::Withdraw { by, .. }
        | Command::Comment { by, .. }
        | Command::Answer { by, .. }
        | Command::Edit { by, .. } => by.to_string(),
        Command::Watch { .. } | Command::Tick => return Ok(()),
    };
    let trespass = matches!(
        refused,
        Refused::NotAsked { .. }
            | Refused::RequesterMayNotApprove { .. }
            | Refused::ApprovedEarlierStep { .. }
            | Refused::ActsForRequester { .. }
            | Refused::AskedForRelated { .. }
            | Refused::BeyondAuthority(_)
            | Refused::NotTheRequester
    );
    if trespass {
        let details = json!({"why": refused.code(), "detail": refused.to_string(), "via": how});
        tx.audit(&actor, "approval.refused", &subject(id), details).await?;
    }
    Ok(())
}
