//! Privacy labels: what kind of content a data point is, and which kinds a team may see.

use serde::{Deserialize, Serialize};

/// The one privacy label of a data point (hl7-api 8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Label {
    /// Most of the record; the label when no rule yields another (hl7-api 8.2, rule 6).
    GeneralHealth,
    /// Mental health.
    MentalHealth,
    /// Sexual health.
    SexualHealth,
    /// Social care.
    SocialCare,
}

impl Label {
    /// All labels, in the order of hl7-api 8.1.
    pub const ALL: [Label; 4] = [Label::GeneralHealth, Label::MentalHealth, Label::SexualHealth, Label::SocialCare];

    /// The code as published, e.g. `GENERAL_HEALTH`.
    pub fn code(self) -> &'static str {
        match self {
            Label::GeneralHealth => "GENERAL_HEALTH",
            Label::MentalHealth => "MENTAL_HEALTH",
            Label::SexualHealth => "SEXUAL_HEALTH",
            Label::SocialCare => "SOCIAL_CARE",
        }
    }

    /// The words a person reads, e.g. `General health`.
    pub fn display(self) -> &'static str {
        match self {
            Label::GeneralHealth => "General health",
            Label::MentalHealth => "Mental health",
            Label::SexualHealth => "Sexual health",
            Label::SocialCare => "Social care",
        }
    }

    /// The label of a published code; `None` for anything else.
    pub fn from_code(code: &str) -> Option<Label> {
        Label::ALL.into_iter().find(|label| label.code() == code)
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// Which labels a grantee may see; zero to four of them (hl7-api 8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Label>", into = "Vec<Label>")]
pub struct LabelSet(u8);

impl LabelSet {
    /// No label: the usual access of a Patient Record Team.
    pub const NONE: LabelSet = LabelSet(0);
    /// General health only.
    pub const GENERAL: LabelSet = LabelSet(1);

    /// True when data of this label may be seen.
    pub fn contains(self, label: Label) -> bool {
        self.0 & label.bit() != 0
    }

    /// This set with one label more.
    #[must_use]
    pub fn with(self, label: Label) -> LabelSet {
        LabelSet(self.0 | label.bit())
    }

    /// The labels in the set, in published order.
    pub fn iter(self) -> impl Iterator<Item = Label> {
        Label::ALL.into_iter().filter(move |label| self.contains(*label))
    }
}

impl FromIterator<Label> for LabelSet {
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        labels.into_iter().fold(LabelSet::NONE, LabelSet::with)
    }
}

impl From<Vec<Label>> for LabelSet {
    fn from(labels: Vec<Label>) -> Self {
        labels.into_iter().collect()
    }
}

impl From<LabelSet> for Vec<Label> {
    fn from(set: LabelSet) -> Self {
        set.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip_and_sets_keep_their_members() {
        for label in Label::ALL {
            assert_eq!(Label::from_code(label.code()), Some(label));
            assert!(LabelSet::NONE.with(label).contains(label));
        }
        assert_eq!(Label::from_code("general_health"), None);
        let set: LabelSet = [Label::SocialCare, Label::MentalHealth].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Label::MentalHealth, Label::SocialCare]);
        assert!(!set.contains(Label::GeneralHealth));
    }
}
