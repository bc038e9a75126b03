//! Ratios of one run beside what they should be.

use std::fmt::Write as _;

use super::table::faces;
use crate::findings::{Figure, Findings, Workload};
use crate::peers::{BARE, DISK};
use crate::session::{BATCHERS, LISTERS};

/// What the ratios are of.
const CLIENTS: usize = 64;

/// A ratio that was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ratio {
    pub(super) what: String,
    pub(super) found: f64,
    /// None where it is told only.
    pub(super) wanted: Option<f64>,
}

/// Every ratio for which both sides were measured.
pub(super) fn text(all: &[Findings]) -> String {
    table(ratios(all))
}

/// Ratios as a table; nothing where there are none.
pub(super) fn table(ratios: Vec<Ratio>) -> String {
    if ratios.is_empty() {
        return String::new();
    }
    let mut text =
        String::from("| Ratio of this run | found | wanted | met |\n|---|--:|--:|---|\n");
    for Ratio {
        what,
        found,
        wanted,
    } in ratios
    {
        let (wanted, met) = match wanted {
            None => ("-".to_owned(), "-"),
            Some(wanted) if found >= wanted => (format!("{wanted}"), "yes"),
            Some(wanted) => (format!("{wanted}"), "no"),
        };
        writeln!(text, "| {what} | {found:.2} | {wanted} | {met} |").expect("a String takes it");
    }
    text
}

fn ratios(all: &[Findings]) -> Vec<Ratio> {
    let mut ratios = Vec::new();
    let mut add = |what: String, ours: Option<f64>, theirs: Option<f64>, wanted: Option<f64>| {
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            let found = ours / theirs;
            ratios.push(Ratio {
                what,
                found,
                wanted,
            });
        }
    };
    let redb = best(all, "harness redb", Workload::Register, CLIENTS);
    for (peer, wanted) in [("etcd", 3.0), ("zookeeper", 2.0), ("postgres", 2.0)] {
        let theirs = best(all, peer, Workload::Register, CLIENTS);
        add(
            format!("registrations: redb to {peer}"),
            redb,
            theirs,
            Some(wanted),
        );
    }
    let fastest = best(all, "harness", Workload::Register, CLIENTS);
    let redis = best(all, "redis", Workload::Register, CLIENTS);
    add(
        "registrations: the fastest backend to redis".into(),
        fastest,
        redis,
        Some(1.0),
    );
    let nats = best(all, "nats", Workload::Register, CLIENTS);
    add(
        "registrations: the fastest backend to nats, which does not sync".into(),
        fastest,
        nats,
        None,
    );
    let disk = best(all, DISK, Workload::Sync, 1);
    for (backend, wanted) in [("json", 0.55), ("redb", 0.28)] {
        let ours = best(all, &format!("harness {backend}"), Workload::Register, 1);
        add(
            format!("registrations, 1 client: {backend} to the disk's syncs"),
            ours,
            disk,
            Some(wanted),
        );
    }
    add_reads(all, &mut add);
    add_watches(all, &mut add);
    add_sizes(all, &mut add);
    ratios
}

type Add<'a> = dyn FnMut(String, Option<f64>, Option<f64>, Option<f64>) + 'a;

fn add_reads(all: &[Findings], add: &mut Add) {
    let http = most(all, |findings, face| {
        (is_ours(findings) && face == "HTTP")
            .then(|| findings.rate(Workload::Lookup, face, CLIENTS))?
    });
    let bare = best(all, BARE, Workload::Lookup, CLIENTS);
    add(
        "lookups over HTTP to the bare handler".into(),
        http,
        bare,
        Some(0.85),
    );
    let pipelined = best(all, "harness", Workload::LookupPipelined, 1);
    let redis = best(all, "redis", Workload::Lookup, CLIENTS);
    add(
        "lookups over one pipelined WebSocket to redis".into(),
        pipelined,
        redis,
        Some(1.0),
    );
    let beats = best(all, "harness", Workload::Beat, CLIENTS);
    add(
        "heartbeats, one a message, to the best peer".into(),
        beats,
        best_peer(all, Workload::Beat, CLIENTS),
        Some(1.0),
    );
    let batched = best(all, "harness", Workload::BeatBatched, BATCHERS);
    add(
        "heartbeats in batches to 500,000 a second".into(),
        batched,
        Some(500_000.0),
        Some(1.0),
    );
    let lists = best(all, "harness", Workload::List, LISTERS);
    add(
        "list of 10,000 to the best peer".into(),
        lists,
        best_peer(all, Workload::List, LISTERS),
        Some(1.3),
    );
}

/// Of latencies the ratio is theirs to ours, so that more is better throughout.
fn add_watches(all: &[Findings], add: &mut Add) {
    let least = |ours: bool, of: fn(&crate::load::Watched) -> f64| {
        let found = faces(all).filter(|(findings, ..)| is_ours(findings) == ours);
        let found = found.filter_map(|(findings, face, _)| {
            match findings.find(Workload::Watch, face, 100)? {
                Figure::Watch(watched) => Some(of(watched)),
                _ => None,
            }
        });
        found.reduce(f64::min)
    };
    let p99 = |watched: &crate::load::Watched| watched.latency.p99_us;
    let cpu = |watched: &crate::load::Watched| watched.cpu_us_per_event;
    add(
        "watch, 100 watchers, p99: the best peer's to ours".into(),
        least(false, p99),
        least(true, p99),
        Some(1.0),
    );
    add(
        "watch, 100 watchers, CPU per event: the best peer's to ours".into(),
        least(false, cpu),
        least(true, cpu),
        Some(1.0),
    );
}

fn add_sizes(all: &[Findings], add: &mut Add) {
    for findings in all.iter().filter(|findings| is_ours(findings)) {
        let seconds_max =
            if findings.subject.ends_with("redb") || findings.subject.ends_with("sqlite") {
                0.5
            } else {
                1.0
            };
        for (workload, name) in [
            (Workload::StartClean, "clean"),
            (Workload::StartKilled, "after kill -9"),
        ] {
            if let Some(Figure::Seconds(seconds)) = findings.find(workload, "", 1) {
                let what = format!("start, {name}: {seconds_max} s to {}", findings.subject);
                add(what, Some(seconds_max), Some(*seconds), Some(1.0));
            }
        }
        let what = format!("memory at 10,000: 30 MiB to {}", findings.subject);
        let memory = findings.bytes(Workload::MemorySmall);
        add(what, Some(30.0 * 1024.0 * 1024.0), memory, Some(1.0));
        if let Some(growth) = findings.growth() {
            let what = format!("memory for one more: 1 KiB to {}", findings.subject);
            add(what, Some(1024.0), Some(growth), Some(1.0));
        }
    }
    let program = |findings: &Findings| findings.bytes(Workload::Program);
    add(
        "the program: 20 MB to harness".into(),
        Some(20e6),
        all.iter().find_map(program),
        Some(1.0),
    );
}

fn is_ours(findings: &Findings) -> bool {
    findings.subject.starts_with("harness")
}

/// The highest rate of the subjects whose names begin so, over any of their protocols.
fn best(all: &[Findings], name: &str, workload: Workload, clients: usize) -> Option<f64> {
    most(all, |findings, face| {
        let is_meant = findings.subject.starts_with(name);
        is_meant.then(|| findings.rate(workload, face, clients))?
    })
}

fn best_peer(all: &[Findings], workload: Workload, clients: usize) -> Option<f64> {
    most(all, |findings, face| {
        let is_meant = !is_ours(findings) && findings.subject != BARE && findings.subject != DISK;
        is_meant.then(|| findings.rate(workload, face, clients))?
    })
}

fn most(all: &[Findings], rate: impl Fn(&Findings, &str) -> Option<f64>) -> Option<f64> {
    let found = faces(all).filter_map(|(findings, face, _)| rate(findings, face));
    found.reduce(f64::max)
}
