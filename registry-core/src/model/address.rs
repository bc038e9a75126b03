//! Addresses as text, without a formatter.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use serde::Serializer;

/// Longest text: an IPv6 address in full with a scope, and a port.
const TEXT_BYTES_MAX: usize = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535".len();

/// The text of an address as `Display` has it, on the stack. That goes through a formatter for each number, which is
/// most of what it costs to write an entry.
pub(crate) struct AddressText {
    bytes: [u8; TEXT_BYTES_MAX],
    length: usize,
}

impl AddressText {
    pub(crate) fn of(address: SocketAddr) -> Self {
        let mut text = Self {
            bytes: [0; TEXT_BYTES_MAX],
            length: 0,
        };
        let SocketAddr::V4(address) = address else {
            write!(text, "{address}").expect("no address has a longer text");
            return text;
        };
        let mut digits = itoa::Buffer::new();
        let [first, rest @ ..] = address.ip().octets();
        text.push(digits.format(first));
        for octet in rest {
            text.push(".");
            text.push(digits.format(octet));
        }
        text.push(":");
        text.push(digits.format(address.port()));
        text
    }

    fn push(&mut self, part: &str) {
        let end = self.length + part.len();
        self.bytes[self.length..end].copy_from_slice(part.as_bytes());
        self.length = end;
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("it was put together from texts")
    }
}

impl fmt::Write for AddressText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if part.len() > TEXT_BYTES_MAX - self.length {
            return Err(fmt::Error);
        }
        self.push(part);
        Ok(())
    }
}

pub(super) fn serialize<S: Serializer>(
    address: &SocketAddr,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(AddressText::of(*address).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_that_of_display() {
        for address in [
            "0.0.0.0:0",
            "10.200.3.47:8080",
            "255.255.255.255:65535",
            "[::1]:80",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535",
        ] {
            let parsed: SocketAddr = address.parse().unwrap();
            assert_eq!(AddressText::of(parsed).as_str(), parsed.to_string());
        }
    }
}
