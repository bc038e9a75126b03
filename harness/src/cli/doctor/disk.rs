//! Has the disk room, and how long does a sync take?

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use harness::core::{Clock as _, SystemClock};
use harness::store::Location;
use rustix::fs::StatVfs;

use super::check::Check;

/// Free bytes below which a store may not take the next large group of commits.
const FREE_BYTES_FAIL: u64 = 64 * 1024 * 1024;
/// Free bytes below which somebody should make room.
const FREE_BYTES_WARN: u64 = 1024 * 1024 * 1024;
/// Free files below which a store may not make the files that it needs.
const FREE_FILES_FAIL: u64 = 16;
/// Median time of a sync above which every commit is felt; a local solid-state disk needs a tenth of it.
const SYNC_MEDIAN_WARN: Duration = Duration::from_millis(20);
/// Syncs that are measured; odd, so that there is a middle one.
const SYNC_ROUNDS: usize = 9;
/// Bytes that are written before each sync: a small commit.
const SYNC_BYTES: usize = 4096;

/// Looks at the disk of the store's folder.
pub(super) async fn look(location: &Location) -> Result<[Check; 2]> {
    let folder = folder_of(&location.path);
    let checks = tokio::task::spawn_blocking(move || [space(&folder), sync_latency(&folder)]);
    Ok(checks.await?)
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn space(folder: &Path) -> Check {
    // A folder that is still to be made will be on the disk of the one that it is made in.
    let existing = folder.ancestors().find(|folder| folder.exists());
    let existing = existing.unwrap_or(Path::new("."));
    match rustix::fs::statvfs(existing) {
        Ok(stat) => judge_space(&stat, existing),
        Err(error) => Check::skipped("disk_space", format!("{}: {error}", existing.display())),
    }
}

fn judge_space(stat: &StatVfs, folder: &Path) -> Check {
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let percent = stat.f_bavail.saturating_mul(100) / stat.f_blocks.max(1);
    let evidence = format!(
        "{free} bytes free, {percent} % of the disk of {}",
        folder.display()
    );
    let fix = "make room on that disk, or compact the log with `harness registry compact`";
    // Some file systems count no files and tell 0 of 0.
    if stat.f_files > 0 && stat.f_favail < FREE_FILES_FAIL {
        let evidence = format!("{evidence}; room for {} more files", stat.f_favail);
        return Check::fail("disk_space", evidence, "remove files that nobody needs");
    }
    if free < FREE_BYTES_FAIL {
        let evidence = format!("{evidence}; at least {FREE_BYTES_FAIL} bytes are needed");
        Check::fail("disk_space", evidence, fix)
    } else if free < FREE_BYTES_WARN {
        let evidence = format!("{evidence}; expected at least {FREE_BYTES_WARN} bytes");
        Check::warn("disk_space", evidence, fix)
    } else {
        Check::ok("disk_space", evidence)
    }
}

fn sync_latency(folder: &Path) -> Check {
    if !folder.is_dir() {
        let why = format!("there is no folder {}", folder.display());
        return Check::skipped("sync_latency", why);
    }
    match measure(folder) {
        Ok(times) => judge_sync(&times),
        Err(error) => {
            let evidence = format!("a file cannot be synced in {}: {error}", folder.display());
            let fix = "let the user of the daemon write to that folder";
            Check::fail("sync_latency", evidence, fix)
        }
    }
}

/// Times of syncs of a file that is removed again, in order.
fn measure(folder: &Path) -> io::Result<Vec<Duration>> {
    let mut file = tempfile::Builder::new()
        .prefix(".harness-doctor-")
        .tempfile_in(folder)?;
    let clock = SystemClock::new();
    let mut times = Vec::with_capacity(SYNC_ROUNDS);
    for _ in 0..SYNC_ROUNDS {
        let begun = clock.monotonic();
        file.write_all(&[0; SYNC_BYTES])?;
        file.as_file().sync_data()?;
        times.push(clock.monotonic().saturating_sub(begun));
    }
    file.close()?;
    times.sort();
    Ok(times)
}

fn judge_sync(times: &[Duration]) -> Check {
    let millis = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    let median = times.get(times.len() / 2);
    let evidence = format!(
        "median {:.3} ms, longest {:.3} ms of {} syncs of {SYNC_BYTES} bytes",
        millis(median),
        millis(times.last()),
        times.len()
    );
    if median.is_some_and(|median| *median > SYNC_MEDIAN_WARN) {
        let threshold = SYNC_MEDIAN_WARN.as_millis();
        let evidence = format!("{evidence}; expected a median of at most {threshold} ms");
        let fix = "move the store to a faster disk, or set `durability = \"interval\"` where the last second may be lost";
        return Check::warn("sync_latency", evidence, fix);
    }
    Check::ok("sync_latency", evidence)
}

#[cfg(test)]
mod tests {
    use super::super::check::Status;
    use super::*;

    #[test]
    fn median_decides_and_not_the_longest() {
        let quick = Duration::from_millis(1);
        let slow = SYNC_MEDIAN_WARN + quick;
        assert_eq!(judge_sync(&[quick, quick, slow]).status, Status::Ok);
        assert_eq!(judge_sync(&[quick, slow, slow]).status, Status::Warn);
        assert_eq!(judge_sync(&[SYNC_MEDIAN_WARN; 3]).status, Status::Ok);
    }

    #[test]
    fn little_room_is_told_before_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut stat = rustix::fs::statvfs(folder.path()).unwrap();
        (stat.f_frsize, stat.f_blocks) = (1, 100 * FREE_BYTES_WARN);
        (stat.f_files, stat.f_favail) = (1000, 1000);
        let mut judged = |free| {
            stat.f_bavail = free;
            judge_space(&stat, folder.path()).status
        };
        assert_eq!(judged(FREE_BYTES_WARN), Status::Ok);
        assert_eq!(judged(FREE_BYTES_WARN - 1), Status::Warn);
        assert_eq!(judged(FREE_BYTES_FAIL - 1), Status::Fail);
        stat.f_bavail = FREE_BYTES_WARN;
        stat.f_favail = 0;
        assert_eq!(judge_space(&stat, folder.path()).status, Status::Fail);
        stat.f_files = 0;
        assert_eq!(judge_space(&stat, folder.path()).status, Status::Ok);
    }
}
