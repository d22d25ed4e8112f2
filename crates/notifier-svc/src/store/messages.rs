//! Messages: accepted with one effect per recipient, and later true to what happened to each.

use chassis::prelude::*;
use contracts::events::{MessageFailed, MessageSent};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{AnyConnection, FromRow, any::AnyRow};

use super::OURSELVES;
use crate::{
    effects::smtp::{Mail, SMTP},
    rules::contacts::{Audience, AudienceFields},
};

/// The one channel that exists.
const CHANNEL: &str = "email";

/// How far a message or one of its recipients has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Progress {
    /// On its way; a failed attempt is repeated.
    Accepted,
    /// The mail server took it.
    Sent,
    /// Given up, see `cause`; a replay of the operation's dead letter may still send it.
    Failed,
}

impl Progress {
    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }
}

/// One who is told. The address stays with the service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Recipient {
    /// Contact or person.
    pub recipient: String,
    pub name: String,
    #[schema(inline)]
    pub state: Progress,
    /// Of the effect that tells them, at `/operations/{id}`.
    pub operation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
}

/// A message and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Message {
    pub id: String,
    /// `accepted` until every recipient's end is known; `failed` when one of them was not told.
    pub state: Progress,
    #[schema(example = "email")]
    pub channel: String,
    pub template: String,
    #[schema(value_type = AudienceFields)]
    pub to: Audience,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    pub recipients: Vec<Recipient>,
    pub created_at: Timestamp,
}

impl<'r> FromRow<'r, AnyRow> for Message {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        let json = |error: serde_json::Error| sqlx::Error::Decode(Box::new(error));
        let state = match row.try_get::<String, _>("state")?.as_str() {
            "sent" => Progress::Sent,
            "failed" => Progress::Failed,
            _ => Progress::Accepted,
        };
        Ok(Self {
            id: row.try_get("id")?,
            state,
            channel: CHANNEL.to_owned(),
            template: row.try_get("template")?,
            to: serde_json::from_str(&row.try_get::<String, _>("audience")?).map_err(json)?,
            reference: row.try_get("reference")?,
            recipients: serde_json::from_str(&row.try_get::<String, _>("recipients")?).map_err(json)?,
            created_at: instant(row.try_get("created_at")?),
        })
    }
}

/// A message with its texts, ready to be promised.
pub(crate) struct NewMessage {
    pub template: String,
    pub to: Audience,
    pub reference: Option<String>,
    /// `approval:...`, for whoever keeps the books of that.
    pub about: Option<String>,
    pub texts: Vec<Addressed>,
}

/// What one recipient will read.
pub(crate) struct Addressed {
    pub recipient: String,
    pub name: String,
    pub email: String,
    pub subject: String,
    pub body: String,
}

/// Keeps the message and promises one mail per recipient. With a `reference` that template and audience have had
/// already, it is that first message which is returned, and `false`.
pub(crate) async fn accept(tx: &mut Tx, actor: &str, new: NewMessage) -> Result<(Message, bool), StoreError> {
    let audience = serde_json::to_string(&new.to)?;
    let mut message = Message {
        id: tx.new_id().to_string(),
        state: Progress::Accepted,
        channel: CHANNEL.to_owned(),
        template: new.template,
        to: new.to,
        reference: new.reference,
        recipients: Vec::with_capacity(new.texts.len()),
        created_at: tx.now(),
    };
    let inserted = sqlx::query(
        "INSERT INTO messages (id, template, audience, reference, state, recipients, created_at) \
         VALUES ($1, $2, $3, $4, 'accepted', '[]', $5) ON CONFLICT DO NOTHING",
    )
    .bind(message.id.as_str())
    .bind(message.template.as_str())
    .bind(audience.as_str())
    .bind(message.reference.clone())
    .bind(micros(message.created_at))
    .execute(tx.conn())
    .await?;
    if inserted.rows_affected() == 0 {
        let first = "SELECT * FROM messages WHERE template = $1 AND audience = $2 AND reference = $3";
        let first = sqlx::query_as(first).bind(message.template).bind(audience).bind(message.reference);
        return Ok((first.fetch_one(tx.conn()).await?, false));
    }
    for text in new.texts {
        let recipient = promise(tx, &message.id, new.about.clone(), text).await?;
        message.recipients.push(recipient);
    }
    sqlx::query("UPDATE messages SET recipients = $1 WHERE id = $2")
        .bind(serde_json::to_string(&message.recipients)?)
        .bind(message.id.as_str())
        .execute(tx.conn())
        .await?;
    let told: Vec<_> = message.recipients.iter().map(|one| one.recipient.as_str()).collect();
    let details = json!({"template": message.template, "recipients": told, "reference": message.reference});
    tx.audit(actor, "message.accepted", &format!("message:{}", message.id), details).await?;
    Ok((message, true))
}

async fn promise(tx: &mut Tx, message: &str, about: Option<String>, text: Addressed) -> Result<Recipient, StoreError> {
    let mail = Mail {
        message: message.to_owned(),
        recipient: text.recipient,
        name: text.name,
        address: text.email,
        subject: text.subject,
        body: text.body,
        about,
    };
    // A key of its own: a mail that is put off (greylisting) must not hold back the next one to the same person.
    let key = format!("message:{message} {}", mail.recipient);
    let operation = tx.effect(NewEffect::new(SMTP, key, &mail)?).await?;
    Ok(Recipient {
        recipient: mail.recipient,
        name: mail.name,
        state: Progress::Accepted,
        operation,
        cause: None,
        settled_at: None,
    })
}

/// Writes down how the mail to one recipient ended, and says so to the world.
pub(crate) async fn settle(tx: &mut Tx, mail: &Mail, failure: Option<&str>) -> Result<(), StoreError> {
    let message = mail.message.as_str();
    let select = tx.dialect().for_update("SELECT * FROM messages WHERE id = $1");
    let Some(mut found) = sqlx::query_as::<_, Message>(select).bind(message).fetch_optional(tx.conn()).await? else {
        return Ok(());
    };
    let now = tx.now();
    let end = if failure.is_some() { Progress::Failed } else { Progress::Sent };
    for one in found.recipients.iter_mut().filter(|one| one.recipient == mail.recipient) {
        one.state = end;
        one.cause = failure.map(str::to_owned);
        one.settled_at = Some(now);
    }
    let any = |state| found.recipients.iter().any(|one| one.state == state);
    let state = match (any(Progress::Accepted), any(Progress::Failed)) {
        (true, _) => Progress::Accepted,
        (false, true) => Progress::Failed,
        (false, false) => Progress::Sent,
    };
    sqlx::query("UPDATE messages SET state = $1, recipients = $2 WHERE id = $3")
        .bind(state.as_str())
        .bind(serde_json::to_string(&found.recipients)?)
        .bind(message)
        .execute(tx.conn())
        .await?;
    announce(tx, found, mail, failure).await
}

async fn announce(tx: &mut Tx, message: Message, mail: &Mail, failure: Option<&str>) -> Result<(), StoreError> {
    let subject = format!("message:{}", message.id);
    let (message_id, channel, template) = (message.id, message.channel, message.template);
    let (recipient, about) = (mail.recipient.clone(), mail.about.clone());
    match failure {
        None => {
            tx.audit(OURSELVES, "message.sent", &subject, json!({"recipient": recipient})).await?;
            tx.emit(&MessageSent { message_id, channel, template, recipient, sent_at: tx.now(), about }).await?;
        }
        Some(cause) => {
            let details = json!({"recipient": recipient, "cause": cause});
            tx.audit(OURSELVES, "message.failed", &subject, details).await?;
            let reason = cause.to_owned();
            tx.emit(&MessageFailed { message_id, channel, template, recipient, reason, about }).await?;
        }
    }
    Ok(())
}

/// The message of that id.
pub(crate) async fn find(conn: &mut AnyConnection, id: &str) -> Result<Option<Message>, StoreError> {
    Ok(sqlx::query_as("SELECT * FROM messages WHERE id = $1").bind(id).fetch_optional(conn).await?)
}

/// Newest first, those before `before`; one more than `limit`, so that the caller sees whether there are more.
pub(crate) async fn list(
    conn: &mut AnyConnection,
    before: Option<String>,
    limit: u32,
) -> Result<Vec<Message>, StoreError> {
    let select = "SELECT * FROM messages WHERE ($1 IS NULL OR id < $1) ORDER BY id DESC LIMIT $2";
    Ok(sqlx::query_as(select).bind(before).bind(i64::from(limit) + 1).fetch_all(conn).await?)
}
