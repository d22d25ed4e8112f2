use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

fn outgoing(allow: &[&str], callbacks: &[&str]) -> Outgoing {
    let list = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect();
    Outgoing::new(&OutgoingSettings { allow: list(allow), callback_allow: list(callbacks), timeout_seconds: 1 })
        .unwrap()
}

fn get(url: &str) -> OutgoingRequest {
    let url = Url::parse(url).unwrap();
    OutgoingRequest { method: reqwest::Method::GET, url, headers: vec![], body: vec![], purpose: "test" }
}

/// A peer that sends `answer` to everyone, as it stands; an empty answer means silence.
async fn peer(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _read = stream.read(&mut request).await;
                if answer.is_empty() {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
                let _sent = stream.write_all(&answer).await;
            });
        }
    });
    port
}

#[test]
fn private_and_special_addresses_are_not_public() {
    for ip in [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "192.0.0.8",
        "203.0.113.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
    ] {
        assert!(!is_public(ip.parse().unwrap()), "{ip}");
    }
    for ip in ["1.1.1.1", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"] {
        assert!(is_public(ip.parse().unwrap()), "{ip}");
    }
}

#[tokio::test]
async fn our_own_network_is_refused_by_address_and_by_name_without_a_connection() {
    let port = peer(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let open = outgoing(&[], &[]);
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"] {
        let error = open.send(get(&format!("http://{host}:{port}/"))).await.unwrap_err();
        assert!(matches!(error, OutgoingError::Forbidden(_)), "{host}: {error:?}");
        assert!(!error.is_retryable());
    }
    let error = open.send(get("ftp://example.org/")).await.unwrap_err();
    assert!(matches!(error, OutgoingError::Address(_)), "{error:?}");
    let error = open.send(get(&format!("http://user:secret@localhost:{port}/"))).await.unwrap_err();
    assert!(matches!(error, OutgoingError::Address(_)), "{error:?}");
}

#[tokio::test]
async fn a_host_allowed_by_name_is_called_but_only_at_the_named_port() {
    let port = peer(b"HTTP/1.1 200 OK\r\nRetry-After: 7\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
    let other = peer(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let some = outgoing(&[&format!("localhost:{port}")], &[]);
    let answer = some.send(get(&format!("http://LOCALHOST:{port}/"))).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"hi".as_slice()));
    assert_eq!(answer.retry_after(), Some(Duration::from_secs(7)));
    let error = some.send(get(&format!("http://localhost:{other}/"))).await.unwrap_err();
    assert!(matches!(error, OutgoingError::Forbidden(_)), "{error:?}");
    assert!(outgoing(&["localhost"], &[]).send(get(&format!("http://localhost:{other}/"))).await.is_ok());
}

#[tokio::test]
async fn redirects_are_not_followed_and_silence_and_floods_end() {
    let target = peer(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let redirect = format!("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{target}/\r\ncontent-length: 0\r\n\r\n");
    let port = peer(redirect.into_bytes()).await;
    let all = outgoing(&["127.0.0.1"], &[]);
    assert_eq!(all.send(get(&format!("http://127.0.0.1:{port}/"))).await.unwrap().status, 302);

    let silent = peer(Vec::new()).await;
    let error = all.send(get(&format!("http://127.0.0.1:{silent}/"))).await.unwrap_err();
    assert!(matches!(error, OutgoingError::Timeout(_)) && error.is_retryable(), "{error:?}");

    let mut flood = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    flood.resize(MAX_ANSWER + 1000, b'x');
    let port = peer(flood).await;
    let error = all.send(get(&format!("http://127.0.0.1:{port}/"))).await.unwrap_err();
    assert!(matches!(error, OutgoingError::TooLarge(_)), "{error:?}");

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = all.send(get(&format!("http://127.0.0.1:{closed}/"))).await.unwrap_err();
    assert!(matches!(error, OutgoingError::Connect { .. }) && error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn a_callback_must_begin_with_an_allowed_prefix_at_a_path_boundary() {
    let port = peer(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let some = outgoing(&[], &[&format!("http://localhost:{port}/webhook-waiting")]);
    let base = format!("http://localhost:{port}");
    let check = |url: &str| some.check_callback(&Url::parse(url).unwrap());
    assert_eq!(check(&format!("{base}/webhook-waiting/17?signature=x")), Ok(()));
    for bad in [
        format!("{base}/webhook-waiting-room"),
        format!("{base}/webhook-waiting/../rest"),
        format!("{base}/webhook-waiting/%2e%2e/rest"),
        "http://localhost:1/webhook-waiting/1".to_owned(),
        format!("https://localhost:{port}/webhook-waiting/1"),
        format!("http://localhost.evil.example:{port}/webhook-waiting/1"),
        format!("http://localhost:{port}@evil.example/webhook-waiting/1"),
    ] {
        assert!(check(&bad).is_err(), "{bad}");
    }
    // Naming it as a callback target is naming it: it may be private.
    assert!(some.send(get(&format!("{base}/webhook-waiting/1"))).await.is_ok());
}
