//! The one hop from async code to a blocking engine.

use std::cell::Cell;
use std::future::Future;
use std::iter;
use std::panic::resume_unwind;
use std::thread;

use futures_lite::future::block_on;

use crate::error::{ErrorKind, StoreError};
use crate::limits::PAGE_BYTES_MAX;
use crate::store::Result;

/// Fewer rows are decoded before a thread has started.
const ROWS_BESIDE_MIN: usize = 100;

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

/// Decodes rows in their order, so many at a time as a page with this limit takes, half of many on another thread.
/// Whatever reads all of a store is bound by the processor that decodes.
pub fn decode_rows<R: Send, T: Send>(
    backend: &'static str,
    limit: usize,
    mut rows: impl Iterator<Item = Result<R>>,
    bytes: impl Fn(&R) -> usize,
    decode: impl Fn(R) -> Result<T> + Sync,
) -> impl Iterator<Item = Result<T>> {
    let mut decoded = Vec::new().into_iter();
    iter::from_fn(move || {
        if decoded.len() == 0 {
            let chunk = take_chunk(&mut rows, limit, &bytes);
            match decode_chunk(backend, chunk, &decode) {
                Ok(chunk) => decoded = chunk.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
        decoded.next()
    })
}

/// The rows of a page, and the one by which it is known that there are more.
fn take_chunk<R>(
    rows: &mut impl Iterator<Item = Result<R>>,
    limit: usize,
    bytes: impl Fn(&R) -> usize,
) -> Vec<Result<R>> {
    let mut chunk = Vec::new();
    let mut left = PAGE_BYTES_MAX;
    while chunk.len() <= limit && left > 0 {
        let Some(row) = rows.next() else { break };
        left = left.saturating_sub(row.as_ref().map_or(0, &bytes));
        chunk.push(row);
    }
    chunk
}

fn decode_chunk<R: Send, T: Send>(
    backend: &'static str,
    mut chunk: Vec<Result<R>>,
    decode: &(impl Fn(R) -> Result<T> + Sync),
) -> Result<Vec<Result<T>>> {
    let all = |rows: Vec<Result<R>>| -> Vec<Result<T>> {
        let decoded = rows.into_iter().map(|row| row.and_then(decode));
        decoded.collect()
    };
    if chunk.len() < ROWS_BESIDE_MIN {
        return Ok(all(chunk));
    }
    let later = chunk.split_off(chunk.len() / 2);
    let (later, mut decoded) = beside(backend, || all(later), || all(chunk))?;
    decoded.extend(later);
    Ok(decoded)
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
    fn rows_are_decoded_in_their_order_and_no_more_than_are_asked_for() {
        for limit in [1, ROWS_BESIDE_MIN / 2, 4 * ROWS_BESIDE_MIN] {
            let asked = Cell::new(0);
            let rows = (0..1000).map(|row| {
                asked.set(asked.get() + 1);
                Ok(row)
            });
            let decoded = decode_rows("test", limit, rows, |_| 1, |row: usize| Ok(2 * row));
            let taken: Result<Vec<usize>> = decoded.take(limit).collect();
            let expected: Vec<usize> = (0..limit).map(|row| 2 * row).collect();
            assert_eq!(taken.unwrap(), expected);
            assert_eq!(asked.get(), limit + 1);
        }
        let all = decode_rows("test", 300, (0..1000).map(Ok), |_| 1, Ok);
        assert!(all.map(Result::unwrap).eq(0..1000));
    }

    #[test]
    fn rows_of_many_bytes_are_decoded_few_at_a_time() {
        let asked = Cell::new(0);
        let rows = (0..10).map(|row| {
            asked.set(asked.get() + 1);
            Ok(row)
        });
        let mut decoded = decode_rows("test", 1000, rows, |_| PAGE_BYTES_MAX / 2, Ok::<i32, _>);
        assert_eq!(decoded.next().unwrap().unwrap(), 0);
        drop(decoded);
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn row_that_cannot_be_decoded_is_an_error_in_its_place() {
        let damaged = |row| {
            let detail = format!("row {row}");
            StoreError::new(ErrorKind::Corrupted, "test", detail)
        };
        for at in [3, ROWS_BESIDE_MIN, 2 * ROWS_BESIDE_MIN - 1] {
            let rows = (0..2 * ROWS_BESIDE_MIN).map(Ok);
            let decode = |row| {
                if row == at {
                    Err(damaged(row))
                } else {
                    Ok(row)
                }
            };
            let decoded = decode_rows("test", 1000, rows, |_| 1, decode);
            let (whole, failed): (Vec<_>, Vec<_>) =
                decoded.enumerate().partition(|it| it.1.is_ok());
            assert_eq!(whole.len(), 2 * ROWS_BESIDE_MIN - 1);
            let [(place, Err(error))] = &failed[..] else {
                panic!("expected one failure, found {}", failed.len())
            };
            assert_eq!(*place, at);
            assert!(error.to_string().contains(&format!("row {at}")), "{error}");
        }
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
