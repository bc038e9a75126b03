//! Bar charts as SVG, legible on a light page and on a dark one.

use std::fs;

use anyhow::{Context as _, Result, anyhow};
use plotters::prelude::*;

use super::table::{faces, rate};
use crate::findings::{Findings, Workload};
use crate::session::LISTERS;

const FOLDER: &str = "docs/benchmarks";
const WIDTH: u32 = 760;
const ROW: u32 = 26;
const HEAD: u32 = 40;
/// Where bars begin, and the most that they take.
const BARS_FROM: i32 = 230;
const BARS_MAX: f64 = 420.0;
/// Between light and dark: read on both.
const INK: RGBColor = RGBColor(128, 128, 128);
const OURS: RGBColor = RGBColor(46, 134, 193);
const THEIRS: RGBColor = RGBColor(160, 160, 160);

pub(crate) struct Chart {
    pub(crate) title: String,
    /// As the page links it.
    pub(crate) link: String,
}

/// Draws what has bars to show.
pub(crate) fn draw(part: &str, all: &[Findings]) -> Result<Vec<Chart>> {
    fs::create_dir_all(FOLDER).with_context(|| format!("make {FOLDER}"))?;
    let mut charts = Vec::new();
    for (name, title, workload, clients) in [
        (
            "registrations",
            "Durable registrations a second, 64 clients",
            Workload::Register,
            64,
        ),
        (
            "lookups",
            "Lookups a second, 64 clients",
            Workload::Lookup,
            64,
        ),
        (
            "heartbeats",
            "Heartbeats a second, 64 clients",
            Workload::Beat,
            64,
        ),
        ("lists", "Lists of 10,000 a second", Workload::List, LISTERS),
    ] {
        let mut bars: Vec<Bar> = faces(all)
            .filter_map(|(findings, face, name)| {
                let value = findings.rate(workload, face, clients)?;
                let is_ours = findings.subject.starts_with("harness");
                Some(Bar {
                    name,
                    value,
                    is_ours,
                })
            })
            .collect();
        if bars.is_empty() {
            continue;
        }
        bars.sort_by(|one, other| other.value.total_cmp(&one.value));
        let file = format!("{part}-{name}.svg");
        let drawn = svg(title, &bars).map_err(|error| anyhow!("draw {file}: {error}"))?;
        fs::write(format!("{FOLDER}/{file}"), drawn).with_context(|| format!("write {file}"))?;
        charts.push(Chart {
            title: title.to_owned(),
            link: format!("benchmarks/{file}"),
        });
    }
    Ok(charts)
}

struct Bar {
    name: String,
    value: f64,
    is_ours: bool,
}

/// One bar a row, with its name before it and its value behind it. The background is left as it is.
fn svg(title: &str, bars: &[Bar]) -> Result<String, Box<dyn std::error::Error>> {
    let mut text = String::new();
    let rows = u32::try_from(bars.len())?;
    let area =
        SVGBackend::with_string(&mut text, (WIDTH, HEAD + rows * ROW + 10)).into_drawing_area();
    let font = |size: i32| ("sans-serif", size).into_font().color(&INK);
    area.draw(&Text::new(title.to_owned(), (10, 10), font(16)))?;
    let most = bars
        .iter()
        .map(|bar| bar.value)
        .fold(f64::MIN_POSITIVE, f64::max);
    for (row, bar) in (0u32..).zip(bars) {
        let top = i32::try_from(HEAD + row * ROW)?;
        #[expect(clippy::cast_possible_truncation, reason = "it is a number of pixels")]
        let length = (bar.value / most * BARS_MAX).round() as i32;
        let corners = [(BARS_FROM, top), (BARS_FROM + length.max(1), top + 18)];
        let color = if bar.is_ours { OURS } else { THEIRS };
        area.draw(&Rectangle::new(corners, color.filled()))?;
        area.draw(&Text::new(bar.name.clone(), (10, top + 3), font(13)))?;
        let value = if bar.value < 1000.0 {
            format!("{:.1}", bar.value)
        } else {
            rate(bar.value)
        };
        area.draw(&Text::new(
            value,
            (BARS_FROM + length + 8, top + 3),
            font(13),
        ))?;
    }
    area.present()?;
    drop(area);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_values() {
        let bar = |value, is_ours| Bar {
            name: "x".into(),
            value,
            is_ours,
        };
        let drawn = svg("title", &[bar(200.0, true), bar(100.0, false)]).unwrap();
        assert!(drawn.contains(r#"width="420""#), "{drawn}");
        assert!(drawn.contains(r#"width="210""#), "{drawn}");
        assert!(!drawn.contains("#FFFFFF"));
    }
}
