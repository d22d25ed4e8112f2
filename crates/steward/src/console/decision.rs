//! `/decisions/{id}`: one request, with what it rests on and the buttons.

use actix_web::{HttpResponse, get, http::StatusCode, web};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    fleet::Fleet,
    pages::{Refused, page},
    visitor::Visitor,
};

/// Half the width of the drawing of a contribution: the axis is in the middle.
const HALF: f64 = 100.0;

/// A contribution as a bar from the axis, right when it raises the score.
#[derive(Serialize)]
struct Bar {
    name: String,
    points: String,
    raises: bool,
    x: String,
    width: String,
}

#[get("/decisions/{id}")]
pub(super) async fn look(
    fleet: web::Data<Fleet>,
    visitor: Visitor,
    id: web::Path<String>,
) -> Result<HttpResponse, Refused> {
    let approval = fleet.get(&visitor, &format!("/approvals/v1/approvals/{}", segment(&id)), &[]).await?;
    let case = case_of(&fleet, &visitor, &id).await;
    let values = json!({
        "visitor": visitor.actor,
        "csrf": visitor.form_token,
        "bars": bars(&approval["score"]["contributions"]),
        "approval": approval,
        "case": case,
    });
    Ok(page(StatusCode::OK, "decision.html", &values))
}

/// The thread the request belongs to, from its first audit entry; `None` also when the visitor may not read those.
async fn case_of(fleet: &Fleet, visitor: &Visitor, id: &str) -> Option<String> {
    let subject = format!("approval:{id}");
    let first = fleet.list(visitor, "/approvals/v1/audit", &[("subject", &subject), ("limit", "1")]).await.ok()?;
    first.first()?["correlation_id"].as_str().map(str::to_owned)
}

fn bars(contributions: &Value) -> Vec<Bar> {
    let parts: Vec<(&str, f64)> = contributions
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|part| Some((part["name"].as_str()?, part["micros"].as_f64()?)))
        .collect();
    let most = parts.iter().map(|(_, micros)| micros.abs()).fold(1.0, f64::max);
    let bar = |(name, micros): (&str, f64)| {
        let width = micros.abs() / most * HALF;
        Bar {
            name: name.replace('_', " "),
            points: format!("{:+.1}", micros / 10_000.0),
            raises: micros >= 0.0,
            x: format!("{:.1}", if micros >= 0.0 { HALF } else { HALF - width }),
            width: format!("{width:.1}"),
        }
    };
    parts.into_iter().map(bar).collect()
}

/// An identifier from the address as one segment of a path: it must not lead anywhere else.
pub(super) fn segment(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    id.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_identifier_stays_one_segment() {
        assert_eq!(segment("0192-ab"), "0192-ab");
        assert_eq!(segment("../a?b=c d"), "..%2Fa%3Fb%3Dc%20d");
    }

    #[test]
    fn the_largest_contribution_fills_its_side() {
        let bars = bars(&json!([{"name": "lead_time", "micros": 500_000}, {"name": "stock", "micros": -250_000}]));
        assert_eq!((&*bars[0].x, &*bars[0].width, &*bars[0].points), ("100.0", "100.0", "+50.0"));
        assert_eq!((&*bars[1].x, &*bars[1].width, bars[1].raises), ("50.0", "50.0", false));
    }
}
