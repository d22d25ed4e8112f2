//! What an approval allows.

use governance::{Directory, Grant, State};
use jiff::Timestamp;

use super::proposal::Case;

const ISSUER: &str = "steward/approvals";
/// The one service that knows Odoo.
const AUDIENCE: &str = "steward/supply";

/// The claims of the grant for an approved request; `people` as they count for it now.
pub(crate) fn claims(
    (case, state): (&Case, &State),
    approval_id: &str,
    grant_id: String,
    people: &Directory,
    now: Timestamp,
) -> Grant {
    let grant = Grant {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        approval_id: approval_id.to_owned(),
        grant_id,
        issued_at: now,
        not_before: now,
        expires_at: case.route.grant_valid_for.after(now),
        action: case.action.clone(),
        facts_hash: case.facts_hash.clone(),
        bounds: case.bounds.clone(),
        policy: case.route.policy.clone(),
        requested_by: Some(state.requester.clone()),
        requester_executes: case.route.requester_executes,
        stand_ins: Vec::new(),
        more_stand_ins: false,
        decided_by: state.approvers(),
        by_override: None,
    };
    grant.with_stand_ins(people.standing())
}
