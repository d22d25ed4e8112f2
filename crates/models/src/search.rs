//! Search for the smallest value of a function of a few constants.

/// Share of its first step below which a coordinate counts as found.
const FINE: f64 = 1e-4;

/// Moves one coordinate at a time by its step, keeps what is better, tries again along what helped, and halves the
/// steps after a round in which nothing did (Hooke and Jeeves 1961, "Direct search", without the pattern move).
///
/// Deterministic and without derivatives: fitted constants go through ranks, clamps and integer demand, which have
/// none. `progress` hears the share of the rounds done.
pub(crate) fn pattern_search(
    mut point: Vec<f64>,
    ranges: &[(f64, f64)],
    first_steps: &[f64],
    rounds: usize,
    value: impl Fn(&[f64]) -> f64,
    progress: &mut dyn FnMut(f64),
) -> Vec<f64> {
    let mut steps = first_steps.to_vec();
    let mut best = value(&point);
    for round in 0..rounds {
        for i in 0..point.len() {
            let start = point[i];
            for step in [steps[i], -steps[i]] {
                let trial = (start + step).clamp(ranges[i].0, ranges[i].1);
                let kept = std::mem::replace(&mut point[i], trial);
                let found = value(&point);
                if found < best {
                    best = found;
                    // What helped is tried further in the next round, in the same direction first.
                    steps[i] = step * 1.2;
                    break;
                }
                point[i] = kept;
            }
            if point[i] == start {
                steps[i] *= 0.5;
            }
        }
        progress((round + 1) as f64 / rounds as f64);
        let fine = steps.iter().zip(first_steps).all(|(step, first)| step.abs() < FINE * first);
        if fine {
            break;
        }
    }
    progress(1.0);
    point
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottom_of_a_bowl_is_found_and_limits_hold() {
        let bowl = |x: &[f64]| (x[0] - 3.0).powi(2) + 10.0 * (x[1] + 1.0).powi(2) + 0.5 * x[0] * x[1];
        let ranges = [(-10.0, 10.0), (-0.5, 10.0)];
        let mut heard = 0.0;
        let found = pattern_search(vec![0.0, 5.0], &ranges, &[1.0, 1.0], 60, bowl, &mut |share| heard = share);
        // With the second coordinate at its limit of -0.5 the first is best at 3.125.
        assert!((found[0] - 3.125).abs() < 1e-2 && (found[1] + 0.5).abs() < 1e-12, "{found:?}");
        assert_eq!(heard, 1.0);
    }
}
