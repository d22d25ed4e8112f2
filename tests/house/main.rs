//! What must be true of the house at any time, checked without starting a server that is not in this process. `make
//! check` runs it: layers, dependencies, generated documents, permissions, n8n workflows.

#![expect(clippy::expect_used, reason = "a promise that does not hold ends the test")]

mod documents;
mod layers;
mod manifest;
mod permissions;
mod workflows;

use std::path::PathBuf;

/// The root of the checkout.
fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
