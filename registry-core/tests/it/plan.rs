//! Plans, as a table of commands and what they come to.

use std::sync::Arc;

use futures_lite::future::block_on;
use registry_core::engine::{
    Action, Command, Context, EngineConfig, Expect, Plan, ServicePatch, View, plan,
};
use registry_core::model::{Endpoint, Health, HealthStatus, Protocol, ServiceEntry, ServiceState};
use registry_core::{MemoryStore, RegistryStore as _, Revision};

use crate::fixture::TIME;
use crate::running::{open_on, register};
use crate::vectors::{newer_value, restore_page};

/// A view at revision 3 with `newer` of schema 1.1 at 1, `api` at 3 with a health report.
fn view() -> Arc<View> {
    let store = MemoryStore::new();
    block_on(store.restore(restore_page(&newer_value().1))).unwrap();
    let idle = open_on(store, EngineConfig::default());
    let registry = idle.registry.clone();
    idle.run(async |registry, _| {
        register(registry, &["api"]).await;
        let reported = registry.report_health("api", Health::Passing, None).await;
        assert_eq!(reported.unwrap().revision, Revision(3));
    });
    registry.stale_view()
}

fn come_to(view: &View, action: Action) -> String {
    let command = Command::new(action, Context::default(), TIME);
    match plan(view, &command) {
        Ok(Plan::Put(image)) => {
            let entry = image.as_service().unwrap();
            let (name, version, state) = (&entry.name, &entry.version, entry.state.as_str());
            format!("put {name} {version} {state}")
        }
        Ok(Plan::Delete(key)) => format!("delete {}", key.name()),
        Ok(Plan::Unchanged(key)) => format!("unchanged {}", key.name()),
        Ok(Plan::Confirmed(key, at)) => format!("confirmed {} at {at}", key.name()),
        Ok(other) => format!("{other:?}"),
        Err(error) => error.to_string(),
    }
}

fn endpoint() -> Endpoint {
    Endpoint {
        name: "http".to_owned(),
        address: ([10, 0, 0, 7], 80).into(),
        protocol: Protocol::new("http"),
    }
}

fn health(status: Health) -> HealthStatus {
    HealthStatus {
        status,
        checked_at: TIME,
        message: None,
    }
}

/// What each action does to a service: the action made for a name and an expectation.
fn actions() -> Vec<fn(&str, Expect) -> Action> {
    vec![
        |name, expect| Action::Update {
            name: name.to_owned(),
            patch: ServicePatch {
                version: Some("2".to_owned()),
                ..ServicePatch::default()
            },
            expect,
        },
        |name, expect| Action::Deregister {
            name: name.to_owned(),
            expect,
        },
        |name, expect| Action::SetState {
            name: name.to_owned(),
            state: ServiceState::Running,
            expect,
        },
        |name, expect| Action::ReportHealth {
            name: name.to_owned(),
            health: health(Health::Critical),
            expect,
        },
        |name, expect| Action::ReplaceEndpoints {
            name: name.to_owned(),
            endpoints: vec![endpoint()],
            expect,
        },
    ]
}

fn register_as(name: &str, version: &str, expect: Expect) -> Action {
    Action::register(ServiceEntry::new(name, version), expect).unwrap()
}

#[test]
fn changes_come_to_a_put_or_a_delete() {
    let view = view();
    let expected = [
        "put api 2 registered",
        "delete api",
        "put api 1 running",
        "put api 1 registered",
        "put api 1 registered",
    ];
    for (action, expected) in actions().iter().zip(expected) {
        for expect in [Expect::Any, Expect::At(Revision(3))] {
            assert_eq!(come_to(&view, action("api", expect)), expected);
        }
    }
    for expect in [Expect::Any, Expect::Absent, Expect::At(Revision(0))] {
        let found = come_to(&view, register_as("new", "1", expect));
        assert_eq!(found, "put new 1 registered");
    }
    let found = come_to(&view, register_as("api", "2", Expect::At(Revision(3))));
    assert_eq!(found, "put api 2 registered");
}

#[test]
fn stale_expectations_are_refused_by_every_action() {
    let view = view();
    let stale = r#"service "api" is at revision 3, expected 2"#;
    let exists = r#"service "api" exists since revision 2"#;
    for action in actions() {
        assert_eq!(
            come_to(&view, action("api", Expect::At(Revision(2)))),
            stale
        );
        assert_eq!(come_to(&view, action("api", Expect::Absent)), exists);
    }
    let found = come_to(&view, register_as("api", "2", Expect::At(Revision(2))));
    assert_eq!(found, stale);
    let found = come_to(&view, register_as("api", "2", Expect::Absent));
    assert_eq!(found, exists);
    let found = come_to(&view, register_as("new", "2", Expect::At(Revision(2))));
    assert_eq!(found, r#"service "new" is at revision 0, expected 2"#);
}

#[test]
fn unknown_services_are_refused_by_every_action_but_register() {
    let view = view();
    for action in actions() {
        let found = come_to(&view, action("other", Expect::Any));
        assert_eq!(found, r#"there is no service "other""#);
    }
}

#[test]
fn what_is_so_already_comes_to_nothing() {
    let view = view();
    let entry = view.get("api").unwrap().entry().clone();
    let name = || "api".to_owned();
    let expect = Expect::Any;
    let same = [
        Action::register(entry.clone(), expect).unwrap(),
        Action::Update {
            name: name(),
            patch: ServicePatch::default(),
            expect,
        },
        Action::SetState {
            name: name(),
            state: entry.state,
            expect,
        },
        Action::ReplaceEndpoints {
            name: name(),
            endpoints: entry.endpoints,
            expect,
        },
    ];
    for action in same {
        assert_eq!(come_to(&view, action), "unchanged api");
    }
    let confirmed = Action::ReportHealth {
        name: name(),
        health: health(Health::Passing),
        expect,
    };
    assert_eq!(
        come_to(&view, confirmed),
        format!("confirmed api at {TIME}")
    );
}

#[test]
fn newer_records_are_refused_by_every_action() {
    let view = view();
    let too_new = r#"service "newer" was written in schema 1.1, which is newer than this program"#;
    for action in actions() {
        assert_eq!(come_to(&view, action("newer", Expect::Any)), too_new);
    }
    let found = come_to(&view, register_as("newer", "2", Expect::Any));
    assert_eq!(found, too_new);
}

#[test]
fn broken_rules_are_refused_with_the_field() {
    let view = view();
    let refused = Action::register(ServiceEntry::new("", "1"), Expect::Any).unwrap_err();
    let found = refused.to_string();
    assert!(found.starts_with("name: "), "{found}");
    let unknown = Action::SetState {
        name: "api".to_owned(),
        state: ServiceState::Unknown,
        expect: Expect::Any,
    };
    let found = come_to(&view, unknown);
    assert!(found.starts_with("state: expected registered, "), "{found}");
}
