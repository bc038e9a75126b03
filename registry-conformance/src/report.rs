//! The results of a run for a program to read.

use std::path::Path;

use serde::Serialize;

/// The results of a run, cases in the order of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) backend: String,
    pub(crate) cases: Vec<Line>,
}

/// The result of one case.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    #[serde(skip)]
    pub(crate) position: usize,
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    pub(crate) result: CaseResult,
    /// Why it failed or is not supported.
    pub(crate) reason: Option<String>,
}

/// How a case came out.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CaseResult {
    Passed,
    Failed,
    Unsupported,
}

impl Report {
    /// Writes the report as JSON.
    pub(crate) fn write(&mut self, path: &Path) -> std::io::Result<()> {
        self.cases.sort_by_key(|line| line.position);
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        std::fs::write(path, json)
    }
}
