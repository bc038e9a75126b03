//! Lists from one snapshot, and dependencies.

use registry_core::Revision;
use registry_core::engine::{
    Cursor, Dependencies, Direction, EngineConfig, Filter, LIST_PAGE_MAX, Page, PageRequest,
    Registry, RegistryError,
};
use registry_core::model::{Name, ServiceEntry, ServiceState};

use crate::running::{open, register, run};

fn request(cursor: Option<Cursor>, limit: usize) -> PageRequest {
    PageRequest {
        filter: Filter::default(),
        cursor,
        limit: Some(limit),
    }
}

fn names(page: &Page) -> Vec<&str> {
    page.services
        .iter()
        .map(|service| service.name().as_str())
        .collect()
}

#[test]
fn all_pages_of_a_list_are_of_one_snapshot() {
    run(async |registry, _| {
        register(registry, &["b", "d", "a", "c", "e"]).await;
        let first = registry.list(&request(None, 2)).await.unwrap();
        assert_eq!(names(&first), ["a", "b"]);
        registry.deregister("c").await.unwrap();
        registry
            .set_state("d", ServiceState::Running)
            .await
            .unwrap();
        register(registry, &["cc"]).await;

        // A cursor is text on the wire.
        let cursor: Cursor = first.next.unwrap().to_string().parse().unwrap();
        let second = registry.list(&request(Some(cursor), 2)).await.unwrap();
        assert_eq!(names(&second), ["c", "d"]);
        assert_eq!(second.revision, first.revision);
        assert_eq!(second.services[1].entry().state, ServiceState::Registered);
        let last = registry.list(&request(second.next, 2)).await.unwrap();
        assert_eq!((names(&last), &last.next), (vec!["e"], &None));

        let now = registry.list(&request(None, 10)).await.unwrap();
        assert_eq!(names(&now), ["a", "b", "cc", "d", "e"]);
        assert_eq!((now.revision, now.next), (Revision(8), None));
    });
}

#[test]
fn filters_hold_across_pages() {
    run(async |registry, _| {
        register(registry, &["a1", "a2", "b1", "a3"]).await;
        let filter = Filter {
            prefix: Some("a".to_owned()),
            ..Filter::default()
        };
        let mut request = PageRequest {
            filter,
            ..request(None, 2)
        };
        let first = registry.list(&request).await.unwrap();
        assert_eq!(names(&first), ["a1", "a2"]);
        request.cursor = first.next;
        let second = registry.list(&request).await.unwrap();
        assert_eq!((names(&second), &second.next), (vec!["a3"], &None));
    });
}

#[test]
fn oldest_snapshot_leaves_a_full_set() {
    for pinned_views_max in [0, 1] {
        let config = EngineConfig {
            pinned_views_max,
            ..EngineConfig::default()
        };
        open(config).run(async |registry, _| {
            register(registry, &["a", "b"]).await;
            let old = registry.list(&request(None, 1)).await.unwrap();
            register(registry, &["c"]).await;
            let young = registry.list(&request(None, 1)).await.unwrap();
            let expired = registry.list(&request(old.next, 1)).await.unwrap_err();
            assert!(matches!(
                expired,
                RegistryError::CursorExpired {
                    revision: Revision(2)
                }
            ));
            assert!(expired.is_retryable());
            let kept = registry.list(&request(young.next, 1)).await;
            assert_eq!(kept.is_ok(), pinned_views_max == 1);
        });
    }
}

#[test]
fn pages_have_a_limit() {
    run(async |registry, _| {
        for limit in [0, LIST_PAGE_MAX + 1] {
            let answer = registry.list(&request(None, limit)).await;
            assert!(matches!(answer, Err(RegistryError::Invalid(_))), "{limit}");
        }
    });
}

async fn depend(registry: &Registry, name: &str, depends_on: &[&str]) {
    let mut entry = ServiceEntry::new(name, "1");
    entry.depends_on = depends_on.iter().map(|name| (*name).to_owned()).collect();
    registry.register(entry).await.unwrap();
}

async fn follow(registry: &Registry, name: &str, direction: Direction, max: u32) -> Dependencies {
    let view = registry.view().await.unwrap();
    view.dependencies(&Name::new(name).unwrap(), direction, max)
}

fn listed(found: &Dependencies) -> Vec<(&str, u32, bool)> {
    found
        .services
        .iter()
        .map(|found| (found.name.as_str(), found.distance, found.is_known))
        .collect()
}

#[test]
fn dependencies_tell_cycles_and_unknown_names() {
    run(async |registry, _| {
        depend(registry, "web", &["api", "cache", "api"]).await;
        depend(registry, "api", &["db", "cache"]).await;
        depend(registry, "db", &["web"]).await;
        depend(registry, "self", &["self"]).await;

        let down = follow(registry, "web", Direction::Down, u32::MAX).await;
        assert_eq!(
            listed(&down),
            [("api", 1, true), ("cache", 1, false), ("db", 2, true)]
        );
        assert!(down.is_cyclic && !down.is_truncated);
        let near = follow(registry, "web", Direction::Down, 1).await;
        assert_eq!((listed(&near).len(), near.is_cyclic), (2, false));

        let up = follow(registry, "cache", Direction::Up, u32::MAX).await;
        assert_eq!(
            listed(&up),
            [("api", 1, true), ("web", 1, true), ("db", 2, true)]
        );
        assert!(!up.is_cyclic);
        let alone = follow(registry, "self", Direction::Up, u32::MAX).await;
        assert_eq!((listed(&alone), alone.is_cyclic), (vec![], true));
        let nobody = follow(registry, "nobody", Direction::Down, u32::MAX).await;
        assert_eq!(nobody, Dependencies::default());
    });
}

#[test]
fn dependents_follow_every_change_of_an_entry() {
    run(async |registry, _| {
        let up = async |name| {
            let found = follow(registry, name, Direction::Up, 1).await;
            found.services.len()
        };
        depend(registry, "web", &["api", "cache", "api"]).await;
        assert_eq!((up("api").await, up("db").await), (1, 0));
        depend(registry, "web", &["cache", "db"]).await;
        assert_eq!(
            (up("api").await, up("cache").await, up("db").await),
            (0, 1, 1)
        );
        registry.deregister("web").await.unwrap();
        assert_eq!((up("cache").await, up("db").await), (0, 0));
    });
}
