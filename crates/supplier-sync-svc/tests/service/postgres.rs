//! The same SQL on PostgreSQL.

use serde_json::json;
use testkit::Postgres;

use crate::{
    bed::{Bed, Setting},
    facts::{BESIDE_SALES, OBSERVED},
    inbound::on_its_way,
    shortages,
};

#[actix_web::test]
async fn postgresql_tells_the_same_and_drafts_the_same_as_sqlite() {
    testkit::require!(Postgres);
    let postgres = Postgres::start().await.unwrap();
    let manager = json!([{"role": "store_manager", "regions": ["north"]}]);
    let setting = || Setting {
        scene: on_its_way("Acme Foods"),
        callers: vec![("manager", manager.clone())],
        ..Setting::default()
    };
    let on_postgres = Bed::with(Setting { store: Some(postgres.url()), ..setting() }).await;
    let on_sqlite = Bed::with(setting()).await;
    let mut told = Vec::new();
    for bed in [&on_postgres, &on_sqlite] {
        let answers = bed.observe(&[OBSERVED, BESIDE_SALES, &shortages::observed()].concat()).await;
        assert!(answers.iter().all(|answer| answer["accepted"] == true), "{answers:?}");
        let observed = (bed.facts("SKU-1", "a").await.hash, bed.facts("SKU-2", "z").await.hash);
        let places = ["a", "b"].map(|place| format!("/facts/SKU-1/{place}"));
        assert_eq!(bed.get_as("manager", &places[0]).await.0, 200, "store a lies in the north");
        assert_eq!(bed.get_as("manager", &places[1]).await.0, 403);
        let (_, short) = bed.get("/shortages").await;
        let inbound = bed.facts("OAT-1", "S1").await;
        let (_, conflicts) = bed.get("/xref-conflicts?limit=1").await;
        let (_, more) =
            bed.get(&format!("/xref-conflicts?cursor={}", conflicts["next_cursor"].as_str().unwrap())).await;
        assert_eq!((conflicts["items"].as_array().unwrap().len(), more["items"].as_array().unwrap().len()), (1, 1));
        bed.hooked(2);
        bed.odoo.set_quantity("OAT-1", "S1", 9.0).await.unwrap();
        bed.until("the fall is told", async |bed| bed.events("steward.stock.ran_low.v1", "OAT-1@S1").await.len() == 1)
            .await;
        let grant = bed.grant(|_| {}).await;
        let (status, operation) = bed.transfer("key-1", 24.0, Some(&grant), Some(10)).await;
        assert_eq!(status, 200, "{operation}");
        assert_eq!(bed.transfer("key-2", 24.0, Some(&grant), None).await.0, 409);
        told.push((
            observed,
            short,
            (inbound.incoming, inbound.lead_time),
            operation["result"].clone(),
            bed.count("audit").await,
        ));
    }
    assert_eq!(told[0], told[1]);
}
