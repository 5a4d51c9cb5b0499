//! Which fields of a message were read by what came of it, so that the others can be told (nothing is dropped in silence).

use std::cell::RefCell;

use crate::hl7v2::{Message, Segment};

/// The last field with a place of its own; those behind it share one. HL7's longest segments end before it.
const LAST_FIELD: u16 = 63;

/// The fields of each segment that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads(Vec<u64>);

impl Reads {
    /// Whether a field of a segment was read.
    pub(super) fn has(&self, segment: usize, field: u16) -> bool {
        self.0.get(segment).is_some_and(|fields| fields & bit(field) != 0)
    }
}

fn bit(field: u16) -> u64 {
    1 << field.min(LAST_FIELD)
}

/// Reads under way: those of what may still come to nothing are taken back then.
pub(super) struct Reading {
    open: RefCell<Vec<(usize, u16)>>,
    settled: RefCell<Reads>,
}

/// How far reading had come.
#[derive(Clone, Copy)]
pub(super) struct Page(usize);

impl Reading {
    pub(super) fn of(message: &Message) -> Reading {
        Reading { open: RefCell::default(), settled: RefCell::new(Reads(vec![0; message.segment_count()])) }
    }

    pub(super) fn read(&self, segment: Segment<'_>, field: u16) {
        self.open.borrow_mut().push((segment.index(), field));
    }

    /// What a line of text has in common with the first line was read there.
    pub(super) fn read_alike(&self, first: Segment<'_>, line: Segment<'_>) {
        if first.index() != line.index() {
            let alike = |field: &u16| first.field(*field).raw() == line.field(*field).raw();
            (1..=line.field_count()).filter(alike).for_each(|field| self.read(line, field));
        }
    }

    pub(super) fn page(&self) -> Page {
        Page(self.open.borrow().len())
    }

    /// Nothing came of what was read since.
    pub(super) fn take_back(&self, since: Page) {
        self.open.borrow_mut().truncate(since.0);
    }

    /// Something came of all that was read so far.
    pub(super) fn settle(&self) {
        let mut settled = self.settled.borrow_mut();
        for (segment, field) in self.open.borrow_mut().drain(..) {
            if let Some(fields) = settled.0.get_mut(segment) {
                *fields |= bit(field);
            }
        }
    }

    pub(super) fn into_reads(self) -> Reads {
        self.settle();
        self.settled.into_inner()
    }
}
