//! The OpenAPI document, made from the table of actions and the schemas of the types.

use std::collections::BTreeSet;

use registry_api::{
    ACTIONS, ActionSchemas, EVENTS, Effect, ErrorCode, PROMETHEUS_TARGETS, action_schemas,
    error_schema,
};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::shape::{BodyRule, Form, Param, Shape, Tag, WAIT};

/// Where the schemas of the document are.
const COMPONENTS: &str = "/components/schemas";
/// Tells the schema of what is read from that of what is written.
const INPUT: &str = "Input";

/// Of all types but health it stands for what a newer version wrote, and is never said to the registry.
const UNKNOWN: &str = "unknown";

/// Both directions of a type differ in what may be left out.
struct Generators {
    inputs: SchemaGenerator,
    outputs: SchemaGenerator,
}

/// The document.
pub(crate) fn document() -> Value {
    let settings = |settings: SchemaSettings| {
        settings.with(|settings| settings.definitions_path = COMPONENTS.into())
    };
    let mut generators = Generators {
        inputs: settings(SchemaSettings::draft2020_12().for_deserialize()).into_generator(),
        outputs: settings(SchemaSettings::draft2020_12().for_serialize()).into_generator(),
    };
    let error = json!(error_schema(&mut generators.outputs));
    let mut paths = Map::new();
    for action in ACTIONS {
        for (index, route) in action.routes.iter().enumerate() {
            let shape = Shape::of(action, *route);
            let operation = operation(&shape, index, &mut generators);
            let path = paths.entry(route.path).or_insert_with(|| json!({}));
            path[route.method.to_lowercase()] = operation;
        }
    }
    for (path, summary, media_type) in OPERATIONAL {
        paths.insert((*path).to_owned(), operational(path, summary, media_type));
    }
    let mut schemas = Map::new();
    for (name, schema) in generators.outputs.take_definitions(true) {
        schemas.insert(name, schema);
    }
    for (name, mut schema) in generators.inputs.take_definitions(true) {
        as_input(&mut schema);
        if name != "Health"
            && let Some(variants) = schema.get_mut("oneOf").and_then(Value::as_array_mut)
        {
            variants.retain(|variant| variant["const"] != UNKNOWN);
        }
        schemas.insert(format!("{name}{INPUT}"), schema);
    }
    schemas.insert(
        "Error".to_owned(),
        json!({ "type": "object", "required": ["error"], "properties": { "error": error } }),
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "harness registry",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A service registry. The same actions are on the WebSocket at /ws.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{ "bearer": [] }, {}],
    })
}

/// Routes outside the table: path, summary, media type of the answer.
const OPERATIONAL: &[(&str, &str, &str)] = &[
    ("/", "where things are", "application/json"),
    (
        "/healthz",
        "whether the process is alive",
        "application/json",
    ),
    (
        "/readyz",
        "whether reads and writes are answered",
        "application/json",
    ),
    (
        "/metrics",
        "figures for Prometheus",
        "application/openmetrics-text",
    ),
    ("/version", "what answers here", "application/json"),
    ("/openapi.json", "this document", "application/json"),
];

fn operational(path: &str, summary: &str, media_type: &str) -> Value {
    let mut content = json!({ media_type: { "schema": {} } });
    if path == "/metrics" {
        content["text/plain"] = json!({ "schema": { "type": "string" } });
    }
    let answer = |description: &str| json!({ "description": description, "headers": headers(false), "content": content });
    let mut responses = json!({ "200": answer("the answer") });
    match path {
        "/readyz" => responses["503"] = answer("not ready; the answer says what and why"),
        "/metrics" => responses["401"] = refusal(401),
        // A request that asks for a WebSocket opens one, or is told why not.
        "/" => {
            for status in [400, 401, 403] {
                responses[status.to_string()] = refusal(status);
            }
        }
        _ => {}
    }
    json!({ "get": {
        "operationId": if path == "/" { "root" } else { path.trim_start_matches('/') },
        "summary": summary,
        "tags": ["operational"],
        "security": [{}],
        "responses": responses,
    } })
}

fn operation(shape: &Shape, index: usize, generators: &mut Generators) -> Value {
    let Generators { inputs, outputs } = generators;
    let schemas = action_schemas(shape.action.name, inputs, outputs);
    let params = schemas
        .as_ref()
        .map(|schemas| resolved(&json!(schemas.params), inputs.definitions()).unwrap_or_default());
    let params = params.unwrap_or_default();
    let id = match index {
        0 => shape.action.name.to_owned(),
        index => format!("{}_{}", shape.action.name, index + 1),
    };
    let mut parameters: Vec<_> = shape
        .path
        .iter()
        .map(|param| named("path", path_name(shape, param), true, text_schema()))
        .collect();
    parameters.extend(shape.query.iter().map(|param| {
        let schema = query_schema(shape, param, &params, inputs.definitions());
        named("query", param.name, false, schema)
    }));
    parameters.extend(header_parameters(shape, &params));
    let mut operation = json!({
        "operationId": id,
        "summary": shape.action.summary,
        "tags": [if shape.route.path.contains("/services") { "services" } else { "registry" }],
        "parameters": parameters,
        "responses": responses(shape, schemas.as_ref(), outputs.definitions()),
    });
    if shape.body != BodyRule::None {
        let schema = body_schema(shape, &params, inputs.definitions());
        operation["requestBody"] = json!({
            "required": shape.body != BodyRule::FieldsIfAny,
            "content": { "application/json": { "schema": schema } },
        });
    }
    operation
}

/// The name that the path has for a parameter.
fn path_name(shape: &Shape, param: &Param) -> &'static str {
    let position = shape
        .path
        .iter()
        .position(|own| own.place == param.place)
        .unwrap_or(0);
    crate::shape::names_in(shape.route.path)
        .nth(position)
        .unwrap_or(param.name)
}

fn text_schema() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^\\u0000]+$" })
}

#[expect(clippy::needless_pass_by_value, reason = "json! takes it by reference")]
fn named(place: &str, name: &str, is_required: bool, schema: Value) -> Value {
    json!({ "name": name, "in": place, "required": is_required, "schema": schema })
}

/// The schema of a parameter of the query: that of its place, as far as a query can say it.
fn query_schema(shape: &Shape, param: &Param, params: &Value, known: &Map<String, Value>) -> Value {
    let place = find(params, param.place, known);
    match param.form {
        Form::Number if param.name == "limit" && shape.action.name == "resolve_service" => {
            json!({ "type": "integer", "minimum": 1, "maximum": u64::MAX })
        }
        Form::Number if param.name == "limit" => {
            json!({ "type": "integer", "minimum": 1, "maximum": 1000 })
        }
        Form::Number if param.name == "distance_max" => {
            json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
        }
        Form::Number => json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }),
        Form::Pairs => {
            json!({ "type": "array", "items": { "type": "string", "pattern": "^[a-z]+=.*$" } })
        }
        Form::Flag => json!({ "type": "boolean" }),
        Form::Text if param.name == WAIT => {
            json!({ "type": "string", "pattern": "^[0-9]{1,4}ms$" })
        }
        Form::Text if param.name == "cursor" => json!({ "type": "string", "minLength": 1 }),
        Form::Text if param.place == ["service"] => text_schema(),
        Form::Text => place
            .and_then(|place| words(&place))
            .unwrap_or_else(|| json!({ "type": "string" })),
        Form::Texts if param.place == ["events"] => {
            let names: Vec<_> = EVENTS.iter().map(|event| event.name).collect();
            json!({ "type": "array", "items": { "type": "string", "enum": names } })
        }
        Form::Texts => {
            let item = place
                .and_then(|place| resolved(&place["items"], known))
                .and_then(|item| words(&item));
            json!({ "type": "array", "items": item.unwrap_or_else(|| json!({ "type": "string" })) })
        }
    }
}

/// The words of a schema that takes one of several, or the form of a text.
fn words(schema: &Value) -> Option<Value> {
    if let Some(variants) = schema["oneOf"].as_array() {
        let words: Vec<_> = variants.iter().map(|variant| &variant["const"]).collect();
        return Some(json!({ "type": "string", "enum": words }));
    }
    schema["format"]
        .is_string()
        .then(|| json!({ "type": "string", "format": schema["format"] }))
}

/// Follows references, and the not-null side of what may be null.
fn resolved(schema: &Value, known: &Map<String, Value>) -> Option<Value> {
    if let Some(name) = schema["$ref"].as_str() {
        return resolved(known.get(name.rsplit('/').next()?)?, known);
    }
    if let Some(sides) = schema["anyOf"].as_array() {
        let side = sides.iter().find(|side| side["type"] != "null")?;
        return resolved(side, known);
    }
    Some(schema.clone())
}

/// The schema at a place among parameters.
fn find(params: &Value, place: &[&str], known: &Map<String, Value>) -> Option<Value> {
    let mut schema = params.clone();
    for step in place {
        schema = resolved(schema["properties"].get(*step)?, known)?;
    }
    Some(schema)
}

fn body_schema(shape: &Shape, params: &Value, known: &Map<String, Value>) -> Value {
    let of_path: BTreeSet<_> = shape
        .path
        .iter()
        .filter_map(|param| param.place.last().copied())
        .collect();
    let mut schema = match shape.body {
        BodyRule::One(field) | BodyRule::Named(field) => {
            find(params, &[field], known).unwrap_or_default()
        }
        _ => params.clone(),
    };
    if !schema.is_object() {
        return json!({ "type": "object" });
    }
    // What the path says is not repeated here.
    schema = without(schema, &of_path);
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        // Nor is what headers say.
        let has_own_headers = matches!(shape.body, BodyRule::Fields | BodyRule::FieldsIfAny);
        properties.retain(|name, _| !has_own_headers || !IN_HEADERS.contains(&name.as_str()));
    }
    if let Some(instance) = find(&schema, &["instance"], known) {
        // A heartbeat's registration is of the instance of the path.
        schema["properties"]["instance"] = without(instance, &of_path);
    }
    as_input(&mut schema);
    schema
}

/// The schema of an object without some of its fields.
fn without(mut schema: Value, names: &BTreeSet<&str>) -> Value {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| !names.contains(name.as_str()));
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !name.as_str().is_some_and(|name| names.contains(name)));
    }
    schema
}

/// Parameters of a write that have headers of their own.
const IN_HEADERS: &[&str] = &["expect_revision", "reason", "idempotency_key"];

fn header_parameters(shape: &Shape, params: &Value) -> Vec<Value> {
    let text = |name: &str, pattern: &str, length_min: usize| {
        let schema = json!({ "type": "string", "pattern": pattern, "minLength": length_min });
        named("header", name, false, schema)
    };
    // What is not understood there is passed over.
    let any = |name: &str| named("header", name, false, json!({ "type": "string" }));
    let mut headers = vec![any("X-Request-Id")];
    for (field, header) in [
        ("expect_revision", text("If-Match", "^\"[0-9]{1,18}\"$", 3)),
        (
            "idempotency_key",
            text("Idempotency-Key", "^[!-~]{1,128}$", 1),
        ),
        ("reason", any("X-Registry-Reason")),
    ] {
        if shape.is_write() && params["properties"].get(field).is_some() {
            headers.push(header);
        }
    }
    if shape.tag != Tag::None {
        headers.push(any("If-None-Match"));
    }
    if shape.action.name == "subscribe" {
        headers.push(text("Last-Event-ID", "^[0-9]{0,18}$", 0));
    }
    headers
}

/// Headers of every answer.
fn headers(has_tag: bool) -> Value {
    let text = json!({ "schema": { "type": "string" } });
    let mut headers = json!({
        "X-Registry-Revision": {
            "description": "the revision that the answer reflects",
            "schema": { "type": "integer", "minimum": 0 },
        },
        "X-Request-Id": text,
    });
    if has_tag {
        headers["ETag"] = text;
    }
    headers
}

fn refusal(status: u16) -> Value {
    let codes: Vec<_> = ErrorCode::ALL
        .iter()
        .filter(|code| code.http_status() == status)
        .map(|code| code.as_str())
        .collect();
    json!({
        "description": codes.join(", "),
        "headers": headers(false),
        "content": {
            "application/json": { "schema": { "$ref": "#/components/schemas/Error" } },
        },
    })
}

/// Statuses of refusals that a route may answer.
fn refusals(shape: &Shape) -> BTreeSet<u16> {
    let mut statuses = BTreeSet::from([400, 401, 408, 413, 429, 500, 503]);
    if !shape.path.is_empty() {
        statuses.insert(404);
    }
    if shape.body != BodyRule::None {
        statuses.insert(415);
    }
    match shape.action.effect {
        Effect::Write => statuses.extend([403, 409, 501]),
        Effect::Unsupported => statuses.extend([501]),
        _ => statuses.extend([410, 501]),
    }
    statuses
}

fn responses(shape: &Shape, schemas: Option<&ActionSchemas>, known: &Map<String, Value>) -> Value {
    let mut responses = json!({});
    for status in refusals(shape) {
        responses[status.to_string()] = refusal(status);
    }
    let Some(schemas) = schemas else {
        return responses;
    };
    let mut schema = json!(schemas.answer);
    if !shape.part.is_empty() {
        schema = resolved(&schema, known).unwrap_or_default();
        if let Some(properties) = schema["properties"].as_object_mut() {
            properties.retain(|name, _| shape.part.contains(&name.as_str()));
        }
        schema["required"] = json!(shape.part);
    }
    let content = match shape.action.name {
        "subscribe" => json!({
            "text/event-stream": { "schema": { "type": "string" } },
            "application/json": { "schema": polled() },
        }),
        _ if shape.route.path == PROMETHEUS_TARGETS => json!({
            "application/json": { "schema": targets() },
        }),
        "snapshot" => json!({ "application/x-ndjson": { "schema": { "type": "string" } } }),
        _ => json!({ "application/json": { "schema": schema } }),
    };
    let answer = |description: &str| {
        let headers = headers(shape.tag != Tag::None);
        json!({ "description": description, "headers": headers, "content": content })
    };
    responses["200"] = answer("the answer");
    if shape.is_write() && shape.route.method != "DELETE" {
        responses["201"] = answer("it is new");
    }
    if shape.tag != Tag::None {
        let headers = headers(true);
        responses["304"] = json!({ "description": "the tag is known", "headers": headers });
    }
    responses
}

/// Targets as Prometheus takes them.
fn targets() -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let labels = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    json!({ "type": "array", "items": {
        "type": "object",
        "required": ["targets", "labels"],
        "properties": { "targets": texts, "labels": labels },
    } })
}

/// The answer to a poll.
fn polled() -> Value {
    let told = json!({
        "type": "object",
        "required": ["event", "data"],
        "properties": { "event": { "type": "string" }, "data": { "type": "object" } },
    });
    json!({
        "type": "object",
        "required": ["events", "revision"],
        "properties": {
            "events": { "type": "array", "items": told },
            "revision": { "type": "integer", "minimum": 0 },
        },
    })
}

/// Makes a schema one of what is read: unknown fields are refused, and references stay among inputs.
fn as_input(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
            let number_max = match fields.get("format").and_then(Value::as_str) {
                Some("uint64") => Some(u64::MAX),
                Some("uint32") => Some(u32::MAX.into()),
                _ => None,
            };
            if let Some(number_max) = number_max {
                fields.entry("maximum").or_insert(json!(number_max));
            }
            if let Some(Value::String(reference)) = fields.get_mut("$ref") {
                reference.push_str(INPUT);
            }
            fields.values_mut().for_each(as_input);
        }
        Value::Array(items) => items.iter_mut().for_each(as_input),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_of_a_query_has_its_place_in_the_action() {
        for action in ACTIONS {
            for route in action.routes {
                let shape = Shape::of(action, *route);
                let mut generators = Generators {
                    inputs: SchemaSettings::draft2020_12()
                        .for_deserialize()
                        .into_generator(),
                    outputs: SchemaSettings::draft2020_12().into_generator(),
                };
                let Generators { inputs, outputs } = &mut generators;
                let Some(schemas) = action_schemas(action.name, inputs, outputs) else {
                    continue;
                };
                let known = inputs.definitions();
                let params = resolved(&json!(schemas.params), known).unwrap();
                let own = shape.query.iter().filter(|param| param.name != WAIT);
                for param in own {
                    assert!(find(&params, param.place, known).is_some(), "{param:?}");
                }
            }
        }
    }

    #[test]
    fn document_has_every_route_and_no_loose_end() {
        let document = document();
        for action in ACTIONS {
            for route in action.routes {
                let method = route.method.to_lowercase();
                let operation = &document["paths"][route.path][&method];
                assert!(operation["responses"].is_object(), "{route:?}");
            }
        }
        for path in crate::OPERATIONAL {
            assert!(document["paths"][path]["get"].is_object(), "{path}");
        }
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
