//! HL7 v2 messages as hospitals send them: reading, paths, groups, text, times and ACKs.
//!
//! The reader is a flat index over the bytes as received: one pass finds segments and
//! fields, and everything below a field is split only when somebody asks. It tolerates what
//! real senders do and says so in [`Warning`]s; it never repairs in silence, never drops a
//! line and never judges content. It knows nothing of FHIR.
//!
//! ```
//! use fairway_core::hl7v2::{Message, ParseOptions, Path};
//!
//! let bytes = "MSH|^~\\&|PAS|RXX|||20240403||ADT^A28|1|P|2.4\rPID|||123^^^NHS~A7^^^RXX\r";
//! let message = Message::parse(bytes.into(), &ParseOptions::default())?;
//! assert_eq!(message.trigger(), "A28");
//! assert_eq!(message.text("PID-3[RXX].1").as_deref(), Some("A7"));
//! let path = Path::parse("PID-3[*].1")?;
//! assert_eq!(path.in_message(&message).count(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ack;
mod batch;
mod charset;
pub mod dictionary;
mod error;
mod escape;
mod grammar;
mod index;
mod layout;
mod lines;
mod location;
mod message;
pub mod mllp;
mod names;
mod path;
mod scan;
mod segment;
mod separators;
pub mod soap;
mod structure;
mod switch;
mod time;
mod value;
mod zone;

pub use ack::{
    Ack, AckCode, AckStyle, Asked, ErrorCode, FAILED, REJECTED, When, answer_text, answers, answers_unparsed,
};
pub use batch::{Batch, Messages, split_batch};
pub use charset::{Charset, utf16_to_utf8};
pub use error::{ParseError, ParseErrorKind, Warning, WarningCode};
pub use escape::{escape, unescape};
pub use index::{
    FIELDS_MAX_DEFAULT, FIELDS_PER_SEGMENT_MAX, MESSAGE_BYTES_MAX, ParseOptions, SEGMENTS_MAX_DEFAULT, WARNINGS_MAX,
};
pub use location::Location;
pub use message::Message;
pub use names::{message_codes, never_in, segment_names};
pub use path::{Index, PATH_BYTES_MAX, Path, PathError, Repetition};
pub use segment::{Segment, SegmentName};
pub use separators::Separators;
pub use structure::{GroupId, Structure, can_stand_in};
pub use time::{Precision, TimeError, TimeOfDay, Timestamp, fhir_instant_from_micros, hl7_from_micros};
pub use value::{Level, Value};
pub use zone::{Zone, ZoneError};

#[cfg(test)]
mod corpus_tests;
