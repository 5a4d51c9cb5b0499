//! UTF-16 over MLLP, where bytes of letters look like the end or the beginning of a frame.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::crash::nhs_number;
use super::http::text;
use super::process::{Process, Sender, code_of};

/// Little-endian or not, with a byte order mark or not.
const WAYS: [(bool, bool); 4] = [(true, false), (true, true), (false, false), (false, true)];

fn wide(text: &str, (little, marked): (bool, bool)) -> Vec<u8> {
    let units = marked.then_some(0xFEFF_u16).into_iter().chain(text.encode_utf16());
    units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

/// A result with a note and, behind it, a potassium that somebody must see.
fn result(id: &str, person: usize, note: &str) -> String {
    format!(
        "MSH|^~\\&|LAB|RTST|FAIRWAY|PHR|20260102101112||ORU^R01|{id}|P|2.4||||||UNICODE UTF-16\r\
         PID|||{}^^^NHS^NH||Example^Pat||19700101|F\r\
         OBR|1||{id}|MIX^Mixed|||202601020800||||||||||||||||||F\r\
         OBX|1|ST|A^Comment||Note: {note} seen||||||F\r\
         OBX|2|NM|K^Potassium||7.2|mmol/L|3.5-5|HH|||F\r",
        nhs_number(person)
    )
}

/// The daemon with so many persons in it.
fn start(folder: &Path, persons: usize) -> Process {
    let process = Process::start(folder);
    let mut sender = Sender::connect(process.pas).unwrap();
    for person in 0..persons {
        let head = format!("MSH|^~\\&|PAS|RTST|FAIRWAY|PHR|20260101||ADT^A28|P{person}|P|2.4\r");
        let pid = format!("PID|||{}^^^NHS^NH||Example^Pat||19700101|F\r", nhs_number(person));
        assert_eq!(code_of(&sender.send((head + &pid).as_bytes()).unwrap()), "AA");
    }
    process
}

fn framed(message: &[u8]) -> Vec<u8> {
    [b"\x0B", message, b"\x1C\r"].concat()
}

/// An answer in ASCII that came as UTF-16 or not.
fn answer(sender: &mut Sender) -> String {
    sender.answer().unwrap().replace(['\0', '\u{fffd}'], "")
}

/// Everything observed of a person.
fn observed(process: &Process, person: usize) -> String {
    text(process, &format!("/sandbox/fhir/Observation?patient.identifier={}", nhs_number(person)))
}

#[test]
fn letters_that_look_like_the_end_of_a_frame_cut_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), 40);
    let mut sender = Sender::connect(process.results).unwrap();
    let notes = ["\u{a1c}", "\u{d1c}", "\u{201c}\u{d87}", "\u{1c0d}", "\u{1ca0}\u{d1c}\u{1c0a}\u{b1c}"];
    let cases = WAYS.into_iter().flat_map(|way| notes.map(|note| (way, note)));
    for (person, (way, note)) in (0..).zip(cases) {
        let stream = framed(&wide(&result(&format!("L{person}"), person, note), way));
        // The first part ends where the bytes so far look whole.
        let letters = wide(note, (way.0, false));
        let at = stream.windows(letters.len()).position(|bytes| bytes == letters).unwrap() + letters.len();
        sender.raw(&stream[..at]).unwrap();
        sleep(Duration::from_millis(20));
        let sent = Instant::now();
        sender.raw(&stream[at..]).unwrap();
        let told = answer(&mut sender);
        assert_eq!(code_of(&told), "AA", "{way:?} {note}: {told}");
        assert!(sent.elapsed() < Duration::from_secs(10), "answered at once");
        let observed = observed(&process, person);
        for part in [&format!("Note: {note} seen")[..], "Potassium", "7.2"] {
            assert!(observed.contains(part), "{way:?} {note} {part}: {observed}");
        }
    }
    assert!(!process.log().contains("junk"), "{}", process.log());
}

#[test]
fn a_broken_frame_in_utf16_never_lends_its_header_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), 40);
    let mut sender = Sender::connect(process.results).unwrap();
    let mut persons = 0..;
    for way in WAYS {
        // The first breaks off in its comment, in the middle of a letter, behind a segment, and where it looks whole.
        for (end, half) in [(" first comment", 0), (" first comment", 1), ("\r", 0), ("\u{d1c}", 0), ("\u{1c0d}", 0)] {
            let (a, b) = (persons.next().unwrap(), persons.next().unwrap());
            let whole = result(&format!("A{a}"), a, "x");
            let mut first = wide(&format!("{}{end}", whole.split(" seen").next().unwrap()), way);
            first.truncate(first.len() - half);
            let second = result(&format!("B{b}"), b, "second");
            sender.raw(&[b"\x0B", &first[..], &framed(&wide(&second, way))].concat()).unwrap();
            let (broken, next) = (answer(&mut sender), answer(&mut sender));
            assert!(broken.contains(&format!("MSA|AE|A{a}|")), "{way:?} {end:?} {half}: {broken}");
            assert!(next.contains(&format!("MSA|AA|B{b}")), "{way:?} {end:?} {half}: {next}");
            assert!(!observed(&process, a).contains("Comment"), "nothing of what was cut is filed");
            let observed = observed(&process, b);
            assert!(observed.contains("Note: second seen") && observed.contains("7.2"), "{observed}");
            let kept: Vec<_> = process.messages().iter().rev().take(2).map(|message| message.id).collect();
            assert_eq!(process.reader().raw(kept[1]).unwrap().unwrap(), first);
        }
    }
}

#[test]
fn a_frame_in_utf16_that_may_be_whole_is_told_why_it_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), 40);
    for (person, way) in (0..).zip(WAYS) {
        let mut sender = Sender::connect(process.results).unwrap();
        let open = result(&format!("O{person}"), person, "x");
        sender.raw(&framed(&wide(open.trim_end(), way))).unwrap();
        sender.raw(&framed(&wide(&result(&format!("N{person}"), person, "x"), way))).unwrap();
        let told = answer(&mut sender);
        assert!(told.contains(&format!("MSA|AE|O{person}|")) && told.contains("a letter of UTF-16"), "{told}");
        assert_eq!(code_of(&answer(&mut sender)), "AA");
    }
}
