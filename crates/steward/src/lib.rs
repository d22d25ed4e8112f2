//! One binary: the fleet in one process (`steward up`), the operator's command line, the console, and the generated
//! documents in `openapi/`.

pub mod documents;
pub mod fleet;

pub mod cli;
pub mod console;
mod demo;
mod home;
