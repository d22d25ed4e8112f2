//! The models and fields of Odoo 19 that the replay knows, with their real types and duties; only in `mail.*` all
//! texts are `char` and all links by number are `integer`.

/// Odoo's field types, as far as they matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Char,
    Integer,
    Float,
    Boolean,
    Datetime,
    Date,
    Selection(&'static [&'static str]),
    Many2one(&'static str),
    /// The other model and its field that points back.
    One2many(&'static str, &'static str),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
}

const fn may(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, required: false }
}

const fn must(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, required: true }
}

use Kind::{Boolean, Char, Date, Datetime, Float, Integer, Many2one, One2many, Selection};

const PICKING_STATES: Kind = Selection(&["draft", "waiting", "confirmed", "assigned", "done", "cancel"]);
const MOVE_STATES: Kind =
    Selection(&["draft", "waiting", "confirmed", "partially_available", "assigned", "done", "cancel"]);
const USAGES: Kind = Selection(&["supplier", "view", "internal", "customer", "inventory", "production", "transit"]);

/// Every model has these besides its own.
const COMMON: &[Column] = &[
    may("id", Integer),
    may("display_name", Char),
    may("write_date", Datetime),
    may("write_uid", Many2one("res.users")),
];

const MODELS: &[(&str, &[Column])] = &[
    ("res.currency", &[must("name", Char)]),
    ("res.company", &[must("name", Char), must("currency_id", Many2one("res.currency"))]),
    ("res.partner", &[may("name", Char)]),
    ("res.users", &[must("login", Char), may("email", Char)]),
    ("uom.uom", &[must("name", Char)]),
    ("product.category", &[must("name", Char)]),
    ("product.template", &[must("name", Char)]),
    (
        "product.product",
        &[
            may("default_code", Char),
            must("name", Char),
            may("categ_id", Many2one("product.category")),
            may("standard_price", Float),
            may("list_price", Float),
            must("product_tmpl_id", Many2one("product.template")),
            must("uom_id", Many2one("uom.uom")),
        ],
    ),
    (
        "product.supplierinfo",
        &[
            must("partner_id", Many2one("res.partner")),
            must("product_tmpl_id", Many2one("product.template")),
            may("product_id", Many2one("product.product")),
            must("delay", Integer),
            may("price", Float),
            must("min_qty", Float),
            must("currency_id", Many2one("res.currency")),
            may("sequence", Integer),
            may("date_start", Date),
            may("date_end", Date),
        ],
    ),
    (
        "stock.warehouse",
        &[
            must("code", Char),
            must("name", Char),
            must("lot_stock_id", Many2one("stock.location")),
            may("int_type_id", Many2one("stock.picking.type")),
        ],
    ),
    (
        "stock.location",
        &[
            may("complete_name", Char),
            must("usage", USAGES),
            may("warehouse_id", Many2one("stock.warehouse")),
            may("parent_path", Char),
        ],
    ),
    (
        "stock.picking.type",
        &[
            must("name", Char),
            must("code", Selection(&["incoming", "outgoing", "internal"])),
            may("warehouse_id", Many2one("stock.warehouse")),
        ],
    ),
    (
        "stock.warehouse.orderpoint",
        &[
            must("product_id", Many2one("product.product")),
            must("location_id", Many2one("stock.location")),
            must("product_min_qty", Float),
            must("product_max_qty", Float),
        ],
    ),
    (
        "stock.quant",
        &[
            must("product_id", Many2one("product.product")),
            must("location_id", Many2one("stock.location")),
            may("quantity", Float),
            must("reserved_quantity", Float),
        ],
    ),
    (
        "stock.picking",
        &[
            may("name", Char),
            may("state", PICKING_STATES),
            may("origin", Char),
            must("picking_type_id", Many2one("stock.picking.type")),
            must("location_id", Many2one("stock.location")),
            must("location_dest_id", Many2one("stock.location")),
            may("move_ids", One2many("stock.move", "picking_id")),
        ],
    ),
    (
        "stock.move",
        &[
            must("product_id", Many2one("product.product")),
            must("product_uom_qty", Float),
            must("product_uom", Many2one("uom.uom")),
            may("product_qty", Float),
            may("state", MOVE_STATES),
            must("date", Datetime),
            may("date_deadline", Datetime),
            may("origin", Char),
            must("location_id", Many2one("stock.location")),
            must("location_dest_id", Many2one("stock.location")),
            may("picking_id", Many2one("stock.picking")),
        ],
    ),
    ("mail.message", &[may("model", Char), may("res_id", Integer), may("body", Char), may("message_type", Char)]),
    (
        "mail.activity",
        &[
            may("res_model", Char),
            may("res_id", Integer),
            may("summary", Char),
            may("note", Char),
            must("date_deadline", Date),
            may("user_id", Many2one("res.users")),
            may("active", Boolean),
            may("feedback", Char),
        ],
    ),
];

/// The model under its static name, with its own fields.
pub(super) fn model(name: &str) -> Option<(&'static str, &'static [Column])> {
    MODELS.iter().copied().find(|(known, _)| *known == name)
}

pub(super) fn columns(model_name: &str) -> impl Iterator<Item = &'static Column> {
    COMMON.iter().chain(model(model_name).map_or(&[][..], |(_, columns)| columns))
}

pub(super) fn column(model_name: &str, field: &str) -> Option<&'static Column> {
    columns(model_name).find(|column| column.name == field)
}

impl Kind {
    /// As `fields_get` names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Char => "char",
            Integer => "integer",
            Float => "float",
            Boolean => "boolean",
            Datetime => "datetime",
            Date => "date",
            Selection(_) => "selection",
            Many2one(_) => "many2one",
            One2many(..) => "one2many",
        }
    }
}
