//! Requests, events, resumption.

use registry_core::engine::EngineConfig;
use registry_ws::WsConfig;
use serde_json::json;

use crate::client::{Client, Server, entry};

#[test]
fn services_can_be_registered_changed_and_read() {
    smol::block_on(async {
        let mut client = Server::start(WsConfig::default()).await.connect().await;
        let written = client
            .ask("register_service", json!({ "service": entry("api") }))
            .await;
        assert_eq!(
            (&written["revision"], &written["changed"]),
            (&json!(1), &json!(true))
        );
        let again = client
            .ask("register_service", json!({ "service": entry("api") }))
            .await;
        assert_eq!(
            again["changed"], false,
            "the same entry again changes nothing"
        );

        change_everything(&mut client).await;
        let service = client.ask("get_service", json!({ "name": "api" })).await;
        assert_eq!(service["version"], "1.1.0");
        assert_eq!(service["state"], "running");
        assert_eq!(service["last_health_check"]["status"], "passing");
        assert_eq!(
            (&service["revision"], &service["created_revision"]),
            (&json!(5), &json!(1))
        );
        let endpoints = client
            .ask(
                "list_endpoints",
                json!({ "filter": { "protocol": "http" } }),
            )
            .await;
        assert_eq!(endpoints["endpoints"][0]["address"], "127.0.0.1:80");
        let needs = client
            .ask("service_dependencies", json!({ "name": "api" }))
            .await;
        assert_eq!(
            needs["services"],
            json!([{ "name": "db", "distance": 1, "is_known": false }])
        );
    });
}

/// Four commits on the service `api`.
async fn change_everything(client: &mut Client) {
    client
        .ask(
            "set_service_state",
            json!({ "name": "api", "state": "running" }),
        )
        .await;
    client
        .ask(
            "report_health",
            json!({ "name": "api", "status": "passing" }),
        )
        .await;
    let endpoint = json!({ "name": "http", "address": "127.0.0.1:80", "protocol": "http" });
    client
        .ask(
            "replace_endpoints",
            json!({ "name": "api", "endpoints": [endpoint] }),
        )
        .await;
    let changes = json!({ "version": "1.1.0", "depends_on": ["db"] });
    client
        .ask(
            "update_service",
            json!({ "name": "api", "changes": changes, "reason": "upgrade" }),
        )
        .await;
}

#[test]
fn history_tells_every_change_of_a_service_that_is_gone() {
    smol::block_on(async {
        let mut client = Server::start(WsConfig::default()).await.connect().await;
        client
            .ask("register_service", json!({ "service": entry("api") }))
            .await;
        change_everything(&mut client).await;
        client
            .ask("deregister_service", json!({ "name": "api" }))
            .await;
        assert_eq!(
            client
                .refused("get_service", json!({ "name": "api" }))
                .await,
            "NotFound"
        );
        let history = client
            .ask("service_history", json!({ "name": "api" }))
            .await;
        let entries = history["entries"].as_array().unwrap();
        let actions: Vec<_> = entries.iter().map(|entry| &entry["action"]).collect();
        let expected = [
            "register_service",
            "set_service_state",
            "report_health",
            "replace_endpoints",
            "update_service",
            "deregister_service",
        ];
        assert_eq!(actions, expected);
        assert_eq!(history["entries"][4]["reason"], "upgrade");
    });
}

#[test]
fn log_tells_every_commit_of_every_service_page_by_page() {
    smol::block_on(async {
        let server = Server::start(WsConfig::default()).await;
        let mut client = server.connect().await;
        for name in ["api", "db", "web"] {
            let params = json!({ "service": entry(name), "reason": format!("new {name}") });
            client.ask("register_service", params).await;
        }
        client
            .ask("deregister_service", json!({ "name": "db" }))
            .await;
        let first = client.ask("list_log", json!({ "limit": 3 })).await;
        assert_eq!(
            (&first["through"], &first["next_after"]),
            (&json!(3), &json!(3))
        );
        let web = &first["entries"][2];
        assert_eq!(
            (&web["revision"], &web["action"], &web["reason"]),
            (&json!(3), &json!("register_service"), &json!("new web"))
        );
        assert_eq!(web["changes"][0]["key"], json!({ "service": "web" }));
        assert_eq!(web["changes"][0]["before"], json!(null));
        assert_eq!(web["changes"][0]["after"]["version"], "1.0.0");
        let last = client.ask("list_log", json!({ "after": 3 })).await;
        assert_eq!(
            last["entries"][0]["changes"][0]["before"]["name"], "db",
            "{last}"
        );
        assert!(last.get("next_after").is_none(), "{last}");
        let of_db = client.ask("list_log", json!({ "service": "db" })).await;
        assert_eq!(of_db["entries"].as_array().map(Vec::len), Some(2));
        server
            .registry
            .compact(registry_core::Revision(2))
            .await
            .unwrap();
        assert_eq!(
            client.refused("list_log", json!({ "after": 1 })).await,
            "Compacted"
        );
        let rest = client.ask("list_log", json!({})).await;
        assert_eq!(rest["entries"][0]["revision"], 3);
        let wrong = client
            .refused("list_log", json!({ "since": "yesterday" }))
            .await;
        assert_eq!(wrong, "BadRequest");
    });
}

#[test]
fn subscription_tells_snapshot_then_every_change_in_order() {
    smol::block_on(async {
        let server = Server::start(WsConfig::default()).await;
        let (mut watcher, mut writer) = (server.connect().await, server.connect().await);
        writer
            .ask("register_service", json!({ "service": entry("old") }))
            .await;
        watcher.ask("subscribe", json!({})).await;
        let (name, loaded) = watcher.event().await;
        assert_eq!(
            (name.as_str(), &loaded["complete"]),
            ("registry_loaded", &json!(true))
        );
        assert_eq!(loaded["services"][0]["name"], "old");

        writer
            .ask("register_service", json!({ "service": entry("new") }))
            .await;
        writer
            .ask(
                "set_service_state",
                json!({ "name": "new", "state": { "failed": { "reason": "oom" } } }),
            )
            .await;
        writer
            .ask("deregister_service", json!({ "name": "new" }))
            .await;
        let mut told = Vec::new();
        for _ in 0..3 {
            let (name, data) = watcher.event().await;
            told.push((name, data["revision"].as_u64().unwrap()));
        }
        let expected = [
            ("service_registered", 2),
            ("service_state_changed", 3),
            ("service_deregistered", 4),
        ];
        assert_eq!(
            told,
            expected.map(|(name, revision)| (name.to_owned(), revision))
        );
    });
}

#[test]
fn subscription_resumes_after_a_revision_without_gap_or_double() {
    smol::block_on(async {
        let server = Server::start(WsConfig::default()).await;
        let mut client = server.connect().await;
        for index in 0..20 {
            client
                .ask(
                    "register_service",
                    json!({ "service": entry(&format!("s{index}")) }),
                )
                .await;
        }
        client
            .ask(
                "subscribe",
                json!({ "resume_after": 5, "events": ["service_registered"] }),
            )
            .await;
        client
            .ask("register_service", json!({ "service": entry("last") }))
            .await;
        for revision in 6..=21 {
            let (name, data) = client.event().await;
            assert_eq!(
                (name.as_str(), data["revision"].as_u64()),
                ("service_registered", Some(revision))
            );
        }
    });
}

#[test]
fn compacted_past_is_told_and_never_skipped() {
    smol::block_on(async {
        let engine = EngineConfig {
            feed_commits_max: 2,
            ..EngineConfig::default()
        };
        let server = Server::start_with(WsConfig::default(), engine).await;
        let mut client = server.connect().await;
        for index in 0..8 {
            client
                .ask(
                    "register_service",
                    json!({ "service": entry(&format!("s{index}")) }),
                )
                .await;
        }
        server
            .registry
            .compact(registry_core::Revision(4))
            .await
            .unwrap();
        client.ask("subscribe", json!({ "resume_after": 3 })).await;
        let (name, data) = client.event().await;
        assert_eq!((name.as_str(), &data["oldest"]), ("compacted", &json!(4)));
    });
}

#[test]
fn filter_and_events_choose_what_is_told() {
    smol::block_on(async {
        let server = Server::start(WsConfig::default()).await;
        let mut client = server.connect().await;
        let subscribed = json!({ "filter": { "prefix": "pay" }, "events": ["service_state_changed", "registry_loaded"] });
        client.ask("subscribe", subscribed).await;
        assert_eq!(client.event().await.0, "registry_loaded");
        for name in ["pay-in", "cart"] {
            client
                .ask("register_service", json!({ "service": entry(name) }))
                .await;
            client
                .ask(
                    "set_service_state",
                    json!({ "name": name, "state": "running" }),
                )
                .await;
        }
        client
            .ask(
                "set_service_state",
                json!({ "name": "pay-in", "state": "stopped" }),
            )
            .await;
        let (first, second) = (client.event().await, client.event().await);
        assert_eq!(
            (first.0.as_str(), &first.1["to"]),
            ("service_state_changed", &json!("running"))
        );
        assert_eq!(
            (second.0.as_str(), &second.1["from"], &second.1["to"]),
            (
                "service_state_changed",
                &json!("running"),
                &json!("stopped")
            )
        );
    });
}

#[test]
fn unsubscribed_connection_is_told_nothing_more() {
    smol::block_on(async {
        let mut client = Server::start(WsConfig::default()).await.connect().await;
        let subscription = client
            .ask("subscribe", json!({ "events": ["service_registered"] }))
            .await;
        let ended = client
            .ask(
                "unsubscribe",
                json!({ "subscription": subscription["subscription"] }),
            )
            .await;
        assert_eq!(ended["ended"], json!([subscription["subscription"]]));
        client
            .ask("register_service", json!({ "service": entry("api") }))
            .await;
        client.ask("ping", json!({})).await;
        let other = client
            .refused(
                "unsubscribe",
                json!({ "subscription": subscription["subscription"] }),
            )
            .await;
        assert_eq!(other, "NotFound");
    });
}

#[test]
fn pages_of_a_list_come_from_one_snapshot() {
    smol::block_on(async {
        let mut client = Server::start(WsConfig::default()).await.connect().await;
        for name in ["a", "b", "c", "d"] {
            client
                .ask("register_service", json!({ "service": entry(name) }))
                .await;
        }
        let first = client.request("list_services", json!({ "limit": 2 })).await;
        client
            .ask("deregister_service", json!({ "name": "c" }))
            .await;
        let cursor = &first["data"]["next_cursor"];
        let second = client
            .request("list_services", json!({ "limit": 2, "cursor": cursor }))
            .await;
        assert_eq!(second["data"]["services"][0]["name"], "c");
        assert_eq!(first["revision"], second["revision"]);
        let lost = client
            .refused("list_services", json!({ "cursor": "99/a" }))
            .await;
        assert_eq!(lost, "CursorExpired");
    });
}

#[test]
fn pipelined_writes_of_one_connection_keep_their_order() {
    smol::block_on(async {
        let mut client = Server::start(WsConfig::default()).await.connect().await;
        client
            .ask("register_service", json!({ "service": entry("api") }))
            .await;
        for round in 0..50 {
            let changes = json!({ "version": format!("2.0.{round}") });
            client
                .send(
                    "update_service",
                    json!({ "name": "api", "changes": changes }),
                )
                .await;
        }
        let mut revisions = Vec::new();
        for _ in 0..50 {
            revisions.push(client.receive().await["data"]["revision"].as_u64().unwrap());
        }
        revisions.sort_unstable();
        assert_eq!(revisions, (2..=51).collect::<Vec<_>>());
        let service = client.ask("get_service", json!({ "name": "api" })).await;
        assert_eq!(service["version"], "2.0.49");
    });
}

#[test]
fn repeated_idempotency_key_answers_the_first_outcome() {
    smol::block_on(async {
        let mut client = Server::start(WsConfig::default()).await.connect().await;
        let params =
            json!({ "service": entry("api"), "expect_revision": 0, "idempotency_key": "deploy-7" });
        let first = client.ask("register_service", params.clone()).await;
        let second = client.ask("register_service", params).await;
        assert_eq!(first["revision"], second["revision"]);
        let other = client
            .refused(
                "register_service",
                json!({ "service": entry("api"), "expect_revision": 0 }),
            )
            .await;
        assert_eq!(other, "AlreadyExists");
    });
}
