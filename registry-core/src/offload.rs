//! The one hop from async code to a blocking engine.

use crate::error::{ErrorKind, StoreError};
use crate::store::Result;

/// Runs a blocking call of an engine on a thread that may block, on any runtime.
///
/// A hop costs some 10 microseconds, so a backend hops once for each call of the store, and never for each record. A
/// panic of the engine is answered as [`ErrorKind::Corrupted`]: sled panics on damaged files.
///
/// # Errors
/// Those of the call.
pub async fn offload<T, F>(backend: &'static str, call: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    blocking::unblock(move || contain(backend, call)).await
}

/// Runs a call of an engine and answers its panic as an error.
///
/// # Errors
/// Those of the call, and `Corrupted` with the panic's message.
pub fn contain<T>(backend: &'static str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    // A backend keeps its own state behind locks that a panic poisons, so nothing half-changed is seen afterwards.
    let call = std::panic::AssertUnwindSafe(call);
    std::panic::catch_unwind(call).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let detail = format!(
            "the engine panicked: {}",
            text.as_deref().unwrap_or("without a message")
        );
        Err(StoreError::new(ErrorKind::Corrupted, backend, detail))
    })
}
