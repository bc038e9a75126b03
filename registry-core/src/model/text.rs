//! The rules that every text of the model keeps, and the error that says which one was broken.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

/// A value that the model refuses, with the place it stands at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{field}: expected {expected}, found {found}")]
pub struct ModelError {
    /// Path of the field, such as `endpoints[3].name`.
    pub field: String,
    /// What the rule asks for.
    pub expected: String,
    /// What was there instead, shortened.
    pub found: String,
}

impl ModelError {
    /// An error at `field`.
    pub fn new(
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// The same error, seen from the value that holds this one.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

/// Checks a text that may be empty. The field is written out only where it breaks a rule.
pub(crate) fn check_text(
    field: impl Display,
    text: &str,
    bytes_max: usize,
) -> Result<(), ModelError> {
    if text.len() > bytes_max {
        return Err(ModelError::new(
            field.to_string(),
            format!("at most {bytes_max} bytes"),
            format!("{} bytes", text.len()),
        ));
    }
    if text.contains('\0') {
        let expected = "text without U+0000";
        return Err(ModelError::new(field.to_string(), expected, "U+0000"));
    }
    Ok(())
}

/// Checks a text that must not be empty.
pub(crate) fn check_present(
    field: impl Display,
    text: &str,
    bytes_max: usize,
) -> Result<(), ModelError> {
    if text.is_empty() {
        return Err(ModelError::new(
            field.to_string(),
            format!("1 to {bytes_max} bytes"),
            "an empty text",
        ));
    }
    check_text(field, text, bytes_max)
}

/// Checks the length of a list.
pub(crate) fn check_count(field: &str, count: usize, max: usize) -> Result<(), ModelError> {
    if count > max {
        return Err(ModelError::new(
            field,
            format!("at most {max} entries"),
            format!("{count}"),
        ));
    }
    Ok(())
}
