//! What must be true of boosted trees, whatever they are fitted to.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy exempts only the test functions themselves")]

use models::ensemble::{EarlyStop, Ensemble, Feature, Objective, Settings};
use proptest::prelude::*;

/// Cells in 0 to 1 that fill the square evenly (Roberts 2018, the R2 sequence).
fn square(count: u32) -> Vec<[f64; 2]> {
    (1..=count).map(|i| [(f64::from(i) * 0.754_877_666).fract(), (f64::from(i) * 0.569_840_291).fract()]).collect()
}

fn free() -> Vec<Feature> {
    vec![Feature::free("a"), Feature::free("b")]
}

fn fit(features: &[Feature], rows: &[[f64; 2]], target: &[f64], settings: &Settings) -> Ensemble {
    Ensemble::fit(features, rows, target, None, settings, &mut |_| ()).unwrap()
}

fn learnt(objective: Objective, truth: impl Fn(&[f64; 2]) -> f64) -> (Ensemble, Vec<[f64; 2]>) {
    let rows = square(4000);
    let target: Vec<f64> = rows.iter().map(truth).collect();
    (fit(&free(), &rows, &target, &Settings::new(objective)), rows)
}

fn loss_of(model: &Ensemble, rows: &[[f64; 2]], loss: impl Fn(f64, &[f64; 2]) -> f64) -> f64 {
    rows.iter().map(|row| loss(model.predict(row), row)).sum::<f64>() / rows.len() as f64
}

#[test]
fn a_known_function_is_learnt() {
    let truth = |row: &[f64; 2]| (row[0] * 6.0).sin() + row[0] * row[1] * 2.0;
    let (model, rows) = learnt(Objective::Squared, truth);
    let error = loss_of(&model, &rows, |forecast, row| (forecast - truth(row)).powi(2));
    assert!(error < 0.002, "{error}");
}

#[test]
fn counts_and_probabilities_keep_their_word() {
    let count = |row: &[f64; 2]| (row[0] * 5.0 + f64::from(u8::from(row[1] > 0.5)) * 10.0).floor();
    let (model, rows) = learnt(Objective::Poisson, count);
    let (forecast, truth) = (loss_of(&model, &rows, |f, _| f), loss_of(&model, &rows, |_, row| count(row)));
    assert!((forecast / truth - 1.0).abs() < 0.01, "{forecast} against {truth}");

    let hit = |row: &[f64; 2]| f64::from(u8::from(row[0] + row[1] > 1.2));
    let (model, rows) = learnt(Objective::Logistic, hit);
    let wrong = loss_of(&model, &rows, |p, row| f64::from(u8::from((p > 0.5) != (hit(row) > 0.5))));
    assert!(wrong < 0.01, "{wrong}");
}

#[test]
fn classes_are_told_apart_and_their_probabilities_add_up() {
    let class = |row: &[f64; 2]| f64::from(u8::from(row[0] > 0.3)) + f64::from(u8::from(row[0] > 0.3 && row[1] > 0.6));
    let (model, rows) = learnt(Objective::Softmax { classes: 3 }, class);
    for row in &rows {
        let p = model.probabilities(row);
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    let right = rows.iter().filter(|row| model.probabilities(*row)[class(row) as usize] > 0.5).count();
    assert!(right > 3960, "{right} of {}", rows.len());
}

/// Noise is even in 0 to 1 here, so the 0.8 quantile of `10·a + 5·noise` is `10·a + 4`.
#[test]
fn a_quantile_leaves_its_share_above_and_rounds_lower_its_loss() {
    let rows: Vec<[f64; 2]> = square(8000);
    let target: Vec<f64> = rows.iter().map(|row| row[0] * 10.0 + row[1] * 5.0).collect();
    let seen: Vec<[f64; 2]> = rows.iter().map(|row| [row[0], 0.0]).collect();
    let objective = Objective::Pinball { probability: 0.8 };
    let losses = [1, 20, 200].map(|rounds| {
        let model = fit(&free(), &seen, &target, &Settings { rounds, leaves: 8, ..Settings::new(objective) });
        let below = seen.iter().zip(&target).filter(|(row, y)| **y <= model.predict(*row)).count() as f64;
        let losses =
            seen.iter().zip(&target).map(|(row, y)| models::metrics::quantile_loss(0.8, model.predict(row), *y));
        (losses.sum::<f64>(), below / seen.len() as f64)
    });
    assert!(losses[0].0 > losses[1].0 && losses[1].0 > losses[2].0, "{losses:?}");
    assert!((losses[2].1 - 0.8).abs() < 0.02, "{losses:?}");
}

#[test]
fn missing_cells_go_where_their_like_went() {
    let mut rows = square(3000);
    // A missing `a` means 7, which no known `a` does.
    rows.iter_mut().step_by(3).for_each(|row| row[0] = f64::NAN);
    let target: Vec<f64> = rows.iter().map(|row| if row[0].is_nan() { 7.0 } else { row[0] }).collect();
    let model = fit(&free(), &rows, &target, &Settings::new(Objective::Squared));
    assert!((model.predict(&[f64::NAN, 0.5]) - 7.0).abs() < 0.05);
    assert!((model.predict(&[0.5, 0.5]) - 0.5).abs() < 0.05);
    assert_eq!(model.predict(&[]), model.predict(&[f64::NAN; 2]), "cells that a short row lacks are missing");
}

#[test]
fn the_same_fit_gives_the_same_file_and_the_file_the_same_model() {
    let truth = |row: &[f64; 2]| row[0] - row[1];
    let (one, rows) = learnt(Objective::Squared, truth);
    let (two, _) = learnt(Objective::Squared, truth);
    let text = serde_json::to_string(&one).unwrap();
    assert_eq!(text, serde_json::to_string(&two).unwrap());
    let read: Ensemble = serde_json::from_str(&text).unwrap();
    assert_eq!(read, one);
    assert!(rows.iter().all(|row| read.raw(row).to_bits() == one.raw(row).to_bits()));
}

#[test]
fn members_differ_and_their_mean_is_the_model() {
    let rows = square(1000);
    let target: Vec<f64> = rows.iter().map(|row| row[0]).collect();
    let settings = |seed, members| Settings { seed, members, rounds: 10, ..Settings::new(Objective::Squared) };
    let all = fit(&free(), &rows, &target, &settings(5, 3));
    let each = [5, 6, 7].map(|seed| fit(&free(), &rows, &target, &settings(seed, 1)));
    assert_ne!(each[0], each[1]);
    for row in &rows {
        let mean = each.iter().map(|one| one.raw(row)).sum::<f64>() / 3.0;
        assert!((all.raw(row) - mean).abs() < 1e-9);
    }
}

#[test]
fn rows_kept_aside_stop_what_learns_only_noise() {
    let rows = square(2000);
    let noise: Vec<f64> = (0..2000_u32).map(|i| f64::from(i.wrapping_mul(2_654_435_761) >> 16)).collect();
    let stopped =
        Settings { early_stop: Some(EarlyStop { share: 0.3, patience: 5 }), ..Settings::new(Objective::Squared) };
    let count = |model: &Ensemble| serde_json::to_value(model).unwrap()["trees"][0].as_array().unwrap().len();
    assert!(count(&fit(&free(), &rows, &noise, &stopped)) < 20);
    let signal: Vec<f64> = rows.iter().map(|row| row[0]).collect();
    assert!(count(&fit(&free(), &rows, &signal, &stopped)) > 100);
}

#[test]
fn a_row_counts_as_often_as_its_weight() {
    let rows = [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0]].repeat(100);
    let target = [0.0, 1.0, 0.0, 1.0].repeat(100);
    let weights = [1.0, 3.0, 3.0, 1.0].repeat(100);
    let settings = Settings { row_share: 1.0, column_share: 1.0, ..Settings::new(Objective::Logistic) };
    let model = Ensemble::fit(&free(), &rows, &target, Some(&weights), &settings, &mut |_| ()).unwrap();
    assert!((model.predict(&[0.0, 0.0]) - 0.75).abs() < 0.01 && (model.predict(&[1.0, 0.0]) - 0.25).abs() < 0.01);
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let rows = square(10);
    let target = vec![0.0; 10];
    let refused = |rows: &[[f64; 2]], target: &[f64], settings: Settings| {
        Ensemble::fit(&free(), rows, target, None, &settings, &mut |_| ()).unwrap_err().to_string()
    };
    let logistic = Settings::new(Objective::Logistic);
    assert!(refused(&rows, &[0.5; 10], logistic).contains("row 0"));
    assert!(refused(&rows, &target[..9], logistic).contains("differ"));
    assert!(refused(&[[0.0, f64::INFINITY]], &[0.0], logistic).contains("infinite"));
    assert!(refused(&rows, &target, Settings { learning_rate: 0.0, ..logistic }).contains("learning_rate"));
    assert!(refused(&rows, &target, Settings::new(Objective::Pinball { probability: 1.0 })).contains("probability"));
}

/// One tree of a split on `a` with two leaves, with its trees replaced.
fn file(tree: &str) -> Result<Ensemble, String> {
    let text = format!(
        r#"{{"objective":{{"kind":"logistic"}},"features":[{{"name":"a"}}],"unit":1e-6,"bias":[0],"trees":[[{tree}]]}}"#
    );
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

#[test]
fn a_hostile_file_is_refused_and_named() {
    let good = file(r#"{"split":[0,-1,-1],"at":[1.5],"missing_left":[1],"leaf":[-7,9],"cover":[1,3]}"#).unwrap();
    assert_eq!([0.0, 2.0, f64::NAN].map(|a| (good.raw(&[a]) * 1e6).round()), [-7.0, 9.0, -7.0]);
    let deep = format!(
        r#"{{"split":[{}-1{}],"at":[{}1],"missing_left":[{}0],"leaf":[{}0],"cover":[{}1]}}"#,
        "0,".repeat(100),
        ",-1".repeat(100),
        "1,".repeat(99),
        "0,".repeat(99),
        "0,".repeat(100),
        "1,".repeat(100)
    );
    for (tree, why) in [
        (r#"{"split":[],"at":[],"missing_left":[],"leaf":[],"cover":[]}"#, "leaves"),
        (r#"{"split":[0,-1],"at":[1.5],"missing_left":[1],"leaf":[1],"cover":[1]}"#, "breaks off"),
        (r#"{"split":[-1,-1],"at":[],"missing_left":[],"leaf":[1,2],"cover":[1,1]}"#, "goes on"),
        (r#"{"split":[1,-1,-1],"at":[1.5],"missing_left":[1],"leaf":[1,2],"cover":[1,1]}"#, "feature"),
        (r#"{"split":[-2,-1,-1],"at":[1.5],"missing_left":[1],"leaf":[1,2],"cover":[1,1]}"#, "feature"),
        (r#"{"split":[0,-1,-1],"at":[],"missing_left":[1],"leaf":[1,2],"cover":[1,1]}"#, "splits it names"),
        (r#"{"split":[0,-1,-1],"at":[1.5],"missing_left":[2],"leaf":[1,2],"cover":[1,1]}"#, "none"),
        (r#"{"split":[0,-1,-1],"at":[1.5],"missing_left":[1],"leaf":[1,2],"cover":[1]}"#, "leaves"),
        (r#"{"split":[0,-1,-1],"at":[1.5],"missing_left":[1],"leaf":[1,2],"cover":[1,1],"next":0}"#, "unknown field"),
        (deep.as_str(), "too deep"),
    ] {
        let error = file(tree).expect_err(tree);
        assert!(error.contains(why), "{error} does not say {why}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the target is, also where it runs against the constraint.
    #[test]
    fn monotone_holds_and_parts_add_up(
        bumps in prop::collection::vec((0.0..1.0_f64, 0.0..1.0_f64, -3.0..3.0_f64), 1..5),
        objective in prop::sample::select(vec![
            Objective::Logistic, Objective::Squared, Objective::Poisson, Objective::Pinball { probability: 0.7 },
        ]),
        probes in prop::collection::vec((0.0..1.0_f64, 0.0..1.0_f64), 20),
    ) {
        let rows = square(600);
        let wave = |row: &[f64; 2]| bumps.iter().map(|(a, b, height)| {
            height / (1.0 + 30.0 * ((row[0] - a).powi(2) + (row[1] - b).powi(2)))
        }).sum::<f64>();
        let target: Vec<f64> = rows.iter().map(|row| match objective {
            Objective::Logistic => f64::from(u8::from(wave(row) > 0.5)),
            Objective::Poisson => wave(row).max(0.0).round(),
            _ => wave(row),
        }).collect();
        let features = [Feature::rising("a"), Feature::falling("b")];
        let settings = Settings { rounds: 30, min_leaf_weight: 5.0, learning_rate: 0.3, ..Settings::new(objective) };
        let model = fit(&features, &rows, &target, &settings);
        for (fixed, _) in &probes {
            let along: Vec<f64> = (0..=50).map(|i| f64::from(i) / 50.0).collect();
            prop_assert!(along.iter().map(|a| model.raw(&[*a, *fixed])).is_sorted());
            prop_assert!(along.iter().rev().map(|b| model.raw(&[*fixed, *b])).is_sorted());
        }
        for (a, b) in probes {
            let row = [a, b];
            let parts = model.explain(0, &row);
            let sum = parts.bias + parts.features.iter().sum::<f64>();
            prop_assert!((sum - model.raw(&row)).abs() < 1e-9);
        }
    }

    #[test]
    fn depth_one_lets_no_two_features_interact(a in 0.0..1.0_f64, b in 0.0..1.0_f64) {
        let rows = square(500);
        let target: Vec<f64> = rows.iter().map(|row| row[0] * row[1]).collect();
        let model = fit(&free(), &rows, &target, &Settings { depth: 1, rounds: 50, ..Settings::new(Objective::Squared) });
        let interaction = model.raw(&[a, b]) - model.raw(&[0.5, b]) - model.raw(&[a, 0.5]) + model.raw(&[0.5, 0.5]);
        prop_assert!(interaction.abs() < 1e-9);
    }
}
