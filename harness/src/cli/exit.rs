//! Exit codes and the text of errors.

use std::process::ExitCode;

use harness::client::ClientError;
use harness::core::engine::RegistryError;
use harness::core::{ErrorKind, StoreError};
pub(crate) use harness::settings::Usage;
use registry_api::ErrorCode;

/// Something failed.
const FAILURE: u8 = 1;
/// The command line or the configuration makes no sense; clap's code, too.
const USAGE: u8 = 2;
/// What was named is not there.
const NOT_FOUND: u8 = 3;
/// What is there is not what was expected.
const CONFLICT: u8 = 4;
/// The store or the daemon cannot be reached now.
const UNAVAILABLE: u8 = 5;
/// What is stored is damaged, or the input is.
const DAMAGED: u8 = 6;

/// A check of the doctor failed.
const UNFIT: u8 = 7;
/// What was waited for did not happen in time.
const TIMED_OUT: u8 = 8;

/// What was waited for did not happen in time.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TimedOut(pub(crate) String);

/// Input that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadInput(pub(crate) String);

/// The exit code for a check of the doctor that failed.
pub(crate) fn unfit() -> ExitCode {
    ExitCode::from(UNFIT)
}

/// The exit code for damage that was found by a command that looked for it.
pub(crate) fn damaged() -> ExitCode {
    ExitCode::from(DAMAGED)
}

/// The exit code for an error, by the first cause that has one.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(error.chain().find_map(code_of_cause).unwrap_or(FAILURE))
}

fn code_of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(error) = cause.downcast_ref::<ClientError>() {
        return Some(code_of_client(error));
    }
    if let Some(error) = cause.downcast_ref::<harness::Error>() {
        return match error {
            harness::Error::Registry(error) => Some(code_of_domain(error)),
            harness::Error::Store(error) => Some(code_of_store(error)),
            harness::Error::Legacy(_) | harness::Error::Export(_) => Some(DAMAGED),
            harness::Error::Location(_) => Some(USAGE),
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        return Some(code_of_store(error));
    }
    if cause.is::<Usage>() {
        return Some(USAGE);
    }
    if cause.is::<BadInput>() {
        return Some(DAMAGED);
    }
    cause.is::<TimedOut>().then_some(TIMED_OUT)
}

fn code_of_client(error: &ClientError) -> u8 {
    match error {
        ClientError::Refused(info) => code_of_refusal(info.code),
        ClientError::Unreachable { .. } | ClientError::TurnedAway { .. } => UNAVAILABLE,
        ClientError::Address { .. } | ClientError::Token => USAGE,
        _ => FAILURE,
    }
}

fn code_of_refusal(code: ErrorCode) -> u8 {
    match code {
        ErrorCode::NotFound | ErrorCode::NoLease => NOT_FOUND,
        ErrorCode::AlreadyExists
        | ErrorCode::StaleRevision
        | ErrorCode::StaleIncarnation
        | ErrorCode::Contended => CONFLICT,
        ErrorCode::StoreUnavailable
        | ErrorCode::ShuttingDown
        | ErrorCode::RateLimited
        | ErrorCode::OutcomeUnknown => UNAVAILABLE,
        ErrorCode::StoreDamaged => DAMAGED,
        ErrorCode::BadRequest => USAGE,
        _ => FAILURE,
    }
}

fn code_of_domain(error: &RegistryError) -> u8 {
    match error {
        RegistryError::UnknownService { .. } => NOT_FOUND,
        RegistryError::AlreadyExists { .. } | RegistryError::StaleRevision { .. } => CONFLICT,
        RegistryError::Invalid(_) => USAGE,
        RegistryError::Store(error) => code_of_store(error),
        _ => FAILURE,
    }
}

fn code_of_store(error: &StoreError) -> u8 {
    match error.kind() {
        ErrorKind::NotFound => NOT_FOUND,
        ErrorKind::Locked(_)
        | ErrorKind::Unavailable
        | ErrorKind::Poisoned
        | ErrorKind::MaybeApplied => UNAVAILABLE,
        ErrorKind::Corrupted | ErrorKind::SchemaTooNew { .. } => DAMAGED,
        ErrorKind::Conflict => CONFLICT,
        ErrorKind::Invalid | ErrorKind::Unsupported => USAGE,
        _ => FAILURE,
    }
}

/// The error with its causes, each once, and what to do about it.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    if let Some(hint) = error.chain().find_map(hint_of) {
        text.push_str("\n  ");
        text.push_str(hint);
    }
    text
}

fn hint_of(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let store = match cause.downcast_ref::<harness::Error>() {
        Some(harness::Error::Store(error)) => error,
        Some(harness::Error::Registry(RegistryError::Store(error))) => error,
        _ => cause.downcast_ref::<StoreError>()?,
    };
    match store.kind() {
        ErrorKind::Locked(_) => Some("stop that process, or talk to its daemon with --url"),
        ErrorKind::Corrupted => Some(
            "`harness registry verify --path P` lists the damage, `harness registry repair --path P --to NEW` saves the rest",
        ),
        ErrorKind::SchemaTooNew { .. } => Some("use the newer program that wrote it"),
        _ => None,
    }
}

/// Whether the output's reader went away.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = match cause.downcast_ref::<harness::Error>() {
            Some(harness::Error::Io(io)) => Some(io),
            _ => cause.downcast_ref::<std::io::Error>(),
        };
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
