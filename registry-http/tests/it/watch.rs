//! Watches: streams that resume, polls that wait.

use registry_core::engine::EngineConfig;
use registry_http::HttpConfig;
use registry_ws::WsConfig;
use serde_json::json;

use crate::client::{Events, Server};

#[tokio::test]
async fn stream_begins_with_the_state_and_tells_every_change() {
    let server = Server::start().await;
    server.register(&["a"]).await;
    let mut events = Events::open(server.connect().await, "/v1/watch", &[]).await;
    let loaded = events.next().await.unwrap();
    assert_eq!(loaded.event, "registry_loaded");
    assert_eq!(loaded.id.as_deref(), Some("1"));
    assert_eq!(loaded.data["services"][0]["name"], "a");
    server.register(&["b"]).await;
    let told = events.next().await.unwrap();
    assert_eq!(told.event, "service_registered");
    assert_eq!(told.id.as_deref(), Some("2"));
    assert_eq!(told.data["service"], "b");
}

#[tokio::test]
async fn only_the_last_event_of_a_revision_has_an_id() {
    let server = Server::start().await;
    server.register(&["a"]).await;
    let mut events = Events::open(server.connect().await, "/v1/watch?after=1", &[]).await;
    let changes = json!({ "version": "2", "state": "running" });
    server
        .send("PATCH", "/v1/services/a", &[], Some(changes))
        .await;
    let first = events.next().await.unwrap();
    let last = events.next().await.unwrap();
    assert_eq!(
        (first.event.as_str(), first.id),
        ("service_registered", None)
    );
    assert_eq!(last.event, "service_state_changed");
    assert_eq!(last.id.as_deref(), Some("2"));
}

#[tokio::test]
async fn last_event_id_resumes_with_nothing_lost_or_doubled() {
    let server = Server::start().await;
    let mut told = Vec::new();
    let mut last = "0".to_owned();
    for round in 0..5 {
        // Some before the connection, some during it.
        server
            .register(&[&format!("a{round}"), &format!("b{round}")])
            .await;
        let headers = [("last-event-id", last.as_str())];
        let mut events = Events::open(server.connect().await, "/v1/watch", &headers).await;
        server.register(&[&format!("c{round}")]).await;
        let count = if round == 4 { 3 + 4 } else { 2 };
        let mut id = None;
        for _ in 0..count {
            let event = events.next().await.unwrap();
            told.push(event.data["revision"].as_u64().unwrap());
            id = event.id;
        }
        last = id.unwrap();
    }
    assert_eq!(told, (1..=15).collect::<Vec<u64>>());
}

#[tokio::test]
async fn stream_is_filtered_by_query() {
    let server = Server::start().await;
    server.register(&["a", "b"]).await;
    let path = "/v1/watch?after=0&name=b&event=service_registered";
    let mut events = Events::open(server.connect().await, path, &[]).await;
    let told = events.next().await.unwrap();
    assert_eq!(told.data["service"], "b");
}

#[tokio::test]
async fn sign_of_life_moves_the_id_past_what_does_not_fit() {
    let http = HttpConfig {
        keep_alive_interval: std::time::Duration::from_millis(20),
        ..HttpConfig::default()
    };
    let server = Server::with(WsConfig::default(), http).await;
    server.register(&["a", "b"]).await;
    let path = "/v1/watch?after=0&name=none";
    let mut events = Events::open(server.connect().await, path, &[]).await;
    loop {
        let block = events.block().await.unwrap();
        if block.contains("id: ") {
            assert_eq!(block, ": keep-alive\nid: 2");
            return;
        }
    }
}

#[tokio::test]
async fn poll_answers_whole_revisions_as_soon_as_there_are_any() {
    let server = Server::start().await;
    server.register(&["a"]).await;
    let changes = json!({ "version": "2", "state": "running" });
    server
        .send("PATCH", "/v1/services/a", &[], Some(changes))
        .await;
    let past = server.get("/v1/watch?after=0&wait=60s").await;
    let body = past.json();
    assert_eq!(body["revision"], 2);
    assert_eq!(past.header("x-registry-revision"), "2");
    let names: Vec<_> = body["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|told| &told["event"])
        .collect();
    assert_eq!(
        names,
        [
            "service_registered",
            "service_registered",
            "service_state_changed"
        ]
    );

    let mut waiting = server.connect().await;
    waiting
        .send("GET", "/v1/watch?after=2&wait=60s", &[], None)
        .await;
    server.register(&["b"]).await;
    let answer = waiting.answer("GET").await.json();
    assert_eq!(answer["events"][0]["data"]["service"], "b");
    assert_eq!(answer["revision"], 3);
}

#[tokio::test]
async fn poll_without_news_answers_where_to_go_on() {
    let server = Server::start().await;
    server.register(&["a", "b"]).await;
    let nothing = server.get("/v1/watch?after=2&wait=0s").await.json();
    assert_eq!(nothing, json!({ "events": [], "revision": 2 }));
    let filtered = server.get("/v1/watch?after=0&wait=10ms&name=none").await;
    assert_eq!(filtered.json(), json!({ "events": [], "revision": 2 }));
}

#[tokio::test]
async fn watch_of_what_was_compacted_is_told_so() {
    let engine = EngineConfig {
        feed_commits_max: 1,
        ..EngineConfig::default()
    };
    let server = Server::of_engine(engine, WsConfig::default(), HttpConfig::default()).await;
    server.register(&["a", "b", "c", "d"]).await;
    server
        .registry
        .compact(registry_core::Revision(3))
        .await
        .unwrap();
    let gone = server.get("/v1/watch?after=1&wait=1s").await;
    assert_eq!(gone.status, 410);
    assert_eq!(gone.error().0, "Compacted");
    let headers = [("last-event-id", "1")];
    let mut events = Events::open(server.connect().await, "/v1/watch", &headers).await;
    let told = events.next().await.unwrap();
    assert_eq!(told.event, "compacted");
    assert_eq!(told.id.as_deref(), Some(""), "a client begins anew");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn mistakes_in_a_watch_are_told_by_name() {
    let server = Server::start().await;
    for (path, place) in [
        ("/v1/watch?after=9", "after"),
        ("/v1/watch?after=x", "after"),
        ("/v1/watch?wait=1s", "after"),
        ("/v1/watch?after=0&wait=1h", "wait_max"),
        ("/v1/watch?after=0&wait=soon", "wait"),
        ("/v1/watch?event=nothing", "event"),
        ("/v1/watch?limit=1", "limit"),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.error().1.contains(place), "{path}: {answer:?}");
    }
    let headers = [("last-event-id", "x")];
    let answer = server.send("GET", "/v1/watch", &headers, None).await;
    assert!(answer.error().1.contains("last-event-id"));
}

#[tokio::test]
async fn closing_ends_streams_and_polls() {
    let server = Server::start().await;
    server.register(&["a"]).await;
    let mut events = Events::open(server.connect().await, "/v1/watch?after=1", &[]).await;
    let mut poll = server.connect().await;
    poll.send("GET", "/v1/watch?after=1&wait=60s", &[], None)
        .await;
    while server.http.watches() < 2 {
        tokio::task::yield_now().await;
    }
    server.http.begin_close();
    assert_eq!(events.next().await, None);
    assert_eq!(
        poll.line().await.map(|line| line.contains("200")),
        Some(true)
    );
}
