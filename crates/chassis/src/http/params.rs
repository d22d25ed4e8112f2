//! Typed path and query parameters.

use std::{
    future::{Ready, ready},
    ops::Deref,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use serde::de::DeserializeOwned;
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use super::{ApiError, text::Pairs};

/// The path's parameters: a struct by name, a tuple by position, or one value. A bad one is a 400 that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathOf<T>(pub T);

/// The query's parameters as a struct with `deny_unknown_fields`, so that a misspelt filter is an error and not
/// silently no filter. A bad or unknown one is a 400 that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params<T>(pub T);

macro_rules! wrapper {
    ($name:ident, $place:expr) => {
        impl<T> $name<T> {
            pub fn into_inner(self) -> T {
                self.0
            }
        }

        impl<T> Deref for $name<T> {
            type Target = T;

            fn deref(&self) -> &T {
                &self.0
            }
        }

        impl<T: IntoParams> IntoParams for $name<T> {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                T::into_params(|| Some($place))
            }
        }
    };
}

wrapper!(PathOf, ParameterIn::Path);
wrapper!(Params, ParameterIn::Query);

impl<T: DeserializeOwned> FromRequest for PathOf<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let matched = request.match_info();
        // Iterating keeps percent escapes, loading decodes them.
        let names = matched.iter().map(|(name, _)| name.to_owned());
        let decoded = matched.load::<Vec<String>>().map_err(|error| ApiError::malformed(error.to_string()));
        ready(decoded.and_then(|texts| parse("path", Pairs(names.zip(texts).collect()))).map(Self))
    }
}

impl<T: DeserializeOwned> FromRequest for Params<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let pairs = url::form_urlencoded::parse(request.query_string().as_bytes()).into_owned();
        ready(parse("query", Pairs(pairs.collect())).map(Self))
    }
}

fn parse<T: DeserializeOwned>(place: &str, pairs: Pairs) -> Result<T, ApiError> {
    // As in bodies: PostgreSQL's TEXT cannot hold it, so nothing has such an id, and asking would be an error of the store.
    if let Some((name, _)) = pairs.0.iter().find(|(_, text)| text.contains('\0')) {
        return Err(ApiError::bad_parameter(format!("{place}:{name}"), "must not hold the character U+0000"));
    }
    let only = match pairs.0.as_slice() {
        [(name, _)] => name.clone(),
        _ => String::new(),
    };
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let message = error.inner().to_string();
        let name = match quoted_field(&message) {
            Some(field) => field.to_owned(),
            None => error.path().iter().next().map_or(only, ToString::to_string),
        };
        ApiError::bad_parameter(format!("{place}:{name}"), message)
    })
}

/// The field of serde's "missing field `x`", "unknown field `x`, ..." and "duplicate field `x`".
pub(super) fn quoted_field(message: &str) -> Option<&str> {
    let rest = ["missing", "unknown", "duplicate"].iter().find_map(|kind| message.strip_prefix(kind))?;
    rest.strip_prefix(" field `")?.split('`').next()
}
