//! The part of a verification that is alike on every backend.

use std::collections::BTreeMap;

use crate::head::{Head, Tally};
use crate::key::Key;
use crate::log::LogEntry;
use crate::record::Versioned;
use crate::revision::Revision;
use crate::store::VerifyReport;

/// A verification under way: feed it every log entry and every record in order, then finish.
///
/// It keeps one key and one revision for each record that the log changed.
#[derive(Debug)]
pub struct Verification {
    report: VerifyReport,
    log: Head,
    tally: Tally,
    last_key: Option<Key>,
    last_change: BTreeMap<Key, (Revision, Option<crate::Hash>)>,
}

impl Verification {
    /// Begins with the head that the store says it has.
    pub fn new(head: Head) -> Self {
        let log = Head {
            last: head.compacted,
            compacted: head.compacted,
            tally: Tally::default(),
        };
        Self {
            report: VerifyReport {
                head,
                ..VerifyReport::default()
            },
            log,
            tally: Tally::default(),
            last_key: None,
            last_change: BTreeMap::new(),
        }
    }

    /// Adds something that the backend found by itself.
    pub fn find(&mut self, place: impl std::fmt::Display, problem: impl Into<String>) {
        self.report.find(place, problem);
    }

    /// Takes the next log entry.
    pub fn entry(&mut self, entry: &LogEntry) {
        self.report.entries += 1;
        let revision = entry.commit.revision;
        if let Err(problem) = self.log.follow(entry) {
            self.report
                .find(format_args!("log entry {revision}"), problem);
            // Go on behind the break, so that one break is one finding.
            self.log.last.revision = revision;
            self.log.last.hash = entry.hash;
        }
        for change in &entry.commit.changes {
            let hash = change.after.as_deref().map(|image| *image.hash());
            self.last_change
                .insert(change.key.clone(), (revision, hash));
        }
    }

    /// Takes the next record. Every log entry must have been taken before.
    pub fn record(&mut self, record: &Versioned) {
        self.report.records += 1;
        let key = record.key();
        if self.last_key.as_ref().is_some_and(|last| last >= key) {
            self.report.find(key, "it is not in key order");
        }
        self.last_key = Some(key.clone());
        self.tally.add(record);
        let expected = self.last_change.remove(key);
        let found = (record.modified, Some(*record.image.hash()));
        match expected {
            Some(expected) if expected != found => {
                let problem = format!(
                    "the log last changed it at revision {}, the record says {}",
                    expected.0, found.0
                );
                self.report.find(
                    key,
                    if expected.0 == found.0 {
                        "it is not what the log says".into()
                    } else {
                        problem
                    },
                );
            }
            None if record.modified > self.log.compacted.revision => {
                self.report.find(
                    key,
                    format!("revision {} of it is not in the log", record.modified),
                );
            }
            _ => {}
        }
    }

    /// Compares with the head and answers the report.
    pub fn finish(mut self) -> VerifyReport {
        let missing = std::mem::take(&mut self.last_change)
            .into_iter()
            .filter(|(_, (_, hash))| hash.is_some());
        for (key, (revision, _)) in missing {
            self.report.find(
                key,
                format!("the log put it at revision {revision}, and it is not there"),
            );
        }
        let expected = self.report.head.last;
        if self.log.last != expected {
            let problem = format!(
                "expected the log to end at revision {} with hash {}, found revision {} with hash {}",
                expected.revision, expected.hash, self.log.last.revision, self.log.last.hash
            );
            self.report.find("the log", problem);
        }
        let expected = self.report.head.tally.clone();
        if let Err(problem) = self.tally.compare(&expected) {
            self.report.find("the records", problem);
        }
        self.report
    }
}
