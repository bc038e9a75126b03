//! The file at the path: the services in the legacy form, for people and for programs that read the old file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind as IoKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use registry_core::durable::{rename_durably, temporary_path};
use registry_core::legacy::write_legacy;
use registry_core::{ErrorKind, Hash, Head, Image, Result, Revision, StoreError, private_options};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error;
use crate::line::{read_only_line, replace_file, write_line};
use crate::schema::{PROJECTION_DELAY_MAX, PROJECTION_LIVE_RECORDS_MAX, projection_path};
use crate::snapshot::State;
use crate::store::BACKEND;

const TAG: &str = "projection";
const HASH_DIGITS: usize = 8;
const READ: &str = "read the projection";
/// Read or written at a time.
const BLOCK_BYTES: usize = 64 * 1024;

/// Hashes of contents that we wrote, or were about to write when the process ended.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Ours {
    hashes: Vec<Hash>,
}

/// The projection of a store, and what was noticed about it.
#[derive(Debug)]
pub(crate) struct Projection {
    path: PathBuf,
    folder: PathBuf,
    /// Held while the file is written.
    seen: Mutex<Seen>,
}

/// When the projection is written, as whoever writes it looks at the state in turns.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// When the first snapshot was written that it does not follow yet, on the monotonic clock.
    owed_since: Option<Duration>,
    /// Where the turn before found the state.
    revision: Revision,
}

impl Schedule {
    /// Whether to write it in this turn, which found the state at this head and perhaps wrote a snapshot.
    pub(crate) fn is_due(&mut self, head: &Head, has_snapshot: bool, now: Duration) -> bool {
        if has_snapshot {
            self.owed_since.get_or_insert(now);
        }
        let is_quiet = std::mem::replace(&mut self.revision, head.revision()) == head.revision();
        let is_small = head.tally.counts.total() <= PROJECTION_LIVE_RECORDS_MAX;
        let is_due = is_small
            || self
                .owed_since
                .is_some_and(|since| is_quiet || now.saturating_sub(since) >= PROJECTION_DELAY_MAX);
        if is_due {
            self.owed_since = None;
        }
        is_due
    }

    /// Whether another turn is needed, also where nothing is committed.
    pub(crate) fn is_owed(&self) -> bool {
        self.owed_since.is_some()
    }
}

#[derive(Debug, Default)]
struct Seen {
    ours: Ours,
    warnings: Vec<String>,
}

impl Projection {
    /// Looks at what was found at the path, by its hash. With `keep`, an edited file is kept under another name.
    pub(crate) fn open(
        path: &Path,
        folder: &Path,
        keep: bool,
        found: Option<Hash>,
    ) -> Result<Self> {
        let ours = if found.is_some() {
            // Without the hashes nothing is known to be ours, so the file is kept as if it were edited.
            read_only_line(TAG, &projection_path(folder)).unwrap_or_else(|error| {
                tracing::warn!(%error, "the hashes of the projection cannot be read");
                Ours::default()
            })
        } else {
            Ours::default()
        };
        let projection = Self {
            path: path.to_path_buf(),
            folder: folder.to_path_buf(),
            seen: Mutex::new(Seen {
                ours,
                warnings: Vec::new(),
            }),
        };
        projection.notice_edit(&mut projection.seen(), keep, found)?;
        Ok(projection)
    }

    /// What a person should know, oldest first.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.seen().warnings.clone()
    }

    /// Writes the file. A state that the legacy form cannot tell leaves it as it was.
    pub(crate) fn write(&self, state: &State) -> Result<()> {
        let mut seen = self.seen();
        let temporary = temporary_path(&self.path);
        let is_in_place = self.write_as(&temporary, state, &mut seen);
        if !matches!(is_in_place, Ok(true)) {
            // Where something went wrong it may not be there, and that is what is told.
            drop(std::fs::remove_file(&temporary));
        }
        is_in_place.map(drop)
    }

    /// Writes the file under another name, and gives it its own where that is another content. Answers whether it did.
    fn write_as(&self, temporary: &Path, state: &State, seen: &mut Seen) -> Result<bool> {
        let refused = error::io("write the projection", temporary);
        let (file, hash) = match write_hashed(temporary, state) {
            Ok(written) => written,
            Err(error) if error.kind() == IoKind::InvalidData => {
                let warning = format!("{} is not up to date: {error}", self.path.display());
                warn(seen, warning);
                return Ok(false);
            }
            Err(error) => return Err(refused(error)),
        };
        let found = hash_of_file(&self.path)?;
        let found = self.notice_edit(seen, true, found)?;
        if found == Some(hash) {
            return Ok(false);
        }
        file.sync_all().map_err(refused)?;
        // Both are ours until the new one is in place, whenever the process ends.
        seen.ours.hashes = found.into_iter().chain([hash]).collect();
        let line = write_line(TAG, &seen.ours);
        replace_file(&projection_path(&self.folder), &line)?;
        rename_durably(BACKEND, temporary, &self.path)?;
        Ok(true)
    }

    /// The hash of the file that is there, after an edited one was noticed.
    fn notice_edit(
        &self,
        seen: &mut Seen,
        keep: bool,
        found: Option<Hash>,
    ) -> Result<Option<Hash>> {
        if found.is_none_or(|hash| seen.ours.hashes.contains(&hash)) {
            return Ok(found);
        }
        let content = match std::fs::read(&self.path) {
            Ok(content) => content,
            Err(error) if error.kind() == IoKind::NotFound => return Ok(None),
            Err(error) => return Err(error::io(READ, &self.path)(error)),
        };
        let hash = hash_of(&content);
        let edited = self.edited_path(&hash);
        if keep && !edited.exists() {
            replace_file(&edited, &content)?;
        }
        let source = if keep { &edited } else { &self.path };
        let warning = format!(
            "{0} was edited by hand, which changes nothing in the registry. The edited file is {1}; to import it run \
             `harness registry import --from {1} --path {0}`",
            self.path.display(),
            source.display(),
        );
        warn(seen, warning);
        Ok(Some(hash))
    }

    fn edited_path(&self, hash: &Hash) -> PathBuf {
        let mut name: OsString = self.path.as_os_str().to_owned();
        name.push(".edited-");
        name.push(&hash.to_string()[..HASH_DIGITS]);
        PathBuf::from(name)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // A list and a set of hashes are never half-changed.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warn(seen: &mut Seen, warning: String) {
    if seen.warnings.last() != Some(&warning) {
        tracing::warn!("{warning}");
        seen.warnings.push(warning);
    }
}

/// The hash of a file as it is; none where nothing is there.
pub(crate) fn hash_of_file(path: &Path) -> Result<Option<Hash>> {
    let refused = |error| error::io(READ, path)(error);
    let mut file = match File::open(path) {
        Ok(file) => BufReader::with_capacity(BLOCK_BYTES, file),
        Err(error) if error.kind() == IoKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(error)),
    };
    let mut digest = Sha256::new();
    io::copy(&mut file, &mut digest).map_err(refused)?;
    Ok(Some(Hash(digest.finalize().into())))
}

/// Writes the services of a state to a file, and answers the hash of what it wrote: all of it in memory would be as much
/// again as the state.
fn write_hashed(path: &Path, state: &State) -> io::Result<(File, Hash)> {
    let mut options = private_options();
    let file = options.write(true).create(true).truncate(true).open(path)?;
    let hashing = Hashing {
        file,
        digest: Sha256::new(),
    };
    let mut writer = BufWriter::with_capacity(BLOCK_BYTES, hashing);
    let images = state.records.values().map(|record| &*record.image);
    write_legacy(&mut writer, images.filter_map(Image::as_service))?;
    let Hashing { file, digest } = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    Ok((file, Hash(digest.finalize().into())))
}

/// A file, and the digest of what was written to it.
struct Hashing {
    file: File,
    digest: Sha256,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn hash_of(content: &[u8]) -> Hash {
    Hash(Sha256::digest(content).into())
}

/// A file without a folder beside it is the old registry's or somebody else's: it is never converted in silence.
pub(crate) fn not_a_store(path: &Path) -> StoreError {
    let detail = "expected a store, found a file without its folder; a legacy file is taken over by \
                  `harness registry migrate --from FILE --to NEW`";
    StoreError::new(ErrorKind::Invalid, BACKEND, detail).at_path(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(revision: u64, records: u64) -> Head {
        let counts = format!(r#"{{"service":{records}}}"#);
        let mut head = Head::default();
        head.last.revision = Revision(revision);
        head.tally.counts = serde_json::from_str(&counts).expect("it is in the stored form");
        head
    }

    #[test]
    fn small_state_is_projected_in_each_turn() {
        let (mut schedule, now) = (Schedule::default(), Duration::ZERO);
        for revision in 1..4 {
            let head = head(revision, PROJECTION_LIVE_RECORDS_MAX);
            assert!(schedule.is_due(&head, revision == 2, now));
            assert!(!schedule.is_owed());
        }
    }

    #[test]
    fn large_state_is_projected_once_after_a_snapshot_when_commits_pause() {
        let (mut schedule, now) = (Schedule::default(), Duration::ZERO);
        let mut turn = |revision, has_snapshot| {
            let head = head(revision, PROJECTION_LIVE_RECORDS_MAX + 1);
            let is_due = schedule.is_due(&head, has_snapshot, now);
            (is_due, schedule.is_owed())
        };
        assert_eq!(turn(1, false), (false, false));
        assert_eq!(turn(1, false), (false, false));
        assert_eq!(turn(2, true), (false, true));
        assert_eq!(turn(3, true), (false, true));
        assert_eq!(turn(3, false), (true, false));
        assert_eq!(turn(3, false), (false, false));
    }

    #[test]
    fn commits_that_never_pause_put_it_off_for_so_long() {
        let mut schedule = Schedule::default();
        let mut turn = |revision: u64, now| {
            let head = head(revision, PROJECTION_LIVE_RECORDS_MAX + 1);
            schedule.is_due(&head, revision < 3, now)
        };
        assert!(!turn(1, PROJECTION_DELAY_MAX / 3));
        assert!(!turn(2, PROJECTION_DELAY_MAX));
        assert!(turn(3, PROJECTION_DELAY_MAX / 3 + PROJECTION_DELAY_MAX));
        assert!(!turn(4, 3 * PROJECTION_DELAY_MAX));
    }
}
