//! Configuration: flag > environment > file > default, each value with its origin.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use harness::settings::Settings;
use serde::Serialize;
use serde_json::{Value, json};

use super::exit::Usage;
use super::output::{self, Format};

/// The file that is read where none is named.
const DEFAULT_FILE: &str = "/etc/harness/config.toml";

/// Verbs of `harness config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Prints every setting in force.
    Show {
        /// Says where each value comes from.
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        flags: Flags,
    },
}

/// Settings that may be given as flags.
#[derive(Debug, Default, Args, Serialize)]
pub(crate) struct Flags {
    /// Configuration file (TOML); HARNESS_CONFIG, else /etc/harness/config.toml where there is one.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Where the registry is kept: memory, json, sled, redb or sqlite.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    registry_backend: Option<String>,
    /// File or folder of the registry.
    #[arg(long, value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    registry_path: Option<PathBuf>,
    /// Address to listen on, or unix:PATH; may be given more than once.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bind: Vec<String>,
    /// Certificate chain in PEM; with it every TCP address speaks TLS.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate in PEM.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_key: Option<PathBuf>,
    /// When a commit is safe: synced, or interval[:1s].
    #[arg(long, value_name = "LEVEL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    durability: Option<String>,
    /// Room for the store's own cache, in MiB.
    #[arg(long, value_name = "MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_mib: Option<usize>,
    /// What is logged: error, warn, info, debug, trace, or a filter such as harness=debug.
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_level: Option<String>,
}

/// Settings with the origin of each.
pub(crate) struct Layered {
    pub(crate) settings: Settings,
    figment: Figment,
}

impl Layered {
    /// Reads every layer.
    ///
    /// # Errors
    /// [`Usage`] with key, value and origin.
    pub(crate) fn read(flags: &Flags) -> Result<Self> {
        let named = flags
            .config
            .clone()
            .or_else(|| std::env::var_os("HARNESS_CONFIG").map(PathBuf::from));
        let mut figment = Settings::defaults();
        match &named {
            Some(file) if !file.is_file() => {
                return Err(Usage(format!("config: there is no file {}", file.display())).into());
            }
            Some(file) => figment = figment.merge(Toml::file_exact(file)),
            None if Path::new(DEFAULT_FILE).is_file() => {
                figment = figment.merge(Toml::file_exact(DEFAULT_FILE));
            }
            None => {}
        }
        let figment = figment
            .merge(seed_names())
            .merge(own_names())
            .merge(Serialized::defaults(flags));
        let settings = Settings::of_layers(&figment)?;
        Ok(Self { settings, figment })
    }

    fn origin(&self, key: &str) -> String {
        let Some(metadata) = self.figment.find_metadata(key) else {
            return "default".to_owned();
        };
        match &metadata.source {
            Some(figment::Source::File(file)) => format!("file {}", file.display()),
            _ if metadata.name.contains("environment") => "environment".to_owned(),
            _ if metadata.name.contains("Flags") => "flag".to_owned(),
            _ => "default".to_owned(),
        }
    }
}

/// `HARNESS_REGISTRY_PATH` and the like; tokens by name are for the file.
fn own_names() -> Env {
    let keys = json!(Settings::default());
    let keys: Vec<String> = keys
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.clone())
        .collect();
    Env::prefixed("HARNESS_").filter(move |key| keys.iter().any(|known| key == known.as_str()))
}

/// Names that the signed-descriptor registry used; ours win over them.
fn seed_names() -> Env {
    Env::raw()
        .only(&["BIND", "REGISTRY_DB", "LOG_LEVEL"])
        .map(|key| match key.as_str() {
            "REGISTRY_DB" => "registry_path".into(),
            other => other.to_ascii_lowercase().into(),
        })
}

/// Prints the settings.
pub(crate) fn run(verb: &Verb, format: Format) -> Result<ExitCode> {
    let Verb::Show { origin, flags } = verb;
    let layered = Layered::read(flags)?;
    layered.settings.check()?;
    let mut shown = json!(layered.settings);
    hide_secrets(&mut shown);
    if *origin {
        let rows: Vec<Value> = shown
            .as_object()
            .into_iter()
            .flatten()
            .map(
                |(key, value)| json!({ "key": key, "value": value, "origin": layered.origin(key) }),
            )
            .collect();
        output::print_list(
            format,
            &rows,
            &[
                ("KEY", |row| output::text(&row["key"])),
                ("VALUE", |row| output::text(&row["value"])),
                ("ORIGIN", |row| output::text(&row["origin"])),
            ],
        )?;
    } else {
        output::print_one(format, &shown)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn hide_secrets(shown: &mut Value) {
    if shown["token"] != "" {
        shown["token"] = json!("(set)");
    }
    for token in shown["tokens"].as_array_mut().into_iter().flatten() {
        token["secret"] = json!("(set)");
    }
}
