//! What differs between versions, seen from outside: the label that 17 and 18 demand on every line of a transfer.
#![expect(clippy::unwrap_used, reason = "a promise that does not hold ends the test")]

use std::time::Duration;

use odoo::{
    Client, OdooConfig, TransportChoice,
    transfer::{ExternalId, NewLine, NewTransfer, Picking},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::path};

/// An Odoo 18 that knows one transfer.
fn odoo_18(request: &Request) -> ResponseTemplate {
    let call: Value = request.body_json().unwrap();
    let args = &call["params"]["args"];
    let result = match (call["params"]["method"].as_str().unwrap(), args[3].as_str(), args[4].as_str()) {
        ("version", ..) => json!({"server_version_info": [18, 0, 0, "final", 0, ""]}),
        ("authenticate", ..) => json!(5),
        (_, Some("stock.move"), Some("fields_get")) => fields(MOVE, true),
        (_, _, Some("fields_get")) => fields(PICKING, false),
        (_, _, Some("load")) => json!({"ids": [4], "messages": [], "nextrow": 0}),
        (_, Some("stock.picking"), Some("read")) => json!([{"id": 4, "name": "WH/INT/00001", "state": "draft",
            "origin": "steward:7", "picking_type_id": [7, "Internal"], "location_id": [5, "WH/Stock"],
            "location_dest_id": [14, "S2/Stock"], "write_date": "2026-11-23 09:58:09"}]),
        _ => json!([]),
    };
    ResponseTemplate::new(200).set_body_json(json!({"jsonrpc": "2.0", "id": 1, "result": result}))
}

const PICKING: &[&str] =
    &["id", "name", "state", "origin", "picking_type_id", "location_id", "location_dest_id", "write_date", "move_ids"];
const MOVE: &[&str] = &[
    "id",
    "name",
    "product_id",
    "product_uom_qty",
    "product_uom",
    "product_qty",
    "state",
    "date",
    "date_deadline",
    "origin",
    "location_id",
    "location_dest_id",
    "picking_id",
    "write_date",
];

fn fields(names: &[&str], name_is_required: bool) -> Value {
    let field = |name: &&str| {
        let required = name_is_required && *name == "name";
        ((*name).to_owned(), json!({"type": "char", "required": required, "readonly": false}))
    };
    Value::Object(names.iter().map(field).collect())
}

#[tokio::test]
async fn on_18_every_line_gets_the_label_that_is_demanded_there() {
    let server = MockServer::start().await;
    Mock::given(path("/jsonrpc")).respond_with(odoo_18).mount(&server).await;
    let config = OdooConfig {
        base_url: server.uri(),
        database: "lab".into(),
        login: Some("steward-bot".into()),
        api_key: SecretString::from("0123456789abcdef"),
        timeout: Duration::from_secs(5),
        max_calls_per_second: 1000.0,
        transport: TransportChoice::Auto,
    };
    let client = Client::connect(config).await.unwrap();
    let new = NewTransfer {
        external_id: ExternalId::parse("steward.transfer_7").unwrap(),
        origin: "steward:7".into(),
        picking_type_id: 7,
        location_id: 5,
        location_dest_id: 14,
        lines: vec![NewLine { product_id: 1, quantity: 24.0, uom_id: 1 }],
    };
    let drafted: Picking = client.draft_transfer(&new).await.unwrap();
    assert_eq!((drafted.id, drafted.state.as_str()), (4, "draft"));
    let requests = server.received_requests().await.unwrap();
    let calls = requests.iter().filter(|request| request.url.path() == "/jsonrpc");
    let args = calls.map(|request| request.body_json::<Value>().unwrap()["params"]["args"].clone());
    let load = args.into_iter().find(|args| args[4] == "load").unwrap()[6].clone();
    let label = load["fields"].as_array().unwrap().iter().position(|field| field == "move_ids/name").unwrap();
    assert_eq!(load["data"][0][label], "steward:7");
}
