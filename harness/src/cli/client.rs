//! Where a service command goes: to a daemon, or straight to a store.

use anyhow::{Context as _, Result};
use clap::Args;
use harness::Registry;
use harness::backends::OpenOptions;
use harness::core::OpenMode;
use harness::store::{Location, Source};
use registry_api::{Access, Api, Caller, EventMessage, Subscription, parse_strict};
use serde_json::Value;

use super::exit::{Refused, Usage};
use super::remote::Remote;

/// Where a running daemon is looked for.
pub(crate) const DEFAULT_URL: &str = "ws://127.0.0.1:9402/ws";

/// The registry that a command is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// A running daemon; HARNESS_URL, else ws://127.0.0.1:9402/ws.
    #[arg(long, value_name = "URL", conflicts_with = "path")]
    url: Option<String>,
    /// A store that no daemon holds: a path, or backend:path.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
}

/// A registry that can be asked.
pub(crate) enum Client {
    Daemon(Box<Remote>),
    Store {
        api: Api,
        registry: Registry,
        subscription: Option<Box<Subscription>>,
    },
}

impl Target {
    /// Connects or opens.
    ///
    /// # Errors
    /// A daemon that does not answer; a store that cannot be opened, such as one that a daemon holds.
    pub(crate) async fn open(&self, may_create: bool) -> Result<Client> {
        let Some(path) = &self.path else {
            return self.connect().await;
        };
        let location: Location = path.parse().map_err(Usage)?;
        if let Source::Legacy(file) = Source::of(location.clone()) {
            let file = file.display();
            let problem = format!(
                "{file} is a registry file of the old form; see `harness registry migrate --from {file}`"
            );
            return Err(Usage(problem).into());
        }
        let mode = if may_create {
            OpenMode::OpenOrCreate
        } else {
            OpenMode::Open
        };
        let opened = tokio::task::spawn_blocking(move || {
            let store = location.open(&OpenOptions {
                mode,
                ..OpenOptions::default()
            })?;
            Registry::run(store)
        });
        let registry = opened.await??;
        Ok(Client::Store {
            api: Api::new(registry.engine().clone()),
            registry,
            subscription: None,
        })
    }

    async fn connect(&self) -> Result<Client> {
        let url = self
            .url
            .clone()
            .or_else(|| std::env::var("HARNESS_URL").ok());
        let url = url.unwrap_or_else(|| DEFAULT_URL.to_owned());
        Ok(Client::Daemon(Box::new(Remote::connect(&url).await?)))
    }

    /// The store, where one was named.
    pub(crate) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Whether a connection that ended can be made again.
    pub(crate) fn is_daemon(&self) -> bool {
        self.path.is_none()
    }
}

impl Client {
    /// Asks for an action of the protocol.
    ///
    /// # Errors
    /// [`Refused`] by the table of errors.
    pub(crate) async fn call(&mut self, action: &str, params: &Value) -> Result<Value> {
        match self {
            Self::Daemon(remote) => remote.call(action, params).await,
            Self::Store { api, .. } => {
                let caller = Caller {
                    actor: "local".to_owned(),
                    access: Access::Write,
                    connection: None,
                };
                let answer = api
                    .call(action, &params.to_string(), &caller)
                    .await
                    .map_err(Refused)?;
                Ok(serde_json::from_str(answer.data.get())?)
            }
        }
    }

    /// Begins a subscription, and answers the revision after which it tells changes.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub(crate) async fn subscribe(&mut self, params: &Value) -> Result<u64> {
        match self {
            Self::Daemon(remote) => {
                let begun = remote.call("subscribe", params).await?;
                begun["revision"]
                    .as_u64()
                    .context("the answer to subscribe has no revision")
            }
            Self::Store {
                api, subscription, ..
            } => {
                let params = parse_strict(&params.to_string()).map_err(Usage)?;
                let begun = Subscription::begin(api.registry(), "1".to_owned(), params)
                    .await
                    .map_err(Refused)?;
                let position = begun.position().0;
                *subscription = Some(Box::new(begun));
                Ok(position)
            }
        }
    }

    /// The next event of the subscription; none after its end.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub(crate) async fn event(&mut self) -> Result<Option<EventMessage>> {
        match self {
            Self::Daemon(remote) => remote.event().await.map(Some),
            Self::Store {
                subscription: Some(subscription),
                ..
            } => Ok(subscription.next().await.map_err(Refused)?),
            Self::Store { .. } => Ok(None),
        }
    }

    /// Closes a store that was opened.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn close(self) -> Result<()> {
        if let Self::Store { registry, .. } = self {
            registry.close().await?;
        }
        Ok(())
    }
}
