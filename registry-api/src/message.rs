//! The messages of the protocol.

use registry_core::Revision;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::ErrorInfo;
use crate::event::{COMPACTED, LAGGED};
use crate::strict::parse_strict;
use crate::told::SharedJson;

/// Longest id of a request, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// What a client asks.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Request {
    /// Chosen by the client, a UUID by custom; the response carries it.
    pub id: String,
    /// Always `request`.
    #[serde(rename = "type")]
    pub message_type: RequestType,
    /// Name of the action.
    pub action: String,
    /// Parameters of the action; none is the same as an empty object.
    #[serde(default)]
    pub params: Option<Box<RawValue>>,
}

/// The discriminator of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestType {
    /// The only one.
    Request,
}

/// What the registry answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Response {
    /// The id of the request; none where it could not be read.
    pub id: Option<String>,
    /// Always `response`.
    #[serde(rename = "type")]
    pub message_type: ResponseType,
    /// The answer, where there was no error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<SharedJson>,
    /// The error, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInfo>,
    /// The revision that the answer reflects.
    pub revision: Revision,
}

/// The discriminator of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseType {
    /// The only one.
    Response,
}

/// What the registry tells a subscriber.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventMessage {
    /// Always `event`.
    #[serde(rename = "type")]
    pub message_type: EventType,
    /// Name of the event.
    pub event: String,
    /// The subscription that it belongs to.
    pub subscription: String,
    /// Whether everything up to the data's revision has been told: the revision to resume after.
    pub complete: bool,
    /// What happened; every event's data has a `revision`.
    pub data: SharedJson,
}

impl EventMessage {
    /// Whether it ends a subscription whose reader was too slow.
    pub fn is_lagged(&self) -> bool {
        self.event == LAGGED
    }

    /// Whether it ends a subscription whose past is gone.
    pub fn is_compacted(&self) -> bool {
        self.event == COMPACTED
    }
}

/// The discriminator of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// The only one.
    Event,
}

/// Reads a request.
///
/// # Errors
/// The id, where it could be read, and a message with the path of the field.
pub fn parse_request(text: &str) -> Result<Request, (Option<String>, String)> {
    let request: Request = parse_strict(text).map_err(|message| (read_id(text), message))?;
    let length = request.id.len();
    if (1..=REQUEST_ID_BYTES_MAX).contains(&length) {
        return Ok(request);
    }
    Err((
        None,
        format!("id: expected 1 to {REQUEST_ID_BYTES_MAX} bytes, found {length}"),
    ))
}

/// The id of a message that is no request, so that its sender can tell which one was refused.
fn read_id(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct OnlyId {
        id: String,
    }
    let id = serde_json::from_str::<OnlyId>(text).ok()?.id;
    (id.len() <= REQUEST_ID_BYTES_MAX).then_some(id)
}

impl Response {
    /// An answer.
    pub fn answer(id: String, data: impl Into<SharedJson>, revision: Revision) -> Self {
        Self {
            id: Some(id),
            message_type: ResponseType::Response,
            data: Some(data.into()),
            error: None,
            revision,
        }
    }

    /// A refusal.
    pub fn refusal(id: Option<String>, mut error: ErrorInfo, revision: Revision) -> Self {
        error.request_id.clone_from(&id);
        Self {
            id,
            message_type: ResponseType::Response,
            data: None,
            error: Some(error),
            revision,
        }
    }
}
