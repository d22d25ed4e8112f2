//! The four services as values.

use chassis::{ConfigError, Service, Settings};

/// Prefixes of the services, in the order in which a case usually passes them.
pub const PREFIXES: [&str; 4] = ["supply", "scoring", "approvals", "notify"];

/// All services, as `steward up` hosts them. Every service's configuration errors are reported together.
///
/// # Errors
/// When a service's section is wrong.
pub fn services(settings: &Settings) -> Result<Vec<Service>, ConfigError> {
    let all = [
        scoring_svc::service(settings),
        approval_svc::service(settings),
        supplier_sync_svc::service(settings),
        notifier_svc::service(settings),
    ];
    let mut services = Vec::new();
    let mut wrong: Option<ConfigError> = None;
    for service in all {
        match (service, wrong.take()) {
            (Ok(service), earlier) => {
                services.push(service);
                wrong = earlier;
            }
            (Err(error), Some(earlier)) => wrong = Some(earlier.and(error)),
            (Err(error), None) => wrong = Some(error),
        }
    }
    wrong.map_or(Ok(services), Err)
}
