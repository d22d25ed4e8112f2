//! To-dos on records: put up for a person, answered by that person, read back, taken away.
//!
//! What Odoo 19.0 was seen to do: whoever schedules one needs the right to write the record; the assigned person closes
//! it with a text (`feedback`), which archives it and makes that person its last writer; anybody who may write the
//! record can close it too, and is then its last writer. Odoo 17 and 18 delete a to-do that is done.

use jiff::{Timestamp, civil::Date};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Client, Domain, Error, Record, Ref,
    client::{named, one_id},
    value::{datetime, falsy},
};

const ACTIVITY: &str = "mail.activity";

/// A to-do for a person, shown on the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    pub summary: String,
    /// Plain text, shown line by line.
    pub note: String,
    pub deadline: Date,
    /// Whose it is; the client's own user when absent.
    pub user_id: Option<i64>,
    /// External id of the activity type, such as `mail.mail_activity_data_todo`.
    pub kind: String,
}

/// A to-do as it stands. One that is gone is not read at all.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ActivityState {
    pub id: i64,
    /// `false` once it is done.
    #[serde(rename = "active")]
    pub open: bool,
    #[serde(deserialize_with = "falsy", rename = "user_id")]
    pub assigned_to: Option<Ref>,
    /// What was written on closing it; as text.
    #[serde(deserialize_with = "falsy")]
    pub feedback: Option<String>,
    /// Who wrote it last: of a closed one, who closed it.
    #[serde(rename = "write_uid")]
    pub written_by: Ref,
    #[serde(deserialize_with = "datetime", rename = "write_date")]
    pub written_at: Timestamp,
}

impl Record for ActivityState {
    const MODEL: &'static str = ACTIVITY;
    const FIELDS: &'static [&'static str] = &["id", "active", "user_id", "feedback", "write_uid", "write_date"];
}

/// Somebody with a login.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct User {
    pub id: i64,
    pub login: String,
}

impl Record for User {
    const MODEL: &'static str = "res.users";
    const FIELDS: &'static [&'static str] = &["id", "login"];
}

impl Client {
    /// Puts a to-do on a record. Answers with its id. Not idempotent: look with [`Client::find_activity`] first.
    ///
    /// # Errors
    /// As [`Client::call`]; [`Error::Access`] when this user may not write the record.
    pub async fn activity_schedule(&self, model: &str, id: i64, activity: &Activity) -> Result<i64, Error> {
        let Activity { summary, note, deadline, user_id, kind } = activity;
        let user_id = user_id.unwrap_or(self.uid());
        let args = json!({"act_type_xmlid": kind, "summary": summary, "note": html(note),
            "date_deadline": deadline, "user_id": user_id});
        let answer = self.call(model, "activity_schedule", Some(&[id]), named(args)).await?;
        one_id(model, "activity_schedule", &answer)
    }

    /// The oldest to-do on the record with exactly this summary; one that is done counts, where Odoo keeps it.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn find_activity(&self, model: &str, id: i64, summary: &str) -> Result<Option<i64>, Error> {
        let domain = Domain::all().and("res_model", "=", model).and("res_id", "=", id).and("summary", "=", summary);
        // A search leaves out what is archived unless it asks for it by name.
        let keeps = self.fields_get(ACTIVITY).await?.has("active");
        let domain = if keeps { domain.and("active", "in", vec![true, false]) } else { domain };
        self.first_id(ACTIVITY, &domain).await
    }

    /// Whether a person's answer can be read back from a to-do that is done: Odoo 19 keeps it, 17 and 18 do not.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn activities_keep_answers(&self) -> Result<bool, Error> {
        let schema = self.fields_get(ACTIVITY).await?;
        Ok(ActivityState::FIELDS.iter().all(|field| schema.has(field)))
    }

    /// Takes to-dos away without a trace; what is gone already is no error.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn remove_activity(&self, id: i64) -> Result<(), Error> {
        match self.call(ACTIVITY, "unlink", Some(&[id]), named(json!({}))).await {
            Ok(_) | Err(Error::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The user with this login or, where no login is an e-mail address, with this e-mail address. `None` when there is
    /// none, or more than one to choose from.
    ///
    /// # Errors
    /// As [`Client::find`].
    pub async fn user_called(&self, login_or_email: &str) -> Result<Option<User>, Error> {
        for field in ["login", "email"] {
            let mut found = self.find::<User>(&Domain::all().and(field, "=", login_or_email)).await?;
            match found.len() {
                0 => {}
                1 => return Ok(found.pop()),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// Odoo takes a note for HTML, whoever wrote it.
fn html(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    escaped.replace('\n', "<br>")
}
