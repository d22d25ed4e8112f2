use chassis::store::{StoreError, Tx, micros};
use contracts::Digest;
use jiff::Timestamp;

/// A repeat of the same bytes within this time is the same hint. Odoo repeats within one transaction, so seconds are
/// enough; the same bytes later may be news, since a rule need not send `write_date`.
const WINDOW: std::time::Duration = std::time::Duration::from_secs(10);

/// A webhook to be taken in.
pub(crate) struct NewHint<'a> {
    pub digest: &'a Digest,
    pub model: &'a str,
    pub record_id: i64,
    pub written_at: Option<Timestamp>,
    /// Why nothing will be read back, if so.
    pub ignored: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    New,
    Duplicate,
}

/// Keeps a hint unless the same bytes came within the window. One statement decides, so two at once are one.
pub(crate) async fn take_hint(tx: &mut Tx, hint: &NewHint<'_>) -> Result<Taken, StoreError> {
    let now = tx.now();
    let taken = sqlx::query(
        "INSERT INTO hints (digest, received_at, model, record_id, written_at, ignored) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (digest) DO UPDATE SET received_at = excluded.received_at WHERE hints.received_at < $7",
    )
    .bind(hint.digest.as_str())
    .bind(micros(now))
    .bind(hint.model)
    .bind(hint.record_id)
    .bind(hint.written_at.map(micros))
    .bind(hint.ignored)
    .bind(micros(now - WINDOW))
    .execute(tx.conn())
    .await?;
    Ok(if taken.rows_affected() == 1 { Taken::New } else { Taken::Duplicate })
}
