//! What the evidence of a decision needs beside the request itself.

use chassis::{prelude::StoreError, store::Reader};
use governance::{Route, evidence::JudgedBy};

use super::policies;

/// The policy documents that judged, in the versions that the request pinned: the base, and the overlay of its unit.
///
/// # Errors
/// When the store fails.
pub(crate) async fn judged_by(reader: &mut Reader, route: &Route) -> Result<Vec<JudgedBy>, StoreError> {
    let mut documents = Vec::new();
    for pinned in std::iter::once(&route.policy).chain(&route.overlay) {
        let kept = policies::find(reader, &pinned.id, pinned.version).await?;
        if let Some(kept) = kept.filter(|kept| kept.published.reference == *pinned) {
            let document = serde_json::to_value(&kept.document)?;
            documents.push(JudgedBy { reference: kept.published.reference, document });
        }
    }
    Ok(documents)
}
