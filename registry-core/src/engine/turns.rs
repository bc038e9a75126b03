//! Whose turn it is, for round robin.

use std::collections::HashMap;
use std::sync::Mutex;

/// Services whose turns are counted; beyond that all of them begin anew.
const SERVICES_MAX: usize = 65_536;

/// Counts the calls for each service.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, u64>>);

impl Turns {
    pub(super) fn next(&self, service: &str) -> u64 {
        let mut turns = self
            .0
            .lock()
            .expect("nothing panics while it holds the turns");
        if let Some(turn) = turns.get_mut(service) {
            *turn = turn.wrapping_add(1);
            return *turn;
        }
        if turns.len() >= SERVICES_MAX {
            turns.clear();
        }
        turns.insert(service.to_owned(), 0);
        0
    }
}
