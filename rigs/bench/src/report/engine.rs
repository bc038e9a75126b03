//! Findings of the registry in one process, as tables.

use super::ratios::{self, Ratio};
use super::table::{NONE, Table, grouped, join, left_out, millis, rate, told_of_run};
use crate::engine::{
    Committed, FACES, RENEWAL_SECONDS, REPLAYED, Replayed, THREADS, TTL_SECONDS, sizes,
};
use crate::findings::{Figure, Findings, Workload};

/// What a backend is to reach of the rate of its engine.
const OURS_TO_ENGINE: f64 = 0.8;
/// Most CPU time of a commit of json, in microseconds.
const JSON_CPU_US_MAX: f64 = 12.0;
const JSON: &str = "json";
/// Longest lookup among the larger set, in nanoseconds.
const LARGE_NANOS_MAX: f64 = 1000.0;
/// Lookups a second on two threads, in the smaller and in the larger set.
const TWO_THREADS_MIN: [f64; 2] = [10_000_000.0, 2_000_000.0];

/// All that is told of the registry in one process.
pub(crate) fn engine_text(all: &[Findings]) -> String {
    join(vec![
        told_of_run(all),
        registrations(all),
        engines(all),
        lookups(all),
        leases(all),
        ratios::table(ratios(all)),
        left_out(all),
    ])
}

fn registrations(all: &[Findings]) -> String {
    let mut table = Table::new(&[
        "Registrations",
        "callers",
        "a second",
        "commits a group",
        "CPU a commit, µs",
        "p50, ms",
        "p95, ms",
        "p99, ms",
        "max, ms",
    ]);
    let mut is_empty = true;
    for findings in all {
        for point in &findings.points {
            let Figure::Committed(committed) = point.figure else {
                continue;
            };
            is_empty = false;
            let latency = committed.latency;
            table.row(&[
                findings.subject.clone(),
                point.clients.to_string(),
                rate(committed.per_second),
                format!("{:.1}", committed.group_commands),
                format!("{:.1}", committed.cpu_us),
                millis(latency.p50_us),
                millis(latency.p95_us),
                millis(latency.p99_us),
                millis(latency.max_us),
            ]);
        }
    }
    unless(is_empty, table)
}

fn engines(all: &[Findings]) -> String {
    let mut table = Table::new(&[
        "The engine alone",
        "as for callers",
        "commits a second",
        "commits a group",
        "CPU a commit, µs",
        "harness to it",
    ]);
    let mut is_empty = true;
    for findings in all {
        for callers in REPLAYED {
            let Some(replayed) = replayed(findings, callers) else {
                continue;
            };
            is_empty = false;
            let ratio = ours_to_engine(findings, callers);
            table.row(&[
                findings.subject.clone(),
                callers.to_string(),
                rate(replayed.per_second),
                format!("{:.1}", replayed.group_commits),
                format!("{:.1}", replayed.cpu_us),
                ratio.map_or(NONE.to_owned(), |ratio| format!("{ratio:.2}")),
            ]);
        }
    }
    unless(is_empty, table)
}

fn lookups(all: &[Findings]) -> String {
    let mut table = Table::new(&[
        "Lookups",
        "services",
        "1 thread, ns each",
        "2 threads, a second",
    ]);
    let mut is_empty = true;
    for findings in all {
        for (face, services) in FACES.into_iter().zip(sizes(findings.records)) {
            for (workload, name) in CALLS {
                let [one, two] = THREADS.map(|threads| findings.rate(workload, face, threads));
                if one.is_none() && two.is_none() {
                    continue;
                }
                is_empty = false;
                table.row(&[
                    name.to_owned(),
                    grouped(&services.to_string()),
                    one.map_or(NONE.to_owned(), |rate| format!("{:.0}", 1e9 / rate)),
                    two.map_or(NONE.to_owned(), rate),
                ]);
            }
        }
    }
    unless(is_empty, table)
}

const CALLS: [(Workload, &str); 2] = [
    (Workload::Get, "`registry.get`"),
    (Workload::ViewGet, "`view.get`"),
];

fn leases(all: &[Findings]) -> String {
    let mut table = Table::new(&[
        "Leases",
        "instances",
        "CPU to renew all once, s",
        "one at a time, s",
        "CPU of ticks a second, s",
        "share of a core",
    ]);
    let mut is_empty = true;
    for findings in all {
        let Some(share) = share_of_a_core(findings) else {
            continue;
        };
        is_empty = false;
        let cell = |workload| {
            let seconds = seconds(findings, workload);
            seconds.map_or(NONE.to_owned(), |seconds| format!("{seconds:.4}"))
        };
        table.row(&[
            format!("of {TTL_SECONDS} s, renewed every {RENEWAL_SECONDS} s"),
            grouped(&findings.records.to_string()),
            cell(Workload::Renew),
            cell(Workload::RenewOne),
            cell(Workload::Ticks),
            format!("{share:.4}"),
        ]);
    }
    unless(is_empty, table)
}

fn unless(is_empty: bool, table: Table) -> String {
    if is_empty {
        String::new()
    } else {
        table.into_text()
    }
}

fn committed(findings: &Findings, callers: usize) -> Option<&Committed> {
    match findings.find(Workload::Commit, "", callers)? {
        Figure::Committed(committed) => Some(committed),
        _ => None,
    }
}

fn replayed(findings: &Findings, callers: usize) -> Option<&Replayed> {
    match findings.find(Workload::Replay, "", callers)? {
        Figure::Replayed(replayed) => Some(replayed),
        _ => None,
    }
}

fn ours_to_engine(findings: &Findings, callers: usize) -> Option<f64> {
    let ours = committed(findings, callers)?.per_second;
    Some(ours / replayed(findings, callers)?.per_second)
}

fn seconds(findings: &Findings, workload: Workload) -> Option<f64> {
    match findings.find(workload, "", 1)? {
        Figure::Seconds(seconds) => Some(*seconds),
        _ => None,
    }
}

/// Renewals and ticks together, in cores.
#[expect(clippy::cast_precision_loss, reason = "it is a small number")]
fn share_of_a_core(findings: &Findings) -> Option<f64> {
    let renewals = seconds(findings, Workload::Renew)? / RENEWAL_SECONDS as f64;
    Some(renewals + seconds(findings, Workload::Ticks)?)
}

/// As elsewhere more is better: of times it is the limit to ours.
fn ratios(all: &[Findings]) -> Vec<Ratio> {
    let mut ratios = Vec::new();
    for findings in all {
        let subject = &findings.subject;
        for callers in REPLAYED {
            ratios.extend(ours_to_engine(findings, callers).map(|found| Ratio {
                what: format!("registrations, {}: {subject} to its engine", told(callers)),
                found,
                wanted: (subject != JSON).then_some(OURS_TO_ENGINE),
            }));
        }
        let busy = committed(findings, 64).filter(|_| subject == JSON);
        ratios.extend(busy.map(|committed| Ratio {
            what: format!("CPU a commit, 64 callers: {JSON_CPU_US_MAX} µs to {subject}"),
            found: JSON_CPU_US_MAX / committed.cpu_us,
            wanted: Some(1.0),
        }));
        add_lookups(findings, &mut ratios);
        ratios.extend(share_of_a_core(findings).map(|share| Ratio {
            what: format!(
                "one core to {} leases",
                grouped(&findings.records.to_string())
            ),
            found: 1.0 / share,
            wanted: Some(1.0),
        }));
    }
    ratios
}

fn add_lookups(findings: &Findings, ratios: &mut Vec<Ratio>) {
    let sizes = sizes(findings.records).map(|size| grouped(&size.to_string()));
    for (workload, name) in CALLS {
        for ((face, size), least) in FACES.into_iter().zip(&sizes).zip(TWO_THREADS_MIN) {
            if let Some(found) = findings.rate(workload, face, THREADS[1]) {
                ratios.push(Ratio {
                    what: format!(
                        "{name} among {size}, 2 threads, to {} a second",
                        rate(least)
                    ),
                    found: found / least,
                    wanted: Some(1.0),
                });
            }
        }
        if let Some(rate) = findings.rate(workload, FACES[1], THREADS[0]) {
            ratios.push(Ratio {
                what: format!("{name} among {}: 1 µs to ours", sizes[1]),
                found: LARGE_NANOS_MAX * rate / 1e9,
                wanted: Some(1.0),
            });
        }
    }
}

fn told(callers: usize) -> String {
    if callers == 1 {
        "1 caller".to_owned()
    } else {
        format!("{callers} callers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::{Point, of_test};
    use crate::percentiles::Latencies;

    fn findings(subject: &str, points: Vec<(Workload, &str, usize, Figure)>) -> Findings {
        let points = points
            .into_iter()
            .map(|(workload, face, clients, figure)| Point {
                workload,
                face: face.into(),
                clients,
                figure,
            });
        of_test(subject, points.collect())
    }

    fn backend(subject: &str) -> Findings {
        let committed = Committed {
            per_second: 9000.0,
            group_commands: 31.64,
            cpu_us: 24.0,
            latency: Latencies::new().percentiles(),
        };
        let replayed = Replayed {
            per_second: 10_000.0,
            group_commits: 31.6,
            cpu_us: 6.0,
        };
        findings(
            subject,
            vec![
                (Workload::Commit, "", 64, Figure::Committed(committed)),
                (Workload::Replay, "", 64, Figure::Replayed(replayed)),
            ],
        )
    }

    #[test]
    fn backend_is_compared_with_its_engine() {
        let text = engine_text(&[backend("redb")]);
        assert!(
            text.contains("| redb | 64 | 9,000 | 31.6 | 24.0 |"),
            "{text}"
        );
        assert!(text.contains("| redb | 64 | 10,000 | 31.6 | 6.0 | 0.90 |"));
        assert!(text.contains("redb to its engine | 0.90 | 0.8 | yes |"));
        assert!(!text.contains("| Lookups |"), "{text}");
    }

    #[test]
    fn json_is_held_to_its_cpu_time() {
        let text = engine_text(&[backend("json")]);
        assert!(
            text.contains("json to its engine | 0.90 | - | - |"),
            "{text}"
        );
        assert!(text.contains("12 µs to json | 0.50 | 1 | no |"), "{text}");
    }

    #[test]
    fn lookups_are_told_in_nanoseconds_and_as_rates() {
        let points = vec![
            (Workload::Get, "large", 1, Figure::PerSecond(2_000_000.0)),
            (Workload::Get, "large", 2, Figure::PerSecond(3_000_000.0)),
        ];
        let text = engine_text(&[findings("lookups", points)]);
        let row = "| `registry.get` | 1,000,000 | 500 | 3,000,000 |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("1 µs to ours | 2.00 | 1 | yes |"), "{text}");
        assert!(text.contains("to 2,000,000 a second | 1.50 | 1 | yes |"));
    }

    #[test]
    fn share_of_a_core_is_of_renewals_and_ticks() {
        let points = vec![
            (Workload::Renew, "", 1, Figure::Seconds(0.5)),
            (Workload::Ticks, "", 1, Figure::Seconds(0.2)),
        ];
        let text = engine_text(&[findings("leases", points)]);
        assert!(text.contains("| 0.5000 | - | 0.2000 | 0.2500 |"), "{text}");
        assert!(text.contains("1,000,000 leases | 4.00 | 1 | yes |"));
    }
}
