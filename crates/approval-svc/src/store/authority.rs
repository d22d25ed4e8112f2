//! How far people's authority goes: delegations, the ledger of approvals, chains of documents, suspicions.

use std::collections::{BTreeMap, BTreeSet};

use chassis::prelude::{StoreError, Timestamp, Tx, instant, micros};
use contracts::PersonId;
use governance::authority::{Delegation, Evidence, Given, Matter, Past, Pattern, Suspicion};
use jiff::SignedDuration;
use sqlx::{AnyConnection, Row, any::AnyRow};

/// Rows looked at for one pattern; a pattern of more has shown itself before.
const PATTERN_ROWS: i64 = 200;

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    Ok(serde_json::from_str(text)?)
}

/// An id that was one when it was stored.
pub(super) fn person_of(id: String) -> Result<PersonId, StoreError> {
    PersonId::new(id).map_err(|error| sqlx::Error::Decode(Box::new(error)).into())
}

/// Locks rows by name until the transaction ends, making those that are missing. In the order of their names, so that
/// two decisions that need the same ones cannot wait for each other.
///
/// # Errors
/// When the store fails.
pub(crate) async fn lock_names(tx: &mut Tx, names: &BTreeSet<String>) -> Result<(), StoreError> {
    for name in names {
        sqlx::query("INSERT INTO authority_locks (name) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(name.clone())
            .execute(tx.conn())
            .await?;
        let select = tx.dialect().for_update("SELECT name FROM authority_locks WHERE name = $1");
        sqlx::query(select).bind(name.clone()).fetch_one(tx.conn()).await?;
    }
    Ok(())
}

/// What is kept about a request at this moment beside the request itself.
#[derive(Debug, Default)]
pub(crate) struct Around {
    /// Delegations that are in force.
    pub(crate) delegations: Vec<Delegation>,
    pub(crate) called_in: BTreeSet<(u32, PersonId)>,
    /// Whether the request belongs to a chain of documents.
    pub(crate) has_related: bool,
}

/// All of it in one statement, because every decision asks.
///
/// # Errors
/// When the store fails.
pub(crate) async fn around(conn: &mut AnyConnection, id: &str, now: Timestamp) -> Result<Around, StoreError> {
    let rows = sqlx::query(
        "SELECT 'delegation' AS what, document AS value, 0 AS step FROM delegations WHERE ends_at > $1 \
         AND starts_at <= $1 AND revoked_at IS NULL \
         UNION ALL SELECT 'called_in', person, step FROM called_in WHERE request_id = $2 \
         UNION ALL SELECT 'related', earlier_id, 0 FROM related WHERE request_id = $2 \
         UNION ALL SELECT 'related', request_id, 0 FROM related WHERE earlier_id = $2",
    );
    let mut around = Around::default();
    for row in rows.bind(micros(now)).bind(id.to_owned()).fetch_all(conn).await? {
        let (what, value): (String, String) = (row.try_get("what")?, row.try_get("value")?);
        match what.as_str() {
            "delegation" => around.delegations.push(parsed(&value)?),
            "called_in" => {
                let step: i64 = row.try_get("step")?;
                around.called_in.insert((u32::try_from(step).unwrap_or(u32::MAX), person_of(value)?));
            }
            _ => around.has_related = true,
        }
    }
    around.delegations.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(around)
}

/// Adds a delegation.
///
/// # Errors
/// When the store fails.
pub(crate) async fn add_delegation(tx: &mut Tx, new: &Delegation) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO delegations (id, delegator, delegate, document, starts_at, ends_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(new.id.clone())
    .bind(new.delegator.to_string())
    .bind(new.delegate.to_string())
    .bind(serde_json::to_string(new)?)
    .bind(micros(new.starts_at))
    .bind(micros(new.ends_at))
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn delegation(row: &AnyRow) -> Result<Delegation, StoreError> {
    let mut found: Delegation = parsed(&row.try_get::<String, _>("document")?)?;
    found.revoked_at = row.try_get::<Option<i64>, _>("revoked_at")?.map(instant);
    Ok(found)
}

/// Those that count now or later.
///
/// # Errors
/// When the store fails.
pub(crate) async fn delegations_alive(conn: &mut AnyConnection, now: Timestamp) -> Result<Vec<Delegation>, StoreError> {
    let alive = "SELECT document, revoked_at FROM delegations WHERE ends_at > $1 AND revoked_at IS NULL ORDER BY id";
    sqlx::query(alive).bind(micros(now)).fetch_all(conn).await?.iter().map(delegation).collect()
}

/// The newest first, before an id; only those by or for this person when one is given.
///
/// # Errors
/// When the store fails.
pub(crate) async fn delegations(
    conn: &mut AnyConnection,
    person: Option<&PersonId>,
    before: Option<String>,
    limit: u32,
) -> Result<Vec<Delegation>, StoreError> {
    let select = "SELECT document, revoked_at FROM delegations WHERE ($1 = '' OR delegator = $1 OR delegate = $1) \
                  AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3";
    let rows = sqlx::query(select)
        .bind(person.map(ToString::to_string).unwrap_or_default())
        .bind(before.unwrap_or_default())
        .bind(i64::from(limit));
    rows.fetch_all(conn).await?.iter().map(delegation).collect()
}

/// # Errors
/// When the store fails.
pub(crate) async fn lock_delegation(tx: &mut Tx, id: &str) -> Result<Option<Delegation>, StoreError> {
    let select = tx.dialect().for_update("SELECT document, revoked_at FROM delegations WHERE id = $1");
    let row = sqlx::query(select).bind(id.to_owned()).fetch_optional(tx.conn()).await?;
    row.as_ref().map(delegation).transpose()
}

/// Ends a delegation before its time.
///
/// # Errors
/// When the store fails.
pub(crate) async fn revoke(tx: &mut Tx, id: &str, by: &str) -> Result<(), StoreError> {
    let now = micros(tx.now());
    sqlx::query("UPDATE delegations SET revoked_at = $1, revoked_by = $2 WHERE id = $3 AND revoked_at IS NULL")
        .bind(now)
        .bind(by.to_owned())
        .bind(id.to_owned())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Enters an approval into the ledger of each of these people.
///
/// # Errors
/// When the store fails.
pub(crate) async fn give(tx: &mut Tx, people: &[&PersonId], request: &str, matter: &Matter) -> Result<(), StoreError> {
    let (matter, now) = (serde_json::to_string(matter)?, micros(tx.now()));
    for person in people {
        let id = tx.new_id().to_string();
        sqlx::query(
            "INSERT INTO approvals_given (id, person, request_id, matter, given_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id)
        .bind(person.to_string())
        .bind(request.to_owned())
        .bind(matter.clone())
        .bind(now)
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// What this person gave since an instant, exclusive.
///
/// # Errors
/// When the store fails.
pub(crate) async fn given(
    conn: &mut AnyConnection,
    person: &PersonId,
    since: Timestamp,
) -> Result<Vec<Given>, StoreError> {
    let rows = sqlx::query("SELECT matter, given_at FROM approvals_given WHERE person = $1 AND given_at > $2")
        .bind(person.to_string())
        .bind(micros(since));
    let given = |row: &AnyRow| {
        let matter: String = row.try_get("matter")?;
        Ok(Given { matter: parsed(&matter)?, at: instant(row.try_get("given_at")?) })
    };
    rows.fetch_all(conn).await?.iter().map(given).collect()
}

/// Requests of one person that another approved since an instant, with when.
///
/// # Errors
/// When the store fails.
pub(crate) async fn approved_by(
    conn: &mut AnyConnection,
    approver: &PersonId,
    requester: &PersonId,
    since: Timestamp,
) -> Result<Vec<(String, Timestamp)>, StoreError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT DISTINCT g.request_id, g.given_at FROM approvals_given g JOIN askers a ON a.request_id = g.request_id \
         WHERE g.person = $1 AND g.given_at > $2 AND a.requester = $3 ORDER BY g.given_at DESC LIMIT $4",
    )
    .bind(approver.to_string())
    .bind(micros(since))
    .bind(format!("person:{requester}"))
    .bind(PATTERN_ROWS)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(id, at)| (id, instant(at))).collect())
}

/// Who approved a request so far, in their own right or through somebody else.
///
/// # Errors
/// When the store fails.
pub(crate) async fn approvers(conn: &mut AnyConnection, id: &str) -> Result<Vec<PersonId>, StoreError> {
    let people: Vec<(String,)> = sqlx::query_as("SELECT DISTINCT person FROM approvals_given WHERE request_id = $1")
        .bind(id.to_owned())
        .fetch_all(conn)
        .await?;
    people.into_iter().map(|(person,)| person_of(person)).collect()
}

/// Remembers who stands behind a request.
///
/// # Errors
/// When the store fails.
pub(crate) async fn add_asker(tx: &mut Tx, past: &Past) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO askers (request_id, requester, past, asked_at, approved_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT DO NOTHING",
    )
    .bind(past.id.clone())
    .bind(past.requester.clone())
    .bind(serde_json::to_string(past)?)
    .bind(micros(past.at))
    .bind(past.approved_at.map(micros))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// # Errors
/// When the store fails.
pub(crate) async fn mark_approved(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    let now = micros(tx.now());
    sqlx::query("UPDATE askers SET approved_at = $1 WHERE request_id = $2")
        .bind(now)
        .bind(id.to_owned())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The latest requests of this requester since an instant, without one of them.
///
/// # Errors
/// When the store fails.
pub(crate) async fn past_of(
    conn: &mut AnyConnection,
    requester: &str,
    but: &str,
    since: Timestamp,
) -> Result<Vec<Past>, StoreError> {
    let rows = sqlx::query(
        "SELECT past, approved_at FROM askers WHERE requester = $1 AND asked_at > $2 AND request_id <> $3 \
         ORDER BY asked_at DESC LIMIT $4",
    )
    .bind(requester.to_owned())
    .bind(micros(since))
    .bind(but.to_owned())
    .bind(PATTERN_ROWS);
    let past = |row: &AnyRow| {
        let mut past: Past = parsed(&row.try_get::<String, _>("past")?)?;
        past.approved_at = row.try_get::<Option<i64>, _>("approved_at")?.map(instant);
        Ok(past)
    };
    rows.fetch_all(conn).await?.iter().rev().map(past).collect()
}

/// The people behind a request: who asked themselves, and for whom it was asked.
///
/// # Errors
/// When the store fails.
pub(crate) async fn requesters(conn: &mut AnyConnection, id: &str) -> Result<Vec<PersonId>, StoreError> {
    let rows: Vec<(String,)> = sqlx::query_as("SELECT requester FROM askers WHERE request_id = $1")
        .bind(id.to_owned())
        .fetch_all(conn)
        .await?;
    let people = rows.iter().filter_map(|(requester,)| requester.strip_prefix("person:"));
    people.map(|id| person_of(id.to_owned())).collect()
}

/// Id of the request with this id or this reference.
///
/// # Errors
/// When the store fails.
pub(crate) async fn id_of(conn: &mut AnyConnection, name: &str) -> Result<Option<String>, StoreError> {
    let found: Option<(String,)> = sqlx::query_as("SELECT id FROM requests WHERE id = $1 OR reference = $1")
        .bind(name.to_owned())
        .fetch_optional(conn)
        .await?;
    Ok(found.map(|(id,)| id))
}

/// Ties a request to an earlier one.
///
/// # Errors
/// When the store fails.
pub(crate) async fn relate(tx: &mut Tx, id: &str, earlier: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO related (request_id, earlier_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(id.to_owned())
        .bind(earlier.to_owned())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The whole chain that these documents belong to, they included; at most one document more than `most`.
///
/// # Errors
/// When the store fails.
pub(crate) async fn chain(
    conn: &mut AnyConnection,
    seeds: &[String],
    most: usize,
) -> Result<BTreeSet<String>, StoreError> {
    let mut seen: BTreeSet<String> = seeds.iter().cloned().collect();
    let mut ahead: Vec<String> = seen.iter().cloned().collect();
    while let Some(id) = ahead.pop().filter(|_| seen.len() <= most) {
        let near: Vec<(String,)> = sqlx::query_as(
            "SELECT earlier_id AS other FROM related WHERE request_id = $1 \
             UNION SELECT request_id AS other FROM related WHERE earlier_id = $1",
        )
        .bind(id)
        .fetch_all(&mut *conn)
        .await?;
        for (other,) in near {
            if seen.insert(other.clone()) {
                ahead.push(other);
            }
        }
    }
    Ok(seen)
}

/// # Errors
/// When the store fails.
pub(crate) async fn call_in(tx: &mut Tx, id: &str, step: u32, people: &[PersonId]) -> Result<(), StoreError> {
    for person in people {
        sqlx::query("INSERT INTO called_in (request_id, step, person) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(id.to_owned())
            .bind(i64::from(step))
            .bind(person.to_string())
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}

/// Forgets who was called in: the steps they were called to are no more.
///
/// # Errors
/// When the store fails.
pub(crate) async fn send_home(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM called_in WHERE request_id = $1").bind(id.to_owned()).execute(tx.conn()).await?;
    Ok(())
}

fn pattern_name(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::SplitPurchase => "split_purchase",
        Pattern::ReciprocalApprovals => "reciprocal_approvals",
        Pattern::ApproveThenEdit => "approve_then_edit",
    }
}

/// Flags a request; `false` when this pattern was known of it.
///
/// # Errors
/// When the store fails.
pub(crate) async fn suspect(tx: &mut Tx, id: &str, suspicion: &Suspicion) -> Result<bool, StoreError> {
    let now = micros(tx.now());
    let added = sqlx::query(
        "INSERT INTO suspicions (request_id, pattern, evidence, found_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(id.to_owned())
    .bind(pattern_name(suspicion.pattern))
    .bind(serde_json::to_string(&suspicion.evidence)?)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(added.rows_affected() == 1)
}

/// # Errors
/// When the store fails.
pub(crate) async fn suspicions_of(conn: &mut AnyConnection, id: &str) -> Result<Vec<Suspicion>, StoreError> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT pattern, evidence FROM suspicions WHERE request_id = $1 ORDER BY found_at, pattern")
            .bind(id.to_owned())
            .fetch_all(conn)
            .await?;
    let suspicion = |(pattern, evidence): (String, String)| {
        let pattern: Pattern = serde_json::from_value(serde_json::Value::String(pattern))?;
        Ok(Suspicion { pattern, evidence: serde_json::from_str::<Evidence>(&evidence)? })
    };
    rows.into_iter().map(suspicion).collect()
}

/// The people behind each document of a chain, with the document: whoever asked for one approves none.
///
/// # Errors
/// When the store fails.
pub(crate) async fn barred(
    conn: &mut AnyConnection,
    chain: &BTreeSet<String>,
) -> Result<BTreeMap<PersonId, String>, StoreError> {
    let mut barred = BTreeMap::new();
    for document in chain {
        for person in requesters(&mut *conn, document).await? {
            barred.entry(person).or_insert_with(|| document.clone());
        }
    }
    Ok(barred)
}

/// The instant that far back.
pub(crate) fn back(now: Timestamp, seconds: u32) -> Timestamp {
    now.checked_sub(SignedDuration::from_secs(i64::from(seconds))).unwrap_or(Timestamp::MIN)
}
