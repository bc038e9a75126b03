//! A path, and openers of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use futures_lite::future::block_on;
use registry_attach::{AttachConfig, Claim, SharedStore};
use registry_core::model::ServiceEntry;
use registry_core::{
    Cause, Image, Key, Mutation, OpenMode, Record, RegistryStore as _, Result, Revision, Timestamp,
    Transaction, TransactionId,
};
use registry_redb::{RedbConfig, RedbStore};

/// The configuration of an opener of a redb path.
pub(crate) fn config(path: &Path) -> AttachConfig {
    let place = path.to_path_buf();
    let open = move |mode: OpenMode| -> Result<Arc<dyn registry_core::RegistryStore>> {
        Ok(Arc::new(RedbStore::open(RedbConfig {
            mode,
            ..RedbConfig::new(&place)
        })?))
    };
    AttachConfig::new("redb", path, Arc::new(open))
}

/// Opens a path and runs the service on a thread of its own.
pub(crate) fn share(config: AttachConfig) -> Result<SharedStore> {
    let (store, service) = block_on(SharedStore::open(config))?;
    thread::spawn(|| block_on(service.run()));
    Ok(store)
}

/// An opener of a version.
pub(crate) fn version(path: &Path, version: &str, claim: Claim) -> AttachConfig {
    AttachConfig {
        version: version.to_owned(),
        claim,
        ..config(path)
    }
}

/// A path in a folder that is removed in the end.
pub(crate) fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("registry.redb");
    (folder, path)
}

pub(crate) fn put(name: &str, version: &str) -> Transaction {
    let entry = ServiceEntry::new(name, version);
    Transaction {
        id: TransactionId::fresh(),
        preconditions: Vec::new(),
        mutations: vec![Mutation::Put(
            Image::new(Record::Service(entry)).expect("the entry is legal"),
        )],
        cause: Cause {
            actor: "test".to_owned(),
            action: "register_service".into(),
            reason: None,
            time: Timestamp::default(),
        }
        .into(),
    }
}

pub(crate) fn apply(store: &SharedStore, transaction: Transaction) -> Result<Revision> {
    let outcomes = block_on(store.commit(vec![transaction]))?;
    let outcome = outcomes[0].as_ref().expect("it has no preconditions");
    Ok(outcome.revision)
}

pub(crate) fn version_of(store: &SharedStore, name: &str) -> Option<String> {
    let key = Key::service(name).expect("the name is legal");
    let record = block_on(store.get(&key)).expect("the store can be read")?;
    record.image.as_service().map(|entry| entry.version.clone())
}

/// Asks until the answer is the one that is waited for.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let pause = std::time::Duration::from_millis(2);
    for _ in 0..30_000 {
        if is_so() {
            return;
        }
        block_on(async_io::Timer::after(pause));
    }
    panic!("what is waited for does not come");
}
