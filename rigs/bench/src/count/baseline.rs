//! The counts that are committed, and how those of today compare.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// How much more a case may take, in percent (S3-34).
const TOLERANCE_PERCENT: u64 = 10;

/// Instructions an operation, by case.
#[derive(Debug)]
pub(super) struct Baseline(BTreeMap<String, u64>);

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.json")
}

impl Baseline {
    pub(super) fn read() -> Result<Self> {
        let file = file();
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let counts = serde_json::from_str(&text);
        counts
            .map(Self)
            .with_context(|| format!("read {}", file.display()))
    }

    pub(super) fn write(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.0)? + "\n";
        fs::write(file(), text).with_context(|| format!("write {}", file().display()))
    }

    pub(super) fn of(&self, case: &str) -> Option<u64> {
        self.0.get(case).copied()
    }

    pub(super) fn set(&mut self, case: &str, instructions: u64) {
        self.0.insert(case.to_owned(), instructions);
    }
}

/// A case then and now.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) case: &'static str,
    expected: Option<u64>,
    pub(super) found: u64,
}

impl Comparison {
    pub(super) fn of(case: &'static str, expected: Option<u64>, found: u64) -> Self {
        Self {
            case,
            expected,
            found,
        }
    }

    /// Whether it takes more than it may. A case that is not in the file is, too.
    pub(super) fn is_beyond(&self) -> bool {
        self.expected
            .is_none_or(|expected| self.found * 100 > expected * (100 + TOLERANCE_PERCENT))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            case,
            expected,
            found,
        } = self;
        write!(f, "{case:32} {found:>12}")?;
        let Some(expected) = expected.filter(|expected| *expected > 0) else {
            return write!(f, "  not in the committed file");
        };
        #[expect(clippy::cast_precision_loss, reason = "a percentage is told")]
        let change = (*found as f64 / expected as f64 - 1.0) * 100.0;
        write!(f, "  {change:+6.1} % of {expected}")?;
        if self.is_beyond() {
            write!(f, "  beyond {TOLERANCE_PERCENT} %")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_more_is_the_most() {
        let beyond = |found| Comparison::of("case", Some(1000), found).is_beyond();
        assert!(!beyond(900));
        assert!(!beyond(1100));
        assert!(beyond(1101));
        assert!(Comparison::of("new", None, 1).is_beyond());
    }
}
