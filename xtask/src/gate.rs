//! The gate: every rig at the size of a change or of a release, and the page that says what came of it.

mod kept;
mod tools;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::Value;

use self::kept::Kept;
use self::tools::Said;
use crate::generated::replace;
use crate::rigs::{self, Build};

const FILE: &str = "docs/reliability.md";
/// The slowest first: what others wait for begins early.
const BACKENDS: [&str; 4] = ["sled", "sqlite", "redb", "json"];
/// Seed of every rig; another one is tried by hand.
const SEED: &str = "1";

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// For each change: some minutes, with the programs that the tests were built with.
    Quick,
    /// Before a release: hours.
    Release,
}

impl Size {
    fn build(self) -> Build {
        match self {
            Self::Quick => Build::AsTests,
            Self::Release => Build::Fast,
        }
    }

    /// The options of the power-loss rig for one backend, run after run.
    fn powercut(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Quick => &[&[
                "--scenario",
                "all",
                "--cuts",
                "40",
                "--kills",
                "10",
                "--bit-flips",
                "20",
                "--controls",
            ]],
            Self::Release => &[
                &["--faults"],
                &["--scenario", "all", "--cuts", "2000"],
                &["--every-position"],
                &["--kills", "1000"],
                &["--bit-flips", "1000"],
                &["--controls"],
            ],
        }
    }

    /// Recorded of each subject, and their operations.
    fn histories(self, subject: &str) -> (&'static str, &'static str) {
        match (self, subject) {
            (Self::Quick, "engine") => ("50", "2000"),
            (Self::Quick, _) => ("2", "1000"),
            (Self::Release, "engine") => ("5000", "2000"),
            // Over seven subjects; each of them closes or kills owners all the time, which takes as long as it takes.
            (Self::Release, _) => ("30", "2000"),
        }
    }

    /// Rigs that run at the same time. They wait for disks more than they work.
    fn workers(self) -> usize {
        match self {
            Self::Quick => 1,
            Self::Release => 4,
        }
    }

    /// How long each target is fuzzed, in seconds.
    fn fuzz(self) -> &'static str {
        match self {
            Self::Quick => "5",
            Self::Release => "30",
        }
    }
}

/// What the power-loss rig says.
#[derive(Deserialize)]
struct Cuts {
    good: bool,
    rows: Vec<Row>,
    controls: Vec<Control>,
}

#[derive(Deserialize)]
struct Row {
    backend: String,
    scenario: String,
    runs: u64,
    lost: u64,
    half: u64,
    unopenable: u64,
    wrong: u64,
}

#[derive(Deserialize)]
struct Control {
    backend: String,
    setting: String,
    runs: u64,
    failed: u64,
}

/// What the rig of histories says.
#[derive(Deserialize)]
struct Recorded {
    subject: String,
    backend: String,
    histories: u64,
    operations: u64,
    finding: Option<String>,
}

/// Everything that was found out.
#[derive(Default)]
struct Findings {
    cuts: Vec<Cuts>,
    histories: Vec<Recorded>,
    problems: Vec<String>,
    tools: Vec<Said>,
    /// What was not run.
    missing: Vec<String>,
}

/// Runs everything, and fails where a promise was broken. At the size of a release it writes the page.
pub(crate) fn run(size: Size) -> Result<()> {
    let kept = match size {
        Size::Quick => Kept::none(),
        Size::Release => Kept::of_commit()?,
    };
    let mut findings = Findings::default();
    let runs = [cuts(size), histories(size)].concat();
    for (run, answer) in runs.iter().zip(ask_all(size, &kept, &runs)) {
        if let Some(answer) = answer? {
            findings.take(run, answer)?;
        }
    }
    let options = ["--seconds", size.fuzz(), "--seed", SEED];
    let fuzzed = kept.once("fuzz", &options, || {
        rigs::run("fuzz", size.build(), &options).map(Some)
    });
    if let Err(problem) = fuzzed {
        findings.problems.push(format!("{problem:#}"));
    }
    if size == Size::Release {
        // Twice: what the rigs found is written also where the tools are interrupted.
        replace(FILE, "gate", &page(&kept.commit, &findings)?)?;
        findings.problems.extend(tools::run(&kept, "")?);
        findings.tools = tools::said(&kept)?;
        replace(FILE, "gate", &page(&kept.commit, &findings)?)?;
    }
    eprint!("{}", tables(&findings));
    conclude(&findings.problems)
}

/// # Errors
/// Where something was found.
fn conclude(problems: &[String]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    bail!(
        "{} promises were broken:\n  {}",
        problems.len(),
        problems.join("\n  ")
    )
}

/// Runs the tools alone whose names begin so, such as in another clone while the rigs run in this one. Their answers are
/// kept for the page.
pub(crate) fn tools(prefix: &str) -> Result<()> {
    conclude(&tools::run(&Kept::of_commit()?, prefix)?)
}

/// Writes the page of what was answered at a commit so far, and names what is missing.
pub(crate) fn write_kept(commit: &str) -> Result<()> {
    let size = Size::Release;
    let kept = Kept::at(commit);
    let mut findings = Findings::default();
    for run in [cuts(size), histories(size)].concat() {
        match kept.known(run.rig, &run.options)? {
            Some(answer) => findings.take(&run, answer)?,
            None => findings.missing.push(run.command()),
        }
    }
    let fuzz = ["--seconds", size.fuzz(), "--seed", SEED];
    if kept.known::<Value>("fuzz", &fuzz)?.is_none() {
        let options = fuzz.join(" ");
        findings.missing.push(format!("cargo xtask fuzz {options}"));
    }
    findings.tools = tools::said(&kept)?;
    replace(FILE, "gate", &page(commit, &findings)?)
}

/// One run of a rig.
#[derive(Debug, Clone)]
struct Run {
    rig: &'static str,
    options: Vec<&'static str>,
}

impl Run {
    fn command(&self) -> String {
        format!("cargo xtask {} {}", self.rig, self.options.join(" "))
    }
}

fn cuts(size: Size) -> Vec<Run> {
    let runs = BACKENDS.iter().flat_map(|backend| {
        size.powercut().iter().map(|options| Run {
            rig: "powercut",
            options: [&["--backend", backend, "--seed", SEED][..], options].concat(),
        })
    });
    runs.collect()
}

fn histories(size: Size) -> Vec<Run> {
    let mut subjects = vec![("engine", "redb")];
    subjects.extend(["json", "redb", "sled"].map(|backend| ("attach", backend)));
    subjects.extend(BACKENDS.map(|backend| ("websocket", backend)));
    let runs = subjects.into_iter().map(|(subject, backend)| {
        let (histories, operations) = size.histories(subject);
        let options = vec![
            "--subject",
            subject,
            "--backend",
            backend,
            "--seed",
            SEED,
            "--histories",
            histories,
            "--operations",
            operations,
        ];
        Run {
            rig: "histories",
            options,
        }
    });
    runs.collect()
}

/// The answer of each run, in their order; none where the rig cannot run here.
fn ask_all(size: Size, kept: &Kept, runs: &[Run]) -> Vec<Result<Option<Value>>> {
    let next = AtomicUsize::new(0);
    let answers: Vec<_> = runs.iter().map(|_| OnceLock::new()).collect();
    thread::scope(|scope| {
        for _ in 0..size.workers() {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(run) = runs.get(number) else {
                        return;
                    };
                    eprintln!("{}", run.command());
                    let ask = || rigs::ask(run.rig, size.build(), &run.options);
                    let answer = kept.once(run.rig, &run.options, ask);
                    answers[number].set(answer).expect("each has one worker");
                }
            });
        }
    });
    let answers = answers.into_iter();
    answers
        .map(|answer| answer.into_inner().expect("every run was taken"))
        .collect()
}

impl Findings {
    fn take(&mut self, run: &Run, answer: Value) -> Result<()> {
        if run.rig == "powercut" {
            let cuts: Cuts = serde_json::from_value(answer)?;
            if !cuts.good {
                self.problems.push(run.command());
            }
            self.cuts.push(cuts);
            return Ok(());
        }
        let made: Recorded = serde_json::from_value(answer)?;
        if let Some(finding) = &made.finding {
            self.problems.push(format!("{}: {finding}", run.command()));
        }
        self.histories.push(made);
        Ok(())
    }
}

fn page(commit: &str, findings: &Findings) -> Result<String> {
    let mut text = format!("`cargo xtask gate` at commit {commit}, seed {SEED}.\n\n");
    text.push_str(&tables(findings));
    for problem in &findings.problems {
        writeln!(text, "\nBroken: {problem}")?;
    }
    for missing in &findings.missing {
        writeln!(text, "\nNot run yet: {missing}")?;
    }
    if !findings.tools.is_empty() {
        text.push_str("\n| tool | runs | not run yet | said |\n|---|--:|--:|---|\n");
    }
    for said in &findings.tools {
        let [runs, missing] = [said.runs, said.missing].map(|count| count.to_string());
        text.push_str(&format_row(&[said.name, &runs, &missing, &said.sum]));
    }
    Ok(text)
}

fn tables(findings: &Findings) -> String {
    let mut text = String::from(
        "| backend | tried | runs | acknowledgements lost | half commits | unopenable | wrong answers |\n|---|---|--:|--:|--:|--:|--:|\n",
    );
    for (key, sum) in sums(findings) {
        let (backend, scenario) = key;
        let [runs, lost, half, unopenable, wrong] = sum;
        text.push_str(&format_row(&[
            backend,
            scenario,
            &runs.to_string(),
            &lost.to_string(),
            &half.to_string(),
            &unopenable.to_string(),
            &wrong.to_string(),
        ]));
    }
    text.push_str("\n| backend | setting that must fail | runs | failed |\n|---|---|--:|--:|\n");
    for control in findings.cuts.iter().flat_map(|cuts| &cuts.controls) {
        let Control {
            backend,
            setting,
            runs,
            failed,
        } = control;
        text.push_str(&format_row(&[
            backend,
            setting,
            &runs.to_string(),
            &failed.to_string(),
        ]));
    }
    text.push_str(
        "\n| histories of | backend | histories | operations | findings |\n|---|---|--:|--:|--:|\n",
    );
    for made in &findings.histories {
        let found = u64::from(made.finding.is_some());
        text.push_str(&format_row(&[
            &made.subject,
            &made.backend,
            &made.histories.to_string(),
            &made.operations.to_string(),
            &found.to_string(),
        ]));
    }
    text
}

fn format_row(cells: &[&str]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// Runs, and what went wrong in them, by backend and scenario over all models of the disk.
fn sums(findings: &Findings) -> BTreeMap<(&str, &str), [u64; 5]> {
    let mut sums: BTreeMap<(&str, &str), [u64; 5]> = BTreeMap::new();
    for row in findings.cuts.iter().flat_map(|cuts| &cuts.rows) {
        let sum = sums.entry((&row.backend, &row.scenario)).or_default();
        let counts = [row.runs, row.lost, row.half, row.unopenable, row.wrong];
        for (sum, count) in sum.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    sums
}
