//! `harness registry`: stores as files.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use harness::backends::OpenOptions;
use harness::core::commit::check_compact;
use harness::core::{Anchor, ChangesRequest, Hash, OpenMode, RegistryStore, Revision};
use harness::store::{
    Claim, Location, Sharing, Source, Warning, export_legacy, export_ndjson, import_legacy,
    import_ndjson, migrate, repair,
};
use serde_json::{Value, json};

use super::client::Target;
use super::exit::{self, Usage};
use super::output::{self, Bar, Column, Format, text};

/// Verbs of `harness registry`.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Copies a store, or a registry file of the old form, to a target that does not exist yet.
    Migrate {
        /// Store or file to read: a path, or backend:path. It is only read.
        #[arg(long, value_name = "PATH")]
        from: String,
        /// Store to make.
        #[arg(long, value_name = "PATH")]
        to: String,
        /// Reads and checks everything, and writes nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Writes the services in the old form (.json), or everything (.ndjson).
    Export {
        /// Store to read.
        #[arg(long, value_name = "PATH")]
        from: String,
        /// File to write, or - for standard output as ndjson.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Puts the services of a file of the old form (.json) into a store, or makes a store of an export (.ndjson).
    Import {
        /// File to read, or - for standard input as ndjson.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// Store to write.
        #[arg(long, value_name = "PATH")]
        path: String,
        /// Reads and checks everything, and writes nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Reads everything and lists what is damaged; exit code 6 where something is.
    Verify {
        /// Store to read.
        #[arg(long, value_name = "PATH")]
        path: String,
        /// A revision and its hash that were written down before, to prove the log against.
        #[arg(long, value_name = "REVISION:HASH")]
        expect: Option<String>,
    },
    /// Tells what a store, or the registry of a running daemon, is and holds.
    Info {
        #[command(flatten)]
        target: Target,
    },
    /// Removes old entries of the log. The services stay.
    Compact {
        /// Store to write.
        #[arg(long, value_name = "PATH")]
        path: String,
        /// Removes the entries up to and with this revision.
        #[arg(long, value_name = "REVISION", required_unless_present = "keep")]
        through: Option<u64>,
        /// Removes all but the newest so many entries.
        #[arg(long, value_name = "COUNT", conflicts_with = "through")]
        keep: Option<u64>,
        /// Tells what would be removed.
        #[arg(long)]
        dry_run: bool,
    },
    /// Saves what can still be read of a damaged store into a new one.
    Repair {
        /// Damaged store. It is only read.
        #[arg(long, value_name = "PATH")]
        path: String,
        /// Store to make.
        #[arg(long, value_name = "PATH")]
        to: String,
        /// Tells what could be saved.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs a verb.
pub(crate) async fn run(verb: Verb, format: Format) -> Result<ExitCode> {
    match verb {
        Verb::Migrate { from, to, dry_run } => run_migrate(&from, &to, dry_run, format).await,
        Verb::Export { from, to } => run_export(&from, &to, format).await,
        Verb::Import {
            from,
            path,
            dry_run,
        } => run_import(&from, &path, dry_run, format).await,
        Verb::Verify { path, expect } => run_verify(&path, expect.as_deref(), format).await,
        Verb::Info { target } => run_info(&target, format).await,
        Verb::Compact {
            path,
            through,
            keep,
            dry_run,
        } => run_compact(&path, through, keep, dry_run, format).await,
        Verb::Repair { path, to, dry_run } => run_repair(&path, &to, dry_run, format).await,
    }
}

fn location(text: &str) -> Result<Location> {
    text.parse().map_err(|error| Usage(error).into())
}

/// A store to read. A file of the old form is none, and what it needs is told.
fn store_location(text: &str) -> Result<Location> {
    let location = location(text)?;
    match Source::of(location.clone()) {
        Source::Store(location) => Ok(location),
        Source::Legacy(file) => {
            let file = file.display();
            let problem = format!(
                "{file} is a registry file of the old form; make a store of it with `harness registry migrate --from {file} --to PATH`"
            );
            Err(Usage(problem).into())
        }
    }
}

async fn open(location: &Location, mode: OpenMode) -> Result<Arc<dyn RegistryStore>> {
    Ok(open_shared(location, mode).await?.0)
}

/// Opens a store, with its sharing where it is shared.
async fn open_shared(
    location: &Location,
    mode: OpenMode,
) -> Result<(Arc<dyn RegistryStore>, Option<Sharing>)> {
    let options = OpenOptions {
        mode,
        ..OpenOptions::default()
    };
    let opened = location.share(Claim::Own, &options).await?;
    tokio::spawn(opened.beside.run());
    let sharing = match &opened.shared {
        Some(shared) => Some(shared.sharing().await?),
        None => None,
    };
    Ok((opened.store, sharing))
}

fn warn(warnings: &[Warning]) {
    for warning in warnings {
        eprintln!("harness: {warning}");
    }
}

async fn run_migrate(from: &str, to: &str, is_dry_run: bool, format: Format) -> Result<ExitCode> {
    let (source, target) = (Source::of(location(from)?), location(to)?);
    let mut bar = Bar::new("migrate");
    let migrated = migrate(&source, &target, is_dry_run, &mut |entries, records| {
        bar.tell(entries, records);
    })
    .await?;
    drop(bar);
    warn(&migrated.warnings);
    let head = &migrated.head;
    output::print_one(
        format,
        &json!({
            "migrated": !is_dry_run,
            "from": from,
            "to": to,
            "records": head.tally.counts,
            "log_entries": migrated.entries,
            "revision": head.last.revision,
            "hash": head.last.hash,
            "digest": head.tally.digest,
            "warnings": migrated.warnings.len(),
        }),
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn run_export(from: &str, to: &Path, format: Format) -> Result<ExitCode> {
    let is_everything = match to.extension().and_then(|extension| extension.to_str()) {
        _ if to == Path::new("-") => true,
        Some("json") => false,
        Some("ndjson") => true,
        _ => {
            return Err(Usage(format!(
                "to: expected a name with .json or .ndjson, found {:?}",
                to.display()
            ))
            .into());
        }
    };
    let store = open(&store_location(from)?, OpenMode::ReadOnly).await?;
    let mut bar = Bar::new("export");
    let mut progress = |entries, records| bar.tell(entries, records);
    let exported = if is_everything {
        export_ndjson(&*store, to, &mut progress).await?
    } else {
        export_legacy(&*store, to, &mut progress).await?
    };
    drop(bar);
    store.close().await?;
    for (kind, count) in &exported.left_out {
        eprintln!("harness: left out: {count} of kind {kind}; the old form has services alone");
    }
    if to != Path::new("-") {
        let head = &exported.head;
        let left_out: u64 = exported.left_out.iter().map(|(_, count)| count).sum();
        output::print_one(
            format,
            &json!({
                "exported": to,
                "services": exported.services,
                "left_out": left_out,
                "revision": head.last.revision,
                "hash": head.last.hash,
            }),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn run_import(from: &Path, path: &str, is_dry_run: bool, format: Format) -> Result<ExitCode> {
    let target = location(path)?;
    let mut bar = Bar::new("import");
    let mut progress = |entries, records| bar.tell(entries, records);
    let is_everything = from == Path::new("-")
        || from
            .extension()
            .is_some_and(|extension| extension == "ndjson");
    let imported = if is_everything {
        let reader: Box<dyn Read + Send> = if from == Path::new("-") {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(from).with_context(|| format!("read {}", from.display()))?)
        };
        import_ndjson(BufReader::new(reader), &target, is_dry_run, &mut progress).await?
    } else {
        import_legacy(from, &target, is_dry_run, &mut progress).await?
    };
    drop(bar);
    warn(&imported.warnings);
    output::print_one(
        format,
        &json!({
            "imported": !is_dry_run,
            "changed": imported.changed,
            "unchanged": imported.unchanged,
            "revision": imported.head.last.revision,
            "warnings": imported.warnings.len(),
        }),
    )?;
    Ok(ExitCode::SUCCESS)
}

const FINDING_COLUMNS: &[Column] = &[
    ("PLACE", |row| text(&row["place"])),
    ("PROBLEM", |row| text(&row["problem"])),
];

async fn run_verify(path: &str, expect: Option<&str>, format: Format) -> Result<ExitCode> {
    let expected = expect.map(anchor).transpose()?;
    let store = open(&store_location(path)?, OpenMode::ReadOnly).await?;
    let mut report = store.verify().await?;
    if let Some(expected) = expected
        && let Err(problem) = prove(&*store, expected).await?
    {
        report.find(format_args!("log entry {}", expected.revision), problem);
    }
    store.close().await?;
    let is_clean = report.is_clean();
    let mut shown = json!(report);
    shown["clean"] = json!(is_clean);
    if format == Format::Table {
        let head = &report.head.last;
        let (entries, records) = (report.entries, report.records);
        output::print_line(&format!(
            "{}: {records} records, {entries} log entries, revision {}, hash {}",
            if is_clean { "clean" } else { "DAMAGED" },
            head.revision,
            head.hash
        ))?;
        let findings: Vec<Value> = shown["findings"].as_array().cloned().unwrap_or_default();
        if !findings.is_empty() {
            output::print_list(format, &findings, FINDING_COLUMNS)?;
        }
    } else {
        output::print_one(format, &shown)?;
    }
    Ok(if is_clean {
        ExitCode::SUCCESS
    } else {
        exit::damaged()
    })
}

fn anchor(text: &str) -> Result<Anchor> {
    let bad = || Usage(format!("expect: expected REVISION:HASH, found {text:?}"));
    let (revision, hash) = text.split_once(':').ok_or_else(bad)?;
    let revision: Revision = revision.parse().map_err(|_| bad())?;
    let hash: Hash = hash.parse().map_err(|_| bad())?;
    Ok(Anchor { revision, hash })
}

/// Compares the hash at a revision with one that was written down.
async fn prove(store: &dyn RegistryStore, expected: Anchor) -> Result<Result<(), String>> {
    let head = store.head().await?;
    if expected.revision < head.compacted.revision {
        let oldest = head.compacted.revision;
        return Ok(Err(format!(
            "it was compacted; the log begins after revision {oldest}"
        )));
    }
    let found = if expected.revision == head.compacted.revision {
        Some(head.compacted.hash)
    } else {
        let after = Revision(expected.revision.0 - 1);
        let page = store
            .changes(ChangesRequest {
                after,
                key: None,
                limit: 1,
            })
            .await?;
        page.entries.first().map(|entry| entry.hash)
    };
    Ok(match found {
        Some(hash) if hash == expected.hash => Ok(()),
        Some(hash) => Err(format!("expected hash {}, found {hash}", expected.hash)),
        None => Err(format!(
            "it is not there; the log ends at revision {}",
            head.last.revision
        )),
    })
}

async fn run_info(target: &Target, format: Format) -> Result<ExitCode> {
    let shown = if let Some(path) = target.path() {
        info_of_store(path).await?
    } else {
        let mut client = target.open(false).await?;
        let mut info = client.call("registry_info", &json!({})).await?;
        info["path"] = Value::Null;
        info
    };
    output::print_one(format, &shown)?;
    Ok(ExitCode::SUCCESS)
}

async fn info_of_store(path: &str) -> Result<Value> {
    let location = store_location(path)?;
    let (store, sharing) = open_shared(&location, OpenMode::ReadOnly).await?;
    let head = store.head().await?;
    let capabilities = store.capabilities().clone();
    store.close().await?;
    let this = std::process::id();
    let sharing = sharing.filter(|sharing| sharing.owner.pid != this);
    let attached = sharing
        .as_ref()
        .map_or(&[][..], |sharing| &sharing.attached);
    let attached: Vec<_> = attached.iter().filter(|peer| peer.pid != this).collect();
    Ok(json!({
        "owner": sharing.as_ref().map(|sharing| &sharing.owner),
        "socket": sharing.as_ref().map(|sharing| &sharing.socket),
        "attached": attached,
        "backend": capabilities.backend,
        "path": location.path,
        "revision": head.last.revision,
        "hash": head.last.hash,
        "compacted": head.compacted,
        "records": head.tally.counts,
        "digest": head.tally.digest,
        "durability": capabilities.durability,
        "capabilities": capabilities,
    }))
}

async fn run_compact(
    path: &str,
    through: Option<u64>,
    keep: Option<u64>,
    is_dry_run: bool,
    format: Format,
) -> Result<ExitCode> {
    let mode = if is_dry_run {
        OpenMode::ReadOnly
    } else {
        OpenMode::Open
    };
    let store = open(&store_location(path)?, mode).await?;
    let before = store.head().await?;
    let through = match (through, keep) {
        (Some(through), _) => Revision(through),
        (None, keep) => Revision(
            before
                .last
                .revision
                .0
                .saturating_sub(keep.unwrap_or_default()),
        ),
    };
    if is_dry_run {
        check_compact(store.capabilities().backend, through, &before)?;
    } else {
        store.compact(through).await?;
    }
    store.close().await?;
    let removed = through.0.saturating_sub(before.compacted.revision.0);
    output::print_one(
        format,
        &json!({
            "compacted": !is_dry_run,
            "through": through,
            "removed": removed,
            "revision": before.last.revision,
        }),
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn run_repair(path: &str, to: &str, is_dry_run: bool, format: Format) -> Result<ExitCode> {
    let (damaged, new) = (location(path)?, location(to)?);
    let mut bar = Bar::new("repair");
    let repaired = repair(&damaged, &new, is_dry_run, &mut |entries, records| {
        bar.tell(entries, records);
    })
    .await?;
    drop(bar);
    for loss in &repaired.losses {
        eprintln!("harness: lost: {}: {}", loss.place, loss.problem);
    }
    output::print_one(
        format,
        &json!({
            "repaired": !is_dry_run,
            "to": to,
            "records": repaired.records,
            "log_entries": repaired.entries,
            "losses": repaired.losses.len(),
            "revision": repaired.head.last.revision,
        }),
    )?;
    Ok(ExitCode::SUCCESS)
}
