//! The facade as the library's users write it.

use futures_lite::future::block_on;
use harness::{Registry, ServiceEntry, ServiceState};

use crate::fixture::{legacy_file, persistent, store_path};

#[test]
fn registered_service_is_listed() {
    block_on(async {
        let registry = Registry::new();
        let service = ServiceEntry::new("api", "1.0.0");
        registry.register(service).await.unwrap();
        assert_eq!(registry.list().await.unwrap().len(), 1);
    });
}

#[test]
fn registry_at_a_path_is_there_again() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = store_path(folder.path(), backend);
        block_on(async {
            let registry = Registry::with_persistence(&path).unwrap();
            registry
                .register(ServiceEntry::new("api", "1.0.0"))
                .await
                .unwrap();
            registry
                .engine()
                .set_state("api", ServiceState::Running)
                .await
                .unwrap();
        });
        block_on(async {
            let registry = Registry::with_persistence(&path).unwrap();
            let entry = registry.get("api").await.unwrap().unwrap();
            assert_eq!(entry.state, ServiceState::Running, "{backend}");
            assert_eq!(registry.len().await.unwrap(), 1);
        });
    }
}

#[test]
fn legacy_file_becomes_a_store_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = legacy_file(folder.path());
    block_on(async {
        let registry = Registry::load_or_create(&file).await.unwrap();
        assert_eq!(registry.len().await.unwrap(), 3);
        registry.deregister("db").await.unwrap();
    });
    let again = block_on(Registry::load_or_create(&file)).unwrap();
    assert_eq!(
        block_on(again.len()).unwrap(),
        2,
        "the store is taken, the file is not migrated again"
    );
    let aside = file.with_extension("json.migrated");
    assert!(file.exists() || aside.exists(), "the file is kept");
}

#[test]
fn migration_of_a_bad_file_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old.json");
    std::fs::write(&file, "{").unwrap();
    let target = folder.path().join("new");
    assert!(block_on(Registry::migrate_from_json(&file, &target)).is_err());
    assert!(!target.exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn closed_registry_says_so() {
    block_on(async {
        let registry = Registry::new();
        registry.close().await.unwrap();
        let refused = registry
            .register(ServiceEntry::new("api", "1"))
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("closed"), "{refused}");
    });
}
