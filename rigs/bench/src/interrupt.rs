//! A run that is interrupted ends as one that fails: with its servers stopped and its folders removed.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Takes note of SIGINT, SIGTERM and SIGHUP from now on instead of ending at once.
pub(crate) fn catch() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("wait for signals")?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    drop(guard);
    thread::spawn(move || {
        runtime.block_on(poll_fn(|context| {
            let signals = [&mut interrupt, &mut terminate, &mut hang_up];
            // All are polled, so that each wakes.
            let ready = signals.map(|signal| signal.poll_recv(context).is_ready());
            if ready.contains(&true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        INTERRUPTED.store(true, Ordering::SeqCst);
    });
    Ok(())
}

/// # Errors
/// The run was interrupted.
pub(crate) fn check() -> Result<()> {
    if is_interrupted() {
        bail!("interrupted");
    }
    Ok(())
}

pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
