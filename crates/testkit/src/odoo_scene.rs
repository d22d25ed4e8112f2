use crate::{OdooApi, OdooUser};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a shop has, made in a real Odoo as people make it: through the API, and stock by counting.
impl OdooApi {
    /// Makes a scene: `{currency, warehouses: [{code, name}], products: [{sku, name, category, cost, price}],
    /// stock: [{sku, warehouse, on_hand}], orderpoints: [{sku, warehouse, min, max}],
    /// suppliers: [{sku, name, lead_days, price, min_qty}]}`, the JSON that the replayed Odoo starts with.
    pub async fn furnish(&self, scene: &Value) -> Result<()> {
        for key in scene.as_object().into_iter().flat_map(|scene| scene.keys()) {
            let known = ["currency", "warehouses", "products", "stock", "orderpoints", "suppliers"];
            ensure!(known.contains(&key.as_str()), "a real Odoo cannot be furnished with {key}");
        }
        if let Some(currency) = scene["currency"].as_str() {
            self.use_currency(currency).await?;
        }
        for seed in list(&scene["warehouses"]) {
            self.warehouse(seed).await?;
        }
        let mut products = BTreeMap::new();
        for seed in list(&scene["products"]) {
            products.insert(seed["sku"].to_string(), self.product(seed).await?);
        }
        let product = |seed: &Value| products.get(&seed["sku"].to_string()).copied();
        for seed in list(&scene["stock"]) {
            self.count_at(json!(product(seed)), self.shelves(&seed["warehouse"]).await?, &seed["on_hand"]).await?;
        }
        for seed in list(&scene["orderpoints"]) {
            // Odoo's own replenishment stays out of the way.
            let rule = json!({"product_id": product(seed), "location_id": self.shelves(&seed["warehouse"]).await?,
                "product_min_qty": seed["min"], "product_max_qty": seed["max"], "trigger": "manual"});
            self.create(OdooUser::Admin, "stock.warehouse.orderpoint", rule).await?;
        }
        for seed in list(&scene["suppliers"]) {
            self.supplier(seed, product(seed)).await?;
        }
        Ok(())
    }

    /// Somebody counts that much of a product on the shelves of a warehouse, and applies the count.
    pub async fn count(&self, sku: &str, warehouse: &str, on_hand: f64) -> Result<()> {
        let product = self.id_of("product.product", json!([["default_code", "=", sku]])).await?;
        self.count_at(json!(product), self.shelves(&json!(warehouse)).await?, &json!(on_hand)).await
    }

    /// As in the list of a physical inventory: the row of what lies there is edited, or a new one is added.
    async fn count_at(&self, product: Value, place: i64, on_hand: &Value) -> Result<()> {
        let counting = json!({"inventory_mode": true});
        let here = json!([["product_id", "=", product], ["location_id", "=", place]]);
        let known = self.search_read("stock.quant", here, &["id"]).await?;
        let quants = if known.is_empty() {
            let count = json!({"product_id": product, "location_id": place, "inventory_quantity": on_hand});
            let added = json!({"vals_list": [count], "context": counting});
            self.call(OdooUser::Clerk, "stock.quant", "create", added).await?
        } else {
            let ids: Value = known.iter().map(|quant| quant["id"].clone()).collect();
            let edited = json!({"ids": ids, "vals": {"inventory_quantity": on_hand}, "context": counting});
            self.call(OdooUser::Clerk, "stock.quant", "write", edited).await?;
            ids
        };
        let apply = json!({"ids": quants, "context": counting});
        self.call(OdooUser::Clerk, "stock.quant", "action_apply_inventory", apply).await.map(drop)
    }

    /// Where a warehouse keeps its stock.
    async fn shelves(&self, warehouse: &Value) -> Result<i64> {
        let found = self.search_read("stock.warehouse", json!([["code", "=", warehouse]]), &["lot_stock_id"]).await?;
        ensure!(found.len() == 1, "{} warehouses are called {warehouse}", found.len());
        self.id_of("stock.location", json!([["id", "=", found[0]["lot_stock_id"][0]]])).await
    }

    async fn use_currency(&self, code: &str) -> Result<()> {
        let currency = self.id_of("res.currency", json!([["name", "=", code]])).await?;
        self.write(OdooUser::Admin, "res.currency", currency, json!({"active": true})).await?;
        let company = self.id_of("res.company", json!([])).await?;
        self.write(OdooUser::Admin, "res.company", company, json!({"currency_id": currency})).await
    }

    /// One of that code may be there from the beginning.
    async fn warehouse(&self, seed: &Value) -> Result<()> {
        let known = self.search_read("stock.warehouse", json!([["code", "=", seed["code"]]]), &["id"]).await?;
        if known.is_empty() {
            let values = json!({"code": seed["code"], "name": seed["name"]});
            self.create(OdooUser::Admin, "stock.warehouse", values).await?;
        }
        Ok(())
    }

    async fn product(&self, seed: &Value) -> Result<i64> {
        let mut values = json!({"default_code": seed["sku"], "name": seed["name"], "type": "consu", "is_storable": true,
            "standard_price": seed["cost"], "list_price": seed["price"]});
        if let Some(category) = seed["category"].as_str() {
            values["categ_id"] = json!(self.named("product.category", category).await?);
        }
        self.create(OdooUser::Admin, "product.product", values).await
    }

    async fn supplier(&self, seed: &Value, product: Option<i64>) -> Result<()> {
        let partner = self.named("res.partner", seed["name"].as_str().unwrap_or_default()).await?;
        let template = self.search_read("product.product", json!([["id", "=", product]]), &["product_tmpl_id"]).await?;
        let values = json!({"partner_id": partner, "product_tmpl_id": template[0]["product_tmpl_id"][0],
            "delay": seed["lead_days"], "price": seed["price"], "min_qty": seed["min_qty"]});
        self.create(OdooUser::Admin, "product.supplierinfo", values).await.map(drop)
    }

    async fn named(&self, model: &str, name: &str) -> Result<i64> {
        let known = self.search_read(model, json!([["name", "=", name]]), &["id"]).await?;
        match known.first().and_then(|row| row["id"].as_i64()) {
            Some(id) => Ok(id),
            None => self.create(OdooUser::Admin, model, json!({"name": name})).await,
        }
    }
}

fn list(seeds: &Value) -> impl Iterator<Item = &Value> {
    seeds.as_array().into_iter().flatten()
}
