//! The order of an inbox: first what waiting loses most money on, then by the deadline alone what cannot be compared.

use chassis::{
    prelude::{StoreError, micros},
    store::Reader,
};
use contracts::{PersonId, money::Currency};
use serde::{Deserialize, Serialize};
use sqlx::{Any, AssertSqlSafe, FromRow, query::Query};

use super::{Conditions, Scope, Stored, select};

/// Where a request stands in the order, so that a page can begin after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// What was compared in when the list began; a list goes on as it began. `None`: nothing could be compared.
    pub(crate) currency: Option<Currency>,
    /// Lost per hour and approval, in minor units of it; `None` among those that go by the deadline alone.
    loses: Option<i64>,
    /// Microseconds.
    decide_by: i64,
    id: String,
}

impl Place {
    pub(crate) fn of(request: &Stored, currency: Option<Currency>) -> Self {
        let loses = request.loses().filter(|money| Some(money.currency) == currency);
        let decide_by = request.state.waiting().map_or(0, |waiting| micros(waiting.decide_by));
        Self { currency, loses: loses.map(|money| money.minor), decide_by, id: request.id.clone() }
    }
}

/// What waits within the scope, in the order of an inbox that compares in this currency, after a place in it.
///
/// # Errors
/// When the store fails.
pub(crate) async fn waiting(
    reader: &mut Reader,
    scope: &Scope,
    currency: Option<Currency>,
    after: Option<&Place>,
    limit: usize,
) -> Result<Vec<Stored>, StoreError> {
    let mut found = Vec::new();
    if let Some(currency) = currency
        && after.is_none_or(|place| place.loses.is_some())
    {
        found = dearest(reader, scope, currency, after, limit).await?;
    }
    let missing = limit.saturating_sub(found.len());
    if missing > 0 {
        let after = after.filter(|place| place.loses.is_none());
        found.extend(soonest(reader, scope, currency, after, missing).await?);
    }
    Ok(found)
}

async fn dearest(
    reader: &mut Reader,
    scope: &Scope,
    currency: Currency,
    after: Option<&Place>,
    limit: usize,
) -> Result<Vec<Stored>, StoreError> {
    let mut conditions = Conditions::waiting(scope);
    conditions.one("loses_currency = ", Some(&currency.as_str().to_owned()));
    let mut numbers = Vec::new();
    if let Some(Place { loses: Some(loses), decide_by, id, .. }) = after {
        let id = conditions.placeholder(id);
        let next = conditions.values.len() + 1;
        let (money, time) = (format!("${next}"), format!("${}", next + 1));
        // The first comparison is what an index can start from.
        conditions
            .all
            .push(format!("loses_minor <= {money} AND (loses_minor < {money} OR (decide_by_at, id) > ({time}, {id}))"));
        numbers = vec![*loses, *decide_by];
    }
    fetch(reader, conditions, numbers, "loses_minor DESC, decide_by_at, id", limit).await
}

async fn soonest(
    reader: &mut Reader,
    scope: &Scope,
    currency: Option<Currency>,
    after: Option<&Place>,
    limit: usize,
) -> Result<Vec<Stored>, StoreError> {
    let mut conditions = Conditions::waiting(scope);
    if let Some(currency) = currency {
        let placeholder = conditions.placeholder(currency.as_str());
        conditions.all.push(format!("(loses_currency IS NULL OR loses_currency <> {placeholder})"));
    }
    let mut numbers = Vec::new();
    if let Some(Place { decide_by, id, .. }) = after {
        let id = conditions.placeholder(id);
        conditions.all.push(format!("(decide_by_at, id) > (${}, {id})", conditions.values.len() + 1));
        numbers = vec![*decide_by];
    }
    fetch(reader, conditions, numbers, "decide_by_at, id", limit).await
}

/// `numbers` are bound after the texts of the conditions.
async fn fetch(
    reader: &mut Reader,
    conditions: Conditions,
    numbers: Vec<i64>,
    order: &'static str,
    limit: usize,
) -> Result<Vec<Stored>, StoreError> {
    let last = conditions.values.len() + numbers.len() + 1;
    // Built from constants and placeholders only; every value is bound.
    let sql = format!("{}WHERE {} ORDER BY {order} LIMIT ${last}", select!(""), conditions.all.join(" AND "));
    let query: Query<'_, Any, _> = sqlx::query(AssertSqlSafe(sql));
    let query = conditions.values.into_iter().fold(query, Query::bind);
    let query = numbers.into_iter().fold(query, Query::bind).bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = query.fetch_all(&mut **reader).await?;
    Ok(rows.iter().map(Stored::from_row).collect::<Result<_, _>>()?)
}

/// Ids of the waiting requests that one of these people was called in to.
///
/// # Errors
/// When the store fails.
pub(crate) async fn called_in(reader: &mut Reader, people: &[&PersonId]) -> Result<Vec<String>, StoreError> {
    let mut ids = Vec::new();
    for person in people {
        let select = "SELECT c.request_id FROM called_in c JOIN requests r ON r.id = c.request_id \
                      WHERE c.person = $1 AND r.status = 'waiting'";
        ids.extend(sqlx::query_scalar::<_, String>(select).bind(person.to_string()).fetch_all(&mut **reader).await?);
    }
    Ok(ids)
}
