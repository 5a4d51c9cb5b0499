//! The ERR segment: what is wrong as a code of HL7 table 0357, and where, in the form of the sender's version.
//!
//! The place is read from the reason, which begins with it (`PID-7.1 …`, `OBR[2].OBX[1]: OBX-5 …`).

use super::super::message::Message;
use super::super::path::{Index, Path, Repetition};
use super::super::segment::SegmentName;
use super::super::separators::Separators;

/// A code of HL7 table 0357.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// 100: segments are missing, too many or in the wrong order.
    SegmentSequence,
    /// 101: a required field is missing.
    RequiredField,
    /// 102: a value is not of its data type.
    DataType,
    /// 103: a code is not in its table.
    TableValue,
    /// 200: the message type is not supported.
    MessageType,
    /// 202: the processing id is not supported here.
    ProcessingId,
    /// 204: the patient, order or the like is unknown.
    UnknownKey,
    /// 205: an identifier is in use for something else.
    DuplicateKey,
    /// 207: anything else.
    Internal,
}

impl ErrorCode {
    /// Code and name as in the table.
    fn entry(self) -> (&'static str, &'static str) {
        match self {
            Self::SegmentSequence => ("100", "Segment sequence error"),
            Self::RequiredField => ("101", "Required field missing"),
            Self::DataType => ("102", "Data type error"),
            Self::TableValue => ("103", "Table value not found"),
            Self::MessageType => ("200", "Unsupported message type"),
            Self::ProcessingId => ("202", "Unsupported processing id"),
            Self::UnknownKey => ("204", "Unknown key identifier"),
            Self::DuplicateKey => ("205", "Duplicate key identifier"),
            Self::Internal => ("207", "Application internal error"),
        }
    }
}

/// A place as ERL and ELD write it; 0 for what is not named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    segment: SegmentName,
    sequence: usize,
    field: u16,
    repetition: u16,
    component: u16,
    subcomponent: u16,
}

impl Place {
    /// The place a reason begins with.
    pub(super) fn of_reason(reason: &str, message: &Message) -> Option<Place> {
        // `OBR[2].OBX[1]: ` says inside which segments the rest is meant.
        let (outer, rest) = match reason.split_once(": ") {
            Some((outer, rest)) => match steps(outer) {
                Some(steps) => (steps, rest),
                None => (Vec::new(), reason),
            },
            None => (Vec::new(), reason),
        };
        let around = sequence(&outer, message);
        let token = rest.split([' ', ':', ',']).next().unwrap_or_default();
        let path = Path::parse(token).ok().and_then(|path| Some((path.segment?, path)));
        let Some((segment, path)) = path else {
            // A segment as a whole: `OBR[2]: …`, `AL1: …`.
            let (segment, sequence) = around?;
            return Some(Place { segment, sequence, field: 0, repetition: 0, component: 0, subcomponent: 0 });
        };
        let sequence = match (path.segment_index, around) {
            (Index::Nth(n), _) => usize::from(n),
            (_, Some((name, sequence))) if name == segment => sequence,
            _ => 1,
        };
        let repetition = match path.repetition {
            Repetition::Nth(n) => n,
            Repetition::First | Repetition::All | Repetition::Authority(_) => 1,
        };
        let (component, subcomponent) = (path.component.unwrap_or(0), path.subcomponent.unwrap_or(0));
        Some(Place { segment, sequence, field: path.field, repetition, component, subcomponent })
    }

    /// ERR-2 (ERL) from version 2.5 on: components up to the last that is named.
    fn location(&self, component: char) -> String {
        let numbers = [self.sequence, self.field.into(), self.repetition.into(), self.component.into()];
        let numbers = numbers.into_iter().chain([usize::from(self.subcomponent)]).take_while(|number| *number > 0);
        numbers.fold(self.segment.as_str().to_owned(), |text, number| format!("{text}{component}{number}"))
    }

    /// The first three components of ERR-1 (ELD) up to version 2.4.
    fn field_position(&self, component: char) -> String {
        let field = if self.field > 0 { self.field.to_string() } else { String::new() };
        format!("{}{component}{}{component}{field}", self.segment.as_str(), self.sequence)
    }
}

/// `OBR[2].OBX[1]`, or `PID` for the first of its name.
fn steps(text: &str) -> Option<Vec<(SegmentName, usize)>> {
    let step = |text: &str| {
        let (name, number) = match text.split_once('[') {
            Some((name, number)) => (name, number.strip_suffix(']')?.parse().ok()?),
            None => (text, 1),
        };
        Some((SegmentName::parse(name)?, number))
    };
    text.split('.').map(step).collect()
}

/// The last of nested segments, counted among those of its name in the whole message.
fn sequence(steps: &[(SegmentName, usize)], message: &Message) -> Option<(SegmentName, usize)> {
    let (&(name, number), outer) = steps.split_last()?;
    // The first segment that may be meant: behind the start of the segment around it.
    let mut from = 0;
    for (name, number) in outer {
        let mut named = message.segments().skip(from).filter(|segment| segment.name_bytes() == name.bytes());
        from = named.nth(number.saturating_sub(1))?.index();
    }
    let mut named = message.segments().skip(from).filter(|segment| segment.name_bytes() == name.bytes());
    let found = named.nth(number.saturating_sub(1)).map_or(number, |segment| segment.occurrence());
    Some((name, found))
}

/// The fields of an ERR segment in the form of a version, the newest for one that is not known; `None` for versions before
/// 2.3. `reason` is escaped already; the message has a component separator.
pub(super) fn fields(
    code: ErrorCode,
    place: Option<Place>,
    version: &str,
    separators: &Separators,
    reason: Vec<u8>,
) -> Option<Vec<Vec<u8>>> {
    let (number, name) = code.entry();
    let component = char::from(separators.component);
    match minor(version) {
        Some(0..=2) => None,
        Some(3..=4) => {
            let place = place.map(|place| place.field_position(component));
            let place = place.unwrap_or_else(|| format!("{component}{component}"));
            // Without a separator for them, only the first subcomponent can be written.
            let error = match separators.subcomponent {
                Separators::UNUSED => format!("{component}{number}"),
                other => {
                    let subcomponent = char::from(other);
                    format!("{component}{number}{subcomponent}{name}{subcomponent}HL70357")
                }
            };
            Some(vec![(place + &error).into_bytes()])
        }
        Some(5..) | None => {
            let place = place.map(|place| place.location(component)).unwrap_or_default();
            let error = format!("{number}{component}{name}{component}HL70357");
            let none = Vec::new;
            Some(vec![none(), place.into_bytes(), error.into_bytes(), b"E".to_vec(), none(), none(), none(), reason])
        }
    }
}

/// 5 of `2.5.1`, and of `2.5^GBR` with the country of VID.
fn minor(version: &str) -> Option<u32> {
    version.trim().strip_prefix("2.")?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
