//! What a case is, and what may come out of it.

use std::error::Error;
use std::fmt;

use registry_core::{Capabilities, Durability, Writers};

use crate::subject::Subject;

/// One obligation of the contract.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What a store must be able to do; the error says why a case is not for it.
    pub(crate) needs: fn(&Capabilities) -> Result<(), &'static str>,
    pub(crate) body: fn(&Subject) -> Verdict,
}

/// Cases on one subject.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) cases: &'static [Case],
}

/// A case named after its function: `case!(needs, body)`.
macro_rules! case {
    ($needs:ident, $body:ident) => {
        $crate::case::Case {
            name: stringify!($body),
            needs: $needs,
            body: $body,
        }
    };
}
pub(crate) use case;

/// What a case answers.
pub(crate) type Verdict = Result<(), Failure>;

/// Why a case did not pass.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The store broke the contract.
    Broken(String),
    /// The case has no meaning for this store, as its body found out.
    NotApplicable(&'static str),
}

/// Every error of the store, with its causes. (`Failure` is no error itself, so that this covers all of them.)
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Broken(chain(&error))
    }
}

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self::Broken(text.into())
    }

    /// What it says.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Broken(text) => text,
            Self::NotApplicable(reason) => reason.to_owned(),
        }
    }
}

/// An error's own words and those of its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    use fmt::Write as _;

    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// For every store.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it stands beside needs that can fail"
)]
pub(crate) fn any(_: &Capabilities) -> Result<(), &'static str> {
    Ok(())
}

/// For a store that can be reopened.
pub(crate) fn persistent(capabilities: &Capabilities) -> Result<(), &'static str> {
    if capabilities.is_persistent {
        Ok(())
    } else {
        Err("the store ends with the process")
    }
}

/// For a store that makes a commit durable before it is acknowledged.
pub(crate) fn synced(capabilities: &Capabilities) -> Result<(), &'static str> {
    persistent(capabilities)?;
    match capabilities.durability {
        Durability::Synced => Ok(()),
        _ => Err("commits are acknowledged before they are durable"),
    }
}

/// For a store that only one may open at a time.
pub(crate) fn exclusive(capabilities: &Capabilities) -> Result<(), &'static str> {
    persistent(capabilities)?;
    match capabilities.writers {
        Writers::One => Ok(()),
        Writers::Many => Err("the store is shared"),
    }
}

/// For a store that several may open at a time.
pub(crate) fn shared(capabilities: &Capabilities) -> Result<(), &'static str> {
    persistent(capabilities)?;
    match capabilities.writers {
        Writers::Many => Ok(()),
        Writers::One => Err("one opener at a time"),
    }
}
