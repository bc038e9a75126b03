//! The messages of the protocol.

use std::borrow::Cow;
use std::fmt::Write as _;

use registry_core::Revision;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::ErrorInfo;
use crate::event::{COMPACTED, LAGGED, raw};
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Response {
    /// The id of the request; none where it could not be read.
    pub id: Option<String>,
    /// Always `response`.
    #[serde(rename = "type")]
    pub message_type: ResponseType,
    /// The answer, where there was no error.
    #[serde(default)]
    pub data: Option<SharedJson>,
    /// The error, where there was one.
    #[serde(default)]
    pub error: Option<ErrorInfo>,
    /// The revision that the answer reflects.
    pub revision: Revision,
}

/// The discriminator of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
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

/// Appends a text as JSON. Names of events and subscriptions are letters, digits and underscores; a UUID has hyphens.
fn push_text(json: &mut String, text: &str) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if text.bytes().all(is_plain) {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&serde_json::to_string(text).expect("a text has a JSON form"));
    }
}

impl Response {
    /// Its text on the wire, put together by hand as that of an event is.
    pub fn to_text(&self) -> String {
        let Self {
            id,
            message_type: ResponseType::Response,
            data,
            error,
            revision,
        } = self;
        let data_bytes = data.as_ref().map_or(0, |data| data.get().len());
        let mut text = String::with_capacity(FRAME_BYTES_USUAL + data_bytes);
        text.push_str(r#"{"id":"#);
        match id {
            Some(id) => push_text(&mut text, id),
            None => text.push_str("null"),
        }
        text.push_str(r#","type":"response""#);
        if let Some(data) = data {
            text.push_str(r#","data":"#);
            text.push_str(data.get());
        }
        if let Some(error) = error {
            text.push_str(r#","error":"#);
            text.push_str(raw(error).get());
        }
        write!(text, r#","revision":{revision}}}"#).expect("a String takes it");
        text
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
    use crate::error::ErrorCode;

    #[test]
    fn text_of_a_response_reads_back() {
        let data: SharedJson = serde_json::from_str(r#"{"revision":7}"#).unwrap();
        let now = registry_core::Timestamp::from_nanos(1);
        let error = ErrorInfo::new(ErrorCode::BadRequest, "id: \"?\"", now);
        let uuid = "6f9619ff-8b86-d011-b42d-00cf4fc964ff";
        for response in [
            Response::answer(uuid.to_owned(), data.clone(), Revision(7)),
            Response::answer("a \"b\"\n".to_owned(), data, Revision(u64::MAX)),
            Response::refusal(Some("1".to_owned()), error.clone(), Revision::ZERO),
            Response::refusal(None, error, Revision::ZERO),
        ] {
            let text = response.to_text();
            let read: Response = serde_json::from_str(&text).unwrap();
            assert_eq!(read, response, "{text}");
        }
    }

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
