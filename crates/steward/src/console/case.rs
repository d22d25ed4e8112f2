//! `/cases/{correlation_id}`: one thread of business across the audit trails of all services.

use actix_web::{HttpResponse, get, http::StatusCode, web};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    SERVICES,
    fleet::{Fleet, Trouble},
    pages::{Refused, page},
    visitor::Visitor,
};

/// Longest text shown of one detail; the audit API has it whole.
const LONGEST: usize = 300;
/// A detail up to this length is shown unopened; identifiers and hashes are longer.
const SHORT: usize = 32;

/// One audit entry.
#[derive(Serialize)]
struct Leaf {
    service: &'static str,
    at: Option<Timestamp>,
    entry: Value,
    /// The short details in one line.
    summary: String,
    /// Name and text of each detail.
    details: Vec<(String, String)>,
}

/// A trail that could not be read.
#[derive(Serialize)]
struct Silent {
    service: &'static str,
    trouble: Trouble,
}

#[get("/cases/{correlation_id}")]
pub(super) async fn case(
    fleet: web::Data<Fleet>,
    visitor: Visitor,
    correlation_id: web::Path<String>,
) -> Result<HttpResponse, Refused> {
    let query = [("correlation_id", correlation_id.as_str()), ("limit", "500")];
    let trails = join_all(SERVICES.map(|(prefix, name)| {
        let (fleet, visitor) = (&fleet, &visitor);
        async move { (name, fleet.list(visitor, &format!("/{prefix}/v1/audit"), &query).await) }
    }));
    let (mut leaves, mut silent) = (Vec::new(), Vec::new());
    for (service, trail) in trails.await {
        match trail {
            Ok(entries) => leaves.extend(entries.into_iter().map(|entry| leaf(service, entry))),
            Err(trouble) => silent.push(Silent { service, trouble }),
        }
    }
    // At the same instant the sequence of the service decides.
    leaves.sort_by_key(|leaf| (leaf.at, leaf.service, leaf.entry["seq"].as_i64()));
    if leaves.is_empty() && silent.len() == SERVICES.len() {
        return Err(silent.swap_remove(0).trouble.into());
    }
    let values = json!({
        "visitor": visitor.actor,
        "csrf": visitor.form_token,
        "correlation_id": correlation_id.as_str(),
        "leaves": leaves,
        "silent": silent,
    });
    Ok(page(StatusCode::OK, "case.html", &values))
}

fn leaf(service: &'static str, entry: Value) -> Leaf {
    let details = entry["details"].as_object().into_iter().flatten();
    let details = details.filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), text(value)));
    let details: Vec<(String, String)> = details.collect();
    let at = entry["at"].as_str().and_then(|at| at.parse().ok());
    Leaf { service, at, summary: summary(&details), details, entry }
}

/// What says most at a glance: the details that are neither hashes nor documents.
fn summary(details: &[(String, String)]) -> String {
    let short = details.iter().filter(|(_, text)| text.len() <= SHORT && !text.starts_with('{'));
    let parts: Vec<String> = short.map(|(name, text)| format!("{} {text}", name.replace('_', " "))).collect();
    parts.join(" · ")
}

fn text(value: &Value) -> String {
    let whole = match (value, words(value)) {
        (Value::String(text), _) => text.clone(),
        (_, Some(words)) => words.join(", "),
        _ => value.to_string(),
    };
    match whole.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &whole[..end]),
        None => whole,
    }
}

/// The items of a list of texts; `None` for anything else.
fn words(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}
