//! Authority at the desk: who may decide this request now, on whose budget, and what it looks like beside others.
//!
//! Everything is read and written in the deciding transaction. A budget is a row that is locked before it is counted,
//! so two replicas cannot both spend the last of it.

use std::collections::{BTreeMap, BTreeSet};

use chassis::prelude::{StoreError, Timestamp, Tx};
use contracts::{Action, FieldError, Money, PersonId, events::ApprovalSuspected, money::Currency};
use governance::{
    Command, Directory, Kind, Requester, State,
    authority::{Beyond, Given, Matter, OverLimit, Past, Standing, Suspicion, mandates, same_currency},
    policy::{Edited, Input},
    request::{Decision, Happened, Refused, Transition, Verdict},
};
use serde_json::json;
use sqlx::AnyConnection;

use super::{Desk, DeskError, subject};
use crate::{
    rules::view::Status,
    store::{self, Stored, authority as book},
};

/// Most documents of one chain; longer ones are no chain but a habit.
const MAX_CHAIN: usize = 100;

/// The chain that a new request joins.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// What the request names, by id.
    named: Vec<String>,
    barred: BTreeMap<PersonId, String>,
}

/// As budgets and patterns name who asked: the people behind a request, or the program alone.
pub(crate) fn requester_names(requester: &Requester) -> Vec<String> {
    let own = requester.by.to_string();
    let person = requester.on_behalf_of.as_ref().map(|person| format!("person:{person}"));
    match person {
        Some(person) if own.starts_with("person:") && own != person => vec![own, person],
        Some(person) => vec![person],
        None => vec![own],
    }
}

pub(super) fn people_of(requester: &Requester) -> Vec<PersonId> {
    let names = requester_names(requester);
    names.iter().filter_map(|name| PersonId::new(name.strip_prefix("person:")?).ok()).collect()
}

impl Desk {
    /// How amounts in other currencies compare: by the rates that the policy in force states. What it states no rate
    /// for is within nobody's authority.
    pub(crate) fn convert(&self, amount: Money, currency: Currency) -> Option<Money> {
        same_currency(amount, currency).or_else(|| {
            self.policies.with_base_at_hand(|policy| {
                policy.money.as_ref().filter(|stated| stated.base == currency)?.convert(amount)
            })
        })
    }

    /// Resolves what a new request names as related, locks that whole chain, and refuses who approved within it: an
    /// approval there and this request must not overtake each other.
    pub(super) async fn chain_of(
        &self,
        tx: &mut Tx,
        related: &[String],
        requester: &Requester,
    ) -> Result<Chain, DeskError> {
        if related.is_empty() {
            return Ok(Chain::default());
        }
        let mut named = Vec::new();
        for (i, name) in related.iter().enumerate() {
            let unknown = || FieldError::new(format!("/related/{i}"), "is no id or reference of a request");
            named.push(book::id_of(tx.conn(), name).await?.ok_or_else(|| DeskError::Invalid(vec![unknown()]))?);
        }
        let documents = book::chain(tx.conn(), &named, MAX_CHAIN).await?;
        if documents.len() > MAX_CHAIN {
            let detail = format!("the chain has more than {MAX_CHAIN} documents");
            return Err(DeskError::Invalid(vec![FieldError::new("/related", detail)]));
        }
        for document in &documents {
            store::lock(tx, document).await?;
        }
        let askers = people_of(requester);
        for document in &documents {
            let approvers = book::approvers(tx.conn(), document).await?;
            if let Some(person) = askers.iter().find(|person| approvers.contains(person)) {
                let (person, related) = (person.clone(), document.clone());
                return Err(Refused::ApprovedRelated { person, related }.into());
            }
        }
        let barred = book::barred(tx.conn(), &documents).await?;
        Ok(Chain { named, barred })
    }

    /// The directory as it counts for a request that is being opened.
    pub(super) async fn people_opening(
        &self,
        tx: &mut Tx,
        input: &Input,
        chain: &Chain,
    ) -> Result<Directory, StoreError> {
        let (now, matter) = (tx.now(), Matter::from(input));
        let around = book::around(tx.conn(), "", now).await?;
        let mandates = mandates(&around.delegations, &matter, now, &|amount, to| self.convert(amount, to));
        let standing = Standing { mandates, barred: chain.barred.clone(), ..Standing::default() };
        Ok(self.directory().for_matter(standing))
    }

    /// The directory as it counts for a request that exists: who acts for whom, who is kept out, who was called in.
    pub(crate) async fn people_looking(
        &self,
        conn: &mut AnyConnection,
        request: &Stored,
        now: Timestamp,
    ) -> Result<Directory, StoreError> {
        self.people_about(conn, &request.id, &request.case.input, now).await
    }

    async fn people_about(
        &self,
        conn: &mut AnyConnection,
        id: &str,
        input: &Input,
        now: Timestamp,
    ) -> Result<Directory, StoreError> {
        let around = book::around(&mut *conn, id, now).await?;
        let barred = if around.has_related {
            let mut documents = book::chain(&mut *conn, &[id.to_owned()], usize::MAX).await?;
            documents.remove(id);
            book::barred(conn, &documents).await?
        } else {
            BTreeMap::new()
        };
        let matter = Matter::from(input);
        let mandates = mandates(&around.delegations, &matter, now, &|amount, to| self.convert(amount, to));
        let standing = Standing { mandates, barred, called_in: around.called_in, short: BTreeMap::new() };
        Ok(self.directory().for_matter(standing))
    }

    /// As [`Self::people_looking`], with the budgets of those on whose authority this command would decide: locked, so
    /// that what is counted here is still true when it is spent.
    pub(super) async fn people_deciding(
        &self,
        tx: &mut Tx,
        request: &Stored,
        command: &Command,
    ) -> Result<Directory, StoreError> {
        let now = tx.now();
        let people = self.people_looking(tx.conn(), request, now).await?;
        let Command::Decide { person, verdict: Verdict::Approve, .. } = command else { return Ok(people) };
        let matter = Matter::from(&request.case.input);
        let roots: BTreeSet<_> = people.standing().roots(person).chain([person]).cloned().collect();
        let limited = |id: &&PersonId| people.person(id).is_some_and(|person| people.is_limited(person, &matter));
        let limited: Vec<_> = roots.iter().filter(limited).cloned().collect();
        if limited.is_empty() {
            return Ok(people);
        }
        // The actor's own budget is spent as well, so it is locked even where only the root's is counted.
        book::lock_names(tx, &roots.iter().map(|id| format!("person:{id}")).collect()).await?;
        let mut standing = people.standing().clone();
        for id in limited {
            if let Some(over) = self.over_limit(tx.conn(), &people, &id, &matter, now).await? {
                standing.short.insert(id, over);
            }
        }
        Ok(people.for_matter(standing))
    }

    async fn over_limit(
        &self,
        conn: &mut AnyConnection,
        people: &Directory,
        id: &PersonId,
        matter: &Matter,
        now: Timestamp,
    ) -> Result<Option<OverLimit>, StoreError> {
        let Some(person) = people.person(id) else { return Ok(None) };
        let given = self.ledger(conn, people, id, now).await?;
        Ok(people.room(person, matter, &given, now, &|amount, to| self.convert(amount, to)).err())
    }

    /// What counts against this person's rolling limits.
    pub(crate) async fn ledger(
        &self,
        conn: &mut AnyConnection,
        people: &Directory,
        id: &PersonId,
        now: Timestamp,
    ) -> Result<Vec<Given>, StoreError> {
        let longest = people.limits().iter().filter_map(|limit| Some(limit.rolling.as_ref()?.within.seconds())).max();
        match longest {
            Some(seconds) => book::given(conn, id, book::back(now, seconds)).await,
            None => Ok(Vec::new()),
        }
    }

    /// Enters what was approved into the ledger, or refuses it because no authority for it is left: then those who have
    /// it are asked. A refusal of the state machine passes through.
    pub(super) async fn spend(
        &self,
        tx: &mut Tx,
        request: &Stored,
        judged: Result<Transition, Refused>,
        people: &Directory,
    ) -> Result<Result<Transition, Refused>, DeskError> {
        let Ok(transition) = judged else { return Ok(judged) };
        let matter = Matter::from(&request.case.input);
        for happened in &transition.happened {
            let Happened::Decided(decision) = happened else { continue };
            if decision.verdict != Verdict::Approve {
                continue;
            }
            let root = decision.authority.as_ref().unwrap_or(&decision.person);
            if let Some(over) = people.standing().short.get(root) {
                let beyond = self.escalate(tx, request, decision.step, over.clone(), people).await?;
                return Ok(Err(Refused::BeyondAuthority(Box::new(beyond))));
            }
            let spent: Vec<_> = std::iter::once(&decision.person).chain(&decision.authority).collect();
            book::give(tx, &spent, &request.id, &matter).await?;
            for approver in spent {
                self.look_for_reciprocity(tx, request, approver).await?;
            }
        }
        if Status::of(&transition.state) == Status::Approved {
            book::mark_approved(tx, &request.id).await?;
        }
        Ok(Ok(transition))
    }

    /// The directory as it counts for an edited request, with who lacks the authority for what it is now of those whose
    /// approvals it would keep. Where the route starts `anew`, nobody is called in yet: its steps are others.
    pub(super) async fn people_editing(
        &self,
        tx: &mut Tx,
        request: &Stored,
        edited: &Input,
        anew: bool,
    ) -> Result<Directory, StoreError> {
        let now = tx.now();
        let mut people = self.people_about(tx.conn(), &request.id, edited, now).await?;
        if anew {
            people = people.for_matter(Standing { called_in: BTreeSet::new(), ..people.standing().clone() });
        }
        let (before, after) = (Matter::from(&request.case.input), Matter::from(edited));
        let roots: BTreeSet<_> = request.state.approvers().into_iter().collect();
        if roots.is_empty() || before == after {
            return Ok(people);
        }
        book::lock_names(tx, &roots.iter().map(|id| format!("person:{id}")).collect()).await?;
        let mut standing = people.standing().clone();
        for id in roots {
            if let Some(over) = self.over_limit(tx.conn(), &people, &id, &after, now).await? {
                standing.short.insert(id, over);
            }
        }
        Ok(people.for_matter(standing))
    }

    /// An edit of what people have approved already: flagged, and refused where an approval that stays would be of more
    /// than its giver may approve. What stays counts anew, as what it is now.
    pub(super) async fn note_edit(
        &self,
        tx: &mut Tx,
        request: &Stored,
        (input, state): (&Input, &State),
        changed: &[Edited],
        people: &Directory,
    ) -> Result<Result<(), Refused>, StoreError> {
        let (before, after) = (Matter::from(&request.case.input), Matter::from(input));
        let stays = |said: &&Decision| said.superseded_at.is_none() && said.verdict == Verdict::Approve;
        let kept: Vec<_> = state.decisions.iter().filter(|_| before != after).filter(stays).collect();
        let root = |said: &Decision| said.authority.as_ref().unwrap_or(&said.person).clone();
        if let Some(over) = kept.iter().find_map(|said| people.standing().short.get(&root(said))) {
            return Ok(Err(Refused::ApprovalFallsShort(Box::new(over.clone()))));
        }
        for said in kept {
            let spent: Vec<_> = std::iter::once(&said.person).chain(&said.authority).collect();
            book::give(tx, &spent, &request.id, &after).await?;
        }
        let names = [(Edited::Quantity, "quantity"), (Edited::Parties, "parties")];
        let names = names.into_iter().filter(|(part, _)| changed.contains(part)).map(|(_, name)| name.to_owned());
        let names: Vec<_> = names.collect();
        if let Some(found) = self.patterns.edited_after(&request.id, &request.state.approvers(), &names) {
            self.flag(tx, request, &found).await?;
        }
        if Status::of(state) == Status::Approved {
            book::mark_approved(tx, &request.id).await?;
        }
        Ok(Ok(()))
    }

    /// Finds who has the authority: among those whom the policy asks, else among those whose limits the directory
    /// states for such a matter, who are then called in.
    async fn escalate(
        &self,
        tx: &mut Tx,
        request: &Stored,
        step: u32,
        over: OverLimit,
        people: &Directory,
    ) -> Result<Beyond, DeskError> {
        let (now, matter) = (tx.now(), Matter::from(&request.case.input));
        let mut could = Vec::new();
        for id in request.state.may_be_decided_by(people) {
            let asked = request.state.awaits(&id, step, people);
            if asked && self.over_limit(tx.conn(), people, &id, &matter, now).await?.is_none() {
                could.push(id);
            }
        }
        let open = request.state.open_steps().iter().find(|waiting| waiting.step == step);
        let Some(waiting) = open.filter(|_| could.is_empty()) else {
            return Ok(Beyond { over, could, called_in: false });
        };
        let limited = people.people().iter().filter(|person| people.is_limited(person, &matter));
        for person in limited {
            let free = request.state.free_of_duty(&person.id, people).is_ok()
                && !request.state.decisions.iter().any(|decision| decision.involves(&person.id));
            if free && self.over_limit(tx.conn(), people, &person.id, &matter, now).await?.is_none() {
                could.push(person.id.clone());
            }
        }
        if !could.is_empty() {
            book::call_in(tx, &request.id, waiting.step, &could).await?;
            self.tell_reminded(tx, request, (waiting.step, &could, waiting.decide_by), true, false).await?;
        }
        let called_in = !could.is_empty();
        Ok(Beyond { over, could, called_in })
    }

    /// Without those who are out of office and for whom somebody else is asked.
    pub(super) async fn in_office(
        &self,
        tx: &mut Tx,
        request: &Stored,
        asked: &[PersonId],
    ) -> Result<Vec<PersonId>, StoreError> {
        let now = tx.now();
        let people = self.people_looking(tx.conn(), request, now).await?;
        let covered = |id: &PersonId| {
            let mut mandates = people.standing().mandates.iter();
            mandates.any(|one| one.out_of_office && one.root == *id && asked.contains(&one.actor))
        };
        Ok(asked.iter().filter(|id| !covered(id)).cloned().collect())
    }

    /// What follows from a new request: its place in its chain, and what it looks like beside earlier ones.
    pub(super) async fn note_opening(&self, tx: &mut Tx, request: &Stored, chain: &Chain) -> Result<(), StoreError> {
        for earlier in &chain.named {
            book::relate(tx, &request.id, earlier).await?;
        }
        let rules = self.patterns;
        for requester in requester_names(&request.state.requester) {
            // Programs split nothing but purchases; what else they ask for is nobody's past.
            if request.case.action.kind() != "purchase" && !requester.starts_with("person:") {
                continue;
            }
            let past = past_of(request, requester, tx.now());
            book::add_asker(tx, &past).await?;
            let since = book::back(tx.now(), rules.longest().seconds());
            let earlier = book::past_of(tx.conn(), &past.requester, &past.id, since).await?;
            if earlier.is_empty() {
                continue;
            }
            let limits = self.thresholds(request);
            for suspicion in governance::authority::suspicions(&past, &earlier, &limits, &rules) {
                self.flag(tx, request, &suspicion).await?;
            }
        }
        Ok(())
    }

    /// The highest amounts that still pass a limit on one request, or a row of the policy.
    fn thresholds(&self, request: &Stored) -> Vec<Money> {
        let directory = self.directory();
        let about = |types: &[Kind]| types.is_empty() || types.contains(&request.case.input.kind);
        let limits = directory.limits().iter().filter(|limit| about(&limit.scope.types));
        self.policies.with_base_at_hand(|policy| {
            // A row's bounds are where the policy asks somebody else: the last amount below each is "just below".
            let ranges = policy.rows.iter().filter(|row| about(&row.when.kind)).filter_map(|row| row.when.value);
            let bounds = ranges.flat_map(|range| {
                let below = [range.at_least, range.below].into_iter().flatten();
                below.map(move |bound| Money::new(bound.saturating_sub(1), range.currency))
            });
            limits.filter_map(|limit| limit.per_request).chain(bounds).collect()
        })
    }

    async fn look_for_reciprocity(&self, tx: &mut Tx, request: &Stored, approver: &PersonId) -> Result<(), StoreError> {
        let (rules, now) = (self.patterns, tx.now());
        let since = book::back(now, rules.reciprocal_window.seconds());
        for requester in people_of(&request.state.requester) {
            let mut earlier = Vec::new();
            for (a, b) in [(approver, &requester), (&requester, approver)] {
                let found = book::approved_by(tx.conn(), a, b, since).await?;
                let asked = |(approval, at)| governance::authority::Asked {
                    approval,
                    approver: a.clone(),
                    requester: b.clone(),
                    at,
                };
                earlier.extend(found.into_iter().map(asked));
            }
            let new = governance::authority::Asked {
                approval: request.id.clone(),
                approver: approver.clone(),
                requester: requester.clone(),
                at: now,
            };
            if let Some(suspicion) = rules.reciprocal(&new, &earlier) {
                self.flag(tx, request, &suspicion).await?;
            }
        }
        Ok(())
    }

    /// Shown on the request, kept in the audit, and told to whoever listens; once for each pattern.
    pub(super) async fn flag(&self, tx: &mut Tx, request: &Stored, found: &Suspicion) -> Result<(), StoreError> {
        if !book::suspect(tx, &request.id, found).await? {
            return Ok(());
        }
        let details = json!({"pattern": found.pattern, "evidence": found.evidence});
        tx.audit("steward", "approval.suspected", &subject(&request.id), details).await?;
        let pattern = serde_json::to_value(found.pattern)?;
        let event = ApprovalSuspected {
            approval_id: request.id.clone(),
            title: request.case.title.clone(),
            pattern: pattern.as_str().unwrap_or_default().to_owned(),
            summary: found.evidence.summary.clone(),
            approvals: found.evidence.approvals.clone(),
        };
        tx.emit(&event).await?;
        Ok(())
    }
}

fn past_of(request: &Stored, requester: String, at: Timestamp) -> Past {
    let action = &request.case.action;
    Past {
        id: request.id.clone(),
        requester,
        kind: Kind::of(action),
        product: action.product().clone(),
        supplier: match action {
            Action::Purchase { supplier, .. } | Action::Substitution { supplier, .. } => Some(supplier.clone()),
            Action::Transfer { .. } | Action::WriteOff { .. } => None,
        },
        place: action.location().cloned(),
        quantity: action.quantity(),
        value: request.case.input.value,
        at,
        approved_at: (Status::of(&request.state) == Status::Approved).then_some(at),
    }
}
