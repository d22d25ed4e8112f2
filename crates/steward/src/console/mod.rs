//! The console at `/`: what waits, what failed, what was recommended, and the story of one case.
//!
//! It has no rights of its own. Everything it shows it asks the services for, over HTTP, with the visitor's own
//! session; what the visitor may not see or do is refused there, and the refusal is shown. Pages are rendered here and
//! need no script.

mod act;
mod case;
mod decision;
mod fleet;
mod inbox;
mod overview;
mod pages;
mod sign_in;
mod visitor;

use std::{sync::Arc, time::Duration};

use actix_web::{HttpResponse, get, http::header, web};
use chassis::{Settings, host::ExtraRoutes};

use self::fleet::Fleet;

/// Prefix and name of each service, in the order in which a case usually passes them.
const SERVICES: [(&str, &str); 4] =
    [("supply", "Supply"), ("scoring", "Scoring"), ("approvals", "Approvals"), ("notify", "Notify")];

/// The console's routes, for the root beside the services' prefixes. `base_url` is where those answer.
///
/// # Errors
/// When the HTTP client cannot be built.
pub fn routes(base_url: &str, settings: &Settings) -> anyhow::Result<ExtraRoutes> {
    let timeout = Duration::from_secs(settings.common.outgoing.timeout_seconds);
    let fleet = web::Data::new(Fleet::new(base_url, timeout)?);
    Ok(Arc::new(move |config: &mut web::ServiceConfig| {
        config
            .app_data(fleet.clone())
            .service(overview::overview)
            .service(inbox::inbox)
            .service(case::case)
            .service(decision::look)
            .service(act::decide)
            .service(act::review)
            .service(act::end_dead_letter)
            .service(sign_in::offer)
            .service(sign_in::sign_in)
            .service(sign_in::sign_out)
            .service(style);
    }))
}

/// A file and not in the pages, so that no page needs permission for inline style.
#[get("/console.css")]
async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .body(include_str!("../../templates/console.css"))
}
