//! Connecting again to a daemon that went away.

use std::time::Duration;

use anyhow::Result;
use registry_api::ErrorCode;

use super::client::{Client, Target};
use super::exit::{Refused, TurnedAway, Unreachable};

/// Waits between attempts: doubled each time, up to the second.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// The status of an answer by a daemon that has no room.
const SERVICE_UNAVAILABLE: u16 = 503;

/// Whether the daemon ended, ends, or could not be reached, so that another attempt can succeed.
pub(crate) fn is_gone(error: &anyhow::Error) -> bool {
    if let Some(Refused(info)) = error.downcast_ref() {
        return info.code == ErrorCode::ShuttingDown;
    }
    if let Some(TurnedAway { status, .. }) = error.downcast_ref() {
        // It has as many connections as it takes.
        return *status == SERVICE_UNAVAILABLE;
    }
    error.is::<Unreachable>()
}

/// Waits for the daemon to be there again, and connects.
///
/// # Errors
/// What another attempt cannot change.
pub(crate) async fn reconnect(target: &Target) -> Result<Client> {
    let mut wait = RETRY_FIRST;
    loop {
        tokio::time::sleep(wait).await;
        match target.open(false).await {
            Err(error) if is_gone(&error) => wait = (wait * 2).min(RETRY_LAST),
            opened => return opened,
        }
    }
}
