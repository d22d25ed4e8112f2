//! What the decision page shows: numbers as people read them, bars as coordinates. The template only places them.

mod oversight;

use chassis::prelude::Timestamp;
use contracts::{Action, Facts, LocationId, PersonId, events::DecidedBy};
use governance::{
    Actor, Directory, State,
    drift::Drifted,
    policy::Who,
    request::{Decision, End, Refused, Remark, RemarkKind, Verdict, Waiting},
};
use serde::Serialize;

use self::oversight::StandsOut;
use super::{
    proposal::{ONE, Scored},
    view::{Approval, Oversight, Status, StepState, StepView},
};
use crate::store::Stored;

/// Days of sales in the chart: eight weeks show the rhythm of the week and still fit a phone.
const CHART_DAYS: usize = 56;
/// Size of the chart's view box.
const CHART: (f64, f64) = (560.0, 120.0);
/// Days over which the mean is taken: four whole weeks, so that no weekday counts more.
const MEAN_DAYS: usize = 28;
/// Donors shown besides the one that gives.
const DONORS: usize = 5;

/// Everything the template places.
#[derive(Debug, Serialize)]
pub(crate) struct PageView {
    pub(crate) title: String,
    pub(crate) action: String,
    pub(crate) reason: String,
    pub(crate) policy: String,
    pub(crate) asked_by: String,
    pub(crate) asked_at: String,
    pub(crate) at_stake: Option<String>,
    pub(crate) waiting_costs: Option<String>,
    pub(crate) as_of: String,
    /// First digits of the hash: enough to compare by eye with the audit.
    pub(crate) facts_hash: String,
    /// When and by whom the same was approved before; then `changes` are what the reader has to look at.
    pub(crate) again: Option<String>,
    pub(crate) changes: Vec<Change>,
    pub(crate) numbers: Vec<Number>,
    pub(crate) chart: Option<Chart>,
    pub(crate) donors: Vec<DonorView>,
    pub(crate) score: Option<ScoreView>,
    pub(crate) steps: Vec<StepLine>,
    pub(crate) decisions: Vec<String>,
    pub(crate) status: &'static str,
    /// How it ended, in a sentence.
    pub(crate) result: Option<String>,
    /// What this person said.
    pub(crate) own: Option<String>,
    pub(crate) decide_by: Option<String>,
    stands_out: Option<StandsOut>,
    /// Whether the buttons are shown.
    pub(crate) open: bool,
    /// Goes with the form: a decision is about what was shown.
    pub(crate) revision: u32,
    /// What an approver wants to know, and until when an answer counts.
    pub(crate) question: Option<String>,
    /// Whether this person is the one to answer it.
    pub(crate) answers: bool,
    /// Whom the link belongs to.
    pub(crate) reader: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Number {
    label: &'static str,
    value: String,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Chart {
    width: f64,
    height: f64,
    bars: Vec<Bar>,
    first_day: String,
    last_day: String,
    most: String,
    /// Read out instead of the picture.
    summary: String,
    out_of_stock: bool,
    promotion: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Bar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    kind: &'static str,
    label: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct DonorView {
    name: String,
    on_hand: String,
    available: String,
    daily: String,
    /// What it keeps when it gives.
    after: Option<String>,
    days: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct ScoreView {
    percent: String,
    /// Width of the gauge, of 100.
    width: f64,
    band: String,
    model: String,
    counterfactual: Option<String>,
    contributions: Vec<ContributionBar>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ContributionBar {
    name: String,
    points: String,
    /// From the middle of a scale of 200.
    x: f64,
    width: f64,
    raises: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct StepLine {
    who: String,
    state: &'static str,
    note: String,
}

/// What a page is made for.
pub(crate) struct Reader<'a> {
    pub(crate) person: &'a PersonId,
    /// The step their link names.
    pub(crate) step: u32,
    pub(crate) directory: &'a Directory,
    pub(crate) now: Timestamp,
}

/// A fact that is not what it was when the same was approved.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    /// `donors · store-7 · stock · on hand`
    what: String,
    was: String,
    is: String,
}

impl Change {
    fn of(drifted: &Drifted) -> Self {
        let words = drifted.pointer.trim_start_matches('/').split('/').map(|segment| {
            let inner = segment.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
            inner.and_then(|inner| inner.split_once('=')).map_or(segment, |(_, value)| value).replace('_', " ")
        });
        let what = words.collect::<Vec<_>>().join(" \u{b7} ");
        Self { what, was: drifted.approved.to_string(), is: drifted.current.to_string() }
    }
}

impl PageView {
    pub(crate) fn of(stored: &Stored, oversight: Option<&Oversight>, reader: &Reader<'_>) -> Self {
        let (case, state) = (&stored.case, &stored.state);
        let (facts, approval) = (&case.facts, Approval::of(stored, false));
        let names = Names { directory: reader.directory };
        let time = |at: Timestamp| written(at, facts.place.time_zone.as_deref());
        let counts = |said: &&Decision| said.superseded_at.is_none();
        let own = state
            .decisions
            .iter()
            .filter(counts)
            .find(|said| said.person == *reader.person && said.step == reader.step);
        let in_time = |waiting: &Waiting| waiting.step == reader.step && reader.now < waiting.decide_by;
        let may = state.open_steps().iter().any(in_time) && state.awaits(reader.person, reader.step, reader.directory);
        let asks_back = state.question();
        Self {
            title: case.title.clone(),
            action: sentence(&case.action, facts),
            reason: approval.policy.reason.clone(),
            policy: format!("{} v{}, row {}", approval.policy.id, approval.policy.version, approval.policy.row),
            asked_by: names.requester(stored),
            asked_at: time(stored.created_at),
            at_stake: case.input.value.map(|money| money.to_string()),
            waiting_costs: case.cost_of_waiting_per_hour.map(|money| money.to_string()),
            as_of: time(facts.as_of),
            facts_hash: case.facts_hash.as_str().trim_start_matches("sha256:").chars().take(12).collect(),
            again: case.asks_again.as_ref().map(|again| {
                let people: Vec<_> = again.approved_by.iter().map(|id| names.person(id)).collect();
                let who = if people.is_empty() { "The policy".to_owned() } else { people.join(" and ") };
                format!("{who} approved this on {}. Since then the facts have moved:", time(again.approved_at))
            }),
            changes: case.asks_again.iter().flat_map(|again| &again.changed).map(Change::of).collect(),
            numbers: numbers(facts),
            chart: chart(facts),
            donors: donors(&case.action, facts),
            score: case.score.as_ref().map(score),
            steps: approval
                .steps
                .iter()
                .zip(&state.steps)
                .map(|(view, step)| names.step(view, &step.ask, &time))
                .collect(),
            decisions: names.history(state, &time),
            status: approval.status.as_str(),
            result: state
                .ended()
                .map(|ended| names.result(ended.how, &ended.by, ended.comment.as_deref(), &time(ended.at))),
            // Where their word was the last one, the result says it already.
            own: own
                .filter(|_| approval.decided_by != [reader.person.clone()])
                .map(|said| format!("You {} this on {}.", past(said.verdict), time(said.at))),
            stands_out: oversight.and_then(|oversight| StandsOut::of(oversight, stored, reader, &time)),
            decide_by: approval.decide_by.map(time),
            open: may && approval.status == Status::Waiting,
            revision: state.revision,
            question: asks_back.map(|asked| {
                let (by, until) = (names.person(&asked.by), time(asked.answer_by));
                format!("{by} asks: \u{201c}{}\u{201d} An answer counts until {until}.", asked.question)
            }),
            answers: asks_back.is_some() && state.requester.is(reader.person),
            reader: names.person(reader.person),
        }
    }
}

/// Why a decision was not taken, for the person who tried.
pub(crate) fn refusal(refused: &Refused, directory: &Directory, zone: Option<&str>) -> String {
    let names = Names { directory };
    match refused {
        Refused::Over(ended) => {
            let result = names.result(ended.how, &ended.by, ended.comment.as_deref(), &written(ended.at, zone));
            format!("Your decision came too late. {result}")
        }
        Refused::TooLate { decide_by } => format!("The time to decide ended on {}.", written(*decide_by, zone)),
        Refused::CommentNeeded => "Please write what you want to know, then send it back again.".to_owned(),
        Refused::RequesterMayNotApprove { .. } => "You asked for this yourself, so somebody else decides.".to_owned(),
        Refused::ApprovedEarlierStep { .. } => "You approved an earlier step; this one needs somebody else.".to_owned(),
        Refused::NotAsked { needs, .. } => format!("This step is decided by {needs}, which you are not (any more)."),
        Refused::Edited { .. } => {
            "The request was edited while you looked at it. Here it is as it is now; please decide again.".to_owned()
        }
        Refused::WaitsForAnswer(question) => {
            format!("{} asked a question, which has to be answered first.", names.person(&question.by))
        }
        Refused::RoleHasSpoken => "Your role has approved this step already; it needs another one too.".to_owned(),
        Refused::OtherStep { .. } => "This step has been decided; another one is open now.".to_owned(),
        other => other.to_string(),
    }
}

struct Names<'a> {
    directory: &'a Directory,
}

impl Names<'_> {
    fn person(&self, id: &PersonId) -> String {
        self.directory.person(id).map_or_else(|| id.to_string(), |person| person.name.clone())
    }

    fn people(&self, ids: &[PersonId], word: &str) -> String {
        ids.iter().map(|id| self.person(id)).collect::<Vec<_>>().join(word)
    }

    fn requester(&self, stored: &Stored) -> String {
        let by = match stored.requested_by.split_once(':') {
            Some(("person", id)) => PersonId::new(id).map_or_else(|_| id.to_owned(), |id| self.person(&id)),
            Some((_, key)) => key.to_owned(),
            None => stored.requested_by.clone(),
        };
        match &stored.state.requester.on_behalf_of {
            Some(person) => format!("{by}, for {}", self.person(person)),
            None => by,
        }
    }

    fn step(&self, view: &StepView, ask: &Who, time: &impl Fn(Timestamp) -> String) -> StepLine {
        let who = match ask {
            Who::People(named) => self.people(&named.people, " or "),
            Who::Role(_) | Who::AnyOf(_) => ask.to_string().replace('_', " "),
        };
        let (state, note) = match view.state {
            StepState::Passed => ("passed", "approved".to_owned()),
            StepState::Ended => ("ended", "ended here".to_owned()),
            StepState::Skipped => ("ahead", "not needed any more".to_owned()),
            StepState::Ahead => ("ahead", "comes next".to_owned()),
            StepState::SentBack => ("open", "waits for an answer".to_owned()),
            StepState::Open => {
                let until = view.decide_by.map_or_else(String::new, |at| format!(", until {}", time(at)));
                let quorum = if view.quorum > 1 {
                    format!("{} of {} said yes; ", view.approvals, view.quorum)
                } else {
                    String::new()
                };
                ("open", format!("{quorum}asked: {}{until}", self.people(&view.people, ", ")))
            }
        };
        StepLine { who, state, note }
    }

    /// Everything that was said, in the order of time.
    fn history(&self, state: &State, time: &impl Fn(Timestamp) -> String) -> Vec<String> {
        let said = state.decisions.iter().map(|decision| (decision.at, self.decision(decision, time)));
        let remarked = state.remarks.iter().map(|remark| (remark.at, self.remark(remark, time)));
        let added = state.added.iter().map(|added| {
            let (by, person) = (self.person(&added.by), self.person(&added.person));
            (added.at, format!("{by} asked {person} in addition on {}.", time(added.at)))
        });
        let mut all: Vec<_> = said.chain(remarked).chain(added).collect();
        all.sort_by_key(|(at, _)| *at);
        all.into_iter().map(|(_, line)| line).collect()
    }

    fn remark(&self, remark: &Remark, time: &impl Fn(Timestamp) -> String) -> String {
        let by = match &remark.by {
            Actor::Person { person } => self.person(person),
            Actor::Service { key } => key.clone(),
            Actor::Steward => "Steward".to_owned(),
        };
        let did = match remark.kind {
            RemarkKind::Comment => "remarked",
            RemarkKind::Answer => "answered",
            RemarkKind::Edit => "edited it",
        };
        let said = format!("{by} {did} on {}", time(remark.at));
        remark.text.as_ref().map_or_else(|| format!("{said}."), |text| format!("{said}: \u{201c}{text}\u{201d}"))
    }

    fn decision(&self, decision: &Decision, time: &impl Fn(Timestamp) -> String) -> String {
        let void = if decision.superseded_at.is_some() { " (counts no more)" } else { "" };
        let (who, did) = (self.person(&decision.person), past(decision.verdict));
        let said = format!("{who} {did} it on {}{void}", time(decision.at));
        decision
            .comment
            .as_ref()
            .map_or_else(|| format!("{said}."), |comment| format!("{said}: \u{201c}{comment}\u{201d}"))
    }

    fn result(&self, how: End, by: &DecidedBy, comment: Option<&str>, at: &str) -> String {
        let who = match by {
            DecidedBy::People { people } => self.people(people, " and "),
            DecidedBy::Policy { .. } => "The policy".to_owned(),
            DecidedBy::Service { key } => key.clone(),
        };
        let said = match how {
            End::Approved => format!("{who} approved this on {at}."),
            End::Denied => format!("{who} rejected this on {at}."),
            End::Withdrawn => format!("{who} withdrew this on {at}."),
            End::Expired => format!("Nobody decided in time; it expired on {at} and counts as rejected."),
            End::NobodyToAsk => format!("Too few people may decide this; it ended on {at} and counts as rejected."),
        };
        comment.map_or_else(|| said.clone(), |comment| format!("{said} \u{201c}{comment}\u{201d}"))
    }
}

fn past(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "approved",
        Verdict::Reject => "rejected",
        Verdict::SendBack => "sent back",
    }
}

/// In the location's own time; UTC when its zone is not known.
fn written(at: Timestamp, zone: Option<&str>) -> String {
    let zone = zone.and_then(|zone| jiff::tz::TimeZone::get(zone).ok()).unwrap_or(jiff::tz::TimeZone::UTC);
    at.to_zoned(zone).strftime("%a %-d %b %Y, %H:%M %Z").to_string()
}

fn day_of_year(day: jiff::civil::Date) -> String {
    day.strftime("%-d %b").to_string()
}

/// Whole numbers without decimals, others with one.
fn units(value: f64) -> String {
    // The sum of nothing is -0.
    let value = value + 0.0;
    if (value - value.round()).abs() < 0.05 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn sentence(action: &Action, facts: &Facts) -> String {
    let product = action.product();
    let article = facts.item.name.as_ref().map_or_else(|| product.to_string(), |name| format!("{name} ({product})"));
    let quantity = units(action.quantity());
    let place = |id: &LocationId| place(id, facts);
    match action {
        Action::Transfer { from, to, .. } => {
            format!("Move {quantity} \u{d7} {article} from {} to {}", place(from), place(to))
        }
        Action::Purchase { to, supplier, .. } => {
            format!("Buy {quantity} \u{d7} {article} from {supplier} for {}", place(to))
        }
        Action::WriteOff { location, .. } => format!("Write off {quantity} \u{d7} {article} at {}", place(location)),
        Action::Substitution { order, supplier, .. } => {
            format!("Take {quantity} \u{d7} {article} of order {order} from {supplier}")
        }
    }
}

fn place(id: &LocationId, facts: &Facts) -> String {
    let donor = facts.donors.iter().find(|donor| donor.location == *id).and_then(|donor| donor.name.clone());
    let own = if *id == facts.location { facts.place.name.clone() } else { None };
    own.or(donor).unwrap_or_else(|| id.to_string())
}

fn mean_daily(facts: &Facts) -> Option<f64> {
    let recent = &facts.demand.units[facts.demand.units.len().saturating_sub(MEAN_DAYS)..];
    #[expect(clippy::cast_precision_loss, reason = "at most 28 days")]
    (!recent.is_empty()).then(|| recent.iter().sum::<f64>() / recent.len() as f64)
}

fn numbers(facts: &Facts) -> Vec<Number> {
    let (stock, mean) = (&facts.stock, mean_daily(facts));
    let incoming: f64 = facts.incoming.iter().map(|order| order.quantity).sum();
    let mut numbers = vec![
        Number { label: "On hand", value: units(stock.on_hand), note: None },
        Number {
            label: "Available",
            value: units(stock.available()),
            note: (stock.reserved > 0.0).then(|| format!("{} reserved", units(stock.reserved))),
        },
    ];
    if let Some(mean) = mean {
        numbers.push(Number { label: "Sold per day", value: units(mean), note: Some("mean of 4 weeks".to_owned()) });
    }
    if let Some(mean) = mean.filter(|mean| *mean > 0.0) {
        let cover = format!("{} days", units(stock.available() / mean));
        numbers.push(Number { label: "Lasts", value: cover, note: None });
    }
    let due = facts.incoming.first().map(|order| format!("next on {}", day_of_year(order.due)));
    numbers.push(Number { label: "Incoming", value: units(incoming), note: due });
    numbers
}

fn chart(facts: &Facts) -> Option<Chart> {
    let demand = &facts.demand;
    let skip = demand.units.len().saturating_sub(CHART_DAYS);
    let sold = &demand.units[skip..];
    let most = sold.iter().copied().fold(0.0, f64::max);
    if sold.is_empty() {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 56 days")]
    let slot = CHART.0 / sold.len() as f64;
    let day = |index: usize| {
        let days = jiff::Span::new().try_days(i64::try_from(skip + index).unwrap_or(0)).unwrap_or_default();
        demand.first_day.checked_add(days).unwrap_or(demand.first_day)
    };
    let bar = |(index, units_sold): (usize, &f64)| {
        let out = demand.out_of_stock.get(skip + index).is_some_and(|share| *share > 0.0);
        let promotion = demand.promotion.get(skip + index).copied().unwrap_or(false);
        let (kind, note) = match (out, promotion) {
            (true, _) => ("out", ", out of stock"),
            (_, true) => ("promotion", ", promotion"),
            _ => ("plain", ""),
        };
        // A day without stock keeps a stub: it sold nothing because there was nothing.
        let height = if most > 0.0 { units_sold / most * CHART.1 } else { 0.0 }.max(if out { 3.0 } else { 0.5 });
        #[expect(clippy::cast_precision_loss, reason = "at most 56 days")]
        let x = index as f64 * slot;
        let label = format!("{}: {} sold{note}", day_of_year(day(index)), units(*units_sold));
        Bar { x: short(x), y: short(CHART.1 - height), width: short(slot * 0.8), height: short(height), kind, label }
    };
    let bars: Vec<Bar> = sold.iter().enumerate().map(bar).collect();
    Some(Chart {
        width: CHART.0,
        height: CHART.1,
        first_day: day_of_year(day(0)),
        last_day: day_of_year(day(sold.len() - 1)),
        most: units(most),
        summary: format!("Daily sales of the last {} days, at most {} in a day", sold.len(), units(most)),
        out_of_stock: bars.iter().any(|bar| bar.kind == "out"),
        promotion: bars.iter().any(|bar| bar.kind == "promotion"),
        bars,
    })
}

/// Coordinates to a hundredth: more only makes the page longer.
fn short(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The giving donor first.
fn donors(action: &Action, facts: &Facts) -> Vec<DonorView> {
    let giver = match action {
        Action::Transfer { from, .. } => Some(from),
        _ => None,
    };
    let mut donors: Vec<_> = facts.donors.iter().collect();
    donors.sort_by_key(|donor| Some(&donor.location) != giver);
    let view = |donor: &&contracts::facts::Donor| DonorView {
        name: place(&donor.location, facts),
        on_hand: units(donor.stock.on_hand),
        available: units(donor.stock.available()),
        daily: units(donor.daily_demand),
        after: (Some(&donor.location) == giver).then(|| units(donor.stock.available() - action.quantity())),
        days: units(donor.transfer_days),
    };
    donors.iter().take(DONORS + 1).map(view).collect()
}

fn score(score: &Scored) -> ScoreView {
    let percent = f64::from(score.micros) / f64::from(ONE) * 100.0;
    let largest = score.contributions.iter().map(|part| part.micros.unsigned_abs()).max().unwrap_or(1).max(1);
    let bar = |part: &super::proposal::Contribution| {
        #[expect(clippy::cast_precision_loss, reason = "a bar is a few hundred pixels long")]
        let width = part.micros.unsigned_abs() as f64 / largest as f64 * 100.0;
        #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
        let points = part.micros as f64 / f64::from(ONE) * 100.0;
        let points = (points * 10.0).round() / 10.0 + 0.0;
        let raises = part.micros >= 0;
        ContributionBar {
            name: part.name.replace('_', " "),
            points: format!("{points:+.1}"),
            x: short(if raises { 100.0 } else { 100.0 - width }),
            width: short(width),
            raises,
        }
    };
    ScoreView {
        percent: format!("{percent:.0}"),
        width: short(percent),
        band: score.band.replace('_', " "),
        model: score.model.clone(),
        counterfactual: score.counterfactual.clone(),
        contributions: score.contributions.iter().map(bar).collect(),
    }
}
