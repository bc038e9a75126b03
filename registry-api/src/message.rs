//! The messages of the protocol.

use std::borrow::Cow;

use registry_core::Revision;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::ErrorInfo;
use crate::event::{COMPACTED, LAGGED};
use crate::strict::parse_strict;
use crate::told::SharedJson;

/// Longest id of a request, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// What a message mostly takes beside its data: a text that grows while it is written is copied each time.
const FRAME_BYTES_USUAL: usize = 160;

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
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EventMessage {
    /// Always `event`.
    #[serde(rename = "type")]
    pub message_type: EventType,
    /// Name of the event.
    pub event: Cow<'static, str>,
    /// The subscription that it belongs to.
    pub subscription: String,
    /// Whether everything up to the data's revision has been told: the revision to resume after.
    pub complete: bool,
    /// What happened; every event's data has a `revision`.
    pub data: SharedJson,
}

impl EventMessage {
    /// Its text on the wire. It is put together by hand: each subscriber is told in a message of its own, of which
    /// nearly all is data that was written once for all of them.
    pub fn to_text(&self) -> String {
        let Self {
            message_type: EventType::Event,
            event,
            subscription,
            complete,
            data,
        } = self;
        let mut text = String::with_capacity(FRAME_BYTES_USUAL + data.get().len());
        text.push_str(r#"{"type":"event","event":"#);
        push_text(&mut text, event);
        text.push_str(r#","subscription":"#);
        push_text(&mut text, subscription);
        text.push_str(r#","complete":"#);
        text.push_str(if *complete { "true" } else { "false" });
        text.push_str(r#","data":"#);
        text.push_str(data.get());
        text.push('}');
        text
    }

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
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

/// Appends a text as JSON. Names of events and subscriptions are letters, digits and underscores.
fn push_text(json: &mut String, text: &str) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if text.bytes().all(is_plain) {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&serde_json::to_string(text).expect("a text has a JSON form"));
    }
}

impl Response {
    /// Its text on the wire.
    pub fn to_text(&self) -> String {
        let data_bytes = self.data.as_ref().map_or(0, |data| data.get().len());
        let mut text = Vec::with_capacity(FRAME_BYTES_USUAL + data_bytes);
        serde_json::to_writer(&mut text, self)
            .expect("messages have string keys and no failing parts");
        String::from_utf8(text).expect("JSON is UTF-8")
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_an_event_reads_back() {
        for (subscription, complete) in [("1", true), ("a \"b\"\n", false)] {
            let data: SharedJson = serde_json::from_str(r#"{"revision":7}"#).unwrap();
            let message = EventMessage {
                message_type: EventType::Event,
                event: "service_registered".into(),
                subscription: subscription.to_owned(),
                complete,
                data,
            };
            let read: EventMessage = serde_json::from_str(&message.to_text()).unwrap();
            assert_eq!(read, message);
        }
    }
}
