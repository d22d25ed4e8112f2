//! What the load generator itself costs, against an endpoint that does nothing: no figure of the other measures can be
//! better than this one, and where one comes near it, it is the generator that was measured.

use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, post};
use anyhow::Result;
use testkit::{Process, free_port};

use crate::{
    Report,
    cost::Cost,
    ground::ourselves,
    load::{self, Until},
    report::{Aim, Line},
};

const CLIENTS: u32 = 16;
const UNTIL: Until = Until::Time { warm_up: Duration::from_secs(1), measured: Duration::from_secs(5) };

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let port = free_port();
    let mut endpoint = Process::start(ourselves("nothing")?.args([port.to_string()]))?;
    endpoint.wait_ready(&format!("http://127.0.0.1:{port}/"), Duration::from_secs(10)).await?;
    let before = Cost::now();
    let outcome = load::drive(port, CLIENTS, UNTIL, |n| load::post("/", "", &n.to_string())).await?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let sent = (outcome.per_second * 6.0) as u64;
    report.note(format!("load generator, per request: {}", Cost::now().since(&before, sent)));
    report.line(Line {
        measure: "load generator against an endpoint that does nothing".to_owned(),
        unit: "requests/s",
        ours: outcome.per_second,
        yardstick: None,
        aim: Aim::None,
    });
    Ok(())
}

/// The endpoint, as a program.
#[actix_web::main]
pub(crate) async fn serve(port: u16) -> std::io::Result<()> {
    HttpServer::new(|| App::new().service(nothing).service(ready)).bind(("127.0.0.1", port))?.workers(2).run().await
}

#[post("/")]
async fn nothing(_body: String) -> HttpResponse {
    HttpResponse::Accepted().body("{}")
}

#[actix_web::get("/")]
async fn ready() -> HttpResponse {
    HttpResponse::Ok().finish()
}
