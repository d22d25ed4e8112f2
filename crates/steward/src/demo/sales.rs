//! The bundled sales: real, and the only real thing in the demo. `data/README.md` says where they come from.

use std::io::Read;

use anyhow::Context;
use flate2::read::GzDecoder;
use jiff::{Span, civil::Date};
use serde::{Deserialize, Serialize};

const BUNDLED: &[u8] = include_bytes!("../../data/week.ndjson.gz");
/// Days at the end that are played one by one; those before them are loaded as history.
const PLAYED_DAYS: usize = 7;

/// The data's name, owner, licence and paper, as the licence asks to be shown.
pub(super) const SOURCE: &str = "FreshRetailNet-50K, Dingdong-Inc, CC BY 4.0 (arXiv:2505.16319)";

/// One line, in the words of `POST /supply/v1/observations`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sold {
    kind: String,
    pub product: String,
    pub location: String,
    pub day: Date,
    pub units: f64,
    #[serde(default)]
    out_of_stock: f64,
    #[serde(default)]
    promotion: bool,
}

/// All that was sold on one day.
#[derive(Clone, Debug)]
pub(super) struct Day {
    pub date: Date,
    pub sold: Vec<Sold>,
}

/// The sales by day, moved so that they end with the day given.
#[derive(Clone, Debug)]
pub(super) struct Sales {
    pub history: Vec<Day>,
    pub played: Vec<Day>,
}

impl Sales {
    /// Reads the bundled lines and moves all days by the same number, so that the last one is `last`: the models
    /// refuse a history that ended weeks ago, and the order of days is what they learn from.
    pub(super) fn bundled(last: Date) -> anyhow::Result<Self> {
        let mut text = String::new();
        GzDecoder::new(BUNDLED).read_to_string(&mut text).context("the bundled sales cannot be unpacked")?;
        let lines: Result<Vec<Sold>, _> = text.lines().map(serde_json::from_str).collect();
        let mut lines = lines.context("a line of the bundled sales cannot be read")?;
        let end = lines.iter().map(|sold| sold.day).max().context("the bundled sales are empty")?;
        let shift: Span = end.until(last)?;
        for sold in &mut lines {
            sold.day = sold.day.checked_add(shift)?;
        }
        lines.sort_by_key(|sold| sold.day);
        let mut history: Vec<Day> = Vec::new();
        for sold in lines {
            match history.last_mut().filter(|day| day.date == sold.day) {
                Some(day) => day.sold.push(sold),
                None => history.push(Day { date: sold.day, sold: vec![sold] }),
            }
        }
        let played = history.split_off(history.len().saturating_sub(PLAYED_DAYS));
        Ok(Self { history, played })
    }

    /// Lines in all.
    pub(super) fn lines(&self) -> usize {
        self.history.iter().chain(&self.played).map(|day| day.sold.len()).sum()
    }

    /// Mean units sold a day over the history, by product and location.
    pub(super) fn daily_means(&self) -> std::collections::BTreeMap<(String, String), f64> {
        let mut means = std::collections::BTreeMap::new();
        #[expect(clippy::cast_precision_loss, reason = "a few dozen days")]
        let days = self.history.len().max(1) as f64;
        for sold in self.history.iter().flat_map(|day| &day.sold) {
            *means.entry((sold.product.clone(), sold.location.clone())).or_insert(0.0) += sold.units / days;
        }
        means
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_weeks_are_history_and_a_week_is_played_up_to_the_day_asked_for() {
        let last: Date = "2026-11-22".parse().unwrap();
        let sales = Sales::bundled(last).unwrap();
        assert_eq!((sales.history.len(), sales.played.len()), (28, 7));
        assert_eq!(sales.played.last().unwrap().date, last);
        assert_eq!(sales.history[0].date, "2026-10-19".parse().unwrap(), "no day is lost or doubled");
        assert!(sales.history.iter().chain(&sales.played).all(|day| day.sold.len() == 56), "56 shelves every day");
        assert!(sales.daily_means().values().all(|mean| *mean > 0.0));
    }
}
