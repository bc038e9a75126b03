//! Walks an fcode value without recursion before fcode reads it.
//!
//! fcode skips unknown fields by recursion, one level for one byte, and 30,000 levels overflow a stack of 2 MiB.

use crate::error::CodecError;
use crate::limits::VALUE_DEPTH_MAX;

const FIXED_32: u8 = 1;
const FIXED_64: u8 = 2;
const SEQUENCE: u8 = 3;
const BYTES: u8 = 4;
const VARIANT: u8 = 5;

/// Where the last seven bits of the longest number go: of 128 bits, 4 are in the tag, and 7 in each byte after it.
const NUMBER_SHIFT_MAX: u32 = 123;

/// Checks that `bytes` holds one value that is nested at most [`VALUE_DEPTH_MAX`] deep.
pub(super) fn check(bytes: &[u8]) -> Result<(), CodecError> {
    let mut rest = bytes;
    // Items still to come at each level above the current one.
    let mut open = vec![1u64];
    while let Some(items) = open.last_mut() {
        if *items == 0 {
            open.pop();
            continue;
        }
        *items -= 1;
        let (wire_type, number) = read_tag(&mut rest)?;
        match wire_type {
            0 => {}
            FIXED_32 => skip(&mut rest, 4)?,
            FIXED_64 => skip(&mut rest, 8)?,
            BYTES => skip(&mut rest, number)?,
            SEQUENCE => open.push(number),
            VARIANT => open.push(1),
            _ => return Err(malformed("a reserved wire type")),
        }
        if open.len() > VALUE_DEPTH_MAX {
            return Err(CodecError::Limit {
                unit: "levels",
                max: VALUE_DEPTH_MAX,
                found: open.len(),
            });
        }
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(malformed("bytes after the end"))
    }
}

fn malformed(detail: &str) -> CodecError {
    CodecError::Body {
        codec: super::CodecId::Fcode,
        detail: detail.to_owned(),
    }
}

fn skip(rest: &mut &[u8], count: u64) -> Result<(), CodecError> {
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= rest.len());
    let count = count.ok_or_else(|| malformed("a length beyond the end"))?;
    *rest = &rest[count..];
    Ok(())
}

/// A tag byte holds the wire type in 3 bits, 4 bits of the number, and whether more bytes of it follow.
fn read_tag(rest: &mut &[u8]) -> Result<(u8, u64), CodecError> {
    let (&tag, mut tail) = rest
        .split_first()
        .ok_or_else(|| malformed("the end within a value"))?;
    let mut number = u64::from((tag & 0x7f) >> 3);
    let mut has_more = tag & 0x80 != 0;
    let mut shift = 4;
    // Integers may have 128 bits; their value is of no interest here.
    while has_more {
        let (&byte, after) = tail
            .split_first()
            .ok_or_else(|| malformed("the end within a number"))?;
        if shift > NUMBER_SHIFT_MAX {
            return Err(malformed("a number without end"));
        }
        number += u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        has_more = byte & 0x80 != 0;
        shift += 7;
        tail = after;
    }
    *rest = tail;
    Ok((tag & 7, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_beyond_the_limit_is_refused_before_decoding() {
        // A sequence of one item is one byte: tag 3 with the number 1.
        let nested = |levels: usize| [vec![SEQUENCE | 1 << 3; levels], vec![0]].concat();
        assert!(check(&nested(VALUE_DEPTH_MAX - 1)).is_ok());
        assert!(matches!(
            check(&nested(VALUE_DEPTH_MAX)),
            Err(CodecError::Limit { .. })
        ));
        assert!(matches!(
            check(&nested(100_000)),
            Err(CodecError::Limit { .. })
        ));
    }

    #[test]
    fn every_prefix_of_a_value_is_refused() {
        let value = (
            "text".to_owned(),
            vec![1u32, 70_000],
            Some(u64::MAX),
            u128::MAX,
            (1.5_f32, -2.5_f64),
            Ok::<u8, u8>(7),
        );
        let bytes = fcode::to_bytes(&value).unwrap();
        assert!(check(&bytes).is_ok());
        for end in 0..bytes.len() {
            assert!(check(&bytes[..end]).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn lengths_beyond_the_end_are_refused_without_allocation() {
        let mut bytes = vec![BYTES | 0x80 | 0xf << 3];
        bytes.extend([0xff; 8]);
        bytes.push(0x07);
        assert!(check(&bytes).is_err());
    }
}
