//! Takes over from a legacy file that lies where a store would be.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use registry_core::durable::{rename_durably, temporary_path};
use registry_core::{ErrorKind, StoreError, private_options};

use super::location::{Location, Source, Vacancy};
use super::migrate::{Migrated, migrate_into};

/// A legacy file that was migrated.
#[derive(Debug, Clone)]
pub struct Adopted {
    /// Where the file is now. It is never changed.
    pub kept: PathBuf,
    /// What the migration did.
    pub migrated: Migrated,
}

/// Migrates a legacy file into a store that does not exist yet, and keeps the file; none where the store exists.
///
/// A store of the JSON backend writes a projection under its own path. Where the legacy file has that name, it is kept
/// as `<name>.migrated`.
///
/// # Errors
/// Those of the migration; `Invalid` where something is in the way of keeping the file. The file is in its place then,
/// and there is no store. Cut off at any point, it can be done again: the file is copied before, and replaced after the
/// store is whole.
pub async fn adopt(file: &Path, target: &Location) -> Result<Option<Adopted>, crate::Error> {
    let is_in_place = file == target.path;
    if !is_in_place && target.exists() {
        return Ok(None);
    }
    let source = Source::Legacy(file.to_path_buf());
    let kept = if is_in_place {
        copy_aside(file)?
    } else {
        file.to_path_buf()
    };
    let migrated = migrate_into(&source, target, Vacancy::EmptyOrLegacy, &mut |_, _| {}).await?;
    Ok(Some(Adopted { kept, migrated }))
}

/// Copies the file under another name, durably; one that is there already must be the same.
fn copy_aside(file: &Path) -> Result<PathBuf, crate::Error> {
    let mut name = file.as_os_str().to_owned();
    name.push(".migrated");
    let kept = PathBuf::from(name);
    let content = std::fs::read(file)?;
    if kept.symlink_metadata().is_ok() {
        if std::fs::read(&kept)? == content {
            return Ok(kept);
        }
        let detail = "keep the migrated file: something else has its name";
        return Err(StoreError::new(ErrorKind::Invalid, "json", detail)
            .at_path(&kept)
            .into());
    }
    let unfinished = temporary_path(&kept);
    let mut copy = private_options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&unfinished)?;
    copy.write_all(&content)?;
    copy.sync_all()?;
    rename_durably("json", &unfinished, &kept)?;
    Ok(kept)
}
