//! The attached side of a connection: many calls at a time, and a watch over the owner's silence.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use event_listener::{Event, listener};
use futures_lite::future;
use futures_lite::io::BufReader;
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
    /// When the owner last said something, in microseconds of the clock.
    heard: AtomicU64,
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
        let heard = micros(clock.monotonic());
        let link = Arc::new(Self {
            clock,
            frames: sender,
            asked: Mutex::default(),
            heard: AtomicU64::new(heard),
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
        let asked_at = self.clock.monotonic();
        // The queue is full where the owner takes nothing any more, so that handing over is a part of the wait.
        let answered = async {
            self.frames
                .send(frame)
                .await
                .map_err(|_| Unanswered::Lost)?;
            waiting.answer.recv().await.map_err(|_| Unanswered::Lost)
        };
        future::or(answered, self.silence(asked_at)).await
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

    /// Returns once the owner has been silent for too long since then.
    async fn silence<T>(&self, since: Duration) -> Result<T, Unanswered> {
        loop {
            let heard = Duration::from_micros(self.heard.load(Ordering::Relaxed));
            let until = heard.max(since) + SILENCE_MAX;
            if self.clock.monotonic() >= until {
                return Err(Unanswered::Silent);
            }
            self.clock.sleep_until(until).await;
        }
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
        let mut stream = BufReader::new(&self.stream);
        while let Some(content) = read_frame(&mut stream, FRAME_BYTES_MAX).await? {
            let now = micros(self.link.clock.monotonic());
            self.link.heard.fetch_max(now, Ordering::Relaxed);
            let message = decode::<FromOwner>(&content)?;
            if matches!(message, FromOwner::Yielding) {
                return Ok(Parting::Yielding);
            }
            self.link.hear(message);
        }
        Ok(Parting::Lost)
    }

    async fn write(&self) -> io::Result<Parting> {
        while let Ok(frame) = self.frames.recv().await {
            write_frame(&self.stream, &frame).await?;
        }
        Ok(Parting::Lost)
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

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
