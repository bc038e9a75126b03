//! May anybody but the owner read or write the files of the store?

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use harness::store::Location;

use super::check::Check;

/// What is added to a store's path for the files beside it.
const SUFFIXES: [&str; 5] = ["", ".lock", ".d", "-wal", "-shm"];
/// Folders below the store's own that are looked into; the backends make one.
const DEPTH_MAX: u32 = 4;
/// Files that are named in the evidence; the rest is counted.
const NAMED_MAX: usize = 5;

/// Looks at the modes of every file of a store.
pub(super) fn look(location: &Location) -> Check {
    let mut files = Files::default();
    for suffix in SUFFIXES {
        let mut path = location.path.clone().into_os_string();
        path.push(suffix);
        files.take(Path::new(&path), DEPTH_MAX);
    }
    if files.seen == 0 {
        return Check::skipped("file_modes", "there are no files");
    }
    if files.loose.is_empty() {
        let evidence = format!("{} files and folders are their owner's alone", files.seen);
        return Check::ok("file_modes", evidence);
    }
    let paths: Vec<_> = files
        .loose
        .iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    let fix = format!(
        "chmod go= {}",
        paths[..paths.len().min(NAMED_MAX)].join(" ")
    );
    if files.loose.iter().any(|(_, mode)| mode & 0o022 != 0) {
        return Check::fail("file_modes", files.evidence(), fix);
    }
    Check::warn("file_modes", files.evidence(), fix)
}

#[derive(Default)]
struct Files {
    seen: usize,
    /// Those that others may read or write, with their modes.
    loose: Vec<(PathBuf, u32)>,
}

impl Files {
    fn take(&mut self, path: &Path, depth: u32) {
        let Ok(metadata) = path.symlink_metadata() else {
            return;
        };
        // What a link leads to is somebody else's, and its own mode says nothing.
        if metadata.is_symlink() {
            return;
        }
        self.seen += 1;
        let mode = mode(&metadata);
        if mode & 0o077 != 0 {
            self.loose.push((path.to_path_buf(), mode));
        }
        if metadata.is_dir() && depth > 0 {
            let entries = path.read_dir().into_iter().flatten().flatten();
            entries.for_each(|entry| self.take(&entry.path(), depth - 1));
        }
    }

    fn evidence(&self) -> String {
        let named = self.loose.iter().take(NAMED_MAX);
        let named: Vec<_> = named
            .map(|(path, mode)| format!("{} has {mode:04o}", path.display()))
            .collect();
        let left_out = self.loose.len() - named.len();
        let more = match left_out {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        format!(
            "expected 0600 for files and 0700 for folders: {}{more}",
            named.join(", ")
        )
    }
}

fn mode(metadata: &Metadata) -> u32 {
    metadata.permissions().mode() & 0o777
}
