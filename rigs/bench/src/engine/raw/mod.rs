//! The engine below a backend, alone: it writes again what the backend wrote in a run, in the same tables and groups.
//!
//! The rows come from the files that the run left, so that nothing is planned, hashed or encoded while the time is
//! taken, and nothing is read: a backend looks at what is stored before it writes, which counts as its own work here.

mod json;
mod redb;
mod sled;
mod sqlite;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::backends::Backend;
use serde::{Deserialize, Serialize};

use super::commits::per_second;
use super::cpu;
use crate::interrupt;
use crate::load::now;

/// Cache of an engine, as stores have it by default.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// One part in so many of the groups is not counted: as much as the sixth before a measurement.
const WARM_PART: usize = 7;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Replayed {
    /// Commits.
    pub(crate) per_second: f64,
    /// Mean size of a group.
    pub(crate) group_commits: f64,
    /// CPU time of the whole process for each.
    pub(crate) cpu_us: f64,
}

/// What a backend wrote in a run.
trait Recording: Sized {
    /// An open engine.
    type Engine;

    /// Reads what is in a closed store. Where the files do not tell one group from the next, they are cut to the mean
    /// size.
    fn read(store: &Path, mean: f64) -> Result<Self>;

    /// Commits of each group, in order.
    fn sizes(&self) -> Vec<usize>;

    /// Makes empty tables in an empty folder, with the settings of the backend.
    fn open(&self, folder: &Path) -> Result<Self::Engine>;

    /// Writes one group, durable when it returns. They come in order.
    fn write(&self, engine: &mut Self::Engine, group: usize) -> Result<()>;
}

/// Has the engine of a backend write again what is in a closed store; none where there is no engine.
///
/// # Errors
/// What the engine or the disk refuses, and a store that does not hold what such a run writes.
pub(super) fn measure(backend: Backend, store: &Path, mean: f64) -> Result<Option<Replayed>> {
    match backend {
        Backend::Json => replay::<json::Lines>(store, mean).map(Some),
        Backend::Redb => replay::<redb::Tables>(store, mean).map(Some),
        Backend::Sled => replay::<sled::Trees>(store, mean).map(Some),
        Backend::Sqlite => replay::<sqlite::Tables>(store, mean).map(Some),
        Backend::Memory => Ok(None),
    }
}

fn replay<R: Recording>(store: &Path, mean: f64) -> Result<Replayed> {
    let recording = R::read(store, mean).with_context(|| format!("read {}", store.display()))?;
    let folder = store.with_file_name("alone");
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let mut engine = recording.open(&folder).context("open the engine")?;
    let sizes = recording.sizes();
    let warm = sizes.len() / WARM_PART;
    for group in 0..warm {
        interrupt::check()?;
        recording.write(&mut engine, group)?;
    }
    let (begin, cpu) = (now(), cpu::of_process());
    for group in warm..sizes.len() {
        interrupt::check()?;
        recording.write(&mut engine, group)?;
    }
    let (took, cpu) = (now() - begin, cpu::of_process().saturating_sub(cpu));
    replayed(&sizes[warm..], took, cpu)
}

#[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
fn replayed(sizes: &[usize], took: Duration, cpu: Duration) -> Result<Replayed> {
    let commits: usize = sizes.iter().sum();
    ensure!(commits > 0, "expected commits to write, found none");
    Ok(Replayed {
        per_second: per_second(commits as u64, took),
        group_commits: commits as f64 / sizes.len() as f64,
        cpu_us: cpu::micros_each(cpu, commits as u64),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ::harness::backends::{self, OpenOptions};

    use super::super::commits;
    use super::*;

    /// Runs a few registrations over a backend, and checks that all of them are found in its files.
    #[test]
    fn everything_that_was_registered_is_written_again() {
        for backend in [Backend::Json, Backend::Redb, Backend::Sled, Backend::Sqlite] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder
                .path()
                .join("registry")
                .with_extension(backend.extension());
            let store = backends::open(backend, &file, &OpenOptions::default()).unwrap();
            let committed =
                commits::measure(Arc::clone(&store), 8, Duration::from_millis(60)).unwrap();
            drop(store);
            let replayed = measure(backend, &file, committed.group_commands).unwrap();
            let replayed = replayed.expect("it has an engine");
            assert!(replayed.per_second > 0.0, "{backend}: {replayed:?}");
            assert!(
                (1.0..=8.0).contains(&replayed.group_commits),
                "{backend}: {replayed:?}"
            );
        }
    }

    #[test]
    fn rates_are_of_commits_and_not_of_groups() {
        let second = Duration::from_secs(1);
        let replayed = replayed(&[3, 5], second * 2, second).unwrap();
        let expected = Replayed {
            per_second: 4.0,
            group_commits: 4.0,
            cpu_us: 125_000.0,
        };
        assert_eq!(replayed, expected);
        assert!(super::replayed(&[], second, second).is_err());
    }
}
