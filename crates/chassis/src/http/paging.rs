//! Cursor pages.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use contracts::page::{DEFAULT_PAGE, MAX_PAGE};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use super::{ApiError, Params};

/// Where a page begins and how long it is. A list without filters extracts it; a list with filters has `cursor` and
/// `limit` among them (a query has one struct, or unknown names could not be refused) and calls [`Paging::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paging {
    cursor: Option<Vec<u8>>,
    /// 1 to 500. Fetch one more, so that [`contracts::Page::cut`] sees whether there is a next page.
    pub limit: u32,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    /// Opaque, from `next_cursor`.
    cursor: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

impl Paging {
    /// # Errors
    /// 400 when the cursor is not one of ours or the limit is outside 1 to 500.
    pub fn parse(cursor: Option<&str>, limit: Option<u32>) -> Result<Self, ApiError> {
        let limit = limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(ApiError::bad_parameter("query:limit", format!("must be 1 to {MAX_PAGE}, is {limit}")));
        }
        // A client that turns pages sends an empty one for the first.
        let cursor = cursor
            .filter(|text| !text.is_empty())
            .map(|text| URL_SAFE_NO_PAD.decode(text))
            .transpose()
            .map_err(|_| not_ours())?;
        Ok(Self { cursor, limit })
    }

    /// The position after which the page begins, as it was put into [`Paging::cursor`]; `None` on the first page.
    ///
    /// # Errors
    /// 400 when the cursor holds something else: it is of another list.
    pub fn after<P: DeserializeOwned>(&self) -> Result<Option<P>, ApiError> {
        let position = self.cursor.as_deref().map(serde_json::from_slice).transpose();
        position.map_err(|_| not_ours())
    }

    /// A position as opaque text. Opaque keeps callers from building their own; it is not a secret.
    #[must_use]
    pub fn cursor(position: &impl Serialize) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(position).unwrap_or_default())
    }
}

fn not_ours() -> ApiError {
    ApiError::bad_parameter("query:cursor", "is not a `next_cursor` of this list")
}

impl FromRequest for Paging {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let query = Params::<PageQuery>::from_request(request, payload).into_inner();
        ready(query.and_then(|query| Self::parse(query.cursor.as_deref(), query.limit)))
    }
}

impl IntoParams for Paging {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        PageQuery::into_params(place)
    }
}
