//! The backends of this build: the only place that names every one of them.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use registry_core::{
    Durability, ErrorKind, MemoryStore, OpenMode, RegistryStore, Result, Salvage, StoreError,
};

/// A backend, in this build or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Ends with the process.
    Memory,
    /// Files that a person can read.
    Json,
    /// sled 0.34.7 with what it needs to be safe.
    Sled,
    /// redb: the default.
    Redb,
    /// SQLite, shared between processes.
    Sqlite,
}

impl Backend {
    /// Every backend.
    pub const ALL: [Self; 5] = [
        Self::Memory,
        Self::Json,
        Self::Sled,
        Self::Redb,
        Self::Sqlite,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Json => "json",
            Self::Sled => "sled",
            Self::Redb => "redb",
            Self::Sqlite => "sqlite",
        }
    }

    /// Whether this build has it.
    pub fn is_built_in(self) -> bool {
        match self {
            Self::Memory => true,
            Self::Json => cfg!(feature = "json"),
            Self::Sled => cfg!(feature = "sled"),
            Self::Redb => cfg!(feature = "redb"),
            Self::Sqlite => cfg!(feature = "sqlite"),
        }
    }

    /// The backend that is taken where none is named: redb, else the first that this build has.
    pub fn default_of_build() -> Self {
        let persistent = [Self::Redb, Self::Sqlite, Self::Json, Self::Sled];
        persistent
            .into_iter()
            .find(|backend| backend.is_built_in())
            .unwrap_or(Self::Memory)
    }

    /// The backend that a file name's extension names.
    pub fn of_extension(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "sled" => Some(Self::Sled),
            "redb" => Some(Self::Redb),
            "sqlite" | "sqlite3" | "db" => Some(Self::Sqlite),
            _ => None,
        }
    }

    /// Where it keeps what it is given, for the table of backends.
    pub fn kept_in(self) -> &'static str {
        match self {
            Self::Memory => "the process",
            Self::Json => "JSON lines in a folder, and one JSON file to read",
            Self::Sled => "a sled folder (0.34.7, hardened)",
            Self::Redb => "one redb file",
            Self::Sqlite => "one SQLite file in WAL mode",
        }
    }

    /// What an acknowledged commit survives by default, for the table of backends.
    pub fn durability(self) -> &'static str {
        match self {
            Self::Memory => "nothing",
            Self::Json | Self::Sled | Self::Redb | Self::Sqlite => "kill -9 and power loss",
        }
    }

    /// How many processes may open it at a time, for the table of backends.
    pub fn processes(self) -> &'static str {
        match self {
            Self::Memory => "one",
            Self::Json | Self::Sled | Self::Redb => {
                "many, on one host: one owns it, the others attach"
            }
            Self::Sqlite => "many, on one host",
        }
    }

    /// What it is for, for the table of backends.
    pub fn when(self) -> &'static str {
        match self {
            Self::Memory => "nothing needs to be kept: tests, caches",
            Self::Json => "people read and diff the data, or it is small",
            Self::Sled => "you have sled stores already",
            Self::Redb => "you have no reason for another: pure Rust, transactional, kept up",
            Self::Sqlite => "operators query the data with SQL, or several processes share it",
        }
    }

    /// The extension of a path that names no other.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Json => "json",
            Self::Sled => "sled",
            Self::Redb => "redb",
            Self::Sqlite => "sqlite",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|backend| backend.as_str() == text);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.into_iter().map(Self::as_str).collect();
            format!("expected one of {}, found {text:?}", names.join(", "))
        })
    }
}

/// How a store is opened, whatever the backend.
#[derive(Debug, Clone, Copy)]
pub struct OpenOptions {
    /// What may be created and written.
    pub mode: OpenMode,
    /// When a commit is safe.
    pub durability: Durability,
    /// Room for the engine's own cache, in bytes (S0-16).
    pub cache_bytes: usize,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            mode: OpenMode::OpenOrCreate,
            durability: Durability::Synced,
            cache_bytes: 64 * 1024 * 1024,
        }
    }
}

impl OpenOptions {
    /// Options that change nothing but read.
    pub fn read_only() -> Self {
        Self {
            mode: OpenMode::ReadOnly,
            ..Self::default()
        }
    }
}

/// Opens the store of a backend at a path. Blocks.
///
/// # Errors
/// Those of the backend; `Unsupported` where this build does not have it.
pub fn open(
    backend: Backend,
    path: &Path,
    options: &OpenOptions,
) -> Result<Arc<dyn RegistryStore>> {
    match backend {
        Backend::Memory => Ok(Arc::new(MemoryStore::new())),
        #[cfg(feature = "json")]
        Backend::Json => open_json(path, options),
        #[cfg(feature = "sled")]
        Backend::Sled => open_sled(path, options),
        #[cfg(feature = "redb")]
        Backend::Redb => open_redb(path, options),
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => open_sqlite(path, options),
        #[cfg(not(all(
            feature = "json",
            feature = "sled",
            feature = "redb",
            feature = "sqlite"
        )))]
        missing => Err(not_built_in(missing)),
    }
}

/// Reads what can still be read of a damaged store. Blocks, and writes nothing beside it.
///
/// # Errors
/// `NotFound`; `Unsupported` where this build does not have the backend.
pub fn salvage(backend: Backend, path: &Path) -> Result<Salvage> {
    match backend {
        Backend::Memory => Err(StoreError::new(
            ErrorKind::Unsupported,
            "memory",
            "nothing is kept that could be read",
        )),
        #[cfg(feature = "json")]
        Backend::Json => registry_json::salvage(path),
        #[cfg(feature = "sled")]
        Backend::Sled => registry_sled::salvage(path),
        #[cfg(feature = "redb")]
        Backend::Redb => registry_redb::salvage(path),
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => registry_sqlite::salvage(path),
        #[cfg(not(all(
            feature = "json",
            feature = "sled",
            feature = "redb",
            feature = "sqlite"
        )))]
        missing => Err(not_built_in(missing)),
    }
}

#[cfg(not(all(
    feature = "json",
    feature = "sled",
    feature = "redb",
    feature = "sqlite"
)))]
fn not_built_in(backend: Backend) -> StoreError {
    let detail = format!("this build has no backend {backend}; build it with --features {backend}");
    StoreError::new(ErrorKind::Unsupported, backend.as_str(), detail)
}

/// Opens one backend: its configuration has the same fields as every other's.
macro_rules! opener {
    ($feature:literal, $name:ident, $config:path, $store:path) => {
        #[cfg(feature = $feature)]
        fn $name(path: &Path, options: &OpenOptions) -> Result<Arc<dyn RegistryStore>> {
            type Config = $config;
            let OpenOptions {
                mode,
                durability,
                cache_bytes,
            } = *options;
            let config = Config {
                mode,
                durability,
                cache_bytes,
                ..Config::new(path)
            };
            Ok(Arc::new(<$store>::open(config)?))
        }
    };
}

opener!(
    "sled",
    open_sled,
    registry_sled::SledConfig,
    registry_sled::SledStore
);
opener!(
    "redb",
    open_redb,
    registry_redb::RedbConfig,
    registry_redb::RedbStore
);
opener!(
    "sqlite",
    open_sqlite,
    registry_sqlite::SqliteConfig,
    registry_sqlite::SqliteStore
);

#[cfg(feature = "json")]
fn open_json(path: &Path, options: &OpenOptions) -> Result<Arc<dyn RegistryStore>> {
    // It keeps its state in memory and has no cache.
    let OpenOptions {
        mode,
        durability,
        cache_bytes: _,
    } = *options;
    let config = registry_json::JsonConfig {
        mode,
        durability,
        ..registry_json::JsonConfig::new(path)
    };
    Ok(Arc::new(registry_json::JsonStore::open(config)?))
}
