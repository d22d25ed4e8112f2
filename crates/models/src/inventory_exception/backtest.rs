//! How good the answers are: causes, probabilities, and what wrong routes cost.

use super::{
    Model,
    types::{Answer, Assessment, Outcome, Request},
};
use crate::{
    Case, Judge,
    metrics::{Figure, Figures, calibration, calibration_error, mean},
};

/// Least probability in the log loss, as the field's scorers clip it.
const CLIP: f64 = 1e-6;

struct Judged<'a> {
    answer: Assessment,
    request: &'a Request,
    truth: &'a str,
}

impl Judged<'_> {
    fn top(&self) -> (&str, f64) {
        self.answer.classes.first().map_or(("", 0.0), |class| (class.class.as_str(), class.probability))
    }

    fn right(&self) -> bool {
        self.top().0 == self.truth
    }

    fn log_loss(&self) -> f64 {
        let own = self.answer.classes.iter().find(|class| class.class == self.truth);
        -own.map_or(CLIP, |class| class.probability.max(CLIP)).ln()
    }
}

pub(super) fn figures(model: &Model, cases: &[Case<Request, Outcome>]) -> Figures {
    let (mut insufficient, mut refused) = (0, 0);
    let mut judged = Vec::new();
    for case in cases {
        // What explains an answer changes nothing of it.
        let mut request = case.request.clone();
        request.options.explain = false;
        match model.judge(&request) {
            Ok(Answer::Scored(answer)) => {
                judged.push(Judged { answer: *answer, request: &case.request, truth: &case.outcome.class });
            }
            Ok(Answer::InsufficientData { .. }) => insufficient += 1,
            Err(_) => refused += 1,
        }
    }
    let named: Vec<&Judged<'_>> = judged.iter().filter(|one| !one.answer.abstained).collect();
    let confidence: Vec<(f64, bool)> = judged.iter().map(|one| (one.top().1, one.right())).collect();
    let share = |value: bool| f64::from(u8::from(value));
    let figures = vec![
        Figure::higher("macro_f1", macro_f1(&judged)),
        Figure::lower("log_loss", mean(judged.iter().map(Judged::log_loss))),
        Figure::lower("calibration_error", calibration_error(&confidence)),
        Figure::higher("accuracy", mean(judged.iter().map(|one| share(one.right())))),
        Figure::higher("named_share", named.len() as f64 / judged.len() as f64),
        Figure::higher("named_precision", mean(named.iter().map(|one| share(one.right())))),
        Figure::lower("routing_regret_cents", mean(judged.iter().filter_map(|one| regret(model, one)))),
    ];
    Figures { cases: judged.len(), insufficient, refused, figures, calibration: calibration(&confidence, 10) }
}

/// Cost of the route taken beyond that of the best one for the cause; none for a class the model does not know.
fn regret(model: &Model, one: &Judged<'_>) -> Option<f64> {
    let class = model.parameters.classes.iter().position(|class| class.name == one.truth)?;
    let value = super::routing::Value::of(&one.request.facts, one.answer.variance, &model.parameters);
    Some(model.costs.regret(&one.answer.route.to, class, value.cents))
}

/// Mean over the true classes of the harmonic mean of precision and recall.
fn macro_f1(judged: &[Judged<'_>]) -> f64 {
    let mut classes: Vec<&str> = judged.iter().map(|one| one.truth).collect();
    classes.sort_unstable();
    classes.dedup();
    mean(classes.into_iter().map(|class| {
        let truths = judged.iter().filter(|one| one.truth == class).count() as f64;
        let claims = judged.iter().filter(|one| one.top().0 == class).count() as f64;
        let hits = judged.iter().filter(|one| one.truth == class && one.right()).count() as f64;
        2.0 * hits / (truths + claims)
    }))
}
