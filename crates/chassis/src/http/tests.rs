//! Each extractor's refusals, over a real actix application with the layers around it.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, get, post};
use contracts::{Page, Problem, ProductId};
use reqwest::{Client, RequestBuilder, Response};
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
    Ok(HttpResponse::Ok().json(Page::cut(rows, paging.limit, Paging::cursor)))
}

#[utoipa::path(responses((status = 200)))]
#[post("/v1/each")]
async fn each(lines: Ndjson) -> HttpResponse {
    lines.each(|line| match parse_json::<Line>(line)?.quantity {
        13 => Err(Problem::new("unlucky", 409, "No")),
        quantity => Ok(quantity * 2),
    })
}

#[utoipa::path(responses((status = 200)))]
#[post("/v1/batches")]
async fn batches(lines: Ndjson) -> HttpResponse {
    lines.batches(|lines: Vec<Line>| async move { Ok(lines.into_iter().map(|line| Ok(line.quantity)).collect()) })
}

static COUNTED: AtomicU32 = AtomicU32::new(0);

#[utoipa::path(responses((status = 200)))]
#[post("/v1/counted")]
async fn counted(lines: Ndjson) -> HttpResponse {
    lines.each(|_| Ok(COUNTED.fetch_add(1, Ordering::SeqCst)))
}

#[utoipa::path(responses((status = 200)))]
#[get("/v1/broken")]
async fn broken() -> Result<HttpResponse, ApiError> {
    Err(ApiError::internal("the secret cause"))
}

/// The application above, served on a free port.
struct Site {
    base: String,
    client: Client,
    handle: ServerHandle,
    metrics: Metrics,
    document: utoipa::openapi::OpenApi,
    service: String,
    auditor: String,
    _folder: tempfile::TempDir,
}

impl Site {
    fn start(extra: &str) -> Self {
        let key = |id: &str, role| {
            let (plain, mut entry) = generate_key(&Ids::default(), &id.to_owned().try_into().unwrap());
            entry.roles = vec![Grantee::everywhere(role)];
            (plain, entry)
        };
        let ((service, one), (auditor, two)) = (key("n8n", Role::Service), key("audit", Role::Auditor));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.yaml");
        std::fs::write(&path, KeysFile { keys: vec![one, two] }.to_yaml().unwrap()).unwrap();
        let yaml = format!("auth: {{keys_file: {path:?}}}\ntelemetry: {{log_filter: 'off'}}\n{extra}");
        let settings = Settings::from_yaml(&yaml).unwrap().common;
        let _guard = crate::telemetry::init(&settings.telemetry).unwrap();
        let (clock, metrics) = (Clock::system(), Metrics::default());
        let shared = Shared::in_process(&clock);
        let auth = Auth::new(&settings.auth, clock, shared.clone()).unwrap();
        let layers = layers(&settings.http, &auth, &shared, &metrics);
        let document = document();
        let allowed = Allowed::of([&document]);
        let server = HttpServer::new(move || {
            let app = App::new().app_data(allowed.clone()).configure(|config| configure(config, &settings.http, &auth));
            let (app, _) = routes(app.into_utoipa_app()).split_for_parts();
            layers.clone().around(app)
        });
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            base,
            client: Client::builder().no_proxy().build().unwrap(),
            handle,
            metrics,
            document,
            service,
            auditor,
            _folder: folder,
        }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.service)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.service)
    }

    fn note(&self, body: &str) -> RequestBuilder {
        let request = self.post("/test/v1/notes").header("Idempotency-Key", "k");
        request.header("Content-Type", "application/json").body(body.to_owned())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

fn routes<T>(app: utoipa_actix_web::UtoipaApp<T>) -> utoipa_actix_web::UtoipaApp<T>
where
    T: actix_web::dev::ServiceFactory<
            actix_web::dev::ServiceRequest,
            Config = (),
            Error = actix_web::Error,
            InitError = (),
        >,
{
    app.service(utoipa_actix_web::scope("/test").service(write).service(read).service(numbers).service(broken))
        .service(each)
        .service(batches)
        .service(counted)
}

fn document() -> utoipa::openapi::OpenApi {
    let mut document = routes(App::new().into_utoipa_app()).split_for_parts().1;
    document::complete(&mut document);
    document
}

/// Status, problem slug and the pointers of the bad fields; checks what all problems have in common.
async fn problem(request: RequestBuilder) -> (u16, String, Vec<String>) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let traceparent = response.headers()["traceparent"].to_str().unwrap().to_owned();
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(problem.status, status);
    assert!(traceparent.contains(&problem.trace_id.unwrap()), "{traceparent}");
    let slug = problem.kind.rsplit('/').next().unwrap().to_owned();
    (status, slug, problem.errors.into_iter().map(|error| error.pointer).collect())
}

fn refusal(status: u16, slug: &str, pointers: &[&str]) -> (u16, String, Vec<String>) {
    (status, slug.to_owned(), pointers.iter().map(|pointer| (*pointer).to_owned()).collect())
}

const GOOD: &str = r#"{"text":"a","lines":[{"product":"SKU-1","quantity":2}]}"#;

#[tokio::test]
async fn a_valid_request_passes_with_its_trace_and_security_headers() {
    let site = Site::start("");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let response = site.note(GOOD).header("Prefer", "wait=3").header("traceparent", parent).send().await.unwrap();
    assert_eq!(response.status(), 201);
    let headers = response.headers().clone();
    assert!(headers["traceparent"].to_str().unwrap().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["x-frame-options"], "DENY");
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["key"], &body["wait"]["secs"]), (&json!("k"), &json!(3)));
    let metrics = site.metrics.render();
    assert!(metrics.contains(r#"route="/test/v1/notes""#) && metrics.contains(r#"status="201""#), "{metrics}");
}

#[tokio::test]
async fn each_bad_field_of_a_body_is_named_by_json_pointer() {
    let site = Site::start("");
    for (body, pointer) in [
        (r#"{"lines":[]}"#, "/text"),
        (r#"{"text":1,"lines":[]}"#, "/text"),
        (r#"{"text":"a","lines":[],"colour":"red"}"#, "/colour"),
        (
            r#"{"text":"a","lines":[{"product":"SKU-1","quantity":1},{"product":"S 2","quantity":1}]}"#,
            "/lines/1/product",
        ),
        (r#"{"text":"a","lines":[{"product":"SKU-1","quantity":-1}]}"#, "/lines/0/quantity"),
        (r#"{"text":"a","lines":[{"product":"SKU-1"}]}"#, "/lines/0/quantity"),
        (r#"{"text":"a","lines":[{"product":"SKU-1","quantity":1,"a/b~c":1}]}"#, "/lines/0/a~1b~0c"),
        (r#"{"text":"a","lines":{}}"#, "/lines"),
        ("[]", ""),
    ] {
        assert_eq!(problem(site.note(body)).await, refusal(422, "invalid-request", &[pointer]), "{body}");
    }
    for body in
        ["", "{", r#"{"text":NaN,"lines":[]}"#, r#"{"text":"a","lines":[],"weight":1e999}"#, &format!("{GOOD} x")]
    {
        assert_eq!(problem(site.note(body)).await, refusal(400, "malformed-request", &[]), "{body}");
    }
}

#[tokio::test]
async fn type_size_and_encoding_of_a_body_are_checked_before_it_is_read() {
    let site = Site::start("http: {body_limit_bytes: 1024}");
    let base = || site.post("/test/v1/notes").header("Idempotency-Key", "k");
    assert_eq!(problem(base().body(GOOD)).await, refusal(415, "unsupported-media-type", &[]));
    let typed = |kind: &str| base().header("Content-Type", kind).body(GOOD);
    assert_eq!(problem(typed("text/plain")).await.0, 415);
    assert_eq!(typed("application/json; charset=utf-8").send().await.unwrap().status(), 201);
    assert_eq!(problem(site.note(GOOD).header("Content-Encoding", "gzip")).await.0, 415);
    let large = "x".repeat(1025);
    assert_eq!(problem(site.note(&large)).await, refusal(413, "too-large", &[]));
    let chunks = futures_util::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(vec![b' '; 500])));
    let chunked = base().header("Content-Type", "application/json").body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(problem(chunked).await, refusal(413, "too-large", &[]));
}

#[tokio::test]
async fn bad_path_query_and_header_parameters_are_named() {
    let site = Site::start("");
    let good = site.get("/test/v1/notes/SKU%3A1/2?days=7&product=a%2Db").header("If-Match", "\"3\"");
    let body: Value = good.send().await.unwrap().json().await.unwrap();
    assert_eq!(body, json!({"product": "a-b", "number": 2, "days": 7}));
    for (path, pointer) in [
        ("/test/v1/notes/SKU-1/two", "path:number"),
        ("/test/v1/notes/a%20b/2", "path:product"),
        ("/test/v1/notes/SKU-1/2?day=7", "query:day"),
        ("/test/v1/notes/SKU-1/2?days=seven", "query:days"),
        ("/test/v1/notes/SKU-1/2?days=7&days=8", "query:days"),
        ("/test/v1/numbers?limit=0", "query:limit"),
        ("/test/v1/numbers?limit=501", "query:limit"),
        ("/test/v1/numbers?cursor=!", "query:cursor"),
        ("/test/v1/numbers?cursor=bm90IG91cnM", "query:cursor"),
        ("/test/v1/numbers?offset=3", "query:offset"),
    ] {
        assert_eq!(problem(site.get(path)).await, refusal(400, "invalid-parameter", &[pointer]), "{path}");
    }
    let key = site.post("/test/v1/notes").header("Content-Type", "application/json").body(GOOD);
    assert_eq!(problem(key).await, refusal(400, "invalid-parameter", &["header:Idempotency-Key"]));
    let stale = site.get("/test/v1/notes/SKU-1/2").header("If-Match", "\"2\"");
    assert_eq!(problem(stale).await, refusal(412, "stale", &[]));
}

#[tokio::test]
async fn pages_follow_their_cursor_to_the_end() {
    let site = Site::start("");
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page: Page<u32> =
            site.get(&format!("/test/v1/numbers?limit=3{cursor}")).send().await.unwrap().json().await.unwrap();
        seen.extend(page.items);
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn who_calls_and_whether_they_may_is_decided_before_the_input_is_read() {
    let site = Site::start("");
    let post = || site.client.post(format!("{}/test/v1/notes", site.base)).body("not json");
    let anonymous = post().send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
    assert!(anonymous.headers().contains_key("www-authenticate"));
    for wrong in ["stw_n8n_0000", "stw_nobody_0000", "nonsense"] {
        assert_eq!(problem(post().bearer_auth(wrong)).await, refusal(401, "unauthenticated", &[]), "{wrong}");
    }
    assert_eq!(problem(post().basic_auth("n8n", Some(&site.service))).await.0, 401);
    assert_eq!(problem(post().bearer_auth(&site.auditor)).await, refusal(403, "forbidden", &[]));
}

#[tokio::test]
async fn what_does_not_exist_and_what_breaks_are_problems_too() {
    let site = Site::start("");
    assert_eq!(problem(site.get("/nowhere")).await, refusal(404, "not-found", &[]));
    assert_eq!(problem(site.get("/test/nowhere")).await, refusal(404, "not-found", &[]));
    let response = site.get("/test/v1/notes").send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["allow"].to_str().unwrap()), (405, "POST"));
    assert_eq!(problem(site.post("/test/v1/numbers")).await, refusal(405, "method-not-allowed", &[]));
    let response = site.get("/test/v1/broken").send().await.unwrap();
    assert_eq!(response.status(), 500);
    let text = response.text().await.unwrap();
    assert!(!text.contains("secret cause"), "{text}");
}

#[tokio::test]
async fn a_caller_above_the_limit_waits_and_others_do_not() {
    let site = Site::start("http: {rate_limit_per_minute: 2}");
    for _ in 0..2 {
        assert_eq!(site.get("/test/v1/numbers").send().await.unwrap().status(), 200);
    }
    let response = site.get("/test/v1/numbers").send().await.unwrap();
    assert_eq!(response.status(), 429);
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(problem(site.get("/test/v1/numbers")).await, refusal(429, "rate-limited", &[]));
    let other = site.client.get(format!("{}/test/v1/numbers", site.base)).bearer_auth(&site.auditor);
    assert_eq!(other.send().await.unwrap().status(), 200);
    assert!(site.metrics.render().contains(r#"rate_limited_total{caller="key:n8n"} 2"#));
}

async fn lines_of(response: Response) -> Vec<Value> {
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    response.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn line(quantity: u32) -> String {
    format!("{{\"product\":\"SKU-1\",\"quantity\":{quantity}}}")
}

#[tokio::test]
async fn a_bad_line_gets_an_error_line_in_its_place_and_the_others_their_answers() {
    let site = Site::start("");
    let long = format!("{{\"product\":\"{}\"}}", "x".repeat(64 * 1024));
    let endless = "y".repeat(300_000);
    let body =
        [&line(1), "", "nonsense", &line(13), &long, &line(2), &endless, r#"{"product":"SKU-1"}"#, &line(3)].join("\n");
    let request = |path: &str| site.post(path).header("Content-Type", "application/x-ndjson").body(body.clone());
    let answers = lines_of(request("/v1/each").send().await.unwrap()).await;
    let shape: Vec<Value> = answers
        .iter()
        .map(
            |answer| {
                if answer.is_object() { json!([answer["line"], answer["problem"]["status"]]) } else { answer.clone() }
            },
        )
        .collect();
    assert_eq!(json!(shape), json!([2, [3, 400], [4, 409], [5, 413], 4, [7, 413], [8, 422], 6]));
    assert_eq!(answers[6]["problem"]["errors"][0]["pointer"], "/quantity");
    let answers = lines_of(request("/v1/batches").send().await.unwrap()).await;
    assert_eq!(json!([answers[0], answers[2], answers[4], answers[7]]), json!([1, 13, 2, 3]));
    assert_eq!(problem(site.post("/v1/each").body(body)).await.0, 415);
}

#[tokio::test]
async fn a_stream_is_answered_while_it_is_sent_and_in_order() {
    let site = Site::start("");
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(1);
    let request = site.post("/v1/each").header("Content-Type", "application/x-ndjson");
    let body = reqwest::Body::wrap_stream(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)));
    sender.send(Ok(line(1) + "\n")).await.unwrap();
    let mut response = request.body(body).send().await.unwrap();
    // The request is still open, and its first line is answered already.
    assert_eq!(response.chunk().await.unwrap().unwrap(), "2\n");
    let rest = tokio::spawn(async move {
        for number in 0..20_000 {
            sender.send(Ok(line(number % 10 + 100) + "\n")).await.unwrap();
        }
    });
    let text = response.text().await.unwrap();
    rest.await.unwrap();
    let expected: String = (0..20_000).map(|number| format!("{}\n", (number % 10 + 100) * 2)).collect();
    assert!(text == expected, "{} of {} bytes", text.len(), expected.len());
}

#[tokio::test]
async fn a_stream_stops_when_the_caller_does_not_read_or_goes_away() {
    let site = Site::start("");
    // A caller that sends for ever and reads nothing but the first answers.
    let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>((line(1) + "\n").repeat(100)));
    let request = site.post("/v1/counted").header("Content-Type", "application/x-ndjson");
    let mut response = request.body(reqwest::Body::wrap_stream(endless)).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    let settled = || async {
        let mut last = COUNTED.load(Ordering::SeqCst);
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = COUNTED.load(Ordering::SeqCst);
            if now == last {
                return now;
            }
            last = now;
        }
        panic!("still working: {last} lines");
    };
    // Back pressure: the work rests once the buffers between us are full.
    let unread = settled().await;
    drop(response);
    let gone = settled().await;
    assert!(unread > 0 && gone >= unread, "{unread} {gone}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(COUNTED.load(Ordering::SeqCst), gone);
}

#[tokio::test]
async fn the_document_names_parameters_bodies_problems_and_how_to_authenticate() {
    let site = Site::start("");
    let document = serde_json::to_value(&site.document).unwrap();
    let names = |path: &str, method: &str| -> Vec<String> {
        let parameters = document["paths"][path][method]["parameters"].as_array().unwrap().clone();
        parameters.iter().map(|p| format!("{}:{}", p["in"].as_str().unwrap(), p["name"].as_str().unwrap())).collect()
    };
    assert_eq!(names("/test/v1/notes", "post"), ["header:Idempotency-Key", "header:Prefer"]);
    let of_read = names("/test/v1/notes/{product}/{number}", "get");
    assert_eq!(of_read, ["path:product", "path:number", "query:product", "query:days", "header:If-Match"]);
    assert_eq!(names("/test/v1/numbers", "get"), ["query:cursor", "query:limit"]);
    let post = &document["paths"]["/test/v1/notes"]["post"];
    assert_eq!(post["requestBody"]["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/Note");
    let refused = &post["responses"]["422"]["content"]["application/problem+json"]["schema"]["$ref"];
    assert_eq!(refused, "#/components/schemas/Problem");
    for schema in ["Note", "Line", "Problem", "FieldError"] {
        assert!(document["components"]["schemas"][schema].is_object(), "{schema}");
    }
    assert_eq!(document["security"], json!([{"api_key": []}, {"session": []}]));
    assert_eq!(document["components"]["securitySchemes"]["api_key"]["scheme"], "bearer");
}
