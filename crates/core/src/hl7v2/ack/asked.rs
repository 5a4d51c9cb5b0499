//! Which acknowledgements a sender asks for (MSH-15, MSH-16, HL7 table 0155).
//!
//! Original mode answers a message once; enhanced mode first says that it is kept (accept acknowledgement), then what
//! became of it (application acknowledgement), each only when it is asked for.

use crate::hl7v2::message::Message;

/// When one of the two acknowledgements of enhanced mode is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// `AL`.
    Always,
    /// `NE`.
    Never,
    /// `ER`: for errors and rejections.
    OnError,
    /// `SU`: for success.
    OnSuccess,
}

impl When {
    /// Table 0155; `None` for an empty value. What is not in the table asks for an answer rather than none.
    fn of(code: &str) -> Option<When> {
        match code.trim() {
            "" | "\"\"" => None,
            "NE" => Some(When::Never),
            "ER" => Some(When::OnError),
            "SU" => Some(When::OnSuccess),
            _ => Some(When::Always),
        }
    }

    /// Whether an acknowledgement of success or of an error is sent.
    pub fn applies(self, success: bool) -> bool {
        match self {
            When::Always => true,
            When::Never => false,
            When::OnError => !success,
            When::OnSuccess => success,
        }
    }
}

/// What the sender of a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// One acknowledgement; MSH-15 and MSH-16 are both empty.
    Original,
    /// Enhanced mode. An empty MSH-15 asks for no accept acknowledgement.
    Enhanced {
        /// MSH-15.
        accept: When,
        /// MSH-16; `None` when it is empty: then the accept acknowledgement is the only one and tells the whole outcome.
        application: Option<When>,
    },
}

impl Asked {
    /// Reads MSH-15 and MSH-16.
    pub fn of(message: &Message) -> Asked {
        let field = |number| message.segment_at(0).and_then(|header| When::of(&header.field(number).trimmed()));
        match (field(15), field(16)) {
            (None, None) => Asked::Original,
            (accept, application) => Asked::Enhanced { accept: accept.unwrap_or(When::Never), application },
        }
    }
}
