//! The stored form of the model, schema 1.
//!
//! Invariant: fields are appended with a default, never moved, renamed or removed. A variant is a number beside the
//! fields of every variant, so that an older reader meets a number it does not know and not a form it cannot read.

mod health;
mod instance;
mod keeper;
mod policy;
mod service;

pub(super) use self::instance::InstanceV1;
pub(super) use self::keeper::KeeperV1;
pub(super) use self::policy::PolicyV1;
pub(super) use self::service::ServiceV1;
