//! Searches of the whole log.

use std::time::Duration;

use registry_core::engine::{
    Action, Context, EngineConfig, Expect, LOG_PAGE_MAX, LOG_PAGES_READ_MAX, LogFilter, LogRequest,
    Registry, RegistryError,
};
use registry_core::limits::CHANGES_PAGE_MAX;
use registry_core::model::ServiceEntry;
use registry_core::{ChangePage, ErrorKind, Revision};

use crate::fixture::TIME;
use crate::running::{call, open, register, run, together};

async fn log(
    registry: &Registry,
    after: Option<u64>,
    filter: LogFilter,
    limit: usize,
) -> ChangePage {
    let request = LogRequest {
        filter,
        after: after.map(Revision),
        limit: Some(limit),
    };
    registry.log(&request).await.unwrap()
}

fn revisions(page: &ChangePage) -> Vec<u64> {
    page.entries
        .iter()
        .map(|entry| entry.commit.revision.0)
        .collect()
}

async fn submit(registry: &Registry, actor: &str, name: &str) {
    let action = Action::register(ServiceEntry::new(name, "1"), Expect::Any).unwrap();
    let context = Context {
        actor: actor.to_owned(),
        ..Context::default()
    };
    registry.submit(action, context).await.unwrap();
}

#[test]
fn pages_of_a_search_follow_each_other_without_gap_or_double() {
    run(async |registry, _| {
        register(registry, &["a", "b", "c", "d", "e"]).await;
        let first = log(registry, None, LogFilter::default(), 2).await;
        assert_eq!((revisions(&first), first.through.0), (vec![1, 2], 2));
        let second = log(registry, Some(2), LogFilter::default(), 2).await;
        assert_eq!((revisions(&second), second.through.0), (vec![3, 4], 4));
        let last = log(registry, Some(4), LogFilter::default(), 2).await;
        assert_eq!((revisions(&last), last.through), (vec![5], last.head));
        let beyond = log(registry, Some(5), LogFilter::default(), 2).await;
        assert_eq!((revisions(&beyond), beyond.through), (vec![], beyond.head));
    });
}

#[test]
fn entries_must_fit_every_field_of_the_filter() {
    run(async |registry, clock| {
        submit(registry, "anna", "a").await;
        submit(registry, "bert", "b").await;
        clock.advance(Duration::from_secs(60));
        submit(registry, "anna", "ab").await;
        registry.deregister("b").await.unwrap();

        let anna = || Some("anna".to_owned());
        let service = || Some("b".to_owned());
        let none = LogFilter::default;
        let later = Some(TIME.saturating_add(Duration::from_secs(60)));
        let cases = [
            (
                LogFilter {
                    actor: anna(),
                    ..none()
                },
                vec![1, 3],
            ),
            (
                LogFilter {
                    service: service(),
                    ..none()
                },
                vec![2, 4],
            ),
            (
                LogFilter {
                    action: Some("deregister_service".into()),
                    ..none()
                },
                vec![4],
            ),
            (
                LogFilter {
                    since: later,
                    ..none()
                },
                vec![3, 4],
            ),
            (
                LogFilter {
                    until: later,
                    ..none()
                },
                vec![1, 2],
            ),
            (
                LogFilter {
                    service: service(),
                    actor: anna(),
                    ..none()
                },
                vec![],
            ),
        ];
        for (filter, expected) in cases {
            let page = log(registry, None, filter.clone(), 10).await;
            assert_eq!(revisions(&page), expected, "{filter:?}");
            assert_eq!(page.through, page.head, "{filter:?}");
        }
    });
}

#[test]
fn page_of_a_search_looks_at_a_bounded_part_and_says_how_far() {
    let looked_at_max = LOG_PAGES_READ_MAX * CHANGES_PAGE_MAX;
    run(async |registry, _| {
        let names: Vec<_> = (0..looked_at_max + 5)
            .map(|n| format!("service-{n}"))
            .collect();
        for names in names.chunks(500) {
            let calls = names
                .iter()
                .map(|name| call(registry.register(ServiceEntry::new(name, "1"))));
            for answer in together(calls.collect()).await {
                answer.unwrap();
            }
        }
        let head = registry.head().await.unwrap().revision().0;
        assert_eq!(head, looked_at_max as u64 + 5);
        let view = registry.view().await.unwrap();
        let last = view
            .services_after(None)
            .find(|service| service.modified().0 == head)
            .unwrap();
        let filter = LogFilter {
            service: Some(last.name().to_string()),
            ..LogFilter::default()
        };
        let empty = log(registry, None, filter.clone(), 10).await;
        assert_eq!(
            (revisions(&empty), empty.through.0),
            (vec![], looked_at_max as u64)
        );
        let rest = log(registry, Some(empty.through.0), filter, 10).await;
        assert_eq!((revisions(&rest), rest.through.0), (vec![head], head));
    });
}

#[test]
fn search_begins_with_the_oldest_entry_and_refuses_one_that_is_gone() {
    run(async |registry, _| {
        register(registry, &["a", "b", "c"]).await;
        registry.compact(Revision(2)).await.unwrap();
        let page = log(registry, None, LogFilter::default(), 10).await;
        assert_eq!(revisions(&page), [3]);
        let request = LogRequest {
            after: Some(Revision(1)),
            ..LogRequest::default()
        };
        let RegistryError::Store(refused) = registry.log(&request).await.unwrap_err() else {
            panic!("expected the store's refusal");
        };
        assert_eq!(
            *refused.kind(),
            ErrorKind::Compacted {
                oldest: Revision(2)
            }
        );
        registry.compact(Revision(3)).await.unwrap();
        let empty = log(registry, None, LogFilter::default(), 10).await;
        assert_eq!((revisions(&empty), empty.through), (vec![], empty.head));
    });
}

#[test]
fn searches_that_make_no_sense_are_refused() {
    open(EngineConfig::default()).run(async |registry, _| {
        for limit in [0, LOG_PAGE_MAX + 1] {
            let request = LogRequest {
                limit: Some(limit),
                ..LogRequest::default()
            };
            let refused = registry.log(&request).await;
            assert!(matches!(refused, Err(RegistryError::Invalid(_))), "{limit}");
        }
        let filter = LogFilter {
            service: Some(String::new()),
            ..LogFilter::default()
        };
        let refused = registry
            .log(&LogRequest {
                filter,
                ..LogRequest::default()
            })
            .await;
        assert!(matches!(refused, Err(RegistryError::Invalid(_))));
    });
}
