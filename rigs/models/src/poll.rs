//! Futures in a model: a wait blocks its thread, so that the checker sees it, and one poll runs a future to its end.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    poll_once(future).expect("a wait blocks its thread until it is over")
}

/// Drops the future where it comes to something that is never ready: its caller went away there.
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
