//! Reading a policy.

/// Why a text is not a policy.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPolicy {
    /// Not YAML at all; the source says line and column.
    #[error("the policy is not readable YAML")]
    Syntax(#[source] serde_saphyr::Error),
    /// Readable, but not a policy.
    #[error("{}", list(.0))]
    Fields(Vec<contracts::FieldError>),
}

fn list(errors: &[contracts::FieldError]) -> String {
    errors.iter().map(|error| format!("{}: {}", error.pointer, error.detail)).collect::<Vec<_>>().join("; ")
}
