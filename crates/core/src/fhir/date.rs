//! FHIR dates: their written form, the calendar, and the span of time each one stands for by its precision.
//!
//! Never asks for the time or a time zone database: a date without offset is read as UTC.

const MICROS_PER_SEC: i64 = 1_000_000;
const SECS_PER_DAY: i64 = 86_400;

/// How exactly a date is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Precision {
    Year,
    Month,
    Day,
    /// Allowed in search values only.
    Minute,
    Second,
    Fraction,
}

/// A FHIR date, dateTime or instant as read from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) precision: Precision,
    /// Whether an offset from UTC (or `Z`) is given.
    pub(crate) has_offset: bool,
    /// First microsecond of the span, since 1970-01-01T00:00Z.
    pub(crate) from: i64,
    /// First microsecond after the span.
    pub(crate) to: i64,
}

/// The half-open span `[from, to)` in microseconds since 1970-01-01T00:00Z that a FHIR date, dateTime or instant stands
/// for by its precision: `2024-02` is the whole of February. Without an offset the span is in UTC. `None` for anything
/// else, days that do not exist among it. Minutes without seconds are taken, as search values may be written so.
pub fn date_range(text: &str) -> Option<(i64, i64)> {
    parse(text).map(|date| (date.from, date.to))
}

/// Reads a FHIR date of any precision; `None` when the form or the calendar is broken.
pub(crate) fn parse(text: &str) -> Option<Date> {
    let mut rest = text.as_bytes();
    let year = digits(&mut rest, 4).filter(|&year| year > 0)?;
    if rest.is_empty() {
        return Some(days(Precision::Year, days_to(year, 1, 1), days_to(year + 1, 1, 1)));
    }
    take(&mut rest, b'-')?;
    let month = digits(&mut rest, 2).filter(|month| (1..=12).contains(month))?;
    if rest.is_empty() {
        let next = if month == 12 { days_to(year + 1, 1, 1) } else { days_to(year, month + 1, 1) };
        return Some(days(Precision::Month, days_to(year, month, 1), next));
    }
    take(&mut rest, b'-')?;
    let day = digits(&mut rest, 2).filter(|day| (1..=days_in(year, month)).contains(day))?;
    let midnight = days_to(year, month, day);
    if rest.is_empty() {
        return Some(days(Precision::Day, midnight, midnight + 1));
    }
    take(&mut rest, b'T')?;
    let time = time(&mut rest)?;
    let offset = offset(&mut rest)?;
    if !rest.is_empty() {
        return None;
    }
    let from = midnight * SECS_PER_DAY * MICROS_PER_SEC + time.from - offset.unwrap_or(0) * 60 * MICROS_PER_SEC;
    Some(Date { precision: time.precision, has_offset: offset.is_some(), from, to: from + time.width })
}

/// Whether text is a FHIR time: `hh:mm:ss` with an optional fraction.
pub(crate) fn is_time(text: &str) -> bool {
    let mut rest = text.as_bytes();
    time(&mut rest).is_some_and(|time| time.precision >= Precision::Second) && rest.is_empty()
}

struct Time {
    precision: Precision,
    from: i64,
    width: i64,
}

fn time(rest: &mut &[u8]) -> Option<Time> {
    let hour = digits(rest, 2).filter(|&hour| hour < 24)?;
    take(rest, b':')?;
    let minute = digits(rest, 2).filter(|&minute| minute < 60)?;
    let minutes = (hour * 60 + minute) * 60 * MICROS_PER_SEC;
    if rest.first() != Some(&b':') {
        return Some(Time { precision: Precision::Minute, from: minutes, width: 60 * MICROS_PER_SEC });
    }
    take(rest, b':')?;
    // 60 is a leap second; it is counted as the first second of the next minute.
    let second = digits(rest, 2).filter(|&second| second <= 60)?;
    let seconds = minutes + second * MICROS_PER_SEC;
    if rest.first() != Some(&b'.') {
        return Some(Time { precision: Precision::Second, from: seconds, width: MICROS_PER_SEC });
    }
    take(rest, b'.')?;
    let (mut fraction, mut width, mut any) = (0, MICROS_PER_SEC, false);
    while let Some(digit) = rest.first().filter(|byte| byte.is_ascii_digit()) {
        any = true;
        // Digits past the microsecond are read and dropped.
        if width > 1 {
            width /= 10;
            fraction += i64::from(digit - b'0') * width;
        }
        *rest = &rest[1..];
    }
    any.then_some(Time { precision: Precision::Fraction, from: seconds + fraction, width })
}

/// Minutes east of UTC; `Some(None)` when no offset is written, `None` when it is broken.
fn offset(rest: &mut &[u8]) -> Option<Option<i64>> {
    let sign = match rest.first() {
        None => return Some(None),
        Some(b'Z') => {
            *rest = &rest[1..];
            return Some(Some(0));
        }
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(_) => return None,
    };
    *rest = &rest[1..];
    let hours = digits(rest, 2)?;
    take(rest, b':')?;
    let minutes = digits(rest, 2).filter(|&minutes| minutes < 60)?;
    let total = hours * 60 + minutes;
    (total <= 14 * 60).then_some(Some(sign * total))
}

fn days(precision: Precision, from: i64, to: i64) -> Date {
    let micros = SECS_PER_DAY * MICROS_PER_SEC;
    Date { precision, has_offset: false, from: from * micros, to: to * micros }
}

fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    head.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

fn take(rest: &mut &[u8], byte: u8) -> Option<()> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    (*first == byte).then_some(())
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar, with years that begin in March.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_date_stands_for_its_whole_span() {
        let day = SECS_PER_DAY * MICROS_PER_SEC;
        assert_eq!(date_range("1970"), Some((0, 365 * day)));
        assert_eq!(date_range("1970-01"), Some((0, 31 * day)));
        assert_eq!(date_range("1970-12"), Some((334 * day, 365 * day)));
        assert_eq!(date_range("1970-01-02"), Some((day, 2 * day)));
        assert_eq!(date_range("1969-12-31"), Some((-day, 0)));
        assert_eq!(date_range("1970-01-01T00:01"), Some((60_000_000, 120_000_000)));
        assert_eq!(date_range("1970-01-01T00:00:01Z"), Some((1_000_000, 2_000_000)));
        assert_eq!(date_range("1970-01-01T01:00:00+01:00"), Some((0, 1_000_000)));
        assert_eq!(date_range("1969-12-31T23:30:00.25-00:30"), Some((250_000, 260_000)));
        assert_eq!(date_range("1970-01-01T00:00:00.1234567Z"), Some((123_456, 123_457)));
        assert_eq!(date_range("2024-02-29T12:00:00Z").unwrap().0, 1_709_208_000_000_000);
    }

    #[test]
    fn days_agree_with_another_calendar() {
        let mut date = jiff::civil::date(1895, 12, 30);
        for _ in 0..60_000 {
            let days = days_to(date.year().into(), date.month().into(), date.day().into());
            let other = date.to_zoned_datetime(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second() / SECS_PER_DAY;
            assert_eq!(days, other, "{date}");
            date = date.tomorrow().unwrap();
        }
    }

    #[test]
    fn broken_dates_are_refused() {
        let broken = [
            "",
            "20",
            "0000",
            "2024-",
            "2024-13",
            "2024-00",
            "2024-02-30",
            "2023-02-29",
            "1900-02-29",
            "2024-04-31",
            "20240301",
            "2024-03-01T",
            "2024-03-01T10",
            "2024-03-01T24:00:00Z",
            "2024-03-01T10:60:00Z",
            "2024-03-01T10:00:61Z",
            "2024-03-01T10:00:00.Z",
            "2024-03-01T10:00:00+1",
            "2024-03-01T10:00:00+14:01",
            "2024-03-01T10:00:00+01:60",
            "2024-03-01T10:00:00Zx",
            "2024-03-01 10:00:00Z",
            " 2024",
            "2024 ",
            "२०२४",
        ];
        for text in broken {
            assert_eq!(date_range(text), None, "{text}");
        }
        assert!(date_range("2000-02-29").is_some());
        assert!(is_time("10:00:00") && is_time("10:00:00.5") && !is_time("10:00") && !is_time("10:00:00Z"));
    }
}
