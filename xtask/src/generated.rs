//! Parts of the documentation that are written from the code, between two marks.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, bail};
use harness::backends::Backend;
use registry_api::{ACTIONS, ActionSpec, EVENTS, Effect, ErrorCode};
use registry_http::METRICS;

use crate::root;

/// File, name of the part, and its content.
type Part = (&'static str, &'static str, String);

fn parts() -> Vec<Part> {
    vec![
        ("docs/protocol.md", "actions", actions()),
        ("docs/protocol.md", "events", events()),
        ("docs/errors.md", "errors", errors()),
        ("docs/metrics.md", "metrics", metrics()),
        ("README.md", "backends", backends()),
    ]
}

/// Writes every part.
pub(crate) fn write() -> Result<()> {
    for (file, name, content) in parts() {
        replace(file, name, &content)?;
    }
    Ok(())
}

/// Fails where a part is not what the code says.
pub(crate) fn check() -> Result<()> {
    for (file, name, content) in parts() {
        expect(file, name, &content, "cargo xtask gen")?;
    }
    Ok(())
}

fn marks(name: &str) -> (String, String) {
    (
        format!("<!-- generated: {name} -->\n"),
        format!("<!-- end: {name} -->\n"),
    )
}

/// Replaces a part of a file.
pub(crate) fn replace(file: &str, name: &str, content: &str) -> Result<()> {
    let path = root().join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("read {file}"))?;
    let (before, _, after) = split(&text, file, name)?;
    Ok(fs::write(path, format!("{before}{content}{after}"))?)
}

/// Fails where a part of a file is another.
pub(crate) fn expect(file: &str, name: &str, content: &str, command: &str) -> Result<()> {
    let text = fs::read_to_string(root().join(file)).with_context(|| format!("read {file}"))?;
    let (_, found, _) = split(&text, file, name)?;
    if found != content {
        bail!("{file}: the part {name:?} is not what the code says; run `{command}`");
    }
    Ok(())
}

fn split<'a>(text: &'a str, file: &str, name: &str) -> Result<(&'a str, &'a str, &'a str)> {
    let (begin, end) = marks(name);
    let missing = || format!("{file} has no part {name:?}");
    let from = text.find(&begin).with_context(missing)? + begin.len();
    let to = from + text[from..].find(&end).with_context(missing)?;
    Ok((&text[..from], &text[from..to], &text[to..]))
}

/// A table in Markdown.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        writeln!(text, "| {} |", row.join(" | ")).expect("a String takes everything");
    }
    text
}

fn actions() -> String {
    let effect = |effect| match effect {
        Effect::Read => "read",
        Effect::Write => "write",
        Effect::Session => "connection",
        Effect::Unsupported => "answered `Unsupported`",
    };
    let rows: Vec<_> = ACTIONS
        .iter()
        .map(|action| {
            vec![
                format!("`{}`", action.name),
                effect(action.effect).into(),
                action.summary.into(),
                routes(action),
            ]
        })
        .collect();
    table(&["action", "effect", "what it does", "HTTP"], &rows)
}

fn routes(action: &ActionSpec) -> String {
    let routes: Vec<_> = action
        .routes
        .iter()
        .map(|route| format!("`{} {}`", route.method, route.path))
        .collect();
    if routes.is_empty() {
        "the end of the request".to_owned()
    } else {
        routes.join(", ")
    }
}

fn events() -> String {
    let rows: Vec<_> = EVENTS
        .iter()
        .map(|event| vec![format!("`{}`", event.name), event.summary.into()])
        .collect();
    table(&["event", "when"], &rows)
}

fn errors() -> String {
    let rows: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| {
            let retry = if code.is_retryable() { "yes" } else { "no" };
            vec![
                format!("`{}`", code.as_str()),
                code.http_status().to_string(),
                retry.into(),
                code.hint().into(),
            ]
        })
        .collect();
    table(&["code", "HTTP status", "retry", "hint"], &rows)
}

fn metrics() -> String {
    let rows: Vec<_> = METRICS
        .iter()
        .map(|metric| {
            let series: Vec<_> = metric.series().map(|name| format!("`{name}`")).collect();
            let labels: Vec<_> = metric
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            vec![
                series.join(", "),
                metric.form.as_str().into(),
                labels.join(", "),
                metric.help.into(),
            ]
        })
        .collect();
    table(&["series", "type", "labels", "what it tells"], &rows)
}

fn backends() -> String {
    let rows: Vec<_> = Backend::ALL
        .iter()
        .map(|backend| {
            let default = if *backend == Backend::default_of_build() {
                " (default)"
            } else {
                ""
            };
            vec![
                format!("`{backend}`{default}"),
                backend.kept_in().into(),
                backend.durability().into(),
                backend.processes().into(),
                backend.when().into(),
            ]
        })
        .collect();
    table(
        &[
            "backend",
            "kept in",
            "a commit survives",
            "processes at a time",
            "take it when",
        ],
        &rows,
    )
}
