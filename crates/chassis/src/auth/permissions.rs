//! Permissions of the operations that every service has.

use crate::permission;

permission!(
    /// See how effects and dead letters stand.
    pub ReadOperations = "operations:read" for [Service, Operator, Auditor, Admin]
);
permission!(
    /// See a dead letter's payload, replay and discard.
    pub ManageDeadLetters = "dead-letters:manage" for [Operator, Admin]
);
permission!(
    /// Read the audit trail.
    pub ReadAudit = "audit:read" for [Auditor, Operator, Admin]
);
