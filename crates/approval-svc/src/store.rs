//! All SQL of this service.

pub(crate) mod authority;
pub(crate) mod evidence;
pub(crate) mod grants;
pub(crate) mod inbox;
pub(crate) mod overrides;
pub(crate) mod policies;
pub(crate) mod revisions;
pub(crate) mod timers;

use chassis::{
    prelude::{StoreError, Timestamp, Tx, instant, micros},
    store::Reader,
};
use contracts::{LocationId, Money, PersonId, RegionId, Trace};
use governance::{State, policy::Step};
use sqlx::{
    Any, AssertSqlSafe, FromRow, Row,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use crate::rules::{proposal::Case, view::Status};

/// A request with everything that is kept of it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) reference: Option<String>,
    /// `key:n8n`, `person:olga`.
    pub(crate) requested_by: String,
    pub(crate) case: Case,
    pub(crate) state: State,
    pub(crate) grant: Option<IssuedGrant>,
    /// The thread of business it belongs to, from asking to answer.
    pub(crate) thread: Trace,
    pub(crate) created_at: Timestamp,
    /// Where the decision is delivered. A repeated request may bring another address, as a retried workflow does.
    pub(crate) callbacks: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct IssuedGrant {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl<'r> FromRow<'r, AnyRow> for Stored {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        let grant_id: Option<String> = row.try_get("grant_id")?;
        let token: Option<String> = row.try_get("grant_token")?;
        Ok(Self {
            id: row.try_get("id")?,
            reference: row.try_get("reference")?,
            requested_by: row.try_get("requested_by")?,
            case: json(row, "document")?,
            state: json(row, "state")?,
            grant: grant_id.zip(token).map(|(id, token)| IssuedGrant { id, token }),
            thread: Trace {
                traceparent: row.try_get("traceparent")?,
                correlation_id: row.try_get("correlation_id")?,
                causation_id: None,
            },
            created_at: instant(row.try_get("created_at")?),
            callbacks: json(row, "callbacks")?,
        })
    }
}

fn json<T: serde::de::DeserializeOwned>(row: &AnyRow, column: &str) -> Result<T, sqlx::Error> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text)
        .map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() })
}

/// The columns of [`Stored`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, reference, requested_by, document, state, grant_id, grant_token, traceparent, correlation_id, \
             created_at, callbacks FROM requests ",
            $rest
        )
    };
}

pub(crate) use select;

impl Stored {
    /// What an hour of an approver's attention to this request saves: the cost of waiting in the currency of the policy
    /// that judged, shared by the approvals that it still needs. `None` when nobody said what waiting costs, or the
    /// policy states no rate for it.
    pub(crate) fn loses(&self) -> Option<Money> {
        let missing =
            |(index, step): (u32, &Step)| i64::from(step.quorum).saturating_sub(count(self.state.counted(index)));
        let needed: i64 = (0_u32..).zip(&self.state.steps).map(missing).map(|missing| missing.max(0)).sum();
        self.case.cost_compared.map(|cost| Money::new(cost.minor / needed.max(1), cost.currency))
    }
}

fn count(approvals: usize) -> i64 {
    i64::try_from(approvals).unwrap_or(i64::MAX)
}

/// Adds a request; `false` when its reference is taken, and then nothing was added.
///
/// # Errors
/// When the store fails.
pub(crate) async fn add(tx: &mut Tx, request: &Stored) -> Result<bool, StoreError> {
    let state = &request.state;
    let insert = sqlx::query(
        "INSERT INTO requests (from_location, from_region, to_location, to_region, at_stake_minor, at_stake_currency, \
         waiting_costs_minor, waiting_costs_currency, document, id, reference, requested_by, status, version, \
         decide_by_at, wake_at, state, grant_id, grant_token, traceparent, correlation_id, created_at, decided_at, \
         callbacks, loses_minor, loses_currency) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, \
         $23, $24, $25, $26) ON CONFLICT DO NOTHING",
    );
    let loses = request.loses();
    let added = bind_case(insert, &request.case)?
        .bind(request.id.clone())
        .bind(request.reference.clone())
        .bind(request.requested_by.clone())
        .bind(Status::of(state).as_str())
        .bind(i64::from(state.version))
        .bind(state.waiting().map(|waiting| micros(waiting.decide_by)))
        .bind(state.next_wake().map(micros))
        .bind(serde_json::to_string(state)?)
        .bind(request.grant.as_ref().map(|grant| grant.id.clone()))
        .bind(request.grant.as_ref().map(|grant| grant.token.clone()))
        .bind(request.thread.traceparent.clone())
        .bind(request.thread.correlation_id.clone())
        .bind(micros(request.created_at))
        .bind(state.ended().map(|ended| micros(ended.at)))
        .bind(serde_json::to_string(&request.callbacks)?)
        .bind(loses.map(|money| money.minor))
        .bind(loses.map(|money| money.currency.as_str().to_owned()))
        .execute(tx.conn())
        .await?;
    Ok(added.rows_affected() == 1)
}

/// Binds what is asked, first of all: the eight columns that lists select by, and the document.
fn bind_case<'q>(
    query: Query<'q, Any, AnyArguments>,
    case: &Case,
) -> Result<Query<'q, Any, AnyArguments>, serde_json::Error> {
    let (input, cost) = (&case.input, case.cost_of_waiting_per_hour);
    Ok(query
        .bind(input.from.location.as_ref().map(LocationId::to_string))
        .bind(input.from.region.as_ref().map(RegionId::to_string))
        .bind(input.to.location.as_ref().map(LocationId::to_string))
        .bind(input.to.region.as_ref().map(RegionId::to_string))
        .bind(input.value.map(|money| money.minor))
        .bind(input.value.map(|money| money.currency.as_str().to_owned()))
        .bind(cost.map(|money| money.minor))
        .bind(cost.map(|money| money.currency.as_str().to_owned()))
        .bind(serde_json::to_string(case)?))
}

/// Writes a transition from version `seen`. The row is locked already; the version is compared all the same, so that
/// no future path can write over a decision.
///
/// # Errors
/// [`StoreError::Busy`] when the stored version is another one.
pub(crate) async fn record(tx: &mut Tx, request: &Stored, seen: u32) -> Result<(), StoreError> {
    let (state, loses) = (&request.state, request.loses());
    let written = sqlx::query(
        "UPDATE requests SET status = $1, version = $2, decide_by_at = $3, wake_at = $4, state = $5, grant_id = $6, \
         grant_token = $7, decided_at = $8, loses_minor = $9, loses_currency = $10 WHERE id = $11 AND version = $12",
    )
    .bind(Status::of(state).as_str())
    .bind(i64::from(state.version))
    .bind(state.waiting().map(|waiting| micros(waiting.decide_by)))
    .bind(state.next_wake().map(micros))
    .bind(serde_json::to_string(state)?)
    .bind(request.grant.as_ref().map(|grant| grant.id.clone()))
    .bind(request.grant.as_ref().map(|grant| grant.token.clone()))
    .bind(state.ended().map(|ended| micros(ended.at)))
    .bind(loses.map(|money| money.minor))
    .bind(loses.map(|money| money.currency.as_str().to_owned()))
    .bind(request.id.clone())
    .bind(i64::from(seen))
    .execute(tx.conn())
    .await?;
    match written.rows_affected() {
        1 => Ok(()),
        _ => Err(StoreError::Busy(sqlx::Error::RowNotFound)),
    }
}

/// The request, locked until the transaction ends: of two decisions at once the second sees the first.
///
/// # Errors
/// When the store fails.
pub(crate) async fn lock(tx: &mut Tx, id: &str) -> Result<Option<Stored>, StoreError> {
    let select = tx.dialect().for_update(select!("WHERE id = $1"));
    Ok(sqlx::query_as(select).bind(id.to_owned()).fetch_optional(tx.conn()).await?)
}

/// The first request with this reference, locked.
///
/// # Errors
/// When the store fails.
pub(crate) async fn lock_reference(tx: &mut Tx, reference: &str) -> Result<Option<Stored>, StoreError> {
    let select = tx.dialect().for_update(select!("WHERE reference = $1"));
    Ok(sqlx::query_as(select).bind(reference.to_owned()).fetch_optional(tx.conn()).await?)
}

/// The request, for who was let in by other means than a role (a link, an effect).
///
/// # Errors
/// When the store fails.
pub(crate) async fn find(reader: &mut Reader, id: &str) -> Result<Option<Stored>, StoreError> {
    Ok(sqlx::query_as(select!("WHERE id = $1")).bind(id.to_owned()).fetch_optional(&mut **reader).await?)
}

/// Whether there is such a request.
///
/// # Errors
/// When the store fails.
pub(crate) async fn exists(tx: &mut Tx, id: &str) -> Result<bool, StoreError> {
    let found = sqlx::query("SELECT 1 FROM requests WHERE id = $1").bind(id.to_owned()).fetch_optional(tx.conn());
    Ok(found.await?.is_some())
}

/// Remembers who was told.
///
/// # Errors
/// When the store fails.
pub(crate) async fn add_asked(tx: &mut Tx, id: &str, people: &[PersonId]) -> Result<(), StoreError> {
    if people.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = (2..people.len() + 2).map(|person| format!("($1, ${person})")).collect();
    // Built from placeholders only; every value is bound.
    let sql = format!("INSERT INTO asked (request_id, person) VALUES {} ON CONFLICT DO NOTHING", rows.join(", "));
    let insert: Query<'_, Any, _> = sqlx::query(AssertSqlSafe(sql));
    let insert = people.iter().fold(insert.bind(id.to_owned()), |insert, person| insert.bind(person.to_string()));
    insert.execute(tx.conn()).await?;
    Ok(())
}

/// Keeps the addresses of a locked request.
///
/// # Errors
/// When the store fails.
pub(crate) async fn set_callbacks(tx: &mut Tx, request: &Stored) -> Result<(), StoreError> {
    sqlx::query("UPDATE requests SET callbacks = $1 WHERE id = $2")
        .bind(serde_json::to_string(&request.callbacks)?)
        .bind(request.id.clone())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// A grant that ran out unused, and what it was for.
#[derive(Debug)]
pub(crate) struct Lapsed {
    pub(crate) grant_id: String,
    pub(crate) expired_at: Timestamp,
    pub(crate) request: Stored,
}

/// Keeps in mind that this grant is to be used.
///
/// # Errors
/// When the store fails.
pub(crate) async fn add_unused(tx: &mut Tx, grant: &str, request: &str, expires: Timestamp) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO unused_grants (grant_id, request_id, expires_at) VALUES ($1, $2, $3)")
        .bind(grant.to_owned())
        .bind(request.to_owned())
        .bind(micros(expires))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// It was used, or a person is told that it was not; `false` when one of both was known already.
///
/// # Errors
/// When the store fails.
pub(crate) async fn forget_unused(tx: &mut Tx, grant: &str) -> Result<bool, StoreError> {
    let delete = sqlx::query("DELETE FROM unused_grants WHERE grant_id = $1").bind(grant.to_owned());
    Ok(delete.execute(tx.conn()).await?.rows_affected() == 1)
}

/// The unused grants that ran out before this instant, the oldest first.
///
/// # Errors
/// When the store fails.
pub(crate) async fn lapsed(reader: &mut Reader, before: Timestamp, limit: u32) -> Result<Vec<Lapsed>, StoreError> {
    let select = "SELECT grant_id, request_id, expires_at FROM unused_grants WHERE expires_at <= $1 \
                  ORDER BY expires_at, grant_id LIMIT $2";
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as(select).bind(micros(before)).bind(i64::from(limit)).fetch_all(&mut **reader).await?;
    let mut lapsed = Vec::new();
    for (grant_id, request, expires_at) in rows {
        if let Some(request) = find(reader, &request).await? {
            lapsed.push(Lapsed { grant_id, expired_at: instant(expires_at), request });
        }
    }
    Ok(lapsed)
}

/// Which requests a caller may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// No role is bound to a place.
    pub(crate) everywhere: bool,
    pub(crate) regions: Vec<String>,
    pub(crate) locations: Vec<String>,
    /// `key:n8n`, `person:olga`: what they asked for themselves they always see.
    pub(crate) actor: String,
    /// What they were asked about they always see.
    pub(crate) person: Option<String>,
}

/// Which of them to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) id: Option<String>,
    pub(crate) status: Option<Status>,
    /// Older than this id.
    pub(crate) before: Option<String>,
    pub(crate) limit: u32,
}

/// The requests within the scope, the newest first.
///
/// # Errors
/// When the store fails.
pub(crate) async fn list(reader: &mut Reader, scope: &Scope, wanted: &Wanted) -> Result<Vec<Stored>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.one("id = ", wanted.id.as_ref());
    conditions.one("status = ", wanted.status.map(|status| status.as_str().to_owned()).as_ref());
    conditions.one("id < ", wanted.before.as_ref());
    if !scope.everywhere {
        conditions.within(scope);
    }
    let clause =
        if conditions.all.is_empty() { String::new() } else { format!("WHERE {}", conditions.all.join(" AND ")) };
    let limit = conditions.values.len() + 1;
    // Built from constants and placeholders only; every value is bound.
    let sql = format!("{}{clause} ORDER BY id DESC LIMIT ${limit}", select!(""));
    let query: Query<'_, Any, _> = sqlx::query(AssertSqlSafe(sql));
    let query = conditions.values.into_iter().fold(query, Query::bind).bind(i64::from(wanted.limit));
    let rows = query.fetch_all(&mut **reader).await?;
    Ok(rows.iter().map(Stored::from_row).collect::<Result<_, _>>()?)
}

/// A `WHERE` clause in the making: its text holds placeholders only.
#[derive(Default)]
struct Conditions {
    all: Vec<String>,
    values: Vec<String>,
}

impl Conditions {
    /// What waits within the scope.
    fn waiting(scope: &Scope) -> Self {
        // A literal, so that the indices of what waits fit.
        let mut conditions = Self { all: vec!["status = 'waiting'".to_owned()], values: Vec::new() };
        if !scope.everywhere {
            conditions.within(scope);
        }
        conditions
    }

    fn placeholder(&mut self, value: &str) -> String {
        self.values.push(value.to_owned());
        format!("${}", self.values.len())
    }

    fn one(&mut self, condition: &'static str, value: Option<&String>) {
        if let Some(value) = value {
            let placeholder = self.placeholder(value);
            self.all.push(format!("{condition}{placeholder}"));
        }
    }

    fn within(&mut self, scope: &Scope) {
        let mut any = vec![format!("requested_by = {}", self.placeholder(&scope.actor))];
        if let Some(person) = &scope.person {
            let person = self.placeholder(person);
            any.push(format!("EXISTS (SELECT 1 FROM asked WHERE request_id = requests.id AND person = {person})"));
        }
        for (columns, names) in
            [(["from_region", "to_region"], &scope.regions), (["from_location", "to_location"], &scope.locations)]
        {
            let list = names.iter().map(|name| self.placeholder(name)).collect::<Vec<_>>().join(", ");
            if !names.is_empty() {
                any.extend(columns.map(|column| format!("{column} IN ({list})")));
            }
        }
        self.all.push(format!("({})", any.join(" OR ")));
    }
}
