//! One check: its status, what was seen, and what to do about it.

use serde::Serialize;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// A daemon runs, but an operator should look.
    Warn,
    /// A daemon does not run, or not safely.
    Fail,
    /// It could not be looked at; the evidence says why.
    Skipped,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// Its name, for scripts.
    pub(super) name: &'static str,
    /// How it ended.
    pub(super) status: Status,
    /// What was seen.
    pub(super) evidence: String,
    /// What to do; none where nothing needs to be done.
    pub(super) fix: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, evidence: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, evidence, None)
    }

    pub(super) fn skipped(name: &'static str, evidence: impl Into<String>) -> Self {
        Self::new(name, Status::Skipped, evidence, None)
    }

    pub(super) fn warn(
        name: &'static str,
        evidence: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(name, Status::Warn, evidence, Some(fix.into()))
    }

    pub(super) fn fail(
        name: &'static str,
        evidence: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(name, Status::Fail, evidence, Some(fix.into()))
    }

    fn new(
        name: &'static str,
        status: Status,
        evidence: impl Into<String>,
        fix: Option<String>,
    ) -> Self {
        Self {
            name,
            status,
            evidence: evidence.into(),
            fix,
        }
    }
}
