//! Gathers pages, and checks on the way that what an engine read is what was stored.

use std::sync::Arc;

use super::evaluate::Write;
use crate::error::{ErrorKind, StoreError};
use crate::head::{Anchor, Head};
use crate::key::Key;
use crate::limits::PAGE_BYTES_MAX;
use crate::log::LogEntry;
use crate::record::Versioned;
use crate::revision::Revision;
use crate::store::{ChangePage, ChangesRequest, RangePage, RangeRequest, Result};

/// Gathers one page of a range.
#[derive(Debug)]
pub struct RangeCollector<'a> {
    backend: &'static str,
    request: &'a RangeRequest,
    records: Vec<Versioned>,
    bytes: usize,
    has_more: bool,
}

impl<'a> RangeCollector<'a> {
    /// An empty page for a request that was checked.
    pub fn new(backend: &'static str, request: &'a RangeRequest) -> Self {
        Self {
            backend,
            request,
            records: Vec::new(),
            bytes: 0,
            has_more: false,
        }
    }

    /// Takes the next record after the request's start, and answers whether the page wants another one.
    ///
    /// # Errors
    /// `Corrupted` where the record is not in key order.
    pub fn take(&mut self, record: Versioned) -> Result<bool> {
        let last = self.records.last().map(Versioned::key);
        let last = last.or(self.request.after.as_ref());
        if last.is_some_and(|last| last >= record.key()) {
            let detail = "expected records in key order";
            return Err(
                StoreError::new(ErrorKind::Corrupted, self.backend, detail).at_key(record.key())
            );
        }
        if self.records.len() == self.request.limit || self.bytes >= PAGE_BYTES_MAX {
            self.has_more = true;
            return Ok(false);
        }
        self.bytes += record.image.body_bytes();
        self.records.push(record);
        Ok(true)
    }

    /// Fills the page from stored records and from writes that overlay them, both in key order.
    ///
    /// # Errors
    /// Those of `stored`, and of [`take`](Self::take).
    pub fn take_merged<'o>(
        &mut self,
        stored: impl Iterator<Item = Result<Versioned>>,
        overlay: impl Iterator<Item = (&'o Key, &'o Write)>,
    ) -> Result<()> {
        let (mut stored, mut overlay) = (stored.peekable(), overlay.peekable());
        loop {
            let is_overlaid = match (overlay.peek(), stored.peek()) {
                (None, None) => return Ok(()),
                (Some((key, _)), Some(Ok(record))) => *key <= record.key(),
                (Some(_), None) => true,
                (_, Some(_)) => false,
            };
            let record = if is_overlaid {
                let Some((key, write)) = overlay.next() else {
                    return Ok(());
                };
                stored.next_if(|row| row.as_ref().is_ok_and(|record| record.key() == key));
                write.clone()
            } else {
                stored.next().transpose()?
            };
            if let Some(record) = record
                && !self.take(record)?
            {
                return Ok(());
            }
        }
    }

    /// The page as of `revision`.
    pub fn finish(self, revision: Revision) -> RangePage {
        let next = match self.records.last() {
            Some(last) if self.has_more => Some(last.key().clone()),
            _ => None,
        };
        RangePage {
            records: self.records,
            next,
            revision,
        }
    }
}

/// Gathers one page of the log, and follows the chain through it.
#[derive(Debug)]
pub struct ChangeCollector<'a> {
    backend: &'static str,
    request: &'a ChangesRequest,
    head: &'a Head,
    last: Option<Anchor>,
    entries: Vec<Arc<LogEntry>>,
    bytes: usize,
}

impl<'a> ChangeCollector<'a> {
    /// An empty page for a request that was checked against `head`.
    pub fn new(backend: &'static str, request: &'a ChangesRequest, head: &'a Head) -> Self {
        let compacted = head.compacted;
        Self {
            backend,
            request,
            head,
            last: (request.after == compacted.revision).then_some(compacted),
            entries: Vec::new(),
            bytes: 0,
        }
    }

    /// The revision of the next entry that is wanted, in a request without a key.
    pub fn next(&self) -> Revision {
        let last = self.last.map(|anchor| anchor.revision);
        last.unwrap_or(self.request.after).next()
    }

    /// Whether the page is full, or the head reached.
    pub fn is_done(&self) -> bool {
        self.is_full() || self.next() > self.head.revision()
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.request.limit || self.bytes >= PAGE_BYTES_MAX
    }

    /// Takes the next entry of the log, or with a key the next one that changed it. Those that were not asked for, and
    /// those for which there is no room, are left out.
    ///
    /// # Errors
    /// `Corrupted` for an entry that does not follow the one before it, or does not change the key.
    pub fn take(&mut self, entry: &Arc<LogEntry>) -> Result<()> {
        let revision = entry.commit.revision;
        if revision <= self.request.after || revision > self.head.revision() || self.is_full() {
            return Ok(());
        }
        self.check(entry).map_err(|detail| {
            let detail = format!("log entry {revision}: {detail}");
            StoreError::new(ErrorKind::Corrupted, self.backend, detail)
        })?;
        self.last = Some(Anchor {
            revision,
            hash: entry.hash,
        });
        self.bytes += entry.body_bytes();
        self.entries.push(Arc::clone(entry));
        Ok(())
    }

    fn check(&self, entry: &LogEntry) -> Result<(), String> {
        if let Some(key) = &self.request.key {
            let last = self.last.map_or(Revision::ZERO, |last| last.revision);
            if !entry.touches(key) || entry.commit.revision <= last || !entry.is_intact() {
                return Err(format!("expected a later, intact change of {key}"));
            }
        } else {
            let before = Anchor {
                revision: self.request.after,
                hash: entry.previous,
            };
            let mut chain = Head {
                last: self.last.unwrap_or(before),
                ..Head::default()
            };
            chain.follow(entry)?;
        }
        let (found, last) = (entry.hash, self.head.last);
        if entry.commit.revision == last.revision && found != last.hash {
            return Err(format!("expected hash {}, found {found}", last.hash));
        }
        Ok(())
    }

    /// The page.
    ///
    /// # Errors
    /// `Corrupted` where the log ended before the head.
    pub fn finish(self) -> Result<ChangePage> {
        let head = self.head.revision();
        let is_full = self.is_full();
        if self.request.key.is_none() && !self.is_done() {
            let detail = format!("log entry {} of {head} is missing", self.next());
            return Err(StoreError::new(ErrorKind::Corrupted, self.backend, detail));
        }
        let through = match self.entries.last() {
            Some(last) if is_full => last.commit.revision,
            _ => head.max(self.request.after),
        };
        Ok(ChangePage {
            entries: self.entries,
            through,
            head,
        })
    }

    /// The key that was asked for.
    pub fn key(&self) -> Option<&'a Key> {
        self.request.key.as_ref()
    }
}
