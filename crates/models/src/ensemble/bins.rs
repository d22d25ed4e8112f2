//! Columns as bins: at most 254 ranges of values and one for missing ones, so that a histogram holds a column.

/// Bins of a histogram.
pub(super) const BINS: usize = 256;
/// The bin of missing values (NaN).
pub(super) const MISSING: u8 = u8::MAX;
/// Most cuts between ranges.
const CUTS: usize = 253;

/// A table, column by column, in bins.
pub(super) struct Binned {
    pub(super) columns: Vec<Vec<u8>>,
    /// Upper ends of the ranges, increasing, the last range open: value `v` is in the first bin whose cut is >= `v`.
    pub(super) cuts: Vec<Vec<f64>>,
}

impl Binned {
    pub(super) fn of<R: AsRef<[f64]>>(rows: &[R], width: usize) -> Self {
        let mut values = Vec::with_capacity(rows.len());
        let (mut columns, mut cuts) = (Vec::with_capacity(width), Vec::with_capacity(width));
        for feature in 0..width {
            values.clear();
            values.extend(rows.iter().map(|row| row.as_ref()[feature]).filter(|value| !value.is_nan()));
            values.sort_unstable_by(f64::total_cmp);
            let ends = ends(&values);
            columns.push(rows.iter().map(|row| bin(&ends, row.as_ref()[feature])).collect());
            cuts.push(ends);
        }
        Self { columns, cuts }
    }
}

fn bin(cuts: &[f64], value: f64) -> u8 {
    // There are fewer cuts than fit a u8.
    if value.is_nan() { MISSING } else { cuts.partition_point(|cut| *cut < value) as u8 }
}

/// Cuts that give ranges about equally many values, equal ones never apart.
fn ends(sorted: &[f64]) -> Vec<f64> {
    let distinct: Vec<&[f64]> = sorted.chunk_by(|a, b| a == b).collect();
    let mut cuts = Vec::new();
    let (mut left, mut in_range) = (sorted.len(), 0);
    for (at, pair) in distinct.windows(2).enumerate() {
        in_range += pair[0].len();
        // One cut for each value when there are few; else a range is full at its share of what is left.
        let room = CUTS - cuts.len();
        if room > 0 && (distinct.len() - at <= room || in_range * (room + 1) >= left) {
            cuts.push(shortest(pair[0][0], pair[1][0]));
            left -= in_range;
            in_range = 0;
        }
    }
    cuts
}

/// The number with the fewest digits that is >= `low` and < `high`: what a reader of the file can take in.
fn shortest(low: f64, high: f64) -> f64 {
    let middle = f64::midpoint(low, high);
    let rounded = (0..17).filter_map(|digits| format!("{middle:.digits$e}").parse::<f64>().ok());
    rounded.into_iter().find(|cut| low <= *cut && *cut < high).unwrap_or(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_get_a_range_each_and_cuts_are_short() {
        let binned = Binned::of(&[[3.0], [f64::NAN], [1.0], [100.0], [3.0]], 1);
        assert_eq!(binned.cuts[0], [2.0, 50.0]);
        assert_eq!(binned.columns[0], [1, MISSING, 0, 2, 1]);
    }

    #[test]
    fn many_values_share_the_ranges_about_equally() {
        let rows: Vec<[f64; 1]> = (0..10_000).map(|i| [f64::from(i).sqrt()]).collect();
        let binned = Binned::of(&rows, 1);
        let mut sizes = [0; BINS];
        binned.columns[0].iter().for_each(|bin| sizes[usize::from(*bin)] += 1);
        assert_eq!(binned.cuts[0].len(), CUTS);
        assert!(sizes[..=CUTS].iter().all(|size| (30..60).contains(size)), "{sizes:?}");
    }

    #[test]
    fn a_value_falls_on_the_same_side_of_a_cut_in_bins_and_as_a_number() {
        let cut = shortest(0.1 + 0.2, 0.3 + 1e-15);
        assert!((0.1 + 0.2..0.3 + 1e-15).contains(&cut));
    }
}
