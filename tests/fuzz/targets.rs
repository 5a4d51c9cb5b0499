//! What must hold for any bytes, one function for each reader; an input is a stretch of raw bytes so that seeds can be read.
//!
//! Knows nothing of seeds, time or files: `main.rs` and `guided/` run these.

use bytes::{Bytes, BytesMut};
use fairway_core::hl7v2::mllp::{DecodeError, Decoder, Event, FrameEnd};
use fairway_core::hl7v2::{
    Ack, AckCode, AckStyle, Batch, Charset, ErrorCode, Index, Message, ParseErrorKind, ParseOptions, Path, Precision,
    Repetition, Separators, Structure, Timestamp, WARNINGS_MAX, WarningCode, Zone, answers, answers_unparsed, escape,
    fhir_instant_from_micros, soap, soap::SoapVersion, split_batch, unescape,
};

/// The first line and what follows it.
fn head_and_rest(input: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', input) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, b""),
    }
}

/// Where a piece begins in what it was cut from.
fn offset(piece: &[u8], whole: &[u8]) -> usize {
    piece.as_ptr() as usize - whole.as_ptr() as usize
}

/// Every event of a stream that arrives in pieces of the lengths given, over and over.
fn decode(stream: &[u8], limit: usize, lengths: &[usize]) -> (Vec<Event>, Option<DecodeError>) {
    let (mut decoder, mut buffer, mut events) = (Decoder::new(limit), BytesMut::new(), Vec::new());
    let (mut rest, mut lengths) = (stream, lengths.iter().cycle());
    while !rest.is_empty() {
        let length = lengths.next().copied().unwrap_or(usize::MAX).clamp(1, rest.len());
        buffer.extend_from_slice(&rest[..length]);
        rest = &rest[length..];
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    while let Some(event) = decoder.finish(&mut buffer) {
        events.push(event);
    }
    assert!(buffer.is_empty() && !decoder.in_frame());
    (events, None)
}

/// The events do not depend on how the stream is split, and account for every byte.
pub(crate) fn framing(stream: &[u8]) {
    // The split follows from the content, so that an input that fails does so again.
    let lengths: Vec<usize> = stream.iter().map(|byte| usize::from(byte % 23)).collect();
    for limit in [usize::MAX, 20] {
        let whole = decode(stream, limit, &[]);
        assert_eq!(decode(stream, limit, &lengths), whole);
        assert_eq!(decode(stream, limit, &[1]), whole);
        if whole.1.is_some() {
            continue;
        }
        // Put together again they are the stream; what was skipped is taken from there.
        let mut rest = stream;
        for event in &whole.0 {
            let (frame, end): (&[u8], &[u8]) = match event {
                Event::Frame { bytes, end: FrameEnd::Full } => (bytes, b"\x1C\r"),
                Event::Frame { bytes, end: FrameEnd::Lf } => (bytes, b"\x1C\n"),
                Event::Frame { bytes, end: FrameEnd::NoCr } => (bytes, b"\x1C"),
                Event::Restarted { dropped: bytes } | Event::Unfinished { bytes } => (bytes, b""),
                Event::Skipped { bytes, .. } => {
                    // A VT before another one, with blanks between them or not, opens nothing.
                    let run = &rest[..(*bytes + 1).min(rest.len())];
                    assert!(run.windows(2).all(|pair| pair[0] != 0x0B || pair[1] <= b' '), "a frame is skipped");
                    rest = &rest[*bytes..];
                    continue;
                }
            };
            let sent = [b"\x0B", frame, end].concat();
            assert!(rest.starts_with(&sent), "a frame is not as it was sent");
            rest = &rest[sent.len()..];
        }
        assert!(rest.is_empty());
    }
}

/// Segments cover the message, their fields cover them, repetitions cover a field; everything can be read.
pub(crate) fn parse(input: &[u8]) {
    let message = match Message::parse(Bytes::copy_from_slice(input), &ParseOptions::default()) {
        Ok(message) => message,
        Err(error) => return assert!(error.offset <= input.len() * 3, "UTF-16 grows to three halves at most"),
    };
    let (bytes, separators) = (message.bytes(), message.separators());
    assert!(message.warnings().len() <= WARNINGS_MAX);
    let lost = |bytes: &[u8]| memchr::memmem::find(bytes, "\u{FFFD}".as_bytes()).is_some();
    let told = message.warnings().iter().any(|warning| warning.code == WarningCode::InvalidCharacters);
    let sent =
        lost(input) || [b"\xFF\xFD", b"\xFD\xFF"].iter().any(|half| memchr::memmem::find(input, *half).is_some());
    assert!(told || sent || !lost(bytes), "no character is lost in silence");
    assert!(message.warnings().iter().all(|warning| warning.offset <= bytes.len()));
    let start = message.segment_at(0).map_or(0, |segment| offset(segment.raw(), bytes));
    assert!(bytes[..start].iter().all(|&b| b <= b' ' || b"\xEF\xBB\xBF".contains(&b)));
    let mut at = start;
    for segment in message.segments() {
        let from = offset(segment.raw(), bytes);
        assert!(bytes[at..from].iter().all(|b| b" \t\r\n".contains(b)), "only blanks between segments");
        at = from + segment.raw().len();
        let header = u16::from(matches!(segment.name(), "MSH" | "FHS" | "BHS"));
        let name = segment.field(0).raw();
        assert!(segment.name() == "???" || name.trim_ascii_end() == segment.name().as_bytes(), "text behind a name");
        let pieces = (0..=segment.field_count()).filter(|n| header == 0 || *n != 1).map(|n| segment.field(n).raw());
        assert_eq!(pieces.collect::<Vec<_>>().join(&separators.field), segment.raw());
        for field in segment.fields().skip(usize::from(header) * 2) {
            let pieces: Vec<&[u8]> = field.repetitions().map(|piece| piece.raw()).collect();
            assert!(separators.repetition == Separators::UNUSED || pieces.join(&separators.repetition) == field.raw());
            for value in
                field.repetitions().flat_map(|piece| piece.components()).flat_map(|piece| piece.subcomponents())
            {
                assert!(value.text().len() <= value.raw().len() * 20, "text is bounded by what was sent");
                assert!(!value.is_empty() || value.text().is_empty());
                assert!(!value.is_valued() || !value.is_null());
                value.formatted();
                value.location().to_string();
            }
            field.text();
        }
    }
    assert!(bytes[at..].iter().all(|b| b" \t\r\n\0\x1A\x1C".contains(b)), "only blanks and marks behind the last");
    let structure = Structure::of(&message);
    for index in 0..message.segment_count() {
        assert!(structure.within(structure.group_of(index), Structure::root()));
    }
}

/// Whatever arrives, the answer is one readable message that fits in a frame and answers that message.
pub(crate) fn acknowledgements(input: &[u8]) {
    let ack = Ack {
        code: AckCode::AR,
        reason: Some("PID[1]-3: a|b^c&d~e\\f\r\x1C\r€".into()),
        error: Some(ErrorCode::DataType),
    };
    let now = 1_712_136_615_987_654;
    let check = |answer: Vec<u8>| {
        let (events, error) = decode(&[b"\x0B", &answer[..], b"\x1C\r"].concat(), usize::MAX, &[]);
        assert!(error.is_none() && matches!(&events[..], [Event::Frame { bytes, .. }] if bytes == &answer));
        let answer = Message::parse(answer.into(), &ParseOptions::default()).unwrap();
        assert_eq!(answer.code(), "ACK");
        let names: Vec<&str> = answer.segments().map(|segment| segment.name()).collect();
        assert!(matches!(names[..], ["MSH", "MSA"] | ["MSH", "MSA", "ERR"]), "{names:?}");
        answer
    };
    for answer in answers_unparsed(input, &ack, AckStyle::Standard, now) {
        check(answer);
    }
    let Ok(message) = Message::parse(Bytes::copy_from_slice(input), &ParseOptions::default()) else { return };
    for style in [AckStyle::Standard, AckStyle::Strict, AckStyle::Plain] {
        for answer in answers(&message, &ack, style, true, now) {
            let (answer, sent) = (check(answer), message.segment_at(0).unwrap().field(10));
            let clean = sent.raw().len() <= 199 && sent.raw().iter().all(|&b| b >= b' ') && !sent.is_null();
            assert!(!clean || answer.segment_at(1).unwrap().field(2).raw() == sent.raw(), "MSA-2 is MSH-10");
        }
    }
}

/// A path says what it read: its text gives the same path, and its values are those that a plain split gives. An error
/// points into the text.
pub(crate) fn paths(input: &[u8]) {
    const MESSAGE: &[u8] =
        b"MSH|^~\\&|PAS\rPID|1||123^^^NHS&2.16~A7^^^RXX^MR~\"\"||Doe^Jo&van\rOBX|1|NM|a||5~6\rOBX|2\r";
    let text = String::from_utf8_lossy(input);
    let path = match Path::parse(&text) {
        Ok(path) => path,
        Err(error) => {
            return assert!(text.is_char_boundary(error.offset) || error.offset == fairway_core::hl7v2::PATH_BYTES_MAX);
        }
    };
    assert_eq!(Path::parse(&path.to_string()).as_ref(), Ok(&path));
    let message = Message::parse(Bytes::from_static(MESSAGE), &ParseOptions::default()).unwrap();
    let values: Vec<&[u8]> = path.in_message(&message).map(|value| value.raw()).collect();
    let expected = split_by(&path, std::str::from_utf8(MESSAGE).unwrap());
    assert_eq!(values, expected.iter().map(|value| value.as_bytes()).collect::<Vec<_>>());
    assert!(values.iter().all(|value| !value.is_empty()));
}

/// The values of a path in a message with the usual delimiters, by splitting its text.
fn split_by<'m>(path: &Path, message: &'m str) -> Vec<&'m str> {
    let name = path.segment.map_or(String::new(), |name| name.to_string());
    let piece = |text: &'m str, delimiter: char, n: u16| text.split(delimiter).nth(usize::from(n) - 1).unwrap_or("");
    let named: Vec<&str> =
        message.lines().flat_map(|line| line.split('\r')).filter(|line| line.get(..3) == Some(&name)).collect();
    let wanted = match path.segment_index {
        Index::First => named.get(..1).unwrap_or(&[]),
        Index::Nth(n) => named.get(usize::from(n) - 1..usize::from(n)).unwrap_or(&[]),
        Index::All => &named[..],
    };
    let mut values = Vec::new();
    for line in wanted {
        let (field, whole) = match (&*name, path.field) {
            ("MSH", 1) => (&line[3..4], true),
            ("MSH", n) => (piece(line, '|', n), n == 2),
            (_, n) => (line.split('|').nth(usize::from(n)).unwrap_or(""), false),
        };
        // What is made of delimiters has no parts.
        let part = |text: &'m str, delimiter: char, n: u16| match whole {
            true if n > 1 => "",
            true => text,
            false => piece(text, delimiter, n),
        };
        let all: Vec<&str> = if whole { vec![field] } else { field.split('~').collect() };
        let of = |component: u16, name: &str| {
            all.iter().find(|one| piece(piece(one, '^', component), '&', 1).trim() == name).copied()
        };
        let repetitions: Vec<&str> = match &path.repetition {
            Repetition::First => all[..1].to_vec(),
            Repetition::Nth(n) => all.get(usize::from(*n) - 1).copied().into_iter().collect(),
            Repetition::All => all.clone(),
            Repetition::Authority(name) => of(4, name).or_else(|| of(5, name)).into_iter().collect(),
        };
        for repetition in repetitions {
            let component = path.component.map_or(repetition, |n| part(repetition, '^', n));
            values.push(path.subcomponent.map_or(component, |n| part(component, '&', n)));
        }
    }
    values.retain(|value| !value.is_empty());
    values
}

/// What is escaped comes back, alone and as a field of a message; what has no escape character stays as it is.
/// Input: a header that declares the delimiters, and a text.
pub(crate) fn escapes(input: &[u8]) {
    let (header, text) = head_and_rest(input);
    let Ok(message) = Message::parse(Bytes::copy_from_slice(header), &ParseOptions::default()) else { return };
    let (separators, text) = (message.separators(), String::from_utf8_lossy(text));
    let meant = unescape(&text, &separators);
    assert!(meant.len() <= text.len() * 20);
    if separators.escape == Separators::UNUSED || !text.contains(separators.escape as char) {
        assert_eq!(meant, text);
    }
    let escaped = escape(&text, &separators);
    assert!(!escaped.bytes().any(|byte| byte < b' ' || byte == separators.field || byte == separators.component));
    if separators.escape == Separators::UNUSED {
        return;
    }
    assert_eq!(unescape(&escaped, &separators), text);
    let line =
        [b"MSH".as_slice(), &[separators.field], message.segment_at(0).unwrap().field(2).raw(), b"\rZZ1"].concat();
    let sent = [&line[..], &[separators.field], escaped.as_bytes(), b"\r"].concat();
    let message = Message::parse(sent.into(), &ParseOptions::default()).unwrap();
    let value = message.segment_at(1).unwrap().field(1);
    assert!(value.is_null() || value.text() == text, "{:?}", value.raw().escape_ascii());
}

/// What is a timestamp by a plain reading is one, and nothing else, and is the same instant by another library's calendar
/// and zones. A timestamp reads back as it was, its FHIR forms are valid, and it lies within every shorter form of itself; two are
/// in the order of their parts. Input: a line for each.
pub(crate) fn timestamps(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let times: Vec<Timestamp> = text.lines().filter_map(|line| Timestamp::parse(line).ok()).collect();
    let (utc, london) = (Zone::utc(), Zone::named("Europe/London").unwrap());
    let theirs = jiff::tz::TimeZoneDatabase::bundled().get("Europe/London").unwrap();
    for line in text.lines() {
        let (ours, plain) = (Timestamp::parse(line), plain_time(line.trim()));
        assert_eq!(ours.is_ok(), plain.is_some(), "{line:?}");
        let (Ok(ours), Some((local, offset))) = (ours, plain) else { continue };
        if (2..9999).contains(&local.year()) {
            let zone = offset.map_or(theirs.clone(), jiff::tz::TimeZone::fixed);
            let instant = zone.to_ambiguous_timestamp(local).compatible().unwrap().as_millisecond();
            assert_eq!(ours.instant(&london), instant * 1000, "{line:?}");
        }
    }
    for time in &times {
        assert_eq!(Timestamp::parse(&time.to_string()).as_ref(), Ok(time));
        for zone in [&utc, &london] {
            let instant = time.fhir_instant(zone);
            assert_eq!(instant.len(), "2024-04-03T09:30:00.000Z".len(), "{instant}");
            let read: jiff::civil::DateTime = instant.trim_end_matches('Z').parse().unwrap();
            assert!((1..=9999).contains(&read.year()));
            let typed = time.fhir_date_time(zone);
            assert!(time.precision() < Precision::Minute || typed.parse::<jiff::civil::DateTime>().is_ok(), "{typed}");
        }
        let shorter = [
            (Precision::Year, 366 * 86_400, Timestamp { month: None, ..*time }),
            (Precision::Month, 31 * 86_400, *time),
            (Precision::Day, 86_400, *time),
            (Precision::Hour, 3_600, *time),
            (Precision::Minute, 60, *time),
            (Precision::Second, 1, *time),
        ];
        for (precision, seconds, mut short) in shorter {
            let keep = |wanted| precision >= wanted;
            short.month = time.month.filter(|_| keep(Precision::Month));
            short.day = time.day.filter(|_| keep(Precision::Day));
            short.hour = time.hour.filter(|_| keep(Precision::Hour));
            short.minute = time.minute.filter(|_| keep(Precision::Minute));
            short.second = time.second.filter(|_| keep(Precision::Second));
            short.fraction = None;
            let behind = time.instant(&utc) - short.instant(&utc);
            assert!((0..seconds * 1_000_000).contains(&behind), "{time} lies {behind} µs behind {short}");
        }
    }
    let parts = |t: &Timestamp| {
        let date = (t.year, t.month.unwrap_or(1), t.day.unwrap_or(1));
        let time = (t.hour.unwrap_or(0), t.minute.unwrap_or(0), t.second.unwrap_or(0));
        (date, time, t.fraction.map_or(0, |fraction| fraction.nanos / 1_000_000))
    };
    // An offset may lead out of the calendar, where all instants are one.
    let inside: Vec<&Timestamp> = times.iter().filter(|time| (2..9999).contains(&time.year)).collect();
    for pair in inside.windows(2).filter(|pair| pair[0].offset_minutes == pair[1].offset_minutes) {
        let ordered = pair[0].instant(&utc).cmp(&pair[1].instant(&utc));
        assert_eq!(ordered, parts(pair[0]).cmp(&parts(pair[1])), "{} {}", pair[0], pair[1]);
    }
    let number = input.iter().take(8).fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    fhir_instant_from_micros(number);
}

/// A timestamp read by splitting: the local time, cut to milliseconds, and the offset that was typed.
fn plain_time(text: &str) -> Option<(jiff::civil::DateTime, Option<jiff::tz::Offset>)> {
    let at = text.find(['+', '-']).unwrap_or(text.len());
    let (local, offset) = (text.get(..at)?, text.get(at..)?);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = local.split_once('.').map_or((local, None), |(whole, fraction)| (whole, Some(fraction)));
    let length = whole.len();
    if !digits(whole) || !matches!(length, 4 | 6 | 8 | 10 | 12 | 14) {
        return None;
    }
    let number = |from: usize, default: i8| whole.get(from..from + 2).map_or(default, |pair| pair.parse().unwrap());
    let nanos = match fraction {
        None => 0,
        Some(fraction) if length == 14 && digits(fraction) && matches!(fraction.len(), 1..=9) => {
            format!("{fraction:0<9}").parse::<i32>().unwrap() / 1_000_000 * 1_000_000
        }
        Some(_) => return None,
    };
    let offset = match offset.len() {
        0 => None,
        3 | 5 if length >= 8 && digits(&offset[1..]) => {
            let (hours, minutes): (i32, i32) = (offset[1..3].parse().unwrap(), offset[3..].parse().unwrap_or(0));
            let sign = if offset.starts_with('-') { -1 } else { 1 };
            let fits = minutes < 60 && hours * 60 + minutes <= 14 * 60;
            Some(jiff::tz::Offset::from_seconds(sign * (hours * 60 + minutes) * 60).ok().filter(|_| fits)?)
        }
        _ => return None,
    };
    let year = whole[..4].parse().ok().filter(|year| *year > 0)?;
    let time = (number(8, 0), number(10, 0), number(12, 0));
    let local = jiff::civil::DateTime::new(year, number(4, 1), number(6, 1), time.0, time.1, time.2, nanos);
    Some((local.ok()?, offset))
}

/// Decoding keeps every byte: a one-byte set gives a character for each, that of the browsers' table where it has one, and
/// takes all of them back; UTF-8 gives its characters, and one for each wrong byte. A message in the set reads the same,
/// or as UTF-8 when that is what it is, and says so. A label that is known has a name that means the same.
/// Input: a label, and bytes in that character set.
pub(crate) fn charset(input: &[u8]) {
    let (label, bytes) = head_and_rest(input);
    let charset = Charset::from_msh18(&String::from_utf8_lossy(label)).unwrap_or(Charset::Utf8);
    assert_eq!(Charset::from_msh18(&charset.name()), Some(charset));
    let (text, contradicted) = charset.decode(bytes);
    let part = match charset {
        Charset::Utf16 => return assert!(contradicted || bytes.len() % 2 == 0, "half a character is told"),
        Charset::Utf8 | Charset::Ascii => None,
        Charset::Latin1 | Charset::Windows1252 => Some("windows-1252".to_owned()),
        Charset::Iso8859(part) => Some(format!("iso-8859-{part}")),
    };
    match part {
        Some(label) => {
            let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).unwrap();
            let (table, holes) = encoding.decode_without_bom_handling(bytes);
            assert_eq!(contradicted, holes);
            assert_eq!(text.chars().count(), bytes.len());
            assert!(text.chars().zip(table.chars()).all(|(ours, theirs)| ours == theirs || theirs == '\u{FFFD}'));
            assert!(!text.contains('\u{FFFD}') && charset.encode(&text).as_ref() == bytes);
        }
        None => {
            let mut expected = String::new();
            for chunk in bytes.utf8_chunks() {
                expected.push_str(chunk.valid());
                expected.push_str(&encoding_rs::WINDOWS_1252.decode_without_bom_handling(chunk.invalid()).0);
            }
            assert_eq!(text, expected);
        }
    }
    let plain = |part: &[u8]| part.iter().all(|b| *b >= b' ' && !b"|\\".contains(b));
    if !plain(label) || !label.is_ascii() || !plain(bytes) {
        return;
    }
    let sent = [b"MSH|^~\\&|||||||||||||||".as_slice(), label, b"\rZZ1|", bytes, b"|\r"].concat();
    let Ok(message) = Message::parse(sent.into(), &ParseOptions::default()) else { return };
    let (value, told) = (message.segment_at(1).unwrap().field(1), message.warnings());
    if message.charset() == charset && !value.is_null() {
        assert_eq!(value.text(), text);
    } else if Charset::from_msh18(message.text("MSH-18").as_deref().unwrap_or_default()) == Some(charset) {
        assert_eq!(message.charset(), Charset::Utf8);
        assert!(told.iter().any(|warning| warning.code == WarningCode::MislabelledCharset) || value.is_null());
        assert!(value.is_null() || value.text().as_bytes() == bytes);
    }
}

/// Every byte is in a message, but for blanks, framing and whole lines of an envelope between them. A message is its own
/// only message, and holds no other as the reader sees it. What was sent in UTF-16 is cut where its UTF-8 is.
pub(crate) fn batch(input: &[u8]) {
    let batch = Bytes::copy_from_slice(input);
    let messages: Vec<Bytes> = split_batch(batch.clone()).collect();
    if let Some(little) = is_utf16(input) {
        let text = text_of_utf16(input, little);
        // A half at the end of half a pair is one lost character or two.
        let end = |text: &str| text.trim_end_matches('\u{FFFD}').to_owned();
        let texts = messages.iter().map(|message| end(&text_of_utf16(message, little)));
        return assert!(texts.eq(split_batch(text.into()).map(|text| end(&String::from_utf8_lossy(&text)))));
    }
    let mut at = 0;
    for message in &messages {
        let from = offset(message, &batch);
        between(&batch[at..from]);
        at = from + message.len();
        let whole = message.ends_with(b"\r") || message.ends_with(b"\n") || batch.get(at).is_none_or(|&b| b == 0x1C);
        assert!(whole, "the last line is kept to its end");
        alone(message);
    }
    between(&batch[at..]);
}

/// Whether this begins as UTF-16 does, and then whether as little-endian.
fn is_utf16(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [0xFF, 0xFE, ..] | [b'M', 0, b'S', 0, ..] | [b'F' | b'B', 0, b'H', 0, ..] => Some(true),
        [0xFE, 0xFF, ..] | [0, b'M', 0, b'S', ..] | [0, b'F' | b'B', 0, b'H', ..] => Some(false),
        _ => None,
    }
}

fn text_of_utf16(bytes: &[u8], little: bool) -> String {
    let units = bytes.chunks(2).map(|pair| match pair {
        [one, two] if little => u16::from_le_bytes([*one, *two]),
        [one, two] => u16::from_be_bytes([*one, *two]),
        // Half a unit is no character.
        _ => 0xD800,
    });
    let text: String = char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{FFFD}')).collect();
    text.strip_prefix('\u{FEFF}').map(str::to_owned).unwrap_or(text)
}

/// What stands between messages: nothing but blanks and framing, and lines of an envelope.
fn between(bytes: &[u8]) {
    for line in bytes.split(|&b| b == b'\r' || b == b'\n') {
        let mut line = line;
        while let Some(rest) =
            line.strip_prefix(b"\xEF\xBB\xBF").or(line.split_first().filter(|l| *l.0 <= b' ').map(|l| l.1))
        {
            line = rest;
        }
        let named = [b"FHS", b"BHS", b"BTS", b"FTS"].iter().any(|name| line.starts_with(*name));
        let delimited = line.get(3).is_none_or(|b| b.is_ascii_punctuation());
        let bare = line.get(3..).is_some_and(|rest| rest.iter().all(|b| *b <= b' '));
        assert!(line.is_empty() || (named && (delimited || bare)), "{} is left out", line.escape_ascii());
    }
}

/// A message that was cut out of a batch cannot be cut again, and the reader finds no other in it.
fn alone(message: &Bytes) {
    if !message.starts_with(b"MSH") {
        return;
    }
    assert!(split_batch(message.clone()).eq([message.clone()]));
    match Message::parse(message.clone(), &ParseOptions::default()) {
        Err(error) if error.kind == ParseErrorKind::SecondHeader => {
            let line = &message[error.offset..];
            assert!(!line.get(3).is_some_and(u8::is_ascii_punctuation), "a message is in another one");
        }
        Err(_) => {}
        // Behind its last segment the reader leaves more away.
        Ok(read) if read.warnings().iter().any(|warning| warning.code == WarningCode::TrailingBytes) => {}
        Ok(read) => {
            for warning in read.warnings().iter().filter(|warning| warning.code == WarningCode::BatchEnvelope) {
                assert!(!message[warning.offset..].starts_with(b"BTS"), "the end of a batch is in a message");
            }
        }
    }
}

/// A batch with its envelope: its messages are those of the split, the answer carries every answer, and its envelope tells
/// of as many as came.
pub(crate) fn enveloped(input: &[u8]) {
    let whole = Bytes::copy_from_slice(input);
    let Some(batch) = Batch::read(whole.clone()) else { return };
    let messages: Vec<Bytes> = batch.messages().collect();
    assert!(split_batch(whole.clone()).eq(messages.iter().cloned()));
    if is_utf16(input).is_some() {
        // And so is the answer, unless the end of its frame, or the start of another, would stand in it.
        let answer = batch.acknowledge(&[], || 0);
        let (events, error) = decode(&[b"\x0B", &answer[..], b"\x1C\r"].concat(), usize::MAX, &[]);
        assert!(error.is_none() && matches!(&events[..], [Event::Frame { bytes, .. }] if bytes == &answer));
        let breaks = |wide: &[u8]| {
            let ends = wide.windows(2).any(|pair| matches!(pair, [0x1C, b'\r' | b'\n']));
            ends || wide.windows(4).any(|four| four == b"\x0BMSH")
        };
        let text = String::from_utf8_lossy(&answer);
        let wide = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let framable = !breaks(&wide(u16::to_le_bytes)) && !breaks(&wide(u16::to_be_bytes));
        return assert!(is_utf16(&answer).is_some() || !framable);
    }
    let answers: Vec<Bytes> = (0..messages.len()).map(|n| Bytes::from(format!("MSH|{n}\r"))).collect();
    let answer = batch.acknowledge(&answers, || 0);
    let (mut carried, mut batches, mut open) = (0, 0, None);
    for line in answer.split(|&b| b == b'\r') {
        let count = || -> usize {
            std::str::from_utf8(line).unwrap()[4..]
                .split(|c: char| !c.is_ascii_digit())
                .next()
                .unwrap()
                .parse()
                .unwrap()
        };
        match line.get(..3) {
            Some(b"MSH") => {
                assert_eq!(line, &answers[carried][..answers[carried].len() - 1], "in their order");
                carried += 1;
                batches += usize::from(open.is_none());
                *open.get_or_insert(0) += 1;
            }
            Some(b"BHS") => {
                batches += 1;
                open = Some(0);
            }
            Some(b"BTS") => {
                batches += usize::from(open.is_none());
                assert_eq!(count(), open.take().unwrap_or(0), "messages of a batch");
            }
            Some(b"FHS") => (batches, open) = (0, None),
            Some(b"FTS") => {
                assert_eq!(count(), batches, "batches of a file");
                (batches, open) = (0, None);
            }
            _ => assert!(line.is_empty(), "{}", line.escape_ascii()),
        }
    }
    assert_eq!(carried, messages.len());
    assert!(batch.findings().len() <= input.len());
}

/// An envelope gives one message that is not blank, or says why not; what is wrapped comes out again.
pub(crate) fn soap(input: &[u8]) {
    if let Ok(call) = soap::message_of(input, None) {
        assert!(!call.message.trim().is_empty());
    }
    // XML has no control characters, and its readers make one LF of a CR LF.
    let text = String::from_utf8_lossy(input).replace(|c: char| c.is_control() && c != '\r', " ");
    if text.trim().is_empty() || text.contains(['\u{FFFE}', '\u{FFFF}']) {
        return;
    }
    let call = soap::answer(&text, SoapVersion::V12).replace("ns2:acceptMessageResponse", "ns2:acceptMessage");
    let call = call.replace("<return>", "<arg0>").replace("</return>", "</arg0>");
    let read = soap::message_of(call.as_bytes(), Some("utf-8")).unwrap();
    assert_eq!((&read.message, read.version), (&text, Some(SoapVersion::V12)));
    // The same as CDATA, whole and in two. There a CR is a line end like any other.
    let (head, tail) = (call.split_once("<arg0>").unwrap().0, call.rsplit_once("</arg0>").unwrap().1);
    let plain = text.replace(['\r', ']'], " ");
    let half = plain.char_indices().nth(plain.chars().count() / 2).map_or(0, |(at, _)| at);
    for data in
        [format!("<![CDATA[{plain}]]>"), format!("<![CDATA[{}]]><![CDATA[{}]]>", &plain[..half], &plain[half..])]
    {
        let call = format!("{head}<arg0>{data}</arg0>{tail}");
        let read = soap::message_of(call.as_bytes(), Some("utf-8"));
        assert!(plain.trim().is_empty() || read.is_ok_and(|read| read.message == plain), "{plain:?}");
    }
}
