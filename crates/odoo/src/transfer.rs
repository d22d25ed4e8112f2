//! Draft transfers: look up, draft once, read back.
//!
//! The three are separate verbs because only the caller knows what it means when they disagree. The safe order is
//! [`Client::find_transfer`]; if there is none, [`Client::draft_transfer`]; then compare what came back. Drafting over a transfer that a
//! person has edited since would undo that person's work.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    Client, Domain, Error, LoadRows, Record, Ref,
    stock::Move,
    value::{datetime, falsy},
};

const PICKING: &str = "stock.picking";
const MOVE: &str = "stock.move";

/// A transfer as it stands in Odoo.
#[derive(Clone, Debug, PartialEq)]
pub struct Picking {
    pub id: i64,
    /// `WH/INT/00007`.
    pub name: String,
    /// `draft`, `waiting`, `confirmed`, `assigned`, `done`, `cancel`.
    pub state: String,
    pub origin: Option<String>,
    pub picking_type: Option<Ref>,
    pub source: Ref,
    pub destination: Ref,
    pub write_date: Timestamp,
    pub moves: Vec<Move>,
}

#[derive(Deserialize)]
struct PickingRow {
    id: i64,
    #[serde(deserialize_with = "falsy")]
    name: Option<String>,
    state: String,
    #[serde(deserialize_with = "falsy")]
    origin: Option<String>,
    #[serde(deserialize_with = "falsy")]
    picking_type_id: Option<Ref>,
    location_id: Ref,
    location_dest_id: Ref,
    #[serde(deserialize_with = "datetime")]
    write_date: Timestamp,
}

impl Record for PickingRow {
    const MODEL: &'static str = PICKING;
    const FIELDS: &'static [&'static str] =
        &["id", "name", "state", "origin", "picking_type_id", "location_id", "location_dest_id", "write_date"];
}

#[derive(Deserialize)]
struct WarehouseRow {
    /// A warehouse has more operation types of the code `internal`: pick, pack, store, cross-dock.
    #[serde(deserialize_with = "falsy")]
    int_type_id: Option<Ref>,
}

impl Record for WarehouseRow {
    const MODEL: &'static str = "stock.warehouse";
    const FIELDS: &'static [&'static str] = &["id", "int_type_id"];
}

#[derive(Deserialize)]
struct PickingType {
    id: i64,
}

impl Record for PickingType {
    const MODEL: &'static str = "stock.picking.type";
    const FIELDS: &'static [&'static str] = &["id"];
}

/// `module.name`: what makes a repeated draft the same draft. Odoo would cut the text at its first dot, so there is
/// exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExternalId(String);

impl ExternalId {
    /// # Errors
    /// [`Error::Config`] unless it is two parts of letters, digits, `_` and `-`, joined by one dot.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        };
        match text.split_once('.') {
            Some((module, name)) if part(module) && part(name) => Ok(Self(text.to_owned())),
            _ => Err(Error::Config(format!("{text:?} is no external id: module.name of letters, digits, _ and -"))),
        }
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A transfer to be drafted.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTransfer {
    pub external_id: ExternalId,
    /// Shown in Odoo as the source document, and how the transfer is found again.
    pub origin: String,
    pub picking_type_id: i64,
    pub location_id: i64,
    pub location_dest_id: i64,
    /// At least one.
    pub lines: Vec<NewLine>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NewLine {
    pub product_id: i64,
    /// In the unit `uom_id`.
    pub quantity: f64,
    pub uom_id: i64,
}

impl Client {
    /// The transfer with this origin; the oldest, since a copy made by hand keeps the origin. Cancelled ones count.
    ///
    /// # Errors
    /// As [`Client::find`].
    pub async fn find_transfer(&self, origin: &str) -> Result<Option<Picking>, Error> {
        let mut rows = self.find::<PickingRow>(&Domain::all().and("origin", "=", origin)).await?;
        if rows.is_empty() { Ok(None) } else { self.with_moves(rows.swap_remove(0)).await.map(Some) }
    }

    /// The transfer with this id; `None` when it is gone.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn read_transfer(&self, id: i64) -> Result<Option<Picking>, Error> {
        match self.get::<PickingRow>(&[id]).await?.pop() {
            Some(row) => self.with_moves(row).await.map(Some),
            None => Ok(None),
        }
    }

    /// Drafts a transfer through `load`, so that repeating it with the same external id gives the same record, and
    /// reads it back.
    ///
    /// # Errors
    /// As [`Client::load`]; [`Error::Schema`] before anything is written when this Odoo lacks a field that is needed.
    pub async fn draft_transfer(&self, new: &NewTransfer) -> Result<Picking, Error> {
        if new.lines.is_empty() {
            return Err(Error::Config("a transfer needs at least one line".into()));
        }
        self.fields_get(PICKING).await?.require(PICKING, &["move_ids"])?;
        let moves = self.fields_get(MOVE).await?;
        moves.require(MOVE, Move::FIELDS)?;
        // 17 and 18 demand a label on every line, 19 has dropped the field.
        let labelled = moves.field("name").is_some_and(|name| name.required);
        let id = self.load(PICKING, &new.table(labelled)).await?.first().copied();
        let id = id.ok_or_else(|| Error::unexpected("stock.picking/load", "no id"))?;
        let back = self.read_transfer(id).await?;
        back.ok_or_else(|| Error::unexpected("stock.picking/load", "the transfer is not there on reading back"))
    }

    /// The operation type for transfers inside the company that start at this warehouse. `None` while Odoo's storage
    /// locations are switched off (one warehouse only): the type exists then, but is archived.
    ///
    /// # Errors
    /// As [`Client::find`].
    pub async fn internal_picking_type(&self, warehouse_id: i64) -> Result<Option<i64>, Error> {
        let warehouse = self.get::<WarehouseRow>(&[warehouse_id]).await?.pop();
        let Some(kind) = warehouse.and_then(|warehouse| warehouse.int_type_id) else { return Ok(None) };
        // A search leaves out what is archived, reading by id would not.
        let found = self.find::<PickingType>(&Domain::all().and("id", "=", kind.id)).await?;
        Ok(found.first().map(|kind| kind.id))
    }

    async fn with_moves(&self, row: PickingRow) -> Result<Picking, Error> {
        let moves = self.find(&Domain::all().and("picking_id", "=", row.id)).await?;
        Ok(Picking {
            id: row.id,
            name: row.name.unwrap_or_default(),
            state: row.state,
            origin: row.origin,
            picking_type: row.picking_type_id,
            source: row.location_id,
            destination: row.location_dest_id,
            write_date: row.write_date,
            moves,
        })
    }
}

impl NewTransfer {
    /// Columns of the picking, then of its lines; rows after the first leave the picking's columns empty. Lines have
    /// external ids too, or a repeat would add lines instead of finding them.
    fn table(&self, labelled: bool) -> LoadRows {
        let mut fields = vec![
            "id",
            "origin",
            "picking_type_id/.id",
            "location_id/.id",
            "location_dest_id/.id",
            "move_ids/id",
            "move_ids/product_id/.id",
            "move_ids/product_uom_qty",
            "move_ids/product_uom/.id",
            "move_ids/location_id/.id",
            "move_ids/location_dest_id/.id",
            "move_ids/origin",
        ];
        if labelled {
            fields.push("move_ids/name");
        }
        let (source, destination) = (self.location_id.to_string(), self.location_dest_id.to_string());
        let head = [
            self.external_id.to_string(),
            self.origin.clone(),
            self.picking_type_id.to_string(),
            source.clone(),
            destination.clone(),
        ];
        let rows = self.lines.iter().enumerate().map(|(i, line)| {
            let mut row = if i == 0 { head.to_vec() } else { vec![String::new(); head.len()] };
            row.extend([
                format!("{}_line_{}", self.external_id, i + 1),
                line.product_id.to_string(),
                line.quantity.to_string(),
                line.uom_id.to_string(),
                source.clone(),
                destination.clone(),
                self.origin.clone(),
            ]);
            if labelled {
                row.push(self.origin.clone());
            }
            row
        });
        LoadRows { fields: fields.into_iter().map(str::to_owned).collect(), rows: rows.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_lines() -> NewTransfer {
        NewTransfer {
            external_id: ExternalId::parse("steward.transfer_7").unwrap(),
            origin: "steward:7".into(),
            picking_type_id: 7,
            location_id: 5,
            location_dest_id: 14,
            lines: vec![
                NewLine { product_id: 1, quantity: 24.0, uom_id: 1 },
                NewLine { product_id: 2, quantity: 1.5, uom_id: 1 },
            ],
        }
    }

    #[test]
    fn later_rows_belong_to_the_first_and_every_line_has_its_own_external_id() {
        let table = two_lines().table(false);
        assert_eq!(
            table.rows[0][..7],
            ["steward.transfer_7", "steward:7", "7", "5", "14", "steward.transfer_7_line_1", "1"]
        );
        assert_eq!(table.rows[1][..8], ["", "", "", "", "", "steward.transfer_7_line_2", "2", "1.5"]);
        assert!(table.rows.iter().all(|row| row.len() == table.fields.len()));
    }

    #[test]
    fn lines_are_labelled_only_where_odoo_demands_it() {
        assert!(!two_lines().table(false).fields.contains(&"move_ids/name".to_owned()));
        let table = two_lines().table(true);
        assert_eq!(table.fields.last().unwrap(), "move_ids/name");
        assert!(table.rows.iter().all(|row| row.len() == table.fields.len()));
    }

    #[test]
    fn an_external_id_has_exactly_one_dot() {
        for bad in ["steward", "a.b.c", ".x", "x.", "steward.a b", ""] {
            assert!(ExternalId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
