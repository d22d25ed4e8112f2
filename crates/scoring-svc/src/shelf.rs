//! Which version of a model answers.

use std::sync::Arc;

use chassis::prelude::*;
use models::{Judge, ParameterError};

/// A model in its versions.
pub(crate) struct Shelf<J> {
    shipped: Arc<J>,
}

impl<J: Judge> Shelf<J> {
    /// # Errors
    /// When the embedded parameters are not usable.
    pub(crate) fn new() -> Result<Self, ParameterError> {
        Ok(Self { shipped: Arc::new(J::standard()?) })
    }

    /// The version asked for, else the active one.
    #[expect(clippy::unused_async, reason = "published versions are read from the store")]
    pub(crate) async fn model(&self, _cx: &Cx, wanted: Option<&str>) -> Result<Arc<J>, ApiError> {
        match wanted {
            Some(version) if version != self.shipped.reference().version => {
                Err(ApiError::bad_parameter("query:version", format!("{} has no version {version}", J::NAME)))
            }
            _ => Ok(Arc::clone(&self.shipped)),
        }
    }
}
