//! json has no engine below it: lines that are appended to a file, each synced.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Recording;

/// The lines of the log, with those that begin a segment. Snapshots and the projection are not among them.
pub(super) struct Lines {
    groups: Vec<Group>,
}

struct Group {
    line: Vec<u8>,
    commits: usize,
    /// The first line of a new file, where the group is the first one behind it.
    header: Option<Vec<u8>>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    group: Vec<IgnoredAny>,
}

pub(super) struct Appended {
    folder: PathBuf,
    file: Option<File>,
}

impl Recording for Lines {
    type Engine = Appended;

    fn read(store: &Path, _mean: f64) -> Result<Self> {
        let mut folder = store.as_os_str().to_owned();
        folder.push(".d");
        let mut segments: Vec<PathBuf> = fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        let is_segment = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("log-")
        };
        segments.retain(is_segment);
        // Named after their first revisions, in digits of one length.
        segments.sort_unstable();
        let mut groups = Vec::new();
        for segment in segments {
            let content = fs::read(&segment)?;
            let read = read_segment(&content, &mut groups);
            read.with_context(|| format!("read {}", segment.display()))?;
        }
        Ok(Self { groups })
    }

    fn sizes(&self) -> Vec<usize> {
        self.groups.iter().map(|group| group.commits).collect()
    }

    fn open(&self, folder: &Path) -> Result<Appended> {
        Ok(Appended {
            folder: folder.to_path_buf(),
            file: None,
        })
    }

    fn write(&self, engine: &mut Appended, group: usize) -> Result<()> {
        let Group { line, header, .. } = &self.groups[group];
        if let Some(header) = header {
            engine.begin(group, header)?;
        }
        let file = engine.file.as_mut().context("a segment to append to")?;
        file.write_all(line).context("append a group")?;
        file.sync_data().context("sync a group")
    }
}

fn read_segment(content: &[u8], groups: &mut Vec<Group>) -> Result<()> {
    let mut header = None;
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let commits = serde_json::from_slice::<Line>(line)?.group.len();
        if commits == 0 {
            header = Some(line.to_vec());
            continue;
        }
        groups.push(Group {
            line: line.to_vec(),
            commits,
            header: header.take(),
        });
    }
    Ok(())
}

impl Appended {
    /// Begins a segment, durable with its name.
    fn begin(&mut self, number: usize, header: &[u8]) -> Result<()> {
        let path = self.folder.join(format!("log-{number}"));
        let mut file = File::create_new(&path).context("begin a segment")?;
        file.write_all(header).context("begin a segment")?;
        file.sync_all().context("sync a segment")?;
        File::open(&self.folder)?
            .sync_all()
            .context("sync the folder")?;
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_segment_begins_with_its_header() {
        let one = b"{\"crc\":\"0\",\"header\":{}}\n{\"crc\":\"0\",\"group\":[1,2]}\n";
        let two = b"{\"crc\":\"0\",\"header\":{}}\n{\"crc\":\"0\",\"group\":[3]}\n";
        let mut groups = Vec::new();
        read_segment(one, &mut groups).unwrap();
        read_segment(two, &mut groups).unwrap();
        let found: Vec<_> = groups
            .iter()
            .map(|group| (group.commits, group.header.is_some()))
            .collect();
        assert_eq!(found, [(2, true), (1, true)]);
        assert!(read_segment(b"{\"group\":", &mut groups).is_err());
    }
}
