//! Finds the bytes that end fields and lines.
//!
//! Fields are a few bytes long, so eight bytes are compared at once and no call is made for each
//! hit (half the time of `memchr3` on a 1 KB message); a long field without any is left to
//! `memchr3`, which is faster there. It knows three bytes and nothing of HL7.

/// Words without a hit after which the rest of a long field is skipped.
const QUIET_WORDS: u32 = 16;

/// Offsets of all field separators, CR and LF, in order.
pub(super) struct Delimiters<'b> {
    bytes: &'b [u8],
    field: u8,
    /// Offset of the word at hand.
    word: usize,
    /// Bit 7 of every byte of that word that is a hit not yet given.
    hits: u64,
}

impl<'b> Delimiters<'b> {
    /// All delimiters of `bytes`; `field` must not be 0.
    pub(super) fn of(bytes: &'b [u8], field: u8) -> Self {
        let mut delimiters = Self { bytes, field, word: 0, hits: 0 };
        delimiters.hits = delimiters.load();
        delimiters
    }

    /// The hits of the word at hand; a short last word is filled up with zeros.
    fn load(&self) -> u64 {
        let rest = self.bytes.get(self.word..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        equal(word, self.field) | equal(word, b'\r') | equal(word, b'\n')
    }
}

impl Iterator for Delimiters<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let mut quiet = 0;
        while self.hits == 0 {
            self.word += 8;
            quiet += 1;
            if quiet == QUIET_WORDS {
                let rest = self.bytes.get(self.word..)?;
                self.word += memchr::memchr3(self.field, b'\r', b'\n', rest)?;
            }
            if self.word >= self.bytes.len() {
                return None;
            }
            self.hits = self.load();
        }
        let at = self.word + (self.hits.trailing_zeros() / 8) as usize;
        self.hits &= self.hits - 1;
        Some(at)
    }
}

/// Bit 7 of every byte of `word` that equals `byte`, exactly.
fn equal(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    let differs = word ^ (u64::from(byte) * 0x0101_0101_0101_0101);
    !(((differs & LOW) + LOW) | differs | LOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_fields_are_skipped_and_nothing_else() {
        for length in [0, 1, 7, 8, 9, 127, 128, 129, 1000] {
            let bytes = format!("|{}|\r{}\n", "x".repeat(length), "y".repeat(length));
            let found: Vec<usize> = Delimiters::of(bytes.as_bytes(), b'|').collect();
            assert_eq!(found, [0, length + 1, length + 2, 2 * length + 3], "{length}");
        }
        assert_eq!(Delimiters::of(b"", b'|').count(), 0);
        assert_eq!(Delimiters::of(&[b'x'; 5000], b'|').count(), 0);
    }

    proptest! {
        #[test]
        fn finds_what_memchr_finds(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'|'), Just(b'\r'), Just(b'x')], 0..400),
        ) {
            let expected: Vec<usize> = memchr::memchr3_iter(b'|', b'\r', b'\n', &bytes).collect();
            prop_assert_eq!(Delimiters::of(&bytes, b'|').collect::<Vec<_>>(), expected);
        }
    }
}
