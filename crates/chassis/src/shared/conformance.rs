//! What must be true of the port, over both adapters. Redis keeps real time, so the windows here are short and real.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

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

struct PrivateRedis {
    child: Child,
    url: String,
}

impl PrivateRedis {
    /// `None` when the machine has no redis-server.
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { child, url: format!("redis://127.0.0.1:{port}/0") })
    }

    async fn settings(&self) -> SharedSettings {
        let client = ::redis::Client::open(self.url.as_str()).unwrap();
        let ready = async {
            while client.get_multiplexed_async_connection().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ready).await.unwrap();
        crate::config::Settings::from_yaml(&format!("shared: {{redis_url: '{}'}}", self.url)).unwrap().common.shared
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[tokio::test]
async fn redis_conforms_and_two_replicas_share() {
    let Some(redis) = PrivateRedis::start() else {
        eprintln!("SKIPPED: no redis-server on this machine");
        return;
    };
    let settings = redis.settings().await;
    let clock = Clock::system();
    let (one, two) = (Shared::connect(&settings, &clock).unwrap(), Shared::connect(&settings, &clock).unwrap());
    conforms(&one).await;
    assert!(one.claim("single-use", WINDOW * 100).await);
    assert!(!two.claim("single-use", WINDOW * 100).await);
    one.count("shared-key", 2, WINDOW * 100).await;
    assert_eq!(two.count("shared-key", 2, WINDOW * 100).await.remaining, 0);
}

#[tokio::test]
async fn without_redis_a_replica_goes_on_by_itself_and_quickly() {
    let Some(redis) = PrivateRedis::start() else {
        eprintln!("SKIPPED: no redis-server on this machine");
        return;
    };
    let shared = Shared::connect(&redis.settings().await, &Clock::system()).unwrap();
    assert_eq!(shared.count("n8n", 3, WINDOW * 100).await.remaining, 2);
    drop(redis);
    let started = tokio::time::Instant::now();
    assert_eq!(shared.count("n8n", 3, WINDOW * 100).await.remaining, 2, "counted here, from the start");
    assert!(shared.claim("token", WINDOW).await);
    shared.put("score", b"1", WINDOW * 100).await;
    assert_eq!(shared.get("score").await.as_deref(), Some(b"1".as_slice()));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
