//! Imports: a legacy file into a store that may have services, an export into a new one.

use std::io::BufRead;
use std::path::Path;

use registry_core::limits::GROUP_TRANSACTIONS_MAX;
use registry_core::{
    Cause, Clock as _, ErrorKind, Head, Image, Mutation, Record, RegistryStore, Result, StoreError,
    SystemClock, Transaction, TransactionId,
};

use super::copy::{Progress, read_back};
use super::legacy_file::{LegacyFile, Warning};
use super::location::{Location, Vacancy};
use super::ndjson;
use super::open::Claim;
use super::staging::Staging;
use crate::ServiceEntry;
use crate::backends::OpenOptions;

/// Bytes of records in one group, so that a group stays below the store's own limit.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// What an import did, or would do.
#[derive(Debug, Clone)]
pub struct Imported {
    /// Services that were put because they are new or differ.
    pub changed: u64,
    /// Services that were there already, just so.
    pub unchanged: u64,
    /// The store's head.
    pub head: Head,
    /// Unknown fields of the file.
    pub warnings: Vec<Warning>,
}

/// Puts every service of a legacy file into the store at a path, which is created where there is none.
///
/// The whole file is read and checked first. An import that is cut off can be repeated: what is there is not put again.
///
/// # Errors
/// Those of the file and of the store.
pub async fn import_legacy(
    file: &Path,
    target: &Location,
    is_dry_run: bool,
    progress: Progress<'_>,
) -> Result<Imported, crate::Error> {
    let LegacyFile { entries, warnings } = LegacyFile::read(file)?;
    if is_dry_run && !target.exists() {
        let changed = entries.len() as u64;
        return Ok(Imported {
            changed,
            unchanged: 0,
            head: Head::default(),
            warnings,
        });
    }
    let options = if is_dry_run {
        OpenOptions::read_only()
    } else {
        OpenOptions::default()
    };
    let opened = target.share(Claim::Own, &options).await?;
    let store = &*opened.store;
    let importing = async {
        let fresh = what_differs(store, &entries).await?;
        if !is_dry_run {
            register_all(store, &fresh, "import", progress).await?;
        }
        let head = store.head().await?;
        store.close().await?;
        Ok::<_, crate::Error>((fresh.len() as u64, head))
    };
    let (changed, head) = opened.beside.during(importing).await?;
    Ok(Imported {
        changed,
        unchanged: entries.len() as u64 - changed,
        head,
        warnings,
    })
}

/// The entries that are not in the store just so.
async fn what_differs(
    store: &dyn RegistryStore,
    entries: &[ServiceEntry],
) -> Result<Vec<ServiceEntry>, crate::Error> {
    let mut fresh = Vec::new();
    for entry in entries {
        let key = registry_core::Key::service(&entry.name).map_err(invalid)?;
        let known = store.get(&key).await?;
        if known.is_none_or(|known| known.image.as_service() != Some(entry)) {
            fresh.push(entry.clone());
        }
    }
    Ok(fresh)
}

/// Builds a store from an export with everything in it. The target must not exist.
///
/// # Errors
/// Those of the export, with the line; those of the store. The target is not there then.
pub async fn import_ndjson(
    reader: impl BufRead + Send,
    target: &Location,
    is_dry_run: bool,
    progress: Progress<'_>,
) -> Result<Imported, crate::Error> {
    target.check_vacant()?;
    let staging = if is_dry_run {
        None
    } else {
        Some(Staging::begin(target, Vacancy::Empty)?)
    };
    let built: std::sync::Arc<dyn RegistryStore> = match &staging {
        Some(staging) => staging.create()?,
        None => std::sync::Arc::new(registry_core::MemoryStore::new()),
    };
    let head = ndjson::restore(reader, &*built, progress).await?;
    read_back(&*built, &head).await?;
    built.close().await?;
    drop(built);
    if let Some(staging) = staging {
        staging.publish()?;
    }
    Ok(Imported {
        changed: head.tally.counts.total(),
        unchanged: 0,
        head,
        warnings: Vec::new(),
    })
}

/// Puts entries in groups, each entry in a commit of its own.
pub(super) async fn register_all(
    store: &dyn RegistryStore,
    entries: &[ServiceEntry],
    actor: &str,
    progress: Progress<'_>,
) -> Result<()> {
    let clock = SystemClock::new();
    let mut group = Vec::new();
    let (mut bytes, mut done) = (0, 0);
    for entry in entries {
        let image = Image::new(Record::Service(entry.clone())).map_err(invalid)?;
        if group.len() == GROUP_TRANSACTIONS_MAX || bytes + image.body_bytes() > GROUP_BYTES {
            done += group.len() as u64;
            commit(store, std::mem::take(&mut group)).await?;
            progress(done, done);
            bytes = 0;
        }
        bytes += image.body_bytes();
        group.push(Transaction {
            id: TransactionId::fresh(),
            preconditions: Vec::new(),
            mutations: vec![Mutation::Put(image)],
            cause: Cause {
                actor: actor.to_owned(),
                action: "register_service".into(),
                reason: None,
                time: clock.now(),
            }
            .into(),
        });
    }
    done += group.len() as u64;
    commit(store, group).await?;
    progress(done, done);
    Ok(())
}

async fn commit(store: &dyn RegistryStore, group: Vec<Transaction>) -> Result<()> {
    for outcome in store.commit(group).await? {
        outcome.map_err(|rejection| {
            StoreError::new(
                ErrorKind::Invalid,
                store.capabilities().backend,
                rejection.to_string(),
            )
        })?;
    }
    Ok(())
}

fn invalid(error: registry_core::model::ModelError) -> StoreError {
    StoreError::new(ErrorKind::Invalid, "import", "read an entry").caused_by(error)
}
