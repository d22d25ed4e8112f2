//! A grant that was taken back opens nothing.

use contracts::events::GrantRevoked;
use reqwest::StatusCode;

use crate::bed::Bed;

#[actix_web::test]
async fn a_grant_that_was_taken_back_is_refused_by_name() {
    let bed = Bed::start().await;
    let (mut id, mut expires_at) = (String::new(), bed.clock.now());
    let grant = bed
        .grant(|grant| {
            (id, expires_at) = (grant.grant_id.clone(), grant.expires_at);
        })
        .await;
    let revoked = GrantRevoked {
        grant_id: id,
        approval_id: "approval-1".into(),
        revoked_by: "person:olga".into(),
        reason: "the store has closed".into(),
        revoked_at: bed.clock.now(),
        expires_at,
    };
    let mut tx = bed.cx().store().begin().await.unwrap();
    tx.emit(&revoked).await.unwrap();
    tx.commit().await.unwrap();
    bed.until("the news has come", async |bed| bed.count("revoked_grants").await == 1).await;
    let (status, problem) = bed.transfer("key-1", 24.0, Some(&grant), None).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(problem["type"].as_str().unwrap().ends_with("/grant-revoked"), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("the store has closed"), "{problem}");
    assert_eq!((bed.count("grants_used").await, bed.odoo.pickings().len()), (0, 0), "nothing is left behind");
}
