//! A service with as little of its own as a service can have: what is measured through it is the chassis.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use actix_web::{HttpResponse, get, post, web};
use async_trait::async_trait;
use chassis::{permission, prelude::*, store::MigrationText};
use contracts::events::StockRanLow;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

permission!(
    /// Everything that the probe can do.
    pub(crate) Probe = "probe:use" for [Service]
);

const TABLES: &[MigrationText] = &[MigrationText {
    name: "0101_notes",
    sql: "CREATE TABLE notes (id TEXT NOT NULL PRIMARY KEY, text TEXT NOT NULL);",
}];
/// The executor of the effect that each event causes.
pub(crate) const EFFECT: &str = "note";

pub(crate) fn service() -> Service {
    let done = web::Data::new(AtomicU64::new(0));
    let executor = Arc::new(Noted(Arc::clone(&done)));
    Service::new("probe", "Probe", "What `make bench` drives.")
        .migrations(TABLES)
        .routes(move |config| {
            config.app_data(done.clone());
            config.service(write_note).service(tell_falls).service(count_done);
        })
        .on::<StockRanLow>(|_, tx, event| {
            Box::pin(async move {
                tx.effect(NewEffect::new(EFFECT, event.envelope.subject.clone(), &event.payload)?).await?;
                Ok(())
            })
        })
        .executor(executor)
}

#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
}

/// The smallest command: one row of state.
#[utoipa::path(params(IdempotencyKey), request_body = Note, responses((status = 201, body = Note), Problems))]
#[post("/v1/notes")]
async fn write_note(cx: Cx, caller: Caller<Probe>, key: IdempotencyKey, body: Body<Note>) -> Result<Answer, ApiError> {
    let note = body.into_inner();
    let text = note.text.clone();
    command(&cx, &caller, "notes.write", &key, &note, move |tx| {
        Box::pin(async move {
            let id = tx.new_id().to_string();
            let insert = sqlx::query("INSERT INTO notes (id, text) VALUES ($1, $2)").bind(id).bind(text.as_str());
            insert.execute(tx.conn()).await.map_err(StoreError::from)?;
            Ok(Reply::created(Note { text }))
        })
    })
    .await
}

#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Falls {
    pub(crate) falls: Vec<StockRanLow>,
}

/// A command that tells of many things, as a sweep does.
#[utoipa::path(params(IdempotencyKey), request_body = Falls, responses((status = 202, body = Note), Problems))]
#[post("/v1/falls")]
async fn tell_falls(cx: Cx, caller: Caller<Probe>, key: IdempotencyKey, body: Body<Falls>) -> Result<Answer, ApiError> {
    let falls = body.into_inner().falls;
    command(&cx, &caller, "falls.tell", &key, &falls.len(), move |tx| {
        Box::pin(async move {
            for fall in &falls {
                tx.emit(fall).await?;
            }
            Ok(Reply::accepted(Note { text: "told".to_owned() }))
        })
    })
    .await
}

/// Effects carried out since the start, as a number.
#[utoipa::path(responses((status = 200, body = u64)))]
#[get("/v1/done")]
async fn count_done(done: web::Data<AtomicU64>) -> HttpResponse {
    HttpResponse::Ok().json(done.load(Ordering::Relaxed))
}

/// Does nothing but count: the peer's time is not ours to measure.
struct Noted(Arc<AtomicU64>);

#[async_trait]
impl Executor for Noted {
    fn name(&self) -> &'static str {
        EFFECT
    }

    fn kind(&self) -> EffectKind {
        EffectKind::IdempotentPeer
    }

    /// As many as one claim and one record share; a real peer would be asked by fewer at a time.
    fn concurrency(&self) -> usize {
        64
    }

    async fn perform(&self, _cx: &Cx, _effect: &Effect) -> Result<Value, Attempt> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(json!({"noted": true}))
    }
}
