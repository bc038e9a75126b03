//! Where a service command goes: to a daemon, or straight to a store.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use clap::Args;
use harness::Registry;
use harness::backends::OpenOptions;
use harness::client::{Address, ClientError, Connection};
use harness::core::OpenMode;
use harness::discovery::Site;
use harness::store::{Claim, Location, Source};
use registry_api::{Access, Api, Caller, EventMessage, Subscription, parse_strict};
use serde_json::Value;

use super::exit::Usage;

/// Where a running daemon is looked for.
const DEFAULT_URL: &str = "ws://127.0.0.1:9402/ws";

/// Requests under way at a time, where many are asked; below what a daemon takes of one connection by default.
const REQUESTS_MAX: usize = 128;
/// Bytes of requests under way at a time, so that answers are read before they pile up.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// The registry that a command is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// A running daemon, also unix:PATH; HARNESS_URL, else ws://127.0.0.1:9402/ws.
    #[arg(long, value_name = "URL", conflicts_with = "path")]
    url: Option<String>,
    /// A store that no daemon holds: a path, or backend:path.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
}

/// The token to send, where one is set.
pub(crate) fn token() -> Option<String> {
    std::env::var("HARNESS_TOKEN").ok()
}

/// A registry that can be asked.
pub(crate) enum Client {
    Daemon(Box<Connection>),
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
    /// A daemon that does not answer; a store that cannot be opened.
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
            let options = OpenOptions {
                mode,
                ..OpenOptions::default()
            };
            Registry::share(&location, Claim::Own, &options)
        });
        let registry = opened.await??;
        Ok(Client::Store {
            api: Api::new(registry.engine().clone()),
            registry,
            subscription: None,
        })
    }

    async fn connect(&self) -> Result<Client> {
        let connected = Connection::connect(&self.address()?, token().as_deref()).await?;
        Ok(Client::Daemon(Box::new(connected)))
    }

    /// The daemon's address, from the flag or the environment.
    ///
    /// # Errors
    /// What is no address.
    pub(crate) fn address(&self) -> Result<Address> {
        let url = self
            .url
            .clone()
            .or_else(|| std::env::var("HARNESS_URL").ok());
        let url = url.unwrap_or_else(|| DEFAULT_URL.to_owned());
        Ok(url.parse()?)
    }

    /// The daemon as a library call takes it.
    ///
    /// # Errors
    /// What is no address.
    pub(crate) fn site(&self) -> Result<Site> {
        Ok(Site::from(self.address()?).with_token(token()))
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
    /// [`ClientError::Refused`] by the table of errors.
    pub(crate) async fn call(&mut self, action: &str, params: &Value) -> Result<Value> {
        match self {
            Self::Daemon(connection) => Ok(connection.call(action, params).await?),
            Self::Store { api, .. } => {
                let answer = api.call(action, &params.to_string(), &local()).await;
                let answer = answer.map_err(ClientError::from)?;
                Ok(serde_json::from_str(answer.data.get())?)
            }
        }
    }

    /// Asks for an action again and again, so many at a time, and tells each answer by the place of its request.
    ///
    /// # Errors
    /// The connection's end. What was told before stands.
    pub(crate) async fn call_each(
        &mut self,
        action: &'static str,
        requests: impl Iterator<Item = Value>,
        told: impl FnMut(usize, Result<Value, ClientError>),
    ) -> Result<()> {
        match self {
            Self::Daemon(connection) => each_over(connection, action, requests, told).await,
            Self::Store { api, .. } => each_on(api, action, requests, told).await,
        }
    }

    /// Begins a subscription, and answers the revision after which it tells changes.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub(crate) async fn subscribe(&mut self, params: &Value) -> Result<u64> {
        match self {
            Self::Daemon(connection) => {
                let begun = connection.call("subscribe", params).await?;
                begun["revision"]
                    .as_u64()
                    .context("the answer to subscribe has no revision")
            }
            Self::Store {
                api, subscription, ..
            } => {
                let params = parse_strict(&params.to_string()).map_err(Usage)?;
                let begun = Subscription::begin(api, "1".to_owned(), params)
                    .await
                    .map_err(ClientError::from)?;
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
            Self::Daemon(connection) => Ok(Some(connection.event().await?)),
            Self::Store {
                subscription: Some(subscription),
                ..
            } => Ok(subscription.next().await.map_err(ClientError::from)?),
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

/// Who acts on a store that no daemon holds.
fn local() -> Caller {
    Caller {
        actor: "local".to_owned(),
        access: Access::Write,
        connection: None,
    }
}

async fn each_over(
    connection: &mut Connection,
    action: &str,
    requests: impl Iterator<Item = Value>,
    mut told: impl FnMut(usize, Result<Value, ClientError>),
) -> Result<()> {
    let mut requests = requests.enumerate().peekable();
    let mut under_way: HashMap<String, (usize, usize)> = HashMap::new();
    let mut bytes = 0;
    loop {
        while under_way.len() < REQUESTS_MAX
            && bytes < REQUEST_BYTES_MAX
            && let Some((index, params)) = requests.next()
        {
            let length = params.to_string().len();
            let id = connection.send(action, &params).await?;
            under_way.insert(id, (index, length));
            bytes += length;
        }
        if under_way.is_empty() {
            return Ok(());
        }
        let answered = connection.answer().await?;
        match answered.id.and_then(|id| under_way.remove(&id)) {
            Some((index, length)) => {
                bytes -= length;
                told(index, answered.data.map_err(ClientError::from));
            }
            None => drop(answered.data.map_err(ClientError::from)?),
        }
    }
}

async fn each_on(
    api: &Api,
    action: &'static str,
    mut requests: impl Iterator<Item = Value>,
    mut told: impl FnMut(usize, Result<Value, ClientError>),
) -> Result<()> {
    let mut under_way = tokio::task::JoinSet::new();
    let mut next = 0;
    loop {
        while under_way.len() < REQUESTS_MAX
            && let Some(params) = requests.next()
        {
            let (api, index) = (api.clone(), next);
            next += 1;
            under_way.spawn(async move {
                let answer = api.call(action, &params.to_string(), &local()).await;
                let data = answer.map_err(ClientError::from).and_then(|answer| {
                    let data = serde_json::from_str(answer.data.get());
                    data.map_err(|error| ClientError::Unreadable(error.to_string()))
                });
                (index, data)
            });
        }
        let Some(answered) = under_way.join_next().await else {
            return Ok(());
        };
        let (index, data) = answered?;
        told(index, data);
    }
}
