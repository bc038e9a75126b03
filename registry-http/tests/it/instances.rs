//! Instances over HTTP.

use serde_json::json;

use crate::client::Server;

fn spec(zone: &str) -> serde_json::Value {
    json!({
        "address": "10.0.0.1",
        "port": 8080,
        "zone": zone,
        "tags": ["blue"],
        "metadata": { "team-name": "ops" },
    })
}

#[tokio::test]
async fn instance_registers_beats_and_leaves() {
    let server = Server::start().await;
    let path = "/v1/services/team%2Fapi/instances/i1";
    let created = server.put(path, spec("z1")).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.json()["instance"]["service"], "team/api");
    let read = server.get(path).await;
    assert_eq!(read.header("etag"), "\"1\"");
    assert_eq!(read.json()["instance_id"], "i1");
    for body in [None, Some(json!({}))] {
        let beat = server
            .send("PUT", &format!("{path}/heartbeat"), &[], body)
            .await;
        assert_eq!(beat.status, 200, "{beat:?}");
    }
    let steps = [
        ("health", json!({ "status": "warning", "message": "slow" })),
        ("intent", json!({ "intent": "draining" })),
        ("lifecycle", json!({ "lifecycle": "active" })),
    ];
    for (part, body) in steps {
        let answer = server.put(&format!("{path}/{part}"), body).await;
        assert_eq!(answer.status, 200, "{part}: {answer:?}");
    }
    let explained = server.get(&format!("{path}/explain")).await.json();
    assert_eq!(explained["instances"][0]["is_chosen"], false);
    let gone = server.send("DELETE", path, &[], None).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let listed = server.get("/v1/services/team%2Fapi/instances").await;
    assert_eq!(listed.json()["instances"], json!([]));
}

#[tokio::test]
async fn posted_instance_is_given_a_name_and_told_where_it_is() {
    let server = Server::start().await;
    let body = Some(spec("z1"));
    let path = "/v1/services/team%2Fapi/instances";
    let created = server.send("POST", path, &[], body).await;
    assert_eq!(created.status, 201, "{created:?}");
    let location = created.header("location").to_owned();
    let read = server.get(&location).await;
    assert_eq!(
        read.json()["instance_id"],
        created.json()["instance"]["instance_id"]
    );
}

#[tokio::test]
async fn heartbeats_go_in_batches_and_each_refusal_has_its_place() {
    let server = Server::start().await;
    server
        .put("/v1/services/api/instances/i1", spec("z1"))
        .await;
    let beat = |id: &str| json!({ "service": "api", "instance_id": id });
    let batch = json!({ "heartbeats": [beat("i1"), beat("none"), beat("i1")] });
    let answer = server
        .send("POST", "/v1/heartbeats", &[], Some(batch))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["renewed"], 2);
    assert_eq!(answer.json()["refused"][0]["index"], 1);
}

#[tokio::test]
async fn instances_are_found_by_place_tag_and_metadata() {
    let server = Server::start().await;
    for (id, zone) in [("i1", "z1"), ("i2", "z2"), ("i3", "z1")] {
        let path = format!("/v1/services/api/instances/{id}");
        server.put(&path, spec(zone)).await;
    }
    let count = async |query: &str| {
        let path = format!("/v1/services/api/instances?{query}");
        let answer = server.get(&path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["instances"].as_array().unwrap().len()
    };
    assert_eq!(count("zone=z1").await, 2);
    assert_eq!(count("zone=z1&tag=blue&metadata=team-name%3Dops").await, 2);
    assert_eq!(count("tag=red").await, 0);
    assert_eq!(count("metadata=team-name%3Ddev").await, 0);
    let path = "/v1/services/api/resolve?strategy=nearest&zone=z2&limit=1";
    let nearest = server.get(path).await.json();
    assert_eq!(nearest["instances"][0]["instance_id"], "i2");
    let wrong = server.get("/v1/services/api/instances?metadata=x").await;
    assert!(wrong.error().1.contains("key=value"));
}

#[tokio::test]
async fn policy_of_a_service_is_set_and_read() {
    let server = Server::start().await;
    let policy = json!({ "unknown_heartbeat": "active" });
    let set = server.put("/v1/services/api/policy", policy).await;
    assert_eq!(set.status, 200, "{set:?}");
    let read = server.get("/v1/services/api/policy").await.json();
    assert_eq!(read["own"]["unknown_heartbeat"], "active");
    let mut instance = spec("z1");
    instance["service"] = json!("api");
    let instance = Some(json!({ "instance": instance }));
    let path = "/v1/services/api/instances/new/heartbeat";
    let beat = server.send("PUT", path, &[], instance).await;
    assert_eq!(beat.status, 200, "{beat:?}");
    let released = server
        .send("POST", "/v1/services/api/protection/release", &[], None)
        .await;
    assert_eq!(released.json()["released"], 0, "{released:?}");
}

#[tokio::test]
async fn prometheus_finds_its_targets() {
    let server = Server::start().await;
    server
        .put("/v1/services/api/instances/i1", spec("z1"))
        .await;
    server.put("/v1/services/db/instances/i2", spec("z2")).await;
    let targets = server.get("/v1/sd/prometheus?zone=z1").await;
    assert_eq!(targets.header("content-type"), "application/json");
    let expected = json!([{
        "targets": ["10.0.0.1:8080"],
        "labels": {
            "__meta_harness_service": "api",
            "__meta_harness_instance": "i1",
            "__meta_harness_zone": "z1",
            "__meta_harness_region": "",
            "__meta_harness_health": "unknown",
            "__meta_harness_version": "",
            "__meta_harness_tags": ",blue,",
            "__meta_harness_metadata_team_name": "ops",
        },
    }]);
    assert_eq!(targets.json(), expected);
}

#[tokio::test]
async fn snapshot_has_every_kind_and_can_be_paged() {
    let server = Server::start().await;
    server.register(&["a", "b"]).await;
    server.put("/v1/services/a/instances/i1", spec("z1")).await;
    server
        .put("/v1/services/a/policy", json!({ "protection_percent": 50 }))
        .await;
    let answer = server.get("/v1/snapshot").await;
    let text = String::from_utf8(answer.body).unwrap();
    let kinds: Vec<_> = text.lines().map(|line| &line[2..6]).collect();
    assert_eq!(kinds, ["revi", "serv", "serv", "inst", "poli", "comp"]);

    let (api, caller) = (
        registry_api::Api::new(server.registry.clone()),
        registry_api::Authenticator::default()
            .authenticate(None, registry_core::Timestamp::default())
            .unwrap(),
    );
    let (mut params, mut records) = (json!({ "limit": 1 }), 0);
    loop {
        let page = api
            .call("snapshot", &params.to_string(), &caller)
            .await
            .unwrap();
        let page: serde_json::Value = serde_json::from_str(page.data.get()).unwrap();
        assert_eq!(page["revision"], 4);
        records += page["records"].as_array().unwrap().len();
        let Some(cursor) = page.get("next_cursor") else {
            break;
        };
        params["cursor"] = cursor.clone();
        // What changes meanwhile is not in it.
        server.send("DELETE", "/v1/services/b", &[], None).await;
    }
    assert_eq!(records, 4);
}
