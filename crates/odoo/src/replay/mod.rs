//! An Odoo 19 in memory, speaking JSON-2 on a port of 127.0.0.1.
//!
//! It **replays what was observed on a running Odoo 19.0**: names, statuses and texts of errors, the empty 200 for a
//! missing record, `false` for nothing, seconds in the API against microseconds in webhooks, `load` with its lost
//! race inside a 200, the page for an unknown database, and the webhook posts that a stock adjustment causes.
//!
//! It is no Odoo. It knows only the models that the typed verbs touch and the methods that [`crate::Client`] calls;
//! transfers stay drafts; locations do not nest; there are no access rights but the key, no JSON-RPC, no computed
//! stock; only `stock.quant` has a webhook rule; and calls follow one another, so that a race is lost only when
//! [`Failure::Serialization`] says so. What it does not know it refuses, as Odoo would refuse an unknown name.
//!
//! ```no_run
//! # async fn demo(scene: odoo::replay::Scene, clock: odoo::replay::Clock) -> Result<(), Box<dyn std::error::Error>> {
//! use odoo::{Client, replay::{ReplayOdoo, Webhook}};
//! let odoo = ReplayOdoo::start(scene, clock).await?;
//! odoo.set_webhook(Some(Webhook::to("http://odoo:secret@127.0.0.1:8080/supply/v1/webhooks/odoo")));
//! let client = Client::connect(odoo.config()).await?;
//! odoo.set_quantity("OAT-1", "S2", 3.0).await?;
//! # drop(client); Ok(()) }
//! ```

mod load;
mod methods;
mod models;
mod scene;
mod search;
mod server;
mod tables;
mod webhook;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::dev::ServerHandle;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Map, Value};

use self::tables::Tables;
pub use self::{
    scene::{OrderpointSeed, ProductSeed, ReceiptSeed, Scene, StockSeed, SupplierSeed, WarehouseSeed},
    webhook::{Delivery, Webhook, to_python_json},
};
use crate::{OdooConfig, TransportChoice};

/// The only database of the replayed Odoo.
pub const DATABASE: &str = "replay";
/// The only key it accepts. It opens nothing else, so it is no secret.
pub const API_KEY: &str = "0000000000000000000000000000000000000000";

/// Where the time of `write_date` comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A running replayed Odoo. It ends with [`ReplayOdoo::stop`], or with the process.
pub struct ReplayOdoo {
    address: std::net::SocketAddr,
    server: ServerHandle,
    state: Arc<State>,
}

/// Why the replay could not do as told.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("cannot listen on 127.0.0.1")]
    Listen(#[source] std::io::Error),
    /// The seed or the caller names something that the scene does not have.
    #[error("the scene has no {what} {name:?}")]
    Unknown { what: &'static str, name: String },
    #[error("the webhook client cannot be built")]
    Client(#[source] reqwest::Error),
}

/// One call that arrived, as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedCall {
    pub model: String,
    pub method: String,
    pub body: Map<String, Value>,
}

/// How a call can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Another transaction was first; nothing is written. From `load` a 200 with the message inside, else a 500.
    Serialization,
    /// 503 with a page, as from a proxy; nothing is written.
    Unavailable,
    /// **The work is done**, then 502: the case that makes lookups necessary.
    LostAnswer,
    /// The key has expired: 401.
    Unauthorized,
    /// The answer comes that much later.
    Slow(Duration),
}

struct State {
    tables: Mutex<Tables>,
    calls: Mutex<Vec<RecordedCall>>,
    failures: Mutex<VecDeque<Failure>>,
    webhook: Mutex<Option<Webhook>>,
    clock: Clock,
    poster: reqwest::Client,
}

impl State {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        locked(&self.tables)
    }
}

/// A panic elsewhere does not make plain data unreadable.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ReplayOdoo {
    /// Seeds the scene and listens on a free port.
    ///
    /// # Errors
    /// [`ReplayError::Unknown`] when the scene refers to something it does not define.
    pub async fn start(scene: Scene, clock: Clock) -> Result<Self, ReplayError> {
        let tables = scene.tables(clock())?;
        let poster = webhook::client().map_err(ReplayError::Client)?;
        let state = Arc::new(State {
            tables: Mutex::new(tables),
            calls: Mutex::default(),
            failures: Mutex::default(),
            webhook: Mutex::default(),
            clock,
            poster,
        });
        let (address, server) = server::listen(Arc::clone(&state)).map_err(ReplayError::Listen)?;
        Ok(Self { address, server, state })
    }

    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A configuration that reaches it, without a noticeable limit of calls.
    #[must_use]
    pub fn config(&self) -> OdooConfig {
        OdooConfig {
            base_url: self.base_url(),
            database: DATABASE.into(),
            login: None,
            api_key: SecretString::from(API_KEY),
            timeout: Duration::from_secs(5),
            max_calls_per_second: 1000.0,
            transport: TransportChoice::Auto,
        }
    }

    /// Where the rule on `stock.quant` posts to from now on.
    pub fn set_webhook(&self, webhook: Option<Webhook>) {
        *locked(&self.state.webhook) = webhook;
    }

    /// Sets what is on hand, as a person does by counting, and fires the webhooks before it returns: one after another,
    /// a second each at most, never again. A decrease fires three, an increase one; both observed.
    ///
    /// # Errors
    /// When the scene has no such product or warehouse.
    pub async fn set_quantity(&self, sku: &str, warehouse: &str, on_hand: f64) -> Result<Delivery, ReplayError> {
        let bodies = self.state.tables().count(sku, warehouse, on_hand, (self.state.clock)())?;
        let webhook = locked(&self.state.webhook).clone();
        Ok(match webhook {
            Some(webhook) => webhook.post(&self.state.poster, &bodies).await,
            None => Delivery::default(),
        })
    }

    /// Writes as a person in the web client would: no rule looks, no call is recorded.
    ///
    /// # Errors
    /// When there is no such record.
    pub fn person_writes(&self, model: &str, id: i64, values: Map<String, Value>) -> Result<(), ReplayError> {
        let missing = || ReplayError::Unknown { what: "record", name: format!("{model}({id},)") };
        self.state.tables().write(model, &[id], &values, (self.state.clock)()).map_err(|_| missing())
    }

    /// All transfers, drafted or seeded, each with its lines under `moves`; values as stored (bare ids).
    #[must_use]
    pub fn pickings(&self) -> Vec<Map<String, Value>> {
        self.state.tables().pickings()
    }

    /// All records of a model, values as stored (bare ids); none for a model that the replay does not know.
    #[must_use]
    pub fn records(&self, model: &str) -> Vec<Map<String, Value>> {
        self.state.tables().rows(model).cloned().collect()
    }

    /// Every authorised call so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<RecordedCall> {
        locked(&self.state.calls).clone()
    }

    /// Makes the next `n` calls fail, after those that are to fail already.
    pub fn fail_next(&self, n: usize, failure: Failure) {
        locked(&self.state.failures).extend(std::iter::repeat_n(failure, n));
    }

    /// Closes the port; calls in progress are cut.
    pub async fn stop(&self) {
        self.server.stop(false).await;
    }
}
