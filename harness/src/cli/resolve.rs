//! `harness service resolve`: the instances to try, in order.

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::ask::{array, ask};
use super::client::Target;
use super::instance::{INSTANCE_COLUMNS, TraitArgs};
use super::output::{self, Format};

/// How to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// All, in the order of ids.
    All,
    /// At random by weight.
    WeightedRandom,
    /// In turn.
    RoundRobin,
    /// Those of the zone first, then those of the region, then the others.
    Nearest,
}

impl Strategy {
    fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::WeightedRandom => "weighted_random",
            Self::RoundRobin => "round_robin",
            Self::Nearest => "nearest",
        }
    }
}

/// What `service resolve` takes.
#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    /// How to choose; nearest where a zone or a region is named, else all.
    #[arg(long, value_enum)]
    strategy: Option<Strategy>,
    /// The caller's zone.
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    /// The caller's region.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Only instances in this zone.
    #[arg(long, value_name = "NAME")]
    in_zone: Option<String>,
    /// Only instances in this region.
    #[arg(long, value_name = "NAME")]
    in_region: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    traits: TraitArgs,
}

/// Prints the instances; none is an empty list, and no error.
pub(crate) async fn run(
    target: &Target,
    service: &str,
    args: &ResolveArgs,
    format: Format,
) -> Result<()> {
    let is_placed = args.zone.is_some() || args.region.is_some();
    let fallback = if is_placed {
        Strategy::Nearest
    } else {
        Strategy::All
    };
    let mut filter = args.traits.to_json();
    filter["zone"] = json!(args.in_zone);
    filter["region"] = json!(args.in_region);
    let params = json!({
        "service": service,
        "strategy": args.strategy.unwrap_or(fallback).as_str(),
        "zone": args.zone.as_deref().unwrap_or_default(),
        "region": args.region.as_deref().unwrap_or_default(),
        "limit": args.limit,
        "filter": filter,
    });
    let answer = ask(target, "resolve_service", params).await?;
    output::print_list(format, array(&answer["instances"]), INSTANCE_COLUMNS)
}
