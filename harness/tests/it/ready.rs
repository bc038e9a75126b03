//! What a full store means for the start, and what many clients mean for the flushes.

use futures_lite::future::block_on;
use serde_json::json;

use crate::fixture::{Client, Daemon, many_services, persistent, run, run_json, store_path};

#[test]
fn ten_thousand_services_are_all_there_when_ready_also_after_kill() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = store_path(folder.path(), backend);
        let file = many_services(folder.path(), 10_000);
        run(&[
            "registry",
            "migrate",
            "--from",
            file.to_str().unwrap(),
            "--to",
            path.to_str().unwrap(),
        ]);
        let daemon = Daemon::on(folder.path(), backend);
        assert_eq!(daemon.ready_number("services"), 10_000, "{backend}");
        run(&["service", "register", "one-more", "--url", &daemon.url]);
        daemon.kill();
        let again = Daemon::on(folder.path(), backend);
        assert_eq!(again.ready_number("services"), 10_001, "{backend}");
    }
}

#[test]
fn registrations_of_many_clients_share_flushes() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::on(folder.path(), backend);
        block_on(async {
            let mut clients = Vec::new();
            for client in 0..64 {
                let mut connection = Client::connect(&daemon.url).await;
                clients.push(smol::spawn(async move {
                    for index in 0..10 {
                        let service =
                            json!({ "name": format!("s{client}-{index}"), "version": "1" });
                        let answer = connection
                            .request("register_service", json!({ "service": service }))
                            .await;
                        assert_eq!(answer.unwrap()["data"]["changed"], true);
                    }
                }));
            }
            for client in clients {
                client.await;
            }
        });
        let info = run_json(&["registry", "info", "--url", &daemon.url]);
        let (commits, groups) = (
            info["stats"]["commits"].as_u64().unwrap(),
            info["stats"]["groups"].as_u64().unwrap(),
        );
        assert_eq!(commits, 640, "{backend}");
        assert!(
            groups * 4 <= commits,
            "{backend}: {groups} flushes for {commits} commits"
        );
    }
}
