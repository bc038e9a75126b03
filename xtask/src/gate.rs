//! The gate: every rig at the size of a change or of a release, and the page that says what came of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::generated::replace;
use crate::rigs::{self, Build};
use crate::root;

const FILE: &str = "docs/reliability.md";
/// The slowest first: what others wait for begins early.
const BACKENDS: [&str; 4] = ["sled", "sqlite", "redb", "json"];
/// Seed of every rig; another one is tried by hand.
const SEED: &str = "1";
/// What cargo-mutants ends with where tests hung on a mutant, whether or not it missed another one.
const MUTANTS_HUNG: i32 = 3;

/// A tool of the release gate, which must be installed.
struct Tool {
    /// What it is run for.
    name: &'static str,
    /// What cargo is called with.
    arguments: &'static [&'static str],
    /// Runs that it is split into, so that one that is interrupted loses little.
    parts: usize,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "dependencies",
        arguments: &["deny", "check", "bans", "licenses", "sources"],
        parts: 1,
    },
    Tool {
        name: "coverage",
        arguments: &[
            "tarpaulin",
            "--engine",
            "llvm",
            // What the binary does for its tests counts, too.
            "--follow-exec",
            // What is covered is told also where a test fails, which is the tests' own to tell.
            "--no-fail-fast",
            "--workspace",
            // The rigs are no product, and what they call is not thereby tested.
            "--exclude",
            "fuzz",
            "--exclude",
            "histories",
            "--exclude",
            "models",
            "--exclude",
            "powercut",
            "--exclude",
            "xtask",
            "--exclude-files",
            "rigs/*",
            "--exclude-files",
            "xtask/*",
            // Criterion's, and run by no test.
            "--exclude-files",
            "registry-conformance/src/bench.rs",
            "--timeout",
            "900",
            "--fail-under",
            "90",
            "--out",
            "Stdout",
        ],
        parts: 1,
    },
    Tool {
        name: "mutants of codecs",
        arguments: &[
            "mutants",
            "--in-place",
            "--output",
            "target",
            "--package",
            "registry-core",
            "--file",
            "registry-core/src/revision.rs",
            "--file",
            "registry-core/src/codec/**/*.rs",
            "--",
            "--lib",
            "--test",
            "it",
        ],
        parts: 8,
    },
    // Cases of leases belong to the suite, and those of several processes need a store that they share.
    Tool {
        name: "mutants of leases",
        arguments: &[
            "mutants",
            "--in-place",
            "--output",
            "target",
            "--package",
            "registry-core",
            "--file",
            "registry-core/src/engine/lease/*.rs",
            "--test-package",
            "registry-core,registry-conformance,registry-sqlite",
            "--",
            "--tests",
            "--",
            "lease",
        ],
        parts: 16,
    },
];

impl Tool {
    /// The name and the arguments of each of its runs.
    fn runs(&self) -> impl Iterator<Item = (String, Vec<String>)> {
        (0..self.parts).map(|part| {
            let mut arguments: Vec<String> =
                self.arguments.iter().map(ToString::to_string).collect();
            if self.parts == 1 {
                return (self.name.to_owned(), arguments);
            }
            let shard = format!("{part}/{}", self.parts);
            arguments.splice(1..1, ["--shard".to_owned(), shard]);
            let name = format!("{}, part {} of {}", self.name, part + 1, self.parts);
            (name, arguments)
        })
    }
}

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
        run_tools(&kept, &mut findings);
        replace(FILE, "gate", &page(&kept.commit, &findings)?)?;
    }
    eprint!("{}", tables(&findings));
    conclude(&findings)
}

/// # Errors
/// Where something was found.
fn conclude(findings: &Findings) -> Result<()> {
    let problems = &findings.problems;
    if problems.is_empty() {
        return Ok(());
    }
    bail!(
        "{} promises were broken:\n  {}",
        problems.len(),
        problems.join("\n  ")
    )
}

/// Runs the tools alone, such as in another clone while the rigs run in this one. Their answers are kept for the page.
pub(crate) fn tools() -> Result<()> {
    let kept = Kept::of_commit()?;
    let mut findings = Findings::default();
    run_tools(&kept, &mut findings);
    conclude(&findings)
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
    for tool in TOOLS {
        let mut missing = 0;
        for (name, _) in tool.runs() {
            missing += usize::from(kept.known::<Value>("cargo", &[&name])?.is_none());
        }
        if missing > 0 {
            let line = match tool.parts {
                1 => tool.name.to_owned(),
                parts => format!("{}, {missing} of {parts} parts", tool.name),
            };
            findings.missing.push(line);
        }
    }
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

/// Runs the tools that a release needs. One that is missing is a problem like any other.
fn run_tools(kept: &Kept, findings: &mut Findings) {
    for (name, arguments) in TOOLS.iter().flat_map(Tool::runs) {
        let done = kept.once("cargo", &[&name], || {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut command = Command::new(cargo);
            let status = command.args(&arguments).current_dir(root()).status()?;
            let is_good = status.success()
                || (name.starts_with("mutants")
                    && status.code() == Some(MUTANTS_HUNG)
                    && is_none_missed()?);
            ensure!(is_good, "ended with {status}");
            Ok(Some(()))
        });
        if let Err(problem) = done {
            let command = arguments.join(" ");
            findings
                .problems
                .push(format!("cargo {command}: {problem:#}"));
        }
    }
}

/// Whether the last run of mutants missed none. A test that hangs on a mutant tells it from the code, too.
fn is_none_missed() -> Result<bool> {
    let file = root().join("target/mutants.out/missed.txt");
    let missed = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    Ok(missed.trim().is_empty())
}

/// The answers of a release-sized run, kept until the next commit: one that was interrupted goes on where it was.
struct Kept {
    folder: Option<PathBuf>,
    commit: String,
}

impl Kept {
    fn none() -> Self {
        Self {
            folder: None,
            commit: String::new(),
        }
    }

    /// Those of the last commit that changed anything but documents.
    fn of_commit() -> Result<Self> {
        const CODE: [&str; 3] = ["--", ".", ":!docs"];
        let changed = git(&[&["status", "--porcelain"][..], &CODE].concat())?;
        ensure!(changed.is_empty(), "commit first:\n{changed}");
        let commit = git(&[&["log", "-1", "--format=%h"][..], &CODE].concat())?;
        let kept = Self::at(&commit);
        if let Some(folder) = &kept.folder {
            fs::create_dir_all(folder).context("make a folder for the answers")?;
        }
        Ok(kept)
    }

    fn at(commit: &str) -> Self {
        Self {
            folder: Some(root().join("target/gate").join(commit)),
            commit: commit.to_owned(),
        }
    }

    fn file(&self, name: &str, options: &[&str]) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        Some(folder.join(format!("{name} {}.json", options.join(" "))))
    }

    /// What was answered before.
    fn known<T: DeserializeOwned>(&self, name: &str, options: &[&str]) -> Result<Option<T>> {
        let Some(bytes) = self
            .file(name, options)
            .and_then(|file| fs::read(file).ok())
        else {
            return Ok(None);
        };
        Ok(Some(serde_json::from_slice(&bytes)?))
    }

    /// What was answered before, or else what the run answers now.
    fn once<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        options: &[&str],
        run: impl FnOnce() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        if let Some(answer) = self.known(name, options)? {
            return Ok(Some(answer));
        }
        let answer = run()?;
        if let (Some(answer), Some(file)) = (&answer, self.file(name, options)) {
            fs::write(&file, serde_json::to_vec(answer)?).context("keep the answer")?;
        }
        Ok(answer)
    }
}

fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root())
        .output()
        .context("run git")?;
    ensure!(output.status.success(), "git ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
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
