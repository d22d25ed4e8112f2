//! Requests for approval as Odoo's people see and answer them.

use contracts::{
    Digest, PersonId,
    events::{AnswerRefused, ApprovalDecided, ApprovalRequested, AskedPerson, DecidedBy, Outcome},
};
use serde_json::{Value, json};
use testkit::Postgres;

use crate::bed::{Bed, Setting, at, transfer};

/// Odoo's ids of the users of the scene.
const OLGA: i64 = 3;
const CLERK: i64 = 4;
const ANSWERED: &str = "steward.approval.answered.v1";

fn asked(email: &str) -> ApprovalRequested {
    ApprovalRequested {
        approval_id: "approval-1".into(),
        title: "24 x <OAT-1> to Store 1".into(),
        action: transfer(24.0),
        reason: "The transfer takes stock from another region.".into(),
        step: 0,
        revision: 0,
        asked: vec![AskedPerson {
            person: PersonId::new("olga").unwrap(),
            name: "Olga".into(),
            email: Some(email.into()),
            link: "https://steward.example/approvals/decide/x".into(),
        }],
        decide_by: at("2026-11-23T16:00:00Z"),
        score: Some(700_000),
    }
}

fn decided() -> ApprovalDecided {
    ApprovalDecided {
        approval_id: "approval-1".into(),
        title: "24 x <OAT-1> to Store 1".into(),
        watchers: Vec::new(),
        outcome: Outcome::Approved,
        by: DecidedBy::People { people: vec![PersonId::new("olga").unwrap()] },
        comment: Some("go".into()),
        action: transfer(24.0),
        facts_hash: Digest::of_bytes(b"facts"),
        grant_id: Some("grant-1".into()),
        decided_at: at("2026-11-23T09:00:00Z"),
    }
}

/// Sweeps often, since a replayed Odoo has no rule on to-dos.
async fn bed() -> Bed {
    Bed::with(Setting { sweep_seconds: 60, ..Setting::default() }).await
}

impl Bed {
    fn todos(&self) -> Vec<Value> {
        self.odoo.records("mail.activity").into_iter().map(Value::Object).collect()
    }

    fn notes(&self, model: &str) -> Vec<String> {
        let notes = self.odoo.records("mail.message").into_iter().filter(|note| note["model"] == model);
        notes.map(|note| note["body"].as_str().unwrap().to_owned()).collect()
    }

    /// The to-do that stands open, once there is one.
    async fn open_todo(&self) -> Value {
        let open = |bed: &Self| bed.todos().into_iter().find(|todo| todo["active"] == true);
        self.until("a to-do stands in Odoo and is known", async |bed| {
            open(bed).is_some()
                && bed.number("SELECT COUNT(*) FROM approval_todos WHERE state = 'open'".into()).await == 1
        })
        .await;
        open(self).unwrap()
    }

    fn close(&self, todo: &Value, by: i64, feedback: &str) {
        let closed = json!({"active": false, "feedback": feedback, "write_uid": by});
        let closed = closed.as_object().unwrap().clone();
        self.odoo.person_writes("mail.activity", todo["id"].as_i64().unwrap(), closed).unwrap();
    }
}

async fn answers_and_ends(bed: &Bed) {
    bed.publish(&asked("olga@shop.example")).await;
    let todo = bed.open_todo().await;
    assert_eq!((&todo["res_model"], &todo["user_id"]), (&json!("product.product"), &json!(OLGA)));
    assert!(todo["summary"].as_str().unwrap().starts_with("Decide: 24 x <OAT-1> to Store 1 ["), "{todo}");
    let note = todo["note"].as_str().unwrap();
    assert!(note.contains("another region") && note.contains("reject: and why"), "{note}");

    bed.close(&todo, OLGA, "Approve, but hurry");
    bed.until("the answer is told", async |bed| bed.events(ANSWERED, "%").await.len() == 1).await;
    let answer = bed.events(ANSWERED, "%").await.remove(0);
    assert_eq!(
        (&answer["person"], &answer["said"], &answer["comment"], &answer["step"]),
        (&json!("olga"), &json!("approve"), &json!("but hurry"), &json!(0))
    );
    bed.rest().await;
    assert_eq!(bed.events(ANSWERED, "%").await.len(), 1, "read again, told once");

    bed.publish(&decided()).await;
    bed.until("the article's history says so", async |bed| bed.notes("product.product").len() == 1).await;
    let note = bed.notes("product.product").remove(0);
    assert!(note.contains("Approved by olga") && note.contains("approval approval-1"), "{note}");
    assert_eq!(bed.number("SELECT COUNT(*) FROM outbox WHERE state = 'dead'".into()).await, 0);
}

#[actix_web::test]
async fn whoever_is_asked_finds_a_todo_and_closing_it_is_an_answer() {
    answers_and_ends(&bed().await).await;
}

#[actix_web::test]
async fn it_is_the_same_on_postgresql() {
    testkit::require!(Postgres);
    let postgres = Postgres::start().await.unwrap();
    let setting = Setting { store: Some(postgres.url()), sweep_seconds: 60, ..Setting::default() };
    answers_and_ends(&Bed::with(setting).await).await;
}

#[actix_web::test]
async fn only_the_owners_clear_word_counts_and_the_todo_comes_back_saying_why() {
    let bed = bed().await;
    bed.publish(&asked("olga@shop.example")).await;
    let first = bed.open_todo().await;
    bed.close(&first, CLERK, "approve");
    let second = bed.open_todo().await;
    assert_ne!(first["id"], second["id"]);
    assert!(second["note"].as_str().unwrap().contains("clerk@shop.example closed this"), "{second}");
    bed.close(&second, OLGA, "fine with me");
    let third = bed.open_todo().await;
    assert!(third["note"].as_str().unwrap().contains("did not begin with one of the words"), "{third}");
    assert!(bed.events(ANSWERED, "%").await.is_empty());
    bed.close(&third, OLGA, "reject: too dear");
    bed.until("the clear word is told", async |bed| bed.events(ANSWERED, "%").await.len() == 1).await;
    assert_eq!(bed.events(ANSWERED, "%").await[0]["said"], "reject");
}

#[actix_web::test]
async fn an_answer_that_approvals_does_not_take_is_asked_for_again_only_while_it_helps() {
    let bed = bed().await;
    bed.publish(&asked("olga@shop.example")).await;
    let todo = bed.open_todo().await;
    bed.close(&todo, OLGA, "approve");
    bed.until("the answer is told", async |bed| bed.events(ANSWERED, "%").await.len() == 1).await;
    let refused = |open| AnswerRefused {
        approval_id: "approval-1".into(),
        step: 0,
        person: PersonId::new("olga").unwrap(),
        reason: "the request has changed".into(),
        open,
        revision: 1,
    };
    bed.publish(&refused(false)).await;
    bed.rest().await;
    assert!(bed.todos().iter().all(|todo| todo["active"] == false), "nothing can be mended");
    bed.publish(&refused(true)).await;
    let again = bed.open_todo().await;
    assert!(again["note"].as_str().unwrap().contains("the request has changed"), "{again}");
}

#[actix_web::test]
async fn an_edited_request_is_asked_anew_and_one_more_approver_disturbs_nobody() {
    let bed = bed().await;
    bed.publish(&asked("olga@shop.example")).await;
    let first = bed.open_todo().await;
    let mut more = asked("clerk@shop.example");
    more.asked[0].person = PersonId::new("clerk").unwrap();
    bed.publish(&more).await;
    bed.until("both have one", async |bed| bed.todos().len() == 2).await;
    assert!(bed.todos().contains(&first), "Olga's stays");
    let edited = ApprovalRequested { revision: 1, title: "12 x OAT-1".into(), ..asked("olga@shop.example") };
    bed.publish(&edited).await;
    bed.until("Olga's is another", async |bed| !bed.todos().contains(&first) && bed.todos().len() == 2).await;
    let anew = bed.todos().into_iter().find(|todo| todo["user_id"] == OLGA).unwrap();
    assert!(anew["summary"].as_str().unwrap().contains("12 x OAT-1"), "{anew}");
    let known = format!("SELECT COUNT(*) FROM approval_todos WHERE odoo_id = {} AND state = 'open'", anew["id"]);
    bed.until("it is known", async |bed| bed.number(known.clone()).await == 1).await;
    bed.close(&anew, OLGA, "approve");
    bed.until("the answer is told", async |bed| bed.events(ANSWERED, "%").await.len() == 1).await;
    assert_eq!(bed.events(ANSWERED, "%").await[0]["revision"], 1);
}

#[actix_web::test]
async fn what_is_decided_elsewhere_leaves_no_todo_and_a_drafted_transfer_says_who_allowed_it() {
    let bed = bed().await;
    bed.publish(&asked("olga@shop.example")).await;
    bed.open_todo().await;
    bed.publish(&decided()).await;
    bed.until("the to-do is gone", async |bed| bed.todos().is_empty()).await;
    let grant = bed.grant(|_| {}).await;
    let (status, operation) = bed.transfer("key-1", 24.0, Some(&grant), Some(10)).await;
    assert_eq!(status, 200, "{operation}");
    bed.until("the transfer's history says so", async |bed| bed.notes("stock.picking").len() == 1).await;
    assert!(bed.notes("stock.picking")[0].contains("Approved by olga"), "{:?}", bed.notes("stock.picking"));
    assert!(bed.events(ANSWERED, "%").await.is_empty(), "taking it away is nobody's answer");
}

#[actix_web::test]
async fn whom_odoo_does_not_know_is_not_shown_anything_and_nothing_fails() {
    let bed = bed().await;
    bed.publish(&asked("stranger@shop.example")).await;
    let done = "SELECT COUNT(*) FROM outbox WHERE destination = 'odoo.approval' AND state = 'done'";
    bed.until("it was tried", async |bed| bed.number(done.into()).await == 1).await;
    assert!(bed.todos().is_empty());
    assert_eq!(bed.number("SELECT COUNT(*) FROM outbox WHERE state = 'dead'".into()).await, 0);
}

#[actix_web::test]
async fn a_webhook_about_our_todo_is_followed_at_once_and_others_are_not() {
    let bed = Bed::start().await;
    bed.publish(&asked("olga@shop.example")).await;
    let todo = bed.open_todo().await;
    bed.close(&todo, OLGA, "approve");
    let hint = |id: i64| json!({"_model": "mail.activity", "_id": id, "_action": "answered(#1)"});
    assert_eq!(bed.hook(&hint(todo["id"].as_i64().unwrap())).await, 202);
    assert_eq!(bed.hook(&hint(999)).await, 202);
    bed.until("the answer is told without a sweep", async |bed| bed.events(ANSWERED, "%").await.len() == 1).await;
    assert_eq!(bed.number("SELECT COUNT(*) FROM hints WHERE ignored IS NOT NULL".into()).await, 1);
}
