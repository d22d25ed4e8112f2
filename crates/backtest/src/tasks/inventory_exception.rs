//! The inventory-exception tasks: both fit the model to labelled cases and write one probability per class.

pub(in crate::tasks) mod notes;
pub(in crate::tasks) mod synthetic;

use std::path::Path;

use anyhow::{Context, bail};
use models::{
    Case, Judge,
    inventory_exception::{Answer, Model, Options, Outcome, Request},
};

const OPTIONS: Options = Options { explain: false };

fn fitted(cases: &[Case<Request, Outcome>]) -> anyhow::Result<Model> {
    let start = Model::standard()?;
    Ok(Model::new(Model::fit(start.parameters(), "eval", cases, &mut |_| ())?)?)
}

/// Judges the requests and writes one line for each: its key, then the probability of every class.
fn predict(
    model: &Model,
    key: &str,
    requests: impl IntoIterator<Item = (String, Request)>,
    out: &Path,
) -> anyhow::Result<()> {
    let place = || format!("cannot write {}", out.display());
    let classes: Vec<&str> = model.parameters().classes.iter().map(|class| class.name.as_str()).collect();
    let mut writer = csv::Writer::from_path(out).with_context(place)?;
    writer.write_record([key].iter().chain(&classes)).with_context(place)?;
    for (name, request) in requests {
        let answer = match model.judge(&request) {
            Ok(Answer::Scored(answer)) => answer,
            Ok(Answer::InsufficientData { missing, .. }) => bail!("{key} {name}: insufficient data: {missing:?}"),
            Err(errors) => bail!("{key} {name}: {errors:?}"),
        };
        let probability = |class: &&str| {
            let found = answer.classes.iter().find(|one| one.class == **class);
            found.map_or(0.0, |one| one.probability).to_string()
        };
        writer.write_record([name].into_iter().chain(classes.iter().map(probability))).with_context(place)?;
    }
    writer.flush().with_context(place)
}
