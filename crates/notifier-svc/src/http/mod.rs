//! The HTTP surface, one file per resource.

pub(crate) mod exceptions;
mod messages;
mod receipts;
mod subscriptions;

use chassis::prelude::*;

/// Texts that people type, in characters.
const TITLE: std::ops::RangeInclusive<usize> = 1..=300;

permission!(pub(crate) SendMessages = "notify:send" for [Service, Operator, Admin]);
permission!(pub(crate) ReadMessages = "notify:read" for [Service, Operator, Auditor, Admin]);
permission!(pub(crate) ReportExceptions = "exceptions:report" for [Service, Operator, Admin]);
permission!(pub(crate) ReadExceptions = "exceptions:read" for
    [Service, StoreManager, RegionalOps, Finance, ProcurementLead, Auditor, Operator, Admin]);
permission!(pub(crate) ResolveExceptions = "exceptions:resolve" for
    [StoreManager, RegionalOps, Finance, ProcurementLead, Operator, Admin]);
permission!(pub(crate) GiveReceipts = "receipts:give" for [Service, Operator, Admin]);
permission!(pub(crate) ManageSubscriptions = "subscriptions:manage" for [Service, Operator, Admin]);
permission!(pub(crate) ReadSubscriptions = "subscriptions:read" for [Service, Auditor, Operator, Admin]);

pub(crate) fn routes(c: &mut ServiceConfig<'_>) {
    c.service(messages::send_message)
        .service(messages::list_messages)
        .service(messages::get_message)
        .service(exceptions::report_exception)
        .service(exceptions::list_exceptions)
        .service(exceptions::get_exception)
        .service(exceptions::resolve_exception)
        .service(subscriptions::create_subscription)
        .service(subscriptions::list_subscriptions)
        .service(subscriptions::get_subscription)
        .service(subscriptions::delete_subscription)
        .service(subscriptions::activate_subscription)
        .service(receipts::give_receipt);
}

/// A text within its limits, or what is wrong with it.
fn text(pointer: &str, value: &str, limits: std::ops::RangeInclusive<usize>) -> Option<FieldError> {
    let fits = limits.contains(&value.trim().chars().count());
    let detail = || format!("must have {} to {} characters", limits.start(), limits.end());
    (!fits).then(|| FieldError::new(pointer, detail()))
}
