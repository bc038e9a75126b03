//! As much of protocol buffers as the messages of etcd need.

use anyhow::{Result, bail, ensure};

/// A field of a message: its bytes, or its number where it is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    pub(super) value: u64,
    pub(super) bytes: &'a [u8],
}

const NUMBER: u64 = 0;
const BYTES: u64 = 2;

pub(super) fn bytes_field(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(number << 3 | BYTES, out);
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

pub(super) fn number_field(number: u64, value: u64, out: &mut Vec<u8>) {
    write_varint(number << 3 | NUMBER, out);
    write_varint(value, out);
}

/// The fields of a message, without those of the messages in it.
pub(super) fn fields(mut message: &[u8]) -> Result<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = read_varint(&mut message)?;
        let value = read_varint(&mut message)?;
        let mut bytes: &[u8] = &[];
        match tag & 7 {
            NUMBER => {}
            BYTES => {
                let length = usize::try_from(value)?;
                ensure!(
                    length <= message.len(),
                    "expected {length} bytes of a field, found {}",
                    message.len()
                );
                (bytes, message) = message.split_at(length);
            }
            kind => bail!("expected numbers and bytes, found a field of kind {kind}"),
        }
        fields.push(Field {
            number: tag >> 3,
            value,
            bytes,
        });
    }
    Ok(fields)
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(seven_bits(value) | 0x80);
        value >>= 7;
    }
    out.push(seven_bits(value));
}

fn seven_bits(value: u64) -> u8 {
    u8::try_from(value & 0x7f).expect("seven bits fit")
}

fn read_varint(input: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for (place, byte) in input.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            *input = &input[place + 1..];
            return Ok(value);
        }
    }
    bail!("expected a number, found its beginning")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back() {
        let mut message = Vec::new();
        bytes_field(1, b"key", &mut message);
        number_field(4, 300, &mut message);
        assert_eq!(message, [0x0a, 3, b'k', b'e', b'y', 0x20, 0xac, 2]);
        let read = fields(&message).unwrap();
        assert_eq!((read[0].number, read[0].bytes), (1, &b"key"[..]));
        assert_eq!((read[1].number, read[1].value), (4, 300));
    }

    #[test]
    fn half_a_message_is_none() {
        assert!(fields(&[0x0a, 3, b'k']).is_err());
        assert!(fields(&[0x20, 0xac]).is_err());
    }
}
