//! What happened, collected while it happens, and printed at the end as text or JSON.

use chassis::Clock;
use contracts::Facts;
use jiff::{Timestamp, civil::Date};
use serde::Serialize;
use serde_json::{Value, json};

use super::stand_in::Push;

/// Columns of the terminal that the text keeps to.
const WIDTH: usize = 118;

/// What kind of step it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    TakenIn,
    Scored,
    Passed,
    Asked,
    Opened,
    Decided,
    Drafted,
    Told,
    Left,
}

impl Word {
    fn as_str(self) -> &'static str {
        match self {
            Self::TakenIn => "taken in",
            Self::Scored => "scored",
            Self::Passed => "passed",
            Self::Asked => "asked",
            Self::Opened => "opened",
            Self::Decided => "decided",
            Self::Drafted => "drafted",
            Self::Told => "told",
            Self::Left => "left",
        }
    }
}

/// One step of a case.
#[derive(Debug, Serialize)]
struct Step {
    at: Timestamp,
    step: Word,
    text: String,
    figures: Value,
}

/// One fall of stock and all that followed.
#[derive(Debug, Serialize)]
pub(super) struct Case {
    product: String,
    name: Option<String>,
    location: String,
    event_id: String,
    pub correlation_id: String,
    trace_id: Option<String>,
    steps: Vec<Step>,
    /// Leaves of the four audit trails that belong to the case.
    pub audit_entries: usize,
}

impl Case {
    pub(super) fn of(push: &Push) -> Self {
        let low = &push.data;
        let text = format!(
            "Odoo's hint about {} at {} was taken in and read back: {} available, low is {} or less",
            low.product, low.location, low.available, low.reorder_point
        );
        let figures = json!({"available": low.available, "reorder_point": low.reorder_point,
            "observed_at": low.observed_at});
        let trace_id = push.traceparent.as_ref().and_then(|parent| Some(parent.split('-').nth(1)?.to_owned()));
        Self {
            product: low.product.to_string(),
            name: None,
            location: low.location.to_string(),
            event_id: push.id.clone(),
            correlation_id: push.correlation_id.clone(),
            trace_id,
            steps: vec![Step { at: push.timestamp, step: Word::TakenIn, text, figures }],
            audit_entries: 0,
        }
    }

    /// Takes the product's name from the facts.
    pub(super) fn name(&mut self, facts: &Facts) {
        self.name.clone_from(&facts.item.name);
    }

    pub(super) fn tell(&mut self, clock: &Clock, step: Word, text: &str, figures: &Value) {
        self.tell_at(clock.now(), step, text, figures);
    }

    pub(super) fn tell_at(&mut self, at: Timestamp, step: Word, text: &str, figures: &Value) {
        self.steps.push(Step { at, step, text: text.to_owned(), figures: figures.clone() });
    }

    fn text(&self, number: usize) -> String {
        let name = self.name.as_deref().unwrap_or(&self.product);
        let mut text = format!("{number}. {name} ran low at {}\n", self.location);
        for step in &self.steps {
            let head = format!("   {}  {:<9} ", step.at.strftime("%H:%M:%S%.3f"), step.step.as_str());
            text.push_str(&wrapped(&head, &step.text));
        }
        let trace = self.trace_id.as_deref().unwrap_or("none");
        text.push_str(&format!(
            "   case {}, trace {trace}, {} audit entries\n",
            self.correlation_id, self.audit_entries
        ));
        text
    }
}

/// A text under its head, in lines that a terminal shows whole.
fn wrapped(head: &str, text: &str) -> String {
    let indent = " ".repeat(head.chars().count());
    let (mut lines, mut line) = (String::new(), head.to_owned());
    for word in text.split_whitespace() {
        if line.chars().count() + word.chars().count() + 1 > WIDTH {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line.clone_from(&indent);
        }
        if !line.ends_with(' ') {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines + line.trim_end() + "\n"
}

/// What the play was made of.
#[derive(Debug, Serialize)]
pub(super) struct Cast {
    pub odoo: String,
    pub n8n: String,
    pub sales: String,
    pub made_up: String,
    pub first_day: Date,
    pub last_day: Date,
}

/// What the fleet counted.
#[derive(Debug, Default, Serialize)]
pub(super) struct Counts {
    pub observations: usize,
    pub webhooks_posted: usize,
    pub webhooks_accepted: usize,
    pub events_published: u64,
    pub effects_done: u64,
    pub effects_retried: u64,
    pub dead_letters: usize,
}

/// The whole play.
#[derive(Debug, Serialize)]
pub(super) struct Story {
    pub cast: Cast,
    pub cases: Vec<Case>,
    pub counts: Counts,
    pub seconds: f64,
}

impl Story {
    pub(super) fn text(&self) -> String {
        let Cast { odoo, n8n, sales, made_up, first_day, last_day } = &self.cast;
        let mut text = String::new();
        for (head, line) in [("Odoo", odoo), ("n8n", n8n), ("Sales", sales), ("Made up", made_up)] {
            text.push_str(&wrapped(&format!("{head:<9}"), line));
        }
        text.push_str(&format!("Days     {first_day} to {last_day}, the last seven played one by one\n"));
        for (index, case) in self.cases.iter().enumerate() {
            text.push('\n');
            text.push_str(&case.text(index + 1));
        }
        let counts = &self.counts;
        text.push_str(&format!(
            "\n{} observations, {} webhooks of Odoo ({} accepted), {} events, {} effects done ({} retries), \
             {} dead letters; {:.1} s\n",
            counts.observations,
            counts.webhooks_posted,
            counts.webhooks_accepted,
            counts.events_published,
            counts.effects_done,
            counts.effects_retried,
            counts.dead_letters,
            self.seconds
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_wrapped_under_their_head_and_lose_no_word() {
        let text = "word ".repeat(60);
        let head = "   10:00:00.000  scored    ";
        let lines = wrapped(head, &text);
        assert!(lines.lines().all(|line| line.chars().count() <= WIDTH), "{lines}");
        assert!(lines.lines().skip(1).all(|line| line.starts_with(&" ".repeat(head.len()))), "{lines}");
        assert_eq!(lines.matches("word").count(), 60);
    }
}
