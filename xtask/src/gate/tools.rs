//! The tools of the release gate: what each is called with, and what it said.

use std::env;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, Result, ensure};

use super::kept::Kept;
use crate::root;

/// Where the fuzz targets of libFuzzer are.
const FUZZ: &str = "rigs/fuzz";
/// What cargo-mutants ends with where tests hung on a mutant, whether or not it missed another one.
const MUTANTS_HUNG: i32 = 3;

/// A tool of the release gate, which must be installed.
pub(super) struct Tool {
    /// What it is run for.
    pub(super) name: &'static str,
    /// What cargo is called with.
    arguments: &'static [&'static str],
    /// The folder of the workspace that it runs in.
    folder: &'static str,
    environment: &'static [(&'static str, &'static str)],
    split: Split,
    /// What is in the line that sums a run up.
    sum: &'static str,
    good: Good,
}

/// The runs of a tool, so that one that is interrupted loses little.
enum Split {
    Whole,
    /// That many parts of the mutants.
    Shards(usize),
    /// One for each fuzz target.
    Targets,
}

/// When a run is good.
#[derive(Clone, Copy)]
enum Good {
    Success,
    /// Mutants, and none of them was missed. A test that hangs on a mutant tells it from the code, too.
    NoneMissed,
}

/// A run of a tool.
pub(super) struct Run {
    /// Names it among all runs.
    pub(super) name: String,
    arguments: Vec<String>,
    /// Folders, in that of the tool, which must be there.
    folders: Vec<String>,
}

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "dependencies",
        arguments: &["deny", "check", "bans", "licenses", "sources"],
        folder: ".",
        environment: &[],
        split: Split::Whole,
        sum: "bans ",
        good: Good::Success,
    },
    Tool {
        name: "WebSocket cases of Autobahn",
        arguments: &["xtask", "autobahn", "--all"],
        folder: ".",
        environment: &[],
        split: Split::Whole,
        sum: " cases: ",
        good: Good::Success,
    },
    Tool {
        name: "fuzzing with libFuzzer",
        // The sanitizers need another compiler, and no crate has unsafe code of its own.
        arguments: &["fuzz", "run", "-s", "none"],
        folder: FUZZ,
        // libFuzzer counts with flags that a stable compiler does not offer otherwise.
        environment: &[("RUSTC_BOOTSTRAP", "1")],
        split: Split::Targets,
        sum: "Done ",
        good: Good::Success,
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
        folder: ".",
        environment: &[],
        split: Split::Whole,
        sum: "% coverage",
        good: Good::Success,
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
        folder: ".",
        environment: &[],
        split: Split::Shards(8),
        sum: " mutants tested",
        good: Good::NoneMissed,
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
        folder: ".",
        environment: &[],
        split: Split::Shards(16),
        sum: " mutants tested",
        good: Good::NoneMissed,
    },
];

impl Good {
    fn is_met(self, status: ExitStatus) -> Result<bool> {
        match self {
            Self::NoneMissed if status.code() == Some(MUTANTS_HUNG) => {
                let file = root().join("target/mutants.out/missed.txt");
                let missed = fs::read_to_string(&file);
                let missed = missed.with_context(|| format!("read {}", file.display()))?;
                Ok(missed.trim().is_empty())
            }
            _ => Ok(status.success()),
        }
    }
}

impl Tool {
    pub(super) fn runs(&self) -> Result<Vec<Run>> {
        let arguments: Vec<String> = self.arguments.iter().map(ToString::to_string).collect();
        match self.split {
            Split::Whole => Ok(vec![Run {
                name: self.name.to_owned(),
                arguments,
                folders: Vec::new(),
            }]),
            Split::Shards(parts) => Ok((0..parts)
                .map(|part| {
                    let mut arguments = arguments.clone();
                    let shard = format!("{part}/{parts}");
                    arguments.splice(1..1, ["--shard".to_owned(), shard]);
                    let name = format!("{}, part {} of {parts}", self.name, part + 1);
                    Run {
                        name,
                        arguments,
                        folders: Vec::new(),
                    }
                })
                .collect()),
            Split::Targets => {
                let runs = fuzz_targets()?.into_iter().map(|target| {
                    let name = format!("{}, {target}", self.name);
                    let arguments = [arguments.clone(), fuzz_arguments(&target)].concat();
                    let folders = vec![found_inputs(&target)];
                    Run {
                        name,
                        arguments,
                        folders,
                    }
                });
                Ok(runs.collect())
            }
        }
    }

    /// Runs it once, and answers the line that sums it up. All that it says goes to a file.
    fn run(&self, run: &Run, log: &Path) -> Result<String> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let said = File::create(log).with_context(|| format!("write {}", log.display()))?;
        let folder = root().join(self.folder);
        for needed in &run.folders {
            fs::create_dir_all(folder.join(needed))
                .with_context(|| format!("make {needed} in {}", self.folder))?;
        }
        let mut command = Command::new(cargo);
        command.args(&run.arguments).current_dir(&folder);
        command.envs(self.environment.iter().copied());
        let status = command
            .stdout(said.try_clone()?)
            .stderr(said)
            .status()
            .context("run cargo")?;
        ensure!(
            self.good.is_met(status)?,
            "ended with {status}, see {}",
            log.display()
        );
        let said = fs::read_to_string(log)?;
        let sum = said.lines().rfind(|line| line.contains(self.sum));
        let sum = sum.with_context(|| {
            format!(
                "expected a line with {:?} in {}, found none",
                self.sum,
                log.display()
            )
        })?;
        Ok(sum.trim().to_owned())
    }
}

/// Every target has a folder of inputs.
fn fuzz_targets() -> Result<Vec<String>> {
    let folder = root().join(FUZZ).join("corpus");
    let entries = fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<String>>>()?;
    names.sort_unstable();
    Ok(names)
}

/// Where a target keeps what it has found.
fn found_inputs(target: &str) -> String {
    format!("fuzz/corpus/{target}")
}

/// The target, where new inputs go, where they begin, and for how long.
fn fuzz_arguments(target: &str) -> Vec<String> {
    let arguments = [
        target,
        &found_inputs(target),
        &format!("corpus/{target}"),
        "--",
        "-max_total_time=60",
        "-seed=1",
        // Stores are opened on a small disk in memory.
        "-rss_limit_mb=4096",
    ];
    arguments.map(str::to_owned).to_vec()
}

/// Runs the tools whose names begin so, and answers what went wrong. One that is missing is a problem like any other.
///
/// # Errors
/// No name begins so.
pub(super) fn run(kept: &Kept, prefix: &str) -> Result<Vec<String>> {
    let names = TOOLS.iter().map(|tool| tool.name).collect::<Vec<_>>();
    ensure!(
        names.iter().any(|name| name.starts_with(prefix)),
        "expected the beginning of one of {names:?}, found {prefix:?}"
    );
    let mut problems = Vec::new();
    for tool in TOOLS.iter().filter(|tool| tool.name.starts_with(prefix)) {
        for run in tool.runs()? {
            let log = kept.log(&run.name)?;
            let done = kept.once("tool", &[&run.name], || {
                let command = run.arguments.join(" ");
                eprintln!("cargo {command}");
                tool.run(&run, &log).map(Some)
            });
            if let Err(problem) = done {
                problems.push(format!("{}: {problem:#}", run.name));
            }
        }
    }
    Ok(problems)
}

/// What the runs of a tool said: their number, those that were not done yet, and their numbers added up.
pub(super) struct Said {
    pub(super) name: &'static str,
    pub(super) runs: usize,
    pub(super) missing: usize,
    pub(super) sum: String,
}

/// What is known of each tool.
pub(super) fn said(kept: &Kept) -> Result<Vec<Said>> {
    let said = TOOLS.iter().map(|tool| {
        let runs = tool.runs()?;
        let mut lines = Vec::new();
        for run in &runs {
            lines.extend(kept.known::<String>("tool", &[&run.name])?);
        }
        Ok(Said {
            name: tool.name,
            runs: runs.len(),
            missing: runs.len() - lines.len(),
            sum: add_up(&lines),
        })
    });
    said.collect()
}

/// One line as it is; of several, each number before a word, added up by the word.
fn add_up(lines: &[String]) -> String {
    if let [line] = lines {
        return line.clone();
    }
    let mut sums: Vec<(&str, u64)> = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split([' ', ',']).filter(|it| !it.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else {
                continue;
            };
            match sums.iter_mut().find(|(word, _)| *word == pair[1]) {
                Some((_, sum)) => *sum += number,
                None => sums.push((pair[1], number)),
            }
        }
    }
    let sums: Vec<String> = sums
        .iter()
        .map(|(word, sum)| format!("{sum} {word}"))
        .collect();
    sums.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_runs_are_added_up_by_what_they_count() {
        let one = ["91.5% coverage, 19/21 lines covered".to_owned()];
        assert_eq!(add_up(&one), one[0]);
        let several = [
            "27 mutants tested in 3m: 20 caught, 4 unviable, 3 timeouts".to_owned(),
            "26 mutants tested in 65s: 26 caught".to_owned(),
        ];
        assert_eq!(
            add_up(&several),
            "53 mutants, 46 caught, 4 unviable, 3 timeouts"
        );
    }
}
