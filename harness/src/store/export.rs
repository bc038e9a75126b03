//! Exports: the services in the legacy form, or everything.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use registry_core::durable::{rename_durably, temporary_path};
use registry_core::legacy::write_legacy;
use registry_core::limits::RANGE_PAGE_MAX;
use registry_core::{Head, Kind, RangeRequest, RegistryStore, StoreError, private_options};

use super::copy::Progress;
use super::ndjson;
use crate::ServiceEntry;

/// What was exported.
#[derive(Debug, Clone)]
pub struct Exported {
    /// The head of the store that it reflects.
    pub head: Head,
    /// Services written.
    pub services: u64,
    /// Records of other kinds that the form has no room for, by kind.
    pub left_out: Vec<(Kind, u64)>,
}

/// Writes the services in the legacy form, in the order of their names, to a file or, for `-`, to standard output.
///
/// # Errors
/// The store's; the system's. The file is there whole or not at all.
pub async fn export_legacy(
    store: &dyn RegistryStore,
    file: &Path,
    progress: Progress<'_>,
) -> Result<Exported, crate::Error> {
    let head = store.head().await?;
    let entries = read_services(store, progress).await?;
    let services = entries.len() as u64;
    let mut out = Output::open(file)?;
    write_legacy(&mut out.writer, &entries)?;
    out.finish()?;
    let counts = head.tally.counts.iter();
    Ok(Exported {
        services,
        left_out: counts.filter(|(kind, _)| *kind != Kind::Service).collect(),
        head,
    })
}

/// Writes log, records and seal, a line each, to a file or, for `-`, to standard output.
///
/// # Errors
/// The store's; the system's. The file is there whole or not at all.
pub async fn export_ndjson(
    store: &dyn RegistryStore,
    file: &Path,
    progress: Progress<'_>,
) -> Result<Exported, crate::Error> {
    let mut out = Output::open(file)?;
    let head = ndjson::write(store, &mut out.writer, progress).await?;
    out.finish()?;
    Ok(Exported {
        services: head.tally.counts.of(Kind::Service),
        left_out: Vec::new(),
        head,
    })
}

async fn read_services(
    store: &dyn RegistryStore,
    progress: Progress<'_>,
) -> Result<Vec<ServiceEntry>, crate::Error> {
    let mut entries = Vec::new();
    let mut after = None;
    loop {
        let page = store
            .range(RangeRequest {
                kind: Kind::Service,
                after,
                limit: RANGE_PAGE_MAX,
            })
            .await?;
        let services = page
            .records
            .iter()
            .filter_map(|record| record.image.as_service());
        entries.extend(services.cloned());
        progress(0, entries.len() as u64);
        after = page.next;
        if after.is_none() {
            return Ok(entries);
        }
    }
}

/// A file that gets its name when it is whole.
struct Output<'a> {
    writer: BufWriter<Box<dyn Write + Send>>,
    file: Option<(File, &'a Path)>,
}

impl<'a> Output<'a> {
    fn open(path: &'a Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self {
                writer: BufWriter::new(Box::new(io::stdout())),
                file: None,
            });
        }
        let file = private_options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(temporary_path(path))?;
        let writer = BufWriter::new(Box::new(file.try_clone()?) as Box<dyn Write + Send>);
        Ok(Self {
            writer,
            file: Some((file, path)),
        })
    }

    fn finish(mut self) -> Result<(), crate::Error> {
        self.writer.flush()?;
        if let Some((file, path)) = &self.file {
            file.sync_all()
                .map_err(|error| StoreError::io("export", "sync the file", path, error))?;
            rename_durably("export", &temporary_path(path), path)?;
        }
        // It has its name: nothing is left to remove.
        self.file = None;
        Ok(())
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.file {
            // What is left of an export that failed is of no use; where it cannot be removed the next one replaces it.
            drop(fs::remove_file(temporary_path(path)));
        }
    }
}
