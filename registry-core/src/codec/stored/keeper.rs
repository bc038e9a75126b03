//! A keeper of leases.

use serde::{Deserialize, Serialize};

use crate::model::KeeperEntry;
use crate::time::Timestamp;

#[derive(Serialize, Deserialize)]
pub(in crate::codec) struct KeeperV1 {
    id: String,
    started_at_nanos: i64,
    adopted_by: String,
}

impl From<&KeeperEntry> for KeeperV1 {
    fn from(keeper: &KeeperEntry) -> Self {
        Self {
            id: keeper.id.clone(),
            started_at_nanos: keeper.started_at.as_nanos(),
            adopted_by: keeper.adopted_by.clone(),
        }
    }
}

impl From<KeeperV1> for KeeperEntry {
    fn from(stored: KeeperV1) -> Self {
        Self {
            id: stored.id,
            started_at: Timestamp::from_nanos(stored.started_at_nanos),
            adopted_by: stored.adopted_by,
        }
    }
}
