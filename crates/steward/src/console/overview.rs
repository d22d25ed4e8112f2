//! `/`: what waits and what failed, the most pressing first.

use actix_web::{HttpResponse, get, http::StatusCode, web};
use chassis::Ids;
use futures_util::future::{join, join_all, join4};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    SERVICES,
    fleet::{Fleet, Shown, Trouble},
    pages::page,
    visitor::Visitor,
};

/// What was done on the page before; a closed set, so that a link cannot put words into the console's mouth.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Note {
    Replayed,
    Discarded,
}

#[derive(Deserialize)]
struct After {
    done: Option<Note>,
}

/// The dead letters of one service.
#[derive(Serialize)]
struct DeadLetters {
    service: &'static str,
    name: &'static str,
    letters: Shown<Vec<Value>>,
}

#[get("/")]
pub(super) async fn overview(fleet: web::Data<Fleet>, visitor: Visitor, after: web::Query<After>) -> HttpResponse {
    let waiting = fleet.list(&visitor, "/approvals/v1/approvals", &[("status", "waiting"), ("limit", "100")]);
    let exceptions = fleet.list(&visitor, "/notify/v1/exceptions", &[("state", "open"), ("limit", "100")]);
    let recommendations = fleet.list(&visitor, "/scoring/v1/recommendations", &[("limit", "12")]);
    let dead_letters = join_all(SERVICES.map(|(service, name)| dead_letters(&fleet, &visitor, service, name)));
    let overrides = unreviewed(&fleet, &visitor);
    let ((readiness, overrides), (waiting, exceptions, recommendations, dead_letters)) =
        join(join(fleet.readiness(), overrides), join4(waiting, exceptions, recommendations, dead_letters)).await;
    let waiting = waiting.map(|mut waiting| {
        // The one whose time ends first is the first.
        waiting.sort_by(|a, b| a["decide_by"].as_str().cmp(&b["decide_by"].as_str()));
        waiting
    });
    let quiet = dead_letters.iter().all(|one| matches!(&one.letters, Shown::Answer(letters) if letters.is_empty()));
    let values = json!({
        "visitor": visitor.actor,
        "csrf": visitor.form_token,
        // One key per page shown: a form sent twice is one command.
        "form": Ids::default().next().to_string(),
        "done": after.done,
        "readiness": Shown::from(readiness),
        "waiting": Shown::from(waiting),
        "overrides": Shown::from(overrides),
        "exceptions": Shown::from(exceptions),
        "recommendations": Shown::from(recommendations),
        "dead_letters": dead_letters,
        "quiet": quiet,
    });
    page(StatusCode::OK, "overview.html", &values)
}

/// The overrides that wait for a review, those whose time is over first.
async fn unreviewed(fleet: &Fleet, visitor: &Visitor) -> Result<Vec<Value>, Trouble> {
    let list = |state| async move {
        fleet.list(visitor, "/approvals/v1/overrides", &[("state", state), ("limit", "100")]).await
    };
    let (overdue, owed) = join(list("overdue"), list("owed")).await;
    let (mut all, mut owed) = (overdue?, owed?);
    owed.sort_by(|a, b| a["review_by"].as_str().cmp(&b["review_by"].as_str()));
    all.extend(owed);
    Ok(all)
}

async fn dead_letters(fleet: &Fleet, visitor: &Visitor, service: &'static str, name: &'static str) -> DeadLetters {
    let path = format!("/{service}/v1/dead-letters");
    let letters = fleet.list(visitor, &path, &[("limit", "100")]).await.into();
    DeadLetters { service, name, letters }
}
