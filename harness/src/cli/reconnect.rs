//! Connecting again to a daemon that went away.

use anyhow::Result;
use harness::client::{Backoff, ClientError};

use super::client::{Client, Target};

/// Whether the daemon ended, ends, or could not be reached, so that another attempt can succeed.
pub(crate) fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(ClientError::is_gone)
}

/// Waits for the daemon to be there again, and connects.
///
/// # Errors
/// What another attempt cannot change.
pub(crate) async fn reconnect(target: &Target) -> Result<Client> {
    let mut backoff = Backoff::default();
    loop {
        tokio::time::sleep(backoff.wait()).await;
        match target.open(false).await {
            Err(error) if is_gone(&error) => {}
            opened => return opened,
        }
    }
}
