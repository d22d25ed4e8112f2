//! The two remote interfaces of Odoo.

mod http;
mod json2;
mod json_rpc;

use serde_json::{Map, Value};

pub(crate) use self::{http::Http, json_rpc::JsonRpc, json2::Json2};
use crate::Error;

/// One method call. Arguments go by name only: JSON-2 knows no positions.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) model: &'a str,
    pub(crate) method: &'a str,
    /// `None` for methods of the model itself, which refuse ids.
    pub(crate) ids: Option<&'a [i64]>,
    pub(crate) args: Map<String, Value>,
}

#[derive(Debug)]
pub(crate) enum Wire {
    Json2(Json2),
    JsonRpc(JsonRpc),
}

impl Wire {
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Value, Error> {
        match self {
            Self::Json2(wire) => wire.call(call).await,
            Self::JsonRpc(wire) => wire.call(call).await,
        }
    }
}
