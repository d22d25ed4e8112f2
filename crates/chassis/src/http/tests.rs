//! Each extractor's refusals, over a real actix application with the layers around it.

use actix_web::{
    App, HttpResponse,
    body::to_bytes,
    dev::{Service, ServiceResponse},
    get,
    http::StatusCode,
    post,
    test::{TestRequest, call_service, init_service},
};
use contracts::{Page, ProductId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa_actix_web::AppExt;

use super::*;
use crate::{
    auth::{Caller, Grantee, KeysFile, Role, generate_key},
    clock::{Clock, Ids},
    config::Settings,
    permission,
    shared::Shared,
    telemetry::Metrics,
};

permission!(Scribble = "test:scribble" for [Service, Admin]);

#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
    lines: Vec<Line>,
    #[serde(default)]
    weight: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Line {
    product: ProductId,
    quantity: u32,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct Filter {
    product: Option<ProductId>,
    days: Option<u32>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
struct NotePath {
    product: ProductId,
    number: u32,
}

/// Write a note.
#[utoipa::path(params(IdempotencyKey, Prefer), request_body = Note, responses((status = 201, body = Note), Problems))]
#[post("/v1/notes")]
async fn write(_caller: Caller<Scribble>, key: IdempotencyKey, prefer: Prefer, note: Body<Note>) -> HttpResponse {
    HttpResponse::Created().json(json!({"key": key.as_str(), "wait": prefer.wait, "note": note.into_inner()}))
}

#[utoipa::path(params(PathOf<NotePath>, Params<Filter>, IfMatch), responses((status = 200), Problems))]
#[get("/v1/notes/{product}/{number}")]
async fn read(path: PathOf<NotePath>, filter: Params<Filter>, seen: IfMatch) -> Result<HttpResponse, ApiError> {
    seen.check(3)?;
    let product = filter.product.as_ref().unwrap_or(&path.product);
    Ok(HttpResponse::Ok().json(json!({"product": product, "number": path.number, "days": filter.days})))
}

#[utoipa::path(params(Paging), responses((status = 200), Problems))]
#[get("/v1/numbers")]
async fn numbers(paging: Paging) -> Result<HttpResponse, ApiError> {
    let after: u32 = paging.after()?.unwrap_or(0);
    let rows = (after + 1..=7).take(paging.limit as usize + 1).collect();
    Ok(HttpResponse::Ok().json(Page::cut(rows, paging.limit, |row| Paging::cursor(row))))
}

#[utoipa::path(responses((status = 200)))]
#[post("/v1/each")]
async fn each(lines: Ndjson) -> HttpResponse {
    lines.each(|line: Line| if line.quantity == 13 { Err(Problem::new("unlucky", 422, "No")) } else { Ok(line.quantity * 2) })
}

use contracts::Problem;

#[utoipa::path(responses((status = 200)))]
#[post("/v1/batches")]
async fn batches(lines: Ndjson) -> HttpResponse {
    lines.batches(|lines: Vec<Line>| async move { Ok(lines.into_iter().map(|line| Ok(line.quantity)).collect()) })
}

#[utoipa::path(responses((status = 200)))]
#[get("/v1/broken")]
async fn broken() -> Result<HttpResponse, ApiError> {
    Err(ApiError::internal("the secret cause"))
}

struct Keys {
    _folder: tempfile::TempDir,
    yaml: String,
    service: String,
    auditor: String,
}

fn keys() -> Keys {
    let key = |id: &str, role| {
        let (plain, mut entry) = generate_key(&Ids::default(), &id.to_owned().try_into().unwrap());
        entry.roles = vec![Grantee::everywhere(role)];
        (plain, entry)
    };
    let ((service, one), (auditor, two)) = (key("n8n", Role::Service), key("audit", Role::Auditor));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    std::fs::write(&path, KeysFile { keys: vec![one, two] }.to_yaml().unwrap()).unwrap();
    let yaml = format!("auth: {{keys_file: {path:?}}}\ntelemetry: {{log_filter: error}}\n");
    Keys { _folder: folder, yaml, service, auditor }
}

fn app(
    yaml: &str,
) -> (
    App<
        impl actix_web::dev::ServiceFactory<
            actix_web::dev::ServiceRequest,
            Config = (),
            Response = ServiceResponse,
            Error = actix_web::Error,
            InitError = (),
        >,
    >,
    utoipa::openapi::OpenApi,
    Metrics,
) {
    let settings = Settings::from_yaml(yaml).unwrap().common;
    let _guard = crate::telemetry::init(&settings.telemetry).unwrap();
    let (clock, metrics) = (Clock::system(), Metrics::default());
    let shared = Shared::in_process(&clock);
    let auth = Auth::new(&settings.auth, clock, shared.clone()).unwrap();
    let layers = layers(&settings.http, &auth, &shared, &metrics);
    let (app, mut document) = App::new()
        .configure(|config| configure(config, &settings.http, &auth))
        .into_utoipa_app()
        .service(utoipa_actix_web::scope("/test").service(write).service(read).service(numbers).service(broken))
        .service(each)
        .service(batches)
        .split_for_parts();
    document::complete(&mut document);
    let app = app.app_data(Allowed::of([&document]));
    (layers.around(app), document, metrics)
}

async fn answer(
    app: &impl Service<actix_http::Request, Response = ServiceResponse, Error = actix_web::Error>,
    request: TestRequest,
) -> (StatusCode, Value, ServiceResponse<()>) {
    let response = call_service(app, request.to_request()).await;
    let status = response.status();
    let (request, response) = response.into_parts();
    let (head, body) = response.into_parts();
    let body = to_bytes(body).await.unwrap();
    let value = serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into()));
    (status, value, ServiceResponse::new(request, head))
}
