//! Polls a stream only when it was woken itself: who waits for several things at once is woken for each of them, and a
//! look at a socket that has nothing clears a buffer each time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_lite::Stream;
use futures_util::task::AtomicWaker;

/// Whether something may have arrived since the stream was last polled.
#[derive(Debug)]
pub(crate) struct Arrival {
    mark: Arc<Mark>,
    waker: Waker,
}

#[derive(Debug)]
struct Mark {
    is_set: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_set.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Arrival {
    /// For a stream that was never polled.
    pub(crate) fn new() -> Self {
        let mark = Arc::new(Mark {
            is_set: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        Self {
            waker: Arc::clone(&mark).into(),
            mark,
        }
    }

    /// Says that the stream is to be polled, whether it wakes or not.
    pub(crate) fn mark(&self) {
        self.mark.is_set.store(true, Ordering::Release);
    }

    /// Polls the stream, where it may have something.
    pub(crate) fn poll_next<S>(&self, stream: &mut S, cx: &mut Context<'_>) -> Poll<Option<S::Item>>
    where
        S: Stream + Unpin,
    {
        // Before the look at the mark, so that one that is set meanwhile wakes the task.
        self.mark.task.register(cx.waker());
        if !self.mark.is_set.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let polled = Pin::new(stream).poll_next(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            // There may be more, of which nobody will be told again.
            self.mark();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A stream that counts how often it is polled.
    #[derive(Default)]
    struct Counted {
        items: VecDeque<u8>,
        polls: usize,
        waker: Option<Waker>,
    }

    impl Stream for Counted {
        type Item = u8;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u8>> {
            self.polls += 1;
            if let Some(item) = self.items.pop_front() {
                return Poll::Ready(Some(item));
            }
            self.waker = Some(cx.waker().clone());
            Poll::Pending
        }
    }

    #[derive(Default)]
    struct Task(AtomicBool);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_stream_with_nothing_is_polled_once_until_it_wakes() {
        let (arrival, mut stream, task) =
            (Arrival::new(), Counted::default(), Arc::<Task>::default());
        let waker = Waker::from(Arc::clone(&task));
        let mut cx = Context::from_waker(&waker);
        for _ in 0..3 {
            assert!(arrival.poll_next(&mut stream, &mut cx).is_pending());
        }
        assert_eq!(stream.polls, 1);
        stream.items.extend([7, 8]);
        stream.waker.take().unwrap().wake();
        assert!(task.0.load(Ordering::SeqCst));
        assert_eq!(
            arrival.poll_next(&mut stream, &mut cx),
            Poll::Ready(Some(7))
        );
        assert_eq!(
            arrival.poll_next(&mut stream, &mut cx),
            Poll::Ready(Some(8))
        );
        assert!(arrival.poll_next(&mut stream, &mut cx).is_pending());
        assert_eq!(stream.polls, 4);
    }
}
