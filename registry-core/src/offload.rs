//! The one hop from async code to a blocking engine.

use std::cell::Cell;
use std::future::Future;
use std::panic::resume_unwind;
use std::thread;

use futures_lite::future::block_on;

use crate::error::{ErrorKind, StoreError};
use crate::store::Result;

thread_local! {
    /// Whether this thread has nothing to do but what it is blocked on.
    static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// Runs a blocking call of an engine on a thread that may block, on any runtime.
///
/// A hop costs some 10 microseconds, so a backend hops once for each call of the store, and never for each record; on a
/// thread that a driver has to itself ([`Driver::run_blocking`](crate::engine::Driver::run_blocking)) the call is made
/// where it is. A panic of the engine is answered as [`ErrorKind::Corrupted`]: sled panics on damaged files.
///
/// # Errors
/// Those of the call.
pub async fn offload<T, F>(backend: &'static str, call: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    if MAY_BLOCK.get() {
        return contain(backend, call);
    }
    blocking::unblock(move || contain(backend, call)).await
}

/// Does both at the same time, the first on a thread that ends before this answers. For what opens a store, which is
/// bound by the processor.
///
/// # Errors
/// `Unavailable` where there is no thread.
pub fn beside<A: Send, B>(
    backend: &'static str,
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B,
) -> Result<(A, B)> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name(format!("{backend}-open"))
            .spawn_scoped(scope, first)
            .map_err(|error| {
                let detail = "start a thread that reads";
                StoreError::new(ErrorKind::Unavailable, backend, detail).caused_by(error)
            })?;
        let second = second();
        match thread.join() {
            Ok(first) => Ok((first, second)),
            Err(panic) => resume_unwind(panic),
        }
    })
}

/// Runs a future to its end on this thread, on which engines are called where it calls them.
pub(crate) fn block_on_alone<T>(future: impl Future<Output = T>) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            MAY_BLOCK.set(self.0);
        }
    }
    let _restore = Restore(MAY_BLOCK.replace(true));
    block_on(future)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_is_made_on_a_thread_that_may_block() {
        let here = thread::current().id();
        let made = || offload("test", || Ok(thread::current().id()));
        assert_ne!(block_on(made()).unwrap(), here);
        assert_eq!(block_on_alone(made()).unwrap(), here);
        assert_ne!(block_on(made()).unwrap(), here);
    }

    #[test]
    fn panic_of_a_call_is_an_error_on_either_thread() {
        let panicking = || offload("test", || -> Result<()> { panic!("torn page") });
        for answer in [block_on(panicking()), block_on_alone(panicking())] {
            let error = answer.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Corrupted), "{error}");
            assert!(error.to_string().contains("torn page"), "{error}");
        }
    }
}
