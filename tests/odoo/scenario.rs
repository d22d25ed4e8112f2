//! From a count in Odoo to a draft in Odoo.

use anyhow::{Result, ensure};
use serde_json::json;
use steward_e2e::bed::{SOON, Who};
use testkit::poll;

use crate::ground::case;

#[test]
fn a_count_in_odoo_becomes_an_approved_draft_in_odoo() -> Result<()> {
    case(async |bed| {
        bed.stock_falls_to("HAPPY", 10.0).await?;
        let link = bed.link_to(Who::Olga, "HAPPY").await?;
        ensure!(bed.transfers("HAPPY").await?.is_empty(), "drafted before anybody had decided");
        ensure!(bed.press(&link, "approve", "Go ahead").await? == 303, "the button does not work");
        let approval = bed.approval_becomes("HAPPY", "approved").await?;

        let transfer = bed.transfer("HAPPY").await?;
        let odoo = &bed.odoo.server()?.api;
        let fields = ["state", "location_id", "location_dest_id", "picking_type_id", "create_uid", "move_ids"];
        let read_back = odoo.search_read("stock.picking", json!([["id", "=", transfer["id"]]]), &fields).await?;
        let shows = |field: &str, part: &str| read_back[0][field][1].as_str().is_some_and(|name| name.contains(part));
        ensure!(read_back[0]["state"] == "draft", "it is {}", read_back[0]);
        ensure!(shows("location_id", "S1/Stock") && shows("location_dest_id", "N1/Stock"), "it moves {}", read_back[0]);
        ensure!(shows("picking_type_id", "Internal Transfers"), "it is an operation of {}", read_back[0]);
        ensure!(shows("create_uid", "Steward"), "drafted by {}", read_back[0]["create_uid"]);
        let lines = transfer["moves"].as_array().map_or(0, Vec::len);
        let quantity = &transfer["moves"][0]["product_uom_qty"];
        ensure!(lines == 1 && *quantity == approval["action"]["quantity"], "drafted {transfer}");

        let told = bed.mail("warehouse-south@shop.example", "HAPPY").await?;
        ensure!(told.subject.contains(transfer["name"].as_str().unwrap_or("?")), "the warehouse: {}", told.subject);
        let case = bed.case_of("HAPPY").await?;
        let settled = async || {
            let trail = bed.trail(&case).await?;
            ensure!(trail.count("supply", "hint.taken") > 0, "Odoo did not tell: {:#?}", trail.0);
            for (service, verb) in [
                ("supply", "stock.changed"),
                ("supply", "stock.ran_low"),
                ("scoring", "recommendation.made"),
                ("approvals", "approval.requested"),
                ("approvals", "grant.issued"),
                ("supply", "grant.consumed"),
                ("supply", "transfer.drafted"),
            ] {
                ensure!(trail.count(service, verb) == 1, "{service} {verb}: {:#?}", trail.0);
            }
            Ok(())
        };
        poll(SOON, "every step is written down once", settled).await
    })
}
