//! One line of a file: `{"crc":"<8 hexadecimal digits>","<tag>":<value>}`.
//!
//! The CRC-32 covers the tag and the bytes of the value as they stand, so nothing is parsed before it is checked.

use std::path::Path;

use registry_core::durable::{rename_durably, temporary_path};
use registry_core::{CodecError, Result, private_options};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error;
use crate::store::BACKEND;

const START: &[u8] = b"{\"crc\":\"";
const DIGITS: usize = 8;
const MIDDLE: &[u8] = b"\",\"";
const TAG_BYTES_MAX: usize = 16;
const SECTOR_BYTES: usize = 512;
/// Room of a line before it grows: most have one record.
const LINE_BYTES: usize = 2048;

/// Writes a line with its end.
pub(crate) fn write_line<T: Serialize>(tag: &str, value: &T) -> Vec<u8> {
    let mut line = Vec::with_capacity(LINE_BYTES);
    line.extend(START);
    line.extend([b'0'; DIGITS]);
    line.extend(MIDDLE);
    line.extend(tag.as_bytes());
    line.extend(b"\":");
    let body = line.len();
    serde_json::to_writer(&mut line, value)
        .expect("a stored value has only forms that JSON can write");
    let crc = checksum(tag.as_bytes(), &line[body..]);
    line[START.len()..][..DIGITS].copy_from_slice(format!("{crc:08x}").as_bytes());
    line.extend(b"}\n");
    line
}

/// The value of a line with that tag, as JSON; `line` is without its end.
///
/// # Errors
/// [`CodecError`] for a line that is damaged or has another tag.
pub(crate) fn body_of<'a>(tag: &str, line: &'a [u8]) -> Result<&'a [u8], CodecError> {
    let (found, body) = split(line)?;
    if found == tag.as_bytes() {
        Ok(body)
    } else {
        Err(CodecError::Header("the line has another tag"))
    }
}

/// Reads the value of a line with that tag.
///
/// # Errors
/// As [`body_of`], and for a value of another form.
pub(crate) fn read_line<T: DeserializeOwned>(tag: &str, line: &[u8]) -> Result<T, CodecError> {
    parse(body_of(tag, line)?)
}

/// Reads a value whose line was checked.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, CodecError> {
    serde_json::from_slice(body).map_err(|error| CodecError::Fact(error.to_string()))
}

/// Tag and value of a line whose checksum holds.
pub(crate) fn split(line: &[u8]) -> Result<(&[u8], &[u8]), CodecError> {
    let malformed = || CodecError::Header("the line is not one of a store");
    let rest = line.strip_prefix(START).ok_or_else(malformed)?;
    let (digits, rest) = rest.split_at_checked(DIGITS).ok_or_else(malformed)?;
    let expected = std::str::from_utf8(digits).ok();
    let expected = expected.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let expected = expected.ok_or_else(malformed)?;
    let rest = rest.strip_prefix(MIDDLE).ok_or_else(malformed)?;
    let tag_end = rest
        .iter()
        .take(TAG_BYTES_MAX)
        .position(|byte| *byte == b'"');
    let (tag, rest) = rest.split_at(tag_end.ok_or_else(malformed)?);
    let body = rest.strip_prefix(b"\":").ok_or_else(malformed)?;
    let body = body.strip_suffix(b"}").ok_or_else(malformed)?;
    let found = checksum(tag, body);
    if expected == found {
        Ok((tag, body))
    } else {
        Err(CodecError::Checksum { expected, found })
    }
}

fn checksum(tag: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(tag);
    crc.update(b":");
    crc.update(body);
    crc.finalize()
}

/// Whether what follows the last good line of a file is room for the next one: zeros, which no line has.
pub(crate) fn is_unwritten(rest: &[u8]) -> bool {
    written(rest).is_empty()
}

/// What there is of a file before the zeros at its end.
pub(crate) fn written(content: &[u8]) -> &[u8] {
    let end = content.iter().rposition(|byte| *byte != 0);
    &content[..end.map_or(0, |last| last + 1)]
}

/// Whether what follows the last good line of a file, at `offset`, is what an interrupted append leaves: a line that
/// ends early, or one in which a whole sector was never written. A line that is whole and does not fit its checksum is
/// damage, and so is a whole one with another byte for its end. Zeros behind it are room that no append had reached.
pub(crate) fn is_torn(rest: &[u8], offset: u64) -> bool {
    let rest = written(rest);
    let Some((last, line)) = rest.split_last() else {
        return false;
    };
    if line.contains(&b'\n') {
        return false;
    }
    if *last != b'\n' {
        return split(line).is_err();
    }
    let skew = usize::try_from(offset % SECTOR_BYTES as u64).expect("a sector is small");
    let first = (SECTOR_BYTES - skew).min(rest.len());
    let (head, tail) = rest.split_at(first);
    std::iter::once(head)
        .chain(tail.chunks(SECTOR_BYTES))
        .any(|sector| !sector.is_empty() && sector.iter().all(|byte| *byte == 0))
}

/// Writes a file under another name, and gives it its name when it is durable.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = temporary_path(path);
    let refused =
        |error| registry_core::StoreError::io(BACKEND, "write the file", &temporary, error);
    let mut file = private_options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&temporary)
        .map_err(refused)?;
    std::io::Write::write_all(&mut file, content).map_err(refused)?;
    file.sync_all().map_err(refused)?;
    rename_durably(BACKEND, &temporary, path)
}

/// Reads a file of one line.
pub(crate) fn read_only_line<T: DeserializeOwned>(tag: &str, path: &Path) -> Result<T> {
    let content = std::fs::read(path).map_err(error::missing(path))?;
    let line = content
        .strip_suffix(b"\n")
        .ok_or_else(|| error::damaged(path, "the line has no end"))?;
    read_line(tag, line).map_err(|error| error::codec(path, format!("read the {tag}"), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_a_flipped_bit_does_not() {
        let line = write_line("note", &("a b", [1, 2]));
        let (end, line) = line.split_last().unwrap();
        assert_eq!(*end, b'\n');
        let value: (String, Vec<u8>) = read_line("note", line).unwrap();
        assert_eq!(value, ("a b".to_owned(), vec![1, 2]));
        for bit in 0..line.len() * 8 {
            let mut damaged = line.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(found) = read_line::<(String, Vec<u8>)>("note", &damaged) {
                // The case of a digit of the checksum.
                assert_eq!(found, value, "bit {bit}");
            }
        }
    }

    #[test]
    fn only_an_interrupted_append_is_torn() {
        let line = write_line("group", &"x".repeat(2000));
        let with_room = |line: &[u8]| [line, &[0; 1000]].concat();
        for end in 1..line.len() {
            assert!(is_torn(&line[..end], 100), "{end} bytes");
            assert!(is_torn(&with_room(&line[..end]), 100), "{end} bytes");
        }
        let mut unwritten = line.clone();
        unwritten[512 - 100..1024 - 100].fill(0);
        assert!(is_torn(&unwritten, 100));
        assert!(is_torn(&with_room(&unwritten), 100));
        assert!(!is_torn(&[&with_room(&unwritten), &line[..]].concat(), 100));
        for bit in 0..line.len() * 8 {
            let mut damaged = line.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if damaged[bit / 8] != b'\n' || bit / 8 == line.len() - 1 {
                assert!(!is_torn(&damaged, 100), "bit {bit}");
                assert!(!is_torn(&with_room(&damaged), 100), "bit {bit}");
            }
        }
    }

    #[test]
    fn room_for_lines_is_nothing_but_zeros() {
        assert!(is_unwritten(&[]) && is_unwritten(&[0; 3]) && !is_unwritten(b"\0 \0"));
        assert_eq!(written(b"a\0b\n\0\0"), b"a\0b\n");
        assert_eq!(written(&[0; 3]), b"");
    }
}
