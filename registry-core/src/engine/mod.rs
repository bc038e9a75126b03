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
mod by_name;
mod census;
mod choose;
mod command;
mod config;
mod confirmed;
mod dependencies;
mod dependents;
mod driver;
mod error;
mod event;
mod explain;
mod feed;
mod filter;
mod group;
mod histogram;
mod instance;
mod instance_filter;
mod instances;
mod lease;
mod load;
mod page;
mod plan;
mod registry;
mod retention;
mod search;
mod stats;
mod sync;
mod turns;
mod view;
mod watch;
mod watchers;

pub use census::Census;
pub use choose::{Place, Strategy, choose};
pub use command::{
    Action, Command, Context, Expect, InstanceAction, InstanceChange, Reply, ServicePatch,
};
pub use config::EngineConfig;
pub use dependencies::{DEPENDENCIES_LISTED_MAX, Dependencies, Dependency, Direction};
pub use driver::Driver;
pub use error::RegistryError;
pub use event::{Event, EventKind};
pub use explain::{Explanation, LeaseState, Reason};
pub use filter::Filter;
pub use histogram::Distribution;
pub use instance::Instance;
pub use instance_filter::InstanceFilter;
pub use instances::{Heartbeat, ResolveRequest, Resolved, register_action};
pub use lease::{LeaseConfig, LeasePolicy};
pub use page::{
    Cursor, InstanceCursor, InstancePage, InstancePageRequest, LIST_PAGE_MAX, Page, PageRequest,
    take_instances, take_page,
};
pub use plan::{Plan, plan};
pub use registry::Registry;
pub use search::{LOG_PAGE_MAX, LOG_PAGES_READ_MAX, LogFilter, LogRequest};
pub use stats::Stats;
pub use view::{Service, View};
pub use watch::{Watch, WatchEnd};
