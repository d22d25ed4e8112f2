//! The same SQL on PostgreSQL.

use testkit::Postgres;

use crate::{
    bed::{Bed, Setting},
    facts::OBSERVED,
};

#[actix_web::test]
async fn postgresql_tells_the_same_and_drafts_the_same_as_sqlite() {
    testkit::require!(Postgres);
    let postgres = Postgres::start().await.unwrap();
    let on_postgres = Bed::with(Setting { store: Some(postgres.url()), ..Setting::default() }).await;
    let on_sqlite = Bed::start().await;
    let mut told = Vec::new();
    for bed in [&on_postgres, &on_sqlite] {
        let answers = bed.observe(OBSERVED).await;
        assert!(answers.iter().all(|answer| answer["accepted"] == true), "{answers:?}");
        let observed = bed.facts("SKU-1", "a").await.hash;
        bed.hooked(2);
        bed.odoo.set_quantity("OAT-1", "S1", 9.0).await.unwrap();
        bed.until("the fall is told", async |bed| bed.events("steward.stock.ran_low.v1", "OAT-1@S1").await.len() == 1)
            .await;
        let grant = bed.grant(|_| {}).await;
        let (status, operation) = bed.transfer("key-1", 24.0, Some(&grant), Some(10)).await;
        assert_eq!(status, 200, "{operation}");
        assert_eq!(bed.transfer("key-2", 24.0, Some(&grant), None).await.0, 409);
        told.push((observed, operation["result"].clone(), bed.count("audit").await));
    }
    assert_eq!(told[0], told[1]);
}
