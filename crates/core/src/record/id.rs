//! Ids that follow from what they name, so that a replay of the same messages gives the same ids.
//!
//! Nothing here draws a random number.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The logical id of a record (its Patient) or of a data point; a version 8 UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceId([u8; 16]);

impl ResourceId {
    /// The id of what `parts` name; equal parts give equal ids, and parts cannot run into each other.
    pub fn derive(parts: &[&str]) -> ResourceId {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        let mut bytes = [0_u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        ResourceId(bytes)
    }

    /// The id of the data point of one type that an organisation knows by `key` (design 1: keyed by sending
    /// organisation, type, sender's id).
    pub fn of_point(organisation: &str, resource_type: &str, key: &str) -> ResourceId {
        ResourceId::derive(&["point", organisation, resource_type, key])
    }

    /// The sixteen bytes, as stores keep them.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id of sixteen stored bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> ResourceId {
        ResourceId(bytes)
    }

    /// Reads the text form; `None` when it is not a UUID in lower or upper case.
    pub fn parse(text: &str) -> Option<ResourceId> {
        let text = text.as_bytes();
        if text.len() != 36 || [8, 13, 18, 23].iter().any(|&at| text[at] != b'-') {
            return None;
        }
        let mut digits = text.iter().filter(|&&byte| byte != b'-');
        let mut bytes = [0_u8; 16];
        for byte in &mut bytes {
            let high = char::from(*digits.next()?).to_digit(16)?;
            let low = char::from(*digits.next()?).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        digits.next().is_none().then_some(ResourceId(bytes))
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// SHA-256 of `bytes` as lower-case hexadecimal: the name of a blob.
pub fn sha256_hex(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_follow_from_their_parts_and_round_trip() {
        let id = ResourceId::of_point("RTST", "Appointment", "A1");
        assert_eq!(id, ResourceId::of_point("RTST", "Appointment", "A1"));
        assert_ne!(id, ResourceId::of_point("RTST", "AppointmentA", "1"));
        assert_eq!(ResourceId::parse(&id.to_string()), Some(id));
        let text = id.to_string();
        assert_eq!(text.as_bytes()[14], b'8');
        for broken in ["", "x", &text[1..], &format!("{text}0"), &text.replace('-', "0")] {
            assert_eq!(ResourceId::parse(broken), None);
        }
    }
}
