//! Migrations: the chassis's own and then the service's, one sequence per service, run by sqlx under its lock.

use sqlx::{
    AnyPool, AssertSqlSafe, Connection, Executor, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

use super::{Dialect, StoreError};

/// One migration: `number_name` and its portable SQL.
#[derive(Clone, Copy, Debug)]
pub struct MigrationText {
    /// `0101_requests`: the number orders it; services start at 0101.
    pub name: &'static str,
    pub sql: &'static str,
}

const OWN: &[MigrationText] =
    crate::migrations!["0001_reliable_path", "0002_tidy_inbox", "0003_claim_in_order", "0004_cheap_updates"];

pub(super) async fn run(pool: &AnyPool, dialect: Dialect, service: &[MigrationText]) -> Result<(), StoreError> {
    let migrations = OWN.iter().chain(service).map(|text| {
        let (number, name) = text.name.split_once('_').unwrap_or((text.name, text.name));
        Migration::new(
            number.parse().unwrap_or(0),
            name.into(),
            MigrationType::Simple,
            AssertSqlSafe(dialect.adapt(text.sql)).into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect()).run(pool).await?;
    Ok(())
}

/// Makes the service's schema before the pool exists, whose connections all live in it.
pub(super) async fn create_schema(url: &str, schema: &str) -> Result<(), StoreError> {
    let mut connection = sqlx::AnyConnection::connect(url).await.map_err(StoreError::unavailable)?;
    let exists = sqlx::query("SELECT 1 FROM information_schema.schemata WHERE schema_name = $1")
        .bind(schema)
        .fetch_optional(&mut connection)
        .await?;
    if exists.is_none() {
        let created = connection.execute(AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\""))).await;
        // Two replicas may create it at once; PostgreSQL then refuses one of them although the schema is there.
        match created.map_err(StoreError::from) {
            Ok(_) | Err(StoreError::Duplicate(_)) => {}
            Err(other) => return Err(other),
        }
    }
    connection.close().await?;
    Ok(())
}

/// The migrations of a service, by name, from its `migrations` folder.
#[macro_export]
macro_rules! migrations {
    ($($name:literal),+ $(,)?) => {
        &[$($crate::store::MigrationText {
            name: $name,
            sql: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $name, ".sql")),
        }),+]
    };
}
