//! Salvages what can still be read of a damaged store into a new one. The damaged one is never touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use registry_core::{
    Anchor, Finding, Head, Key, LogEntry, RegistryStore, RestorePage, Result, SCHEMA, Salvage,
    Seal, Tally, Versioned,
};

use super::copy::{Progress, read_back};
use super::location::{Location, Vacancy};
use super::staging::Staging;
use crate::backends;

/// What a repair saved.
#[derive(Debug)]
pub struct Repaired {
    /// The new store's head.
    pub head: Head,
    /// Log entries saved.
    pub entries: u64,
    /// Records saved.
    pub records: u64,
    /// What could not be saved.
    pub losses: Vec<Finding>,
}

/// Salvages `damaged` into `new`, which must not exist.
///
/// Saved are the records that can be read, and of the log the longest whole stretch up to its end. Records that the log
/// says more of are brought up to it, also by what can be read of it before that stretch.
///
/// # Errors
/// Those of the stores; `new` is not there then.
pub async fn repair(
    damaged: &Location,
    new: &Location,
    is_dry_run: bool,
    progress: Progress<'_>,
) -> Result<Repaired, crate::Error> {
    new.check_vacant()?;
    let Salvage {
        entries,
        records,
        mut losses,
    } = backends::salvage(damaged.backend, &damaged.path)?;
    let (earlier, log) = last_stretch(entries, &mut losses);
    let state = bring_up(records, &earlier, &log, &mut losses);
    let head = head_of(&log, &state);
    let repaired = Repaired {
        entries: log.len() as u64,
        records: state.len() as u64,
        head: head.clone(),
        losses,
    };
    if is_dry_run {
        return Ok(repaired);
    }
    let staging = Staging::begin(new, Vacancy::Empty)?;
    let built = staging.create()?;
    if !head.is_empty() {
        fill(&*built, &head, log, state, progress).await?;
    }
    read_back(&*built, &head).await?;
    built.close().await?;
    drop(built);
    staging.publish()?;
    Ok(repaired)
}

type Entries = Vec<Arc<LogEntry>>;

/// The entries before the last break, and the longest run of linked entries that ends with the newest one.
fn last_stretch(entries: Entries, losses: &mut Vec<Finding>) -> (Entries, Entries) {
    let (mut earlier, mut stretch) = (Entries::new(), Entries::new());
    for entry in entries {
        let continues = stretch.last().is_none_or(|last| {
            entry.previous == last.hash && entry.commit.revision == last.commit.revision.next()
        });
        if !entry.is_intact() || !continues {
            if let (Some(first), Some(last)) = (stretch.first(), stretch.last()) {
                losses.push(Finding {
                    place: format!(
                        "log entries {} to {}",
                        first.commit.revision, last.commit.revision
                    ),
                    problem: format!("the log is broken before entry {}", entry.commit.revision),
                });
            }
            earlier.append(&mut stretch);
        }
        if entry.is_intact() {
            stretch.push(entry);
        }
    }
    (earlier, stretch)
}

fn bring_up(
    records: Vec<Versioned>,
    earlier: &[Arc<LogEntry>],
    log: &[Arc<LogEntry>],
    losses: &mut Vec<Finding>,
) -> BTreeMap<Key, Versioned> {
    let mut state: BTreeMap<Key, Versioned> = records
        .into_iter()
        .map(|record| (record.key().clone(), record))
        .collect();
    // The records reflect everything up to the newest of them: what is not among them was removed since.
    let reflected = state.values().map(|record| record.modified).max();
    for entry in earlier {
        if Some(entry.commit.revision) > reflected {
            replay(entry, &mut state, losses);
        }
    }
    let uncertain = state
        .values()
        .filter(|record| Some(record.modified) > reflected)
        .count();
    if let (1.., Some(last)) = (uncertain, earlier.last()) {
        losses.push(Finding {
            place: format!("{uncertain} records"),
            problem: format!(
                "they are as of revision {}: what the lost log entries after it say of them is not known",
                last.commit.revision
            ),
        });
    }
    for entry in log {
        replay(entry, &mut state, losses);
    }
    state
}

/// Brings the records up to what an entry says of them.
fn replay(entry: &LogEntry, state: &mut BTreeMap<Key, Versioned>, losses: &mut Vec<Finding>) {
    let modified = entry.commit.revision;
    for change in &entry.commit.changes {
        let known = state
            .get(&change.key)
            .map(|record| (record.created, record.modified));
        if known.is_some_and(|(_, at)| at >= modified) {
            continue;
        }
        let Some(image) = &change.after else {
            state.remove(&change.key);
            continue;
        };
        let created = known.map_or(modified, |(created, _)| created);
        if known.is_none() && change.before.is_some() {
            let problem = format!("the commit that created it is not known; {modified} is taken");
            losses.push(Finding {
                place: change.key.to_string(),
                problem,
            });
        }
        let record = Versioned {
            image: Arc::clone(image),
            created,
            modified,
        };
        state.insert(change.key.clone(), record);
    }
}

fn head_of(log: &[Arc<LogEntry>], state: &BTreeMap<Key, Versioned>) -> Head {
    let newest = state
        .values()
        .map(|record| record.modified)
        .max()
        .unwrap_or_default();
    let mut tally = Tally::default();
    for record in state.values() {
        tally.add(record);
    }
    match (log.first(), log.last()) {
        (Some(first), Some(last)) if last.commit.revision >= newest => {
            let before = registry_core::Revision(first.commit.revision.0 - 1);
            Head {
                last: Anchor {
                    revision: last.commit.revision,
                    hash: last.hash,
                },
                compacted: Anchor {
                    revision: before,
                    hash: first.previous,
                },
                tally,
            }
        }
        // Records newer than the log that is left: the chain begins anew after them.
        _ => {
            let anchor = Anchor {
                revision: newest,
                hash: registry_core::Hash::default(),
            };
            Head {
                last: anchor,
                compacted: anchor,
                tally,
            }
        }
    }
}

async fn fill(
    store: &dyn RegistryStore,
    head: &Head,
    log: Entries,
    state: BTreeMap<Key, Versioned>,
    progress: Progress<'_>,
) -> Result<()> {
    let (mut entries, mut records) = (0, 0);
    let anchor = Some(head.compacted);
    store
        .restore(RestorePage {
            anchor,
            ..RestorePage::default()
        })
        .await?;
    let log = if head.last == head.compacted {
        Vec::new()
    } else {
        log
    };
    for page in log.chunks(500) {
        entries += page.len() as u64;
        store
            .restore(RestorePage {
                entries: page.to_vec(),
                ..RestorePage::default()
            })
            .await?;
        progress(entries, records);
    }
    let state: Vec<Versioned> = state.into_values().collect();
    for page in state.chunks(500) {
        records += page.len() as u64;
        store
            .restore(RestorePage {
                records: page.to_vec(),
                ..RestorePage::default()
            })
            .await?;
        progress(entries, records);
    }
    let seal = Some(Seal {
        head: head.clone(),
        schema: SCHEMA,
    });
    store
        .restore(RestorePage {
            seal,
            ..RestorePage::default()
        })
        .await
}
