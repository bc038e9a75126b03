//! Findings as tables of Markdown, which read well in a terminal, too.

use std::fmt::Write as _;

use super::ratios;
use crate::bounds::WRITERS;
use crate::findings::{Figure, Findings, Workload};
use crate::peers::{BARE, DISK};
use crate::session::{BATCHERS, LISTERS, PIPELINED, WATCHERS};

pub(super) const NONE: &str = "-";

/// A table, with all columns but the first to the right.
pub(super) struct Table(String);

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        let mut table = Self(String::new());
        table.row(head);
        let right = "--:|".repeat(head.len() - 1);
        writeln!(table.0, "|---|{right}").expect("a String takes it");
        table
    }

    pub(super) fn row<T: AsRef<str>>(&mut self, cells: &[T]) {
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        writeln!(self.0, "| {} |", cells.join(" | ")).expect("a String takes it");
    }

    /// As Markdown.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// All that is told of a run beside the peers.
pub(crate) fn peers_text(all: &[Findings]) -> String {
    let mut parts = vec![told_of_run(all)];
    let clients = client_numbers(all);
    for (title, workload) in [
        ("Durable registrations a second", Workload::Register),
        ("Lookups a second", Workload::Lookup),
        ("Heartbeats a second", Workload::Beat),
    ] {
        parts.push(rates(title, all, workload, &clients));
    }
    parts.push(single_rows(all));
    parts.push(lists(all));
    parts.push(watches(all));
    parts.push(sizes(all));
    parts.push(ratios::text(all));
    parts.push(left_out(all));
    join(parts)
}

/// All that is told of the backends side by side.
pub(crate) fn daemon_text(all: &[Findings]) -> String {
    let mut parts = vec![told_of_run(all)];
    for (title, workload) in [
        ("Durable registrations", Workload::Register),
        ("Lookups", Workload::Lookup),
        ("Heartbeats", Workload::Beat),
    ] {
        parts.push(percentiles(title, all, workload));
    }
    parts.push(lists(all));
    parts.push(watches(all));
    parts.push(sizes(all));
    parts.push(left_out(all));
    join(parts)
}

pub(super) fn join(parts: Vec<String>) -> String {
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

pub(super) fn told_of_run(all: &[Findings]) -> String {
    let Some(first) = all.first() else {
        return "Nothing was measured.\n".to_owned();
    };
    let mut text = format!("{}\n", first.machine.sentence());
    let effort = effort(first);
    writeln!(text, "{effort}.").expect("a String takes it");
    for findings in all {
        let other = self::effort(findings);
        let Findings {
            subject, machine, ..
        } = findings;
        if machine.commit != first.machine.commit || other != effort {
            writeln!(
                text,
                "{subject} is of another run: {}, commit {}, {other}.",
                machine.date, machine.commit
            )
            .expect("a String takes it");
        }
    }
    text
}

/// How long and how often it was measured.
fn effort(findings: &Findings) -> String {
    let Findings {
        seconds, rounds, ..
    } = findings;
    match rounds {
        1 => format!("{seconds} s a measurement"),
        _ => format!("{seconds} s a measurement, the one in the middle of {rounds}"),
    }
}

/// Each subject with each of its protocols that was measured.
pub(super) fn faces(all: &[Findings]) -> impl Iterator<Item = (&Findings, &str, String)> {
    all.iter().flat_map(|findings| {
        let mut faces: Vec<&str> = vec![""];
        for point in &findings.points {
            if !faces.contains(&point.face.as_str()) {
                faces.push(&point.face);
            }
        }
        faces.into_iter().map(move |face| {
            let name = name(findings, face);
            (findings, face, name)
        })
    })
}

fn name(findings: &Findings, face: &str) -> String {
    let subject = &findings.subject;
    match face {
        "" if subject.starts_with("harness") => format!("{subject}, WebSocket"),
        "" => subject.clone(),
        face => format!("{subject}, {face}"),
    }
}

fn client_numbers(all: &[Findings]) -> Vec<usize> {
    let points = all.iter().flat_map(|findings| &findings.points);
    let lookups = points.filter(|point| point.workload == Workload::Lookup);
    let mut numbers: Vec<usize> = lookups.map(|point| point.clients).collect();
    numbers.sort_unstable();
    numbers.dedup();
    // The row of one pipelined connection is no column.
    numbers
}

/// Rates with each number of clients, and the latencies of the highest.
fn rates(title: &str, all: &[Findings], workload: Workload, clients: &[usize]) -> String {
    let mut head = vec![title.to_owned()];
    head.extend(clients.iter().map(|number| clients_of(*number)));
    head.extend(["p50, ms".to_owned(), "p99, ms".to_owned()]);
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = Table::new(&head);
    let mut is_empty = true;
    for (findings, face, name) in faces(all) {
        let found: Vec<_> = clients
            .iter()
            .map(|number| load(findings.find(workload, face, *number)))
            .collect();
        if found.iter().all(Option::is_none) {
            continue;
        }
        is_empty = false;
        let mut row = vec![name];
        row.extend(
            found
                .iter()
                .map(|found| found.map_or(NONE.to_owned(), |load| rate(load.per_second))),
        );
        let last = found.iter().rev().find_map(|found| *found);
        let latency = last.map(|load| load.latency);
        row.push(latency.map_or(NONE.to_owned(), |latency| millis(latency.p50_us)));
        row.push(latency.map_or(NONE.to_owned(), |latency| millis(latency.p99_us)));
        table.row(&row);
    }
    if is_empty { String::new() } else { table.0 }
}

fn percentiles(title: &str, all: &[Findings], workload: Workload) -> String {
    let mut table = Table::new(&[
        title, "clients", "a second", "p50, ms", "p95, ms", "p99, ms", "max, ms",
    ]);
    for (findings, face, name) in faces(all) {
        for point in &findings.points {
            let (true, Figure::Load(load)) = (
                point.workload == workload && point.face == face,
                point.figure,
            ) else {
                continue;
            };
            table.row(&[
                name.clone(),
                point.clients.to_string(),
                rate(load.per_second),
                millis(load.latency.p50_us),
                millis(load.latency.p95_us),
                millis(load.latency.p99_us),
                millis(load.latency.max_us),
            ]);
        }
    }
    table.0
}

/// Measurements that only some have.
fn single_rows(all: &[Findings]) -> String {
    let mut table = Table::new(&["Others", "a second"]);
    let mut is_empty = true;
    for (findings, face, name) in faces(all) {
        let mut rows = vec![
            (
                format!("{name}: lookups, {PIPELINED} under way on one connection"),
                findings.rate(Workload::LookupPipelined, face, 1),
            ),
            (
                format!("{name}: heartbeats in batches, {BATCHERS} clients"),
                findings.rate(Workload::BeatBatched, face, BATCHERS),
            ),
        ];
        rows.extend(WRITERS.map(|writers| {
            let row = format!("{name}: synced appends of 400 bytes, writers: {writers}");
            (row, findings.rate(Workload::Sync, face, writers))
        }));
        for (row, found) in rows {
            if let Some(found) = found {
                is_empty = false;
                table.row(&[row, rate(found)]);
            }
        }
    }
    if is_empty { String::new() } else { table.0 }
}

fn lists(all: &[Findings]) -> String {
    let title = format!("List of 10,000, {LISTERS} clients");
    let mut table = Table::new(&[
        &title,
        "lists a second",
        "MB a second",
        "p50, ms",
        "p99, ms",
    ]);
    for (findings, face, name) in faces(all) {
        if let Some(load) = load(findings.find(Workload::List, face, LISTERS)) {
            table.row(&[
                name,
                format!("{:.1}", load.per_second),
                format!("{:.0}", load.bytes_per_second / 1e6),
                millis(load.latency.p50_us),
                millis(load.latency.p99_us),
            ]);
        }
    }
    table.0
}

fn watches(all: &[Findings]) -> String {
    let mut table = Table::new(&[
        "Watch",
        "watchers",
        "p50, ms",
        "p99, ms",
        "server CPU per event, µs",
    ]);
    for (findings, face, name) in faces(all) {
        for watchers in WATCHERS {
            if let Some(Figure::Watch(watched)) = findings.find(Workload::Watch, face, watchers) {
                table.row(&[
                    name.clone(),
                    watchers.to_string(),
                    millis(watched.latency.p50_us),
                    millis(watched.latency.p99_us),
                    format!("{:.1}", watched.cpu_us_per_event),
                ]);
            }
        }
    }
    table.0
}

/// Start and memory.
fn sizes(all: &[Findings]) -> String {
    let records = all.first().map_or(0, |findings| findings.records);
    let head = format!("MiB at {}", grouped(&records.to_string()));
    let start = format!("Start with {}", grouped(&records.to_string()));
    let mut table = Table::new(&[
        &start,
        "clean, s",
        "after kill -9, s",
        "MiB at 10,000",
        &head,
        "KiB a record between",
    ]);
    for findings in all {
        let cells = [
            (Workload::StartClean, 1),
            (Workload::StartKilled, 1),
            (Workload::MemorySmall, 1),
            (Workload::MemoryLarge, 1),
        ]
        .map(|(workload, clients)| findings.find(workload, "", clients));
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let mut row = vec![findings.subject.clone()];
        row.extend(cells.map(|cell| match cell {
            Some(Figure::Seconds(seconds)) => format!("{seconds:.2}"),
            Some(Figure::Bytes(bytes)) => format!("{:.0}", mebibytes(*bytes)),
            _ => NONE.to_owned(),
        }));
        let growth = findings.growth();
        row.push(growth.map_or_else(|| NONE.to_owned(), |bytes| format!("{:.2}", bytes / 1024.0)));
        table.row(&row);
    }
    table.0
}

/// What was skipped, and what failed.
pub(super) fn left_out(all: &[Findings]) -> String {
    let mut text = String::new();
    for findings in all {
        if let Some(reason) = &findings.skipped {
            writeln!(text, "Skipped: {}: {reason}.", findings.subject).expect("a String takes it");
        }
        for problem in &findings.problems {
            writeln!(text, "Failed: {}: {problem}.", findings.subject).expect("a String takes it");
        }
    }
    for findings in all {
        if !findings.version.is_empty() && findings.subject != BARE && findings.subject != DISK {
            writeln!(text, "{}: {}.", findings.subject, findings.version)
                .expect("a String takes it");
        }
    }
    text
}

fn load(figure: Option<&Figure>) -> Option<&crate::load::Measured> {
    match figure? {
        Figure::Load(load) => Some(load),
        _ => None,
    }
}

fn clients_of(number: usize) -> String {
    if number == 1 {
        "1 client".to_owned()
    } else {
        format!("{number} clients")
    }
}

/// A rate, no more exact than it is.
pub(super) fn rate(per_second: f64) -> String {
    let step = if per_second >= 10_000.0 { 100.0 } else { 10.0 };
    thousands((per_second / step).round() * step)
}

pub(super) fn millis(micros: f64) -> String {
    if micros < 100.0 {
        format!("{:.3}", micros / 1000.0)
    } else {
        format!("{:.2}", micros / 1000.0)
    }
}

fn thousands(number: f64) -> String {
    grouped(&format!("{number:.0}"))
}

#[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

/// Digits in groups of three.
pub(super) fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_rounded() {
        assert_eq!(rate(1_234_567.0), "1,234,600");
        assert_eq!(rate(987.0), "990");
        assert_eq!(millis(42.0), "0.042");
        assert_eq!(millis(4200.0), "4.20");
    }

    #[test]
    fn columns_are_to_the_right_but_the_first() {
        let mut table = Table::new(&["a", "b"]);
        table.row(&["1", "2"]);
        assert_eq!(table.0, "| a | b |\n|---|--:|\n| 1 | 2 |\n");
    }
}
