//! The Odoo of a ground: one that replays what a real one was seen to do, or a real one.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail, ensure};
use chassis::Clock;
use odoo::{
    OdooConfig, TransportChoice,
    replay::{ReplayOdoo, Webhook},
};
use serde_json::{Value, json};
use testkit::{Odoo, OdooApi, OdooUser, Postgres};
use tokio::sync::Mutex;

use super::{Gateway, scene::Shop};

pub enum Erp {
    Replayed(ReplayOdoo),
    Real(Box<RealOdoo>),
}

/// It stands behind the gateway, so that a test can see and delay single calls.
pub struct RealOdoo {
    /// A client that shares nothing with ours.
    pub api: OdooApi,
    pub server: Mutex<Odoo>,
    behind: String,
    _postgres: Postgres,
}

impl Erp {
    /// The replayed one, to be told what to do beyond what any Odoo does.
    pub fn replay(&self) -> Result<&ReplayOdoo> {
        match self {
            Self::Replayed(odoo) => Ok(odoo),
            Self::Real(_) => bail!("this ground stands on a real Odoo"),
        }
    }

    /// The real one, to be stopped, changed and looked into.
    pub fn server(&self) -> Result<&RealOdoo> {
        match self {
            Self::Real(odoo) => Ok(odoo),
            Self::Replayed(_) => bail!("this ground stands on a replayed Odoo"),
        }
    }

    pub(super) async fn replayed(shop: &Shop, clock: Clock) -> Result<Self> {
        let scene = serde_json::from_value(shop.scene())?;
        Ok(Self::Replayed(ReplayOdoo::start(scene, Arc::new(move || clock.now())).await?))
    }

    pub(super) async fn real(shop: &Shop, gateway: &Gateway) -> Result<Self> {
        let postgres = Postgres::start().await?;
        let server = Odoo::start(&postgres).await?;
        let api = server.api().clone();
        api.furnish(&shop.scene()).await?;
        for prefix in ["/json/2/", "/web/version"] {
            gateway.route(prefix, api.base_url());
        }
        let behind = gateway.base_url().to_owned();
        Ok(Self::Real(Box::new(RealOdoo { api, server: Mutex::new(server), behind, _postgres: postgres })))
    }

    /// How Steward reaches it.
    pub(super) fn config(&self) -> OdooConfig {
        match self {
            Self::Replayed(odoo) => odoo.config(),
            Self::Real(odoo) => OdooConfig {
                base_url: odoo.behind.clone(),
                database: odoo.api.database().to_owned(),
                login: None,
                api_key: odoo.api.key(OdooUser::Steward).to_owned().into(),
                timeout: Duration::from_secs(10),
                max_calls_per_second: 500.0,
                transport: TransportChoice::Auto,
            },
        }
    }

    /// Sets up the rule that tells Steward when stock moves.
    pub(super) async fn tell(&self, hook: &str) -> Result<()> {
        match self {
            Self::Replayed(odoo) => odoo.set_webhook(Some(Webhook::to(hook))),
            Self::Real(odoo) => odoo.server.lock().await.follow_readme(hook).await?,
        }
        Ok(())
    }

    /// Somebody counts, and finds that much on the shelves. Odoo tells whoever listens.
    pub(super) async fn count(&self, sku: &str, warehouse: &str, on_hand: f64) -> Result<()> {
        match self {
            Self::Replayed(odoo) => {
                let told = odoo.set_quantity(sku, warehouse, on_hand).await?;
                ensure!(told.posted > 0 && told.accepted == told.posted, "of Odoo's hints: {told:?}");
                Ok(())
            }
            Self::Real(odoo) => odoo.api.count(sku, warehouse, on_hand).await,
        }
    }

    /// The transfers of an article that Steward drafted, each with its lines under `moves`.
    pub(super) async fn transfers(&self, shop: &Shop, sku: &str) -> Result<Vec<Value>> {
        let product = shop.replayed_id(sku);
        let ours = |picking: &Value| {
            let lines = picking["moves"].as_array();
            picking["origin"].as_str().is_some_and(|origin| origin.starts_with("steward:"))
                && lines.is_some_and(|lines| lines.iter().any(|line| line["product_id"] == product))
        };
        match self {
            Self::Replayed(odoo) => Ok(odoo.pickings().into_iter().map(Value::Object).filter(ours).collect()),
            Self::Real(odoo) => odoo.drafts(sku).await,
        }
    }
}

impl RealOdoo {
    async fn drafts(&self, sku: &str) -> Result<Vec<Value>> {
        let of_article = json!([["origin", "=like", "steward:%"], ["move_ids.product_id.default_code", "=", sku]]);
        let mut found = self.api.search_read("stock.picking", of_article, &["name", "state", "origin"]).await?;
        for picking in &mut found {
            let lines = json!([["picking_id", "=", picking["id"]]]);
            picking["moves"] = json!(self.api.search_read("stock.move", lines, &["product_uom_qty", "state"]).await?);
        }
        Ok(found)
    }

    /// How often a model's method was called, over all starts of the server.
    pub async fn calls(&self, model: &str, method: &str) -> usize {
        self.server.lock().await.log().matches(&format!("\"POST /json/2/{model}/{method} HTTP")).count()
    }
}
