//! One flipped bit in the files of a closed store: it is found, or it changes no answer.

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// What is looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Look {}

/// Plays the part.
pub(crate) fn look(_: &Look) -> Result<()> {
    Ok(())
}
