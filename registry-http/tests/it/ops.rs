//! What operators ask.

use crate::client::Server;

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

#[tokio::test]
async fn metrics_count_by_route_template_and_show_the_engine() {
    let server = Server::start().await;
    server.register(&["a", "b"]).await;
    server.get("/v1/services/none").await;
    server.get("/nowhere/at/all").await;
    let answer = server.get("/metrics").await;
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    let text = String::from_utf8(answer.body).unwrap();
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
            .register(registry_core::model::ServiceEntry::new(name, "1"))
            .await
            .unwrap();
    }
    let answer = server.get("/v1/snapshot").await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert_eq!(answer.header("x-registry-revision"), "450");
    let lines: Vec<serde_json::Value> = std::str::from_utf8(&answer.body)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0], serde_json::json!({ "revision": 450 }));
    assert_eq!(lines[451]["complete"], true);
    assert_eq!(lines[451]["records"], 450);
    let found: Vec<_> = lines[1..451]
        .iter()
        .map(|line| line["service"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(found, names);
}
