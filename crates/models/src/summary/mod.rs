//! The exception summary: a few sentences for people, which say nothing that the facts do not.
//!
//! [`template`] fills a fixed text. [`check()`] reads a text that somebody else wrote, a language model for one, and
//! drops every sentence with a number or a name that is in no fact. The template's own text passes that check, which a
//! property test holds.

mod check;
mod lexicon;
mod numbers;

use std::fmt::Write as _;

use contracts::FieldError;
use serde::{Deserialize, Serialize};

pub use self::check::{Checked, Dropped, Why, check};

/// Most facts of an exception.
const MOST_FACTS: usize = 64;
/// Longest text of a fact, its name or its unit, in characters.
const LONGEST: usize = 200;

/// Languages that summaries are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SummaryLanguage)]
pub enum Language {
    #[default]
    En,
    De,
}

impl Language {
    /// As it is written in locales.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }
}

/// An exception and what is known about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SummaryRequest)]
pub struct Request {
    /// Class of the exception, as `count_variance`.
    #[schema(pattern = "^[a-z][a-z0-9_]{0,63}$", example = "count_variance")]
    pub class: String,
    /// 1 (look when you can) to 4 (now).
    #[schema(minimum = 1, maximum = 4)]
    pub severity: u8,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, example = "SKU-10233@store-017")]
    pub about: Option<String>,
    #[schema(max_items = 64)]
    pub facts: Vec<Fact>,
    #[serde(default)]
    #[schema(inline)]
    pub language: Language,
}

/// One thing that is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SummaryFact)]
pub struct Fact {
    /// Names it for allow-lists and receipts.
    #[schema(pattern = "^[a-z][a-z0-9_.]{0,63}$", example = "stock.on_hand")]
    pub id: String,
    /// What people call it.
    #[schema(min_length = 1, max_length = 200, example = "units on hand")]
    pub name: String,
    pub value: FactValue,
    /// `units`, `days`, `EUR`, ...; `share` for a number between 0 and 1 that is told in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, example = "units")]
    pub unit: Option<String>,
}

/// A number, or a text: a name, an id, a date as `2026-11-23`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
#[schema(as = SummaryFactValue)]
pub enum FactValue {
    Number(f64),
    Text(String),
}

impl Request {
    /// Everything wrong with the request, each with its pointer.
    #[must_use]
    pub fn violations(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        let mut refuse = |bad: bool, pointer: String, detail: &str| {
            if bad {
                found.push(FieldError::new(pointer, detail));
            }
        };
        let word = |text: &str, more: &str| {
            text.len() <= 64
                && text.starts_with(|c: char| c.is_ascii_lowercase())
                && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c))
        };
        let line = |text: &str| {
            (1..=LONGEST).contains(&text.chars().count())
                && !text.trim().is_empty()
                && !text.chars().any(char::is_control)
        };
        let a_line = "must be 1 to 200 characters without control characters, and not blank";
        refuse(!word(&self.class, "_"), "/class".to_owned(), "must be lower-case letters, digits and underscores");
        refuse(!(1..=4).contains(&self.severity), "/severity".to_owned(), "must be 1 to 4");
        refuse(self.about.as_ref().is_some_and(|about| !line(about)), "/about".to_owned(), a_line);
        refuse(self.facts.len() > MOST_FACTS, "/facts".to_owned(), "must have at most 64 items");
        for (i, fact) in self.facts.iter().enumerate().take(MOST_FACTS) {
            refuse(!word(&fact.id, "_."), format!("/facts/{i}/id"), "must be lower-case letters, digits, _ and .");
            let again = self.facts[..i].iter().any(|one| one.id == fact.id);
            refuse(again, format!("/facts/{i}/id"), "is there twice");
            refuse(!line(&fact.name), format!("/facts/{i}/name"), a_line);
            refuse(fact.unit.as_ref().is_some_and(|unit| !line(unit)), format!("/facts/{i}/unit"), a_line);
            match &fact.value {
                FactValue::Text(text) => refuse(!line(text), format!("/facts/{i}/value"), a_line),
                // Beyond it not every whole number has a float of its own.
                FactValue::Number(number) => {
                    refuse(number.abs() > 1e15 || !number.is_finite(), format!("/facts/{i}/value"), "is out of range");
                }
            }
        }
        found
    }

    /// The class in words.
    #[must_use]
    pub fn class_in_words(&self) -> String {
        self.class.replace('_', " ")
    }
}

/// The summary that is always there: one sentence for the exception and one for each fact.
#[must_use]
pub fn template(request: &Request) -> String {
    let (exception, severity, about) = match request.language {
        Language::En => ("Exception", "severity", "About"),
        Language::De => ("Ausnahme", "Schweregrad", "Betrifft"),
    };
    let mut text = format!("{exception}: {}, {severity} {}.", request.class_in_words(), request.severity);
    if let Some(subject) = &request.about {
        let _infallible = write!(text, " {about}: {subject}.").is_ok();
    }
    for fact in &request.facts {
        let value = match &fact.value {
            FactValue::Text(value) => value.clone(),
            FactValue::Number(value) => numbers::told(*value, fact.unit.as_deref(), request.language),
        };
        let _infallible = write!(text, " {}: {value}.", fact.name).is_ok();
    }
    text
}

#[cfg(test)]
mod tests;
