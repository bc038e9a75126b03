//! `harness::discovery`: leases that are kept in process and from elsewhere.

use futures_lite::future::{block_on, zip};
use harness::Registry;
use harness::core::model::InstanceSpec;
use harness::core::{Revision, Span};
use harness::discovery::{self, LeaseState, Registered, ServiceBootstrap, Site, role};
use serde_json::Value;

use crate::fixture::{Daemon, Follower, free_port, run, text};

/// A writer with a lease of a second, so that it beats several times a second.
fn writer(id: &str) -> InstanceSpec {
    InstanceSpec {
        lease_ttl: Span::from_secs(1),
        ..InstanceSpec::new(role::WRITER, id, "10.0.0.7", 9100)
    }
}

fn site(daemon: &Daemon) -> Site {
    Site::daemon(&daemon.url, None).expect("it is an address")
}

/// Waits for a state.
async fn until(registered: &Registered, is: impl Fn(&LeaseState) -> bool) -> LeaseState {
    let mut state = registered.state();
    while !is(&state) {
        state = registered.changed(&state).await;
    }
    state
}

fn is_retrying(state: &LeaseState) -> bool {
    matches!(state, LeaseState::Retrying { .. })
}

#[test]
fn roles_are_registered_listed_renewed_and_deregistered_wherever_the_registry_is() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", text(&folder.path().join("s")));
    let daemon = Daemon::start(&[
        "--registry-backend",
        "memory",
        "--bind",
        "127.0.0.1:0",
        "--bind",
        &socket,
    ]);
    let registry = Registry::new();
    let over_socket = Site::daemon(&socket, None).unwrap();
    for site in [Site::from(&registry), site(&daemon), over_socket] {
        block_on(async {
            let ingester = discovery::register_ingester(site.clone(), writer("w-1"))
                .await
                .unwrap();
            let querier = InstanceSpec::new("", "q-1", "10.0.0.8", 9200);
            let querier = discovery::register_service(site.clone(), role::QUERIER, querier)
                .await
                .unwrap();
            let listed = discovery::list_ingesters(site.clone()).await.unwrap();
            assert_eq!(listed.len(), 1);
            assert_eq!(listed[0].instance_id, "w-1");
            discovery::heartbeat(site.clone(), role::QUERIER, "q-1")
                .await
                .unwrap();
            discovery::heartbeat(site.clone(), role::ROUTER, "r-1")
                .await
                .unwrap_err();
            ingester.deregister("done").await.unwrap();
            querier.deregister("done").await.unwrap();
            for role in role::ALL {
                assert!(
                    discovery::list(site.clone(), role)
                        .await
                        .unwrap()
                        .is_empty()
                );
            }
        });
    }
}

#[test]
fn lease_survives_restarts_and_comes_back_where_it_was_forgotten() {
    let bind = free_port();
    let start = || Daemon::start(&["--registry-backend", "memory", "--bind", &bind]);
    let daemon = start();
    block_on(async {
        let registered = ServiceBootstrap::new(site(&daemon), writer("w-1"))
            .register()
            .await
            .unwrap();
        let first = registered.instance();
        let heartbeat = registered.start_heartbeat();
        let work = async {
            let mut daemon = daemon;
            for _ in 0..3 {
                daemon.kill();
                until(&registered, is_retrying).await;
                daemon = start();
                until(&registered, |state| *state == LeaseState::Held).await;
                let listed = discovery::list_ingesters(site(&daemon)).await.unwrap();
                assert_eq!(listed[0].incarnation, first.incarnation);
            }
            assert_eq!(
                registered.instance().fencing_revision,
                Revision(1),
                "of the last daemon"
            );
            registered.deregister("done").await.unwrap();
            assert!(
                discovery::list_ingesters(site(&daemon))
                    .await
                    .unwrap()
                    .is_empty()
            );
        };
        assert_eq!(zip(heartbeat, work).await.0, LeaseState::Ended);
    });
}

#[test]
fn lease_that_an_operator_or_a_later_start_ended_is_lost_and_says_so() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let url = ["--url", &daemon.url];
    let bootstrap = ServiceBootstrap::new(site(&daemon), writer("w-1"));
    block_on(async {
        let registered = bootstrap.register().await.unwrap();
        let heartbeat = registered.start_heartbeat();
        run(&[&["instance", "deregister", "writer", "w-1"], &url[..]].concat());
        let lost = LeaseState::Lost {
            reason: "it was deregistered".to_owned(),
        };
        assert_eq!(heartbeat.await, lost);

        let registered = bootstrap.register().await.unwrap();
        let heartbeat = registered.start_heartbeat();
        let later = bootstrap
            .clone()
            .incarnation(u64::MAX)
            .register()
            .await
            .unwrap();
        let LeaseState::Lost { reason } = heartbeat.await else {
            panic!("{:?}", registered.state());
        };
        assert!(reason.contains(&u64::MAX.to_string()), "{reason}");
        registered
            .deregister("it is not ours any more")
            .await
            .unwrap();
        assert_eq!(
            discovery::list_ingesters(site(&daemon))
                .await
                .unwrap()
                .len(),
            1
        );
        later.deregister("done").await.unwrap();
    });
}

#[test]
fn instance_that_was_away_until_it_was_removed_comes_back() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let policy = ["instance", "policy", "set", "writer", "--url", &daemon.url];
    let rules = [
        "--protection-percent",
        "100",
        "--remove-expired-after",
        "1ms",
    ];
    run(&[&policy[..], &rules].concat());
    let mut watch = Follower::start(&["service", "watch", "--after", "0", "--url", &daemon.url]);
    block_on(async {
        let registered = ServiceBootstrap::new(site(&daemon), writer("w-1"))
            .register()
            .await
            .unwrap();
        let is_removed = |event: &Value| !event["data"]["instance"]["stopped_at"].is_null();
        while !is_removed(&watch.next()) {}
        let before = registered.instance().incarnation;
        let heartbeat = registered.start_heartbeat();
        let work = async {
            // It is listed before the answer to its heartbeat has come.
            while registered.instance().incarnation <= before {
                smol::future::yield_now().await;
            }
            let listed = discovery::list_ingesters(site(&daemon)).await.unwrap();
            assert_eq!(listed.len(), 1);
            drop(registered);
        };
        assert_eq!(zip(heartbeat, work).await.0, LeaseState::Ended);
    });
}

#[test]
fn heartbeat_ends_with_its_holder_and_with_a_registry_in_process() {
    let registry = Registry::new();
    block_on(async {
        let registered = ServiceBootstrap::new(&registry, writer(""))
            .register()
            .await
            .unwrap();
        let id = registered.instance().instance_id;
        assert!(!id.is_empty());
        let heartbeat = registered.start_heartbeat();
        drop(registered);
        assert_eq!(heartbeat.await, LeaseState::Ended);

        let registered = ServiceBootstrap::new(&registry, writer("w-2"))
            .register()
            .await
            .unwrap();
        let heartbeat = registered.start_heartbeat();
        registry.close().await.unwrap();
        assert!(matches!(heartbeat.await, LeaseState::Lost { .. }));
    });
}

#[test]
fn instance_that_makes_no_sense_is_refused_with_the_field() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let registry = Registry::new();
    for site in [Site::from(&registry), site(&daemon)] {
        let same = InstanceSpec::new("writer", "writer", "10.0.0.7", 80);
        let refused = block_on(ServiceBootstrap::new(site, same).register()).unwrap_err();
        assert!(refused.to_string().contains("instance_id"), "{refused}");
    }
    assert!(Site::daemon("http://127.0.0.1:9402", None).is_err());
}
