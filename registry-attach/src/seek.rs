//! Finds a role: owns the store where nobody does, else attaches to its owner.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use registry_core::{
    Anchor, ChangePage, ChangesRequest, Durability, ErrorKind, Head, Holder, OpenMode, PathLock,
    RegistryStore, Result, Revision, offload,
};

use crate::config::Claim;
use crate::core::Core;
use crate::limits::{
    FRAME_BYTES_MAX, HELLO_BYTES_MAX, HELLO_TIME_MAX, REOPEN_INTERVAL, RETRY_INTERVAL, SILENCE_MAX,
};
use crate::link::{Line, Link};
use crate::seat::Seat;
use crate::socket::{self, Listener, Stream};
use crate::wire::{
    Answer, Failure, FromOwner, FromPeer, Hello, Peer, Request, Welcome, decode, encode,
    read_frame, write_frame,
};

/// What was found.
pub(crate) enum Found {
    Seat(Arc<Seat>),
    Line(Line, Bounds),
}

/// What an owner says of its store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) group_transactions_max: usize,
    pub(crate) record_bytes_max: usize,
}

/// How long one may look, and for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search {
    pub(crate) mode: OpenMode,
    /// The store is not owned before this time: it is handed over to somebody else.
    pub(crate) attach_only_until: Duration,
    /// Nothing is found after this time; none looks for ever.
    pub(crate) until: Option<Duration>,
}

impl Search {
    /// The first search of an opener.
    pub(crate) fn first(core: &Core) -> Self {
        let mode = match core.config.claim {
            Claim::Read => OpenMode::ReadOnly,
            Claim::Own | Claim::OwnNewer => core.config.mode,
        };
        Self {
            mode,
            attach_only_until: Duration::ZERO,
            until: Some(core.after(SILENCE_MAX)),
        }
    }

    /// A later search: the store is there.
    pub(crate) fn again(core: &Core, patience: Duration) -> Self {
        Self {
            mode: match Self::first(core).mode {
                OpenMode::ReadOnly => OpenMode::ReadOnly,
                _ => OpenMode::Open,
            },
            attach_only_until: core.after(patience),
            until: None,
        }
    }
}

/// What one attempt came to.
enum Attempt {
    Found(Found),
    /// Somebody holds the store, and cannot be attached to at this moment.
    Held(Holder),
    /// Nobody does, and it is not ours to own it yet.
    Free,
}

/// Looks until a role is found; none where the store is closed meanwhile.
///
/// # Errors
/// Those of the backend; `Locked` where the holder cannot be attached to in time; `Corrupted` where the store is not the
/// one that was open before.
pub(crate) async fn seek(core: &Core, search: Search) -> Result<Option<Found>> {
    loop {
        if core.closing.is_up() {
            return Ok(None);
        }
        let held = match attempt(core, search).await {
            Ok(Attempt::Found(found)) => return Ok(Some(found)),
            Ok(Attempt::Held(holder)) => Some(holder),
            Ok(Attempt::Free) => None,
            Err(error) if *error.kind() == ErrorKind::Unavailable && search.until.is_none() => {
                tracing::warn!(%error, "the store cannot be had at the moment");
                core.pause(REOPEN_INTERVAL).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let is_late = search
            .until
            .is_some_and(|until| core.config.clock.monotonic() >= until);
        if is_late && let Some(holder) = held {
            let detail = "attach to the holder of the store";
            return Err(core.error(ErrorKind::Locked(holder), detail));
        }
        core.pause(RETRY_INTERVAL).await;
    }
}

async fn attempt(core: &Core, search: Search) -> Result<Attempt> {
    let holder = match take(core, search).await? {
        Ok(found) => return Ok(Attempt::Found(found)),
        Err(None) => return Ok(Attempt::Free),
        Err(Some(holder)) => holder,
    };
    let Some(socket) = &holder.socket else {
        return Ok(Attempt::Held(holder));
    };
    match attach(core, socket).await {
        Ok(Ok((line, bounds))) => Ok(Attempt::Found(Found::Line(line, bounds))),
        Ok(Err(refused)) => Err(refused),
        Err(error) => {
            tracing::trace!(%error, socket = %socket.display(), "the owner of the store cannot be reached");
            Ok(Attempt::Held(holder))
        }
    }
}

/// Opens the store where nobody holds it, else answers who does.
async fn take(core: &Core, search: Search) -> Result<Result<Found, Option<Holder>>> {
    let config = &core.config;
    if config.clock.monotonic() < search.attach_only_until {
        return Ok(Err(PathLock::holder(config.backend, &config.path)?));
    }
    let open = Arc::clone(&config.open);
    let opened = offload(config.backend, move || open(search.mode)).await;
    let store = match opened {
        Ok(store) => store,
        Err(error) => match error.kind() {
            ErrorKind::Locked(holder) => return Ok(Err(Some(holder.clone()))),
            _ => return Err(error),
        },
    };
    match sit(core, Arc::clone(&store), search.mode).await {
        Ok(seat) => Ok(Ok(Found::Seat(Arc::new(seat)))),
        Err(error) => {
            store.close().await?;
            Err(error)
        }
    }
}

/// Makes a seat of a store that was just opened: checks it and makes its socket.
async fn sit(core: &Core, store: Arc<dyn RegistryStore>, mode: OpenMode) -> Result<Seat> {
    let config = &core.config;
    if store.capabilities().durability != Durability::Synced {
        let detail = "share a store that is not synced: others would see what a crash takes back";
        return Err(core.error(ErrorKind::Unsupported, detail));
    }
    let listener = match mode {
        OpenMode::ReadOnly => None,
        _ => serve_at(core)?,
    };
    let seat = Seat::new(store, Peer::this(&config.version), listener);
    match check_seat(core, &seat).await {
        Ok(()) => Ok(seat),
        Err(error) => {
            if let Some(listener) = &seat.listener {
                listener.remove();
            }
            Err(error)
        }
    }
}

fn serve_at(core: &Core) -> Result<Option<Listener>> {
    let config = &core.config;
    match Listener::bind(&config.path) {
        Ok(listener) => {
            PathLock::announce(config.backend, &config.path, listener.path())?;
            Ok(Some(listener))
        }
        Err(error) => {
            tracing::warn!(%error, path = %config.path.display(), "no other process can attach to the store");
            Ok(None)
        }
    }
}

/// Connects to an owner, introduces this opener, and checks that the store goes on where this opener saw it last.
///
/// # Errors
/// What the connection ended with; the inner one is the answer of an owner that lives.
async fn attach(core: &Core, socket: &Path) -> io::Result<Result<(Line, Bounds)>> {
    let until = core.after(HELLO_TIME_MAX);
    let introduced = core.within(until, introduce(core, socket)).await;
    let (stream, welcome) = introduced.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
    let bounds = match welcome {
        Welcome::Attached {
            owner,
            group_transactions_max,
            record_bytes_max,
        } => {
            tracing::debug!(pid = owner.pid, version = %owner.version, "attached to the owner of the store");
            Bounds {
                group_transactions_max,
                record_bytes_max,
            }
        }
        Welcome::Yielding => return Err(io::ErrorKind::ConnectionAborted.into()),
        Welcome::Refused(failure) => return Ok(Err(failure.into_error(core.config.backend))),
    };
    let mut first = FirstQuestions {
        stream: &stream,
        backend: core.config.backend,
        moved: Revision::ZERO,
    };
    let until = core.after(SILENCE_MAX);
    let checked = core.within(until, first.check(core.last_seen())).await;
    let found = match checked.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))? {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    let moved = first.moved;
    if let Err(error) = judge(core, core.last_seen(), found) {
        return Ok(Err(error));
    }
    Ok(Ok((
        Link::line(stream, Arc::clone(&core.config.clock), moved),
        bounds,
    )))
}

async fn introduce(core: &Core, socket: &Path) -> io::Result<(Stream, Welcome)> {
    let config = &core.config;
    let stream = socket::connect(socket).await?;
    let hello = Hello::new(Peer::this(&config.version), config.claim);
    write_frame(&stream, &encode(&hello).expect("a hello is small")).await?;
    let content = read_frame(&stream, HELLO_BYTES_MAX).await?;
    let welcome = decode(&content.ok_or(io::ErrorKind::UnexpectedEof)?)?;
    Ok((stream, welcome))
}

/// What is asked before the connection has its link: one question at a time.
struct FirstQuestions<'a> {
    stream: &'a Stream,
    backend: &'static str,
    /// The last commit that the owner told of meanwhile.
    moved: Revision,
}

impl FirstQuestions<'_> {
    /// What the owner has where this opener saw the store last.
    async fn check(&mut self, seen: Anchor) -> io::Result<Result<Place>> {
        if seen.revision == Revision::ZERO {
            return Ok(Ok(Place::Same));
        }
        let head = match self.ask(Request::Head).await? {
            Ok(Answer::Head(head)) => head,
            Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            Err(failure) => return Ok(Err(failure.into_error(self.backend))),
        };
        let found = Place::at_head(seen, &head);
        if found != Place::InLog {
            return Ok(Ok(found));
        }
        match self.ask(Request::Changes(entry_at(seen.revision))).await? {
            Ok(Answer::Changes(page)) => Ok(Ok(Place::in_log(seen, &page))),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            Err(failure) => Ok(Err(failure.into_error(self.backend))),
        }
    }

    async fn ask(&mut self, request: Request) -> io::Result<Result<Answer, Failure>> {
        let ask = encode(&FromPeer::Ask { id: 0, request }).expect("the first questions are small");
        write_frame(self.stream, &ask).await?;
        loop {
            let content = read_frame(self.stream, FRAME_BYTES_MAX).await?;
            match decode(&content.ok_or(io::ErrorKind::UnexpectedEof)?)? {
                FromOwner::Answer { answer, .. } => return Ok(answer),
                FromOwner::Moved(revision) => self.moved = self.moved.max(revision),
                FromOwner::Restoring | FromOwner::Pong => {}
                FromOwner::Yielding => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
    }
}

/// Checks that an owned store goes on where this opener saw it last.
async fn check_seat(core: &Core, seat: &Seat) -> Result<()> {
    let seen = core.last_seen();
    if seen.revision == Revision::ZERO {
        return Ok(());
    }
    let head = seat.store.head().await?;
    let mut found = Place::at_head(seen, &head);
    if found == Place::InLog {
        let page = seat.store.changes(entry_at(seen.revision)).await?;
        found = Place::in_log(seen, &page);
    }
    judge(core, seen, found)
}

fn entry_at(revision: Revision) -> ChangesRequest {
    ChangesRequest {
        after: Revision(revision.0 - 1),
        key: None,
        limit: 1,
    }
}

/// What a store has where this opener saw it last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Same,
    Another,
    /// It was compacted, and cannot be compared any more.
    Nothing,
    /// The log must be asked.
    InLog,
}

impl Place {
    fn of(is_same: bool) -> Self {
        if is_same { Self::Same } else { Self::Another }
    }

    /// As far as the head tells.
    fn at_head(seen: Anchor, head: &Head) -> Self {
        let last = head.last;
        let compacted = head.compacted;
        if last.revision < seen.revision {
            Self::Another
        } else if last.revision == seen.revision {
            Self::of(last == seen)
        } else if compacted.revision == seen.revision {
            Self::of(compacted == seen)
        } else if compacted.revision > seen.revision {
            Self::Nothing
        } else {
            Self::InLog
        }
    }

    fn in_log(seen: Anchor, page: &ChangePage) -> Self {
        let entry = page.entries.first();
        entry.map_or(Self::Nothing, |entry| Self::of(entry.hash == seen.hash))
    }
}

fn judge(core: &Core, seen: Anchor, found: Place) -> Result<()> {
    if found != Place::Another {
        return Ok(());
    }
    let Anchor { revision, hash } = seen;
    let detail = format!(
        "expected revision {revision} with hash {hash}, which was seen here, and found another history: the store was replaced; restart this process"
    );
    Err(core.error(ErrorKind::Corrupted, detail))
}
