//! Ours and the yardstick in turns, so that a disturbance of the machine hits both.

use anyhow::Result;

/// Turns of each. The median of three forgives one disturbed turn.
pub(crate) const ROUNDS: usize = 3;

/// A B A B A B; returns what each turn of either saw.
pub(crate) async fn in_turns<A, B>(
    mut ours: impl AsyncFnMut() -> Result<A>,
    mut yardstick: impl AsyncFnMut() -> Result<B>,
) -> Result<(Vec<A>, Vec<B>)> {
    let (mut all_ours, mut all_of_yardstick) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        all_ours.push(ours().await?);
        all_of_yardstick.push(yardstick().await?);
    }
    Ok((all_ours, all_of_yardstick))
}

/// The median of what `figure` takes from each turn.
pub(crate) fn median<T>(turns: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    let mut figures: Vec<f64> = turns.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
