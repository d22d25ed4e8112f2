//! Fetches the public keys of grants, so that a grant is verified without asking anybody.

use chassis::{
    outgoing::{OutgoingRequest, Response},
    prelude::*,
};
use governance::{GrantVerifier, grant::Jwks};

use crate::store;

/// Looks whether keys are due, and fetches them then.
pub(crate) async fn turn(cx: &Cx, lease: &Lease, url: &str) -> Result<(), JobError> {
    if !store::keys_are_due(cx.store(), cx.clock().now()).await? {
        return Ok(());
    }
    let keys = fetch(cx, url).await.map_err(|cause| JobError::Other(format!("no grant keys from {url}: {cause}")))?;
    let mut tx = cx.store().begin().await?;
    lease.guard(&mut tx).await?;
    store::fetched_keys(&mut tx, &keys).await?;
    Ok(tx.commit().await?)
}

async fn fetch(cx: &Cx, url: &str) -> Result<Jwks, String> {
    let url = url.parse().map_err(|error| format!("not a URL: {error}"))?;
    let request = OutgoingRequest {
        method: reqwest::Method::GET,
        url,
        headers: vec![("accept".into(), "application/json".into())],
        body: Vec::new(),
        purpose: "supply.grant_keys",
    };
    let answer: Response = cx.outgoing().send(request).await.map_err(|error| chassis::chain(&error))?;
    if !answer.is_success() {
        return Err(format!("it answered {}", answer.status));
    }
    let keys: Jwks = serde_json::from_slice(&answer.body).map_err(|error| format!("not a key set: {error}"))?;
    GrantVerifier::from_jwks(&keys).map_err(|error| error.to_string())?;
    Ok(keys)
}
