//! Zeros ahead of what is appended to a file.

use std::io::{self, ErrorKind};

/// Least that is written ahead, in bytes. A small file gets as much as it has.
const AHEAD_BYTES_MIN: u64 = 64 * 1024;
/// Most that is written ahead, in bytes: the sync that comes next writes it, so it is what one commit in a thousand or so
/// waits for.
const AHEAD_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes of one write of zeros.
const BLOCK_BYTES: usize = 64 * 1024;
/// What a file system gives a file at a time.
const PAGE_BYTES: u64 = 4096;
static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// The end of what was ever written to a file that grows, moved on in steps that are larger than what is appended.
///
/// A sync of an append has the file's size or its blocks to write beside the data; one that writes over zeros has the data
/// alone. How zeros are told from data is the format's business.
///
/// Invariant: nothing but zeros is at or behind the end, so that writing zeros there loses nothing.
#[derive(Debug)]
pub struct Runway {
    end: u64,
}

impl Runway {
    /// The runway of a file that holds data up to `end`, and nothing or zeros from there on.
    pub fn new(end: u64) -> Self {
        Self { end }
    }

    /// Makes sure that a write from `from` to `to` is one over zeros, and moves the end before it with `write`, which
    /// takes an offset and what to write there; never beyond `limit`. Free unless the write passes the end.
    ///
    /// A disk without room for zeros may have some for the data, so that is no error.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn extend(
        &mut self,
        from: u64,
        to: u64,
        limit: u64,
        mut write: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if to <= self.end {
            return Ok(());
        }
        let is_far = from.saturating_sub(self.end) > AHEAD_BYTES_MAX;
        let begin = if is_far { to } else { self.end };
        // From here on nothing behind the old end is known to be zeros, whatever comes of the writes.
        self.end = to;
        if is_far {
            return Ok(());
        }
        let ahead = to.clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX);
        let end = (to + ahead).next_multiple_of(PAGE_BYTES).min(limit);
        match fill(begin..end, &mut write) {
            Ok(()) => self.end = self.end.max(end),
            Err(error) if is_full(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes note that the file was cut off.
    pub fn cut(&mut self, length: u64) {
        self.end = self.end.min(length);
    }
}

fn fill(
    range: std::ops::Range<u64>,
    write: &mut impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let bytes = (range.end - at).min(BLOCK_BYTES as u64);
        let zeros = usize::try_from(bytes).map_or(&ZEROS[..], |bytes| &ZEROS[..bytes]);
        write(at, zeros)?;
        at += bytes;
    }
    Ok(())
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = PAGE_BYTES;

    /// Extends for a write, and answers what was written before it.
    fn extended(runway: &mut Runway, from: u64, to: u64, limit: u64) -> Vec<(u64, u64)> {
        let mut writes = Vec::new();
        runway
            .extend(from, to, limit, |at, zeros| {
                assert!(zeros.iter().all(|byte| *byte == 0));
                writes.push((at, at + zeros.len() as u64));
                Ok(())
            })
            .unwrap();
        writes
    }

    #[test]
    fn zeros_reach_ahead_of_an_append_and_the_next_ones_write_over_them() {
        let mut runway = Runway::new(100);
        let writes = extended(&mut runway, 100, 500, u64::MAX);
        assert_eq!(writes.first().unwrap().0, 100);
        let end = writes.last().unwrap().1;
        assert_eq!(end % PAGE, 0);
        assert!(end >= 500 + AHEAD_BYTES_MIN, "{end}");
        assert_eq!(extended(&mut runway, 500, end, u64::MAX), []);
        assert_eq!(extended(&mut runway, end, end + 1, u64::MAX)[0].0, end);
    }

    #[test]
    fn more_is_written_ahead_of_a_larger_file_up_to_a_bound() {
        let ahead = |end: u64| {
            let writes = extended(&mut Runway::new(end), end, end, u64::MAX);
            assert_eq!(writes, []);
            let writes = extended(&mut Runway::new(end), end, end + 1, u64::MAX);
            writes.last().unwrap().1 - end
        };
        assert!(ahead(0) < 2 * AHEAD_BYTES_MIN);
        assert!(ahead(AHEAD_BYTES_MAX / 2) >= AHEAD_BYTES_MAX / 2);
        assert!(ahead(1 << 40) <= AHEAD_BYTES_MAX + PAGE);
    }

    #[test]
    fn nothing_is_written_beyond_the_limit() {
        let mut runway = Runway::new(0);
        assert_eq!(extended(&mut runway, 0, 10, 4000).last().unwrap().1, 4000);
        assert_eq!(extended(&mut runway, 4000, 4010, 4010), [(4000, 4010)]);
    }

    #[test]
    fn data_far_ahead_is_never_written_over() {
        let mut runway = Runway::new(0);
        let far = 10 * AHEAD_BYTES_MAX;
        assert_eq!(extended(&mut runway, far, far + PAGE, u64::MAX), []);
        assert_eq!(extended(&mut runway, 0, PAGE, u64::MAX), []);
        let writes = extended(&mut runway, far + PAGE, far + 2 * PAGE, u64::MAX);
        assert_eq!(writes.first().unwrap().0, far + PAGE);
    }

    #[test]
    fn data_survives_a_failure_to_write_zeros() {
        let refuse = |kind: ErrorKind| move |_, _: &[u8]| Err(io::Error::from(kind));
        let mut runway = Runway::new(0);
        let done = runway.extend(0, 100, u64::MAX, refuse(ErrorKind::StorageFull));
        assert!(done.is_ok());
        assert_eq!(extended(&mut runway, 0, 100, u64::MAX), []);
        let done = runway.extend(100, 200, u64::MAX, refuse(ErrorKind::PermissionDenied));
        assert_eq!(done.unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(extended(&mut runway, 200, 300, u64::MAX)[0].0, 200);
    }

    #[test]
    fn what_was_cut_off_is_filled_again() {
        let mut runway = Runway::new(10 * PAGE);
        runway.cut(PAGE);
        assert_eq!(extended(&mut runway, PAGE, PAGE + 1, u64::MAX)[0].0, PAGE);
    }
}
