//! Makes hostile inputs of good ones.

use fastrand::Rng;

/// Largest input that is made, in bytes.
pub(crate) const INPUT_BYTES_MAX: usize = 64 * 1024;
/// Most changes of one input.
const CHANGES_MAX: usize = 6;
/// Most bytes that one change inserts, removes or repeats.
const PIECE_BYTES_MAX: usize = 64;
/// Most times that a piece is repeated: deep nesting is a short piece, repeated.
const REPEATS_MAX: usize = 4096;

/// Numbers at which code that counts bytes goes wrong.
const NUMBERS: [u64; 14] = [
    0,
    1,
    0x7d,
    0x7e,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Makes inputs from a corpus. The same seed makes the same inputs.
#[derive(Debug)]
pub(crate) struct Mutator<'a> {
    rng: Rng,
    corpus: &'a [Vec<u8>],
    dictionary: &'a [&'static str],
}

impl<'a> Mutator<'a> {
    pub(crate) fn new(seed: u64, corpus: &'a [Vec<u8>], dictionary: &'a [&'static str]) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            corpus,
            dictionary,
        }
    }

    /// The next input, at most [`INPUT_BYTES_MAX`] long.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.any_entry().to_vec();
        input.truncate(INPUT_BYTES_MAX);
        for _ in 0..self.rng.usize(1..=CHANGES_MAX) {
            self.change(&mut input);
            input.truncate(INPUT_BYTES_MAX);
        }
        input
    }

    fn any_entry(&mut self) -> &'a [u8] {
        let corpus = self.corpus;
        self.rng.choice(corpus).map_or(&[], Vec::as_slice)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        match self.rng.u8(0..10) {
            0 => self.flip_bit(input),
            1 => self.set_byte(input),
            2 => self.write_number(input),
            3 => self.write_digits(input),
            4 => self.insert_token(input),
            5 => self.remove(input),
            6 => self.repeat(input),
            7 => self.splice(input),
            8 => input.truncate(self.rng.usize(..=input.len())),
            _ => self.swap(input),
        }
    }

    fn flip_bit(&mut self, input: &mut [u8]) {
        if let Some(at) = self.place_in(input) {
            input[at] ^= 1 << self.rng.u8(0..8);
        }
    }

    fn set_byte(&mut self, input: &mut [u8]) {
        if let Some(at) = self.place_in(input) {
            input[at] = self.rng.u8(..);
        }
    }

    /// A number in binary, in either order and of any width, over what is there.
    fn write_number(&mut self, input: &mut [u8]) {
        let Some(at) = self.place_in(input) else {
            return;
        };
        let number = self.number();
        let width = [1, 2, 4, 8][self.rng.usize(0..4)];
        let (little, big) = (number.to_le_bytes(), number.to_be_bytes());
        let bytes = if self.rng.bool() {
            &little[..width]
        } else {
            &big[8 - width..]
        };
        let room = width.min(input.len() - at);
        input[at..at + room].copy_from_slice(&bytes[..room]);
    }

    /// A number in digits, in the place of the digits that are there.
    fn write_digits(&mut self, input: &mut Vec<u8>) {
        let from = self.rng.usize(..=input.len());
        let is_digit = |byte: &u8| byte.is_ascii_digit();
        let Some(skipped) = input[from..].iter().position(is_digit) else {
            return;
        };
        let begin = from + skipped;
        let digits = input[begin..]
            .iter()
            .take_while(|byte| is_digit(byte))
            .count();
        let sign = if self.rng.bool() { "" } else { "-" };
        let text = format!("{sign}{}", self.number());
        input.splice(begin..begin + digits, text.into_bytes());
    }

    fn insert_token(&mut self, input: &mut Vec<u8>) {
        let dictionary = self.dictionary;
        if let Some(token) = self.rng.choice(dictionary) {
            let at = self.rng.usize(..=input.len());
            input.splice(at..at, token.bytes());
        }
    }

    fn remove(&mut self, input: &mut Vec<u8>) {
        let (begin, end) = self.piece_of(input);
        input.drain(begin..end);
    }

    fn repeat(&mut self, input: &mut Vec<u8>) {
        let (begin, end) = self.piece_of(input);
        let piece = input[begin..end].to_vec();
        // Mostly few: long inputs are slow.
        let times = if self.rng.u8(0..16) == 0 {
            self.rng.usize(1..=REPEATS_MAX)
        } else {
            self.rng.usize(1..=8)
        };
        let room = (INPUT_BYTES_MAX - input.len()) / piece.len().max(1);
        input.splice(begin..begin, piece.repeat(times.min(room)));
    }

    /// A piece of another entry of the corpus, inserted or in the place of the rest.
    fn splice(&mut self, input: &mut Vec<u8>) {
        let other = self.any_entry();
        let (begin, end) = self.piece_of(other);
        let at = self.rng.usize(..=input.len());
        if self.rng.bool() {
            input.splice(at..at, other[begin..end].iter().copied());
        } else {
            input.truncate(at);
            input.extend_from_slice(&other[begin..]);
        }
    }

    fn swap(&mut self, input: &mut [u8]) {
        if let (Some(a), Some(b)) = (self.place_in(input), self.place_in(input)) {
            input.swap(a, b);
        }
    }

    fn number(&mut self) -> u64 {
        let number = NUMBERS[self.rng.usize(..NUMBERS.len())];
        number.wrapping_add(self.rng.u64(0..3)).wrapping_sub(1)
    }

    fn place_in(&mut self, input: &[u8]) -> Option<usize> {
        (!input.is_empty()).then(|| self.rng.usize(..input.len()))
    }

    fn piece_of(&mut self, input: &[u8]) -> (usize, usize) {
        let begin = self.rng.usize(..=input.len());
        let longest = PIECE_BYTES_MAX.min(input.len() - begin);
        (begin, begin + self.rng.usize(..=longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_makes_the_same_inputs() {
        let corpus = [b"{\"limit\":12}".to_vec(), vec![0; 300]];
        let inputs = |seed| {
            let mut mutator = Mutator::new(seed, &corpus, &["null"]);
            (0..1000).map(|_| mutator.next()).collect::<Vec<_>>()
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
    }

    #[test]
    fn inputs_stay_below_the_limit() {
        let corpus = [vec![b'['; INPUT_BYTES_MAX + 1]];
        let mut mutator = Mutator::new(1, &corpus, &["[[[[[[[["]);
        assert!((0..1000).all(|_| mutator.next().len() <= INPUT_BYTES_MAX));
    }

    #[test]
    fn empty_corpus_still_makes_inputs() {
        let mut mutator = Mutator::new(1, &[], &["a"]);
        assert!((0..100).any(|_| !mutator.next().is_empty()));
    }
}
