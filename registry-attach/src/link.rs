//! The attached side of a connection: many calls at a time, and a watch over the owner's silence.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use event_listener::{Event, listener};
use futures_lite::future;
use futures_lite::io::{AsyncRead, AsyncWrite, BufReader};
use registry_core::{Clock, Revision};

use crate::limits::{FRAME_BYTES_MAX, FRAMES_QUEUED_MAX, PING_INTERVAL, SILENCE_MAX};
use crate::socket::Stream;
use crate::wire::{
    Answer, Failure, FromOwner, FromPeer, Request, TooLarge, decode, encode, read_frame,
    write_frame,
};

/// What the handles see of a connection to the owner.
#[derive(Debug)]
pub(crate) struct Link {
    clock: Arc<dyn Clock>,
    frames: Sender<Vec<u8>>,
    asked: Mutex<Asked>,
    /// Signs of life of the owner, counted: it sent something, or made room for what is written to it.
    signs: AtomicU64,
    /// Whether this side works on what the owner sent, and cannot hear it meanwhile.
    is_deaf: AtomicBool,
    /// The last commit that the owner told of.
    head: AtomicU64,
    /// Whether the owner's store is being restored.
    is_restoring: AtomicBool,
    moved: Event,
}

/// What a wait for a change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    To(Revision),
    Restoring,
}

#[derive(Debug, Default)]
struct Asked {
    next: u64,
    waiting: HashMap<u64, Sender<Result<Answer, Failure>>>,
    is_lost: bool,
}

/// The connection itself, which must be run for the link to work.
#[derive(Debug)]
pub(crate) struct Line {
    link: Arc<Link>,
    stream: Stream,
    frames: Receiver<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The connection ended. The owner may or may not have got the request.
    Lost,
    /// The owner holds the store and says nothing.
    Silent,
    /// The request was not sent.
    TooLarge(TooLarge),
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parting {
    Lost,
    /// The owner hands the store over to a newer version.
    Yielding,
}

/// A request that waits for its answer; dropped, it waits no more.
struct Waiting<'a> {
    link: &'a Link,
    id: u64,
    answer: Receiver<Result<Answer, Failure>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.link.asked().waiting.remove(&self.id);
    }
}

impl Link {
    /// A link over a connection whose owner told of a commit already.
    pub(crate) fn line(stream: Stream, clock: Arc<dyn Clock>, moved: Revision) -> Line {
        let (sender, frames) = async_channel::bounded(FRAMES_QUEUED_MAX);
        let link = Arc::new(Self {
            clock,
            frames: sender,
            asked: Mutex::default(),
            signs: AtomicU64::new(0),
            is_deaf: AtomicBool::new(false),
            head: AtomicU64::new(moved.0),
            is_restoring: AtomicBool::new(false),
            moved: Event::new(),
        });
        Line {
            link,
            stream,
            frames,
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the owner.
    pub(crate) async fn ask(
        &self,
        request: &Request,
    ) -> Result<Result<Answer, Failure>, Unanswered> {
        let waiting = self.enlist()?;
        let ask = FromPeer::Ask {
            id: waiting.id,
            request,
        };
        let frame = encode(&ask).map_err(Unanswered::TooLarge)?;
        // The queue is full where the owner takes nothing any more, so that handing over is a part of the wait.
        let answered = async {
            self.frames
                .send(frame)
                .await
                .map_err(|_| Unanswered::Lost)?;
            waiting.answer.recv().await.map_err(|_| Unanswered::Lost)
        };
        future::or(answered, self.silence()).await
    }

    fn enlist(&self) -> Result<Waiting<'_>, Unanswered> {
        let mut asked = self.asked();
        if asked.is_lost {
            return Err(Unanswered::Lost);
        }
        let id = asked.next;
        asked.next += 1;
        let (sender, answer) = async_channel::bounded(1);
        asked.waiting.insert(id, sender);
        Ok(Waiting {
            link: self,
            id,
            answer,
        })
    }

    /// Returns once the owner has been silent for too long.
    ///
    /// Counted in intervals that this side was there for: one that was stopped, or busy with a large frame, does not
    /// take its own absence for the owner's.
    async fn silence<T>(&self) -> Result<T, Unanswered> {
        let mut signs = self.signs.load(Ordering::Relaxed);
        let mut silent = Duration::ZERO;
        while silent < SILENCE_MAX {
            let interval = self.clock.monotonic() + PING_INTERVAL;
            self.clock.sleep_until(interval).await;
            let before = std::mem::replace(&mut signs, self.signs.load(Ordering::Relaxed));
            silent += PING_INTERVAL;
            if signs != before || self.is_deaf.load(Ordering::Relaxed) {
                silent = Duration::ZERO;
            }
        }
        Err(Unanswered::Silent)
    }

    /// Waits until the owner tells of a commit after that one.
    pub(crate) async fn moved_past(&self, after: Revision) -> Result<Move, Unanswered> {
        loop {
            listener!(self.moved => moved);
            let head = Revision(self.head.load(Ordering::SeqCst));
            if head > after {
                return Ok(Move::To(head));
            }
            if self.is_restoring.load(Ordering::SeqCst) {
                return Ok(Move::Restoring);
            }
            if self.asked().is_lost {
                return Err(Unanswered::Lost);
            }
            moved.await;
        }
    }

    /// Tells everybody who waits that there will be no answer.
    pub(crate) fn lose(&self) {
        let mut asked = self.asked();
        asked.is_lost = true;
        asked.waiting.clear();
        drop(asked);
        self.frames.close();
        self.moved.notify(usize::MAX);
    }

    fn hear(&self, message: FromOwner) {
        match message {
            FromOwner::Answer { id, answer } => {
                let waiting = self.asked().waiting.remove(&id);
                if let Some(waiting) = waiting {
                    // Who no longer waits gets no answer.
                    drop(waiting.try_send(answer));
                }
            }
            FromOwner::Moved(revision) => {
                self.is_restoring.store(false, Ordering::SeqCst);
                self.head.fetch_max(revision.0, Ordering::SeqCst);
                self.moved.notify(usize::MAX);
            }
            FromOwner::Restoring => {
                self.is_restoring.store(true, Ordering::SeqCst);
                self.moved.notify(usize::MAX);
            }
            FromOwner::Pong | FromOwner::Yielding => {}
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.link.lose();
    }
}

impl Line {
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Runs the connection until it ends.
    pub(crate) async fn run(&self) -> Parting {
        let ended = future::or(self.read(), future::or(self.write(), self.ping())).await;
        self.link.lose();
        ended.unwrap_or_else(|error| {
            tracing::debug!(%error, "the connection to the owner of the store ended");
            Parting::Lost
        })
    }

    async fn read(&self) -> io::Result<Parting> {
        let mut stream = BufReader::new(self.watched());
        while let Some(content) = read_frame(&mut stream, FRAME_BYTES_MAX).await? {
            self.link.is_deaf.store(true, Ordering::Relaxed);
            let message = decode::<FromOwner>(&content);
            self.link.is_deaf.store(false, Ordering::Relaxed);
            let message = message?;
            if matches!(message, FromOwner::Yielding) {
                return Ok(Parting::Yielding);
            }
            self.link.hear(message);
        }
        Ok(Parting::Lost)
    }

    async fn write(&self) -> io::Result<Parting> {
        while let Ok(frame) = self.frames.recv().await {
            write_frame(self.watched(), &frame).await?;
        }
        Ok(Parting::Lost)
    }

    fn watched(&self) -> Watched<'_> {
        Watched {
            stream: &self.stream,
            signs: &self.link.signs,
            is_full: false,
        }
    }

    /// Asks now and then whether the owner lives, while it owes an answer.
    async fn ping(&self) -> io::Result<Parting> {
        let ping = encode(&FromPeer::<Request>::Ping).expect("a ping is small");
        let clock = &self.link.clock;
        loop {
            clock.sleep_until(clock.monotonic() + PING_INTERVAL).await;
            if !self.link.asked().waiting.is_empty() {
                // Where the queue is full, what is in it is as good a question.
                drop(self.link.frames.try_send(ping.clone()));
            }
        }
    }
}

/// The connection, watched for signs that the owner lives.
struct Watched<'a> {
    stream: &'a Stream,
    signs: &'a AtomicU64,
    /// Whether the last write waits for room. Only then does one that succeeds tell of the owner: else the system has
    /// taken it, and would without an owner.
    is_full: bool,
}

impl AsyncRead for Watched<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut &*self.stream).poll_read(cx, buffer);
        if matches!(read, Poll::Ready(Ok(1..))) {
            self.signs.fetch_add(1, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Watched<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut &*self.stream).poll_write(cx, bytes);
        let was_full = std::mem::replace(&mut self.is_full, written.is_pending());
        if was_full && matches!(written, Poll::Ready(Ok(1..))) {
            self.signs.fetch_add(1, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self.stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use async_io::Async;
    use futures_lite::future::{block_on, poll_once};
    use registry_core::{ManualClock, Timestamp};

    use super::*;

    /// What happens between two steps of the clock, given the owner's end and this one.
    type Between = fn(&mut UnixStream, &Line);

    /// Whether an owner is given up after so many steps of the clock, of so much each.
    fn is_given_up(steps: u32, step: Duration, between: Between) -> bool {
        block_on(async {
            let clock = Arc::new(ManualClock::at(Timestamp::from_nanos(0)));
            let (stream, mut owner) = UnixStream::pair().unwrap();
            let line = Link::line(
                Async::new(stream).unwrap(),
                Arc::clone(&clock) as _,
                Revision(0),
            );
            let mut running = std::pin::pin!(line.run());
            let mut asking = std::pin::pin!(line.link().ask(&Request::Head));
            for _ in 0..steps {
                assert!(poll_once(asking.as_mut()).await.is_none());
                between(&mut owner, &line);
                assert!(poll_once(running.as_mut()).await.is_none());
                clock.advance(step);
            }
            matches!(poll_once(asking).await, Some(Err(Unanswered::Silent)))
        })
    }

    fn nothing(_: &mut UnixStream, _: &Line) {}

    #[test]
    fn an_owner_that_is_silent_for_long_is_given_up() {
        assert!(is_given_up(4, PING_INTERVAL, nothing));
        assert!(!is_given_up(3, PING_INTERVAL, nothing));
    }

    #[test]
    fn time_in_which_nobody_listened_is_not_the_owners_silence() {
        assert!(!is_given_up(1, 10 * SILENCE_MAX, nothing));
    }

    #[test]
    fn an_owner_whose_answer_is_on_the_way_lives() {
        // The length of a frame, and what is in it, a byte at a time.
        let a_byte: Between = |owner, _| owner.write_all(&[1]).unwrap();
        assert!(!is_given_up(100, PING_INTERVAL, a_byte));
    }

    #[test]
    fn an_owner_that_takes_a_large_request_lives() {
        let sends: Between = |_, line| drop(line.link.frames.try_send(vec![0; 1 << 20]));
        assert!(is_given_up(4, PING_INTERVAL, sends));
        let sends_and_takes: Between = |owner, line| {
            drop(line.link.frames.try_send(vec![0; 1 << 20]));
            owner.set_nonblocking(true).unwrap();
            drop(owner.read(&mut vec![0; 1 << 17]));
        };
        assert!(!is_given_up(30, PING_INTERVAL, sends_and_takes));
    }

    #[test]
    fn time_in_which_a_frame_is_decoded_is_not_the_owners_silence() {
        let decodes: Between = |_, line| line.link.is_deaf.store(true, Ordering::Relaxed);
        assert!(!is_given_up(10, PING_INTERVAL, decodes));
    }
}
