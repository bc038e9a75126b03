//! Where a store is, and which backend it belongs to.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use registry_core::{ErrorKind, RegistryStore, Result, StoreError};

use crate::backends::{self, Backend, OpenOptions};

/// A path with the backend that its store belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The backend.
    pub backend: Backend,
    /// The file or folder.
    pub path: PathBuf,
}

/// Where something is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A store.
    Store(Location),
    /// A registry file of the old service registry: a JSON map, and no store.
    Legacy(PathBuf),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Two slashes at the beginning of a path would be taken for those of a URL.
        let slashes = if self.path.as_os_str().as_encoded_bytes().starts_with(b"//") {
            "//"
        } else {
            ""
        };
        write!(f, "{}:{slashes}{}", self.backend, self.path.display())
    }
}

/// `backend:path`, or a path whose extension, content or absence says which backend it is.
impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((scheme, path)) = text.split_once(':')
            && let Ok(backend) = scheme.parse::<Backend>()
        {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() && backend != Backend::Memory {
                Err(format!("{scheme}: expected a path after the colon"))
            } else {
                Ok(Self {
                    backend,
                    path: path.into(),
                })
            };
        }
        if text.is_empty() {
            return Err("expected a path, found nothing".to_owned());
        }
        Ok(Self::of_path(Path::new(text)))
    }
}

impl Location {
    /// The location of a path: by its extension, else by what is there, else the build's default backend.
    pub fn of_path(path: &Path) -> Self {
        let backend = Backend::of_extension(path)
            .or_else(|| sniff(path))
            .unwrap_or_else(Backend::default_of_build);
        Self {
            backend,
            path: path.to_path_buf(),
        }
    }

    /// Opens the store. Blocks.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn open(&self, options: &OpenOptions) -> Result<Arc<dyn RegistryStore>> {
        backends::open(self.backend, &self.path, options)
    }

    /// Whether something is there, be it a store or not.
    pub fn exists(&self) -> bool {
        self.path.symlink_metadata().is_ok()
            || (self.backend == Backend::Json && has_json_store(&self.path))
    }

    /// Checks that nothing is there.
    ///
    /// # Errors
    /// `Invalid` with the path.
    pub fn check_vacant(&self) -> Result<()> {
        if !self.exists() {
            return Ok(());
        }
        let detail =
            "expected nothing at the target, found something; name another target or move it away";
        Err(StoreError::new(ErrorKind::Invalid, self.backend.as_str(), detail).at_path(&self.path))
    }
}

/// What may be at the place of a store that is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vacancy {
    /// Nothing.
    Empty,
    /// Nothing, or a legacy file that the new store was made from: the JSON backend's projection replaces it.
    EmptyOrLegacy,
}

impl Vacancy {
    pub(super) fn check(self, target: &Location) -> Result<()> {
        let is_legacy = matches!(Source::of(target.clone()), Source::Legacy(_));
        if self == Self::EmptyOrLegacy && is_legacy {
            Ok(())
        } else {
            target.check_vacant()
        }
    }
}

impl Source {
    /// What a location is when it is read: a `.json` file without the folder of a store beside it is a legacy file.
    pub fn of(location: Location) -> Self {
        let is_legacy = location.backend == Backend::Json
            && !has_json_store(&location.path)
            && location.path.symlink_metadata().is_ok();
        if is_legacy {
            Self::Legacy(location.path)
        } else {
            Self::Store(location)
        }
    }
}

/// The folder in which the JSON backend keeps the truth.
fn has_json_store(path: &Path) -> bool {
    let mut folder = path.as_os_str().to_owned();
    folder.push(".d");
    Path::new(&folder).is_dir()
}

/// The backend of what is at a path, by its first bytes or by its files.
fn sniff(path: &Path) -> Option<Backend> {
    if has_json_store(path) {
        return Some(Backend::Json);
    }
    if path.is_dir() {
        return path.join("db").is_file().then_some(Backend::Sled);
    }
    // A pipe would be waited for.
    if !path.is_file() {
        return None;
    }
    let mut first = [0; 16];
    let read = File::open(path)
        .and_then(|mut file| file.read(&mut first))
        .ok()?;
    match &first[..read] {
        first if first.starts_with(b"SQLite format 3") => Some(Backend::Sqlite),
        first if first.starts_with(b"redb") => Some(Backend::Redb),
        first if first.trim_ascii_start().starts_with(b"{") => Some(Backend::Json),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Backend, String) {
        let location: Location = text.parse().unwrap();
        (location.backend, location.path.display().to_string())
    }

    #[test]
    fn scheme_then_extension_names_the_backend() {
        assert_eq!(parsed("redb:./a"), (Backend::Redb, "./a".into()));
        assert_eq!(
            parsed("sqlite:///var/x"),
            (Backend::Sqlite, "/var/x".into())
        );
        assert_eq!(parsed("a.sled"), (Backend::Sled, "a.sled".into()));
        assert_eq!(
            parsed("odd:name.json"),
            (Backend::Json, "odd:name.json".into())
        );
        assert_eq!(parsed("plain").0, Backend::default_of_build());
        assert!("sled:".parse::<Location>().is_err());
    }

    #[test]
    fn text_of_a_location_reads_back() {
        for text in [
            "redb:./a",
            "sqlite:/var/x",
            "json:////x",
            "memory:",
            "redb:redb:x",
            "odd:name.json",
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string().parse(), Ok(location), "{text}");
        }
    }

    #[test]
    fn content_names_the_backend_where_the_name_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry");
        std::fs::write(&path, b"SQLite format 3\0").unwrap();
        assert_eq!(Location::of_path(&path).backend, Backend::Sqlite);
        std::fs::write(&path, b" {}").unwrap();
        assert_eq!(Source::of(Location::of_path(&path)), Source::Legacy(path));
    }
}
