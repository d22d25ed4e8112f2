//! What everything in a service stands on.

use std::sync::Arc;

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use crate::{
    audit::Notary,
    clock::{Clock, Ids},
    http::ApiError,
    outgoing::Outgoing,
    shared::Shared,
    store::Store,
    telemetry::Metrics,
};

/// The platform as one service sees it. Cheap to clone; a handler extracts it.
#[derive(Clone)]
pub struct Cx(Arc<Parts>);

pub(crate) struct Parts {
    pub store: Store,
    pub clock: Clock,
    pub ids: Ids,
    pub outgoing: Outgoing,
    pub shared: Shared,
    pub metrics: Metrics,
    pub notary: Notary,
}

impl Cx {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// A context for what needs little more than a store.
    #[cfg(test)]
    pub(crate) fn over(store: Store, metrics: Metrics) -> Self {
        use std::sync::OnceLock;
        // Takes longer to make than all the rest.
        static OUTGOING: OnceLock<Outgoing> = OnceLock::new();
        let outgoing = OUTGOING.get_or_init(|| {
            testkit::install_tls_provider();
            Outgoing::new(&crate::Settings::from_yaml("").unwrap().common.outgoing).unwrap()
        });
        let notary = Notary::new(&crate::Settings::from_yaml("").unwrap().common.audit, store.service(), store.ids());
        Self::new(Parts {
            notary: notary.unwrap(),
            clock: store.clock().clone(),
            ids: store.ids().clone(),
            outgoing: outgoing.clone(),
            shared: Shared::in_process(store.clock()),
            metrics,
            store,
        })
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    #[must_use]
    pub fn ids(&self) -> &Ids {
        &self.0.ids
    }

    /// The guarded client. For executors and jobs only: a handler that calls out would promise what it cannot keep.
    #[must_use]
    pub fn outgoing(&self) -> &Outgoing {
        &self.0.outgoing
    }

    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.0.shared
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Who signs for this service's audit log.
    #[must_use]
    pub fn notary(&self) -> &Notary {
        &self.0.notary
    }

    /// The service's prefix: `supply`, `approvals`, ...
    #[must_use]
    pub fn service(&self) -> &'static str {
        self.0.store.service()
    }
}

impl FromRequest for Cx {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(request.app_data::<Self>().cloned().ok_or_else(ApiError::misconfigured))
    }
}
