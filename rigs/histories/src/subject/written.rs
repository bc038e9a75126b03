//! A log that is written down while it is compacted.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use harness::core::engine::{LogRequest, Registry, RegistryError};
use harness::core::{ErrorKind, Revision};

use crate::history::Logged;
use crate::subject::registry::logged;

/// Extension of the files in which daemons write the log down.
const EXTENSION: &str = "written";
/// Pause of a daemon before it writes down what was committed since.
const PAUSE: Duration = Duration::from_millis(5);

/// The log as it was written, which compaction takes nothing from.
#[derive(Debug, Default)]
pub(crate) struct Written {
    log: Vec<Logged>,
    through: Revision,
}

impl Written {
    /// Takes in what was committed since the last time.
    ///
    /// # Errors
    /// Those of a registry that is closed meanwhile. What was taken in stays.
    pub(crate) async fn catch_up(&mut self, registry: &Registry) -> Result<(), RegistryError> {
        loop {
            let request = LogRequest {
                after: Some(self.through),
                ..LogRequest::default()
            };
            let page = registry.log(&request).await?;
            self.log
                .extend(page.entries.iter().map(|entry| logged(entry)));
            self.through = page.through;
            if page.through >= page.head {
                return Ok(());
            }
        }
    }

    /// The last commit that was written down: what may be compacted.
    pub(crate) fn through(&self) -> Revision {
        self.through
    }

    /// The whole log, of which a store still has the rest.
    pub(crate) fn completed_with(mut self, rest: Vec<Logged>) -> Vec<Logged> {
        let later = rest.into_iter();
        self.log
            .extend(later.filter(|entry| entry.revision > self.through));
        self.log
    }
}

/// Writes the log down in a file beside a store, for as long as the process lives, and compacts now and then what is
/// written: another process that compacted first has written it down, too.
///
/// # Errors
/// A file that cannot be written.
pub(crate) async fn write_down(registry: &Registry, store: &Path) -> Result<Infallible> {
    let path = store.with_extension(format!("{}.{EXTENSION}", std::process::id()));
    let mut file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    let mut through = Revision::ZERO;
    loop {
        let request = LogRequest {
            after: Some(through),
            ..LogRequest::default()
        };
        match registry.log(&request).await {
            Ok(page) => {
                let mut lines = Vec::new();
                for entry in &page.entries {
                    serde_json::to_writer(&mut lines, &logged(entry))?;
                    lines.push(b'\n');
                }
                file.write_all(&lines)?;
                through = page.through;
                if fastrand::u8(..20) == 0 {
                    // Fails while nobody owns the store.
                    drop(registry.compact(through).await);
                }
            }
            Err(RegistryError::Store(error)) => {
                if let ErrorKind::Compacted { oldest } = *error.kind() {
                    through = oldest;
                }
            }
            Err(_) => {}
        }
        smol::Timer::after(PAUSE).await;
    }
}

/// The whole log: what daemons wrote down in a folder, and what the store still has.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn whole_log(folder: &Path, rest: Vec<Logged>) -> Result<Vec<Logged>> {
    let mut log = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == EXTENSION) {
            let text = fs::read_to_string(&path)?;
            // A process that was killed may have left half a line, of which nothing was compacted.
            let lines = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            log.extend(lines.map(|logged: Logged| (logged.revision, logged)));
        }
    }
    log.extend(rest.into_iter().map(|logged| (logged.revision, logged)));
    Ok(log.into_values().collect())
}
