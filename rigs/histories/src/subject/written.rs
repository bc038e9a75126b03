//! A log that is written down while it is compacted.

use harness::core::Revision;
use harness::core::engine::{LogRequest, Registry, RegistryError};

use crate::history::Logged;
use crate::subject::registry::logged;

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
