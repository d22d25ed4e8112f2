//! What the evidence of a decision needs beside the request itself.

use chassis::{prelude::StoreError, store::Reader};
use governance::{Route, evidence::JudgedBy};

use crate::desk::Desk;

/// The policy documents that judged.
///
/// # Errors
/// When the store fails.
pub(crate) async fn judged_by(_: &mut Reader, desk: &Desk, route: &Route) -> Result<Vec<JudgedBy>, StoreError> {
    let in_force = desk.in_force();
    let document = serde_json::to_value(&in_force.policy)?;
    let held =
        (in_force.reference == route.policy).then(|| JudgedBy { reference: in_force.reference.clone(), document });
    Ok(held.into_iter().collect())
}
