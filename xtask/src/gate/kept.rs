//! What a release-sized run has answered so far.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::root;

/// The answers of a release-sized run, kept until the next commit: one that was interrupted goes on where it was.
pub(super) struct Kept {
    folder: Option<PathBuf>,
    pub(super) commit: String,
}

impl Kept {
    pub(super) fn none() -> Self {
        Self {
            folder: None,
            commit: String::new(),
        }
    }

    /// Those of the last commit that changed anything but documents.
    pub(super) fn of_commit() -> Result<Self> {
        const CODE: [&str; 3] = ["--", ".", ":!docs"];
        let changed = git(&[&["status", "--porcelain"][..], &CODE].concat())?;
        ensure!(changed.is_empty(), "commit first:\n{changed}");
        let commit = git(&[&["log", "-1", "--format=%h"][..], &CODE].concat())?;
        let kept = Self::at(&commit);
        if let Some(folder) = &kept.folder {
            fs::create_dir_all(folder).context("make a folder for the answers")?;
        }
        Ok(kept)
    }

    pub(super) fn at(commit: &str) -> Self {
        Self {
            folder: Some(root().join("target/gate").join(commit)),
            commit: commit.to_owned(),
        }
    }

    fn file(&self, name: &str, options: &[&str]) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        Some(folder.join(format!("{name} {}.json", options.join(" "))))
    }

    /// Where a run writes all that it says.
    pub(super) fn log(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.as_ref();
        let folder = folder.context("a run of tools keeps what they say")?;
        Ok(folder.join(format!("{name}.log")))
    }

    /// What was answered before.
    pub(super) fn known<T: DeserializeOwned>(
        &self,
        name: &str,
        options: &[&str],
    ) -> Result<Option<T>> {
        let Some(bytes) = self
            .file(name, options)
            .and_then(|file| fs::read(file).ok())
        else {
            return Ok(None);
        };
        Ok(Some(serde_json::from_slice(&bytes)?))
    }

    /// What was answered before, or else what the run answers now.
    pub(super) fn once<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        options: &[&str],
        run: impl FnOnce() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        if let Some(answer) = self.known(name, options)? {
            return Ok(Some(answer));
        }
        let answer = run()?;
        if let (Some(answer), Some(file)) = (&answer, self.file(name, options)) {
            fs::write(&file, serde_json::to_vec(answer)?).context("keep the answer")?;
        }
        Ok(answer)
    }
}

fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root())
        .output()
        .context("run git")?;
    ensure!(output.status.success(), "git ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
