//! The HTTP face: JSON-2 and the version, on a port of its own.

use std::{io, net::SocketAddr, sync::Arc};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, get, http::StatusCode, post, rt::time::sleep, web,
};
use serde_json::{Value, json};

use super::{
    API_KEY, DATABASE, Failure, RecordedCall, State, load, locked,
    tables::{Fault, Row, row},
};

/// What a real server sends when it does not know the database.
const NO_DATABASE: &str = "<!DOCTYPE html>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n\
    <p>No database is selected and the requested URL was not found in the server-wide controllers.</p>\n";

pub(super) fn listen(state: Arc<State>) -> io::Result<(SocketAddr, ServerHandle)> {
    let state = web::Data::from(state);
    let body_limit = web::PayloadConfig::new(16 * 1024 * 1024);
    let server = HttpServer::new(move || {
        App::new().app_data(state.clone()).app_data(body_limit.clone()).service(version).service(json2)
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))?;
    let address = server.addrs().first().copied().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let running = server.run();
    let handle = running.handle();
    // The worker has a thread of its own; this task only waits for its end.
    tokio::spawn(running);
    Ok((address, handle))
}

#[get("/web/version")]
async fn version() -> HttpResponse {
    HttpResponse::Ok().json(json!({"version_info": [19, 0, 0, "final", 0, ""], "version": "19.0"}))
}

#[post("/json/2/{model}/{method}")]
async fn json2(
    state: web::Data<State>,
    path: web::Path<(String, String)>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    // With one database the header may be left out.
    if header("X-Odoo-Database").is_some_and(|name| name != DATABASE) {
        return page(StatusCode::NOT_FOUND, NO_DATABASE);
    }
    let key = header("Authorization").and_then(|value| value.split_once(' '));
    if !key.is_some_and(|(scheme, key)| scheme.eq_ignore_ascii_case("bearer") && key == API_KEY) {
        return unauthorized();
    }
    let Ok(body @ Value::Object(_)) = serde_json::from_slice(&body) else {
        return refused(&Fault::new(400, "werkzeug.exceptions.BadRequest", "could not parse the body as json"));
    };
    let (model, method) = path.into_inner();
    let call = RecordedCall { model, method, body: row(body) };
    locked(&state.calls).push(call.clone());
    let failure = locked(&state.failures).pop_front();
    fail_or_answer(&state, &call, failure).await
}

async fn fail_or_answer(state: &State, call: &RecordedCall, failure: Option<Failure>) -> HttpResponse {
    match failure {
        None => answer(state, call),
        Some(Failure::Serialization) if call.method == "load" => HttpResponse::Ok().json(load::lost_race()),
        Some(Failure::Serialization) => {
            let text = "could not serialize access due to concurrent update\n";
            refused(&Fault::new(500, "psycopg2.errors.SerializationFailure", text))
        }
        Some(Failure::Unavailable) => page(StatusCode::SERVICE_UNAVAILABLE, "<h1>503 Service Unavailable</h1>"),
        Some(Failure::Unauthorized) => unauthorized(),
        Some(Failure::LostAnswer) => {
            drop(answer(state, call));
            page(StatusCode::BAD_GATEWAY, "<h1>502 Bad Gateway</h1>")
        }
        Some(Failure::Slow(by)) => {
            sleep(by).await;
            answer(state, call)
        }
    }
}

fn answer(state: &State, call: &RecordedCall) -> HttpResponse {
    let now = (state.clock)();
    match state.tables().call(&call.model, &call.method, &call.body, now) {
        Ok(value) => HttpResponse::Ok().json(value),
        Err(fault) => refused(&fault),
    }
}

fn unauthorized() -> HttpResponse {
    let text = "User not authenticated, use an API Key with a Bearer Authorization header.";
    refused(&Fault::new(401, "werkzeug.exceptions.Unauthorized", text))
}

/// The real `debug` is a traceback with paths of the server; a client that keeps it shows this word.
fn refused(fault: &Fault) -> HttpResponse {
    let body: Row = row(json!({"name": fault.name, "message": fault.message, "arguments": [fault.message],
        "context": {}, "debug": "Traceback (most recent call last): TRACEBACK-OF-THE-SERVER"}));
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status).json(body)
}

fn page(status: StatusCode, html: &'static str) -> HttpResponse {
    HttpResponse::build(status).content_type("text/html; charset=utf-8").body(html)
}
