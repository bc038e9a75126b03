//! Stores as files: where they are, how they are copied, read back and repaired.

mod adopt;
mod copy;
mod export;
mod import;
mod legacy_file;
mod location;
mod migrate;
mod ndjson;
mod open;
mod repair;
mod staging;
mod state;

pub use adopt::{Adopted, adopt};
pub use copy::{Copied, Progress, copy, read_back};
pub use export::{Exported, export_legacy, export_ndjson};
pub use import::{Imported, import_legacy, import_ndjson};
pub use legacy_file::{LegacyError, LegacyFile, Warning};
pub use location::{Location, Source};
pub use migrate::{Migrated, migrate};
pub use ndjson::ExportError;
pub use open::{Beside, Claim, Opened, Peer, Sharing};
pub use repair::{Repaired, repair};
