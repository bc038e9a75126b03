//! The files of a store.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Files by path within a folder.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Writes them into a folder.
pub(crate) fn write_files(folder: &Path, files: &Files) {
    for (place, content) in files {
        let path = folder.join(place);
        let parent = path.parent().expect("it is within the folder");
        fs::create_dir_all(parent).expect("the system has room for a folder");
        fs::write(path, content).expect("the system has room for a file");
    }
}

/// Every file below a folder but locks.
pub(crate) fn read_files(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(within) = folders.pop() {
        let listed = fs::read_dir(folder.join(&within)).expect("the folder can be listed");
        for file in listed {
            let place = within.join(file.expect("the folder can be listed").file_name());
            let path = folder.join(&place);
            if path.is_dir() {
                folders.push(place);
            } else if place
                .extension()
                .is_none_or(|extension| extension != "lock")
            {
                let content = fs::read(&path).expect("the file can be read");
                files.insert(place, content);
            }
        }
    }
    files
}
