//! A keeper of leases.

use serde::{Deserialize, Serialize};

use crate::model::KeeperEntry;

#[derive(Serialize, Deserialize)]
pub(in crate::codec) struct KeeperV1 {
    id: String,
    adopted_by: String,
}

impl From<&KeeperEntry> for KeeperV1 {
    fn from(keeper: &KeeperEntry) -> Self {
        Self {
            id: keeper.id.clone(),
            adopted_by: keeper.adopted_by.clone(),
        }
    }
}

impl From<KeeperV1> for KeeperEntry {
    fn from(stored: KeeperV1) -> Self {
        Self {
            id: stored.id,
            adopted_by: stored.adopted_by,
        }
    }
}
