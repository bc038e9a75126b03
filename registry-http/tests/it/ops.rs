//! What operators ask.

use std::collections::{BTreeMap, BTreeSet};

use registry_core::Timestamp;
use registry_core::engine::{Action, Context, Expect};
use registry_core::model::{Health, HealthStatus, ServiceEntry};
use registry_http::METRICS;
use serde_json::json;

use crate::client::{Answer, Server};

#[tokio::test]
async fn readiness_tells_reads_and_writes_apart() {
    let server = Server::start().await;
    assert_eq!(server.get("/healthz").await.status, 200);
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["writes"]["ready"], true);
    server.registry.close().await.unwrap();
    let closed = server.get("/readyz").await;
    assert_eq!(closed.status, 503);
    assert_eq!(closed.json()["writes"]["ready"], false);
    assert!(closed.json()["writes"]["reason"].is_string());
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn version_names_program_and_api() {
    let server = Server::start().await;
    let version = server.get("/version").await.json();
    assert_eq!(version["name"], "harness");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["api"], "v1");
}

/// What `/metrics` says to who accepts that.
async fn scrape(server: &Server, accepted: &str) -> String {
    let headers = [("accept", accepted)];
    let answer = server.send("GET", "/metrics", &headers, None).await;
    let form = answer.header("content-type");
    assert!(accepted.starts_with(form.split(';').next().unwrap_or_default()));
    String::from_utf8(answer.body).expect("metrics are text")
}

/// Names, types and labels of what was scraped; the labels of a histogram's bounds aside.
fn scraped(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut found: BTreeMap<_, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (metric, form) = typed.split_once(' ').expect("a name and a type");
            metric.clone_into(&mut name);
            found.insert(name.clone(), (form.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let labels = line
                .split_once('{')
                .and_then(|(_, rest)| rest.split_once('}'));
            let labels = labels.map(|(labels, _)| labels).unwrap_or_default();
            let names = labels.split(',').filter_map(|label| label.split_once('='));
            let names = names
                .map(|(name, _)| name.to_owned())
                .filter(|name| name != "le");
            found
                .get_mut(&name)
                .expect("a type comes first")
                .1
                .extend(names);
        }
    }
    found
}

#[tokio::test]
async fn metrics_are_those_of_the_table() {
    let server = Server::start().await;
    server.get("/healthz").await;
    let found = scraped(&scrape(&server, "application/openmetrics-text").await);
    let expected: BTreeMap<_, _> = METRICS
        .iter()
        .map(|metric| {
            let labels = metric.labels.iter().map(|label| (*label).to_owned());
            let form = metric.form.as_str().to_owned();
            (metric.name.to_owned(), (form, labels.collect()))
        })
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn metrics_come_in_the_older_form_to_who_does_not_ask_for_the_newer() {
    let server = Server::start().await;
    server.get("/healthz").await;
    let text = scrape(&server, "text/plain").await;
    assert!(!text.contains("EOF"));
    for (name, (form, _)) in scraped(&text) {
        assert!(
            text.lines().any(|line| line.starts_with(&name)),
            "{form} {name} has the name of its series"
        );
        assert_ne!(form, "info");
    }
    assert!(text.contains("# TYPE requests_total counter"));
    let any = server.get("/metrics").await;
    assert!(any.header("content-type").starts_with("text/plain"));
}

#[tokio::test]
async fn metrics_tell_readiness_sockets_and_instances() {
    let server = Server::start().await;
    for (id, health) in [("a", "passing"), ("b", "passing"), ("c", "critical")] {
        let path = format!("/v1/services/api/instances/{id}");
        let body = json!({ "address": "10.0.0.1", "port": 80 });
        assert_eq!(server.put(&path, body).await.status, 201);
        let reported = server
            .put(&format!("{path}/health"), json!({ "status": health }))
            .await;
        assert_eq!(reported.status, 200);
    }
    let drained = server
        .put(
            "/v1/services/api/instances/b/intent",
            json!({ "intent": "draining" }),
        )
        .await;
    assert_eq!(drained.status, 200);
    let left = server
        .send("DELETE", "/v1/services/api/instances/c", &[], None)
        .await;
    assert_eq!(left.status, 200);
    let mut socket = server.connect().await;
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    socket.send("GET", "/ws", &headers, None).await;
    assert_eq!(socket.head().await.0, 101);
    while server.http.websockets() == 0 {
        tokio::task::yield_now().await;
    }
    let text = scrape(&server, "text/plain").await;
    for line in [
        r#"registry_instances{health="passing",intent="enabled"} 1"#,
        r#"registry_instances{health="passing",intent="draining"} 1"#,
        r#"registry_instances{health="critical",intent="enabled"} 0"#,
        "registry_leases 2",
        "registry_suspects 0",
        "registry_websockets 1",
        "registry_watches 0",
        r#"registry_ready{part="reads"} 1"#,
        r#"registry_ready{part="writes"} 1"#,
        r#"registry_cache_misses_total{cache="feed"} 0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    server.registry.close().await.unwrap();
    let text = scrape(&server, "text/plain").await;
    assert!(
        text.contains(r#"registry_ready{part="writes"} 0"#),
        "{text}"
    );
}

#[tokio::test]
async fn metrics_count_by_route_template_and_show_the_engine() {
    let server = Server::start().await;
    server.register(&["a", "b"]).await;
    server.get("/v1/services/none").await;
    server.get("/nowhere/at/all").await;
    let text = scrape(
        &server,
        "application/openmetrics-text;version=1.0.0,*/*;q=0.1",
    )
    .await;
    for line in [
        r#"requests_total{route="/v1/services/{name}",method="PUT",status="201"} 2"#,
        r#"requests_total{route="/v1/services/{name}",method="GET",status="404"} 1"#,
        r#"requests_total{route="-",method="GET",status="404"} 1"#,
        "registry_revision 2",
        "registry_commits_total 2",
        "registry_store_errors_total 0",
        "registry_group_commands_sum 2.0",
        "registry_commit_seconds_count 2",
        r#"registry_commit_seconds_bucket{le="+Inf"} 2"#,
        r#"registry_records{kind="service"} 2"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(
        text.contains("request_latency_seconds_bucket{le="),
        "{text}"
    );
    assert!(!text.contains("nowhere"), "raw paths are no labels");
}

#[tokio::test]
async fn snapshot_is_one_revision_from_head_to_foot() {
    let server = Server::start().await;
    let names: Vec<_> = (0..450).map(|index| format!("s{index:03}")).collect();
    for name in &names {
        server
            .registry
            .register(ServiceEntry::new(name, "1"))
            .await
            .unwrap();
    }
    let answer = server.get("/v1/snapshot").await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert_eq!(answer.header("x-registry-revision"), "450");
    let lines = lines_of(&answer);
    assert_eq!(lines[0], serde_json::json!({ "revision": 450 }));
    assert_eq!(lines[451]["complete"], true);
    assert_eq!(lines[451]["records"], 450);
    let found: Vec<_> = lines[1..451]
        .iter()
        .map(|line| line["service"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(found, names);
}

#[tokio::test]
async fn snapshot_that_was_told_before_shows_what_came_since() {
    let server = Server::start().await;
    for index in 0..450 {
        let entry = ServiceEntry::new(format!("s{index:03}"), "1");
        server.registry.register(entry).await.unwrap();
    }
    let report = async |seconds: i64| {
        let action = Action::ReportHealth {
            name: "s007".to_owned(),
            health: HealthStatus {
                status: Health::Passing,
                checked_at: Timestamp::from_nanos(seconds * 1_000_000_000),
                message: None,
            },
            expect: Expect::Any,
        };
        let reported = server.registry.submit(action, Context::default());
        reported.await.unwrap()
    };
    let mut told = Vec::new();
    for (seconds, is_changed) in [(1, true), (2, false), (3, false)] {
        assert_eq!(report(seconds).await.is_changed, is_changed);
        for _ in 0..2 {
            told.push(server.get("/v1/snapshot").await.body);
        }
    }
    for pair in told.chunks(2) {
        assert_eq!(pair[0], pair[1], "nothing happened between the two");
    }
    let checked_at = |body: &[u8]| {
        let line = std::str::from_utf8(body).unwrap().lines().nth(8).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["service"]["last_health_check"]["checked_at"].to_string()
    };
    let times: BTreeSet<_> = told.iter().map(|body| checked_at(body)).collect();
    assert_eq!(times.len(), 3, "each report is told: {times:?}");
}

fn lines_of(answer: &Answer) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(&answer.body).expect("lines are UTF-8");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect()
}
