//! What can go wrong between us and the database.

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or refuses work for now; worth trying again.
    #[error("the store is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// Another transaction holds what this one needs.
    #[error("the row is locked by another transaction")]
    Busy(#[source] sqlx::Error),
    /// A row with that key exists.
    #[error("a row with that key exists")]
    Duplicate(#[source] sqlx::Error),
    /// A statement failed: our mistake.
    #[error("a statement failed")]
    Sql(#[source] sqlx::Error),
    /// A value has no JSON form.
    #[error("a value has no JSON form")]
    Json(#[from] serde_json::Error),
    #[error("a migration failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("the store's URL must start with sqlite: or postgres:")]
    Url,
    #[error("the folder of the store cannot be used")]
    Folder(#[source] std::io::Error),
    #[error("the service is shutting down")]
    Closed,
}

impl StoreError {
    /// For errors while connecting, where every cause is worth trying again.
    pub(super) fn unavailable(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolClosed => Self::Closed,
            other => Self::Unavailable(other),
        }
    }

    /// Whether the same work may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Busy(_) | Self::Closed)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|e| e.code().map(std::borrow::Cow::into_owned));
        match (&error, code.as_deref()) {
            // PostgreSQL class 08 connection, 53 resources, 57 operator intervention, 40 serialization;
            // 25P03 idle for too long inside a transaction; 55P03 lock timeout; SQLite 5 busy.
            (_, Some("55P03" | "5" | "261" | "517")) => Self::Busy(error),
            (_, Some(code))
                if code == "25P03"
                    || ["08", "53", "57", "40"].iter().any(|class| code.len() == 5 && code.starts_with(class)) =>
            {
                Self::Unavailable(error)
            }
            (_, Some("23505" | "1555" | "2067")) => Self::Duplicate(error),
            (
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_),
                _,
            ) => Self::Unavailable(error),
            (sqlx::Error::PoolClosed, _) => Self::Closed,
            _ => Self::Sql(error),
        }
    }
}
