//! What must be true of the port, over both adapters. Redis keeps real time, so the windows here are short and real.

use testkit::{Redis, require};

use super::*;

const WINDOW: Duration = Duration::from_millis(300);

async fn conforms(shared: &Shared) {
    counts_up_to_the_limit_per_key_and_window(shared).await;
    only_the_first_claims_a_key_until_it_expires(shared).await;
    caches_until_expiry(shared).await;
    tells_subscribers_of_the_topic(shared).await;
}

async fn counts_up_to_the_limit_per_key_and_window(shared: &Shared) {
    for remaining in [1, 0] {
        let allowance = shared.count("n8n", 2, WINDOW).await;
        assert!(allowance.allowed && allowance.reset_after <= WINDOW, "{allowance:?}");
        assert_eq!(allowance.remaining, remaining);
    }
    assert!(!shared.count("n8n", 2, WINDOW).await.allowed);
    assert!(shared.count("other", 2, WINDOW).await.allowed);
    tokio::time::sleep(WINDOW + Duration::from_millis(50)).await;
    assert_eq!(shared.count("n8n", 2, WINDOW).await.remaining, 1);
}

async fn only_the_first_claims_a_key_until_it_expires(shared: &Shared) {
    let claims = futures_util::future::join_all((0..20).map(|_| shared.claim("token", WINDOW))).await;
    assert_eq!(claims.iter().filter(|first| **first).count(), 1);
    tokio::time::sleep(WINDOW + Duration::from_millis(50)).await;
    assert!(shared.claim("token", WINDOW).await);
}

async fn caches_until_expiry(shared: &Shared) {
    assert_eq!(shared.get("score").await, None);
    shared.put("score", &[0, 255, 10], WINDOW).await;
    assert_eq!(shared.get("score").await, Some(vec![0, 255, 10]));
    tokio::time::sleep(WINDOW + Duration::from_millis(50)).await;
    assert_eq!(shared.get("score").await, None);
}

async fn tells_subscribers_of_the_topic(shared: &Shared) {
    let (mut one, mut two) = (shared.subscribe("inbox"), shared.subscribe("inbox"));
    let mut other = shared.subscribe("elsewhere");
    // The subscription at Redis is made in the background: repeat until it is heard.
    for (index, subscriber) in [&mut one, &mut two].into_iter().enumerate() {
        let heard = async {
            loop {
                shared.publish("inbox", b"changed").await;
                let wait = Duration::from_millis(50);
                if let Ok(message) = tokio::time::timeout(wait, subscriber.next()).await {
                    return message;
                }
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(5), heard).await;
        assert_eq!(heard.unwrap().as_deref(), Some(b"changed".as_slice()), "{index}");
    }
    assert!(tokio::time::timeout(Duration::from_millis(50), other.next()).await.is_err());
}

#[tokio::test]
async fn in_process_conforms() {
    conforms(&Shared::in_process(&Clock::system())).await;
}

fn connect(redis: &Redis) -> Shared {
    let yaml = format!("shared: {{redis_url: '{}'}}", redis.url());
    let settings = crate::config::Settings::from_yaml(&yaml).unwrap().common.shared;
    Shared::connect(&settings, &Clock::system()).unwrap()
}

#[tokio::test]
async fn redis_conforms_and_two_replicas_share() {
    require!(Redis);
    let redis = Redis::start().await.unwrap();
    let (one, two) = (connect(&redis), connect(&redis));
    conforms(&one).await;
    assert!(one.claim("single-use", WINDOW * 100).await);
    assert!(!two.claim("single-use", WINDOW * 100).await);
    one.count("shared-key", 2, WINDOW * 100).await;
    assert_eq!(two.count("shared-key", 2, WINDOW * 100).await.remaining, 0);
}

#[tokio::test]
async fn without_redis_a_replica_goes_on_by_itself_and_comes_back_with_it() {
    require!(Redis);
    let mut redis = Redis::start().await.unwrap();
    let (shared, other) = (connect(&redis), connect(&redis));
    assert_eq!(shared.count("n8n", 3, WINDOW * 100).await.remaining, 2);
    redis.kill9();
    let started = tokio::time::Instant::now();
    assert_eq!(shared.count("n8n", 3, WINDOW * 100).await.remaining, 2, "counted here, from the start");
    assert!(shared.claim("token", WINDOW).await);
    shared.put("score", b"1", WINDOW * 100).await;
    assert_eq!(shared.get("score").await.as_deref(), Some(b"1".as_slice()));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());

    redis.start_again().await.unwrap();
    let rejoined = async {
        let mut subscription = other.subscribe("news");
        loop {
            shared.put("rejoined", b"2", WINDOW * 100).await;
            shared.publish("news", b"3").await;
            let news = tokio::time::timeout(Duration::from_millis(100), subscription.next()).await;
            if other.get("rejoined").await.is_some() && news.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), rejoined).await.unwrap();
}
