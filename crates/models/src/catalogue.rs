//! Every model by its name, for callers that choose at run time: JSON in, JSON out.

use contracts::problem::pointer_to;
use serde::de::DeserializeOwned;

use crate::{
    FitError, Judge, ModelRef, ParameterError, allocation, demand_signal, inventory_exception, metrics::Figures,
    replenishment, replenishment_snapshot, supplier_risk,
};

/// Every model there is.
pub const MODELS: &[Entry] = &[
    Entry::of::<replenishment::Model>(),
    Entry::of::<replenishment_snapshot::Model>(),
    Entry::of::<demand_signal::Model>(),
    Entry::of::<demand_signal::hours::Model>(),
    Entry::of::<supplier_risk::purchase::Model>(),
    Entry::of::<supplier_risk::shipment::Model>(),
    Entry::of::<inventory_exception::Model>(),
    Entry::of::<allocation::Model>(),
];

/// The model of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    MODELS.iter().find(|entry| entry.name == name)
}

/// Why a named model did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    #[error(transparent)]
    Parameters(#[from] ParameterError),
    /// Counted from 1, as lines of a file are; `pointer` leads to what cannot be read, or to what lacks a field.
    #[error("case {number} is not a case of {model}, see {pointer:?} in it")]
    Case {
        model: &'static str,
        number: usize,
        pointer: String,
        #[source]
        source: serde_json::Error,
    },
    #[error(transparent)]
    Fit(#[from] FitError),
}

type Backtest = fn(&[&str], &[&str]) -> Result<Vec<Figures>, EntryError>;
type Fit = fn(&str, &str, &[&str], &mut dyn FnMut(f64)) -> Result<String, EntryError>;

/// A model whose types are hidden.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Name in answers, paths and file names.
    pub name: &'static str,
    /// The parameter file that is shipped, as JSON.
    pub standard: &'static str,
    reference: fn(&str) -> Result<ModelRef, ParameterError>,
    backtest: Backtest,
    fit: Fit,
}

impl Entry {
    #[must_use]
    pub const fn of<J: Judge>() -> Self {
        Self {
            name: J::NAME,
            standard: J::STANDARD,
            reference: |parameters| Ok(J::from_json(parameters)?.reference().clone()),
            backtest: backtest::<J>,
            fit: fit::<J>,
        }
    }

    /// Name, version and hash of a parameter file.
    ///
    /// # Errors
    /// When the parameters are not of the form or out of range.
    pub fn reference(&self, parameters: &str) -> Result<ModelRef, ParameterError> {
        (self.reference)(parameters)
    }

    /// The figures of each parameter file over the same cases, in the same order.
    ///
    /// # Errors
    /// When parameters or a case are not of their form.
    pub fn backtest(&self, versions: &[&str], cases: &[&str]) -> Result<Vec<Figures>, EntryError> {
        (self.backtest)(versions, cases)
    }

    /// A parameter file that fits the cases, starting from `start`. `progress` hears shares of the work done.
    ///
    /// # Errors
    /// When parameters or a case are not of their form, or the model cannot learn from the cases.
    pub fn fit(
        &self,
        start: &str,
        version: &str,
        cases: &[&str],
        progress: &mut dyn FnMut(f64),
    ) -> Result<String, EntryError> {
        (self.fit)(start, version, cases, progress)
    }
}

fn backtest<J: Judge>(versions: &[&str], cases: &[&str]) -> Result<Vec<Figures>, EntryError> {
    let models = versions.iter().map(|text| J::from_json(text)).collect::<Result<Vec<_>, _>>()?;
    let cases = read::<J, _>(cases)?;
    Ok(models.iter().map(|model| model.backtest(&cases)).collect())
}

fn fit<J: Judge>(
    start: &str,
    version: &str,
    cases: &[&str],
    progress: &mut dyn FnMut(f64),
) -> Result<String, EntryError> {
    let start = J::from_json(start)?;
    let fitted = J::fit(start.parameters(), version, &read::<J, _>(cases)?, progress)?;
    let form = |source| ParameterError::Form { model: J::NAME, source };
    Ok(serde_json::to_string_pretty(&fitted).map_err(form)?)
}

fn read<J: Judge, T: DeserializeOwned>(cases: &[&str]) -> Result<Vec<T>, EntryError> {
    let read = |(index, text): (usize, &&str)| {
        let foreign =
            |source| EntryError::Case { model: J::NAME, number: index + 1, pointer: pointer::<T>(text), source };
        serde_json::from_str(text).map_err(foreign)
    };
    cases.iter().enumerate().map(read).collect()
}

/// Where a text is no `T`: to know it at each step costs more than to read, so only what is refused is read again.
fn pointer<T: DeserializeOwned>(text: &str) -> String {
    let read = serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_str(text));
    read.err().map(|error| pointer_to(error.path())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use contracts::FieldError;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::{Case, judge, metrics::Figure};

    /// Forecasts one number for everything.
    struct Constant {
        parameters: Parameters,
        reference: ModelRef,
    }

    #[derive(Clone, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Parameters {
        version: String,
        level: f64,
    }

    impl Judge for Constant {
        const NAME: &'static str = "constant";
        const STANDARD: &'static str = r#"{"version": "1", "level": 0.0}"#;
        type Request = ();
        type Answer = f64;
        type Outcome = f64;
        type Parameters = Parameters;

        fn new(parameters: Parameters) -> Result<Self, ParameterError> {
            let reference = judge::reference::<Self>(&parameters.version, &parameters)?;
            Ok(Self { parameters, reference })
        }

        fn parameters(&self) -> &Parameters {
            &self.parameters
        }

        fn reference(&self) -> &ModelRef {
            &self.reference
        }

        fn judge(&self, (): &()) -> Result<f64, Vec<FieldError>> {
            Ok(self.parameters.level)
        }

        fn backtest(&self, cases: &[Case<(), f64>]) -> Figures {
            let error = crate::metrics::mean(cases.iter().map(|case| (case.outcome - self.parameters.level).abs()));
            let figures = vec![Figure::lower("mean_absolute_error", error)];
            Figures { cases: cases.len(), figures, ..Figures::default() }
        }

        fn fit(
            _: &Parameters,
            version: &str,
            cases: &[Case<(), f64>],
            progress: &mut dyn FnMut(f64),
        ) -> Result<Parameters, FitError> {
            progress(1.0);
            let level = crate::metrics::mean(cases.iter().map(|case| case.outcome));
            Ok(Parameters { version: version.to_owned(), level })
        }
    }

    const CASES: [&str; 2] = [r#"{"request": null, "outcome": 2.0}"#, r#"{"request": null, "outcome": 4.0}"#];

    #[test]
    fn what_is_fitted_is_better_than_what_it_started_from() {
        let entry = Entry::of::<Constant>();
        let mut heard = Vec::new();
        let fitted = entry.fit(entry.standard, "2", &CASES, &mut |share| heard.push(share)).unwrap();
        let figures = entry.backtest(&[entry.standard, &fitted], &CASES).unwrap();
        assert!(figures[0].figures[0].worse_than(figures[1].figures[0].value));
        assert_eq!((entry.reference(&fitted).unwrap().version.as_str(), heard), ("2", vec![1.0]));
    }

    #[test]
    fn every_model_has_a_name_of_its_own_and_parameters_that_can_be_used() {
        for (index, entry) in MODELS.iter().enumerate() {
            assert_eq!(entry.reference(entry.standard).unwrap().name, entry.name);
            assert!(MODELS[..index].iter().all(|other| other.name != entry.name), "{} is there twice", entry.name);
        }
    }

    #[test]
    fn a_case_of_another_form_is_named_by_its_number() {
        let refused = Entry::of::<Constant>().backtest(&[Constant::STANDARD], &[CASES[0], "7"]).unwrap_err();
        assert!(matches!(refused, EntryError::Case { number: 2, .. }), "{refused}");
        let late = r#"{"request": null, "outcome": "late"}"#;
        let refused = Entry::of::<Constant>().backtest(&[Constant::STANDARD], &[late]).unwrap_err();
        let EntryError::Case { number: 1, pointer, .. } = refused else { panic!("{refused}") };
        assert_eq!(pointer, "/outcome");
        let refused = Entry::of::<Constant>().backtest(&[r#"{"version": "1"}"#], &CASES).unwrap_err();
        assert!(matches!(refused, EntryError::Parameters(_)), "{refused}");
    }
}
