//! Reads input strictly: an unknown field, a wrong type, a doubled field is an error with the path of the field.

mod known;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::known::Known;

/// Most unknown fields that an error names.
const UNKNOWN_NAMED_MAX: usize = 5;

/// Reads JSON text as a value. Nesting beyond 128 levels is refused before it is followed.
///
/// # Errors
/// A message with the path of the field, or with line and column where the text is no JSON.
pub fn parse_strict<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    parse_strict_borrowed(text)
}

/// As [`parse_strict`], of a value that may borrow from the text.
///
/// The text is read a second time where there is an error to tell: keeping the paths of fields costs more than the
/// reading itself, and is for nothing where the text is right.
pub(crate) fn parse_strict_borrowed<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    if let Ok(value) = T::deserialize(Known(&mut deserializer))
        && deserializer.end().is_ok()
    {
        return Ok(value);
    }
    parse_with_paths(text)
}

fn parse_with_paths<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let mut unknown = Vec::new();
    let mut note_unknown = |path: serde_ignored::Path<'_>| {
        if unknown.len() < UNKNOWN_NAMED_MAX {
            unknown.push(path_text(&path));
        }
    };
    let strict = serde_ignored::Deserializer::new(&mut deserializer, &mut note_unknown);
    let value = serde_path_to_error::deserialize(strict).map_err(|error| {
        let path = error.path().to_string();
        if path == "." {
            error.inner().to_string()
        } else {
            format!("{path}: {}", error.inner())
        }
    })?;
    deserializer.end().map_err(|error| error.to_string())?;
    if unknown.is_empty() {
        Ok(value)
    } else {
        Err(format!("unknown field: {}", unknown.join(", ")))
    }
}

/// A path as the other errors have it: `endpoints[0].address`.
fn path_text(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", path_text(parent)),
        Path::Map { parent, key } => match path_text(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => path_text(parent),
    }
}

#[cfg(test)]
mod tests {
    use registry_core::model::ServiceEntry;

    use super::*;

    fn refusal(text: &str) -> String {
        parse_strict::<ServiceEntry>(text).expect_err("the text is not an entry")
    }

    #[test]
    fn errors_name_the_field() {
        assert!(
            refusal(r#"{"name":"a","version":"1","colour":"red"}"#)
                .contains("unknown field: colour")
        );
        let nested = r#"{"name":"a","version":"1","endpoints":[{"name":"h","address":"1.1.1.1:1","protocol":"tcp","x":1}]}"#;
        assert!(
            refusal(nested).contains("endpoints[0].x"),
            "{}",
            refusal(nested)
        );
        assert!(refusal(r#"{"name":7,"version":"1"}"#).starts_with("name: "));
        assert!(refusal(r#"{"name":"a","name":"b","version":"1"}"#).contains("duplicate field"));
        assert!(refusal(r#"{"name":"a","version":"1"} x"#).contains("trailing"));
    }

    #[test]
    fn unknown_fields_are_found_wherever_they_stand() {
        let health = r#"{"status":"passing","checked_at":"2026-01-01T00:00:00Z","x":1}"#;
        let remote = r#"{"remote":{"host":"h","ssh_config":{"user":"u","x":1}}}"#;
        for (field, value) in [
            ("execution", r#"{"managed_process":{"command":"c","x":1}}"#),
            ("location", remote),
            ("last_health_check", health),
        ] {
            let text = format!(r#"{{"name":"a","version":"1","{field}":{value}}}"#);
            let refusal = refusal(&text);
            assert!(refusal.contains("unknown field"), "{refusal}");
            let known = text.replace(r#","x":1"#, "");
            let mut right = serde_json::Deserializer::from_str(&known);
            // The first reading is enough where nothing is unknown.
            ServiceEntry::deserialize(Known(&mut right)).unwrap();
            right.end().unwrap();
        }
    }

    #[test]
    fn unknown_variants_are_refused_with_the_field_and_the_known_ones() {
        let cases = [
            (
                "execution",
                r#"{"function":{"runtime":"wasm"}}"#,
                "systemd_service",
            ),
            ("execution", r#""function""#, "docker_container"),
            ("location", r#""orbit""#, "remote"),
            ("state", r#"{"drained":{}}"#, "running"),
            ("state", r#""drained""#, "running"),
        ];
        for (field, variant, known) in cases {
            let text = format!(r#"{{"name":"a","version":"1","{field}":{variant}}}"#);
            let refusal = refusal(&text);
            assert!(refusal.starts_with(field), "{refusal}");
            assert!(refusal.contains("unknown variant"), "{refusal}");
            assert!(refusal.contains(known), "{refusal}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_a_crash() {
        let deep = format!(
            r#"{{"name":{}1{},"version":"1"}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(!refusal(&deep).is_empty());
    }
}
