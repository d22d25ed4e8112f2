//! The one HTTP client that talks to addresses from outside. Only executors and jobs hold it.
//!
//! An address to call can come from a caller (a callback URL), so by default it must not lead into our own network
//! (server-side request forgery). The check sits in the client's resolver: the addresses that were checked are the
//! ones connected to, so a second DNS answer (rebinding) cannot change them in between.

use std::{
    collections::BTreeMap,
    error::Error,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use url::{Host, Url};

use crate::{
    config::{ConfigError, OutgoingSettings},
    telemetry,
};

/// Largest answer that is read, in bytes.
pub const MAX_ANSWER: usize = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A call to somebody else.
#[derive(Clone, Debug)]
pub struct OutgoingRequest {
    pub method: reqwest::Method,
    pub url: Url,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What for, in logs: `webhook`, `odoo.transfer`.
    pub purpose: &'static str,
}

/// Any answer, also 3xx (never followed), 4xx and 5xx: what they mean is the executor's to say.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// Lower-case names; of a repeated header the last.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Response {
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Seconds form of `Retry-After`; the date form is rare and read as absent.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.headers.get("retry-after")?.trim().parse().ok().map(Duration::from_secs)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    #[error("not an address to call: {0}")]
    Address(String),
    #[error("{0} leads to a private address and is not in outgoing.allow")]
    Forbidden(String),
    #[error("a header is malformed: {0}")]
    Header(String),
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("no connection to {host}")]
    Connect { host: String, source: reqwest::Error },
    #[error("the connection to {host} broke")]
    Broken { host: String, source: reqwest::Error },
    #[error("the answer of {0} is larger than {MAX_ANSWER} bytes")]
    TooLarge(String),
}

impl OutgoingError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Connect { .. } | Self::Broken { .. })
    }
}

/// The client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outgoing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// For hosts allowed by name.
    trusted: reqwest::Client,
    /// For everybody else: its resolver drops private addresses.
    guarded: reqwest::Client,
    allow: Vec<(String, Option<u16>)>,
    callbacks: Vec<Url>,
    timeout: Duration,
}

impl Outgoing {
    /// # Errors
    /// When an entry of the allow-lists cannot be read or the TLS set-up fails.
    pub fn new(settings: &OutgoingSettings) -> Result<Self, ConfigError> {
        let timeout = Duration::from_secs(settings.timeout_seconds);
        let base = || {
            reqwest::Client::builder()
                .timeout(timeout)
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(redirect::Policy::none())
                // A proxy from the environment would resolve names by itself, past our check.
                .no_proxy()
                .user_agent(concat!("steward/", env!("CARGO_PKG_VERSION")))
        };
        let build = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| ConfigError::one(format!("outgoing: {error}")))
        };
        let mut allow: Vec<_> = settings.allow.iter().map(|entry| host_and_port(entry)).collect();
        let callbacks = settings.callback_allow.iter().map(|entry| prefix(entry)).collect::<Result<Vec<_>, _>>()?;
        allow
            .extend(callbacks.iter().filter_map(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()))));
        Ok(Self(Arc::new(Inner {
            trusted: build(base())?,
            guarded: build(base().dns_resolver(Arc::new(PublicOnly)))?,
            allow,
            callbacks,
            timeout,
        })))
    }

    /// Sends one request, with the current trace, and reads the whole answer within the configured timeout.
    ///
    /// # Errors
    /// When the address is not allowed, or no complete answer came.
    pub async fn send(&self, request: OutgoingRequest) -> Result<Response, OutgoingError> {
        let (client, host) = self.client_for(&request.url)?;
        let mut call = client.request(request.method.clone(), request.url.clone());
        for (name, value) in &request.headers {
            let name = reqwest::header::HeaderName::try_from(name).map_err(|_| OutgoingError::Header(name.clone()))?;
            let value = reqwest::header::HeaderValue::try_from(value)
                .map_err(|_| OutgoingError::Header(name.as_str().to_owned()))?;
            call = call.header(name, value);
        }
        if let Some(traceparent) = telemetry::current_traceparent() {
            call = call.header("traceparent", traceparent);
        }
        let answer = call.body(request.body).send().await.map_err(|error| self.explain(&host, error))?;
        let response = self.read(&host, answer).await?;
        tracing::debug!(purpose = request.purpose, host, status = response.status, "called");
        Ok(response)
    }

    async fn read(&self, host: &str, mut answer: reqwest::Response) -> Result<Response, OutgoingError> {
        let status = answer.status().as_u16();
        let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = answer.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.explain(host, error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(OutgoingError::TooLarge(host.to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body })
    }

    /// Whether a caller may name this URL as callback. Asked before the URL is stored; `send` checks the address again.
    ///
    /// # Errors
    /// With the reason, fit for the caller.
    pub fn check_callback(&self, url: &Url) -> Result<(), String> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user name or password".to_owned());
        }
        // `Url` has already resolved `..`, so a path cannot climb out of its prefix.
        let allowed = self.0.callbacks.iter().any(|prefix| {
            prefix.origin() == url.origin() && {
                let (base, path) = (prefix.path().trim_end_matches('/'), url.path());
                path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        });
        if allowed { Ok(()) } else { Err("does not begin with an entry of outgoing.callback_allow".to_owned()) }
    }

    fn client_for(&self, url: &Url) -> Result<(&reqwest::Client, String), OutgoingError> {
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
            return Err(OutgoingError::Address("http(s) without user name or password only".to_owned()));
        }
        let host = url.host().ok_or_else(|| OutgoingError::Address("no host".to_owned()))?;
        let name = host.to_string();
        let port = url.port_or_known_default();
        if self.0.allow.iter().any(|(allowed, only)| *allowed == name && (only.is_none() || *only == port)) {
            return Ok((&self.0.trusted, name));
        }
        // An address in the URL itself never reaches the resolver.
        let literal = match host {
            Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
            Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
            Host::Domain(_) => None,
        };
        match literal {
            Some(ip) if !is_public(ip) => Err(OutgoingError::Forbidden(name)),
            _ => Ok((&self.0.guarded, name)),
        }
    }

    fn explain(&self, host: &str, source: reqwest::Error) -> OutgoingError {
        let causes = || std::iter::successors(source.source(), |error| (*error).source());
        let host = host.to_owned();
        if causes().any(|cause| cause.is::<OnlyPrivate>()) {
            OutgoingError::Forbidden(host)
        } else if source.is_timeout() {
            OutgoingError::Timeout(self.0.timeout)
        } else if source.is_connect() {
            OutgoingError::Connect { host, source }
        } else {
            OutgoingError::Broken { host, source }
        }
    }
}

fn host_and_port(entry: &str) -> (String, Option<u16>) {
    let lower = entry.to_ascii_lowercase();
    match lower.rsplit_once(':') {
        // `[::1]` and `::1` have colons of their own.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host.to_owned(), Some(port)),
            Err(_) => (lower, None),
        },
        Some(_) if !lower.starts_with('[') => (format!("[{lower}]"), None),
        _ => (lower, None),
    }
}

fn prefix(entry: &str) -> Result<Url, ConfigError> {
    Url::parse(entry).map_err(|error| ConfigError::one(format!("outgoing.callback_allow: {entry:?}: {error}")))
}

/// Resolves as the system does and keeps public addresses only.
struct PublicOnly;

#[derive(Debug, thiserror::Error)]
#[error("all addresses of the name are private")]
struct OnlyPrivate;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(OnlyPrivate.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Globally reachable unicast, by the IANA special-purpose registries (RFC 6890 and its updates). The clouds' metadata
/// addresses (169.254.169.254, fd00:ec2::254) fall under link-local and unique-local, 100.100.100.200 under RFC 6598.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        || a >= 240 // reserved and broadcast
        || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT, RFC 6598
        || (a == 192 && b == 0 && c == 0) // IETF protocol assignments
        || (a == 198 && (b == 18 || b == 19)); // benchmarking, RFC 2544
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    // Addresses that carry an IPv4 address are as public as that one: mapped, compatible, NAT64, 6to4.
    let embedded = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(embedded(high, low))
        }
        [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),
        // Only 2000::/3 is given out for global unicast; Teredo and documentation lie inside it.
        [first, second, ..] => {
            first & 0xe000 == 0x2000 && !(first == 0x2001 && (second == 0 || second == 0xdb8)) && first != 0x3fff
        }
    }
}

#[cfg(test)]
#[path = "outgoing_tests.rs"]
mod tests;
