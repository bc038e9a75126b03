//! What runs beside a shared store: it serves others, and finds the next role where an owner goes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use registry_core::Result;

use crate::core::Core;
use crate::limits::{ACCEPT_PAUSE, FAREWELL_MAX, PEERS_MAX, YIELD_PATIENCE};
use crate::link::{Line, Parting};
use crate::peer::Attendance;
use crate::role::Role;
use crate::seat::Seat;
use crate::seek::{Found, Search, seek};
use crate::socket::{Listener, Stream};

/// What a shared store needs to be run. Without it the store is not served to others and does not survive its owner.
#[derive(Debug)]
#[must_use = "a shared store works while its service runs"]
pub struct Service {
    core: Arc<Core>,
    first: Option<First>,
}

/// The role that was found at opening.
#[derive(Debug)]
enum First {
    Seat(Arc<Seat>),
    Line(Line),
}

/// What the owner's door does next.
enum Step {
    Came(io::Result<Stream>),
    Left,
}

impl Drop for Service {
    fn drop(&mut self) {
        // An owner goes on alone; a link that nobody runs would only be waited for.
        if let Role::Attached(link) = &*self.core.role() {
            link.lose();
        }
        self.core.ended.raise();
    }
}

impl Service {
    pub(crate) fn new(core: Arc<Core>, found: Found) -> Self {
        let first = match found {
            Found::Seat(seat) => First::Seat(seat),
            Found::Line(line, _) => First::Line(line),
        };
        Self {
            core,
            first: Some(first),
        }
    }

    /// Runs until the store is closed or its last handle is dropped, and closes it then.
    ///
    /// # Errors
    /// The failure to close the store, or what keeps this opener from every role: the store cannot be opened any more,
    /// or it is another one than before.
    pub async fn run(mut self) -> Result<()> {
        let core = Arc::clone(&self.core);
        let worked = self.work().await;
        // Nothing is under way any more that could take the store.
        core.ended.raise();
        if let Err(error) = worked {
            tracing::error!(%error, "the store cannot be used any more");
            core.become_role(Role::failed(&error));
            return Err(error);
        }
        core.close().await
    }

    /// Takes one role after the other, until the store is closed.
    async fn work(&mut self) -> Result<()> {
        let core = Arc::clone(&self.core);
        let mut next = self.first.take();
        loop {
            let patience = match next.take() {
                Some(First::Seat(seat)) => own(&core, &seat).await?,
                Some(First::Line(line)) => ask(&core, &line).await,
                None => Duration::ZERO,
            };
            if core.closing.is_up() || core.become_role(Role::Seeking).is_none() {
                return Ok(());
            }
            let (role, first) = match seek(&core, Search::again(&core, patience)).await? {
                Some(Found::Seat(seat)) => (Role::Owner(Arc::clone(&seat)), First::Seat(seat)),
                Some(Found::Line(line, _)) => {
                    (Role::Attached(Arc::clone(line.link())), First::Line(line))
                }
                None => return Ok(()),
            };
            if core.become_role(role).is_none() {
                if let First::Seat(seat) = first {
                    seat.leave().await?;
                }
                return Ok(());
            }
            if matches!(first, First::Seat(_)) {
                tracing::info!(path = %core.config.path.display(), "this process owns the store now");
            }
            next = Some(first);
        }
    }
}

/// Serves a store until a newer version asks for it, and leaves it then. Answers how long it is to be left alone.
async fn own(core: &Core, seat: &Arc<Seat>) -> Result<Duration> {
    let serving = async {
        match &seat.listener {
            Some(listener) => serve(core, seat, listener).await,
            None => future::pending().await,
        }
    };
    future::or(core.closing.wait(), serving).await;
    if core.closing.is_up() {
        return Ok(Duration::ZERO);
    }
    core.see(seat.store.head().await?.last);
    if core.become_role(Role::Seeking).is_some() {
        seat.leave().await?;
    }
    Ok(YIELD_PATIENCE)
}

/// Runs the connection to an owner until it ends. Answers how long the store is to be left alone.
async fn ask(core: &Core, line: &Line) -> Duration {
    let closing = async {
        core.closing.wait().await;
        Parting::Lost
    };
    match future::or(closing, line.run()).await {
        Parting::Yielding => YIELD_PATIENCE,
        Parting::Lost => Duration::ZERO,
    }
}

/// Serves whoever comes, until the store is to be handed over.
async fn serve(core: &Core, seat: &Seat, listener: &Listener) {
    let mut attending = FuturesUnordered::new();
    loop {
        let has_room = attending.len() < PEERS_MAX;
        let came = async { Step::Came(listener.accept().await) };
        let left = async {
            match attending.next().await {
                Some(()) => Step::Left,
                None => future::pending().await,
            }
        };
        let step = async {
            if has_room {
                future::or(left, came).await
            } else {
                left.await
            }
        };
        let yielding = async {
            seat.yielding.wait().await;
            None
        };
        match future::or(async { Some(step.await) }, yielding).await {
            Some(Step::Came(Ok(stream))) => {
                attending.push(Attendance::new(core, seat, stream).attend());
            }
            Some(Step::Came(Err(error))) => {
                tracing::warn!(%error, "a process could not attach to the store");
                core.pause(ACCEPT_PAUSE).await;
            }
            Some(Step::Left) => {}
            None => break,
        }
    }
    let farewell = async { while attending.next().await.is_some() {} };
    // Who takes longer loses the connection, and asks the next owner.
    core.within(core.after(2 * FAREWELL_MAX), farewell).await;
}
