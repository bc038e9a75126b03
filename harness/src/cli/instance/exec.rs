//! `harness instance register --exec`: a command that is listed as long as it runs.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context as _, Result};
use harness::client::{Backoff, ClientError};
use harness::core::model::InstanceSpec;
use harness::discovery::{LeaseState, Registered, ServiceBootstrap};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::oneshot;

use super::super::client::Target;
use super::spec::SpecArgs;

/// The code of a command that cannot be run, and of one that is not there, as shells have it.
const NOT_RUN: u8 = 126;
const NO_COMMAND: u8 = 127;
/// The code of a command that a signal ended is this and the number of the signal, as shells have it.
const SIGNALLED: u8 = 128;

/// Names of what a command may want to know of its instance.
const SERVICE_VARIABLE: &str = "INSTANCE_SERVICE";
const ID_VARIABLE: &str = "INSTANCE_ID";

/// Signals that are handed to the command.
struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Signal {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Signal::TERM,
                // ctrl-c on a terminal has reached the command already.
                _ = self.interrupt.recv() => if !io::stdin().is_terminal() {
                    return Signal::INT;
                },
            }
        }
    }
}

pub(super) async fn run(
    target: &Target,
    spec: &SpecArgs,
    command: &[OsString],
) -> Result<ExitCode> {
    // Held from here on, so that a signal cannot end this before the command.
    let signals = Signals::new()?;
    let mut bootstrap = ServiceBootstrap::new(target.site()?, spec.spec()?);
    if let Some(incarnation) = spec.incarnation() {
        bootstrap = bootstrap.incarnation(incarnation);
    }
    // What makes no sense is refused before the command runs; a registry that is away keeps no command from running.
    let registered = match bootstrap.register().await {
        Ok(registered) => Some(registered),
        Err(error) if error.is_gone() => {
            eprintln!("harness: {error}; the command runs, and is registered as soon as possible");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let child = match spawn(command, bootstrap.spec()) {
        Ok(child) => child,
        Err(error) => {
            let name = command[0].display();
            if let Some(registered) = registered {
                tell_failure(registered.deregister("its command cannot be run").await);
            }
            eprintln!("harness: run {name}: {error}");
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            return Ok(ExitCode::from(if is_missing {
                NO_COMMAND
            } else {
                NOT_RUN
            }));
        }
    };
    let (ended, end) = oneshot::channel();
    let keeping = tokio::spawn(keep(bootstrap, registered, end));
    let status = wait(child, signals).await?;
    // Where nobody waits for it, keeping failed and said so.
    drop(ended.send(format!("its command ended: {status}")));
    keeping.await.context("the heartbeat panicked")?;
    Ok(code(status))
}

fn spawn(command: &[OsString], spec: &InstanceSpec) -> io::Result<Child> {
    Command::new(&command[0])
        .args(&command[1..])
        .env(SERVICE_VARIABLE, &spec.service)
        .env(ID_VARIABLE, &spec.instance_id)
        .spawn()
}

/// Waits for the end of the command, and hands signals to it until then.
async fn wait(mut child: Child, mut signals: Signals) -> Result<ExitStatus> {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let id = id.and_then(Pid::from_raw);
    loop {
        tokio::select! {
            status = child.wait() => return status.context("wait for the command"),
            signal = signals.next() => {
                if let Some(id) = id {
                    // It is not reaped before its end is seen here, so the id is its own.
                    kill_process(id, signal).context("hand a signal to the command")?;
                }
            }
        }
    }
}

/// Keeps the instance listed until it is told why it ends.
async fn keep(
    bootstrap: ServiceBootstrap,
    registered: Option<Registered>,
    mut end: oneshot::Receiver<String>,
) {
    let registered = if let Some(registered) = registered {
        registered
    } else {
        tokio::select! {
            registered = register(&bootstrap) => match registered {
                Ok(registered) => registered,
                Err(error) => {
                    eprintln!("harness: {error}; the command runs on and is not listed");
                    return;
                }
            },
            _ = &mut end => return,
        }
    };
    let mut heartbeat = tokio::spawn(registered.start_heartbeat());
    let reason = tokio::select! {
        reason = &mut end => reason,
        state = &mut heartbeat => {
            if let Ok(LeaseState::Lost { reason }) = state {
                eprintln!("harness: the lease is lost: {reason}; the command runs on and is not listed");
            }
            return;
        }
        never = tell(&registered) => match never {},
    };
    if let Ok(reason) = reason {
        tell_failure(registered.deregister(&reason).await);
    }
}

/// Registers, however long the daemon is away.
async fn register(bootstrap: &ServiceBootstrap) -> Result<Registered, ClientError> {
    let mut backoff = Backoff::default();
    loop {
        tokio::time::sleep(backoff.wait()).await;
        match bootstrap.register().await {
            Err(error) if error.is_gone() => {}
            registered => {
                if registered.is_ok() {
                    eprintln!("harness: the command is registered");
                }
                return registered;
            }
        }
    }
}

/// Says when the daemon is away, and when it is back.
async fn tell(registered: &Registered) -> std::convert::Infallible {
    let mut state = registered.state();
    loop {
        let next = registered.changed(&state).await;
        match (&state, &next) {
            (LeaseState::Held, LeaseState::Retrying { problem, .. }) => {
                eprintln!("harness: {problem}; the lease is renewed as soon as possible");
            }
            (LeaseState::Retrying { .. }, LeaseState::Held) => {
                eprintln!("harness: the lease is renewed again");
            }
            _ => {}
        }
        state = next;
    }
}

fn tell_failure(deregistered: Result<(), ClientError>) {
    if let Err(error) = deregistered {
        eprintln!("harness: {error}; the instance is listed until its lease lapses");
    }
}

fn code(status: ExitStatus) -> ExitCode {
    let signalled = || {
        status
            .signal()
            .map_or(i32::from(u8::MAX), |signal| i32::from(SIGNALLED) + signal)
    };
    let code = status.code().unwrap_or_else(signalled);
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
