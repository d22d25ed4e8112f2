//! What happens around every request: its span, who calls, the rate limit, metrics, the log line, security headers, HEAD,
//! and the end of patience with a body that does not come.

use std::{
    io,
    time::{Duration, Instant},
};

use actix_web::{
    App, HttpMessage,
    body::{self, BoxBody, MessageBody},
    dev::{Payload, ServiceFactory, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::{
        Method, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::{Next, from_fn},
};
use futures_util::{StreamExt, stream};
use tracing::{Instrument, Span};

use super::ApiError;
use crate::{auth::Auth, config::HttpSettings, shared::Shared, telemetry, telemetry::Metrics};

/// A rate limit's window. Fixed, so the limit reads as "per minute".
const WINDOW: Duration = Duration::from_secs(60);
/// Asked by machines in our own network, all the time.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// How long the next piece of a body may take. Who holds a connection open without sending holds our memory too.
const PATIENCE: Duration = Duration::from_secs(30);

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Put around an application by [`Layers::around`].
#[derive(Clone)]
pub(crate) struct Layers {
    limit_per_minute: u32,
    auth: Auth,
    shared: Shared,
    metrics: Metrics,
}

pub(crate) fn layers(settings: &HttpSettings, auth: &Auth, shared: &Shared, metrics: &Metrics) -> Layers {
    Layers {
        limit_per_minute: settings.rate_limit_per_minute,
        auth: auth.clone(),
        shared: shared.clone(),
        metrics: metrics.clone(),
    }
}

impl Layers {
    pub(crate) fn around<T, B>(
        self,
        app: App<T>,
    ) -> App<
        impl ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<BoxBody>,
            Error = actix_web::Error,
            InitError = (),
        >,
    >
    where
        B: MessageBody + 'static,
        T: ServiceFactory<
                ServiceRequest,
                Config = (),
                Response = ServiceResponse<B>,
                Error = actix_web::Error,
                InitError = (),
            > + 'static,
    {
        app.wrap(from_fn(move |request: ServiceRequest, next: Next<B>| {
            let layers = self.clone();
            async move { layers.serve(request, next).await }
        }))
    }

    async fn serve<B: MessageBody + 'static>(
        self,
        mut request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
        let started = Instant::now();
        let method = request.method().to_string();
        // The template, never the path: ids in it would make every request its own time series.
        let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
        let parent = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let span = tracing::info_span!(
            "request", otel.name = %format!("{method} {route}"), otel.kind = "server", otel.status_code = tracing::field::Empty,
            http.request.method = %method, http.route = %route, http.response.status_code = tracing::field::Empty,
            caller = tracing::field::Empty,
        );
        let span = telemetry::span_from(parent, span);
        // What can be got can be asked about (RFC 9110, 9.1): the same answer, without its body.
        let head_only = request.method() == Method::HEAD;
        if head_only {
            request.head_mut().method = Method::GET;
        }
        let payload = patient(request.take_payload(), PATIENCE);
        request.set_payload(payload);
        async {
            let mut response = self.answer(request, next).await?;
            let status = response.status();
            self.metrics.http_request(&method, &route, status.as_u16(), started.elapsed().as_secs_f64());
            report(&response, &route, status);
            finish(&mut response);
            Ok(if head_only { response.map_body(|_, _| BoxBody::new(body::None::new())) } else { response })
        }
        .instrument(span.clone())
        .await
    }

    /// The answer, also when it is a refusal by the layers themselves.
    async fn answer<B: MessageBody + 'static>(
        &self,
        request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
        self.auth.prepare(request.request()).await;
        let caller = self.auth.identify(request.request());
        let name = match &caller {
            Ok(principal) => principal.actor(),
            Err(_) => format!("address:{}", request.peer_addr().map_or_else(String::new, |peer| peer.ip().to_string())),
        };
        Span::current().record("caller", name.as_str());
        request.extensions_mut().insert(caller);
        if let Err(error) = self.admit(&name, request.path()).await {
            return Ok(request.error_response(error).map_into_boxed_body());
        }
        // A handler's error is already an answer here; nothing between it and us fails by itself.
        Ok(next.call(request).await?.map_into_boxed_body())
    }

    async fn admit(&self, caller: &str, path: &str) -> Result<(), ApiError> {
        if self.limit_per_minute == 0 || PROBES.contains(&path) {
            return Ok(());
        }
        let allowance = self.shared.count(caller, self.limit_per_minute, WINDOW).await;
        if allowance.allowed {
            return Ok(());
        }
        // One label for all addresses, or a flood of them would flood the metrics too.
        self.metrics.rate_limited(if caller.starts_with("address:") { "anonymous" } else { caller });
        tracing::warn!(limit = self.limit_per_minute, "rate limited");
        Err(ApiError::rate_limited(self.limit_per_minute, allowance.reset_after))
    }
}

/// The caller's mistake is a warning, ours an error with its whole chain. A probe's answer is neither: readiness tells
/// its changes itself.
fn report(response: &ServiceResponse<BoxBody>, route: &str, status: StatusCode) {
    let span = Span::current();
    span.record("http.response.status_code", status.as_u16());
    let error = response.response().error();
    let cause = error.map(|error| match error.as_error::<ApiError>() {
        Some(error) => crate::chain(error),
        None => error.to_string(),
    });
    let cause = cause.unwrap_or_default();
    if PROBES.contains(&route) {
        tracing::debug!(status = status.as_u16(), "probed");
    } else if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
        tracing::error!(status = status.as_u16(), cause, "failed");
    } else if status.is_client_error() {
        tracing::warn!(status = status.as_u16(), cause, "refused");
    } else {
        tracing::debug!(status = status.as_u16(), "answered");
    }
}

/// A body that breaks off when nothing of it comes for so long.
fn patient(payload: Payload, patience: Duration) -> Payload {
    if matches!(payload, Payload::None) {
        return payload;
    }
    let pieces = stream::unfold(Some(payload), move |going| async move {
        let mut payload = going?;
        match tokio::time::timeout(patience, payload.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(payload))),
            Ok(Some(Err(error))) => Some((Err(error), None)),
            Ok(None) => None,
            Err(_) => {
                let silence = format!("nothing came for {} s", patience.as_secs());
                Some((Err(PayloadError::Io(io::Error::new(io::ErrorKind::TimedOut, silence))), None))
            }
        }
    });
    Payload::Stream { payload: Box::pin(pieces) }
}

/// Headers of every answer. A handler's own win.
fn finish(response: &mut ServiceResponse<BoxBody>) {
    let traceparent = telemetry::current_traceparent().and_then(|text| HeaderValue::try_from(text).ok());
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        // `unsafe-inline` for styles only: the `/docs` pages bring their own.
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; \
             form-action 'self'; frame-ancestors 'none'",
        ),
    ];
    let headers = response.headers_mut();
    let fixed = fixed.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value)));
    for (name, value) in fixed.chain(traceparent.map(|value| (TRACEPARENT, value))) {
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_does_not_come_breaks_off() {
        let first = stream::iter([Ok(actix_web::web::Bytes::from_static(b"{"))]);
        let body = first.chain(stream::pending()).boxed_local();
        let mut body = patient(Payload::Stream { payload: body }, Duration::from_millis(20));
        assert_eq!(body.next().await.unwrap().unwrap(), "{");
        let PayloadError::Io(error) = body.next().await.unwrap().unwrap_err() else { panic!("another error") };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(body.next().await.is_none());
    }
}
