//! A fixed hash index from names to places, for tables that are built once and read always.
//!
//! Never allocates on look-up. Made for short names from a trusted table; hostile names only cost one probe run.

/// Open addressing over at most 65,534 names; at least half of the places stay free.
#[derive(Debug)]
pub(super) struct NameIndex {
    places: Box<[u16]>,
}

const FREE: u16 = u16::MAX;

impl NameIndex {
    /// Names must differ; of equal ones the first is found.
    pub(super) fn new(names: &[&str]) -> Self {
        let mut places = vec![FREE; (names.len() * 2).next_power_of_two()].into_boxed_slice();
        for (at, name) in names.iter().enumerate().take(usize::from(FREE)) {
            let mut place = hash(name) & (places.len() - 1);
            while places[place] != FREE {
                place = (place + 1) & (places.len() - 1);
            }
            places[place] = u16::try_from(at).unwrap_or(FREE);
        }
        Self { places }
    }

    /// The place of `name`; `name_at` gives the name of a place.
    pub(super) fn find(&self, name: &str, name_at: impl Fn(usize) -> &'static str) -> Option<usize> {
        let mask = self.places.len() - 1;
        let mut place = hash(name) & mask;
        loop {
            let at = self.places[place];
            if at == FREE {
                return None;
            }
            if name_at(usize::from(at)) == name {
                return Some(usize::from(at));
            }
            place = (place + 1) & mask;
        }
    }
}

/// Mixes the first and last eight bytes and the length: enough to tell element names apart.
fn hash(name: &str) -> usize {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let bytes = name.as_bytes();
    let word = if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(27)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        u64::from(u32::from_le_bytes(*first)) | (u64::from(u32::from_le_bytes(*last)) << 32)
    } else {
        bytes.iter().fold(0, |word, &byte| (word << 8) | u64::from(byte))
    };
    ((word ^ bytes.len() as u64).wrapping_mul(ODD) >> 40) as usize
}
