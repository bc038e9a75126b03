//! Schemas of the types that write themselves as texts.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::limits::NAME_BYTES_MAX;
use crate::model::Name;
use crate::revision::Revision;
use crate::time::{Span, Timestamp};
use crate::transaction::TransactionId;

macro_rules! schema {
    ($type:ident, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

schema!(Timestamp, "Timestamp", {
    "description": "A time in RFC 3339, UTC.",
    "type": "string",
    "format": "date-time",
});
schema!(Revision, "Revision", {
    "description": "Number of a commit; 0 is the empty store.",
    "type": "integer",
    "minimum": 0,
});
schema!(Name, "Name", {
    "description": "A name, at most 255 bytes of UTF-8 without U+0000.",
    "type": "string",
    "minLength": 1,
    "maxLength": NAME_BYTES_MAX,
});
schema!(TransactionId, "TransactionId", {
    "description": "Id of a transaction.",
    "type": "string",
});
schema!(Span, "Span", {
    "description": "A span of time such as 500ms, 30s, 5m, 2h or 90d.",
    "type": "string",
    "pattern": "^[0-9]{1,11}(ms|s|m|h|d)$",
});
