//! An input that broke a promise, kept with what it broke.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Longest description of a problem in a report, in characters; a replay tells all of it.
const SHOWN_CHARS_MAX: usize = 600;

/// An input that broke a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Name of the target.
    pub target: &'static str,
    /// The input.
    pub input: Vec<u8>,
    /// What happened.
    pub problem: String,
}

impl Finding {
    /// Writes the input to `findings/<target>-<hash>`, and answers where that is.
    ///
    /// # Errors
    /// The system's.
    pub fn save(&self) -> io::Result<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("findings");
        fs::create_dir_all(&folder)?;
        let hash = crc32fast::hash(&self.input);
        let path = folder.join(format!("{}-{hash:08x}", self.target));
        fs::write(&path, &self.input)?;
        Ok(path)
    }

    /// What a person reads: what happened, where the input is, and how to see it again.
    pub fn report(&self) -> String {
        let Self {
            target,
            input,
            problem,
        } = self;
        let place = match self.save() {
            Ok(path) => format!(
                "replay: cargo xtask fuzz --target {target} --replay {}",
                path.display()
            ),
            Err(error) => format!(
                "it could not be written ({error}): {}",
                input.escape_ascii()
            ),
        };
        let mut shown: String = problem.chars().take(SHOWN_CHARS_MAX).collect();
        if shown.len() < problem.len() {
            shown.push('…');
        }
        format!("{target}: {shown}\n  {} bytes; {place}", input.len())
    }
}
