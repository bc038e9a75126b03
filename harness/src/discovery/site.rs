//! Where the registry is, and the way to it.

#[cfg(feature = "client")]
use std::time::Duration;

#[cfg(feature = "client")]
use async_io::Timer;
#[cfg(feature = "client")]
use futures_lite::future;
use registry_api::{Access, Api, Caller};
use registry_core::engine;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Registry;
use crate::client::ClientError;
#[cfg(feature = "client")]
use crate::client::{Address, Connection};

/// Who acts, as the log of a registry in the same process has it.
const ACTOR: &str = "local";

/// Time for a daemon to take a connection and to answer.
#[cfg(feature = "client")]
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the registry is.
#[derive(Debug, Clone)]
pub struct Site(Place);

#[derive(Debug, Clone)]
enum Place {
    Here(Box<Api>),
    #[cfg(feature = "client")]
    Daemon {
        address: Address,
        token: Option<String>,
    },
}

/// A registry in this process. It must be kept: the last handle to be dropped closes its store.
impl From<&Registry> for Site {
    fn from(registry: &Registry) -> Self {
        Self(Place::Here(Box::new(registry.into())))
    }
}

impl From<&engine::Registry> for Site {
    fn from(registry: &engine::Registry) -> Self {
        Self(Place::Here(Box::new(Api::new(registry.clone()))))
    }
}

#[cfg(feature = "client")]
impl From<Address> for Site {
    fn from(address: Address) -> Self {
        Self(Place::Daemon {
            address,
            token: None,
        })
    }
}

impl Site {
    /// A daemon at `ws://host:port/ws` or `unix:PATH`, with a token where it asks for one.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    #[cfg(feature = "client")]
    pub fn daemon(url: &str, token: Option<String>) -> Result<Self, ClientError> {
        let address: Address = url.parse()?;
        Ok(Self::from(address).with_token(token))
    }

    /// The same place with a token to send, where it is a daemon.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn with_token(self, token: Option<String>) -> Self {
        match self.0 {
            Place::Daemon { address, .. } => Self(Place::Daemon { address, token }),
            here @ Place::Here(_) => Self(here),
        }
    }

    /// Whether the registry is in this process, so that its end is for good.
    pub(super) fn is_here(&self) -> bool {
        matches!(self.0, Place::Here(_))
    }
}

/// The way to a registry: a connection that is made where one is needed.
#[derive(Debug)]
pub(super) struct Link {
    site: Site,
    #[cfg(feature = "client")]
    connection: Option<Connection>,
}

impl Link {
    pub(super) fn new(site: Site) -> Self {
        Self {
            site,
            #[cfg(feature = "client")]
            connection: None,
        }
    }

    /// Asks. A connection that failed is let go of, and the next call makes another.
    pub(super) async fn call(
        &mut self,
        action: &str,
        params: &Value,
    ) -> Result<Value, ClientError> {
        match &self.site.0 {
            Place::Here(api) => {
                let caller = Caller {
                    actor: ACTOR.to_owned(),
                    access: Access::Write,
                    connection: None,
                };
                let answer = api.call(action, &params.to_string(), &caller).await?;
                let data = serde_json::from_str(answer.data.get());
                data.map_err(|error| ClientError::Unreadable(error.to_string()))
            }
            #[cfg(feature = "client")]
            Place::Daemon { address, token } => {
                // Out of its place while it is used: a call that is dropped half-way drops it, too.
                let connection = self.connection.take();
                let call = async {
                    let mut connection = match connection {
                        Some(connection) => connection,
                        None => Connection::connect(address, token.as_deref()).await?,
                    };
                    let answered = connection.call(action, params).await;
                    Ok((answered, connection))
                };
                let late = async {
                    Timer::after(ANSWER_TIMEOUT).await;
                    Err(ClientError::Unreachable {
                        address: address.to_string(),
                        problem: format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
                    })
                };
                let (answered, connection) = future::or(call, late).await?;
                let is_usable = match &answered {
                    Ok(_) => true,
                    Err(error) => error.code().is_some() && !error.is_gone(),
                };
                self.connection = is_usable.then_some(connection);
                answered
            }
        }
    }

    /// Waits for the end of the connection; for ever where there is none.
    pub(super) async fn end(&mut self) -> ClientError {
        #[cfg(feature = "client")]
        if let Some(connection) = &mut self.connection {
            let ended = connection.end().await;
            self.connection = None;
            return ended;
        }
        std::future::pending().await
    }
}

/// Reads a part of an answer.
pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, ClientError> {
    serde_json::from_value(value).map_err(|error| ClientError::Unreadable(error.to_string()))
}
