//! Entries of services, as the other parts send them, made before the time is taken.

use std::collections::VecDeque;

use anyhow::{Context as _, Result};
use registry_core::model::ServiceEntry;

use crate::record::Records;

/// Entries that were made and not used yet, each of a new service.
pub(super) struct Stock {
    records: Records,
    next: u64,
    made: VecDeque<ServiceEntry>,
}

impl Stock {
    pub(super) fn new() -> Self {
        Self {
            records: Records::new(),
            next: 0,
            made: VecDeque::new(),
        }
    }

    /// Makes entries until so many are at hand.
    pub(super) fn fill(&mut self, count: usize) -> Result<()> {
        while self.made.len() < count {
            self.made.push_back(entry(&self.records, self.next)?);
            self.next += 1;
        }
        Ok(())
    }

    /// The next entry that was made.
    pub(super) fn take(&mut self) -> Option<ServiceEntry> {
        self.made.pop_front()
    }
}

/// The entry of a number.
pub(super) fn entry(records: &Records, number: u64) -> Result<ServiceEntry> {
    let mut json = Vec::with_capacity(records.bytes(number));
    records.write(number, &mut json);
    serde_json::from_slice(&json).with_context(|| format!("read record {number} as an entry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_legal_and_of_another_service() {
        let mut stock = Stock::new();
        stock.fill(7).unwrap();
        for number in 0..7 {
            let entry = stock.take().unwrap();
            assert_eq!(entry.name, format!("bench-{number:09}"));
            assert!(entry.validate().is_ok());
        }
        assert!(stock.take().is_none());
    }
}
