//! `n8n-workflows/low-stock-triage.json` and `approve-and-wait.json`, call by call. The paths, bodies, headers and
//! idempotency keys are the workflows'; the facts are the services'.

use std::time::Duration;

use anyhow::{Context, bail};
use chassis::Clock;
use contracts::{Action, Facts, Money};
use models::replenishment::{Answer, Assessment, Recommendation, Verb};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    api::{Api, Thread},
    approver::Approver,
    stand_in::{Decision, Push, StandIn},
    story::{Case, Word},
};

/// `config.threshold` of the workflow, in millionths.
const THRESHOLD: u32 = 500_000;
/// A score of 1 in millionths.
const ONE: f64 = 1_000_000.0;
/// For the callback after a decision.
const PATIENCE: Duration = Duration::from_secs(15);
/// What the person of the demo says.
const COMMENT: &str = "We have enough until Friday.";

/// The workflow and those it deals with.
pub(super) struct Triage<'a> {
    pub api: &'a Api,
    pub stand_in: &'a StandIn,
    pub approver: &'a mut Approver,
    pub clock: &'a Clock,
}

/// The parts of an approval that the workflow reads.
#[derive(Debug, Deserialize)]
struct Approval {
    id: String,
    status: String,
    policy: JudgedBy,
    grant: Option<String>,
    comment: Option<String>,
    at_stake: Option<Money>,
}

#[derive(Debug, Deserialize)]
struct JudgedBy {
    id: String,
    version: u32,
    row: String,
    reason: String,
}

/// The facts and what the model made of them: as they came, to be passed on, and read.
struct Judged {
    facts: Value,
    read: Facts,
    scored: Value,
    answer: Box<Assessment>,
}

/// The sub-workflow's answer.
struct Decided {
    approval_id: String,
    outcome: String,
    comment: Option<String>,
    grant: Option<String>,
}

/// What supply answers about a transfer.
#[derive(Debug, Deserialize)]
struct Operation {
    id: String,
    state: String,
    result: Option<Drafted>,
    cause: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Drafted {
    odoo_name: String,
    odoo_state: String,
    quantity: f64,
    projected_available: f64,
}

impl Triage<'_> {
    /// From the event to the last message.
    pub(super) async fn run(&mut self, push: &Push) -> anyhow::Result<Case> {
        let thread = Thread { event: &push.id, correlation: &push.correlation_id };
        let mut case = Case::of(push);
        let path = format!("/supply/v1/facts/{}/{}", push.data.product, push.data.location);
        let facts = self.api.look(&path, thread).await?;
        let read: Facts = serde_json::from_value(facts.clone())?;
        case.name(&read);
        let scored = self.api.act("/scoring/v1/replenishment/score", thread, "score", &json!({"facts": facts})).await?;
        let Answer::Scored(answer) = serde_json::from_value(scored.clone())? else {
            case.tell(self.clock, Word::Scored, "the model lacks facts and does not guess", &scored);
            return Ok(case);
        };
        case.tell(self.clock, Word::Scored, &judgement(&answer), &figures(&answer));
        if answer.score.micros() < THRESHOLD {
            case.tell(self.clock, Word::Left, "below the threshold of the workflow: nothing is done", &json!({}));
            return Ok(case);
        }
        let judged = Judged { facts, read, scored, answer };
        let Recommendation { action, proposal, reason, .. } = &judged.answer.recommendation;
        match (action, proposal) {
            (Verb::Transfer, Some(action)) => self.transfer(&mut case, thread, &judged, action).await?,
            (Verb::Purchase, _) => self.tell_procurement(&mut case, thread, &judged.answer).await?,
            _ => case.tell(self.clock, Word::Left, reason, &json!({})),
        }
        Ok(case)
    }

    async fn transfer(
        &mut self,
        case: &mut Case,
        thread: Thread<'_>,
        judged: &Judged,
        action: &Action,
    ) -> anyhow::Result<()> {
        let Judged { facts, read, scored, answer } = judged;
        let Action::Transfer { product, from, to, quantity } = action else { bail!("the proposal is no transfer") };
        let name = read.item.name.as_deref().unwrap_or(product.as_str());
        let request = json!({
            "title": format!("Move {quantity} × {name} from {from} to {to}"),
            "action": action,
            "facts": facts,
            "score": explained(answer, scored),
            "reference": thread.event,
        });
        let decided = self.approval(case, thread, request).await?;
        if decided.outcome != "approved" {
            let data = json!({"product": product, "from": from, "to": to, "quantity": quantity,
                "outcome": decided.outcome, "comment": decided.comment});
            let to = json!({"role": "store_manager", "location": to});
            return self.message(case, thread, "transfer-declined", "declined", to, data).await;
        }
        let drafted = self.draft(case, thread, action, &decided).await?;
        let data = json!({"product": product, "from": from, "to": to, "quantity": quantity,
            "odoo_name": drafted.odoo_name, "projected_available": drafted.projected_available});
        let desk = json!({"role": "warehouse", "location": from});
        self.message(case, thread, "transfer-drafted", "warehouse", desk, data).await?;
        if drafted.projected_available < answer.recommendation.target {
            let supplier = read.lead_time.supplier.as_ref();
            let whom = supplier.map_or(json!({"role": "procurement_lead"}), |supplier| json!({"supplier": supplier}));
            let data = json!({"product": product, "location": to,
                "projected_available": drafted.projected_available, "target": answer.recommendation.target});
            self.message(case, thread, "supplier-follow-up", "supplier", whom, data).await?;
        }
        Ok(())
    }

    /// The sub-workflow: asks, and waits only when people are asked.
    async fn approval(&mut self, case: &mut Case, thread: Thread<'_>, mut request: Value) -> anyhow::Result<Decided> {
        let (url, decision) = self.stand_in.park(thread.event);
        request["callback"] = json!({"url": url});
        let answer = self.api.act("/approvals/v1/approvals", thread, "approval", &request).await?;
        let approval: Approval = serde_json::from_value(answer)?;
        let JudgedBy { id, version, row, reason } = &approval.policy;
        let worth = approval.at_stake.map_or(String::new(), |money| format!(", worth {money}"));
        let judged = json!({"approval_id": approval.id, "policy": format!("{id}@{version}"), "row": row,
            "status": approval.status, "at_stake": approval.at_stake});
        if approval.status != "waiting" {
            let text = format!("policy {id}@{version}, row {row}{worth}: {reason}");
            case.tell(self.clock, Word::Passed, &text, &judged);
            let Approval { id, status, grant, comment, .. } = approval;
            return Ok(Decided { approval_id: id, outcome: status, comment, grant });
        }
        let mail = self.approver.next_mail().await?;
        let text =
            format!("policy {id}@{version}, row {row}{worth}: {reason} {} gets a mail, \"{}\"", mail.to, mail.subject);
        case.tell(self.clock, Word::Asked, &text, &judged);
        self.approver.look(&mail).await?;
        let path = format!("/approvals/v1/approvals/{}", approval.id);
        let still: Approval = serde_json::from_value(self.api.look(&path, thread).await?)?;
        let text =
            format!("the page behind the link; opening it decided nothing, the request is still {}", still.status);
        case.tell(self.clock, Word::Opened, &text, &json!({"status": still.status}));
        self.approver.approve(&mail, COMMENT).await?;
        let Decision { outcome, decided_by, comment, grant, decided_at } = tokio::time::timeout(PATIENCE, decision)
            .await
            .context("the decision was not called back in time")?
            .context("the stand-in of n8n has ended")?;
        let said = comment.as_ref().map_or(String::new(), |comment| format!(", saying \"{comment}\""));
        let text = format!("{outcome} by {}{said}; the callback brought the grant", decided_by.join(" and "));
        case.tell_at(decided_at, Word::Decided, &text, &json!({"outcome": outcome, "decided_by": decided_by}));
        Ok(Decided { approval_id: approval.id, outcome, comment, grant })
    }

    async fn draft(
        &self,
        case: &mut Case,
        thread: Thread<'_>,
        action: &Action,
        decided: &Decided,
    ) -> anyhow::Result<Drafted> {
        let body = json!({"action": action, "grant": decided.grant});
        let answer = self.api.act("/supply/v1/transfers", thread, "transfer", &body).await?;
        let operation: Operation = serde_json::from_value(answer)?;
        let Some(drafted) = operation.result else {
            let cause = operation.cause.unwrap_or_default();
            bail!("the transfer of approval {} is {}: {cause}", decided.approval_id, operation.state);
        };
        let text = format!(
            "{} stands in Odoo as {}, {} units; {} units are projected at the receiver",
            drafted.odoo_name, drafted.odoo_state, drafted.quantity, drafted.projected_available
        );
        let figures = json!({"operation_id": operation.id, "odoo_name": drafted.odoo_name,
            "odoo_state": drafted.odoo_state, "quantity": drafted.quantity,
            "projected_available": drafted.projected_available});
        case.tell(self.clock, Word::Drafted, &text, &figures);
        Ok(drafted)
    }

    async fn tell_procurement(&self, case: &mut Case, thread: Thread<'_>, answer: &Assessment) -> anyhow::Result<()> {
        let Recommendation { quantity, reason, .. } = &answer.recommendation;
        let data = json!({"product": answer.product, "location": answer.location, "quantity": quantity,
            "reason": reason});
        let lead = json!({"role": "procurement_lead"});
        self.message(case, thread, "purchase-recommended", "purchase", lead, data).await
    }

    async fn message(
        &self,
        case: &mut Case,
        thread: Thread<'_>,
        template: &str,
        step: &str,
        to: Value,
        data: Value,
    ) -> anyhow::Result<()> {
        let reference = format!("{}:{step}", thread.event);
        let body = json!({"template": template, "to": to, "reference": reference, "data": data});
        let message = self.api.act("/notify/v1/messages", thread, step, &body).await?;
        let recipients = message["recipients"].as_array().into_iter().flatten();
        let names: Vec<&str> = recipients.filter_map(|one| one["name"].as_str().or(one["id"].as_str())).collect();
        let state = message["state"].as_str().unwrap_or("accepted");
        let text =
            format!("{} by {}: {template}, {state}", names.join(", "), message["channel"].as_str().unwrap_or("mail"));
        case.tell(self.clock, Word::Told, &text, &message);
        Ok(())
    }
}

/// What goes to the approver beside the facts.
fn explained(answer: &Assessment, scored: &Value) -> Value {
    let contributions: Vec<Value> =
        answer.contributions.iter().map(|one| json!({"name": one.name, "micros": one.micros})).collect();
    let mut score = json!({
        "micros": answer.score,
        "band": answer.band,
        "model": format!("{}@{}", answer.model.name, answer.model.version),
        "recommendation_id": scored["recommendation_id"],
        "contributions": contributions,
    });
    if let Some(first) = answer.counterfactuals.first() {
        score["counterfactual"] = json!(first.detail);
    }
    score
}

fn judgement(answer: &Assessment) -> String {
    let margin = answer.expected_margin_lost.map_or(String::new(), |money| format!(" and {money} of margin"));
    format!(
        "{:.2}, {}: {:.0} % likely to run out, {:.0} units{margin} at stake; {}",
        f64::from(answer.score.micros()) / ONE,
        answer.band.as_str(),
        answer.stock_out_probability * 100.0,
        answer.expected_units_lost,
        answer.recommendation.reason,
    )
}

fn figures(answer: &Assessment) -> Value {
    json!({
        "score_micros": answer.score,
        "band": answer.band,
        "stock_out_probability": answer.stock_out_probability,
        "expected_units_lost": answer.expected_units_lost,
        "expected_margin_lost": answer.expected_margin_lost,
        "action": answer.recommendation.action,
        "quantity": answer.recommendation.quantity,
        "from": answer.recommendation.from,
        "target": answer.recommendation.target,
        "model": format!("{}@{}", answer.model.name, answer.model.version),
    })
}
