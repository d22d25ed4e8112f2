//! Hosting: from service values and settings to a running process, and back down without losing anything.

mod app;
mod health;

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use actix_web::dev::ServerHandle;
pub use app::{ExtraRoutes, openapi};
use secrecy::ExposeSecret;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    audit::{self, Notary},
    auth::Auth,
    bus::{Bus, InProcessBus, RabbitBus},
    clock::{Clock, Ids},
    config::{ConfigError, Settings},
    cx::{Cx, Parts},
    inbox::Intake,
    outgoing::Outgoing,
    relay::{self, Breakers, RelayTools, RetrySchedule},
    service::Service,
    shared::Shared,
    store::{Store, StoreError, StoreOptions},
    telemetry::{self, Metrics},
};

/// Why a process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("the store of {service} cannot be opened")]
    Store {
        service: &'static str,
        #[source]
        source: StoreError,
    },
    #[error("cannot listen on {address}")]
    Listen {
        address: String,
        #[source]
        source: std::io::Error,
    },
}

/// What differs between a real process and a test.
pub struct HostOptions {
    pub clock: Clock,
    /// An open listener instead of `http.listen`.
    pub listener: Option<TcpListener>,
    /// Routes at the root, beside the services' prefixes: the console.
    pub extra: Option<ExtraRoutes>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self { clock: Clock::system(), listener: None, extra: None }
    }
}

/// A running process.
pub struct Running {
    base_url: String,
    contexts: BTreeMap<&'static str, Cx>,
    server: ServerHandle,
    health: health::Health,
    stop: CancellationToken,
    tasks: TaskTracker,
    drain: Duration,
}

/// Starts the services: stores opened and migrated, listeners bound, relays, consumers and jobs running.
///
/// # Errors
/// When settings, a store or the listener cannot be used. The bus need not be there: that is a matter of readiness.
pub async fn start(services: Vec<Service>, settings: &Settings, options: HostOptions) -> Result<Running, HostError> {
    let services: Vec<Service> = services.into_iter().map(Service::housekeeping).collect();
    let listener = listen(settings, options.listener)?;
    let address = listener.local_addr().map_err(|source| HostError::Listen { address: "listener".into(), source })?;
    let clock = options.clock;
    let shared = Shared::connect(&settings.common.shared, &clock)?;
    let auth = Auth::new(&settings.common.auth, clock.clone(), shared.clone())?;
    let metrics = Metrics::default();
    let outgoing = Outgoing::new(&settings.common.outgoing)?;
    auth.reach_out_with(outgoing.clone());
    let mut contexts = BTreeMap::new();
    for service in &services {
        let store = open_store(service, settings, &clock).await?;
        let parts = Parts {
            store,
            clock: clock.clone(),
            ids: Ids::default(),
            outgoing: outgoing.clone(),
            shared: shared.clone(),
            metrics: metrics.clone(),
            notary: Notary::new(&settings.common.audit, service.name, &Ids::default())?,
        };
        contexts.insert(service.name, Cx::new(parts));
    }
    let buses = connect_buses(&services, settings)?;
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let health = health::Health::new(contexts.clone(), buses.clone(), metrics.clone());
    spawn_loops(&services, &contexts, &buses, settings, &stop, &tasks).await;
    tasks.spawn(health.clone().run_gauges(clock, stop.clone()));
    let site = app::Site {
        services: services.into(),
        contexts: contexts.clone(),
        auth,
        shared,
        metrics,
        health: health.clone(),
        extra: options.extra,
        http: settings.common.http.clone(),
    };
    let server =
        app::serve(site, listener).map_err(|source| HostError::Listen { address: address.to_string(), source })?;
    let handle = server.handle();
    tasks.spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the HTTP server failed");
        }
    });
    let drain = Duration::from_secs(settings.common.http.drain_seconds);
    Ok(Running { base_url: base_url(address), contexts, server: handle, health, stop, tasks, drain })
}

fn listen(settings: &Settings, given: Option<TcpListener>) -> Result<TcpListener, HostError> {
    let address = settings.common.http.listen.clone();
    match given {
        Some(listener) => Ok(listener),
        None => TcpListener::bind(&address).map_err(|source| HostError::Listen { address, source }),
    }
}

/// What a person on this machine opens; `0.0.0.0` is not an address to open.
fn base_url(address: SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true => format!("http://127.0.0.1:{}", address.port()),
        false => format!("http://{address}"),
    }
}

async fn open_store(service: &Service, settings: &Settings, clock: &Clock) -> Result<Store, HostError> {
    let common = &settings.common.store;
    let url = match common.url()? {
        Some(url) => url.expose_secret().to_owned(),
        None => format!("sqlite:{}", common.data_dir.display()),
    };
    let owner_url = common.owner_url()?.map(|url| url.expose_secret().to_owned());
    let options = StoreOptions { url, owner_url, schema: service.name, max_connections: common.max_connections };
    Store::open(&options, service.migrations, clock.clone(), Ids::default())
        .await
        .map_err(|source| HostError::Store { service: service.name, source })
}

/// One session pair per service on RabbitMQ; one bus for all of them in process.
fn connect_buses(services: &[Service], settings: &Settings) -> Result<BTreeMap<&'static str, Bus>, HostError> {
    let url = settings.common.bus.url()?;
    let in_process: Bus = Arc::new(InProcessBus::default());
    let bus_of = |service: &Service| match &url {
        Some(url) => Arc::new(RabbitBus::new(url.expose_secret(), service.name, settings.common.bus.prefetch)) as Bus,
        None => Arc::clone(&in_process),
    };
    Ok(services.iter().map(|service| (service.name, bus_of(service))).collect())
}

async fn spawn_loops(
    services: &[Service],
    contexts: &BTreeMap<&'static str, Cx>,
    buses: &BTreeMap<&'static str, Bus>,
    settings: &Settings,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    let schedule = Arc::new(RetrySchedule::from_seconds(&settings.common.relay.retry_seconds));
    // Subscribers first: in process, an event counts as published when those that are there have it.
    for service in services {
        let (cx, bus) = (contexts[service.name].clone(), Arc::clone(&buses[service.name]));
        let intake = Intake::new(cx, service.subscriptions.clone().into(), Arc::clone(&schedule));
        tasks.spawn(intake.clone().run_retries(stop.clone()));
        if service.subscriptions.is_empty() {
            bus.no_consumer();
            continue;
        }
        match settings.common.bus.url() {
            Ok(Some(_)) => {
                let stop = stop.clone();
                tasks.spawn(async move { bus.consume(intake, stop).await });
            }
            _ => bus.consume(intake, stop.clone()).await,
        }
    }
    for service in services {
        let tools = RelayTools {
            cx: contexts[service.name].clone(),
            breakers: Arc::new(Breakers::default()),
            schedule: Arc::clone(&schedule),
        };
        tasks.spawn(relay::run_events(tools.clone(), Arc::clone(&buses[service.name]), stop.clone()));
        for executor in &service.executors {
            tasks.spawn(relay::run_effects(tools.clone(), Arc::clone(executor), stop.clone()));
        }
        tasks.spawn(audit::run(tools.cx.clone(), stop.clone()));
        for job in &service.jobs {
            tasks.spawn(job.clone().run(tools.cx.clone(), stop.clone()));
        }
    }
}

impl Running {
    /// `http://127.0.0.1:8080`, as bound.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The platform of one hosted service, by prefix.
    #[must_use]
    pub fn cx(&self, service: &str) -> Option<&Cx> {
        self.contexts.get(service)
    }

    /// Graceful end: readiness turns red, running requests are answered, relays and consumers finish what they hold,
    /// stores are closed. What does not finish within `http.drain_seconds` is left to the next start, which takes it
    /// up from the rows.
    pub async fn shutdown(self) {
        self.health.drain();
        let work = async {
            self.server.stop(true).await;
            self.stop.cancel();
            self.tasks.close();
            self.tasks.wait().await;
        };
        if tokio::time::timeout(self.drain + Duration::from_secs(5), work).await.is_err() {
            tracing::warn!("some work did not finish in time; the next start takes it up again");
        }
        for cx in self.contexts.values() {
            // Closing waits for every connection, also for that of work which was just given up.
            let _closed = tokio::time::timeout(Duration::from_secs(5), cx.store().close()).await;
        }
    }
}

/// The whole `main` of a service: settings, telemetry, start, wait for SIGTERM or Ctrl-C, drain.
///
/// With the argument `migrate` it brings the tables up to date instead, as `store.owner_url` where that is set, and ends:
/// so that the serving process need not hold the credential of the role that owns them.
///
/// Exit codes: 0 after a graceful end, 1 when it cannot start, 2 when the configuration is wrong.
pub fn run_main(services: impl FnOnce(&Settings) -> Result<Vec<Service>, ConfigError>) -> ExitCode {
    // Two TLS providers may be compiled in; the first use panics unless one was chosen.
    let _chosen_already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let files: Vec<PathBuf> = config_files(std::env::args().skip(1));
    let (settings, services) = match Settings::load_with(&[], &files, services) {
        Ok(ready) => ready,
        Err(error) => return fail(&error, 2),
    };
    // Two workers at least: with one, the exporter's shutdown can wait for a thread that waits for it.
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    match runtime {
        Ok(runtime) if std::env::args().nth(1).as_deref() == Some("migrate") => {
            runtime.block_on(migrate(services, &settings)).map_or_else(|error| fail(&error, 1), |()| ExitCode::SUCCESS)
        }
        Ok(runtime) => runtime.block_on(run(services, &settings)),
        Err(error) => fail(&error, 1),
    }
}

async fn migrate(services: Vec<Service>, settings: &Settings) -> Result<(), HostError> {
    for service in &services {
        open_store(service, settings, &Clock::system()).await?.close().await;
    }
    Ok(())
}

async fn run(services: Vec<Service>, settings: &Settings) -> ExitCode {
    let telemetry = match telemetry::init(&settings.common.telemetry) {
        Ok(guard) => guard,
        Err(error) => return fail(&error, 2),
    };
    let code = match start(services, settings, HostOptions::default()).await {
        Ok(running) => {
            tracing::info!(base_url = running.base_url(), "ready to serve");
            stop_signal().await;
            tracing::info!("draining");
            running.shutdown().await;
            ExitCode::SUCCESS
        }
        Err(error @ HostError::Config(_)) => fail(&error, 2),
        Err(error) => fail(&error, 1),
    };
    telemetry.shutdown().await;
    code
}

/// Waits for SIGTERM or Ctrl-C.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be caught; only Ctrl-C drains");
            return drop(tokio::signal::ctrl_c().await);
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// `--config FILE`, several times; without any, `STEWARD_CONFIG`.
fn config_files(args: impl Iterator<Item = String>) -> Vec<PathBuf> {
    let args: Vec<String> = args.collect();
    let given = args.windows(2).filter(|pair| pair[0] == "--config").map(|pair| PathBuf::from(&pair[1]));
    let mut files: Vec<PathBuf> = given.collect();
    if files.is_empty() {
        files.extend(std::env::var_os("STEWARD_CONFIG").map(PathBuf::from));
    }
    files
}

#[expect(clippy::print_stderr, reason = "before telemetry is up, and for a person at a terminal")]
fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("{}", crate::chain(error));
    ExitCode::from(code)
}
