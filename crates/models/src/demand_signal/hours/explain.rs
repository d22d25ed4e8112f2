//! Why this score, and what would change it.
//!
//! The trees' log-odds are a sum over signs, told by group. From log-odds to probability the way is straight: along
//! the line from the baseline to the score each group gains in proportion to its log-odds, which is what integrated
//! gradients give for a function of a sum (Sundararajan, Taly and Yan 2017, ICML). The parts add up exactly.

use super::{
    Model, Reading, Verdict,
    parameters::OPENING,
    signs::{GROUPS, SIGNS},
    types::{Answer, Assessment, DayJudgement, HOURS, Options, Request},
};
use crate::{Band, Contribution, Counterfactual, Judge, Score, ensemble::logistic, explain};

/// Log-odds closer together than this have the slope of the curve between them.
const FLAT: f64 = 1e-9;

impl Model {
    /// Parts of a day's score in millionths that add up to it exactly: the baseline and each group of signs, or the
    /// record that decided.
    pub(super) fn contributions(&self, reading: &Reading<'_>, day: usize) -> Vec<Contribution> {
        let verdict = self.verdict(reading, day);
        let score = verdict.score();
        let Verdict::Likely(odds) = verdict else {
            return explain::contributions([("records", Some("/sales/out_of_stock"))], &[score.share()], score);
        };
        let parts = self.parameters.trees.explain(0, &reading.row(day));
        let (start, end) = (logistic(parts.bias), logistic(odds));
        let moved = odds - parts.bias;
        let slope = if moved.abs() > FLAT { (end - start) / moved } else { start * (1.0 - start) };
        let mut shares = vec![start];
        shares.extend(GROUPS.iter().map(|group| {
            let of_group = SIGNS.iter().zip(&parts.features).filter(|(sign, _)| sign.group == *group);
            of_group.map(|(_, part)| part).sum::<f64>() * slope
        }));
        let names =
            std::iter::once(("baseline", None)).chain(GROUPS.iter().map(|group| (group.name, Some(group.pointer))));
        explain::contributions(names, &shares, score)
    }

    /// The hour of the last day in which one sale more would lower the band most, or, where the band is low, in which
    /// no sale would raise it most.
    pub(super) fn counterfactuals(&self, request: &Request, now: &DayJudgement) -> Vec<Counterfactual> {
        let mut changed = Request { options: Options { look_back: 0, explain: false }, ..request.clone() };
        let first = (request.sales.days() - 1) * HOURS;
        let raise = now.band == Band::Low;
        let mut best: Option<(usize, Score)> = None;
        for hour in OPENING.map(|hour| first + hour) {
            let Some(&units) = request.sales.units.get(hour) else { break };
            if (units > 0.0) != raise {
                continue;
            }
            changed.sales.units[hour] = if raise { 0.0 } else { 1.0 };
            let then = self.judge(&changed).ok().and_then(scored).map(|assessment| assessment.latest.score);
            changed.sales.units[hour] = units;
            let better = |score: &Score| best.is_none_or(|(_, best)| if raise { *score > best } else { *score < best });
            best = then.filter(better).map(|score| (hour, score)).or(best);
        }
        let told = best.map(|(hour, score_then)| (hour, score_then, self.parameters.bands.band(score_then)));
        told.filter(|(.., band_then)| *band_then != now.band)
            .map(|(hour, score_then, band_then)| {
                let (value_now, value_needed) = (request.sales.units[hour], if raise { 0.0 } else { 1.0 });
                let what = if raise { "without the sales" } else { "with one unit sold" };
                Counterfactual {
                    pointer: format!("/sales/units/{hour}"),
                    value_now,
                    value_needed,
                    band_then,
                    score_then,
                    detail: format!("{what} at {} o'clock the band would be {}", hour - first, band_then.as_str()),
                }
            })
            .into_iter()
            .collect()
    }
}

fn scored(answer: Answer) -> Option<Assessment> {
    match answer {
        Answer::Scored(assessment) => Some(*assessment),
        Answer::InsufficientData { .. } => None,
    }
}
