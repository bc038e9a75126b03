//! What is too much, too slow, or not allowed.

use std::num::NonZeroU32;
use std::time::Duration;

use registry_api::{Access, Authenticator, Token};
use registry_http::HttpConfig;
use registry_ws::WsConfig;
use serde_json::json;

use crate::client::{Events, Server};

async fn with(change: impl FnOnce(&mut HttpConfig)) -> Server {
    let mut http = HttpConfig::default();
    change(&mut http);
    Server::with(WsConfig::default(), http).await
}

#[tokio::test]
async fn body_beyond_the_limit_is_refused_before_it_is_read() {
    let server = with(|http| http.body_bytes_max = 1000).await;
    let mut client = server.connect().await;
    let head = "PUT /v1/services/a HTTP/1.1\r\nhost: r\r\ncontent-type: application/json\r\n";
    client
        .write(&format!(
            "{head}content-length: 1001\r\nexpect: 100-continue\r\n\r\n"
        ))
        .await;
    let answer = client.answer("PUT").await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.error().0, "LimitExceeded");

    let mut client = server.connect().await;
    client
        .write(&format!("{head}transfer-encoding: chunked\r\n\r\n"))
        .await;
    let chunk = "x".repeat(1001);
    client.write(&format!("3e9\r\n{chunk}\r\n0\r\n\r\n")).await;
    assert_eq!(client.answer("PUT").await.status, 413);
}

#[tokio::test]
async fn head_that_trickles_in_is_cut_off_with_408() {
    let server = with(|http| http.header_timeout = Duration::from_millis(50)).await;
    let mut client = server.connect().await;
    client.write("GET /v1/ping HTTP/1.1\r\nho").await;
    let answer = client.answer("GET").await;
    assert_eq!(answer.status, 408);
    assert_eq!(answer.json()["error"]["code"], "RequestTimeout");
    assert_eq!(client.line().await, None, "the connection is closed");
}

#[tokio::test]
async fn body_that_does_not_come_is_given_up_with_408() {
    let server = with(|http| http.body_timeout = Duration::from_millis(50)).await;
    let mut client = server.connect().await;
    client
        .write("PUT /v1/services/a HTTP/1.1\r\nhost: r\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{\"ver")
        .await;
    let answer = client.answer("PUT").await;
    assert_eq!(answer.status, 408);
    assert_eq!(answer.error().0, "RequestTimeout");
}

#[tokio::test]
async fn idle_connection_is_closed_without_a_word() {
    let server = with(|http| http.header_timeout = Duration::from_millis(50)).await;
    let mut client = server.connect().await;
    assert_eq!(client.line().await, None);
}

#[tokio::test]
async fn head_beyond_the_limit_is_refused() {
    let server = with(|http| http.header_bytes_max = 8192).await;
    let mut client = server.connect().await;
    let filler = "x".repeat(9000);
    client
        .write(&format!(
            "GET /v1/ping HTTP/1.1\r\nx-filler: {filler}\r\n\r\n"
        ))
        .await;
    assert_eq!(client.head().await.0, 431);
}

#[tokio::test]
async fn requests_that_come_too_fast_are_told_when_to_come_again() {
    let server = with(|http| {
        http.requests_per_second = NonZeroU32::new(1);
        http.is_loopback_limited = true;
    })
    .await;
    let mut client = server.connect().await;
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(client.ask("GET", "/v1/ping", &[], None).await);
    }
    assert_eq!(answers[0].status, 200);
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 429)
        .collect();
    assert!(!refused.is_empty());
    assert_eq!(refused[0].error().0, "RateLimited");
    assert_eq!(refused[0].header("retry-after"), "1");
    let alive = client.ask("GET", "/healthz", &[], None).await;
    assert_eq!(alive.status, 200, "what operators ask has no limit");
}

#[tokio::test]
async fn loopback_has_no_rate_unless_it_is_asked_for() {
    let server = with(|http| http.requests_per_second = NonZeroU32::new(1)).await;
    let mut client = server.connect().await;
    for _ in 0..50 {
        assert_eq!(client.ask("GET", "/v1/ping", &[], None).await.status, 200);
    }
}

#[tokio::test]
async fn each_token_has_a_rate_of_its_own() {
    let tokens = ["one", "two"].map(|name| Token::new(name, Access::Write, name));
    let ws = WsConfig {
        authenticator: Authenticator::new(tokens.to_vec()),
        ..WsConfig::default()
    };
    let http = HttpConfig {
        requests_per_second: NonZeroU32::new(1),
        is_loopback_limited: true,
        ..HttpConfig::default()
    };
    let server = Server::with(ws, http).await;
    let ask = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        server.send("GET", "/v1/ping", &headers, None).await.status
    };
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(ask("one").await);
    }
    assert!(statuses.contains(&429));
    assert_eq!(ask("two").await, 200);
}

#[tokio::test]
async fn requests_and_watches_beyond_their_places_are_told_to_wait() {
    let server = with(|http| {
        http.requests_in_flight_max = 1;
        http.watches_max = 1;
    })
    .await;
    let mut slow = server.connect().await;
    slow.write("PUT /v1/services/a HTTP/1.1\r\nhost: r\r\ncontent-type: application/json\r\ncontent-length: 15\r\nexpect: 100-continue\r\n\r\n")
        .await;
    // The server asks for the body once the request has its place.
    assert_eq!(slow.head().await.0, 100);
    let refused = server.get("/v1/ping").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.error().0, "Overloaded");
    assert_eq!(refused.header("retry-after"), "1");
    slow.write(r#"{"version":"1"}"#).await;
    assert_eq!(slow.answer("PUT").await.status, 201);

    let events = Events::open(server.connect().await, "/v1/watch", &[]).await;
    let refused = server.get("/v1/watch?after=0&wait=0s").await;
    assert_eq!(refused.status, 503);
    drop(events);
}

#[tokio::test]
async fn connections_beyond_their_places_are_told_to_wait() {
    let ws = WsConfig {
        connections_max: 1,
        ..WsConfig::default()
    };
    let server = Server::with(ws, HttpConfig::default()).await;
    let mut first = server.connect().await;
    assert_eq!(first.ask("GET", "/v1/ping", &[], None).await.status, 200);
    let mut second = server.connect().await;
    let (status, headers) = second.head().await;
    assert_eq!((status, headers["retry-after"].as_str()), (503, "1"));
    assert_eq!(first.ask("GET", "/v1/ping", &[], None).await.status, 200);
}

#[tokio::test]
async fn tokens_decide_who_may_read_and_write() {
    let tokens = vec![
        Token::new("ops", Access::Write, "w"),
        Token::new("board", Access::Read, "r"),
    ];
    let ws = WsConfig {
        authenticator: Authenticator::new(tokens),
        ..WsConfig::default()
    };
    let http = HttpConfig {
        is_metrics_guarded: true,
        ..HttpConfig::default()
    };
    let server = Server::with(ws, http).await;
    let body = || Some(json!({ "version": "1" }));
    let (path, read, write) = (
        "/v1/services/a",
        [("authorization", "Bearer r")],
        [("authorization", "Bearer w")],
    );
    let nobody = server.get("/v1/services").await;
    assert_eq!(nobody.status, 401);
    assert_eq!(nobody.header("www-authenticate"), "Bearer");
    assert_eq!(nobody.error().0, "Unauthorized");
    let reader = server.send("PUT", path, &read, body()).await;
    assert_eq!(
        (reader.status, reader.error().0.as_str()),
        (403, "Forbidden")
    );
    assert_eq!(server.send("PUT", path, &write, body()).await.status, 201);
    assert_eq!(server.send("GET", path, &read, None).await.status, 200);
    assert_eq!(server.get("/v1/watch").await.status, 401);
    assert_eq!(server.get("/v1/snapshot").await.status, 401);
    assert_eq!(server.get("/metrics").await.status, 401);
    assert_eq!(
        server.send("GET", "/metrics", &read, None).await.status,
        200
    );
    for open in ["/healthz", "/readyz", "/version"] {
        assert_eq!(server.get(open).await.status, 200, "{open}");
    }
    let history = server
        .send("GET", "/v1/services/a/history", &read, None)
        .await;
    assert_eq!(history.json()["entries"][0]["actor"], "ops");
}

#[tokio::test]
async fn page_of_another_origin_cannot_write() {
    let server = Server::start().await;
    let path = "/v1/services/a";
    for (origin, status) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://registry.test", 201),
    ] {
        let body = Some(json!({ "version": "1" }));
        let answer = server.send("PUT", path, &[("origin", origin)], body).await;
        assert_eq!(answer.status, status, "{origin}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn bytes_that_are_no_http_are_refused_and_others_are_served() {
    let server = Server::start().await;
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}\r\n\r\n",
    ] {
        let mut client = server.connect().await;
        client.write(garbage).await;
        if let Some(status) = client.line().await {
            assert!(
                status.contains(" 400 ") || status.contains(" 505 "),
                "{garbage:?}: {status}"
            );
        }
    }
    assert_eq!(server.get("/v1/ping").await.status, 200);
}
