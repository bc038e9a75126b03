//! An instance as flags.

use anyhow::{Result, anyhow};
use clap::Args;
use harness::core::model::InstanceSpec;
use harness::core::{Revision, Span, Timestamp};

use super::super::exit::Usage;

/// What `instance register` registers.
#[derive(Debug, Args)]
pub(crate) struct SpecArgs {
    /// The service, or role, that it is a copy of.
    service: String,
    /// Unique within the service; without it a new one (UUID v7) is made.
    id: Option<String>,
    /// Host name or IP address.
    #[arg(long, value_name = "HOST")]
    address: String,
    /// Port.
    #[arg(long, value_name = "PORT")]
    port: u16,
    /// Failure domain within the region.
    #[arg(long, value_name = "NAME", default_value = "")]
    zone: String,
    /// Region.
    #[arg(long, value_name = "NAME", default_value = "")]
    region: String,
    /// Share of the traffic, relative to its neighbours: 0 to 10000, 100 where it is not said.
    #[arg(long, value_name = "NUMBER")]
    weight: Option<u32>,
    /// A short mark to filter by; may be repeated.
    #[arg(long, value_name = "TEXT")]
    tag: Vec<String>,
    /// Whatever else there is to say; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Version of what runs.
    #[arg(long, value_name = "TEXT", default_value = "")]
    version: String,
    /// How long it stays listed after a heartbeat: 1s to 24h, 90s where it is not said.
    #[arg(long, value_name = "TIME", value_parser = span)]
    ttl: Option<Span>,
    /// Which start of the instance this is: a later one has a higher number.
    #[arg(long, value_name = "NUMBER")]
    incarnation: Option<u64>,
}

impl SpecArgs {
    /// Which start it is, where that was said.
    pub(crate) fn incarnation(&self) -> Option<u64> {
        self.incarnation
    }

    /// The instance, checked.
    ///
    /// # Errors
    /// [`Usage`] with the field.
    pub(crate) fn spec(&self) -> Result<InstanceSpec> {
        let id = self.id.clone().unwrap_or_default();
        let mut spec = InstanceSpec::new(&self.service, id, &self.address, self.port);
        spec.zone.clone_from(&self.zone);
        spec.region.clone_from(&self.region);
        spec.weight = self.weight.unwrap_or(spec.weight);
        spec.tags.clone_from(&self.tag);
        spec.metadata = self.metadata.iter().cloned().collect();
        spec.version.clone_from(&self.version);
        spec.lease_ttl = self.ttl.unwrap_or(spec.lease_ttl);
        check(&spec)?;
        Ok(spec)
    }
}

/// Checks an instance, whose id may be left to the registry.
///
/// # Errors
/// [`Usage`] with the field.
pub(crate) fn check(spec: &InstanceSpec) -> Result<(), Usage> {
    let mut entry = spec.clone().start(1, Revision(1), Timestamp::default());
    if entry.instance_id.is_empty() {
        // Any that is not the service's name.
        let other = if entry.service == "a" { "b" } else { "a" };
        other.clone_into(&mut entry.instance_id);
    }
    entry.validate().map_err(|error| Usage(error.to_string()))
}

/// `KEY=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String)> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| anyhow!("expected KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A span of time.
pub(crate) fn span(text: &str) -> Result<Span> {
    Ok(text.parse()?)
}
