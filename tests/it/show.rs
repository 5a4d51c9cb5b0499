//! `fairway show`: what people and programs see of messages, good and bad.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use fairway::cli::show;
use unicode_width::UnicodeWidthStr;

#[derive(Parser)]
struct Show {
    #[command(flatten)]
    args: show::Args,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Exit code and output of the command with these arguments.
fn run(arguments: &[&str]) -> (u8, String) {
    let mut out = Vec::new();
    let show = Show::try_parse_from(["show", "--color", "never"].iter().chain(arguments)).unwrap();
    let code = show::run(&show.args, &mut out).unwrap();
    (code, String::from_utf8(out).unwrap())
}

/// Exit code and output for a message of these bytes.
fn of(message: &[u8], arguments: &[&str]) -> (u8, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), message).unwrap();
    let path = file.path().to_str().unwrap();
    let (code, text) = run(&[&[path], arguments].concat());
    (code, text.replace(path, "FILE"))
}

/// Every message file of the repository.
fn files() -> Vec<PathBuf> {
    let (mut files, mut open) = (Vec::new(), vec![root().join("fixtures"), root().join("tests/corpus")]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false if path.extension().is_some_and(|extension| extension == "hl7") => files.push(path),
                false => {}
            }
        }
    }
    assert!(files.len() > 150);
    files
}

/// A message of one segment behind MSH.
fn message(segment: &str) -> Vec<u8> {
    format!("MSH|^~\\&|A|B|||20240101||ORU^R01|1|P|2.4\rPID|1\r{segment}\r").into_bytes()
}

#[test]
fn pages_are_as_kept() {
    for (name, arguments) in [
        ("a28", "--width 100 fixtures/demographics/a28-bad-check-digit-is-refused/message.hl7"),
        ("ztm", "--width 80 --path ZTM fixtures/demographics/ztm-adds-teams/message.hl7"),
        ("pdf", "--width 100 fixtures/documents/t02-files-a-pdf/message.hl7"),
        ("results", "--width 120 fixtures/pathology/r01-collection-of-results/message.hl7"),
        ("narrow", "--width 40 fixtures/appointments/s12-creates-an-appointment/message.hl7"),
        ("wide", "--width 200 tests/corpus/mdm-d001-fhir-converter.hl7"),
        ("escapes", "--width 100 tests/it/show/escapes.hl7"),
        ("json", "--json tests/it/show/escapes.hl7"),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let (_, found) = run(&arguments);
        let page = root().join(format!("tests/it/show/{name}.txt"));
        let kept = fs::read_to_string(&page).unwrap_or_default();
        assert!(found == kept, "not as kept; see: fairway show {} | diff {} -", arguments.join(" "), page.display());
    }
}

#[test]
fn every_message_is_shown() {
    for file in files() {
        let path = file.to_str().unwrap();
        for width in ["40", "200"] {
            let (code, text) = run(&[path, "--width", width]);
            assert!(code <= 1 && !text.is_empty(), "{path}");
            let columns = text.lines().map(|line| line.width()).max().unwrap();
            assert!(columns <= width.parse().unwrap(), "{path}: {columns} columns of {width}");
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{path}");
        }
        let (code, text) = run(&[path, "--json"]);
        assert_eq!(code, run(&[path]).0, "{path}");
        for line in text.lines() {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(json["segments"].is_array() && json["findings"].is_array(), "{path}");
        }
    }
}

#[test]
fn findings_tell_place_and_fault() {
    let check = |segment: &str, expected: &str| {
        let (code, text) = of(&message(segment), &["--width", "200"]);
        let found: Vec<&str> = text.lines().filter(|line| line.starts_with("! ") && line.contains(": ")).collect();
        assert_eq!(found.join("\n"), expected, "{segment}");
        assert_eq!(code, u8::from(!expected.is_empty()), "{segment}");
    };
    check("OBX|1|NM|a||5.0||||||F|||20240101", "");
    check("OBX|1|NM|a||<5", "! OBX-5: not a number, as its type NM asks");
    check("OBX|1|TX|a||\"\"|||||||||20241301", "! OBX-14: the timestamp's month is not 01 to 12");
    check("OBX|1|TM|a||0930~2530", "! OBX-5[2]: not a time of day; write HHMM or HHMMSS");
    check(r"OBX|1|TX|a||a\.br\b \Q\ c", r"! OBX-5: the escape sequence \Q\ is not known and stays as typed");
    check(r"OBX|1|TX|a||C:\x", "! OBX-5: an escape character stands alone and stays as typed");
    check(
        "OBX|1|CX|a||9990000018^^^NHS~9990000019^^^X^NH{status:01}~1^^^NHS^MR~1",
        "! OBX-5[2]: not an NHS number: ten digits, the last one a check digit",
    );
    check("OBX|1|ED|a||^TEXT^PDF^Base64^!", "! OBX-5.5: not valid Base64");
    check("OBX|1|ED|a||^TEXT^PDF^Base64^JVBERi0x", "! OBX-5.5: the PDF has no end (%%EOF): it may be cut off");
    let cut = "! OBX-5.5: the Base64 ends in the middle of a group of four: it may be cut off";
    check("OBX|1|ED|a||^TEXT^PDF^Base64^QUFBQU", cut);
    check("SCH|1", "! SCH: this segment has no place here in ORU^R01");
    check("no segment", "! ???: a line is not a segment");
    let (_, text) = of(b"MSH|^~\\&|A|B||||||||||||||8859/1\rPID|1||\xC3\xA9\r", &["--width", "200"]);
    for expected in ["MSH-7: the date", "MSH-9: the message type", "MSH-10: the control id", "MSH-12: the version"] {
        assert!(text.contains(&format!("! {expected}")), "{text}");
    }
    assert!(text.contains("! PID-3: the text is UTF-8 but MSH-18 says otherwise"), "{text}");
    let (code, text) = of(b"PID|1\r", &[]);
    assert!(code == 1 && text.contains("! message: the message does not start with MSH"), "{text}");
}

#[test]
fn nothing_of_a_file_is_passed_over() {
    let header = "MSH|^~\\&|A|B|||20240101||ORU^R01|1|P|2.4\r";
    let (code, text) = of(format!("PID|1||9999\r{header}PID|1\r").as_bytes(), &[]);
    assert_eq!(code, 1);
    assert!(text.contains("PID|1||9999") && text.contains("does not start with MSH"), "{text}");
    let (code, text) = of(format!("BHS|^~\\&|A\r{header}PID|1\rBTS|5\r").as_bytes(), &["--json"]);
    assert_eq!(code, 1);
    assert!(text.contains(r#""findings":[{"path":null,"text":"BTS-1 tells of 5 messages and 1 came"}]"#), "{text}");
    // A line of a text is no envelope.
    let report =
        format!("{header}PID|1\rOBR|1\rOBX|1|TX|R||as per\nBTS guidelines\nMSH-2 lost\nNAD\nNo fracture seen.\r");
    let (_, text) = of(report.as_bytes(), &[]);
    assert!(text.contains("BTS guidelines") && text.contains("MSH-2 lost") && text.contains("No fracture"), "{text}");
}

#[test]
fn paths_and_their_exit_codes() {
    let results = message("OBX|1|NM|a||5\rOBX|2|NM|b||6~7");
    let paths = |path: &str| {
        let (code, text) = of(&results, &["--json", "--path", path]);
        let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["value"].to_string();
        (code, text.lines().map(value).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(paths("OBX-5"), (0, "\"5\"".to_owned()));
    assert_eq!(paths("OBX[*]-5[*]"), (0, "\"5\" \"6\" \"7\"".to_owned()));
    assert_eq!(paths("OBX[2]-5[2].1"), (0, "\"7\"".to_owned()));
    assert_eq!(paths("OBX[3]-5"), (1, String::new()));
    assert_eq!(paths("OBX"), (0, "null null".to_owned()));
    assert!(Show::try_parse_from(["show", "--path", "PID", "-"]).is_ok());
    for wrong in ["PID-", ".1", "pid-3"] {
        assert!(Show::try_parse_from(["show", "--path", wrong, "-"]).is_err(), "{wrong}");
    }
    assert_eq!(run(&["no such file"]).0, 2);
}

#[test]
fn nothing_controls_the_terminal() {
    let (_, text) = of(&message("OBX|1|TX|R||\u{9b}31m\x7f\rodd \u{9b}|"), &["--json"]);
    assert!(text.contains(r"\u009b31m\u007f") && text.contains(r"odd \u009b") && !text.contains(['\u{9b}', '\x7f']));
    let folder = tempfile::tempdir().unwrap();
    let files = ["a\x1b[31m.hl7", "b\x1b[31m.hl7"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    files.iter().for_each(|file| fs::write(file, message("PV1|1|I")).unwrap());
    let (_, text) = run(&["--path", "PV1-2", &files[0], &files[1]]);
    assert!(text.contains("a␛[31m.hl7") && !text.contains('\x1b'), "{text}");
}

#[test]
fn times_are_read_as_their_types_have_them() {
    let findings = |kind: &str, value: &str| {
        let (code, text) = of(&message(&format!("OBR|1\rOBX|1|{kind}|R||{value}")), &[]);
        (code == 1).then(|| text.lines().last().unwrap().to_owned())
    };
    for (kind, value) in
        [("TM", "+0100"), ("TM", "-05"), ("DT", "20240403093015"), ("DT", "20240403+0100"), ("TS", "1985-10")]
    {
        assert!(findings(kind, value).is_some_and(|text| text.starts_with("! OBX-5: ")), "{kind} {value}");
    }
    for (kind, value) in [("TM", "0930+0100"), ("DT", "20240403"), ("TS", "20240403+0100")] {
        assert_eq!(findings(kind, value), None, "{kind} {value}");
    }
    let (_, text) = of(&message("OBR|1\rOBX|1|TS|R||20240403000000^D"), &[]);
    assert!(text.contains("2024-04-03") && !text.contains("00:00"), "{text}");
}

/// Standard input, batches and MLLP frames; colour only where it is asked for.
#[test]
fn the_program_reads_standard_input() {
    let show = |input: &[u8], arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fairway"));
        command.args(["show", "-"]).args(arguments).env("NO_COLOR", "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
        let done = child.wait_with_output().unwrap();
        (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap())
    };
    let one = "MSH|^~\\&|A|B|||20240101||ADT^A31|1|P|2.4";
    let batch = format!("FHS|^~\\&\r\nBHS|^~\\&\r\n{one}\r\nPID|1\r\n{one}\r\nPID|2\r\nBTS|2\r\nFTS|1\r\n");
    let (code, text) = show(batch.as_bytes(), &[]);
    assert_eq!((code, text.matches("standard input").count()), (0, 2), "{text}");
    assert!(text.contains("── standard input#2 ─") && !text.contains('\x1b'), "{text}");
    let framed = format!("\x0b{one}\r\x1c\r\x0b{one}\r\x1c\r");
    let (code, text) = show(framed.as_bytes(), &["--color", "always"]);
    assert_eq!((code, text.matches("standard input").count()), (0, 2), "{text}");
    assert!(text.contains("\x1b[1;36mMSH\x1b[0m"), "{text}");
}

/// Four times the input takes about four times as long, and a field is never shown without end.
#[test]
fn cost_is_linear_and_a_page_has_an_end() {
    let time = |piece: &str, bytes: usize| {
        let message = message(&format!("OBR|||{}", piece.repeat(bytes / piece.len())));
        let started = Instant::now();
        let (_, text) = of(&message, &[]);
        assert!(text.len() < 30_000, "{piece}: {} bytes", text.len());
        started.elapsed()
    };
    for (piece, bytes) in
        [("|", 10_000_000), ("w", 10_000_000), ("\\", 10_000_000), ("^", 2_000_000), ("a&", 2_000_000)]
    {
        let (quarter, whole) = (time(piece, bytes / 4), time(piece, bytes));
        assert!(whole < quarter * 12 + Duration::from_millis(500), "{piece}: {quarter:?} and {whole:?}");
    }
    for piece in ["a^", "a~", "\"\"^", "a&b^"] {
        let (quarter, whole) = (time(piece, 100_000), time(piece, 400_000));
        assert!(whole < quarter * 12 + Duration::from_millis(500), "{piece}: {quarter:?} and {whole:?}");
    }
    let path = |count: usize| {
        let message = message(&format!("OBX|1|TX|R||{}{}", "x".repeat(10_000), "~a".repeat(count)));
        let started = Instant::now();
        let (_, text) = of(&message, &["--path", "OBX-5[*].1"]);
        assert_eq!(text.lines().filter(|line| line.contains("OBX-5[")).count(), count + 1);
        started.elapsed()
    };
    let (quarter, whole) = (path(10_000), path(40_000));
    assert!(whole < quarter * 12 + Duration::from_millis(500), "{quarter:?} and {whole:?}");
    let long = message(&format!("OBX|1|TX|a||{}", "a\\.br\\".repeat(1_000)));
    let (short, full) = (of(&long, &[]).1, of(&long, &["--full"]).1);
    assert!(short.contains("2.0 KB in all") && short.lines().count() < 80, "{short}");
    assert!(full.lines().count() > 1_000 && !full.contains("in all"));
}
