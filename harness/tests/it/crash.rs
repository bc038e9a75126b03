//! kill -9 in the middle of concurrent registrations: every acknowledged one is there, none half.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::future::block_on;
use serde_json::{Value, json};

use crate::fixture::{Client, Daemon, persistent, run_json, store_path};

const CLIENTS: usize = 40;
const EACH: usize = 5;
/// Acknowledgements after which the daemon is killed, of 200.
const KILL_AFTER: usize = 70;

fn entry(client: usize, index: usize) -> Value {
    let endpoint = json!({ "name": "http", "address": format!("10.0.{client}.{index}:80"), "protocol": "http" });
    json!({ "name": format!("s{client}-{index}"), "version": format!("{client}.{index}"), "endpoints": [endpoint] })
}

/// Registers from many connections at a time until the daemon is gone, and answers what was acknowledged.
async fn register_until_killed(daemon: Daemon) -> Vec<(Value, u64)> {
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let (enough, is_enough) = smol::channel::bounded(1);
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let (url, acknowledged, enough) = (
            daemon.url.clone(),
            Arc::clone(&acknowledged),
            enough.clone(),
        );
        let mut connection = Client::connect(&url).await;
        clients.push(smol::spawn(async move {
            let mut kept = Vec::new();
            for index in 0..EACH {
                let service = entry(client, index);
                let answer = connection
                    .request("register_service", json!({ "service": service }))
                    .await;
                let Some(revision) = answer.and_then(|answer| answer["data"]["revision"].as_u64())
                else {
                    break;
                };
                kept.push((service, revision));
                if acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == KILL_AFTER {
                    enough.send(()).await.expect("the test waits for it");
                }
            }
            kept
        }));
    }
    is_enough.recv().await.expect("a client sends it");
    daemon.kill();
    let mut kept = Vec::new();
    for client in clients {
        kept.extend(client.await);
    }
    kept
}

#[test]
fn acknowledged_registrations_survive_kill() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let acknowledged = block_on(register_until_killed(Daemon::on(folder.path(), backend)));
        assert!(acknowledged.len() >= KILL_AFTER, "{backend}");
        // Ended during its recovery, at whatever point it has got to.
        let path = store_path(folder.path(), backend);
        for _ in 0..3 {
            let args = [
                "--registry-backend",
                backend.as_str(),
                "--registry-path",
                path.to_str().unwrap(),
            ];
            let mut recovering = Daemon::spawn(&args);
            recovering.kill().unwrap();
            recovering.wait().unwrap();
        }

        let daemon = Daemon::on(folder.path(), backend);
        let listed = run_json(&["service", "list", "--url", &daemon.url]);
        let listed: BTreeMap<&str, &Value> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|service| (service["name"].as_str().unwrap(), service))
            .collect();
        assert_eq!(
            daemon.ready_number("services"),
            listed.len() as u64,
            "{backend}: ready means loaded"
        );
        for (service, revision) in &acknowledged {
            let name = service["name"].as_str().unwrap();
            let found = listed
                .get(name)
                .unwrap_or_else(|| panic!("{backend}: {name} was acknowledged and is lost"));
            assert_eq!(found["revision"], *revision, "{backend}: {name}");
        }
        for (name, found) in &listed {
            let (client, index) = name.trim_start_matches('s').split_once('-').unwrap();
            let sent = entry(client.parse().unwrap(), index.parse().unwrap());
            assert_eq!(
                (&found["version"], &found["endpoints"]),
                (&sent["version"], &sent["endpoints"]),
                "{backend}"
            );
        }
        assert!(daemon.terminate().success(), "{backend}");
        let verified = run_json(&["registry", "verify", "--path", path.to_str().unwrap()]);
        assert_eq!(verified["clean"], true, "{backend}: {verified}");
    }
}
