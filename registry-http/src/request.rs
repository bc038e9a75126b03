//! Turns path, query, headers and body of a request into the parameters of its action.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::http::{HeaderMap, header};
use registry_api::ErrorCode;
use serde::Serializer as _;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::shape::{BodyRule, Form, Param, Shape};

/// Longest name of a change in a header, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// Room for the parameters that the usual path names, in bytes.
const NAMED_ONLY_BYTES: usize = 128;

/// Why a request cannot be turned: an error of the table, and its message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) ErrorCode, pub(crate) String);

fn bad(message: impl Into<String>) -> Refused {
    Refused(ErrorCode::BadRequest, message.into())
}

/// The parts of a request, read in full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// Parameters of the path in their order, percent-decoded.
    pub(crate) path: &'a [&'a str],
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl Parts<'_> {
    fn is_path_alone(&self) -> bool {
        self.query.is_empty() && self.body.is_empty()
    }
}

/// The name of the service that is looked up, where the request says nothing else.
pub(crate) fn looked_up<'a>(shape: &Shape, parts: Parts<'a>) -> Option<&'a str> {
    match parts.path {
        [name] if parts.is_path_alone() && shape.action.name == "get_service" => Some(name),
        _ => None,
    }
}

/// The parameters of the action as JSON.
///
/// # Errors
/// [`Refused`] with the name of the parameter, the header or the field.
pub(crate) fn params(shape: &Shape, parts: Parts<'_>) -> Result<String, Refused> {
    named_only(shape, parts).map_or_else(|| turned(shape, parts), Ok)
}

fn turned(shape: &Shape, parts: Parts<'_>) -> Result<String, Refused> {
    let mut params = query(shape, parts.query)?;
    if shape.is_write() {
        write_headers(parts.headers, &mut params)?;
    }
    let named = path_params(shape, parts.path)?;
    match shape.body {
        BodyRule::None => {
            if !parts.body.is_empty() {
                return Err(bad(format!(
                    "body: expected none, found {} bytes",
                    parts.body.len()
                )));
            }
            put_all(&mut params, named);
            Ok(Value::Object(params).to_string())
        }
        BodyRule::FieldsIfAny if parts.body.is_empty() => {
            put_all(&mut params, named);
            Ok(Value::Object(params).to_string())
        }
        BodyRule::Fields | BodyRule::FieldsIfAny => {
            let body = object(parts)?;
            let fields = with_names(&body, &named, "")?;
            Ok(joined(&params, &fields))
        }
        BodyRule::One(field) => {
            let body = object(parts)?;
            put_all(&mut params, named);
            Ok(joined(&params, &format!("\"{field}\":{body}")))
        }
        BodyRule::Named(field) => {
            let body = object(parts)?;
            let fields = with_names(&body, &named, &format!("{field}."))?;
            Ok(joined(&params, &format!("\"{field}\":{{{fields}}}")))
        }
    }
}

/// The parameters of a read that is asked for nothing but what its path names, which most are.
fn named_only(shape: &Shape, parts: Parts<'_>) -> Option<String> {
    let takes_nothing = !shape.is_write() && matches!(shape.body, BodyRule::None);
    if !takes_nothing || !parts.is_path_alone() {
        return None;
    }
    let named: Option<Vec<_>> = shape
        .path
        .iter()
        .zip(parts.path)
        .map(|(param, text)| match (param.form, param.place) {
            (Form::Text, [field]) => Some((*field, *text)),
            _ => None,
        })
        .collect();
    let mut params = Vec::with_capacity(NAMED_ONLY_BYTES);
    let mut writer = serde_json::Serializer::new(&mut params);
    writer
        .collect_map(named?)
        .expect("texts are JSON, and a vector takes what is written");
    Some(String::from_utf8(params).expect("JSON is UTF-8"))
}

fn put_all(params: &mut Map<String, Value>, named: Vec<(Param, Value)>) {
    for (param, value) in named {
        put(params, param, value);
    }
}

/// One JSON object of both.
fn joined(params: &Map<String, Value>, fields: &str) -> String {
    let params = json!(params).to_string();
    let params = &params[1..params.len() - 1];
    let between = if params.is_empty() || fields.is_empty() {
        ""
    } else {
        ","
    };
    format!("{{{params}{between}{fields}}}")
}

fn path_params(shape: &Shape, found: &[&str]) -> Result<Vec<(Param, Value)>, Refused> {
    found
        .iter()
        .zip(&shape.path)
        .map(|(text, param)| Ok((*param, value(param, text)?)))
        .collect()
}

/// Parameters of the query, each at its place.
pub(crate) fn query(shape: &Shape, query: &str) -> Result<Map<String, Value>, Refused> {
    let mut params = Map::new();
    for (name, text) in form_urlencoded::parse(query.as_bytes()) {
        let Some(param) = shape.query.iter().find(|param| param.name == name) else {
            let known: Vec<_> = shape.query.iter().map(|param| param.name).collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            return Err(bad(format!(
                "query: unknown parameter {name:?}; this route takes {known}"
            )));
        };
        let value = value(param, &text)?;
        if !put(&mut params, *param, value) {
            return Err(bad(format!("{name}: expected once, found twice")));
        }
    }
    Ok(params)
}

fn value(param: &Param, text: &str) -> Result<Value, Refused> {
    let name = param.name;
    match param.form {
        Form::Text | Form::Texts => Ok(json!(text)),
        Form::Pairs => text
            .split_once('=')
            .map(|(key, value)| json!({ key: value }))
            .ok_or_else(|| bad(format!("{name}: expected key=value, found {text:?}"))),
        Form::Number => text
            .parse::<u64>()
            .map(|number| json!(number))
            .map_err(|_| bad(format!("{name}: expected a whole number, found {text:?}"))),
        Form::Flag => text
            .parse::<bool>()
            .map(|flag| json!(flag))
            .map_err(|_| bad(format!("{name}: expected true or false, found {text:?}"))),
    }
}

/// Puts a value at its place, and answers whether the place was free.
fn put(params: &mut Map<String, Value>, param: Param, value: Value) -> bool {
    let Some((last, way)) = param.place.split_last() else {
        return false;
    };
    let mut map = params;
    for step in way {
        let next = map.entry(*step).or_insert_with(|| json!({}));
        let Value::Object(next) = next else {
            return false;
        };
        map = next;
    }
    if param.form == Form::Texts {
        let texts = map.entry(*last).or_insert_with(|| json!([]));
        if let Value::Array(texts) = texts {
            texts.push(value);
        }
        return true;
    }
    if let (Form::Pairs, Value::Object(pair)) = (param.form, &value) {
        let pairs = map.entry(*last).or_insert_with(|| json!({}));
        if let Value::Object(pairs) = pairs {
            pairs.extend(pair.clone());
        }
        return true;
    }
    map.insert((*last).to_owned(), value).is_none()
}

/// What a write says in headers: which revision it expects, why, and its own name for the change.
fn write_headers(headers: &HeaderMap, params: &mut Map<String, Value>) -> Result<(), Refused> {
    let expected = match (
        text(headers, header::IF_MATCH.as_str())?,
        text(headers, header::IF_NONE_MATCH.as_str())?,
    ) {
        (None, None) => None,
        (Some(tag), None) => Some(revision_of(&tag).ok_or_else(|| {
            bad(format!(
                "if-match: expected one revision such as \"12\", found {tag:?}"
            ))
        })?),
        (None, Some(tag)) if tag.trim() == "*" => Some(0),
        (None, Some(tag)) => {
            return Err(bad(format!("if-none-match: expected *, found {tag:?}")));
        }
        (Some(_), Some(_)) => {
            return Err(bad("if-match: expected without if-none-match, found both"));
        }
    };
    if let Some(revision) = expected {
        params.insert("expect_revision".to_owned(), json!(revision));
    }
    if let Some(reason) = text(headers, "x-registry-reason")? {
        params.insert("reason".to_owned(), json!(reason));
    }
    if let Some(key) = text(headers, "idempotency-key")? {
        let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_visible || !(1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) {
            return Err(bad(format!(
                "idempotency-key: expected 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters, found {key:?}"
            )));
        }
        params.insert("idempotency_key".to_owned(), json!(key));
    }
    Ok(())
}

/// A header that is given at most once, in UTF-8 or, as HTTP has it of old, in Latin-1.
fn text(headers: &HeaderMap, name: &str) -> Result<Option<String>, Refused> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(bad(format!("{name}: expected once, found twice")));
    }
    let text = match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
    };
    Ok(Some(text))
}

/// The revision in a strong entity tag.
fn revision_of(tag: &str) -> Option<u64> {
    let digits = tag.trim().strip_prefix('"')?.strip_suffix('"')?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// The body's object as JSON text.
fn object(parts: Parts<'_>) -> Result<String, Refused> {
    let is_json = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(is_json);
    if !is_json {
        let found = parts.headers.get(header::CONTENT_TYPE);
        return Err(Refused(
            ErrorCode::UnsupportedMediaType,
            format!("content-type: expected application/json, found {found:?}"),
        ));
    }
    let text = std::str::from_utf8(parts.body)
        .map_err(|error| bad(format!("body: expected UTF-8: {error}")))?;
    let raw: &RawValue =
        serde_json::from_str(text).map_err(|error| bad(format!("body: {error}")))?;
    if raw.get().starts_with('{') {
        return Ok(raw.get().to_owned());
    }
    let found: String = raw.get().chars().take(32).collect();
    Err(bad(format!("body: expected an object, found {found}")))
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// The fields of an object, without its braces, with the parameters of the path among them.
fn with_names(object: &str, named: &[(Param, Value)], prefix: &str) -> Result<String, Refused> {
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_str(object).map_err(|error| bad(format!("body: {error}")))?;
    let mut text = String::new();
    for (param, value) in named {
        let Some(field) = param.place.last() else {
            continue;
        };
        match fields.get(*field) {
            None => {
                write!(text, "\"{field}\":{value},").expect("a String takes everything");
            }
            // Texts may be written with escapes.
            Some(found) => {
                let found: Value = serde_json::from_str(found.get())
                    .map_err(|error| bad(format!("{prefix}{field}: {error}")))?;
                if found != *value {
                    return Err(bad(format!(
                        "{prefix}{field}: expected {value} as in the path, found {found}"
                    )));
                }
            }
        }
    }
    let own = &object[1..object.len() - 1];
    text.push_str(own);
    if own.trim().is_empty() {
        text.truncate(text.trim_end().trim_end_matches(',').len());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use registry_api::ACTIONS;

    use super::*;

    #[test]
    fn a_read_that_names_nothing_but_a_path_is_turned_as_any_other() {
        let headers = HeaderMap::new();
        let mut turned_short = 0;
        for action in ACTIONS {
            for route in action.routes {
                let shape = Shape::of(action, *route);
                let path = ["a \"quoted\" \\ name", "\u{1}é/..", ""];
                let parts = Parts {
                    path: &path[..shape.path.len()],
                    query: "",
                    headers: &headers,
                    body: b"",
                };
                let Some(short) = named_only(&shape, parts) else {
                    continue;
                };
                turned_short += 1;
                let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
                let expected = turned(&shape, parts).unwrap();
                assert_eq!(value(&short), value(&expected), "{}", route.path);
            }
        }
        assert!(turned_short > 10, "{turned_short} routes");
    }
}
