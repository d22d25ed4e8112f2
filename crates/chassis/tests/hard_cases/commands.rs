//! Commands over both stores: a key is used once, whoever comes at the same time; and the operator's view of what failed.

use std::{sync::Arc, time::Duration};

use actix_web::post;
use chassis::{
    Cx, Ids, Service, Settings,
    auth::{Caller, Grantee, KeysFile, Role, generate_key},
    http::{Answer, ApiError, Body, IdempotencyKey, Reply, command},
    permission,
    relay::Attempt,
};
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use testkit::{Scratch, eventually, require};

use crate::ground::{Ground, Replica, STEP, Ship, effect, service};

permission!(Work = "test:work" for [Service, Admin]);

/// What a command is told to do.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Job {
    /// Milliseconds that the work takes.
    takes: u64,
    #[serde(default)]
    fails: bool,
}

#[utoipa::path(params(IdempotencyKey), request_body = Job, responses((status = 201)))]
#[post("/v1/work")]
async fn work(cx: Cx, caller: Caller<Work>, key: IdempotencyKey, job: Body<Job>) -> Result<Answer, ApiError> {
    let asked = job.into_inner();
    let fingerprint = asked.clone();
    let answer = command(&cx, &caller, "work", &key, &fingerprint, |tx| {
        Box::pin(async move {
            tx.audit("key:test", "worked", "work", json!({})).await?;
            tokio::time::sleep(Duration::from_millis(asked.takes)).await;
            if asked.fails {
                return Err(ApiError::conflict("not-now", "Not now", "It is told to fail."));
            }
            Ok(Reply::created(json!({"id": tx.new_id()})))
        })
    });
    answer.await
}

struct Desk {
    replica: Replica,
    client: Client,
    key: String,
    _folder: Scratch,
}

impl Desk {
    async fn open(ground: Ground, service: Service) -> Self {
        let folder = Scratch::new("keys").unwrap();
        let (key, mut entry) = generate_key(&Ids::default(), &"admin".to_owned().try_into().unwrap());
        entry.roles = vec![Grantee::everywhere(Role::Admin)];
        let path = folder.path().join("keys.yaml");
        std::fs::write(&path, KeysFile { keys: vec![entry] }.to_yaml().unwrap()).unwrap();
        let service = service.routes(|config| {
            config.service(work);
        });
        let replica = ground.with(&format!("auth: {{keys_file: {path:?}}}")).host(service).await;
        Self { replica, client: Client::new(), key, _folder: folder }
    }

    async fn post(&self, path: &str, key: &str, body: Value) -> (StatusCode, Value) {
        let url = format!("{}/probe/v1{path}", self.replica.running.base_url());
        let request = self.client.post(url).bearer_auth(&self.key).header("idempotency-key", key).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.replica.running.base_url());
        self.client.get(url).bearer_auth(&self.key).send().await.unwrap().json().await.unwrap()
    }

    async fn worked(&self) -> i64 {
        self.replica.count("SELECT COUNT(*) FROM audit WHERE verb = 'worked'").await
    }
}

async fn a_key_is_used_once(desk: &Desk) {
    let quick = json!({"takes": 0});
    let (first, again) = (desk.post("/work", "k", quick.clone()).await, desk.post("/work", "k", quick.clone()).await);
    assert_eq!((first.0, &first.1), (StatusCode::CREATED, &again.1));
    let (other, problem) = desk.post("/work", "k", json!({"takes": 1})).await;
    assert_eq!((other.as_u16(), &problem["errors"][0]["pointer"]), (422, &json!("header:Idempotency-Key")));
    assert_eq!(desk.worked().await, 1);

    let (failed, _) = desk.post("/work", "f", json!({"takes": 0, "fails": true})).await;
    let (corrected, _) = desk.post("/work", "f", quick.clone()).await;
    assert_eq!((failed, corrected), (StatusCode::CONFLICT, StatusCode::CREATED), "a failure leaves the key free");
    assert_eq!(desk.worked().await, 2, "and nothing behind");

    let slow = json!({"takes": 300});
    let (one, two) = tokio::join!(desk.post("/work", "t", slow.clone()), desk.post("/work", "t", slow));
    assert_eq!((one.0, &one.1), (StatusCode::CREATED, &two.1), "a twin waits a moment and gets the same answer");
    assert_eq!(desk.worked().await, 3);

    desk.replica.clock.advance(Duration::from_secs(7 * 24 * 3600));
    let (late, two) = tokio::join!(desk.post("/work", "k", quick.clone()), desk.post("/work", "k", quick));
    assert_ne!(late.1, first.1, "an expired key is as good as none");
    assert_eq!((late.0, &late.1), (StatusCode::CREATED, &two.1), "and used once again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_used_once_on_sqlite() {
    let desk = Desk::open(Ground::laptop(), service()).await;
    a_key_is_used_once(&desk).await;
    desk.replica.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_used_once_on_postgresql_and_a_running_twin_is_a_conflict() {
    require!(Postgres);
    let desk = Desk::open(Ground::postgres().await, service()).await;
    a_key_is_used_once(&desk).await;
    let endless = json!({"takes": 6000});
    let second = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        desk.post("/work", "e", endless.clone()).await
    };
    let (first, (status, problem)) = tokio::join!(desk.post("/work", "e", endless.clone()), second);
    assert_eq!((status.as_u16(), first.0.as_u16()), (409, 201), "{problem}");
    assert!(problem["type"].as_str().unwrap().ends_with("still-running"), "{problem}");
    desk.replica.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stated_limits_are_the_defaults_and_a_body_of_one_mebibyte_passes() {
    let settings = Settings::from_yaml("").unwrap().common;
    assert_eq!((settings.http.body_limit_bytes, settings.outgoing.timeout_seconds), (1 << 20, 15));
    assert!(settings.outgoing.callback_allow.is_empty(), "nobody may be called back unless it is said");
    let desk = Desk::open(Ground::laptop(), service()).await;
    let url = format!("{}/probe/v1/work", desk.replica.running.base_url());
    for (size, expected) in [(1 << 20, 201), ((1 << 20) + 1, 413)] {
        let mut body = json!({"takes": 0}).to_string();
        body.push_str(&" ".repeat(size - body.len()));
        let request = desk.client.post(&url).bearer_auth(&desk.key).header("idempotency-key", size);
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{size}");
    }
    desk.replica.running.shutdown().await;
}

async fn one_is_looked_at_and_discarded(desk: &Desk, id: &str) {
    let letter = desk.get(&format!("/probe/v1/dead-letters/{id}")).await;
    let seen = ["cause", "side", "about", "attempts", "payload"].map(|field| letter[field].clone());
    assert_eq!(seen, [json!("no such place"), json!("outbox"), json!("unwanted"), json!(1), json!({})]);
    let path = format!("/dead-letters/{id}/discard");
    let (why, _) = desk.post(&path, "d0", json!({"reason": ""})).await;
    assert_eq!(why, StatusCode::UNPROCESSABLE_ENTITY, "a reason is asked for");
    for answer in ["first", "again"] {
        let (status, body) = desk.post(&path, "d", json!({"reason": "it was sold elsewhere"})).await;
        assert_eq!((status.as_u16(), &body["state"]), (202, &json!("discarded")), "{answer}");
    }
    assert_eq!(desk.get(&format!("/probe/v1/dead-letters/{id}")).await["status"], json!(404));
    let audited = "SELECT COUNT(*) FROM audit WHERE verb = 'dead_letter.discarded' AND details LIKE '%elsewhere%'";
    assert_eq!(desk.replica.count(audited).await, 1);
}

async fn a_dead_letter_is_seen_counted_replayed_and_done(ground: Ground) {
    let healed = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let health = Arc::clone(&healed);
    let ship = Ship::acting(move |_, _| {
        let healed = health.load(std::sync::atomic::Ordering::SeqCst);
        async move { if healed { Ok(json!({"at": "last"})) } else { Err(Attempt::refused("no such place")) } }
    });
    let desk = Desk::open(ground, service().executor(Arc::new(ship))).await;
    let id = desk.replica.promise("order").await;
    let unwanted = desk.replica.promise("unwanted").await;
    desk.replica.until(STEP, "dead", 2, "SELECT COUNT(*) FROM outbox WHERE state = 'dead'").await;
    one_is_looked_at_and_discarded(&desk, &unwanted).await;
    let mut tx = desk.replica.begin().await;
    let next_year = tx.now() + Duration::from_secs(365 * 24 * 3600);
    tx.effect(effect("later").not_before(next_year)).await.unwrap();
    tx.commit().await.unwrap();
    let gauges = ["dead_letters", "queue_backlog", "oldest_message_age_seconds"];
    eventually(Duration::from_secs(10), "counted", async || {
        desk.replica.clock.advance(Duration::from_secs(5));
        let text = desk.client.get(format!("{}/metrics", desk.replica.running.base_url())).send().await?.text().await?;
        for gauge in gauges {
            let of_ours = |line: &&str| line.starts_with(gauge) && line.contains("=\"ship\"");
            let value: f64 =
                text.lines().find(of_ours).and_then(|line| line.split(' ').next_back()?.parse().ok()).unwrap_or(0.0);
            anyhow::ensure!(value >= 1.0, "{gauge} is {value} in {text}");
        }
        Ok(())
    })
    .await;
    for filter in ["", "?destination=ship", "?destination=ship&limit=1"] {
        let page = desk.get(&format!("/probe/v1/dead-letters{filter}")).await;
        assert_eq!(page["items"][0]["id"], json!(id), "{filter}: {page}");
    }
    assert_eq!(desk.get("/probe/v1/dead-letters?destination=other").await["items"], json!([]));
    healed.store(true, std::sync::atomic::Ordering::SeqCst);
    let path = format!("/dead-letters/{id}/replay");
    let (status, _) = desk.post(&path, "r", json!({"reason": "it is there now"})).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    desk.replica
        .until(STEP, "done", 1, "SELECT COUNT(*) FROM outbox WHERE state = 'done' AND destination = 'ship'")
        .await;
    let operation = desk.get(&format!("/probe/v1/operations/{id}")).await;
    assert_eq!((&operation["state"], &operation["result"]), (&json!("done"), &json!({"at": "last"})));
    let (again, _) = desk.post(&path, "r2", json!({"reason": "twice"})).await;
    assert_eq!(again, StatusCode::NOT_FOUND, "what is not dead cannot be replayed");
    desk.replica.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_seen_counted_replayed_and_done_on_sqlite() {
    a_dead_letter_is_seen_counted_replayed_and_done(Ground::laptop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_seen_counted_replayed_and_done_on_postgresql() {
    require!(Postgres);
    a_dead_letter_is_seen_counted_replayed_and_done(Ground::postgres().await).await;
}
