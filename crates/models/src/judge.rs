//! What every model is, so that the service, the command line and a backtest use one code.

use contracts::{Digest, FieldError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{ModelRef, metrics::Figures};

/// Why parameters cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ParameterError {
    #[error("parameters are not of the form that {model} reads")]
    Form {
        model: &'static str,
        #[source]
        source: serde_json::Error,
    },
    /// A value outside its range, by its pointer into the file.
    #[error("parameters of {model}: {pointer} {detail}")]
    Range { model: &'static str, pointer: String, detail: String },
}

/// Why no parameters could be fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    #[error("{model} needs {needed} cases to be fitted, has {found}")]
    TooFew { model: &'static str, needed: usize, found: usize },
    #[error("the cases cannot be fitted: {0}")]
    Unusable(String),
    #[error(transparent)]
    Parameters(#[from] ParameterError),
}

/// A request whose outcome is known: one line of a file to fit or to backtest with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Case<Request, Outcome> {
    pub request: Request,
    pub outcome: Outcome,
}

/// A model: versioned parameters, and a pure function from a request to an answer that explains itself.
pub trait Judge: Sized + Send + Sync + 'static {
    /// Name in answers, paths and file names: `demand-signal`.
    const NAME: &'static str;
    /// The API's request type.
    type Request: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The API's answer type: scored, or insufficient data.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
    /// What became true later: what a fit learns from and a backtest measures against.
    type Outcome: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The versioned parameter file.
    type Parameters: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;

    /// The parameter file that is shipped.
    const STANDARD: &'static str;

    /// # Errors
    /// Names the parameter that is out of its range.
    fn new(parameters: Self::Parameters) -> Result<Self, ParameterError>;

    fn parameters(&self) -> &Self::Parameters;

    /// What answers call it: name, version, hash of the parameters.
    fn reference(&self) -> &ModelRef;

    /// Judges one request.
    ///
    /// # Errors
    /// Every bad field of the request, by pointer.
    fn judge(&self, request: &Self::Request) -> Result<Self::Answer, Vec<FieldError>>;

    /// How good the answers are, by the measures of this model; the first figure is the one that decides between
    /// two versions. Cases that are refused or insufficient are counted in the figures, not skipped in silence.
    fn backtest(&self, cases: &[Case<Self::Request, Self::Outcome>]) -> Figures;

    /// Parameters that fit the cases, starting from `start`; deterministic. `progress` hears shares of the work done.
    ///
    /// # Errors
    /// With too few cases, or cases that this model cannot learn from.
    fn fit(
        start: &Self::Parameters,
        version: &str,
        cases: &[Case<Self::Request, Self::Outcome>],
        progress: &mut dyn FnMut(f64),
    ) -> Result<Self::Parameters, FitError>;

    /// The model with the parameters it is shipped with.
    ///
    /// # Errors
    /// When the embedded file is not usable, which a test rules out.
    fn standard() -> Result<Self, ParameterError> {
        Self::from_json(Self::STANDARD)
    }

    /// The model of a parameter file.
    ///
    /// # Errors
    /// When the file is not of the form or names a value out of range.
    fn from_json(text: &str) -> Result<Self, ParameterError> {
        let form = |source| ParameterError::Form { model: Self::NAME, source };
        Self::new(serde_json::from_str(text).map_err(form)?)
    }
}

/// The reference of a model: for implementations of [`Judge::new`].
///
/// # Errors
/// When a parameter is not a finite number and so has no JSON form.
pub fn reference<J: Judge>(version: &str, parameters: &J::Parameters) -> Result<ModelRef, ParameterError> {
    let parameters = Digest::of(parameters).map_err(|source| ParameterError::Form { model: J::NAME, source })?;
    Ok(ModelRef { name: J::NAME.to_owned(), version: version.to_owned(), parameters })
}

/// A request that passed its checks but has no JSON form holds a number that is not finite.
pub(crate) fn unhashable(error: serde_json::Error) -> Vec<FieldError> {
    vec![FieldError::new("", error.to_string())]
}
