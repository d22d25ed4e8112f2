//! The one connection to Odoo: what a quant means, read in as few calls as Odoo's rate allows.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use chassis::{Clock, relay::Attempt};
use contracts::money::Currency;
use jiff::Timestamp;
use odoo::{
    Client,
    stock::{Move, Quant, Warehouse},
};
use tokio::sync::Mutex;

use super::reading::{self, Article, Cause, Reading, Site, Surroundings, causes, promise, receipts, sums};
use crate::{rules::history::day_at, settings::OdooSettings};

/// How long warehouses, locations, products and their suppliers are believed without asking again.
const BELIEVE: Duration = Duration::from_secs(600);
/// Products per call, so that neither request nor answer grows without bound.
const CHUNK: usize = 200;
/// Before 19 a webhook is sent inside the transaction: the change may be seen only a little later, or never.
const LOOKS: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Odoo, connected when first needed.
pub(crate) struct Peer {
    settings: OdooSettings,
    session: Mutex<Option<Arc<Session>>>,
}

/// A signed-in client and what changes so seldom that asking each time would waste the rate.
struct Session {
    client: Client,
    opened_at: Timestamp,
    currency: Option<Currency>,
    warehouses: Vec<Warehouse>,
    /// By id of every internal location.
    sites: HashMap<i64, Site>,
    articles: Mutex<HashMap<i64, Article>>,
}

/// What a sweep found.
pub(crate) struct Swept {
    pub readings: Vec<Reading>,
    /// Latest time of writing seen.
    pub newest: Option<Timestamp>,
}

impl Peer {
    pub(crate) fn new(settings: OdooSettings) -> Self {
        Self { settings, session: Mutex::new(None) }
    }

    /// For one attempt of an executor.
    pub(super) fn attempt(&self) -> Duration {
        self.settings.attempt()
    }

    /// The client, for the verbs that need nothing else.
    pub(super) async fn client(&self, clock: &Clock) -> Result<Client, odoo::Error> {
        Ok(self.session(clock).await?.client.clone())
    }

    /// The warehouse of that short name.
    pub(super) async fn warehouse(&self, clock: &Clock, code: &str) -> Result<Option<Warehouse>, odoo::Error> {
        let session = self.session(clock).await?;
        Ok(session.warehouses.iter().find(|warehouse| warehouse.code == code).cloned())
    }

    /// Reads what a quant's hint is about. `None`: there is no such quant, the hint was a phantom.
    pub(super) async fn read_back(
        &self,
        clock: &Clock,
        quant_id: i64,
        hinted: Option<Timestamp>,
    ) -> Result<Option<Reading>, odoo::Error> {
        let session = self.session(clock).await?;
        let Some(quant) = session.committed(clock, quant_id, hinted).await? else { return Ok(None) };
        let session = self.knowing(clock, [quant.location.id]).await?;
        Ok(session.readings(clock, &[quant], &[]).await?.pop())
    }

    /// Reads every product and warehouse with a quant or a move that was written since; all with stock or with
    /// something on its way when `since` is `None`.
    pub(super) async fn sweep(
        &self,
        clock: &Clock,
        since: Option<Timestamp>,
        overlap: Duration,
    ) -> Result<Swept, odoo::Error> {
        let client = self.client(clock).await?;
        let (quants, moves) = match since {
            Some(since) => (client.changed_quants(since, overlap).await?, client.changed_moves(since, overlap).await?),
            None => (client.read_quants(&[], &[]).await?, client.incoming_moves(&[], &[]).await?),
        };
        let places = quants.iter().map(|quant| quant.location.id).chain(moves.iter().map(|line| line.destination.id));
        let session = self.knowing(clock, places).await?;
        let written = quants.iter().map(|quant| quant.write_date).chain(moves.iter().map(|line| line.write_date));
        let newest = written.max();
        Ok(Swept { readings: session.readings(clock, &quants, &moves).await?, newest })
    }

    /// Forgets the connection after a refused key, so that the next call reads the key anew.
    pub(super) async fn explain(&self, error: odoo::Error) -> Attempt {
        if matches!(error, odoo::Error::Unauthorized) {
            *self.session.lock().await = None;
        }
        let cause = chassis::chain(&error);
        match error {
            odoo::Error::Access { .. }
            | odoo::Error::Missing { .. }
            | odoo::Error::Validation { .. }
            | odoo::Error::ClientBug { .. }
            | odoo::Error::Schema { .. } => Attempt::Refused { cause },
            // A wrong key, a proxy's page or a missing database is mended by an operator, not by giving up.
            other => Attempt::Retry { cause, after: other.retry_after() },
        }
    }

    /// A session that has seen these locations, if Odoo has them in a warehouse at all.
    async fn knowing(
        &self,
        clock: &Clock,
        locations: impl IntoIterator<Item = i64>,
    ) -> Result<Arc<Session>, odoo::Error> {
        let session = self.session(clock).await?;
        let all_known = locations.into_iter().all(|location| session.sites.contains_key(&location));
        if all_known || session.opened_at == clock.now() {
            return Ok(session);
        }
        // The client outlives it, and with it the call rate.
        let session = Arc::new(Session::open(session.client.clone(), clock.now()).await?);
        *self.session.lock().await = Some(Arc::clone(&session));
        Ok(session)
    }

    async fn session(&self, clock: &Clock) -> Result<Arc<Session>, odoo::Error> {
        // The lock is held over the sign-in, so that many first users sign in once.
        let mut slot = self.session.lock().await;
        match slot.as_ref() {
            Some(session) if session.opened_at + BELIEVE > clock.now() => Ok(Arc::clone(session)),
            stale => {
                let client = match stale {
                    // The call rate belongs to the client, so it outlives what is known.
                    Some(session) => session.client.clone(),
                    None => {
                        let config = self.settings.client().map_err(|e| odoo::Error::Config(e.to_string()))?;
                        Client::connect(config).await?
                    }
                };
                let session = Arc::new(Session::open(client, clock.now()).await?);
                *slot = Some(Arc::clone(&session));
                Ok(session)
            }
        }
    }
}

impl Session {
    async fn open(client: Client, now: Timestamp) -> Result<Self, odoo::Error> {
        let warehouses = client.warehouses().await?;
        let locations = client.internal_locations().await?;
        let companies = client.companies().await?;
        // Prices of several companies cannot be told apart on the product, so they are left out then.
        let currency = match companies.as_slice() {
            [company] => Currency::new(&company.currency.name).ok(),
            _ => None,
        };
        let sites = locations.iter().filter_map(|location| {
            let home = location.warehouse.as_ref()?;
            let warehouse = warehouses.iter().find(|warehouse| warehouse.id == home.id)?;
            let site = Site {
                warehouse_id: warehouse.id,
                code: warehouse.code.clone(),
                name: warehouse.name.clone(),
                stock_location: warehouse.stock_location.id,
                is_shelf: location.lies_in(warehouse.stock_location.id),
            };
            Some((location.id, site))
        });
        let sites = sites.collect();
        Ok(Self { client, opened_at: now, currency, warehouses, sites, articles: Mutex::default() })
    }

    /// The quant, once what the hint announced can be seen, or as it is after a few looks.
    async fn committed(
        &self,
        clock: &Clock,
        quant_id: i64,
        hinted: Option<Timestamp>,
    ) -> Result<Option<Quant>, odoo::Error> {
        let mut quant = self.client.read_quant(quant_id).await?;
        if self.client.version() >= odoo::Version::JSON2 {
            // From 19 on webhooks are sent after the commit.
            return Ok(quant);
        }
        for _ in 1..LOOKS {
            // The API cuts the time to seconds.
            let seen = |quant: &Quant| hinted.is_none_or(|at| quant.write_date.as_second() >= at.as_second());
            if quant.as_ref().is_some_and(seen) {
                break;
            }
            clock.sleep(BETWEEN_LOOKS).await;
            quant = self.client.read_quant(quant_id).await?;
        }
        Ok(quant)
    }

    /// One reading for each product and warehouse among the quants and moves.
    async fn readings(&self, clock: &Clock, quants: &[Quant], moves: &[Move]) -> Result<Vec<Reading>, odoo::Error> {
        let causes = causes(quants, moves, &self.sites);
        let homeless: Vec<_> = quants.iter().filter(|quant| !self.sites.contains_key(&quant.location.id)).collect();
        let products = causes.iter().map(|cause| cause.product).chain(homeless.iter().map(|quant| quant.product.id));
        let articles = self.articles(clock, products.collect()).await?;
        let told = |quant: &&Quant| Some(reading::homeless(quant, articles.get(&quant.product.id)?));
        let mut found: Vec<Reading> = homeless.iter().filter_map(told).collect();
        for chunk in causes.chunks(CHUNK) {
            let around = self.surroundings(clock, chunk).await?;
            let read = |cause: &Cause| Some(reading::reading(cause, articles.get(&cause.product)?, &around));
            found.extend(chunk.iter().filter_map(read));
        }
        Ok(found)
    }

    /// Everything around a chunk of causes, in three calls.
    async fn surroundings(&self, clock: &Clock, causes: &[Cause]) -> Result<Surroundings, odoo::Error> {
        let distinct = |ids: BTreeSet<i64>| ids.into_iter().collect::<Vec<_>>();
        let products = distinct(causes.iter().map(|cause| cause.product).collect());
        let places = distinct(causes.iter().map(|cause| cause.site.stock_location).collect());
        let warehouses = distinct(causes.iter().map(|cause| cause.site.warehouse_id).collect());
        let client = &self.client;
        let moves = client.incoming_moves(&products, &warehouses).await?;
        Ok(Surroundings {
            levels: sums(&client.read_quants(&products, &warehouses).await?, &moves, &self.sites),
            orderpoints: client.orderpoints(&products, &places).await?,
            incoming: receipts(&moves, &self.sites, |line| client.expected(line)),
            currency: self.currency,
            now: Timestamp::from_second(clock.now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH),
        })
    }

    /// The products with what is known beside them, asked for when not known yet.
    async fn articles(&self, clock: &Clock, wanted: BTreeSet<i64>) -> Result<HashMap<i64, Article>, odoo::Error> {
        let mut known = self.articles.lock().await;
        let today = day_at(clock.now(), None);
        let missing: Vec<i64> = wanted.iter().copied().filter(|id| !known.contains_key(id)).collect();
        for chunk in missing.chunks(CHUNK) {
            let products = self.client.products(chunk).await?;
            let skus: BTreeSet<&str> = products.iter().filter_map(|product| product.sku.as_deref()).collect();
            let namesakes = self.client.products_by_sku(&skus.into_iter().collect::<Vec<_>>()).await?;
            let templates: BTreeSet<i64> = products.iter().map(|product| product.template.id).collect();
            let offers = self.client.supplier_offers(&templates.into_iter().collect::<Vec<_>>()).await?;
            for product in products {
                let same = namesakes.iter().filter(|other| product.sku.is_some() && other.sku == product.sku).count();
                let promise = promise(&offers, &product, today);
                known.insert(product.id, Article { ambiguous: same > 1, promise, product });
            }
        }
        Ok(wanted.into_iter().filter_map(|id| Some((id, known.get(&id)?.clone()))).collect())
    }
}
