//! Scenarios of users, through the engine on top of the store.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
