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
    stock::{Quant, Warehouse},
};
use tokio::sync::Mutex;

use super::reading::{Article, Reading, Site, homeless, reading, sums};
use crate::config::OdooSettings;

/// How long warehouses, locations and products are believed without asking again.
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
    /// By id of the stock location or any below it.
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
        let session = self.knowing(clock, &quant).await?;
        Ok(session.readings(clock, &[quant]).await?.pop())
    }

    /// Reads everything that was written since; everything there is when `since` is `None`.
    pub(super) async fn sweep(
        &self,
        clock: &Clock,
        since: Option<Timestamp>,
        overlap: Duration,
    ) -> Result<Swept, odoo::Error> {
        let session = self.session(clock).await?;
        let quants = match since {
            Some(since) => session.client.changed_quants(since, overlap).await?,
            None => session.client.read_quants(&[], &[]).await?,
        };
        let session = match quants.iter().find(|quant| !session.sites.contains_key(&quant.location.id)) {
            Some(unknown) => self.knowing(clock, unknown).await?,
            None => session,
        };
        let newest = quants.iter().map(|quant| quant.write_date).max();
        Ok(Swept { readings: session.readings(clock, &quants).await?, newest })
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

    /// A session that has seen the quant's location, if Odoo has it in a warehouse at all.
    async fn knowing(&self, clock: &Clock, quant: &Quant) -> Result<Arc<Session>, odoo::Error> {
        let session = self.session(clock).await?;
        if session.sites.contains_key(&quant.location.id) || session.opened_at == clock.now() {
            return Ok(session);
        }
        *self.session.lock().await = None;
        self.session(clock).await
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
        let site = |warehouse: &Warehouse| Site {
            warehouse_id: warehouse.id,
            code: warehouse.code.clone(),
            name: warehouse.name.clone(),
            stock_location: warehouse.stock_location.id,
        };
        let sites = locations.iter().filter_map(|location| {
            let home = location.warehouse.as_ref()?;
            let warehouse = warehouses.iter().find(|warehouse| warehouse.id == home.id)?;
            Some((location.id, site(warehouse)))
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

    /// One reading for each product and warehouse among the quants.
    async fn readings(&self, clock: &Clock, quants: &[Quant]) -> Result<Vec<Reading>, odoo::Error> {
        let mut found = Vec::new();
        let mut causes: HashMap<(i64, i64), &Quant> = HashMap::new();
        let articles = self.articles(quants).await?;
        for quant in quants {
            let Some(article) = articles.get(&quant.product.id) else { continue };
            match self.sites.get(&quant.location.id) {
                None => found.push(homeless(quant, article)),
                Some(site) => {
                    let cause = causes.entry((quant.product.id, site.warehouse_id)).or_insert(quant);
                    if quant.write_date > cause.write_date {
                        *cause = quant;
                    }
                }
            }
        }
        let mut causes: Vec<&Quant> = causes.into_values().collect();
        causes.sort_by_key(|quant| (quant.product.id, quant.id));
        for chunk in causes.chunks(CHUNK) {
            self.levels(clock, chunk, &articles, &mut found).await?;
        }
        Ok(found)
    }

    async fn levels(
        &self,
        clock: &Clock,
        causes: &[&Quant],
        articles: &HashMap<i64, Article>,
        found: &mut Vec<Reading>,
    ) -> Result<(), odoo::Error> {
        let products: BTreeSet<i64> = causes.iter().map(|quant| quant.product.id).collect();
        let sites: Vec<_> = causes.iter().filter_map(|quant| self.sites.get(&quant.location.id)).collect();
        let places: BTreeSet<i64> = sites.iter().map(|site| site.stock_location).collect();
        let (products, places): (Vec<_>, Vec<_>) = (products.into_iter().collect(), places.into_iter().collect());
        let sums = sums(&self.client.read_quants(&products, &places).await?, &self.sites);
        let orderpoints = self.client.orderpoints(&products, &places).await?;
        for cause in causes {
            let (Some(article), Some(site)) = (articles.get(&cause.product.id), self.sites.get(&cause.location.id))
            else {
                continue;
            };
            let sum = sums.get(&(cause.product.id, site.warehouse_id));
            found.push(reading(cause, article, site, sum, &orderpoints, self.currency, clock.now()));
        }
        Ok(())
    }

    /// The products of the quants, asked for when not known yet.
    async fn articles(&self, quants: &[Quant]) -> Result<HashMap<i64, Article>, odoo::Error> {
        let mut known = self.articles.lock().await;
        let missing: BTreeSet<i64> =
            quants.iter().map(|quant| quant.product.id).filter(|id| !known.contains_key(id)).collect();
        for chunk in missing.into_iter().collect::<Vec<_>>().chunks(CHUNK) {
            let products = self.client.products(chunk).await?;
            let skus: BTreeSet<&str> = products.iter().filter_map(|product| product.sku.as_deref()).collect();
            let namesakes = self.client.products_by_sku(&skus.into_iter().collect::<Vec<_>>()).await?;
            for product in products {
                let same = namesakes.iter().filter(|other| product.sku.is_some() && other.sku == product.sku).count();
                known.insert(product.id, Article { ambiguous: same > 1, product });
            }
        }
        Ok(quants.iter().filter_map(|quant| Some((quant.product.id, known.get(&quant.product.id)?.clone()))).collect())
    }
}
