//! What must hold for any bytes that arrive here; driven by `tests/fuzz`.

use chassis::http::parse_json;
use serde_json::Value;

use crate::rules::observation::Observation;

/// One line of an observation stream is taken, or refused with the fields that are wrong.
///
/// # Panics
/// When a refusal names nothing.
pub fn observation(line: &[u8]) {
    let Ok(line) = parse_json::<Value>(line) else { return };
    if let Err(problem) = Observation::parse(line) {
        assert!(matches!(problem.status, 400 | 422), "refused with {}", problem.status);
        assert!(!problem.errors.is_empty(), "no field is named: {problem:?}");
        assert!(problem.errors.iter().all(|error| error.pointer.is_empty() || error.pointer.starts_with('/')));
    }
}
