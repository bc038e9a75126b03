//! Printing: data to standard output, messages to standard error.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON value.
    Json,
    /// A JSON value a line.
    Ndjson,
    /// YAML.
    Yaml,
}

/// A column of a table: its head, and the text of a cell.
pub(crate) type Column = (&'static str, fn(&Value) -> String);

/// Prints a list: as a table, one value, or one value a line.
pub(crate) fn print_list(format: Format, items: &[Value], columns: &[Column]) -> Result<()> {
    match format {
        Format::Table => print_line(&table(items, columns)),
        Format::Ndjson => items.iter().try_for_each(print_json_line),
        _ => print_value(format, &items),
    }
}

/// Prints one thing; as a table it is a line for each field.
pub(crate) fn print_one(format: Format, item: &Value) -> Result<()> {
    match format {
        Format::Table => print_line(&fields(item)),
        Format::Ndjson => print_json_line(item),
        _ => print_value(format, item),
    }
}

fn print_value(format: Format, value: &impl Serialize) -> Result<()> {
    let text = match format {
        Format::Yaml => serde_saphyr::to_string(value)
            .context("write YAML")?
            .trim_end()
            .to_owned(),
        _ => serde_json::to_string_pretty(value)?,
    };
    print_line(&text)
}

/// Prints a JSON value in one line, at once.
pub(crate) fn print_json_line(value: &Value) -> Result<()> {
    print_line(&value.to_string())
}

/// Prints a line, at once, so that a reader of a pipe has it.
pub(crate) fn print_line(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

fn table(items: &[Value], columns: &[Column]) -> String {
    let mut table = plain_table();
    table.set_header(columns.iter().map(|(head, _)| *head));
    for item in items {
        table.add_row(columns.iter().map(|(_, cell)| cell(item)));
    }
    trimmed(&table)
}

fn fields(item: &Value) -> String {
    let mut table = plain_table();
    let Some(object) = item.as_object() else {
        return text(item);
    };
    for (name, value) in object {
        table.add_row([name.clone(), text(value)]);
    }
    trimmed(&table)
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn trimmed(table: &Table) -> String {
    let lines: Vec<_> = table.lines().map(|line| line.trim().to_owned()).collect();
    lines.join("\n")
}

/// A value as the text of a cell: control characters are shown and not sent to the terminal.
pub(crate) fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().any(char::is_control) {
        text.escape_debug().to_string()
    } else {
        text
    }
}

/// A bar on standard error while a terminal watches.
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    /// Begins.
    pub(crate) fn new(what: &'static str) -> Self {
        let style = ProgressStyle::with_template("{spinner} {prefix}: {msg} ({elapsed})");
        let bar = style
            .ok()
            .filter(|_| io::stderr().is_terminal())
            .map(|style| {
                ProgressBar::new_spinner()
                    .with_style(style)
                    .with_prefix(what)
            });
        Self(bar)
    }

    /// Tells how many log entries and records were handled.
    pub(crate) fn tell(&mut self, entries: u64, records: u64) {
        if let Some(bar) = &self.0 {
            bar.set_message(format!("{entries} log entries, {records} records"));
            bar.tick();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A bar on standard error, while a terminal watches, of how many of so many things are done.
pub(crate) struct Count(Option<ProgressBar>);

impl Count {
    /// Begins.
    pub(crate) fn new(what: &'static str, of: usize) -> Self {
        let style = ProgressStyle::with_template("{prefix}: {bar:40} {pos} of {len} ({elapsed})");
        let bar = style
            .ok()
            .filter(|_| io::stderr().is_terminal())
            .map(|style| {
                ProgressBar::new(of as u64)
                    .with_style(style)
                    .with_prefix(what)
            });
        Self(bar)
    }

    /// Tells how many are done.
    pub(crate) fn tell(&mut self, done: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(done);
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
