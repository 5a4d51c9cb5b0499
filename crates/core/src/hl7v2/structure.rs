//! Which group of the message structure each segment belongs to.
//!
//! Reads the order of segments by the tables of `grammar`. It is lenient: it never fails and
//! never moves a segment. What has no place stays with the group that is open and is listed.

use super::grammar::{Group, Item, Kind, of_message};
use super::message::Message;
use super::segment::SegmentName;

/// One group instance of one message. Ids count from 0, the whole message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(u32);

/// The groups of one message.
#[derive(Debug, Clone)]
pub struct Structure {
    /// Group of each segment.
    groups: Vec<GroupId>,
    instances: Vec<Instance>,
    strays: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Instance {
    grammar: &'static Group,
    parent: Option<GroupId>,
    /// Index of its first and its last segment.
    first: usize,
    last: usize,
}

/// Whether a segment can belong to another one in messages of a type: an OBX to an OBR, and not an OBR to an OBX.
pub fn can_stand_in(code: &str, trigger: &str, outer: SegmentName, inner: SegmentName) -> bool {
    fn holds(group: &Group, name: SegmentName) -> bool {
        group.items.iter().any(|item| match item.kind {
            Kind::Segment(own) => own == name.bytes(),
            Kind::Group(within) => holds(within, name),
        })
    }
    fn look(group: &Group, outer: SegmentName, inner: SegmentName) -> bool {
        let own = group.items.iter().any(|item| matches!(item.kind, Kind::Segment(own) if own == outer.bytes()));
        // A group without items is a message type whose structure is not known.
        let within = || {
            group.items.iter().filter_map(|item| if let Kind::Group(within) = item.kind { Some(within) } else { None })
        };
        group.items.is_empty() || (own && holds(group, inner)) || within().any(|group| look(group, outer, inner))
    }
    look(of_message(code, trigger), outer, inner)
}

impl Structure {
    /// Finds the groups of a message. Linear in the number of segments.
    pub fn of(message: &Message) -> Structure {
        let grammar = of_message(&message.code(), &message.trigger());
        let mut reader = Reader {
            structure: Structure {
                groups: Vec::with_capacity(message.segment_count()),
                instances: vec![Instance { grammar, parent: None, first: 0, last: 0 }],
                strays: Vec::new(),
            },
            open: vec![Open { id: Self::root(), grammar, next: 0, seen: 0 }],
            follows: None,
        };
        let mut segments = message.segments();
        while let Some(segment) = segments.next() {
            let name = segment.name_bytes();
            // Only ORC is ever late. What stands between it and its segment is looked at for no other ORC.
            let between = |name: &&[u8; 3]| matches!(*name, [b'Z', ..] | b"NTE" | b"PRT" | b"TQ1" | b"TQ2");
            let mut behind = segments.clone().map(|segment| segment.name_bytes()).skip_while(between);
            reader.follows = if name == b"ORC" { behind.next() } else { None };
            reader.segment(name, segment.index());
        }
        reader.structure
    }

    /// The whole message.
    pub fn root() -> GroupId {
        GroupId(0)
    }

    /// The innermost group of a segment; the root when there is no such segment.
    pub fn group_of(&self, segment_index: usize) -> GroupId {
        self.groups.get(segment_index).copied().unwrap_or(Self::root())
    }

    /// The group around a group; `None` for the root.
    pub fn parent(&self, group: GroupId) -> Option<GroupId> {
        self.instance(group)?.parent
    }

    /// The group's name in the standard: `ORDER_OBSERVATION`; `MESSAGE` for the root.
    pub fn name(&self, group: GroupId) -> &'static str {
        self.instance(group).map_or("MESSAGE", |instance| instance.grammar.name)
    }

    /// Index of the group's first segment.
    pub fn anchor(&self, group: GroupId) -> usize {
        self.instance(group).map_or(0, |instance| instance.first)
    }

    /// Whether `inner` is `outer` or lies in it. Takes a few steps: groups nest five deep at most.
    pub fn within(&self, inner: GroupId, outer: GroupId) -> bool {
        let mut group = Some(inner);
        while let Some(at) = group {
            if at == outer {
                return true;
            }
            group = self.parent(at);
        }
        false
    }

    /// Indexes of the first and the last segment of a group; what stands between them belongs to the group.
    pub fn span(&self, group: GroupId) -> (usize, usize) {
        self.instance(group).map_or((0, usize::MAX), |instance| (instance.first, instance.last))
    }

    /// All groups in order of their first segment, the root first.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> + use<> {
        (0..self.instances.len() as u32).map(GroupId)
    }

    /// All groups of a name, in order.
    pub fn named(&self, name: &str) -> impl Iterator<Item = GroupId> {
        self.groups().filter(move |group| self.name(*group) == name)
    }

    /// Indexes of the segments in a group and in the groups within it, in order. Linear in the
    /// group's length.
    pub fn members(&self, group: GroupId) -> impl Iterator<Item = usize> {
        let range = self.instance(group).map_or(0..0, |found| found.first..found.last + 1);
        range.filter(move |index| self.within(self.group_of(*index), group))
    }

    /// Indexes of segments that the message structure has no place for where they stand. Z segments
    /// are none: they belong wherever they are.
    pub fn strays(&self) -> &[usize] {
        &self.strays
    }

    fn instance(&self, group: GroupId) -> Option<&Instance> {
        self.instances.get(group.0 as usize)
    }
}

struct Reader<'m> {
    structure: Structure,
    /// Open groups, the root first. Never empty.
    open: Vec<Open>,
    /// What an ORC at hand may lead.
    follows: Option<&'m [u8; 3]>,
}

/// A group that is open and how far its items are read.
struct Open {
    id: GroupId,
    grammar: &'static Group,
    /// The first item that may still come, where order matters.
    next: usize,
    /// The items seen, one bit each.
    seen: u64,
}

impl Open {
    /// The first item that takes a segment of this name, with another behind it; out of its turn, too, unless `in_turn`.
    fn item(&self, name: &[u8; 3], follows: Option<&[u8; 3]>, in_turn: bool) -> Option<usize> {
        self.grammar.items.iter().enumerate().position(|(at, item)| {
            let free = item.repeats || self.seen & (1 << at) == 0;
            let turn = if self.grammar.ordered { at >= self.next } else { free };
            let takes = match item.kind {
                Kind::Segment(segment) => segment == name,
                Kind::Group(group) => group.openers.contains(&name),
            };
            let due = item.behind.is_none_or(|led| turn && self.has(led) && !self.has(name) && follows != Some(led));
            takes && due && (turn || !in_turn)
        })
    }

    /// Whether a segment of its own has come.
    fn has(&self, name: &[u8; 3]) -> bool {
        let own = |item: &Item| matches!(item.kind, Kind::Segment(segment) if segment == name);
        self.grammar.items.iter().enumerate().any(|(at, item)| self.seen & (1 << at) != 0 && own(item))
    }

    fn mark(&mut self, at: usize) {
        self.seen |= 1 << at;
        match self.grammar.items.get(at) {
            // What has its place before goes on.
            Some(Item { behind: Some(_), .. }) => {}
            Some(Item { repeats: true, .. }) => self.next = self.next.max(at),
            Some(_) | None => self.next = self.next.max(at + 1),
        }
    }
}

impl Reader<'_> {
    fn segment(&mut self, name: &[u8; 3], index: usize) {
        let group = match self.find(name, true) {
            Some((depth, at)) => self.enter(depth, at, name, index),
            None => self.stray(name, index),
        };
        self.structure.groups.push(group);
        let mut around = Some(group);
        while let Some(GroupId(id)) = around {
            let instance = &mut self.structure.instances[id as usize];
            instance.last = index;
            around = instance.parent;
        }
    }

    /// The innermost open group that takes a segment, and its item.
    fn find(&self, name: &[u8; 3], in_turn: bool) -> Option<(usize, usize)> {
        let depths = self.open.iter().enumerate().rev();
        depths.filter_map(|(depth, open)| Some((depth, open.item(name, self.follows, in_turn)?))).next()
    }

    /// Puts a segment into an item of an open group, and opens the groups below that it opens.
    fn enter(&mut self, depth: usize, at: usize, name: &[u8; 3], index: usize) -> GroupId {
        self.open.truncate(depth + 1);
        let mut at = Some(at);
        while let (Some(item), Some(open)) = (at, self.open.last_mut()) {
            let Item { kind, needs, .. } = &open.grammar.items[item];
            if needs.is_some_and(|needs| !open.has(needs)) && self.structure.strays.last() != Some(&index) {
                self.structure.strays.push(index);
            }
            open.mark(item);
            let parent = open.id;
            let Kind::Group(grammar) = *kind else {
                break;
            };
            let id = GroupId(self.structure.instances.len() as u32);
            let instance = Instance { grammar, parent: Some(parent), first: index, last: index };
            self.structure.instances.push(instance);
            let opened = Open { id, grammar, next: 0, seen: 0 };
            at = opened.item(name, self.follows, true);
            self.open.push(opened);
        }
        self.innermost()
    }

    /// A segment out of its turn goes to the group that knows it, and closes none, so that what
    /// follows still finds its place; an unknown one goes to the group that is open.
    fn stray(&mut self, name: &[u8; 3], index: usize) -> GroupId {
        // In a message whose structure we do not know, everything is in its place.
        let unknown = self.open.iter().any(|open| open.grammar.items.is_empty());
        if unknown || name[0] == b'Z' {
            return self.innermost();
        }
        self.structure.strays.push(index);
        match self.find(name, false) {
            Some((depth, at)) => match self.open[depth].grammar.items[at].kind {
                Kind::Group(_) => self.enter(depth, at, name, index),
                Kind::Segment(_) => self.open[depth].id,
            },
            None => self.innermost(),
        }
    }

    fn innermost(&self) -> GroupId {
        self.open.last().map_or(Structure::root(), |open| open.id)
    }
}

#[cfg(test)]
#[path = "structure_tests.rs"]
mod tests;
