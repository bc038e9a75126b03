//! The keeper of leases: one opening of a store that several processes write.

use serde::{Deserialize, Serialize};

use super::text::{ModelError, check_present, check_text};
use crate::limits::NAME_BYTES_MAX;

/// A process that keeps leases, or kept them until another one adopted them. Its id is its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperEntry {
    /// Its id, new with every opening of the store.
    pub id: String,
    /// The keeper that has its leases now; empty while it has them itself.
    #[serde(default)]
    pub adopted_by: String,
}

impl KeeperEntry {
    /// Checks every rule of the model.
    ///
    /// # Errors
    /// [`ModelError`] with the first field that breaks one.
    pub fn validate(&self) -> Result<(), ModelError> {
        check_present("id", &self.id, NAME_BYTES_MAX)?;
        check_text("adopted_by", &self.adopted_by, NAME_BYTES_MAX)
    }
}
