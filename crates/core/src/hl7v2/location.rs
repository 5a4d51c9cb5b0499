//! Where a value stands, in the form an analyst writes it: `OBX[2]-5[1].3`.
//!
//! Names places only; it never shows what stands there, so it may go into logs and ACKs.

use std::fmt;

use super::segment::SegmentName;

/// The place of a value in its message. Numbers count from 1; 0 means "not that deep".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Location {
    /// The segment's name; `None` for a line that is not a segment.
    pub segment: Option<SegmentName>,
    /// Which of the segments of that name.
    pub occurrence: usize,
    /// The field; 0 for the segment's name.
    pub field: u16,
    /// The repetition, 0 for the whole field.
    pub repetition: u32,
    /// The component, 0 for all of them.
    pub component: u16,
    /// The subcomponent, 0 for all of them.
    pub subcomponent: u16,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.segment.as_ref().map_or("???", SegmentName::as_str);
        write!(f, "{name}[{}]-{}", self.occurrence, self.field)?;
        if self.repetition > 0 {
            write!(f, "[{}]", self.repetition)?;
        }
        if self.component > 0 {
            write!(f, ".{}", self.component)?;
        }
        if self.subcomponent > 0 {
            write!(f, ".{}", self.subcomponent)?;
        }
        Ok(())
    }
}
