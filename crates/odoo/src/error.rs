use std::time::Duration;

/// Longest text of the server that is kept with an error, in characters.
const MAX_MESSAGE: usize = 500;

/// What went wrong between us and Odoo.
///
/// Odoo names its errors; the name decides, since the status does not (a misspelt field is a 500 in JSON-2, and
/// everything is a 200 in JSON-RPC). The texts are Odoo's messages for its users, cut at 500 characters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The user may not do this, or the method is private.
    #[error("Odoo denies access: {message}")]
    Access { message: String },
    /// The record to write on does not exist. (Reading a missing record is no error in Odoo: the answer is empty.)
    #[error("the record does not exist in Odoo: {message}")]
    Missing { message: String },
    /// A constraint, a missing required field, or any refusal meant for a user.
    #[error("Odoo refuses the values: {message}")]
    Validation { message: String },
    /// No key, a wrong key or an expired one.
    #[error("Odoo does not accept the API key")]
    Unauthorized,
    /// No such model, method or database.
    #[error("not found in Odoo: {message}")]
    NotFound { message: String },
    /// Two transactions met; nothing was written. Retryable.
    #[error("concurrent update in Odoo: {message}")]
    Serialization { message: String },
    /// Odoo raised `TypeError`, `ValueError` or the like: this client sent something that it does not understand.
    #[error("Odoo does not understand the call ({name}): {message}")]
    ClientBug { name: String, message: String },
    /// Any other error that Odoo names.
    #[error("Odoo failed ({name}): {message}")]
    Server { name: String, message: String },
    /// No answer arrived: connect, timeout, cut connection. Retryable, but **a write may have happened**: look first.
    #[error("no answer from Odoo")]
    Transport(#[source] reqwest::Error),
    /// 429, 502, 503, 504 or a database that is down. Retryable; for writes the same caution as [`Error::Transport`].
    #[error("Odoo is unavailable ({reason})")]
    Unavailable { reason: String, retry_after: Option<Duration> },
    /// Our own queue for this Odoo is longer than the timeout of a call. Nothing was sent. Retryable.
    #[error("too many calls are waiting for Odoo, the next turn is in {wait:?}")]
    Busy { wait: Duration },
    /// A page instead of data: an unknown database, a proxy, a login redirect.
    #[error("Odoo answered {status} with a page instead of data: {hint}")]
    Html { status: u16, hint: &'static str },
    /// The answer has another shape than expected.
    #[error("unexpected answer of Odoo to {call}: {detail}")]
    Unexpected { call: String, detail: String },
    /// The answer is larger than this client reads.
    #[error("the answer of Odoo is larger than {limit} bytes")]
    TooLarge { limit: usize },
    /// This Odoo has no such fields, or hides them from the user. Raised before anything is written.
    #[error("this Odoo has no field {fields:?} on {model}, or the user may not see it")]
    Schema { model: String, fields: Vec<String> },
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
}

impl Error {
    /// Whether the same call may succeed later. For writes: look up first, since an answer can be lost after the deed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Serialization { .. } | Self::Transport(_) | Self::Unavailable { .. } | Self::Busy { .. })
    }

    /// How long to wait before the next try, when the other side said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Busy { wait } => Some(*wait),
            _ => None,
        }
    }

    /// From the name that Odoo gives (a Python class) and its message.
    pub(crate) fn named(name: &str, message: &str) -> Self {
        let message = cut(message);
        let (module, class) = name.rsplit_once('.').unwrap_or(("", name));
        match class {
            "AccessError" => Self::Access { message },
            "MissingError" => Self::Missing { message },
            "AccessDenied" | "Unauthorized" => Self::Unauthorized,
            "NotFound" => Self::NotFound { message },
            // 19's LockError means "another transaction holds the row".
            "SerializationFailure"
            | "DeadlockDetected"
            | "LockNotAvailable"
            | "TransactionRollbackError"
            | "LockError"
            | "ConcurrencyError" => Self::Serialization { message },
            // JSON-RPC spells "unknown model" as a UserError.
            "UserError" if message.ends_with("doesn't exist") => Self::NotFound { message },
            "ValidationError" | "UserError" | "RedirectWarning" => Self::Validation { message },
            "AttributeError" if message.ends_with("does not exist") => Self::NotFound { message },
            "UnprocessableEntity" | "BadRequest" => Self::ClientBug { name: name.to_owned(), message },
            "OperationalError" if message.contains("does not exist") => {
                Self::NotFound { message: "the database does not exist".into() }
            }
            "OperationalError" | "InterfaceError" | "PoolError" => {
                Self::Unavailable { reason: "its database is down".into(), retry_after: None }
            }
            _ if module == "builtins" => Self::ClientBug { name: name.to_owned(), message },
            _ => Self::Server { name: name.to_owned(), message },
        }
    }

    /// From one message of `load`, which reports a lost race as text only.
    pub(crate) fn of_load(message: &str) -> Self {
        let raced = ["could not serialize access", "deadlock detected", "duplicate key value", "could not obtain lock"];
        if raced.iter().any(|text| message.contains(text)) {
            return Self::Serialization { message: cut(message) };
        }
        Self::Validation { message: cut(message) }
    }

    pub(crate) fn unexpected(call: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Unexpected { call: call.into(), detail: detail.into() }
    }
}

fn cut(message: &str) -> String {
    message.trim().chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_race_is_retryable_whichever_way_odoo_says_it() {
        for name in
            ["psycopg2.errors.SerializationFailure", "psycopg2.errors.DeadlockDetected", "odoo.exceptions.LockError"]
        {
            assert!(Error::named(name, "x").is_retryable(), "{name}");
        }
        assert!(Error::of_load("could not serialize access due to concurrent update").is_retryable());
        assert!(!Error::of_load("No matching record found for database id '9'").is_retryable());
    }

    #[test]
    fn our_own_mistakes_are_never_retried() {
        for name in [
            "builtins.TypeError",
            "builtins.ValueError",
            "builtins.KeyError",
            "werkzeug.exceptions.UnprocessableEntity",
        ] {
            let error = Error::named(name, "x");
            assert!(matches!(error, Error::ClientBug { .. }) && !error.is_retryable(), "{name}");
        }
    }

    #[test]
    fn an_unknown_database_is_not_a_database_that_is_down() {
        let unknown = "connection to server failed: FATAL:  database \"nope\" does not exist\n";
        assert!(matches!(Error::named("psycopg2.OperationalError", unknown), Error::NotFound { .. }));
        assert!(Error::named("psycopg2.OperationalError", "connection refused").is_retryable());
    }
}
