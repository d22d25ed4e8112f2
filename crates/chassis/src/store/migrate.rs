//! Migrations: the chassis's own and then the service's, one sequence per service, run by sqlx under its lock.

use sqlx::{
    AnyPool, AssertSqlSafe, Connection, Executor, SqlSafeStr,
    any::AnyPoolOptions,
    migrate::{Migration, MigrationType, Migrator},
};

use super::{Dialect, StoreError, StoreOptions};

/// One migration: `number_name` and its portable SQL.
#[derive(Clone, Copy, Debug)]
pub struct MigrationText {
    /// `0101_requests`: the number orders it; services start at 0101.
    pub name: &'static str,
    pub sql: &'static str,
}

const OWN: &[MigrationText] = crate::migrations![
    "0001_reliable_path",
    "0002_tidy_inbox",
    "0003_claim_in_order",
    "0004_cheap_updates",
    "0005_audit_log"
];

/// What nobody but the owner may change in the audit log, beside the triggers that refuse everybody.
const APPEND_ONLY: [&str; 4] = ["audit", "audit_log", "audit_nodes", "audit_checkpoints"];

impl MigrationText {
    fn number(&self) -> i64 {
        self.name.split_once('_').and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
    }
}

pub(super) async fn run(pool: &AnyPool, dialect: Dialect, service: &[MigrationText]) -> Result<(), StoreError> {
    let migrations = OWN.iter().chain(service).map(|text| {
        let name = text.name.split_once('_').map_or(text.name, |(_, name)| name);
        Migration::new(
            text.number(),
            name.into(),
            MigrationType::Simple,
            AssertSqlSafe(dialect.adapt(text.sql)).into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect()).run(pool).await?;
    Ok(())
}

/// Whether there is nothing to do. Asked first, because a role that does not own its schema may not even try.
pub(super) async fn is_done(pool: &AnyPool, service: &[MigrationText]) -> Result<bool, StoreError> {
    let applied =
        sqlx::query_scalar::<_, i64>("SELECT version FROM _sqlx_migrations WHERE success").fetch_all(pool).await;
    // No such table yet.
    let Ok(applied) = applied else { return Ok(false) };
    Ok(OWN.iter().chain(service).all(|text| applied.contains(&text.number())))
}

/// Makes the schema on PostgreSQL, before the pool exists whose connections all live in it. Where the tables have an
/// owner of their own, it migrates, and gives the service's role what a service needs.
pub(super) async fn prepare_schema(
    dialect: Dialect,
    url: &str,
    options: &StoreOptions,
    service: &[MigrationText],
) -> Result<(), StoreError> {
    let schema = options.schema;
    match &options.owner_url {
        _ if dialect == Dialect::Sqlite => Ok(()),
        None => create_schema(url, schema).await,
        Some(owner) => {
            create_schema(owner, schema).await?;
            let pool = AnyPoolOptions::new().max_connections(1);
            let pool = pool.after_connect(move |connection, _| Box::pin(dialect.prepare(connection, schema)));
            let pool = pool.connect(owner).await.map_err(StoreError::unavailable)?;
            if !is_done(&pool, service).await? {
                run(&pool, dialect, service).await?;
            }
            let mut as_service = sqlx::AnyConnection::connect(url).await.map_err(StoreError::unavailable)?;
            let role: String =
                sqlx::query_scalar("SELECT CAST(current_user AS TEXT)").fetch_one(&mut as_service).await?;
            as_service.close().await?;
            grant(&pool, schema, &role).await?;
            pool.close().await;
            Ok(())
        }
    }
}

/// All that a service does to its tables, and nothing that would change the audit log. Repeated at each start, because
/// a migration may have brought new tables.
async fn grant(pool: &AnyPool, schema: &str, role: &str) -> Result<(), StoreError> {
    let role = role.replace('"', "\"\"");
    let audit = APPEND_ONLY.join(", ");
    let statements = [
        format!("GRANT USAGE ON SCHEMA \"{schema}\" TO \"{role}\""),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"{schema}\" TO \"{role}\""),
        format!("REVOKE UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES ON {audit} FROM \"{role}\""),
        format!("REVOKE INSERT, UPDATE, DELETE ON _sqlx_migrations FROM \"{role}\""),
    ];
    // One transaction: between granting and revoking nobody must find the log open. The lock is for two replicas, which
    // would otherwise write the same catalogue rows at once.
    let script = format!("BEGIN; SELECT pg_advisory_xact_lock(731641850001); {}; COMMIT", statements.join("; "));
    pool.execute(AssertSqlSafe(script)).await?;
    Ok(())
}

async fn create_schema(url: &str, schema: &str) -> Result<(), StoreError> {
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
