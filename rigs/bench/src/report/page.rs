//! docs/benchmarks.md: its generated parts.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};

use super::{chart, daemon_text, engine_text, peers_text};
use crate::findings::{Findings, kept};
use crate::{daemon, engine, peers};

const FILE: &str = "docs/benchmarks.md";

/// Writes every part, as far as something was kept of them.
pub(crate) fn write_all() -> Result<()> {
    for part in [daemon::PART, peers::PART, engine::PART] {
        let all = kept(part)?;
        if all.is_empty() {
            eprintln!("{part}: nothing was kept");
        } else {
            write(part, &all)?;
        }
    }
    Ok(())
}

/// Writes the tables and the charts of a part.
pub(crate) fn write(part: &str, all: &[Findings]) -> Result<()> {
    let mut content = match part {
        peers::PART => peers_text(all),
        engine::PART => engine_text(all),
        _ => daemon_text(all),
    };
    for chart in chart::draw(part, all)? {
        writeln!(content, "\n![{}]({})", chart.title, chart.link)?;
    }
    let text = fs::read_to_string(FILE).with_context(|| format!("read {FILE}"))?;
    let text = replaced(&text, part, &content)?;
    fs::write(FILE, text).with_context(|| format!("write {FILE}"))
}

/// The page with another content between the marks of a part.
fn replaced(text: &str, part: &str, content: &str) -> Result<String> {
    let (begin, end) = (
        format!("<!-- generated: {part} -->\n"),
        format!("<!-- end: {part} -->\n"),
    );
    let missing = || format!("{FILE} has no part {part:?}");
    let from = text.find(&begin).with_context(missing)? + begin.len();
    let to = from + text[from..].find(&end).with_context(missing)?;
    Ok(format!("{}{content}{}", &text[..from], &text[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_part_is_replaced() {
        let text = "a\n<!-- generated: x -->\nold\n<!-- end: x -->\nb\n";
        let new = replaced(text, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- generated: x -->\nnew\n<!-- end: x -->\nb\n");
        assert!(replaced(text, "y", "").is_err());
    }
}
