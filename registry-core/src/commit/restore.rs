//! Checks a restore page by page, so that no backend opens for half of one.

use crate::error::{ErrorKind, StoreError};
use crate::head::{Anchor, Head, Tally};
use crate::key::Key;
use crate::revision::Revision;
use crate::store::{RestorePage, Result, Seal};

/// A restore under way: where its log has got to, and what its records add up to so far.
#[derive(Debug, Default)]
pub struct Restoration {
    has_begun: bool,
    log: Head,
    tally: Tally,
    last_key: Option<Key>,
    is_sealed: bool,
    is_refused: bool,
}

impl Restoration {
    /// Checks the next page. The backend stores it after this agrees, and opens for use where the answer is a head.
    ///
    /// # Errors
    /// `Invalid` where the order of the parts, the chain, the order of keys or the seal does not fit, and for every
    /// page after one that was refused: a part of it was looked at and none of it stored, so nothing can follow it.
    pub fn accept(&mut self, backend: &'static str, page: &RestorePage) -> Result<Option<Seal>> {
        let seal = self.check(page);
        self.is_refused |= seal.is_err();
        seal.map_err(|detail| StoreError::new(ErrorKind::Invalid, backend, detail))
    }

    fn check(&mut self, page: &RestorePage) -> Result<Option<Seal>, String> {
        if self.is_refused {
            return Err("an earlier page of the restore was refused".to_owned());
        }
        if self.is_sealed {
            return Err("the restore is sealed already".to_owned());
        }
        if let Some(anchor) = page.anchor {
            self.begin(anchor)?;
        }
        self.has_begun = true;
        if self.last_key.is_some() && !page.entries.is_empty() {
            return Err("expected records or the seal, found log entries".to_owned());
        }
        for entry in &page.entries {
            self.log.follow(entry)?;
        }
        for record in &page.records {
            if record.created > record.modified || record.modified > self.log.revision() {
                return Err(format!(
                    "{} has revision {} after the log's end",
                    record.key(),
                    record.modified
                ));
            }
            if self
                .last_key
                .as_ref()
                .is_some_and(|last| last >= record.key())
            {
                return Err(format!("{} is not in key order", record.key()));
            }
            self.last_key = Some(record.key().clone());
            self.tally.add(record);
        }
        page.seal.as_ref().map(|seal| self.seal(seal)).transpose()
    }

    fn begin(&mut self, anchor: Anchor) -> Result<(), String> {
        if self.has_begun {
            return Err("an anchor may only stand in the first page".to_owned());
        }
        if anchor.revision == Revision::ZERO && anchor != Anchor::default() {
            return Err(format!(
                "expected no hash before the first log entry, found {}",
                anchor.hash
            ));
        }
        self.log.last = anchor;
        self.log.compacted = anchor;
        Ok(())
    }

    fn seal(&mut self, seal: &Seal) -> Result<Seal, String> {
        let head = &seal.head;
        if self.log.last != head.last || self.log.compacted != head.compacted {
            return Err(format!(
                "expected the log to run from {:?} to {:?}, found {:?} to {:?}",
                head.compacted, head.last, self.log.compacted, self.log.last
            ));
        }
        self.tally.compare(&head.tally)?;
        self.is_sealed = true;
        Ok(seal.clone())
    }
}
