//! The owner's side of one connection.

use std::io;

use async_channel::{Receiver, Sender};
use futures_lite::future;
use futures_lite::io::BufReader;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use registry_core::{ErrorKind, Revision};

use crate::config::{Claim, is_newer};
use crate::core::Core;
use crate::limits::{
    FAREWELL_MAX, FRAME_BYTES_MAX, FRAMES_QUEUED_MAX, HELLO_BYTES_MAX, HELLO_TIME_MAX,
    REQUESTS_MAX, RESTORING_PAUSE, WRITE_TIME_MAX,
};
use crate::perform::perform;
use crate::seat::{Admission, Seat};
use crate::socket::Stream;
use crate::wire::{
    Answer, Failure, FromOwner, FromPeer, Hello, Request, Welcome, decode, encode, read_frame,
    write_frame,
};

/// What happens next to the requests of a connection.
enum Step {
    Asked(Box<(u64, Request)>),
    Done(io::Result<()>),
}

/// A connection of an opener, and whose it is.
pub(crate) struct Attendance<'a> {
    core: &'a Core,
    seat: &'a Seat,
    stream: Stream,
}

impl<'a> Attendance<'a> {
    pub(crate) fn new(core: &'a Core, seat: &'a Seat, stream: Stream) -> Self {
        Self { core, seat, stream }
    }

    /// Serves the connection until it ends or the store is handed over.
    pub(crate) async fn attend(self) {
        if let Err(error) = self.serve().await {
            tracing::debug!(%error, "a connection to the store ended");
        }
    }

    async fn serve(&self) -> io::Result<()> {
        let introduced = self
            .core
            .within(self.core.after(HELLO_TIME_MAX), self.hello());
        let introduced = introduced.await;
        let Some(_admission) = introduced.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?
        else {
            return Ok(());
        };
        let (frames, queued) = async_channel::bounded(FRAMES_QUEUED_MAX);
        let (requests, waiting) = async_channel::bounded(1);
        let serving = future::or(
            future::or(
                self.read(&frames, &requests),
                self.answer(&frames, &waiting),
            ),
            future::or(self.write(&queued), self.tell_moves(&frames)),
        );
        let handed_over = async {
            self.seat.yielding.wait().await;
            Ok(())
        };
        future::or(serving, handed_over).await?;
        if self.seat.yielding.is_up() {
            self.bid_farewell(&queued).await?;
        }
        Ok(())
    }

    /// Reads the first frame and answers it; none where the opener is not to be served.
    async fn hello(&self) -> io::Result<Option<Admission<'_>>> {
        let Some(content) = read_frame(&self.stream, HELLO_BYTES_MAX).await? else {
            return Ok(None);
        };
        let hello: Hello = decode(&content)?;
        let version = &self.core.config.version;
        let wants_it = hello.claim == Claim::OwnNewer && is_newer(&hello.peer.version, version);
        let welcome = if wants_it {
            Welcome::Yielding
        } else if let Err(problem) = hello.check() {
            Welcome::Refused(Failure::new(ErrorKind::Unsupported, problem))
        } else {
            let capabilities = self.seat.store.capabilities();
            Welcome::Attached {
                owner: self.seat.owner.clone(),
                group_transactions_max: capabilities.group_transactions_max,
                record_bytes_max: capabilities.record_bytes_max,
            }
        };
        // Who is told that it is attached is listed already.
        let is_attached = matches!(welcome, Welcome::Attached { .. });
        let admission = is_attached.then(|| self.seat.admit(hello.peer.clone()));
        self.send(&encode(&welcome).expect("a welcome is small"))
            .await?;
        if wants_it {
            tracing::info!(pid = hello.peer.pid, version = %hello.peer.version, "the store is handed over to a newer version");
            self.seat.yielding.raise();
        }
        Ok(admission)
    }

    async fn read(
        &self,
        frames: &Sender<Vec<u8>>,
        requests: &Sender<(u64, Request)>,
    ) -> io::Result<()> {
        let mut stream = BufReader::new(&self.stream);
        while let Some(content) = read_frame(&mut stream, FRAME_BYTES_MAX).await? {
            match decode::<FromPeer>(&content)? {
                // Whoever takes them ends with this connection.
                FromPeer::Ask { id, request } => drop(requests.send((id, request)).await),
                FromPeer::Ping => drop(frames.send(encoded(&FromOwner::Pong)).await),
            }
        }
        Ok(())
    }

    /// Carries requests out, several at a time, and answers each when it is done.
    async fn answer(
        &self,
        frames: &Sender<Vec<u8>>,
        requests: &Receiver<(u64, Request)>,
    ) -> io::Result<()> {
        let mut running = FuturesUnordered::new();
        loop {
            let has_room = running.len() < REQUESTS_MAX;
            let asked = async {
                match requests.recv().await {
                    Ok(asked) => Step::Asked(Box::new(asked)),
                    // The reader says how the connection ended.
                    Err(_) => future::pending().await,
                }
            };
            let done = async {
                match running.next().await {
                    Some(done) => Step::Done(done),
                    None => future::pending().await,
                }
            };
            let step = if has_room {
                future::or(asked, done).await
            } else {
                done.await
            };
            match step {
                Step::Asked(asked) => {
                    let (id, request) = *asked;
                    running.push(self.carry_out(id, request, frames));
                }
                Step::Done(done) => done?,
            }
        }
    }

    /// # Errors
    /// Where the store was closed under the request: the opener asks whoever owns it next.
    async fn carry_out(
        &self,
        id: u64,
        request: Request,
        frames: &Sender<Vec<u8>>,
    ) -> io::Result<()> {
        let answer = perform(self.seat, request).await;
        if let Err(error) = &answer
            && *error.kind() == ErrorKind::Closed
        {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let answer = answer.map_err(|error| Failure::from(&error));
        drop(frames.send(encoded_answer(id, answer)).await);
        Ok(())
    }

    async fn write(&self, queued: &Receiver<Vec<u8>>) -> io::Result<()> {
        while let Ok(frame) = queued.recv().await {
            self.send(&frame).await?;
        }
        Ok(())
    }

    async fn send(&self, frame: &[u8]) -> io::Result<()> {
        let until = self.core.after(WRITE_TIME_MAX);
        let sent = self
            .core
            .within(until, write_frame(&self.stream, frame))
            .await;
        sent.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn tell_moves(&self, frames: &Sender<Vec<u8>>) -> io::Result<()> {
        let mut told = Revision::ZERO;
        loop {
            match self.seat.store.wait_for_change(told).await {
                Ok(revision) => told = revision,
                Err(error) if *error.kind() == ErrorKind::Invalid => {
                    drop(frames.send(encoded(&FromOwner::Restoring)).await);
                    self.core.pause(RESTORING_PAUSE).await;
                    continue;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
            drop(frames.send(encoded(&FromOwner::Moved(told))).await);
        }
    }

    /// Sends what is answered already, and that the store is handed over.
    async fn bid_farewell(&self, queued: &Receiver<Vec<u8>>) -> io::Result<()> {
        let farewell = async {
            while let Ok(frame) = queued.try_recv() {
                write_frame(&self.stream, &frame).await?;
            }
            write_frame(&self.stream, &encoded(&FromOwner::Yielding)).await
        };
        let said = self
            .core
            .within(self.core.after(FAREWELL_MAX), farewell)
            .await;
        said.unwrap_or(Ok(()))
    }
}

fn encoded(message: &FromOwner) -> Vec<u8> {
    encode(message).expect("all but answers are small")
}

fn encoded_answer(id: u64, answer: Result<Answer, Failure>) -> Vec<u8> {
    encode(&FromOwner::Answer { id, answer }).unwrap_or_else(|too_large| {
        let kind = ErrorKind::LimitExceeded {
            limit: "frame_bytes_max".into(),
            max: FRAME_BYTES_MAX as u64,
            found: too_large.found as u64,
        };
        let failure = Failure::new(kind, "the answer is larger than a frame; ask for less");
        encoded(&FromOwner::Answer {
            id,
            answer: Err(failure),
        })
    })
}
