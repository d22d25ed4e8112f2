//! What people read: one text per template and language, checked against its data before anything is promised.
//!
//! A file begins with its head (`Subject:`, and `Optional:` with the variables that may be absent), then an empty line
//! and the body. Every other variable must be given: a mail with a hole in it is worse than a refusal.

use std::collections::{BTreeMap, BTreeSet};

use contracts::FieldError;
use jiff::Timestamp;
use minijinja::{
    Environment, ErrorKind, State, UndefinedBehavior,
    syntax::SyntaxConfig,
    value::{Serde, ValueKind},
};
use serde_json::{Map, Value, json};

/// The language of those whose contact names none, and of templates that lack theirs.
pub(crate) const FALLBACK_LOCALE: &str = "en";

/// Templates that a caller may name. The others carry decision links and are filled from events alone.
pub(crate) const FOR_CALLERS: [&str; 4] =
    ["transfer-drafted", "transfer-declined", "supplier-follow-up", "purchase-recommended"];
pub(crate) const APPROVAL_REQUESTED: &str = "approval-requested";
pub(crate) const APPROVAL_REMINDED: &str = "approval-reminded";
pub(crate) const APPROVAL_OVERRIDDEN: &str = "approval-overridden";
pub(crate) const APPROVAL_SENT_BACK: &str = "approval-sent-back";
pub(crate) const APPROVAL_ENDED: &str = "approval-ended";

macro_rules! shipped {
    ($($name:literal: $($locale:literal)+;)+) => {
        &[$($(($name, $locale, include_str!(concat!("../../templates/", $name, ".", $locale, ".txt"))),)+)+]
    };
}

const SHIPPED: &[(&str, &str, &str)] = shipped! {
    "transfer-drafted": "en" "de";
    "transfer-declined": "en" "de";
    "supplier-follow-up": "en" "de";
    "purchase-recommended": "en" "de";
    "approval-requested": "en" "de";
    "approval-reminded": "en" "de";
    "approval-overridden": "en" "de";
    "approval-sent-back": "en" "de";
    "approval-ended": "en" "de";
};

/// What the code itself gives to every template.
const GIVEN: [&str; 2] = ["recipient", "locale"];

/// A text ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// One line.
    pub subject: String,
    pub body: String,
}

struct Variables {
    required: BTreeSet<String>,
    optional: BTreeSet<String>,
}

/// All templates, parsed once.
pub(crate) struct Templates {
    environment: Environment<'static>,
    variables: BTreeMap<&'static str, Variables>,
}

impl Templates {
    /// The texts that come with the program.
    ///
    /// # Errors
    /// When one of them is malformed, which the tests of this module rule out.
    pub(crate) fn shipped() -> Result<Self, minijinja::Error> {
        let mut environment = Environment::new();
        // A mail's last line ends like the others.
        environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build()?);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_filter("units", units);
        environment.add_filter("instant", instant);
        let mut variables: BTreeMap<&'static str, Variables> = BTreeMap::new();
        for &(name, locale, text) in SHIPPED {
            let (subject, optional, body) = parts(name, text)?;
            let known = variables
                .entry(name)
                .or_insert_with(|| Variables { required: BTreeSet::new(), optional: BTreeSet::new() });
            known.optional.extend(optional.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()));
            for (part, source) in [("subject", subject), ("body", body)] {
                let key = format!("{name}.{locale}.{part}");
                environment.add_template_owned(key.clone(), source)?;
                known.required.extend(environment.get_template(&key)?.undeclared_variables(false));
            }
        }
        for known in variables.values_mut() {
            known.required.retain(|one| !known.optional.contains(one) && !GIVEN.contains(&one.as_str()));
        }
        Ok(Self { environment, variables })
    }

    /// Fills a template for one recipient, in their language if there is one, else in the part before the hyphen, else
    /// in English.
    ///
    /// # Errors
    /// Each missing or misshapen variable by pointer below `/data`; `/template` when there is no such template.
    pub(crate) fn render(
        &self,
        name: &str,
        locale: Option<&str>,
        recipient: &str,
        data: &Map<String, Value>,
    ) -> Result<Rendered, Vec<FieldError>> {
        let Some(variables) = self.variables.get(name) else {
            let detail = format!("is unknown; there are {}", FOR_CALLERS.join(", "));
            return Err(vec![FieldError::new("/template", detail)]);
        };
        let missing: Vec<_> = variables
            .required
            .iter()
            .filter(|one| data.get(*one).is_none_or(Value::is_null))
            .map(|one| FieldError::new(format!("/data/{one}"), format!("is required by template {name}")))
            .collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        let locale = self.locale(name, locale.unwrap_or(FALLBACK_LOCALE));
        let mut context = data.clone();
        for optional in &variables.optional {
            context.entry(optional.clone()).or_insert(Value::Null);
        }
        context.insert("recipient".into(), json!(recipient));
        context.insert("locale".into(), json!(locale));
        let fill = |part: &str| {
            let template = self.environment.get_template(&format!("{name}.{locale}.{part}"));
            template.and_then(|template| template.render(Serde(&context))).map_err(|error| vec![misfit(&error)])
        };
        // Data must not be able to add a header or a second line.
        let subject = fill("subject")?.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Rendered { subject, body: fill("body")? })
    }

    fn locale(&self, name: &str, wanted: &str) -> String {
        let wanted = wanted.to_ascii_lowercase();
        let language = wanted.split(['-', '_']).next().unwrap_or_default().to_owned();
        let known = |locale: &String| self.environment.get_template(&format!("{name}.{locale}.body")).is_ok();
        [wanted, language].into_iter().find(known).unwrap_or_else(|| FALLBACK_LOCALE.to_owned())
    }
}

fn misfit(error: &minijinja::Error) -> FieldError {
    FieldError::new("/data", format!("does not fit the template: {error}"))
}

/// Subject, optional variables, body.
fn parts<'t>(name: &str, text: &'t str) -> Result<(&'t str, &'t str, &'t str), minijinja::Error> {
    let malformed = || minijinja::Error::new(ErrorKind::SyntaxError, format!("template {name} has no head"));
    let (head, body) = text.split_once("\n\n").ok_or_else(malformed)?;
    let line = |label: &str| head.lines().find_map(|line| line.strip_prefix(label));
    Ok((line("Subject: ").ok_or_else(malformed)?, line("Optional: ").unwrap_or_default(), body))
}

/// A quantity: no decimals where it is whole, at most two where not, with the language's decimal sign.
fn units(state: &State<'_, '_>, value: minijinja::Value) -> Result<String, minijinja::Error> {
    let refuse = || minijinja::Error::new(ErrorKind::InvalidOperation, format!("{value} is not a number"));
    if value.kind() != ValueKind::Number {
        return Err(refuse());
    }
    let number = f64::try_from(value.clone()).map_err(|_| refuse())?;
    let text = format!("{number:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let german = state.lookup("locale").is_some_and(|locale| locale.as_str().is_some_and(|l| l.starts_with("de")));
    Ok(if german { text.replace('.', ",") } else { text.to_owned() })
}

/// An RFC 3339 instant as people read it. In UTC and saying so: whose clock counts is not known here.
fn instant(value: String) -> Result<String, minijinja::Error> {
    let parsed: Timestamp = value.parse().map_err(|_| {
        minijinja::Error::new(ErrorKind::InvalidOperation, format!("{value:?} is not an RFC 3339 instant"))
    })?;
    Ok(parsed.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn drafted() -> Map<String, Value> {
        data(json!({"product": "SKU-1", "from": "dc-1", "to": "store-1", "quantity": 12.0, "odoo_name": "WH/INT/7",
            "projected_available": 14.5}))
    }

    #[test]
    fn every_shipped_template_is_filled_in_every_language() {
        let all = data(json!({"product": "p", "from": "f", "to": "t", "quantity": 1, "odoo_name": "o",
            "projected_available": 2, "outcome": "denied", "location": "l", "target": 3, "title": "T", "reason": "r",
            "link": "http://x/y", "by": "sven", "question": "why?", "answer_by": "2026-11-23T10:00:00Z",
            "decide_by": "2026-11-23T10:00:00Z", "escalated": true, "person": "opal", "role": "operator",
            "ticket": "INC-1", "approval": "a", "review_by": "2026-11-24T10:00:00Z"}));
        let templates = Templates::shipped().unwrap();
        for (name, locale, _) in SHIPPED {
            let mail = templates.render(name, Some(locale), "Olga", &all).unwrap();
            assert!(mail.body.contains("Olga"), "{name}.{locale}");
            assert!(!mail.subject.is_empty() && !mail.body.contains("{%"), "{name}.{locale}");
        }
        for (name, ..) in SHIPPED {
            let languages = SHIPPED.iter().filter(|(shipped, ..)| shipped == name).count();
            assert_eq!(languages, 2, "{name}");
        }
    }

    #[test]
    fn the_text_is_in_the_recipient_s_language_or_in_english() {
        let templates = Templates::shipped().unwrap();
        let subject = |locale| templates.render("transfer-drafted", locale, "Olga", &drafted()).unwrap().subject;
        assert_eq!(subject(Some("de-AT")), "Umlagerung WH/INT/7: 12 x SKU-1 nach store-1");
        assert_eq!(subject(Some("fr")), "Transfer WH/INT/7: 12 x SKU-1 to store-1");
        assert_eq!(subject(None), subject(Some("en")));
        let body = templates.render("transfer-drafted", Some("de"), "Olga", &drafted()).unwrap().body;
        assert!(body.contains("14,5 Stück"), "{body}");
    }

    #[test]
    fn every_missing_variable_is_named_and_an_optional_one_is_not_missed() {
        let templates = Templates::shipped().unwrap();
        let mut some = drafted();
        some.remove("quantity");
        some.insert("odoo_name".into(), Value::Null);
        let errors = templates.render("transfer-drafted", None, "Olga", &some).unwrap_err();
        let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/data/odoo_name", "/data/quantity"]);
        let errors = templates.render("transfer-drawn", None, "Olga", &drafted()).unwrap_err();
        assert_eq!(errors[0].pointer, "/template");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_and_a_line_break_cannot_leave_the_subject() {
        let templates = Templates::shipped().unwrap();
        let mut wrong = drafted();
        wrong.insert("quantity".into(), json!("many"));
        assert_eq!(templates.render("transfer-drafted", None, "Olga", &wrong).unwrap_err()[0].pointer, "/data");
        let mut sly = drafted();
        sly.insert("product".into(), json!("x\r\nBcc: everybody@example.com"));
        let subject = templates.render("transfer-drafted", None, "Olga", &sly).unwrap().subject;
        assert_eq!(subject, "Transfer WH/INT/7: 12 x x Bcc: everybody@example.com to store-1");
    }
}
