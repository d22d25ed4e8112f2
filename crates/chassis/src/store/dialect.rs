//! Where SQLite and PostgreSQL must part, they part here.

use std::fs::File;

use jiff::Timestamp;
use sqlx::{AnyConnection, AssertSqlSafe, Executor};

use super::{StoreError, StoreOptions};

/// Where the files of SQLite are.
fn folder(options: &StoreOptions) -> &str {
    options.url.trim_start_matches("sqlite:").trim_start_matches("//")
}

/// Which database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    pub(super) fn of(url: &str) -> Result<Self, StoreError> {
        match url.split_once(':') {
            Some(("sqlite", _)) => Ok(Self::Sqlite),
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres),
            _ => Err(StoreError::Url),
        }
    }

    /// The connection URL of one service: a file of its own on SQLite.
    pub(super) fn url(self, options: &StoreOptions) -> Result<String, StoreError> {
        match self {
            Self::Postgres => Ok(options.url.clone()),
            Self::Sqlite => {
                let folder = folder(options);
                std::fs::create_dir_all(folder).map_err(StoreError::Folder)?;
                Ok(format!("sqlite://{folder}/{}.db?mode=rwc", options.schema))
            }
        }
    }

    /// Held while migrations run: sqlx lets one process at a time migrate PostgreSQL, and all of them SQLite.
    pub(super) async fn turn_to_migrate(self, options: &StoreOptions) -> Result<Option<File>, StoreError> {
        if self == Self::Postgres {
            return Ok(None);
        }
        let path = format!("{}/{}.lock", folder(options), options.schema);
        let turn = tokio::task::spawn_blocking(move || {
            let file = File::create(path)?;
            file.lock().map(|()| file)
        });
        turn.await.map_err(|_| StoreError::Closed)?.map(Some).map_err(StoreError::Folder)
    }

    /// SQLite takes its write lock at once, or two readers that both want to write would deadlock.
    pub(super) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// SQLite has no such thing within a connection.
    pub(super) fn begin_relaxed(self) -> &'static str {
        match self {
            Self::Sqlite => self.begin(),
            Self::Postgres => "BEGIN; SET LOCAL synchronous_commit = off",
        }
    }

    /// Per-connection settings. `recursive_triggers` so that the audit log refuses `INSERT OR REPLACE` as well, which
    /// deletes. `synchronous = FULL` because an answered command must survive a power cut; the lock
    /// timeout turns a wait for a running twin into an answer (409) instead of a hanging call.
    pub(super) async fn prepare(self, connection: &mut AnyConnection, schema: &str) -> Result<(), sqlx::Error> {
        let statements = match self {
            Self::Sqlite => "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; \
                 PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON"
                .to_owned(),
            // The idle timeout is for a replica that was stopped or cut off inside a transaction: its locks would keep
            // rows and leases from all the others for as long as its connection looks alive. Statements here take
            // milliseconds; compiling one took 360 of them. Documents of some kilobytes are compressed as they are written,
            // which was a tenth of what an approval cost the server; lz4, where the server has it, takes far less.
            Self::Postgres => format!(
                "SET search_path TO \"{schema}\"; SET lock_timeout = '4s'; \
                 SET idle_in_transaction_session_timeout = '60s'; SET jit = off; \
                 SELECT set_config(name, 'lz4', false) FROM pg_settings \
                 WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)"
            ),
        };
        for statement in statements.split(';') {
            connection.execute(AssertSqlSafe(statement.to_owned())).await?;
        }
        Ok(())
    }

    /// Chooses between two texts of one statement.
    #[must_use]
    pub fn pick(self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
        }
    }

    /// A `SELECT` that locks its rows; SQLite's one writer holds the lock already.
    #[must_use]
    pub fn for_update(self, select: &'static str) -> AssertSqlSafe<String> {
        AssertSqlSafe(match self {
            Self::Sqlite => select.to_owned(),
            Self::Postgres => format!("{select} FOR UPDATE"),
        })
    }

    /// Migration text with the tokens replaced. What follows `-- postgres: ` is a comment to SQLite.
    pub(super) fn adapt(self, migration: &str) -> String {
        let keyed = migration.replace(
            "AUTO_KEY",
            self.pick("INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
        );
        keyed.replace(self.pick("-- sqlite: ", "-- postgres: "), "")
    }
}

/// Microseconds since 1970 UTC: how the store holds an instant.
#[must_use]
pub fn micros(instant: Timestamp) -> i64 {
    instant.as_microsecond()
}

/// The instant of a stored number; a number outside of time is cut to its ends.
#[must_use]
pub fn instant(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// As [`instant`], of a column that may be empty.
#[must_use]
pub fn instant_opt(micros: Option<i64>) -> Option<Timestamp> {
    micros.map(instant)
}
