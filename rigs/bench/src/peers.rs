//! harness beside its peers, in one run.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;
use tempfile::TempDir;

use crate::bounds;
use crate::findings::{Figure, Findings, Workload};
use crate::machine::Machine;
use crate::report::{Output, peers_text};
use crate::rounds::{Rounds, numbered};
use crate::session::{Plan, Topic, measure};
use crate::subject::{Harness, Subject, peers};

/// Name of the part, in files and on the page.
pub(crate) const PART: &str = "peers";
pub(crate) const DISK: &str = "disk";
pub(crate) const BARE: &str = "bare axum handler";
/// Body of an answer to a lookup, where none was measured in this run.
const ANSWER_BYTES: usize = 550;

/// Options that both parts take.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Subjects to measure, by name; harness is named by its backend
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,

    /// Length of a measurement
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,

    /// How often all of it is measured; the figures in the middle are told
    #[arg(long, default_value_t = 1)]
    pub(crate) rounds: usize,

    /// What is measured; all of it by default
    #[arg(long, value_delimiter = ',', value_name = "WORKLOAD")]
    workloads: Vec<Topic>,

    /// Numbers of clients
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    clients: Vec<usize>,

    /// Records of the larger data set
    #[arg(long, default_value_t = 100_000)]
    records: u64,

    #[command(flatten)]
    pub(crate) output: Output,
}

impl Options {
    pub(crate) fn plan(&self) -> Result<Plan> {
        let plan = Plan::new(self.seconds, self.clients.clone(), self.records)?;
        Ok(plan.only(self.workloads.clone()))
    }

    /// Whether a subject is asked for: by name, or else because it is so by default.
    pub(crate) fn wants(&self, name: &str, by_default: bool) -> bool {
        is_wanted(&self.only, name, by_default)
    }
}

/// Whether a subject is among those that are asked for by name, or is measured by default where none is.
pub(crate) fn is_wanted(only: &[String], name: &str, by_default: bool) -> bool {
    if only.is_empty() {
        return by_default;
    }
    only.iter().any(|only| only == name)
}

/// Measures each subject in turn, round by round.
pub(crate) fn run(options: &Options) -> Result<()> {
    let plan = options.plan()?;
    let place = place()?;
    let machine = Machine::look(place.path());
    let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
    for backend in ["redb", "json", "sled", "sqlite", "memory"] {
        if options.wants(backend, ["redb", "json"].contains(&backend)) {
            let backend = backend.to_owned();
            subjects.push(Box::new(Harness { backend }));
        }
    }
    let wanted = peers()
        .into_iter()
        .filter(|peer| options.wants(&peer.name(), true));
    subjects.extend(wanted);
    let mut rounds = Rounds::new(PART);
    for _ in numbered(options.rounds)? {
        if options.wants(DISK, true) {
            rounds.add(of_bound(DISK, &plan, &machine, &place, bounds::disk))?;
        }
        let mut wants_bare = options.wants("bare", true);
        for subject in &subjects {
            let findings = of_subject(&**subject, &plan, &machine, &place);
            let answer = answer_bytes(&findings);
            rounds.add(findings)?;
            // Beside the registry, and with an answer of its size.
            if let Some(bytes) = answer.filter(|_| wants_bare) {
                wants_bare = false;
                let bare = |plan: &Plan, folder: &Path, findings: &mut Findings| {
                    bounds::bare(bytes, plan, folder, findings)
                };
                rounds.add(of_bound(BARE, &plan, &machine, &place, bare))?;
            }
        }
    }
    let all = rounds.middle();
    options.output.tell(PART, &all, &peers_text(&all))
}

/// Body of an answer over HTTP; none of other servers than harness.
fn answer_bytes(findings: &Findings) -> Option<usize> {
    if !findings.subject.starts_with("harness") {
        return None;
    }
    let found = findings.points.iter().find_map(|point| match point.figure {
        Figure::Load(load) if point.workload == Workload::Lookup && point.face == "HTTP" => {
            Some(load.answer_bytes)
        }
        _ => None,
    });
    Some(found.unwrap_or(ANSWER_BYTES))
}

/// A folder of the disk that the tree is on; it goes when the run ends.
pub(crate) fn place() -> Result<TempDir> {
    fs::create_dir_all("target/bench")?;
    let place = TempDir::with_prefix_in("run-", "target/bench").context("make a folder")?;
    // A server that runs as another user has to reach its own folder in it.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(place.path(), open)?;
    Ok(place)
}

/// Measures one subject. What goes wrong is part of the findings.
pub(crate) fn of_subject(
    subject: &dyn Subject,
    plan: &Plan,
    machine: &Machine,
    place: &TempDir,
) -> Findings {
    let mut findings = empty(&subject.name(), plan, machine);
    if let Some(reason) = subject.missing() {
        eprintln!("{}: skipped: {reason}", findings.subject);
        findings.skipped = Some(reason);
        return findings;
    }
    findings.version = subject.version();
    fill(&mut findings, place, |folder, findings| {
        measure(subject, plan, folder, findings)
    });
    findings
}

/// Measures something that is no server. What goes wrong is part of the findings.
pub(crate) fn of_bound(
    name: &str,
    plan: &Plan,
    machine: &Machine,
    place: &TempDir,
    measure: impl FnOnce(&Plan, &Path, &mut Findings) -> Result<()>,
) -> Findings {
    let mut findings = empty(name, plan, machine);
    fill(&mut findings, place, |folder, findings| {
        measure(plan, folder, findings)
    });
    findings
}

fn empty(name: &str, plan: &Plan, machine: &Machine) -> Findings {
    Findings {
        subject: name.to_owned(),
        version: String::new(),
        machine: machine.clone(),
        records: plan.records,
        seconds: plan.time.as_secs_f64(),
        rounds: 1,
        skipped: None,
        problems: Vec::new(),
        points: Vec::new(),
    }
}

fn fill(
    findings: &mut Findings,
    place: &TempDir,
    measure: impl FnOnce(&Path, &mut Findings) -> Result<()>,
) {
    eprintln!("{}", findings.subject);
    let folder = place.path().join(findings.subject.replace(' ', "-"));
    let measured = std::path::absolute(&folder)
        .context("find the folder")
        .and_then(|folder| {
            fs::create_dir_all(&folder)?;
            measure(&folder, findings)
        });
    if let Err(error) = measured {
        eprintln!("  {error:#}");
        findings.problems.push(format!("{error:#}"));
    }
    // The disk is as empty for the next one; what cannot be removed goes with the whole place.
    let _ = fs::remove_dir_all(&folder);
}
