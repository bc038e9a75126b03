//! What can still be read of a damaged store.

use futures_lite::future::block_on;
use registry_core::{ErrorKind, RegistryStore as _};
use registry_sqlite::salvage;

use crate::{change, commit, open, put_instance, put_policy};

#[test]
fn one_damaged_row_is_the_only_loss() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let store = open(folder.path());
    commit(&store, &["api", "billing", "cache"]);
    block_on(store.close()).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "UPDATE services SET version = '2' WHERE name = 'billing';
            UPDATE log SET actor = 'bob' WHERE revision = 3",
        )
        .unwrap();
    connection.close().unwrap();

    let before = std::fs::read(&path).unwrap();
    let salvage = salvage(&path).unwrap();
    let names: Vec<_> = salvage
        .records
        .iter()
        .map(|record| record.key().name().to_string())
        .collect();
    assert_eq!(names, ["api", "cache"]);
    let revisions: Vec<_> = salvage
        .entries
        .iter()
        .map(|entry| entry.commit.revision.0)
        .collect();
    assert_eq!(revisions, [1, 2]);
    let places: Vec<_> = salvage.losses.iter().map(|loss| &*loss.place).collect();
    assert_eq!(places, ["log: revision 3", "services: name \"billing\""]);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn damaged_rows_of_every_kind_are_told_and_the_others_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let store = open(folder.path());
    commit(&store, &["api"]);
    let others = vec![
        put_instance("api", "api-1"),
        put_instance("api", "api-2"),
        put_policy("api"),
        put_policy("billing"),
    ];
    block_on(store.commit(vec![change(others)])).unwrap();
    block_on(store.close()).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "UPDATE instances SET zone = 'b' WHERE instance_id = 'api-1';
            UPDATE records SET hash = '00' WHERE name = 'billing'",
        )
        .unwrap();
    connection.close().unwrap();

    let salvage = salvage(&path).unwrap();
    let keys: Vec<_> = salvage
        .records
        .iter()
        .map(|record| record.key().to_string())
        .collect();
    let expected = [
        r#"service "api""#,
        r#"instance "api" "api-2""#,
        r#"policy "api""#,
    ];
    assert_eq!(keys, expected);
    let places: Vec<_> = salvage.losses.iter().map(|loss| &*loss.place).collect();
    let expected = [
        r#"instances: service "api", instance_id "api-1""#,
        r#"records: kind "policy", name "billing""#,
    ];
    assert_eq!(places, expected);
    assert_eq!(salvage.entries.len(), 2);
}

#[test]
fn overwritten_pages_leave_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let store = open(folder.path());
    let names: Vec<String> = (0..200)
        .map(|index| format!("service-{index:03}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    commit(&store, &names);
    block_on(store.close()).unwrap();
    let mut content = std::fs::read(&path).unwrap();
    let middle = content.len() / 2 / 4096 * 4096;
    content[middle..middle + 4096].fill(0xa5);
    std::fs::write(&path, content).unwrap();

    let salvage = salvage(&path).unwrap();
    assert!(!salvage.losses.is_empty());
    assert!(salvage.records.len() + salvage.entries.len() > 200);
}

#[test]
fn text_cannot_be_salvaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter.txt");
    std::fs::write(&path, "to a friend ".repeat(1000)).unwrap();
    assert_eq!(*salvage(&path).unwrap_err().kind(), ErrorKind::Corrupted);
    let missing = salvage(&folder.path().join("nothing")).unwrap_err();
    assert_eq!(*missing.kind(), ErrorKind::NotFound);
}
