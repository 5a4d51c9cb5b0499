//! Time zones by their IANA name, from the database built into the program.
//!
//! It never asks the machine for its zone or its files, so a replay on another machine gives
//! the same times.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

/// The time zone in which times without an offset are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone(TimeZone);

/// A zone name that the built-in database does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no time zone of this name is known; write an IANA name, as in Europe/London")]
pub struct ZoneError;

impl Zone {
    /// The zone of an IANA name: `Europe/London`. Case does not matter.
    ///
    /// # Errors
    /// When the built-in database has no such zone.
    pub fn named(name: &str) -> Result<Zone, ZoneError> {
        TimeZoneDatabase::bundled().get(name).map(Zone).map_err(|_| ZoneError)
    }

    /// Coordinated universal time.
    pub fn utc() -> Zone {
        Zone(TimeZone::UTC)
    }

    /// How a local time stands to UTC: `(shift, offset)`, both in seconds. The local time to
    /// show is `local + shift`, and the instant is that minus `offset`.
    ///
    /// The policy is RFC 5545's, which jiff calls "compatible": a time that occurs twice (clocks
    /// back) is the first one; a time that is skipped (clocks forward) moves forward by the gap.
    pub(super) fn resolve(&self, local: DateTime) -> (i64, i64) {
        match self.0.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => (0, i64::from(offset.seconds())),
            AmbiguousOffset::Fold { before, .. } => (0, i64::from(before.seconds())),
            AmbiguousOffset::Gap { before, after } => {
                (i64::from(after.seconds()) - i64::from(before.seconds()), i64::from(after.seconds()))
            }
        }
    }

    /// After how many seconds a local time comes again, when clocks go back; 0 for one that occurs once.
    pub(super) fn comes_again_after(&self, local: DateTime) -> i64 {
        match self.0.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Fold { before, after } => i64::from(before.seconds()) - i64::from(after.seconds()),
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use jiff::civil::datetime;

    #[test]
    fn clocks_go_forward_and_back() {
        let london = Zone::named("Europe/London").unwrap();
        let check = |month, day, hour| london.resolve(datetime(2024, month, day, hour, 30, 0, 0));
        assert_eq!(check(1, 1, 12), (0, 0));
        assert_eq!(check(7, 1, 12), (0, 3600));
        assert_eq!(check(3, 31, 1), (3600, 3600), "skipped hour");
        assert_eq!(check(10, 27, 1), (0, 3600), "doubled hour");
        assert_eq!(check(10, 27, 2), (0, 0));
        assert_eq!(Zone::utc().resolve(datetime(2024, 7, 1, 0, 0, 0, 0)), (0, 0));
        assert!(Zone::named("Europe/Nowhere").is_err());
        assert_eq!(Zone::named("europe/london").unwrap(), london);
    }
}
