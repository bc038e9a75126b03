//! Which instances, as flags.

use clap::Args;
use serde_json::{Map, Value, json};

use super::spec::pair;

/// What instances may be asked for wherever they are.
#[derive(Debug, Default, Args)]
pub(crate) struct TraitArgs {
    /// The health is this; may be repeated.
    #[arg(long, value_name = "HEALTH")]
    health: Vec<String>,
    /// It has this tag; may be repeated.
    #[arg(long, value_name = "TEXT")]
    tag: Vec<String>,
    /// It has this metadata; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// The version is this.
    #[arg(long, value_name = "TEXT")]
    version: Option<String>,
}

/// Which instances of a list.
#[derive(Debug, Default, Args)]
pub(crate) struct FilterArgs {
    #[command(flatten)]
    traits: TraitArgs,
    /// It is in this zone.
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    /// It is in this region.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// An operator wants this of it: enabled, draining or disabled; may be repeated.
    #[arg(long, value_name = "INTENT")]
    intent: Vec<String>,
    /// It is in this phase: pending or active; may be repeated.
    #[arg(long, value_name = "PHASE")]
    lifecycle: Vec<String>,
    /// Also those that were stopped, as long as they are remembered.
    #[arg(long)]
    stopped: bool,
}

impl TraitArgs {
    /// The filter of the protocol.
    pub(crate) fn to_json(&self) -> Value {
        let metadata: Map<String, Value> = self
            .metadata
            .iter()
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        json!({
            "health": self.health,
            "tags": self.tag,
            "metadata": metadata,
            "version": self.version,
        })
    }
}

impl FilterArgs {
    /// The filter of the protocol, of one service or of all.
    pub(crate) fn to_json(&self, service: Option<&str>) -> Value {
        let mut filter = self.traits.to_json();
        filter["service"] = json!(service);
        filter["zone"] = json!(self.zone);
        filter["region"] = json!(self.region);
        filter["intent"] = json!(self.intent);
        filter["lifecycle"] = json!(self.lifecycle);
        filter["stopped"] = json!(self.stopped);
        filter
    }
}
