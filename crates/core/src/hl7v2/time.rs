//! HL7 timestamps (DT, DTM, TS) with the precision they were typed in, and their FHIR forms.
//!
//! It never invents a part that was not typed and never accepts an impossible date; where an
//! instant needs the missing parts, the rule is hl7-api 1.6: date parts 01, time parts 0.

use std::fmt;
use std::fmt::Write as _;

use jiff::civil::DateTime;

use super::zone::Zone;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// A sender's clock is ahead by no more than this, µs: five minutes.
const CLOCKS_DIFFER_BY: i64 = 5 * 60 * MICROS_PER_SECOND;
/// The instants that a FHIR `instant` can write, years 1 to 9999 in UTC, in milliseconds since 1970.
const INSTANT_MILLIS: (i64, i64) = (-62_135_596_800_000, 253_402_300_799_999);
/// HL7 allows four digits of a second's fraction; senders type up to nine.
const FRACTION_DIGITS_MAX: usize = 9;
/// The largest offset from UTC that is in use, `+14:00`, in minutes.
const OFFSET_MINUTES_MAX: i16 = 14 * 60;

/// A point in time as typed. Missing parts are missing, not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timestamp {
    /// Year, 1 to 9999.
    pub year: i16,
    /// Month, 1 to 12.
    pub month: Option<u8>,
    /// Day of the month, from 1.
    pub day: Option<u8>,
    /// Hour, 0 to 23.
    pub hour: Option<u8>,
    /// Minute, 0 to 59.
    pub minute: Option<u8>,
    /// Second, 0 to 59.
    pub second: Option<u8>,
    /// Fraction of a second.
    pub fraction: Option<Fraction>,
    /// Offset from UTC in minutes, when typed.
    pub offset_minutes: Option<i16>,
}

/// A fraction of a second with the digits that were typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fraction {
    /// Nanoseconds.
    pub nanos: u32,
    /// How many digits were typed, 1 to 9.
    pub digits: u8,
}

/// How exact a [`Timestamp`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// `2024`
    Year,
    /// `202404`
    Month,
    /// `20240403`
    Day,
    /// `2024040309`
    Hour,
    /// `202404030930`
    Minute,
    /// `20240403093015`
    Second,
    /// `20240403093015.123`
    Fraction,
}

/// Why a text is no timestamp. Never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Nothing was typed.
    #[error("the timestamp is empty")]
    Empty,
    /// Something other than digits.
    #[error("the timestamp is not made of digits; write YYYYMMDDHHMMSS")]
    NotDigits,
    /// Half a component (hl7-api 1.6).
    #[error("the timestamp has an incomplete component; write YYYYMMDDHHMMSS")]
    Incomplete,
    /// More digits than a timestamp has.
    #[error("the timestamp has too many digits; write YYYYMMDDHHMMSS")]
    TooLong,
    /// Year 0.
    #[error("the timestamp has no year")]
    Year,
    /// Month not 1 to 12.
    #[error("the timestamp's month is not 01 to 12")]
    Month,
    /// A day that the month has not.
    #[error("the timestamp's day is not in its month")]
    Day,
    /// Hour not 0 to 23.
    #[error("the timestamp's hour is not 00 to 23")]
    Hour,
    /// Minute not 0 to 59.
    #[error("the timestamp's minute is not 00 to 59")]
    Minute,
    /// Second not 0 to 59.
    #[error("the timestamp's second is not 00 to 59")]
    Second,
    /// A fraction that is not one to nine digits behind seconds.
    #[error("the timestamp's fraction is not one to nine digits behind the seconds")]
    Fraction,
    /// An offset that is not `+HHMM`, `-HHMM`, `+HH` or `-HH` up to 14 hours.
    #[error("the timestamp's offset is not +HHMM or -HHMM")]
    Offset,
    /// An offset behind a year or a month: `2024-04` is rather a date with a dash in it.
    #[error("the timestamp has an offset behind a year or month; write YYYYMMDD, without dashes")]
    OffsetOfNoDay,
}

impl Timestamp {
    /// Reads `YYYY[MM[DD[HH[MM[SS[.F…]]]]]][+HHMM]`; blanks at both ends do not matter.
    ///
    /// # Errors
    /// Refuses half a component, dates and times that do not exist, hour 24, and an offset without a day.
    pub fn parse(text: &str) -> Result<Timestamp, TimeError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TimeError::Empty);
        }
        if !text.is_ascii() {
            return Err(TimeError::NotDigits);
        }
        let (local, offset) = match text.find(['+', '-']) {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let (digits, fraction) = match local.split_once('.') {
            Some((digits, fraction)) => (digits, Some(fraction)),
            None => (local, None),
        };
        let parts = Parts::of(digits.as_bytes())?;
        let year = i16::from(parts.pair(0).ok_or(TimeError::Incomplete)?) * 100
            + i16::from(parts.pair(1).ok_or(TimeError::Incomplete)?);
        let time = Timestamp {
            year,
            month: parts.pair(2),
            day: parts.pair(3),
            hour: parts.pair(4),
            minute: parts.pair(5),
            second: parts.pair(6),
            fraction: fraction.map(parse_fraction).transpose()?,
            offset_minutes: parse_offset(offset)?,
        };
        time.check()?;
        Ok(time)
    }

    fn check(&self) -> Result<(), TimeError> {
        let month = self.month.unwrap_or(1);
        match () {
            () if self.year < 1 => Err(TimeError::Year),
            () if !(1..=12).contains(&month) => Err(TimeError::Month),
            () if self.day.is_some_and(|day| day < 1 || day > days_in_month(self.year, month)) => Err(TimeError::Day),
            () if self.hour.is_some_and(|hour| hour > 23) => Err(TimeError::Hour),
            () if self.minute.is_some_and(|minute| minute > 59) => Err(TimeError::Minute),
            () if self.second.is_some_and(|second| second > 59) => Err(TimeError::Second),
            () if self.fraction.is_some() && self.second.is_none() => Err(TimeError::Fraction),
            () if self.offset_minutes.is_some() && self.day.is_none() => Err(TimeError::OffsetOfNoDay),
            () => Ok(()),
        }
    }

    /// Cut to the degree of precision that TS.2 gives (`Y`, `L`, `D`, `H`, `M` or `S`; HL7 v2.1 to 2.5): a sender that says
    /// `D` fills the rest with zeros. Any other degree leaves it as typed.
    pub fn cut_to(mut self, degree: &str) -> Timestamp {
        let parts = match degree {
            "Y" => 0,
            "L" => 1,
            "D" => 2,
            "H" => 3,
            "M" => 4,
            "S" => 5,
            _ => return self,
        };
        self.fraction = None;
        let all = [&mut self.month, &mut self.day, &mut self.hour, &mut self.minute, &mut self.second];
        all.into_iter().skip(parts).for_each(|part| *part = None);
        self
    }

    /// How exact it is.
    pub fn precision(&self) -> Precision {
        match self {
            Self { fraction: Some(_), .. } => Precision::Fraction,
            Self { second: Some(_), .. } => Precision::Second,
            Self { minute: Some(_), .. } => Precision::Minute,
            Self { hour: Some(_), .. } => Precision::Hour,
            Self { day: Some(_), .. } => Precision::Day,
            Self { month: Some(_), .. } => Precision::Month,
            Self { .. } => Precision::Year,
        }
    }

    /// A FHIR `date` as exact as what was typed: `2024`, `2024-04` or `2024-04-03`. The date is the
    /// sender's own, whatever the offset.
    pub fn fhir_date(&self) -> String {
        let mut text = format!("{:04}", self.year);
        for part in self.month.into_iter().chain(self.day) {
            append(&mut text, format_args!("-{part:02}"));
        }
        text
    }

    /// A FHIR `dateTime`: the date alone when no minute was typed (FHIR has no time without
    /// minutes, and none is invented), else with seconds (`:00` when absent), at most three digits
    /// of their fraction, and the offset that was typed or that `zone` has at that local time.
    ///
    /// A local time that the zone skips moves forward by the gap; one that occurs twice is the
    /// first. FHIR has no seconds in an offset: those of times before zones were agreed on (London until 1847, -00:01:15)
    /// are cut, so that this may lie up to a minute beside [`instant`](Self::instant).
    pub fn fhir_date_time(&self, zone: &Zone) -> String {
        if self.precision() < Precision::Minute {
            return self.fhir_date();
        }
        let (local, offset) = self.local_and_offset(zone);
        let mut text = format_local(local);
        if let Some(fraction) = self.fraction {
            let digits = usize::from(fraction.digits.min(3));
            append(&mut text, format_args!(".{}", &format!("{:09}", fraction.nanos)[..digits]));
        }
        let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
        append(&mut text, format_args!("{sign}{:02}:{:02}", minutes / 60, minutes % 60));
        text
    }

    /// The instant in microseconds since 1970-01-01T00:00Z, the fraction cut to milliseconds.
    ///
    /// Missing date parts are 01 and missing time parts 0 (hl7-api 1.6), so a date is midnight in
    /// `zone`. What an offset puts outside of the years 1 to 9999 is the first or the last instant in them.
    pub fn instant(&self, zone: &Zone) -> i64 {
        let (local, offset) = self.local_and_offset(zone);
        let millis = self.fraction.map_or(0, |fraction| i64::from(fraction.nanos / 1_000_000));
        ((local - offset) * 1000 + millis).clamp(INSTANT_MILLIS.0, INSTANT_MILLIS.1) * 1000
    }

    /// The instant of a time that somebody's clock showed before `received`, both in microseconds since 1970-01-01T00:00Z.
    ///
    /// When clocks go back an hour occurs twice and a time in it says not which: it is the second one, unless that lies
    /// ahead of `received` by more than clocks differ. So what was sent later is later, also in that night.
    pub fn instant_before(&self, received: i64, zone: &Zone) -> i64 {
        let first = self.instant(zone);
        let second = match (self.offset_minutes, self.civil()) {
            (None, Some(civil)) => first + zone.comes_again_after(civil) * MICROS_PER_SECOND,
            _ => first,
        };
        if second <= received.saturating_add(CLOCKS_DIFFER_BY) { second } else { first }
    }

    /// The instant as a FHIR `instant` in UTC, to the millisecond.
    pub fn fhir_instant(&self, zone: &Zone) -> String {
        fhir_instant_from_micros(self.instant(zone))
    }

    /// Local time to show and offset to show with it, both in seconds.
    fn local_and_offset(&self, zone: &Zone) -> (i64, i64) {
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        let (hour, minute) = (self.hour.unwrap_or(0), self.minute.unwrap_or(0));
        let second = self.second.unwrap_or(0);
        let local = days_from_civil(i64::from(self.year), i64::from(month), i64::from(day)) * SECONDS_PER_DAY
            + i64::from(hour) * 3600
            + i64::from(minute) * 60
            + i64::from(second);
        if let Some(minutes) = self.offset_minutes {
            return (local, i64::from(minutes) * 60);
        }
        // `parse` checks the parts; a hand-made impossible date is read as UTC.
        let (shift, offset) = self.civil().map_or((0, 0), |civil| zone.resolve(civil));
        (local + shift, offset)
    }

    /// The local time, missing parts filled as in [`Self::instant`]; none for an impossible date.
    fn civil(&self) -> Option<DateTime> {
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        let (hour, minute, second) = (self.hour.unwrap_or(0), self.minute.unwrap_or(0), self.second.unwrap_or(0));
        DateTime::new(self.year, month as i8, day as i8, hour as i8, minute as i8, second as i8, 0).ok()
    }
}

impl fmt::Display for Timestamp {
    /// The timestamp as HL7 writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.year)?;
        let parts = [self.month, self.day, self.hour, self.minute, self.second];
        parts.iter().map_while(|part| *part).try_for_each(|part| write!(f, "{part:02}"))?;
        if let Some(fraction) = self.fraction {
            let digits = usize::from(fraction.digits).min(FRACTION_DIGITS_MAX);
            write!(f, ".{}", &format!("{:09}", fraction.nanos)[..digits])?;
        }
        match self.offset_minutes {
            None => Ok(()),
            Some(minutes) => {
                let sign = if minutes < 0 { '-' } else { '+' };
                write!(f, "{sign}{:02}{:02}", minutes.abs() / 60, minutes.abs() % 60)
            }
        }
    }
}

/// A time of the day (TM): `HH[MM[SS[.F…]]][+HHMM]`, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeOfDay(Timestamp);

impl TimeOfDay {
    /// Reads a TM; blanks at both ends do not matter.
    ///
    /// # Errors
    /// Refuses half a component and times that do not exist, hour 24 and second 60 among them.
    pub fn parse(text: &str) -> Result<TimeOfDay, TimeError> {
        let text = text.trim();
        match text.bytes().next() {
            None => Err(TimeError::Empty),
            Some(b'0'..=b'9') => Timestamp::parse(&["20000101", text].concat()).map(Self),
            Some(_) => Err(TimeError::NotDigits),
        }
    }

    /// A FHIR `time`, with `:00` for seconds that were not typed; `None` where that would invent minutes or lose an
    /// offset, which FHIR's `time` has no place for.
    pub fn fhir_time(&self) -> Option<String> {
        let (hour, minute) = (self.0.hour?, self.0.minute?);
        if self.0.offset_minutes.is_some() {
            return None;
        }
        let mut text = format!("{hour:02}:{minute:02}:{:02}", self.0.second.unwrap_or(0));
        if let Some(fraction) = self.0.fraction {
            fraction.append(&mut text);
        }
        Some(text)
    }
}

impl Fraction {
    /// Appends the point and the digits that were typed.
    fn append(self, text: &mut String) {
        let digits = usize::from(self.digits).min(FRACTION_DIGITS_MAX);
        append(text, format_args!(".{}", &format!("{:09}", self.nanos)[..digits]));
    }
}

/// The digits before the fraction, two by two.
struct Parts<'t>(&'t [u8]);

impl<'t> Parts<'t> {
    fn of(digits: &'t [u8]) -> Result<Self, TimeError> {
        match digits.len() {
            _ if !digits.iter().all(u8::is_ascii_digit) => Err(TimeError::NotDigits),
            4 | 6 | 8 | 10 | 12 | 14 => Ok(Self(digits)),
            0..=13 => Err(TimeError::Incomplete),
            _ => Err(TimeError::TooLong),
        }
    }

    fn pair(&self, n: usize) -> Option<u8> {
        let pair = self.0.get(2 * n..2 * n + 2)?;
        Some((pair[0] - b'0') * 10 + (pair[1] - b'0'))
    }
}

fn parse_fraction(digits: &str) -> Result<Fraction, TimeError> {
    let fits = (1..=FRACTION_DIGITS_MAX).contains(&digits.len());
    if !fits || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(TimeError::Fraction);
    }
    let missing = (FRACTION_DIGITS_MAX - digits.len()) as u32;
    let value: u32 = digits.parse().map_err(|_| TimeError::Fraction)?;
    Ok(Fraction { nanos: value * 10u32.pow(missing), digits: digits.len() as u8 })
}

fn parse_offset(text: &str) -> Result<Option<i16>, TimeError> {
    let Some((sign, digits)) = text.split_at_checked(1) else {
        return Ok(None);
    };
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(TimeError::Offset);
    }
    let number: i16 = digits.parse().map_err(|_| TimeError::Offset)?;
    let (hours, minutes) = if digits.len() == 2 { (number, 0) } else { (number / 100, number % 100) };
    let total = hours * 60 + minutes;
    if minutes > 59 || total > OFFSET_MINUTES_MAX {
        return Err(TimeError::Offset);
    }
    Ok(Some(if sign == "-" { -total } else { total }))
}

/// A FHIR `instant` of microseconds since 1970 UTC, cut to milliseconds: `2024-04-03T09:30:00.000Z`.
pub fn fhir_instant_from_micros(micros: i64) -> String {
    let millis = micros.div_euclid(1000);
    let mut text = format_local(millis.div_euclid(1000));
    append(&mut text, format_args!(".{:03}Z", millis.rem_euclid(1000)));
    text
}

/// An HL7 timestamp of microseconds since 1970 UTC, cut to seconds: `20240403093000+0000`.
pub fn hl7_from_micros(micros: i64) -> String {
    let mut text = hl7_digits(micros.div_euclid(MICROS_PER_SECOND));
    text.push_str("+0000");
    text
}

/// `yyyyMMddHHmmss` of seconds since 1970.
pub(super) fn hl7_digits(seconds: i64) -> String {
    let ((year, month, day), time) = civil(seconds);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

/// `yyyy-MM-ddTHH:mm:ss` of seconds since 1970.
fn format_local(seconds: i64) -> String {
    let ((year, month, day), time) = civil(seconds);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

fn append(text: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    text.write_fmt(arguments).unwrap_or_default();
}

fn days_in_month(year: i16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Date and second of the day of seconds since 1970 (Howard Hinnant's `civil_from_days`).
fn civil(seconds: i64) -> ((i64, i64, i64), i64) {
    let days = seconds.div_euclid(SECONDS_PER_DAY) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    ((year, month, day), seconds.rem_euclid(SECONDS_PER_DAY))
}

#[cfg(test)]
#[path = "time_tests.rs"]
mod tests;
