//! Stock levels: when a sight of one counts, when it is a change, when it is a fall.

use contracts::{Digest, LocationId, ProductId};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// A stock level as somebody saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sight {
    pub product: ProductId,
    pub location: LocationId,
    pub on_hand: f64,
    pub reserved: f64,
    pub observed_at: Timestamp,
    /// Who saw it: `odoo`, `pos`, ...
    pub system: String,
}

/// The level as it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Known {
    pub on_hand: f64,
    pub reserved: f64,
    pub observed_at: Timestamp,
    /// Its fall has been told and it has not risen since.
    pub told_low: bool,
}

/// What a sight means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// It is not older than what is known, so it is kept.
    pub counts: bool,
    pub changed: bool,
    /// It is the fall itself, so it is told.
    pub fell: bool,
    /// What to keep as [`Known::told_low`].
    pub told_low: bool,
}

/// Judges a sight against what is known. A fall is told once and may be told again after the level was above the
/// reorder point in between; without a reorder point nothing is ever low.
pub(crate) fn judge(
    known: Option<&Known>,
    on_hand: f64,
    reserved: f64,
    at: Timestamp,
    reorder_point: Option<f64>,
) -> Verdict {
    let told_before = known.is_some_and(|known| known.told_low);
    if known.is_some_and(|known| known.observed_at > at) {
        return Verdict { counts: false, changed: false, fell: false, told_low: told_before };
    }
    let changed = known.is_none_or(|known| known.on_hand != on_hand || known.reserved != reserved);
    let low = reorder_point.is_some_and(|point| (on_hand - reserved).max(0.0) <= point);
    Verdict { counts: true, changed, fell: low && !told_before, told_low: low }
}

/// An id made of what it names (RFC 9562, version 8): the same event always has the same id, so whoever reads the same
/// state twice says it once.
pub(crate) fn name_id(kind: &str, name: &impl Serialize) -> Result<Uuid, serde_json::Error> {
    let digest = Digest::of(&(kind, name))?;
    let mut bytes = [0; 16];
    let hexadecimal = digest.as_str().trim_start_matches("sha256:").as_bytes();
    for (byte, pair) in bytes.iter_mut().zip(hexadecimal.chunks(2)) {
        *byte = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or_default();
    }
    Ok(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn known(on_hand: f64, told_low: bool) -> Known {
        Known { on_hand, reserved: 0.0, observed_at: at(100), told_low }
    }

    #[test]
    fn a_fall_is_told_once_and_again_after_a_rise() {
        let fell = judge(Some(&known(20.0, false)), 10.0, 0.0, at(101), Some(10.0));
        assert!(fell.fell && fell.told_low);
        let deeper = judge(Some(&known(10.0, true)), 4.0, 0.0, at(102), Some(10.0));
        assert!(deeper.changed && !deeper.fell && deeper.told_low);
        let risen = judge(Some(&known(4.0, true)), 11.0, 0.0, at(103), Some(10.0));
        assert!(!risen.fell && !risen.told_low);
        assert!(judge(Some(&known(11.0, false)), 12.0, 3.0, at(104), Some(10.0)).fell, "reserved units are not there");
    }

    #[test]
    fn an_older_sight_changes_nothing() {
        let late = judge(Some(&known(20.0, false)), 1.0, 0.0, at(99), Some(10.0));
        assert!(!late.counts && !late.changed && !late.fell);
    }

    #[test]
    fn without_a_reorder_point_nothing_is_low() {
        assert!(!judge(None, 0.0, 0.0, at(1), None).fell);
    }

    #[test]
    fn an_id_is_of_what_it_names() {
        let id = name_id("a", &(1, "x")).unwrap();
        assert_eq!(id, name_id("a", &(1, "x")).unwrap());
        assert_ne!(id, name_id("b", &(1, "x")).unwrap());
        assert_ne!(id, name_id("a", &(2, "x")).unwrap());
        assert_eq!(id.get_version_num(), 8);
    }
}
