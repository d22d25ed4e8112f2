//! Templates to pages, and refusals as pages.

use std::{fmt, sync::LazyLock};

use actix_web::{HttpResponse, ResponseError, http::StatusCode, http::header};
use contracts::Action;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use minijinja::{Environment, Value, value::Serde};
use serde::Serialize;
use serde_json::json;

use super::fleet::Trouble;

/// Nothing is loaded but our own style; nothing runs.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Autoescape goes by the `.html` of the names.
static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    let pages = [
        ("frame.html", include_str!("../../templates/frame.html")),
        ("part.html", include_str!("../../templates/part.html")),
        ("overview.html", include_str!("../../templates/overview.html")),
        ("inbox.html", include_str!("../../templates/inbox.html")),
        ("decision.html", include_str!("../../templates/decision.html")),
        ("case.html", include_str!("../../templates/case.html")),
        ("sign_in.html", include_str!("../../templates/sign_in.html")),
        ("stranger.html", include_str!("../../templates/stranger.html")),
        ("trouble.html", include_str!("../../templates/trouble.html")),
    ];
    for (name, text) in pages {
        if let Err(error) = templates.add_template(name, text) {
            tracing::error!(name, %error, "a page template cannot be read");
        }
    }
    templates.add_filter("instant", |text: &str| shown(text, "%-d %b, %H:%M:%S%.3f"));
    templates.add_filter("second", |text: &str| shown(text, "%-d %b, %H:%M:%S"));
    templates.add_filter("minute", |text: &str| shown(text, "%-d %b, %H:%M"));
    templates.add_filter("action", action);
    templates.add_filter("money", money);
    templates.add_filter("points", |micros: f64| format!("{:.0}", micros / 10_000.0));
    templates.add_filter("units", |units: f64| format!("{}", (units * 10.0).round() / 10.0));
    templates
});

/// A page. With a template that cannot be rendered, a plain sentence: a broken page is no reason for silence.
pub(super) fn page(status: StatusCode, template: &str, values: &impl Serialize) -> HttpResponse {
    let values = Value::from(Serde(values));
    let html = TEMPLATES.get_template(template).and_then(|template| template.render(values));
    let html = html.unwrap_or_else(|error| {
        tracing::error!(template, error = %chassis::chain(&error), "a page cannot be rendered");
        "This page cannot be shown; the log says why.".to_owned()
    });
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(html)
}

/// Why a visitor does not get the page asked for.
#[derive(Debug)]
pub(super) enum Refused {
    /// No session.
    Stranger,
    /// A form that is not of the visitor's own page.
    ForeignForm,
    /// The sign-in link is used up.
    SignInUsed,
    /// A service said no.
    Trouble(Trouble),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stranger => "not signed in",
            Self::ForeignForm => "the form is not of the visitor's own page",
            Self::SignInUsed => "the sign-in link does not count any more",
            Self::Trouble(trouble) => &trouble.title,
        })
    }
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Stranger => StatusCode::UNAUTHORIZED,
            Self::ForeignForm | Self::SignInUsed => StatusCode::FORBIDDEN,
            Self::Trouble(trouble) => StatusCode::from_u16(trouble.status).unwrap_or(StatusCode::BAD_GATEWAY),
        }
    }

    fn error_response(&self) -> HttpResponse {
        let (template, values) = match self {
            Self::Stranger => ("stranger.html", json!({})),
            Self::SignInUsed => {
                let detail = "It works once and for a day. Get a new one from the terminal.";
                ("stranger.html", json!({"notice": "This sign-in link does not count any more.", "detail": detail}))
            }
            Self::ForeignForm => {
                let detail = "Your session may have changed since the page was loaded. Load it again and repeat.";
                ("trouble.html", json!({"trouble": {"title": "This form is out of date", "detail": detail}}))
            }
            Self::Trouble(trouble) => ("trouble.html", json!({"trouble": trouble})),
        };
        page(self.status_code(), template, &values)
    }
}

fn shown(text: &str, format: &str) -> String {
    let at: Option<DateTime> = text.parse::<Timestamp>().ok().map(|at| at.to_zoned(TimeZone::UTC).datetime());
    at.map_or_else(|| text.to_owned(), |at| at.strftime(format).to_string())
}

/// An action of the contract as a sentence.
fn action(value: &Value) -> String {
    let parsed = serde_json::to_value(value).and_then(serde_json::from_value);
    let Ok(action) = parsed else { return value.to_string() };
    match action {
        Action::Transfer { product, from, to, quantity } => format!("Move {quantity} {product} from {from} to {to}"),
        Action::Purchase { product, to, supplier, quantity } => {
            format!("Buy {quantity} {product} from {supplier} for {to}")
        }
        Action::WriteOff { product, location, quantity } => format!("Write off {quantity} {product} at {location}"),
        Action::Substitution { product, order, supplier, quantity } => {
            format!("Take {quantity} {product} of order {order} from {supplier} instead")
        }
    }
}

fn money(value: &Value) -> String {
    let parsed = serde_json::to_value(value).and_then(serde_json::from_value::<contracts::Money>);
    parsed.map_or_else(|_| value.to_string(), |money| money.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_sound() {
        let names: Vec<&str> = TEMPLATES.templates().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 9, "{names:?}");
    }

    #[test]
    fn what_is_shown_is_escaped() {
        let trouble = json!({"title": "<script>alert(1)</script>", "detail": "a & b"});
        let html = TEMPLATES.get_template("trouble.html").unwrap().render(Serde(json!({"trouble": trouble}))).unwrap();
        assert!(!html.contains("<script>") && html.contains("a &amp; b"), "{html}");
    }

    #[test]
    fn an_action_reads_as_a_sentence_and_an_unknown_one_as_it_came() {
        let transfer = json!({"type": "transfer", "product": "A", "from": "x", "to": "y", "quantity": 3.0});
        assert_eq!(action(&Value::from(Serde(transfer))), "Move 3 A from x to y");
        assert!(action(&Value::from(Serde(json!({"type": "dance"})))).contains("dance"));
    }
}
