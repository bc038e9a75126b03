//! `harness instance import`: registers every instance of a file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use harness::client::ClientError;
use harness::core::model::InstanceSpec;
use registry_api::parse_strict;
use serde_json::{Value, json};

use super::super::client::Target;
use super::super::exit::{self, BadInput};
use super::super::output::{self, Count, Format};
use super::spec::check;

/// Most instances of one file.
const INSTANCES_MAX: usize = 1_000_000;
/// Longest line, in bytes; what the daemon takes by default.
const LINE_BYTES_MAX: u64 = 1024 * 1024;
/// Lines, and refusals, that are told one by one; the rest is counted.
const TOLD_MAX: usize = 100;

/// What `instance import` takes.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// A line for each instance, as `instance list -o ndjson` names its fields: service, instance_id, address, port, and
    /// what else it has; - for standard input.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Registers the good lines although others are bad. Without it nothing is changed then.
    #[arg(long)]
    skip_bad: bool,
    /// Reads and checks every line, and changes nothing.
    #[arg(long)]
    dry_run: bool,
}

/// A line that is no instance.
struct BadLine {
    number: usize,
    problem: String,
}

/// What was read.
#[derive(Default)]
struct Lines {
    /// The number of a line, and its instance.
    good: Vec<(usize, InstanceSpec)>,
    bad: Vec<BadLine>,
}

/// What became of the instances.
#[derive(Default)]
struct Imported {
    changed: u64,
    unchanged: u64,
    refused: usize,
    first_refusal: Option<anyhow::Error>,
}

pub(super) async fn run(target: &Target, args: &ImportArgs, format: Format) -> Result<ExitCode> {
    let from = args.from.clone();
    let lines = tokio::task::spawn_blocking(move || read(&from)).await??;
    tell_bad(&lines.bad);
    if !lines.bad.is_empty() && !args.skip_bad {
        let (bad, all) = (lines.bad.len(), lines.good.len() + lines.bad.len());
        let problem = format!(
            "{bad} of {all} lines are no instances; nothing was changed. --skip-bad registers the others"
        );
        return Err(BadInput(problem).into());
    }
    let skipped = lines.bad.len();
    let mut imported = Imported::default();
    if !args.dry_run {
        imported = register(target, &lines.good).await?;
    }
    let summary = json!({
        "imported": !args.dry_run,
        "instances": lines.good.len(),
        "changed": imported.changed,
        "unchanged": imported.unchanged,
        "refused": imported.refused,
        "skipped": skipped,
    });
    output::print_one(format, &summary)?;
    Ok(imported
        .first_refusal
        .map_or(ExitCode::SUCCESS, |error| exit::code_of(&error)))
}

fn tell_bad(bad: &[BadLine]) {
    for line in bad.iter().take(TOLD_MAX) {
        eprintln!("harness: line {}: {}", line.number, line.problem);
    }
    if bad.len() > TOLD_MAX {
        let more = bad.len() - TOLD_MAX;
        eprintln!("harness: and {more} more lines that are no instances");
    }
}

fn read(from: &Path) -> Result<Lines> {
    let reader: Box<dyn BufRead> = if from == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(from).with_context(|| format!("read {}", from.display()))?;
        Box::new(BufReader::new(file))
    };
    read_lines(reader).with_context(|| format!("read {}", from.display()))
}

fn read_lines(mut reader: Box<dyn BufRead>) -> Result<Lines> {
    let mut lines = Lines::default();
    let mut seen: HashMap<(String, String), usize> = HashMap::new();
    for number in 1.. {
        let mut line = Vec::new();
        let read = reader
            .by_ref()
            .take(LINE_BYTES_MAX + 1)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        if read as u64 > LINE_BYTES_MAX {
            let problem = format!("line {number}: expected at most {LINE_BYTES_MAX} bytes");
            return Err(BadInput(problem).into());
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        if lines.good.len() >= INSTANCES_MAX {
            let problem = format!("line {number}: expected at most {INSTANCES_MAX} instances");
            return Err(BadInput(problem).into());
        }
        let read = instance(&line).and_then(|spec| {
            let names = (spec.service.clone(), spec.instance_id.clone());
            match seen.insert(names, number) {
                None => Ok(spec),
                Some(first) => Err(format!("instance_id: line {first} is the same instance")),
            }
        });
        match read {
            Ok(spec) => lines.good.push((number, spec)),
            Err(problem) => lines.bad.push(BadLine { number, problem }),
        }
    }
    Ok(lines)
}

fn instance(line: &[u8]) -> Result<InstanceSpec, String> {
    let text = std::str::from_utf8(line).map_err(|error| format!("it is no UTF-8: {error}"))?;
    let spec: InstanceSpec = parse_strict(text)?;
    if spec.instance_id.is_empty() {
        let problem = "instance_id: expected an id, so that importing again changes nothing";
        return Err(problem.to_owned());
    }
    check(&spec).map_err(|error| error.to_string())?;
    Ok(spec)
}

async fn register(target: &Target, instances: &[(usize, InstanceSpec)]) -> Result<Imported> {
    let mut client = target.open(true).await?;
    let mut bar = Count::new("import", instances.len());
    let mut imported = Imported::default();
    let mut told = 0;
    let requests = instances
        .iter()
        .map(|(_, spec)| json!({ "instance": spec, "reason": "imported" }));
    let ended = client
        .call_each("register_instance", requests, |index, answered| {
            told += 1;
            bar.tell(told);
            imported.take(instances[index].0, answered);
        })
        .await;
    drop(bar);
    let closed = client.close().await;
    let count = instances.len();
    ended.with_context(|| {
        format!("{told} of {count} instances were answered; importing again goes on from there")
    })?;
    closed?;
    if imported.refused > TOLD_MAX {
        let more = imported.refused - TOLD_MAX;
        eprintln!("harness: and {more} more that were refused");
    }
    Ok(imported)
}

impl Imported {
    fn take(&mut self, line: usize, answered: Result<Value, ClientError>) {
        match answered {
            Ok(written) if written["changed"] == true => self.changed += 1,
            Ok(_) => self.unchanged += 1,
            Err(error) => {
                self.refused += 1;
                if self.refused <= TOLD_MAX {
                    eprintln!("harness: line {line}: {error}");
                }
                self.first_refusal.get_or_insert(error.into());
            }
        }
    }
}
