//! RFC 9457 problem documents.

use serde::{Deserialize, Serialize};
use serde_path_to_error::{Path, Segment};

/// Media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, for a program (`type`) and for a person (`title`, `detail`).
///
/// `type` is stable and documented: `https://steward.example/problems/<slug>`. There is no top-level `error` key, here
/// or in any success body, because n8n retries an answer that has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    #[serde(rename = "type")]
    #[schema(example = "https://steward.example/problems/invalid-request")]
    pub kind: String,
    #[schema(example = "The request has invalid fields")]
    pub title: String,
    #[schema(example = 422)]
    pub status: u16,
    /// This occurrence, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Each bad field by JSON pointer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// W3C trace id, to quote when asking for help.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    pub trace_id: Option<String>,
}

/// One bad field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// RFC 6901 pointer into the body, or `query:<name>`, `header:<name>`, `path:<name>`.
    #[schema(example = "/stock/on_hand")]
    pub pointer: String,
    #[schema(example = "must not be negative")]
    pub detail: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// RFC 6901 pointer to where a document ceased to be of its type. The variant of an enum counts as a key, as serde
/// writes it by default; those of tagged enums are no step in the document and are not in the path either.
#[must_use]
pub fn pointer_to(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => push_key(&mut pointer, key),
            Segment::Unknown => {}
        }
    }
    pointer
}

/// Adds one reference token of RFC 6901, the name of a field.
pub fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

impl Problem {
    /// A problem of the catalogue: `slug` completes the stable `type`.
    #[must_use]
    pub fn new(slug: &str, status: u16, title: &str) -> Self {
        Self {
            kind: format!("https://steward.example/problems/{slug}"),
            title: title.to_owned(),
            status,
            detail: None,
            errors: Vec::new(),
            trace_id: None,
        }
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }
}
