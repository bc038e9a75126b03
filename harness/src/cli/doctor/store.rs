//! Who holds the store, does it open, and does it add up?

use std::sync::Arc;

use harness::backends::{Backend, OpenOptions};
use harness::core::{
    ChangesRequest, ErrorKind, Head, Holder, PathLock, RecordPages, RegistryStore, Revision,
    SCHEMA, StoreError, Tally, Timestamp,
};
use harness::store::{Claim, Location, Opened, Source};
use rustix::process::{Pid, test_kill_process};

use super::check::Check;

/// Attempts to read a store at one revision while others write to it.
const READS_MAX: u32 = 5;
const DAMAGE_FIX: &str = "stop the daemon, copy the files elsewhere, then `harness registry verify --path P` and `harness registry repair --path P --to NEW`";

/// What was seen, and the time of the last commit where it could be read.
type Looked = (Vec<Check>, Option<Timestamp>);

/// Looks at a store without changing anything. One that the command line names must be there.
pub(super) async fn look(location: &Location, is_named: bool) -> Looked {
    if let Some(vacant) = vacancy(location, is_named) {
        return (vec![vacant], None);
    }
    let mut checks = Vec::new();
    let (holder, is_closed) = holder(location);
    checks.push(holder);
    if is_closed {
        let why = "its holder does not share it; ask the daemon with `harness registry info`, or stop it first";
        for check in ["store", "schema", "records"] {
            checks.push(Check::skipped(check, why));
        }
        return (checks, None);
    }
    let Opened { store, beside, .. } =
        match location.share(Claim::Read, &OpenOptions::read_only()).await {
            Ok(opened) => opened,
            Err(error) => {
                checks.push(refused(&error));
                return (checks, None);
            }
        };
    let reading = async {
        let last_commit = read(&store, location, &mut checks).await;
        // It was only read: what closing it could tell changes nothing.
        drop(store.close().await);
        last_commit
    };
    let last_commit = beside.during(reading).await;
    (checks, last_commit)
}

/// Tells where there is no store to look at.
fn vacancy(location: &Location, is_named: bool) -> Option<Check> {
    if let Source::Legacy(file) = Source::of(location.clone()) {
        let evidence = format!("{} is a registry file of the old form", file.display());
        let fix = "start the daemon, which makes a store of it, or use `harness registry migrate`";
        return Some(Check::warn("store", evidence, fix));
    }
    if location.exists() {
        return None;
    }
    let evidence = format!("there is nothing at {location}");
    Some(if is_named {
        Check::fail("store", evidence, "name the path of a store")
    } else {
        let fix =
            "none where this is the first start, which makes it; else correct `registry_path`";
        Check::warn("store", evidence, fix)
    })
}

/// Who holds the store, and whether it keeps others from reading it.
fn holder(location: &Location) -> (Check, bool) {
    if location.backend == Backend::Sqlite {
        let why = "several processes may share a store of this backend";
        return (Check::skipped("holder", why), false);
    }
    match PathLock::holder(location.backend.as_str(), &location.path) {
        Ok(None) => (Check::ok("holder", "nobody holds it"), false),
        Ok(Some(holder)) => (held(&holder), holder.socket.is_none()),
        Err(error) => {
            let fix = "let the user who runs this read the lock file";
            (Check::fail("holder", error.to_string(), fix), false)
        }
    }
}

fn held(holder: &Holder) -> Check {
    let pid = holder.pid.and_then(|pid| i32::try_from(pid).ok());
    let is_alive = pid
        .and_then(Pid::from_raw)
        .is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH));
    if is_alive {
        return Check::ok("holder", format!("{holder} holds it, and is alive"));
    }
    Check::warn(
        "holder",
        format!("{holder} holds it, and cannot be seen from here"),
        "look for it in other containers, or find a process that has the lock file open with `fuser`",
    )
}

fn refused(error: &StoreError) -> Check {
    let evidence = error.to_string();
    match error.kind() {
        ErrorKind::SchemaTooNew { .. } => {
            let fix = format!("use the newer program that wrote it; this one writes {SCHEMA}");
            Check::fail("schema", evidence, fix)
        }
        ErrorKind::Unsupported => {
            Check::fail("store", evidence, "use a build that has this backend")
        }
        ErrorKind::Locked(_) => Check::fail("store", evidence, "stop that process, or ask it"),
        ErrorKind::Unavailable | ErrorKind::NotFound => {
            let fix = "let the user who runs this read the files of the store";
            Check::fail("store", evidence, fix)
        }
        _ => Check::fail("store", evidence, DAMAGE_FIX),
    }
}

/// Reads the records and the last commit, and answers the time of that.
async fn read(
    store: &Arc<dyn RegistryStore>,
    location: &Location,
    checks: &mut Vec<Check>,
) -> Option<Timestamp> {
    let head = match store.head().await {
        Ok(head) => head,
        Err(error) => {
            checks.push(refused(&error));
            return None;
        }
    };
    let evidence = format!("{location} opens at revision {}", head.revision());
    checks.push(Check::ok("store", evidence));
    match add_up(&**store).await {
        Ok(sum) => checks.extend(sum.checks()),
        Err(error) => checks.push(Check::fail("records", error.to_string(), DAMAGE_FIX)),
    }
    match last_commit(&**store, &head).await {
        Ok(time) => time,
        Err(error) => {
            checks.push(Check::fail("log", error.to_string(), DAMAGE_FIX));
            None
        }
    }
}

/// What the records of a store add up to.
struct Sum {
    head: Head,
    found: Result<(), String>,
    /// Records that a newer program wrote.
    newer: u64,
    /// Whether the store stood still while it was read.
    is_settled: bool,
}

async fn add_up(store: &dyn RegistryStore) -> Result<Sum, StoreError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let before = store.head().await?;
        let (mut tally, mut newer) = (Tally::default(), 0);
        let mut pages = RecordPages::new(store);
        while let Some(page) = pages.next().await? {
            for record in &page.records {
                tally.add(record);
                newer += u64::from(!record.image.schema().is_known());
            }
        }
        let head = store.head().await?;
        let is_settled = head.revision() == before.revision();
        if is_settled || attempt == READS_MAX {
            let found = tally.compare(&head.tally);
            return Ok(Sum {
                head,
                found,
                newer,
                is_settled,
            });
        }
    }
}

impl Sum {
    fn checks(self) -> [Check; 2] {
        let schema = if self.newer == 0 {
            let evidence = format!("every record is of schema {SCHEMA} or older");
            Check::ok("schema", evidence)
        } else {
            let evidence = format!("{} records are of a schema after {SCHEMA}", self.newer);
            let fix = "change them with the newer program that wrote them; this one reads them";
            Check::warn("schema", evidence, fix)
        };
        let counts = &self.head.tally.counts;
        let counted: Vec<_> = counts
            .iter()
            .map(|(kind, n)| format!("{n} {kind}"))
            .collect();
        let counted = if counted.is_empty() {
            "no records".to_owned()
        } else {
            format!("records: {}", counted.join(", "))
        };
        let records = match self.found {
            _ if !self.is_settled => {
                let why = format!("others kept writing while it was read {READS_MAX} times");
                Check::skipped("records", why)
            }
            Ok(()) => Check::ok("records", format!("{counted}; they add up to the head")),
            Err(problem) => Check::fail("records", problem, DAMAGE_FIX),
        };
        [schema, records]
    }
}

/// The time of the last commit; none where the log has no entry left.
async fn last_commit(
    store: &dyn RegistryStore,
    head: &Head,
) -> Result<Option<Timestamp>, StoreError> {
    if head.last.revision <= head.compacted.revision {
        return Ok(None);
    }
    let request = ChangesRequest {
        after: Revision(head.last.revision.0 - 1),
        key: None,
        limit: 1,
    };
    let page = store.changes(request).await?;
    Ok(page.entries.first().map(|entry| entry.commit.cause.time))
}
