//! Edits of files, as an input says: whatever the input, each of its bytes has a meaning.
//!
//! An edit is a byte for what and where, four bytes for a position, one for a length, and so many bytes of content. Its
//! lowest two bits say what happens, the others choose the file. Most of a store's file is empty, so a position counts
//! the used parts alone, or the whole file where its highest bit is set.

use crate::files::Files;

/// Most edits of one input.
const EDITS_MAX: usize = 8;
/// A part of a file is used where one of so many bytes is not zero.
const PART_BYTES: usize = 64;
/// What is copied at once: a page of every engine is a multiple.
const PAGE_BYTES: usize = 512;

const OVERWRITE: u8 = 0;
const TRUNCATE: u8 = 1;
const EXTEND: u8 = 2;

/// Edits files.
pub(crate) fn edit(files: &mut Files, mut input: &[u8]) {
    for _ in 0..EDITS_MAX {
        let Some((head, rest)) = input.split_first_chunk::<6>() else {
            return;
        };
        let [what, position @ .., length] = *head;
        let (content, rest) = rest.split_at(rest.len().min(length.into()));
        input = rest;
        let chosen = usize::from(what >> 2) % files.len().max(1);
        if let Some(file) = files.values_mut().nth(chosen) {
            edit_file(file, what & 3, u32::from_le_bytes(position), content);
        }
    }
}

fn edit_file(file: &mut Vec<u8>, what: u8, position: u32, content: &[u8]) {
    let Some(at) = place(file, position) else {
        return;
    };
    match what {
        OVERWRITE => {
            let end = file.len().min(at + content.len());
            file[at..end].copy_from_slice(&content[..end - at]);
        }
        TRUNCATE => file.truncate(at),
        EXTEND => file.extend_from_slice(content),
        _ => copy_page(file, at, content),
    }
}

/// Copies a page to the place of another one, which the content names.
fn copy_page(file: &mut [u8], from: usize, content: &[u8]) {
    let target = content
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes));
    let Some(to) = target.and_then(|position| place(file, position)) else {
        return;
    };
    let (from, to) = (from / PAGE_BYTES * PAGE_BYTES, to / PAGE_BYTES * PAGE_BYTES);
    let length = PAGE_BYTES.min(file.len() - from.max(to));
    file.copy_within(from..from + length, to);
}

/// The byte that a position stands for; none in an empty file.
fn place(file: &[u8], position: u32) -> Option<usize> {
    let index = usize::try_from(position & !(1 << 31)).expect("31 bits are an index");
    let is_of_whole = position >> 31 == 1;
    let is_used = |part: &[u8]| part.iter().any(|byte| *byte != 0);
    let used = file.chunks(PART_BYTES).enumerate();
    let used: Vec<_> = used.filter(|(_, part)| is_used(part)).collect();
    let last = used.last().filter(|_| !is_of_whole);
    let Some((_, last)) = last else {
        return index.checked_rem(file.len());
    };
    let bytes = (used.len() - 1) * PART_BYTES + last.len();
    let index = index % bytes;
    let (part, _) = used[index / PART_BYTES];
    Some(part * PART_BYTES + index % PART_BYTES)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn edited(content: &[u8], input: &[u8]) -> Vec<u8> {
        let mut files = Files::from([(PathBuf::from("a"), content.to_vec())]);
        edit(&mut files, input);
        files.remove(&PathBuf::from("a")).unwrap()
    }

    #[test]
    fn edits_do_what_their_bytes_say() {
        assert_eq!(
            edited(b"abcdef", &[0, 2, 0, 0, 0, 2, b'X', b'Y']),
            b"abXYef"
        );
        assert_eq!(edited(b"abcdef", &[1, 2, 0, 0, 0, 0]), b"ab");
        assert_eq!(edited(b"abcdef", &[2, 0, 0, 0, 0, 1, b'g']), b"abcdefg");
        let two = [1, 3, 0, 0, 0, 0, 2, 0, 0, 0, 0, 9, b'!'];
        assert_eq!(edited(b"abcdef", &two), b"abc!");
    }

    #[test]
    fn page_is_copied_to_another_place() {
        let file = [[1; PAGE_BYTES], [2; PAGE_BYTES]].concat();
        let copied = edited(&file, &[3, 0, 0, 0, 0, 4, 0, 2, 0, 0]);
        assert_eq!(copied, [1; 2 * PAGE_BYTES]);
    }

    #[test]
    fn position_counts_used_parts_or_the_whole() {
        let file = [vec![0; 1000], vec![7; 24]].concat();
        assert_eq!(place(&file, 0), Some(960));
        assert_eq!(place(&file, 1 << 31 | 5), Some(5));
        assert_eq!(place(&[0; 9], 11), Some(2));
        assert_eq!(place(&[], 3), None);
    }
}
