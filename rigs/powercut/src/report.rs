//! What was found, counted and printed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::check::Verdict;
use crate::disk::Image;

/// Longest detail of a finding, in bytes: the panic of an engine can have megabytes.
const DETAIL_BYTES_MAX: usize = 4 * 1024;

/// What a run was, for a row of the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Row {
    pub(crate) backend: String,
    /// A scenario, or what else was done.
    pub(crate) scenario: String,
    /// The disk's model; `real` for a folder of this machine.
    pub(crate) model: String,
}

/// Runs by their verdict.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) runs: u64,
    pub(crate) lost: u64,
    pub(crate) half: u64,
    pub(crate) unopenable: u64,
    pub(crate) wrong: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, verdict: Verdict) {
        self.runs += 1;
        match verdict {
            Verdict::Sound => {}
            Verdict::Lost => self.lost += 1,
            Verdict::Half => self.half += 1,
            Verdict::Unopenable => self.unopenable += 1,
            Verdict::Wrong => self.wrong += 1,
        }
    }

    /// Runs that were not sound.
    pub(crate) fn failed(&self) -> u64 {
        self.lost + self.half + self.unopenable + self.wrong
    }
}

/// A broken promise.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    #[serde(flatten)]
    pub(crate) row: Row,
    pub(crate) verdict: Verdict,
    pub(crate) detail: String,
    /// The operation at which it happened, with what else is needed to see it again.
    pub(crate) place: String,
    /// Options that show it again.
    pub(crate) again: String,
    /// What was on the disk, where it was kept.
    pub(crate) image: Option<PathBuf>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row {
            backend,
            scenario,
            model,
        } = &self.row;
        writeln!(
            f,
            "FOUND: {backend}, {scenario}, {model}: {:?}",
            self.verdict
        )?;
        writeln!(f, "  {}", self.detail)?;
        writeln!(f, "  at {}", self.place)?;
        write!(f, "  again: cargo xtask powercut {}", self.again)?;
        match &self.image {
            Some(image) => write!(f, "\n  disk: {}", image.display()),
            None => Ok(()),
        }
    }
}

/// A setting that is known to be bad, and how often that showed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Control {
    pub(crate) backend: String,
    pub(crate) setting: String,
    pub(crate) runs: u64,
    pub(crate) failed: u64,
}

/// Everything of one run of the program.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: BTreeMap<Row, Counts>,
    findings: Vec<Finding>,
    controls: Vec<Control>,
}

#[derive(Serialize)]
struct CountedRow<'a> {
    #[serde(flatten)]
    row: &'a Row,
    #[serde(flatten)]
    counts: &'a Counts,
}

impl Report {
    /// Counts a run.
    pub(crate) fn count(&mut self, row: &Row, verdict: Verdict) {
        self.rows.entry(row.clone()).or_default().add(verdict);
    }

    /// Keeps and prints a finding, with the disk it was found on.
    pub(crate) fn find(&mut self, mut finding: Finding, image: Option<&Image>) -> Result<()> {
        shorten(&mut finding.detail);
        if let Some(image) = image {
            let folder = kept_folder()?;
            image.export(&folder)?;
            finding.image = Some(folder);
        }
        eprintln!("{finding}");
        self.findings.push(finding);
        Ok(())
    }

    /// As [`find`](Self::find), for a folder of this machine.
    pub(crate) fn find_in(&mut self, mut finding: Finding, folder: &Path) -> Result<()> {
        let kept = kept_folder()?;
        copy_folder(folder, &kept)?;
        finding.image = Some(kept);
        self.find(finding, None)
    }

    /// Adds a control.
    pub(crate) fn control(&mut self, control: Control) {
        self.controls.push(control);
    }

    /// Whether every promise was kept and every control failed.
    pub(crate) fn is_good(&self) -> bool {
        self.findings.is_empty() && self.controls.iter().all(|control| control.failed > 0)
    }

    /// The report for a program.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let rows = self.rows.iter();
        let rows: Vec<_> = rows
            .map(|(row, counts)| CountedRow { row, counts })
            .collect();
        serde_json::json!({
            "good": self.is_good(),
            "rows": rows,
            "findings": self.findings,
            "controls": self.controls,
        })
    }

    /// The report for a person.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        if !self.rows.is_empty() {
            text.push_str(&self.table().to_string());
            text.push('\n');
        }
        for control in &self.controls {
            let Control {
                backend,
                setting,
                runs,
                failed,
            } = control;
            let verdict = if *failed > 0 {
                "fails, as it must"
            } else {
                "NOT SEEN"
            };
            let line =
                format!("control {backend}, {setting}: {failed} of {runs} failed: {verdict}\n");
            text.push_str(&line);
        }
        text
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "backend",
            "scenario",
            "model",
            "runs",
            "lost",
            "half",
            "unopenable",
            "wrong",
        ]);
        for (row, counts) in &self.rows {
            let Counts {
                runs,
                lost,
                half,
                unopenable,
                wrong,
            } = counts;
            let numbers = [runs, lost, half, unopenable, wrong].map(u64::to_string);
            let names = [&row.backend, &row.scenario, &row.model].map(Clone::clone);
            table.add_row(names.into_iter().chain(numbers));
        }
        table
    }
}

/// Cuts a detail at its bound, and says so.
fn shorten(detail: &mut String) {
    let length = detail.len();
    if length <= DETAIL_BYTES_MAX {
        return;
    }
    let mut ends = (0..=DETAIL_BYTES_MAX).rev();
    let end = ends.find(|end| detail.is_char_boundary(*end));
    detail.truncate(end.unwrap_or_default());
    let left_out = length - detail.len();
    *detail = format!("{detail} ... and {left_out} bytes more");
}

/// A folder of the system's temporary folder that nobody removes.
fn kept_folder() -> Result<PathBuf> {
    let folder = tempfile::Builder::new()
        .prefix("powercut-finding-")
        .tempdir()?;
    Ok(folder.keep())
}

/// Copies everything below a folder.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_details_are_cut_at_a_character() {
        let whole = "\u{fc}".repeat(DETAIL_BYTES_MAX);
        let mut detail = format!("a{whole}");
        shorten(&mut detail);
        let (kept, left_out) = detail.split_once(" ... ").unwrap();
        assert_eq!(kept.len(), DETAIL_BYTES_MAX - 1);
        assert_eq!(left_out, format!("and {} bytes more", DETAIL_BYTES_MAX + 2));
        let mut short = "a".repeat(DETAIL_BYTES_MAX);
        shorten(&mut short);
        assert_eq!(short.len(), DETAIL_BYTES_MAX);
    }
}
