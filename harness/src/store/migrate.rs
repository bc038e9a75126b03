//! Migration between any two backends, and from the legacy file: all or nothing, read back before it counts.

use std::sync::Arc;

use registry_core::{Head, RegistryStore, Result};

use super::copy::{Copied, Progress, copy, read_back};
use super::import::register_all;
use super::legacy_file::{LegacyFile, Warning};
use super::location::{Location, Source, Vacancy};
use super::open::Claim;
use super::staging::Staging;
use crate::backends::OpenOptions;

/// What a migration did, or would do.
#[derive(Debug, Clone)]
pub struct Migrated {
    /// Log entries at the target.
    pub entries: u64,
    /// Records at the target.
    pub records: u64,
    /// The target's head.
    pub head: Head,
    /// Unknown fields of a legacy file.
    pub warnings: Vec<Warning>,
}

/// Copies a source to a target that does not exist yet. With `is_dry_run` it reads and checks everything, and writes
/// nothing.
///
/// # Errors
/// [`LegacyError`](super::LegacyError) of the file, or a store's. The target is not there then.
pub async fn migrate(
    source: &Source,
    target: &Location,
    is_dry_run: bool,
    progress: Progress<'_>,
) -> Result<Migrated, crate::Error> {
    if is_dry_run {
        target.check_vacant()?;
        let built: Arc<dyn RegistryStore> = Arc::new(registry_core::MemoryStore::new());
        return build(source, built, progress).await;
    }
    migrate_into(source, target, Vacancy::Empty, progress).await
}

pub(super) async fn migrate_into(
    source: &Source,
    target: &Location,
    vacancy: Vacancy,
    progress: Progress<'_>,
) -> Result<Migrated, crate::Error> {
    let staging = Staging::begin(target, vacancy)?;
    let migrated = build(source, staging.create()?, progress).await?;
    staging.publish()?;
    Ok(migrated)
}

/// Fills an empty store, reads it back and closes it.
async fn build(
    source: &Source,
    built: Arc<dyn RegistryStore>,
    progress: Progress<'_>,
) -> Result<Migrated, crate::Error> {
    let migrated = fill(source, &*built, progress).await?;
    read_back(&*built, &migrated.head).await?;
    built.close().await?;
    Ok(migrated)
}

async fn fill(
    source: &Source,
    built: &dyn RegistryStore,
    progress: Progress<'_>,
) -> Result<Migrated, crate::Error> {
    match source {
        Source::Store(location) => {
            let source = location
                .share(Claim::Read, &OpenOptions::read_only())
                .await?;
            let copying = async {
                let copied = copy(&*source.store, built, progress).await?;
                source.store.close().await?;
                Ok::<_, crate::Error>(copied)
            };
            let Copied {
                entries,
                records,
                head,
            } = source.beside.during(copying).await?;
            Ok(Migrated {
                entries,
                records,
                head,
                warnings: Vec::new(),
            })
        }
        Source::Legacy(path) => {
            let file = LegacyFile::read(path)?;
            register_all(built, &file.entries, "migrate", progress).await?;
            let head = built.head().await?;
            let entries = head.revision().0;
            Ok(Migrated {
                entries,
                records: head.tally.counts.total(),
                head,
                warnings: file.warnings,
            })
        }
    }
}
