//! One suite of what the typed verbs promise, over the replayed Odoo and over a real one.

#![expect(clippy::unwrap_used, reason = "a promise that does not hold ends the test")]

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use odoo::{
    Activity, Client, Domain, Error, Hint, OdooConfig, TransportChoice,
    activity::ActivityState,
    replay::{ReplayOdoo, Webhook},
    stock::{Move, Product, Quant, Warehouse},
    transfer::{ExternalId, NewLine, NewTransfer},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use testkit::{Odoo, OdooUser, Postgres};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

const SKU: &str = "OAT-1";

struct World {
    client: Client,
    product: Product,
    from: Warehouse,
    to: Warehouse,
    /// Makes origins and external ids of this run its own.
    tag: String,
}

impl World {
    async fn over(client: Client, tag: String) -> Self {
        let product = client.products_by_sku(&[SKU]).await.unwrap().remove(0);
        let warehouses = client.warehouses().await.unwrap();
        let by_code = |code: &str| warehouses.iter().find(|found| found.code == code).cloned().unwrap();
        Self { product, from: by_code("WH"), to: by_code("S2"), client, tag }
    }

    async fn transfer(&self, name: &str, quantities: &[f64]) -> NewTransfer {
        let kind = self.client.internal_picking_type(self.from.id).await.unwrap().unwrap();
        let line = |&quantity| NewLine { product_id: self.product.id, quantity, uom_id: self.product.unit.id };
        NewTransfer {
            external_id: ExternalId::parse(&format!("steward.{name}_{}", self.tag)).unwrap(),
            origin: format!("steward:{name}:{}", self.tag),
            picking_type_id: kind,
            location_id: self.from.stock_location.id,
            location_dest_id: self.to.stock_location.id,
            lines: quantities.iter().map(line).collect(),
        }
    }
}

async fn holds_everywhere(world: &World) {
    reads_are_typed(world).await;
    transfers_are_operations_of_their_own_kind(world).await;
    a_missing_record_is_none_and_no_error(world).await;
    a_transfer_is_drafted_once(world).await;
    six_at_once_make_one_transfer(world).await;
    what_odoo_cannot_place_is_refused_and_leaves_nothing(world).await;
    notes_and_activities_are_found_again(world).await;
    mistakes_are_typed(world).await;
}

async fn reads_are_typed(world: &World) {
    let World { client, product, from, to, .. } = world;
    assert_eq!(product.sku.as_deref(), Some(SKU));
    assert!(product.list_price > product.standard_price && product.standard_price > 0.0);
    let products = [product.id];
    let mut quants = client.read_quants(&products, &[to.id]).await.unwrap();
    assert!(quants.iter().all(|quant| quant.product.id == product.id && quant.location != from.stock_location));
    // A real warehouse may have a dock with stock too.
    quants.retain(|quant| quant.location == to.stock_location);
    assert_eq!(quants.len(), 1);
    let everywhere = client.read_quants(&products, &[]).await.unwrap();
    assert!(everywhere.iter().any(|quant| quant.location == from.stock_location));
    assert!(everywhere.iter().all(|quant| quant.quantity >= 0.0), "vendor locations are no stock: {everywhere:?}");
    assert_eq!(client.read_quant(quants[0].id).await.unwrap().as_ref(), Some(&quants[0]));

    let written = quants[0].write_date;
    let swept = |since| client.changed_quants(since, Duration::from_secs(60));
    assert!(swept(written).await.unwrap().contains(&quants[0]));
    assert!(swept(written + Duration::from_secs(60)).await.unwrap().contains(&quants[0]), "the overlap is inclusive");
    let later: Vec<Quant> = swept(written + Duration::from_secs(62)).await.unwrap();
    assert!(!later.contains(&quants[0]));

    let orderpoint = client.orderpoints(&products, &[to.stock_location.id]).await.unwrap().remove(0);
    assert_eq!((orderpoint.min, orderpoint.max), (10.0, 40.0));
    let offer = client.supplier_offers(&[product.template.id]).await.unwrap().remove(0);
    assert_eq!((offer.lead_days, offer.min_qty, offer.currency.name.as_str()), (7, 12.0, "USD"));
    assert!(offer.holds(product, "2026-11-23".parse().unwrap()));
    assert_eq!(client.companies().await.unwrap()[0].currency, offer.currency);
    let locations = client.internal_locations().await.unwrap();
    let home = locations.iter().find(|place| place.id == to.stock_location.id).unwrap();
    assert_eq!(home.warehouse.as_ref().map(|warehouse| warehouse.id), Some(to.id));
    assert!(home.lies_in(home.id) && !home.lies_in(from.stock_location.id));
}

/// Picking, packing and storing are internal operations too, and were there before.
async fn transfers_are_operations_of_their_own_kind(world: &World) {
    let kind = world.client.internal_picking_type(world.from.id).await.unwrap().unwrap();
    let named = world.client.read("stock.picking.type", &[kind], &["name"]).await.unwrap();
    assert!(named[0]["name"].as_str().is_some_and(|name| name.ends_with("Internal Transfers")), "{named:?}");
}

async fn a_missing_record_is_none_and_no_error(world: &World) {
    assert_eq!(world.client.read_quant(999_999).await.unwrap(), None);
    assert_eq!(world.client.read_transfer(999_999).await.unwrap(), None);
    assert_eq!(world.client.find_transfer("steward:never").await.unwrap(), None);
    assert!(world.client.products_by_sku(&["no such SKU"]).await.unwrap().is_empty());
}

async fn a_transfer_is_drafted_once(world: &World) {
    let World { client, product, from, to, .. } = world;
    let new = world.transfer("once", &[24.0, 1.5]).await;
    assert_eq!(client.find_transfer(&new.origin).await.unwrap(), None);
    let drafted = client.draft_transfer(&new).await.unwrap();
    assert_eq!((drafted.state.as_str(), drafted.origin.as_deref()), ("draft", Some(new.origin.as_str())));
    assert_eq!((&drafted.source, &drafted.destination), (&from.stock_location, &to.stock_location));
    assert!(!drafted.name.is_empty());
    let lines: Vec<_> =
        drafted.moves.iter().map(|line| (line.product.id, line.quantity, line.state.as_str())).collect();
    assert_eq!(lines, [(product.id, 24.0, "draft"), (product.id, 1.5, "draft")]);

    let again = client.draft_transfer(&new).await.unwrap();
    assert_eq!((again.id, again.moves.len()), (drafted.id, 2));
    assert_eq!(client.find_transfer(&new.origin).await.unwrap().map(|found| found.id), Some(drafted.id));

    let ours = |moves: Vec<Move>| moves.iter().filter(|line| line.origin.as_deref() == Some(&*new.origin)).count();
    assert_eq!(ours(client.incoming_moves(&[product.id], &[to.id]).await.unwrap()), 0, "a draft is no promise");
    let changed = client.changed_moves(drafted.write_date, Duration::from_secs(60)).await.unwrap();
    assert!(changed.iter().all(|line| line.product_quantity == line.quantity));
    assert_eq!(ours(changed), 2, "but it is seen");
}

async fn six_at_once_make_one_transfer(world: &World) {
    let new = world.transfer("race", &[5.0]).await;
    let (a, b, c, d, e, f) = tokio::join!(
        world.client.draft_transfer(&new),
        world.client.draft_transfer(&new),
        world.client.draft_transfer(&new),
        world.client.draft_transfer(&new),
        world.client.draft_transfer(&new),
        world.client.draft_transfer(&new),
    );
    let outcomes = [a, b, c, d, e, f];
    assert!(outcomes.iter().any(Result::is_ok));
    for outcome in &outcomes {
        assert!(
            outcome.as_ref().is_ok_and(|p| p.moves.len() == 1) || outcome.as_ref().is_err_and(Error::is_retryable),
            "{outcome:?}"
        );
    }
    let domain = Domain::all().and("origin", "=", new.origin.as_str());
    assert_eq!(world.client.search_read("stock.picking", &domain, &["id"], "id", 0).await.unwrap().len(), 1);
}

async fn what_odoo_cannot_place_is_refused_and_leaves_nothing(world: &World) {
    let mut new = world.transfer("bad", &[5.0]).await;
    new.lines[0].product_id = 999_999;
    let error = world.client.draft_transfer(&new).await.unwrap_err();
    assert!(matches!(&error, Error::Validation { message } if message.contains("999999")), "{error:?}");
    assert_eq!(world.client.find_transfer(&new.origin).await.unwrap(), None);
    new.lines.clear();
    assert!(matches!(world.client.draft_transfer(&new).await.unwrap_err(), Error::Config(_)));
}

async fn notes_and_activities_are_found_again(world: &World) {
    let World { client, tag, .. } = world;
    let picking = client.draft_transfer(&world.transfer("talk", &[1.0]).await).await.unwrap().id;
    let marker = format!("op-{tag}");
    assert_eq!(client.find_message("stock.picking", picking, &marker).await.unwrap(), None);
    let note = client.message_post("stock.picking", picking, &format!("<b>drafted</b> {marker}")).await.unwrap();
    assert_eq!(client.find_message("stock.picking", picking, &marker).await.unwrap(), Some(note));
    let stored = client.read("mail.message", &[note], &["body"]).await.unwrap();
    assert!(stored[0]["body"].as_str().is_some_and(|body| body.contains("&lt;b&gt;")), "text, not HTML: {stored:?}");

    let activity = Activity {
        summary: marker.clone(),
        note: "please look".into(),
        deadline: "2026-12-01".parse().unwrap(),
        user_id: None,
        kind: "mail.mail_activity_data_todo".into(),
    };
    assert_eq!(client.find_activity("stock.picking", picking, &marker).await.unwrap(), None);
    let id = client.activity_schedule("stock.picking", picking, &activity).await.unwrap();
    assert_eq!(client.find_activity("stock.picking", picking, &marker).await.unwrap(), Some(id));
    let own = client.read("res.users", &[client.uid()], &["login"]).await.unwrap();
    let user = client.user_called(own[0]["login"].as_str().unwrap()).await.unwrap().unwrap();
    assert_eq!(user.id, client.uid());
    assert_eq!(client.user_called("nobody@shop.example").await.unwrap(), None);
    assert!(client.activities_keep_answers().await.unwrap());
    let seen = client.get::<ActivityState>(&[id]).await.unwrap().remove(0);
    assert_eq!((seen.open, seen.assigned_to.unwrap().id, seen.feedback), (true, client.uid(), None));
    let closed = odoo_args(json!({"active": false, "feedback": "approve"}));
    client.write("mail.activity", &[id], closed).await.unwrap();
    let seen = client.get::<ActivityState>(&[id]).await.unwrap().remove(0);
    assert_eq!((seen.open, seen.written_by.id, seen.feedback.as_deref()), (false, client.uid(), Some("approve")));
    assert_eq!(client.find_activity("stock.picking", picking, &marker).await.unwrap(), Some(id), "done ones are found");
    client.remove_activity(id).await.unwrap();
    client.remove_activity(id).await.unwrap();
    assert_eq!(client.get::<ActivityState>(&[id]).await.unwrap(), []);
    let nowhere = client.message_post("stock.picking", 999_999, "x").await.unwrap_err();
    assert!(matches!(nowhere, Error::Missing { .. }), "{nowhere:?}");
}

async fn mistakes_are_typed(world: &World) {
    let client = &world.client;
    let error = client.read("stock.picking", &[1], &["nope"]).await;
    let search = client.search_read("stock.picking", &Domain::all(), &["nope"], "", 1).await.unwrap_err();
    assert!(matches!(search, Error::ClientBug { .. }), "{search:?}");
    assert!(matches!(error, Err(Error::ClientBug { .. })), "{error:?}");
    let call = |model, method, ids, args| client.call(model, method, ids, odoo_args(args));
    let unknown = call("no.model", "read", Some(&[1][..]), json!({})).await.unwrap_err();
    assert!(matches!(unknown, Error::NotFound { .. }), "{unknown:?}");
    let unknown = call("stock.picking", "nope", Some(&[1]), json!({})).await.unwrap_err();
    assert!(matches!(unknown, Error::NotFound { .. }), "{unknown:?}");
    let private = call("stock.picking", "_write", Some(&[1]), json!({})).await.unwrap_err();
    assert!(matches!(private, Error::Access { .. }), "{private:?}");
    let origin = odoo_args(json!({"origin": "x"}));
    let missing = client.write("stock.picking", &[999_999], origin).await.unwrap_err();
    assert!(matches!(missing, Error::Missing { .. }), "{missing:?}");
    let incomplete = client.create("stock.picking", vec![odoo_args(json!({}))]).await.unwrap_err();
    assert!(matches!(incomplete, Error::Validation { .. }), "{incomplete:?}");
    let selection = json!({"state": "zzz"});
    let wrong = client.create("stock.picking", vec![odoo_args(selection)]).await.unwrap_err();
    assert!(matches!(wrong, Error::ClientBug { .. }), "{wrong:?}");
}

fn odoo_args(object: Value) -> serde_json::Map<String, Value> {
    object.as_object().cloned().unwrap_or_default()
}

/// Where the rule on stock posts to.
async fn receiver() -> MockServer {
    let receiver = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(202)).mount(&receiver).await;
    receiver
}

/// What it was told of a count from 4 to 3 and then to 12: a decrease is a reservation, its end, and the new quantity.
async fn was_told_of_two_counts(receiver: &MockServer, world: &World) {
    let requests = receiver.received_requests().await.unwrap();
    let hints: Vec<Hint> = requests.iter().map(|request| Hint::parse(&request.body).unwrap()).collect();
    let number = |hint: &Hint, field: &str| hint.fields[field].as_f64().unwrap();
    let told: Vec<_> = hints.iter().map(|hint| (number(hint, "quantity"), number(hint, "reserved_quantity"))).collect();
    assert_eq!(told, [(4.0, 1.0), (4.0, 0.0), (3.0, 0.0), (12.0, 0.0)]);
    for hint in &hints {
        assert_eq!((hint.model.as_str(), &hint.fields["product_id"]), ("stock.quant", &json!(world.product.id)));
        assert_eq!(hint.fields["location_id"], world.to.stock_location.id);
    }
    let last = hints.last().unwrap();
    let quant = world.client.read_quant(last.id).await.unwrap().unwrap();
    assert_eq!(quant.quantity, 12.0);
    assert_eq!(quant.write_date.as_second(), last.write_date.unwrap().as_second());
}

/// Both are furnished with it. A fresh Odoo has the warehouse `WH` already.
fn scene() -> Value {
    json!({
        "products": [{"sku": SKU, "name": "Oat milk 1l", "cost": 1.1, "price": 2.3}],
        "warehouses": [{"code": "WH", "name": "My Company"}, {"code": "S2", "name": "Store 2"}],
        "stock": [{"sku": SKU, "warehouse": "WH", "on_hand": 100.0}, {"sku": SKU, "warehouse": "S2", "on_hand": 4.0}],
        "orderpoints": [{"sku": SKU, "warehouse": "S2", "min": 10.0, "max": 40.0}],
        "suppliers": [{"sku": SKU, "name": "Oats Inc", "lead_days": 7, "price": 1.0, "min_qty": 12.0}],
    })
}

#[tokio::test]
async fn the_replayed_odoo_keeps_the_promises() {
    let start: Timestamp = "2026-11-23T07:30:00.5Z".parse().unwrap();
    let odoo = ReplayOdoo::start(serde_json::from_value(scene()).unwrap(), Arc::new(move || start)).await.unwrap();
    let client = Client::connect(odoo.config()).await.unwrap();
    assert_eq!(client.version().to_string(), "19.0");
    let world = World::over(client, "replay".into()).await;
    holds_everywhere(&world).await;
    let receiver = receiver().await;
    odoo.set_webhook(Some(Webhook::to(&receiver.uri())));
    for on_hand in [3.0, 12.0] {
        odoo.set_quantity(SKU, "S2", on_hand).await.unwrap();
    }
    was_told_of_two_counts(&receiver, &world).await;
    odoo.stop().await;
}

#[tokio::test]
async fn a_real_odoo_keeps_the_promises_over_both_transports() {
    testkit::require!(Postgres, Odoo);
    let postgres = Postgres::start().await.unwrap();
    let odoo = Odoo::start(&postgres).await.unwrap();
    odoo.api().furnish(&scene()).await.unwrap();
    let warehouse = odoo.api().id_of("stock.warehouse", json!([["code", "=", "WH"]])).await.unwrap();
    let in_steps = json!({"delivery_steps": "pick_ship", "reception_steps": "two_steps"});
    odoo.api().write(OdooUser::Admin, "stock.warehouse", warehouse, in_steps).await.unwrap();
    let mut worlds = Vec::new();
    for transport in [TransportChoice::Json2, TransportChoice::JsonRpc] {
        let config = OdooConfig {
            base_url: odoo.base_url().to_owned(),
            database: odoo.api().database().to_owned(),
            login: Some(OdooUser::Steward.login().to_owned()),
            api_key: SecretString::from(odoo.api().key(OdooUser::Steward)),
            timeout: Duration::from_secs(30),
            max_calls_per_second: 200.0,
            transport,
        };
        let client = Client::connect(config).await.unwrap();
        let world = World::over(client, format!("{transport:?}")).await;
        holds_everywhere(&world).await;
        worlds.push(world);
    }
    let receiver = receiver().await;
    odoo.follow_readme(&receiver.uri()).await.unwrap();
    for on_hand in [3.0, 12.0] {
        odoo.api().count(SKU, "S2", on_hand).await.unwrap();
    }
    was_told_of_two_counts(&receiver, &worlds[0]).await;
}
