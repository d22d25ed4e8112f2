//! Every error of both transports, answered as real servers answer.

#![expect(clippy::unwrap_used, reason = "a promise that does not hold ends the test")]

use std::time::Duration;

use odoo::{Client, Domain, Error, LoadRows, OdooConfig, TransportChoice};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_partial_json, header, method, path},
};

type Check = fn(&Error) -> bool;

const TRACEBACK: &str = "Traceback (most recent call last): /usr/lib/python3/odoo/http.py";

fn config(server: &MockServer, transport: TransportChoice) -> OdooConfig {
    OdooConfig {
        base_url: server.uri(),
        database: "lab".into(),
        login: Some("steward-bot".into()),
        api_key: SecretString::from("0123456789abcdef"),
        timeout: Duration::from_millis(500),
        max_calls_per_second: 1000.0,
        transport,
    }
}

async fn odoo_19() -> MockServer {
    let server = MockServer::start().await;
    let version = json!({"version_info": [19, 0, 0, "final", 0, ""], "version": "19.0"});
    let web_version = Mock::given(path("/web/version")).respond_with(ResponseTemplate::new(200).set_body_json(version));
    web_version.mount(&server).await;
    let who = json!({"lang": "en_US", "tz": false, "uid": 5});
    Mock::given(method("POST"))
        .and(path("/json/2/res.users/context_get"))
        .and(header("authorization", "Bearer 0123456789abcdef"))
        .and(header("x-odoo-database", "lab"))
        .respond_with(ResponseTemplate::new(200).set_body_json(who))
        .mount(&server)
        .await;
    server
}

/// Answers `/web/version` with a redirect to the login, as 17 and 18 do.
async fn odoo_18() -> MockServer {
    let server = MockServer::start().await;
    let login = ResponseTemplate::new(303).insert_header("location", "/web/login");
    Mock::given(path("/web/version")).respond_with(login).mount(&server).await;
    let info = json!({"server_version_info": [18, 0, 0, "final", 0, ""]});
    rpc(&server, json!({"service": "common", "method": "version"}), json!({"result": info})).await;
    rpc(&server, json!({"service": "common", "method": "authenticate"}), json!({"result": 5})).await;
    server
}

async fn rpc(server: &MockServer, params: Value, answer: Value) {
    Mock::given(path("/jsonrpc"))
        .and(body_partial_json(json!({"params": params})))
        .respond_with(ResponseTemplate::new(200).set_body_json(answer))
        .mount(server)
        .await;
}

async fn refusal_over_json2(answer: ResponseTemplate) -> Error {
    let server = odoo_19().await;
    Mock::given(path("/json/2/stock.quant/read")).respond_with(answer).mount(&server).await;
    let client = Client::connect(config(&server, TransportChoice::Auto)).await.unwrap();
    client.read("stock.quant", &[1], &["quantity"]).await.unwrap_err()
}

fn named(status: u16, name: &str, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"name": name, "message": message, "arguments": [message],
        "context": {}, "debug": TRACEBACK}))
}

#[tokio::test]
async fn json2_errors_are_typed_by_name_and_never_by_status_alone() {
    let table: [(u16, &str, Check, bool); 12] = [
        (401, "werkzeug.exceptions.Unauthorized", |e| matches!(e, Error::Unauthorized), false),
        (404, "werkzeug.exceptions.NotFound", |e| matches!(e, Error::NotFound { .. }), false),
        (403, "odoo.exceptions.AccessError", |e| matches!(e, Error::Access { .. }), false),
        (404, "odoo.exceptions.MissingError", |e| matches!(e, Error::Missing { .. }), false),
        (422, "odoo.exceptions.ValidationError", |e| matches!(e, Error::Validation { .. }), false),
        (422, "odoo.exceptions.UserError", |e| matches!(e, Error::Validation { .. }), false),
        (422, "werkzeug.exceptions.UnprocessableEntity", |e| matches!(e, Error::ClientBug { .. }), false),
        (500, "builtins.TypeError", |e| matches!(e, Error::ClientBug { .. }), false),
        (500, "builtins.ValueError", |e| matches!(e, Error::ClientBug { .. }), false),
        (500, "psycopg2.errors.SerializationFailure", |e| matches!(e, Error::Serialization { .. }), true),
        (500, "psycopg2.errors.NotNullViolation", |e| matches!(e, Error::Server { .. }), false),
        (500, "psycopg2.OperationalError", |e| matches!(e, Error::Unavailable { .. }), true),
    ];
    for (status, name, expected, retryable) in table {
        let error = refusal_over_json2(named(status, name, "the reason")).await;
        assert!(expected(&error), "{status} {name} became {error:?}");
        assert_eq!(error.is_retryable(), retryable, "{name}");
        assert!(!format!("{error:?} {error}").contains("Traceback"), "the server's traceback was kept: {error:?}");
    }
}

#[tokio::test]
async fn pages_and_gateways_are_told_apart() {
    let html = |status| ResponseTemplate::new(status).set_body_raw("<!DOCTYPE html>\n<title>x</title>", "text/html");
    let error = refusal_over_json2(html(404)).await;
    assert!(matches!(error, Error::Html { status: 404, .. }) && !error.is_retryable(), "{error:?}");
    assert!(matches!(refusal_over_json2(html(200)).await, Error::Html { status: 200, .. }));
    for status in [429, 502, 503, 504] {
        let error = refusal_over_json2(html(status).insert_header("retry-after", "7")).await;
        assert!(matches!(error, Error::Unavailable { .. }) && error.is_retryable(), "{status}: {error:?}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_because_the_key_would_travel_along() {
    let elsewhere = MockServer::start().await;
    let redirect = ResponseTemplate::new(307).insert_header("location", elsewhere.uri());
    let error = refusal_over_json2(redirect).await;
    assert!(matches!(error, Error::Html { status: 307, .. }), "{error:?}");
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_slow_or_absent_server_is_a_retryable_transport_error() {
    let error = refusal_over_json2(ResponseTemplate::new(200).set_delay(Duration::from_secs(2))).await;
    assert!(matches!(&error, Error::Transport(cause) if cause.is_timeout()), "{error:?}");
    assert!(error.is_retryable());
    let server = odoo_19().await;
    let nowhere = OdooConfig { base_url: "http://127.0.0.1:1".into(), ..config(&server, TransportChoice::Auto) };
    let error = Client::connect(nowhere).await.unwrap_err();
    assert!(matches!(&error, Error::Transport(cause) if cause.is_connect()), "{error:?}");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let body = format!("[\"{}\"]", "x".repeat(17 * 1024 * 1024));
    let error = refusal_over_json2(ResponseTemplate::new(200).set_body_raw(body, "application/json")).await;
    assert!(matches!(error, Error::TooLarge { .. }) && !error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn a_bad_key_shows_at_connect() {
    let server = odoo_19().await;
    let wrong = OdooConfig { api_key: SecretString::from("wrong"), ..config(&server, TransportChoice::Auto) };
    let refused = named(401, "werkzeug.exceptions.Unauthorized", "no");
    Mock::given(path("/json/2/res.users/context_get")).respond_with(refused).mount(&server).await;
    assert!(matches!(Client::connect(wrong).await.unwrap_err(), Error::Unauthorized));

    let server = MockServer::start().await;
    let info = json!({"server_version_info": [17, 0, 0, "final", 0, ""]});
    rpc(&server, json!({"method": "version"}), json!({"result": info})).await;
    rpc(&server, json!({"method": "authenticate"}), json!({"result": false})).await;
    let error = Client::connect(config(&server, TransportChoice::Auto)).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized), "{error:?}");
}

#[tokio::test]
async fn json_rpc_is_chosen_for_18_and_its_errors_hide_in_a_200() {
    let table: [(&str, &str, Check, bool); 9] = [
        ("odoo.exceptions.AccessDenied", "Access Denied", |e| matches!(e, Error::Unauthorized), false),
        ("odoo.exceptions.AccessError", "no", |e| matches!(e, Error::Access { .. }), false),
        ("odoo.exceptions.MissingError", "gone", |e| matches!(e, Error::Missing { .. }), false),
        ("odoo.exceptions.ValidationError", "no", |e| matches!(e, Error::Validation { .. }), false),
        ("odoo.exceptions.UserError", "Object no.model doesn't exist", |e| matches!(e, Error::NotFound { .. }), false),
        (
            "builtins.AttributeError",
            "The method 'res.partner.nope' does not exist",
            |e| matches!(e, Error::NotFound { .. }),
            false,
        ),
        ("builtins.ValueError", "Invalid field 'nope'", |e| matches!(e, Error::ClientBug { .. }), false),
        ("psycopg2.errors.SerializationFailure", "x", |e| matches!(e, Error::Serialization { .. }), true),
        (
            "psycopg2.OperationalError",
            "FATAL:  database \"nope\" does not exist",
            |e| matches!(e, Error::NotFound { .. }),
            false,
        ),
    ];
    for (name, message, expected, retryable) in table {
        let server = odoo_18().await;
        let data = json!({"name": name, "message": message, "debug": TRACEBACK});
        let error = json!({"error": {"code": 200, "message": "Odoo Server Error", "data": data}});
        rpc(&server, json!({"service": "object", "method": "execute_kw"}), error).await;
        let client = Client::connect(config(&server, TransportChoice::Auto)).await.unwrap();
        assert_eq!(client.version().to_string(), "18.0");
        let error = client.read("stock.quant", &[1], &["quantity"]).await.unwrap_err();
        assert!(expected(&error), "{name} became {error:?}");
        assert_eq!(error.is_retryable(), retryable, "{name}");
        assert!(!format!("{error:?} {error}").contains("Traceback"));
    }
}

#[tokio::test]
async fn json_rpc_puts_ids_and_new_rows_first_and_all_else_by_name() {
    let server = odoo_18().await;
    rpc(&server, json!({"service": "object"}), json!({"result": [7]})).await;
    let client = Client::connect(config(&server, TransportChoice::Auto)).await.unwrap();
    client.create("res.partner", vec![Map::from_iter([("name".to_owned(), json!("x"))])]).await.unwrap();
    client.message_post("stock.picking", 4, "drafted").await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let args = |i: usize| requests[requests.len() - i].body_json::<Value>().unwrap()["params"]["args"].clone();
    let login = |rest: Value| {
        let mut all = vec![json!("lab"), json!(5), json!("0123456789abcdef")];
        all.extend(rest.as_array().cloned().unwrap_or_default());
        Value::Array(all)
    };
    assert_eq!(args(2), login(json!(["res.partner", "create", [[{"name": "x"}]], {}])));
    let note = json!({"body": "drafted", "message_type": "comment", "subtype_xmlid": "mail.mt_note"});
    assert_eq!(args(1), login(json!(["stock.picking", "message_post", [[4]], note])));
}

#[tokio::test]
async fn a_failed_load_inside_a_200_is_an_error() {
    let server = odoo_19().await;
    let load = |text: &str| {
        let messages = json!([{"type": "warning", "message": "odd"}, {"type": "error", "record": 0, "message": text}]);
        ResponseTemplate::new(200).set_body_json(json!({"ids": false, "messages": messages, "nextrow": 0}))
    };
    let race = load("could not serialize access due to concurrent update\n");
    Mock::given(path("/json/2/stock.picking/load")).respond_with(race).up_to_n_times(1).mount(&server).await;
    let wrong = load("No matching record found for database id '9999' in field 'Operation Type'");
    Mock::given(path("/json/2/stock.picking/load")).respond_with(wrong).mount(&server).await;
    let client = Client::connect(config(&server, TransportChoice::Auto)).await.unwrap();
    let error = client.load("stock.picking", &LoadRows::default()).await.unwrap_err();
    assert!(matches!(error, Error::Serialization { .. }) && error.is_retryable());
    let error = client.load("stock.picking", &LoadRows::default()).await.unwrap_err();
    assert!(matches!(&error, Error::Validation { message } if message.contains("9999")), "{error:?}");
}

#[tokio::test]
async fn everything_is_fetched_in_pages_that_continue_after_the_last_id() {
    let server = odoo_19().await;
    let fields = ["id", "code", "name", "lot_stock_id"].map(|name| (name.to_owned(), json!({"type": "char"})));
    let schema = ResponseTemplate::new(200).set_body_json(Value::Object(fields.into_iter().collect()));
    Mock::given(path("/json/2/stock.warehouse/fields_get")).respond_with(schema).expect(1).mount(&server).await;
    let page = |ids: std::ops::RangeInclusive<i64>| {
        let rows = ids.map(|id| json!({"id": id, "code": "W", "name": "W", "lot_stock_id": [id, "W/Stock"]}));
        ResponseTemplate::new(200).set_body_json(rows.collect::<Value>())
    };
    for (after, ids) in [(0, 1..=500), (500, 501..=502)] {
        Mock::given(path("/json/2/stock.warehouse/search_read"))
            .and(body_partial_json(json!({"domain": [["id", ">", after]], "order": "id"})))
            .respond_with(page(ids))
            .expect(2)
            .mount(&server)
            .await;
    }
    let client = Client::connect(config(&server, TransportChoice::Auto)).await.unwrap();
    assert_eq!(client.warehouses().await.unwrap().len(), 502);
    assert_eq!(client.warehouses().await.unwrap().len(), 502, "the second time without asking for the fields again");
}

#[tokio::test]
async fn a_missing_field_fails_closed_before_anything_is_read() {
    let server = odoo_19().await;
    let schema = ResponseTemplate::new(200).set_body_json(json!({"id": {"type": "integer"}, "code": {"type": "char"}}));
    Mock::given(path("/json/2/stock.warehouse/fields_get")).respond_with(schema).mount(&server).await;
    let client = Client::connect(config(&server, TransportChoice::Auto)).await.unwrap();
    match client.warehouses().await.unwrap_err() {
        Error::Schema { model, fields } => {
            assert_eq!((model.as_str(), fields), ("stock.warehouse", vec!["name".to_owned(), "lot_stock_id".into()]));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused() {
    let server = odoo_19().await;
    let good = || config(&server, TransportChoice::Auto);
    let with_url = |base_url: &str| OdooConfig { base_url: base_url.into(), ..good() };
    for bad in [with_url("ftp://x"), with_url("http://user:pw@host"), with_url("nonsense")] {
        let error = Client::connect(bad).await.unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error:?}");
    }
    let no_login = OdooConfig { login: None, transport: TransportChoice::JsonRpc, ..good() };
    assert!(matches!(Client::connect(no_login).await.unwrap_err(), Error::Config(_)));
    let older = odoo_18().await;
    let error = Client::connect(config(&older, TransportChoice::Json2)).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    let client = Client::connect(good()).await.unwrap();
    let missing_mock = client.search_read("x.y", &Domain::all(), &["id"], "", 1).await.unwrap_err();
    assert!(matches!(missing_mock, Error::Html { status: 404, .. }), "an empty 404 is no answer of Odoo");
}
