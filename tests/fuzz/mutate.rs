//! Makes new inputs from seeds: bytes changed, pieces taken out, doubled, exchanged, and the words of the formats put in.
//!
//! Knows nothing of what it feeds. The same start gives the same inputs.

/// An input is not made longer than this, in bytes.
const BYTES_MAX: usize = 4096;

/// What readers look for. A mutation of single bytes alone would seldom hit on it.
#[rustfmt::skip]
const WORDS: &[&[u8]] = &[
    b"|", b"^", b"~", b"\\", b"&", b"#", b"\r", b"\n", b"\r\n", b"\r\r", b" ", b"\t", b"\0", b"\x0B", b"\x1C",
    b"\x1C\r", b"\x1A", b"\"\"", b"MSH", b"\rMSH|^~\\&|", b"\x0BMSH|", b"\r\x0BMSH|", b"MSH|^~\\&#|", b"MSH$%*!@$",
    b"FHS|^~\\&\r", b"BHS|^~\\&\r", b"BTS|1\r", b"FTS|1\r", b"PID|", b"\rOBX|1|TX|||", b"\rNTE|1||", b"\rEVN\r",
    b"\rZZ1|", b"\xEF\xBB\xBF", b"\xFF\xFE", b"\xFE\xFF", b"\xEF", b"\xBB\xBF", b"\xC3\xA9", b"\xE9", b"\x81",
    b"\xF0\x9F\x98\x80", b"\\X0D\\", b"\\XC3A9\\", b"\\X", b"\\.br\\", b"\\.sp99\\", b"\\.in+4\\", b"\\.", b"\\E\\",
    b"\\F\\", b"\\P\\", b"\\H\\", b"\\Z1\\", b"8859/1", b"8859/6", b"UNICODE UTF-8", b"UNICODE UTF-16", b"ASCII",
    b"[*]", b"[2]", b"[NHS]", b"-3", b".1", b"[", b"]", b"65535", b"65536", b"0", b"9999", b"0001", b"0229", b"1231",
    b"235959", b".123", b"+0100", b"-1400", b"+14", b"-",
];

/// An endless source of inputs.
pub(crate) struct Mutator {
    /// State of the generator (splitmix64).
    state: u64,
    seeds: Vec<Vec<u8>>,
}

impl Mutator {
    pub(crate) fn new(start: u64, seeds: Vec<Vec<u8>>) -> Self {
        Self { state: start, seeds }
    }

    /// A number below `end`, which must not be 0.
    fn below(&mut self, end: usize) -> usize {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    /// A stretch of `length` bytes: mostly a short one.
    fn stretch(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = if self.below(4) == 0 { length } else { 16 };
        start..(start + self.below(longest + 1)).min(length)
    }

    /// The next input: a seed after one to eight mutations.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let seed = self.below(self.seeds.len());
        let mut input = self.seeds[seed].clone();
        for _ in 0..=self.below(8) {
            self.mutate(&mut input);
        }
        input.truncate(BYTES_MAX);
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let range = self.stretch(input.len());
        let piece = match self.below(8) {
            0 => vec![self.below(256) as u8],
            1 => Vec::new(),
            2 => input[range.clone()].repeat(2),
            3 => input[range.clone()].iter().rev().copied().collect(),
            4 => input[range.clone()].iter().map(|byte| byte ^ (1 << self.below(8))).collect(),
            5 => {
                let other = self.below(self.seeds.len());
                let from = self.stretch(self.seeds[other].len());
                self.seeds[other][from].to_vec()
            }
            _ => WORDS[self.below(WORDS.len())].to_vec(),
        };
        // Put in, or put in place of what stands there.
        let replaced = if self.below(2) == 0 && !piece.is_empty() { range.start..range.start } else { range };
        input.splice(replaced, piece);
    }
}
