//! The head of an answer of HTTP/1.1.

use anyhow::{Context as _, Result, ensure};

use super::shown;

/// What of an answer's head matters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Bytes of the head itself.
    pub(super) bytes: usize,
    /// None where the body comes in pieces.
    pub(super) body_bytes: Option<usize>,
}

impl Head {
    pub(super) fn read(input: &[u8]) -> Result<Option<Self>> {
        let Some(end) = find(input, b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = &input[..end];
        let status = head.get(9..12).context("a status line")?;
        ensure!(
            head.starts_with(b"HTTP/1.1 "),
            "expected HTTP/1.1, found {}",
            shown(head)
        );
        let mut body_bytes = None;
        for line in head.split(|byte| *byte == b'\n') {
            let name = b"content-length: ";
            if line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name) {
                let length = std::str::from_utf8(&line[name.len()..])?.trim();
                body_bytes = Some(length.parse().context("a content-length")?);
            }
        }
        Ok(Some(Self {
            status: std::str::from_utf8(status)?.parse().context("a status")?,
            bytes: end + 4,
            body_bytes,
        }))
    }
}

pub(super) fn find(input: &[u8], part: &[u8]) -> Option<usize> {
    input.windows(part.len()).position(|window| window == part)
}
