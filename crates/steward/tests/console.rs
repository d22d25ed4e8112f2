//! The console over a fleet in this process: who gets in, what is shown, and that its forms act as the visitor.

#![expect(clippy::unwrap_used, reason = "a promise that does not hold ends the test")]

mod bed;

use reqwest::StatusCode;
use serde_json::json;

use bed::Bed;

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_every_page_says_how_to_get_in_and_shows_nothing() {
    let bed = Bed::start().await;
    bed.waiting_approval().await;
    for path in ["/", "/inbox", "/cases/thread-1", "/decisions/1"] {
        let answer = bed.browser.get(bed.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        let page = answer.text().await.unwrap();
        assert!(page.contains("not signed in") && page.contains("steward up"), "{page}");
        assert!(!page.contains("Coffee"), "{path}");
    }
    // A key in a header is no session either.
    let answer = bed.browser.get(bed.url("/")).bearer_auth(&bed.olga).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    for path in ["/sign-out", "/decisions/1", "/overrides/1", "/dead-letters/supply/1"] {
        let answer = bed.browser.post(bed.url(path)).form(&[("csrf", "x")]).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_link_works_once_and_opening_it_uses_nothing_up() {
    let bed = Bed::start().await;
    let token = bed.sign_in_token();
    let link = bed.url(&format!("/sign-in?token={token}"));
    for _ in 0..3 {
        let page = bed.browser.get(&link).send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        assert!(page.headers().get("set-cookie").is_none());
        assert_eq!(page.headers()["referrer-policy"], "no-referrer");
    }
    let form = [("token", token.as_str())];
    let first = bed.browser.post(bed.url("/sign-in")).form(&form).send().await.unwrap();
    assert_eq!(first.status(), StatusCode::SEE_OTHER);
    let cookie = first.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let second = bed.browser.post(bed.url("/sign-in")).form(&form).send().await.unwrap();
    assert_eq!(second.status(), StatusCode::FORBIDDEN);
    assert!(second.headers().get("set-cookie").is_none());
    assert!(second.text().await.unwrap().contains("does not count any more"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_approval_is_shown_and_decided_as_the_visitor() {
    let bed = Bed::start().await;
    let id = bed.waiting_approval().await;
    let visitor = bed.sign_in().await;
    let overview = visitor.page("/").await;
    assert!(overview.contains("Move 24 × Coffee") && overview.contains("Asked <b>olga</b>"), "{overview}");
    assert!(overview.contains("The fleet is ready."));
    let path = format!("/decisions/{id}");
    let page = visitor.page(&path).await;
    assert!(page.contains("Move 24 SKU-1 from store-7 to store-1") && page.contains("288.00 EUR"), "{page}");

    let stolen = visitor.post(&path, &[("csrf", "guessed"), ("decision", "approve"), ("version", "1")]).await;
    assert_eq!(stolen.status(), StatusCode::FORBIDDEN);
    assert_eq!(bed.approval(&id).await["status"], "waiting", "a form without the token decides nothing");

    let form = [("csrf", bed::hidden(&page, "csrf")), ("version", bed::hidden(&page, "version"))];
    let stale = visitor.post(&path, &[form[0], ("version", "999"), ("decision", "approve")]).await;
    assert_eq!(stale.status(), StatusCode::PRECONDITION_FAILED);
    let decided = visitor.post(&path, &[form[0], form[1], ("decision", "approve"), ("comment", "Go <ahead>")]).await;
    assert_eq!(decided.status(), StatusCode::SEE_OTHER, "{}", decided.text().await.unwrap());
    let approval = bed.approval(&id).await;
    assert_eq!((&approval["status"], &approval["decided_by"]), (&json!("approved"), &json!(["olga"])));
    let page = visitor.page(&path).await;
    assert!(page.contains("Approved by olga") && page.contains("Go &lt;ahead&gt;"), "{page}");
    assert!(!page.contains("value=\"approve\""), "a decided request has no buttons");
    assert!(!visitor.page("/").await.contains("Move 24 × Coffee"), "nobody waits any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inbox_begins_with_the_dearest_and_is_turned_page_by_page_without_a_script() {
    let bed = Bed::start().await;
    bed.waiting_approval().await;
    bed.crowd(26).await;
    let visitor = bed.sign_in().await;
    assert!(visitor.page("/").await.contains("href=\"/inbox\""));
    let first = visitor.page("/inbox").await;
    assert_eq!(first.matches("Look and decide").count(), 25);
    let (dearest, next) = (first.find("Loses 26 euros").unwrap(), first.find("Loses 25 euros").unwrap());
    assert!(dearest < next && first.contains("26.00 EUR an hour"), "{first}");
    let (_, link) = first.split_once("rel=\"next\" href=\"").unwrap();
    let second = visitor.page(link.split('"').next().unwrap()).await;
    assert_eq!(second.matches("Look and decide").count(), 2, "{second}");
    let (last, without_cost) = (second.find("Loses 1 euros").unwrap(), second.find("Move 24 × Coffee").unwrap());
    assert!(last < without_cost && !second.contains("rel=\"next\""), "{second}");
    // A store manager may decide none of them.
    assert!(bed.sign_in_as("mia").await.page("/inbox").await.contains("Nothing waits for you."));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_waits_on_the_overview_until_a_second_pair_of_eyes_has_reviewed_it() {
    let bed = Bed::start().await;
    let finn = bed.sign_in_as("finn").await;
    assert!(!finn.page("/").await.contains("Overrides to review"), "there is none");
    let id = bed.overridden().await;
    let path = format!("/decisions/{id}");
    let overview = finn.page("/").await;
    assert!(overview.contains("olga approved alone") && overview.contains(&path), "{overview}");
    assert!(overview.contains("The truck &lt;leaves&gt; now.") && overview.contains("INC-4711"), "{overview}");
    let own = bed.sign_in().await.page(&path).await;
    assert!(own.contains("Approved alone") && !own.contains("value=\"justified\""), "nobody reviews themselves: {own}");

    let page = finn.page(&path).await;
    assert!(page.contains("A review by finance is owed until") && page.contains("288.00 EUR"), "{page}");
    let review = format!("/overrides/{id}");
    let words = [("verdict", "justified"), ("comment", "The truck did leave.")];
    let stolen = finn.post(&review, &[("csrf", "guessed"), words[0], words[1]]).await;
    assert_eq!(stolen.status(), StatusCode::FORBIDDEN);
    let csrf = ("csrf", bed::hidden(&page, "csrf"));
    let silent = finn.post(&review, &[csrf, words[0], ("comment", " ")]).await;
    assert_eq!(silent.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(finn.page("/").await.contains(&path), "still owed");
    for _ in 0..2 {
        let reviewed = finn.post(&review, &[csrf, words[0], words[1]]).await;
        assert_eq!(reviewed.status(), StatusCode::SEE_OTHER, "{}", reviewed.text().await.unwrap());
    }
    let page = finn.page(&path).await;
    assert!(page.contains("finn found it justified on") && !page.contains("value=\"justified\""), "{page}");
    assert!(!finn.page("/").await.contains("Overrides to review"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_suspected_of_a_request_stands_on_its_page_with_the_others_of_the_pattern() {
    let bed = Bed::start().await;
    let [first, second] = bed.split_purchase().await;
    let visitor = bed.sign_in().await;
    let page = visitor.page(&format!("/decisions/{second}")).await;
    assert!(page.contains("Look twice") && page.contains("Split purchase"), "{page}");
    assert!(page.contains("come to 504.00 EUR, each at or just below 300.00 EUR"), "{page}");
    assert!(page.contains(&format!("/decisions/{first}")), "{page}");
    assert!(!visitor.page(&format!("/decisions/{first}")).await.contains("Look twice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_shows_the_audit_entries_of_all_services_in_their_order() {
    let bed = Bed::start().await;
    let id = bed.waiting_approval().await;
    bed.dead_letter().await;
    let visitor = bed.sign_in().await;
    let page = visitor.page(&format!("/cases/{}", bed::CASE)).await;
    assert!(page.contains(&format!("approval:{id}")), "{page}");
    let (asked, told) = (page.find(">Approvals<").unwrap(), page.find(">Notify<").unwrap());
    assert!(asked < told, "what happened first is first");
    assert!(visitor.page(&format!("/decisions/{id}")).await.contains(&format!("/cases/{}", bed::CASE)));
    assert!(visitor.page("/cases/unknown").await.contains("No service knows this case."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_shown_and_replayed_with_a_reason() {
    let bed = Bed::start().await;
    let id = bed.dead_letter().await;
    let visitor = bed.sign_in().await;
    let page = visitor.page("/").await;
    let path = format!("/dead-letters/notify/{id}");
    assert!(page.contains("no SMTP configured") && page.contains(&path), "{page}");
    let (csrf, form) = (bed::hidden(&page, "csrf"), bed::hidden(&page, "form"));
    let base = [("csrf", csrf), ("form", form), ("verb", "discard")];
    let refused = visitor.post(&path, &[base[0], base[1], base[2], ("reason", "x")]).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().await.unwrap().contains("reason: must have 3 to 1000 characters"));
    let discard = [base[0], base[1], base[2], ("reason", "the store is closed")];
    for _ in 0..2 {
        // The second click is the same command.
        let answer = visitor.post(&path, &discard).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{}", answer.text().await.unwrap());
    }
    let page = visitor.page("/?done=discarded").await;
    assert!(page.contains("Discarded: it will not be done.") && !page.contains(&path), "{page}");

    let id = bed.dead_letter().await;
    let page = visitor.page("/").await;
    let replay = [
        ("csrf", bed::hidden(&page, "csrf")),
        ("form", bed::hidden(&page, "form")),
        ("verb", "replay"),
        ("reason", "there is a mail server now"),
    ];
    let answer = visitor.post(&format!("/dead-letters/notify/{id}"), &replay).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{}", answer.text().await.unwrap());
    bed.until_attempted_again(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_does_not_permit_is_said_and_the_rest_is_shown() {
    let bed = Bed::start().await;
    bed.waiting_approval().await;
    // May see approvals, but no dead letters.
    let visitor = bed.sign_in_as("mia").await;
    let page = visitor.page("/").await;
    assert!(page.contains("Waiting for a decision"), "{page}");
    assert!(page.contains("needs one of the roles"), "{page}");
}
