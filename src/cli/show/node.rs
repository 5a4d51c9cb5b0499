//! A value of a message with what the dictionary knows of it, and its parts.
//!
//! Decides where a value divides: by the delimiters that are there, but never inside text, where they are typed by hand.
//! What is empty, or nothing but delimiters, is left out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use fairway_core::hl7v2::dictionary::{self, Element, Version};
use fairway_core::hl7v2::{Level, Message, Precision, Segment, Separators, Timestamp, Value};

/// A repetition of a field, a component or a subcomponent.
pub(super) struct Node<'m> {
    pub(super) value: Value<'m>,
    /// Its name and its table; none when no version has it.
    pub(super) element: Option<Element>,
    /// The data type of its value; empty when that is not known.
    pub(super) data_type: Cow<'m, str>,
    /// It is the data of a document whose encoding is Base64.
    pub(super) base64: bool,
    /// The degree of precision that TS.2 gives the time beside it.
    degree: Cow<'m, str>,
    /// The field it is in repeats.
    repeats: bool,
    version: Version,
}

impl<'m> Node<'m> {
    /// The repetitions of all fields of a segment that hold something.
    pub(super) fn of_segment(segment: Segment<'m>, version: Version) -> impl Iterator<Item = Node<'m>> {
        let repetitions = segment.fields().flat_map(|field| field.repetitions());
        let valued = repetitions.filter(|repetition| !repetition.is_empty());
        valued.map(move |value| Node::of_repetition(segment, value, version)).filter(Node::holds)
    }

    /// A value in a repetition of a field, with what its place in the segment says of it.
    pub(super) fn of_value(
        segment: Segment<'m>,
        repetition: Value<'m>,
        value: Value<'m>,
        version: Version,
    ) -> Node<'m> {
        let node = Node::of_repetition(segment, repetition, version);
        match value.level() {
            Level::Field | Level::Repetition => node,
            Level::Component => node.part(value),
            Level::Subcomponent => node.part(repetition.component(usize::from(value.location().component))).part(value),
        }
    }

    fn of_repetition(segment: Segment<'m>, value: Value<'m>, version: Version) -> Node<'m> {
        let n = value.location().field;
        // A repetition that is not all of its field is one of several.
        let repeats = value.raw().len() < segment.field(n).raw().len();
        let element = dictionary::field(version, segment.name(), n);
        let data_type = match element.map_or("", |element| element.data_type) {
            "VARIES" if segment.name() == "OBX" => segment.field(2).trimmed(),
            "VARIES" => Cow::Borrowed(""),
            other => Cow::Borrowed(other),
        };
        Node { value, element, data_type, base64: false, degree: Cow::Borrowed(""), repeats, version }
    }

    /// A piece of this value, one level below.
    fn part(&self, value: Value<'m>) -> Node<'m> {
        let place = value.location();
        let n = if value.level() == Level::Component { place.component } else { place.subcomponent };
        let mut element = dictionary::component(self.version, &self.data_type, n);
        let coded = matches!(&*self.data_type, "CE" | "CWE" | "CNE" | "CF") && n == 1;
        if let Some(element) = element.as_mut().filter(|_| coded) {
            element.table = element.table.or(self.table_of_identifier());
        }
        let data_type = match element {
            Some(element) => Cow::Borrowed(element.data_type),
            // `A&E` or `A^E` where the type has no parts: each is text.
            None if dictionary::is_primitive(&self.data_type) => self.data_type.clone(),
            None => Cow::Borrowed(""),
        };
        let encoded = || self.value.component(4).trimmed().eq_ignore_ascii_case("Base64");
        let base64 = self.data_type == "ED" && value.level() == Level::Component && n == 5 && encoded();
        let timed = self.data_type == "TS" && value.level() == Level::Component && n == 1;
        let degree = if timed { self.value.component(2).trimmed() } else { Cow::Borrowed("") };
        Node { value, element, data_type, base64, degree, repeats: self.repeats, version: self.version }
    }

    /// The field's table, for the identifier of a code that says neither its meaning nor a code system of its own.
    fn table_of_identifier(&self) -> Option<u16> {
        let system = self.value.component(3);
        let plain = self.value.component(2).is_empty() && (system.is_empty() || system.raw().starts_with(b"HL7"));
        self.element?.table.filter(|_| plain && self.value.level() == Level::Repetition)
    }

    /// What this value divides into; nothing when it is shown as it is.
    pub(super) fn parts(&self) -> impl Iterator<Item = Node<'m>> {
        let (value, text) = (self.value, matches!(&*self.data_type, "TX" | "FT"));
        let components = (value.level() == Level::Repetition && !text).then(|| value.components());
        let subcomponents = (value.level() == Level::Component && !dictionary::is_primitive(&self.data_type))
            .then(|| value.subcomponents());
        let pieces = components.into_iter().flatten().chain(subcomponents.into_iter().flatten());
        // A value of one piece is that piece, unless the piece divides itself.
        let divides = match (pieces.clone().nth(1), pieces.clone().next()) {
            (Some(_), _) => true,
            (None, Some(piece)) if piece.level() == Level::Component => self.part(piece).divides(),
            (None, _) => false,
        };
        pieces.take(if divides { usize::MAX } else { 0 }).map(|piece| self.part(piece)).filter(Node::holds)
    }

    /// Whether a component has subcomponents.
    fn divides(&self) -> bool {
        !dictionary::is_primitive(&self.data_type) && self.value.subcomponents().nth(1).is_some()
    }

    /// Something is there besides delimiters.
    fn holds(&self) -> bool {
        let Separators { component, repetition, subcomponent, .. } = match self.value.segment() {
            Some(segment) => segment.message().separators(),
            None => Separators::STANDARD,
        };
        let place = self.value.location();
        let delimiter = |byte: &u8| [component, repetition, subcomponent].contains(byte);
        let header = place.field <= 2 && self.value.segment().is_some_and(|segment| segment.name() == "MSH");
        header || !self.value.raw().iter().all(delimiter)
    }

    /// The data type as the standard calls it: the table tells the many CM of old versions apart, as in `CM_MSG`.
    pub(super) fn type_name(&self) -> &str {
        let name = self.data_type.split('_').next().unwrap_or_default();
        // OBX-2 may hold anything.
        if name.len() <= 8 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) { name } else { "?" }
    }

    /// What the value says in plain words: the meaning of a code, a time as people write it.
    pub(super) fn meaning(&self) -> Option<String> {
        if self.value.raw().len() > 100 || self.value.is_null() {
            return None;
        }
        let text = self.value.trimmed();
        if is_time(&self.data_type) {
            return Timestamp::parse(&text).ok().map(|time| readable(&time.cut_to(&self.degree)));
        }
        Some(dictionary::meaning(self.element?.table?, &text)?.to_owned())
    }
}

/// The data types of a date, with or without a time of day.
pub(super) fn is_time(data_type: &str) -> bool {
    matches!(data_type, "TS" | "DT" | "DTM")
}

/// `2024-04-03 09:30:15 +01:00`, as exact as it was typed.
fn readable(time: &Timestamp) -> String {
    let mut text = time.fhir_date();
    // Writing to a string cannot fail.
    let mut add =
        |sign: &str, part: Option<u8>| part.map_or(Ok(()), |part| write!(text, "{sign}{part:02}")).unwrap_or(());
    add(" ", time.hour);
    add(":", time.minute);
    add(":", time.second);
    if time.precision() == Precision::Hour {
        text.push_str(" h");
    }
    if let Some(fraction) = time.fraction {
        let digits = format!("{:09}", fraction.nanos);
        text.push('.');
        text.push_str(digits.get(..usize::from(fraction.digits)).unwrap_or(&digits));
    }
    if let Some(offset) = time.offset_minutes {
        let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs());
        write!(text, " {sign}{:02}:{:02}", minutes / 60, minutes % 60).unwrap_or(());
    }
    text
}

/// Names the places of one message as short as they are clear: `PID-3[2].1`, `OBX[4]-5`.
pub(super) struct Labels<'m>(HashMap<&'m str, usize>);

impl<'m> Labels<'m> {
    pub(super) fn of(message: &'m Message) -> Self {
        let mut counts = HashMap::new();
        for segment in message.segments() {
            *counts.entry(segment.name()).or_default() += 1;
        }
        Labels(counts)
    }

    /// `PID`; with its number where the message has several.
    pub(super) fn segment(&self, segment: Segment<'m>) -> String {
        match self.0.get(segment.name()) {
            Some(2..) => format!("{}[{}]", segment.name(), segment.occurrence()),
            _ => segment.name().to_owned(),
        }
    }

    /// `PID-3`.
    pub(super) fn field(&self, segment: Segment<'m>, n: u16) -> String {
        format!("{}-{n}", self.segment(segment))
    }

    /// The place of a node, with its repetition where the field has several: `PID-3[2].4.1`.
    pub(super) fn node(&self, segment: Segment<'m>, node: &Node<'m>) -> String {
        let place = node.value.location();
        let mut label = self.field(segment, place.field);
        if node.repeats {
            label.push_str(&format!("[{}]", place.repetition));
        }
        for n in [place.component, place.subcomponent].into_iter().filter(|n| *n > 0) {
            label.push_str(&format!(".{n}"));
        }
        label
    }

    /// Columns that the labels of an ordinary message take.
    pub(super) fn width(&self) -> usize {
        match self.0.values().max() {
            Some(100..) => 18,
            Some(10..) => 17,
            Some(2..) => 16,
            _ => 13,
        }
    }
}
