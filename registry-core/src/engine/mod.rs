//! The registry itself: command, plan, commit, view, events.
//!
//! ```text
//! command -> bounded queue -> driver: drain what waits
//!         -> plan against the working view (pure)
//!         -> store.commit(group): one durable flush
//!         -> publish the new view: one atomic pointer
//!         -> replies, then events, stamped with the commit's revision
//! ```
//!
//! Invariant: durable first, then visible, then the reply, then the events. Who got a reply reads their own write; who
//! saw an event of revision r reads a view of at least r.

mod barrier;
mod command;
mod config;
mod dependencies;
mod driver;
mod error;
mod event;
mod feed;
mod filter;
mod group;
mod load;
mod page;
mod plan;
mod registry;
mod retention;
mod search;
mod view;
mod watch;

pub use command::{Action, Command, Context, Expect, Reply, ServicePatch};
pub use config::EngineConfig;
pub use dependencies::{DEPENDENCIES_LISTED_MAX, Dependencies, Dependency, Direction};
pub use driver::Driver;
pub use error::RegistryError;
pub use event::{Event, EventKind};
pub use filter::Filter;
pub use page::{Cursor, LIST_PAGE_MAX, Page, PageRequest, take_page};
pub use plan::{Plan, plan};
pub use registry::{Registry, Stats};
pub use search::{LOG_PAGE_MAX, LOG_PAGES_READ_MAX, LogFilter, LogRequest};
pub use view::{Service, View};
pub use watch::{Watch, WatchEnd};
