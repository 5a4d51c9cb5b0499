//! Finds the HL7 v2 messages in files as people keep them: one or many in a file, as batches, or framed for MLLP.
//!
//! Never parses a message, never changes one beyond its line ends, and leaves out no line but those of an envelope.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use fairway_core::hl7v2::mllp::{Decoder, Event, VT};
use fairway_core::hl7v2::{Batch, split_batch};

/// A message and where it was found.
#[derive(Clone)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Place in the file, from 1.
    pub number: usize,
    /// The message, its segments ended by CR.
    pub bytes: Bytes,
    /// What is wrong with the envelope of its file, told with the file's first message.
    pub envelope: Vec<String>,
}

/// What becomes of a file without any message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blank {
    /// It is passed over.
    Skipped,
    /// It counts as one message, as it is.
    Kept,
}

/// How a message is named: its file, and its number in that from the second on.
pub fn source(found: &Found) -> String {
    match (found.path.to_str(), found.number) {
        (Some("-"), 1) => "standard input".to_owned(),
        (Some("-"), number) => format!("standard input#{number}"),
        (_, 1) => found.path.display().to_string(),
        (_, number) => format!("{}#{number}", found.path.display()),
    }
}

/// The messages of the given files (`-` is standard input), and of every `*.hl7` file below the given folders in order of path.
///
/// # Errors
/// The path and what the system says about it, for the first file or folder that cannot be read; the first path when
/// there is no message at all, since nothing to do looks like everything done.
pub fn read(paths: &[PathBuf], blank: Blank) -> Result<Vec<Found>, (PathBuf, io::Error)> {
    let mut found = Vec::new();
    for path in paths {
        for file in files(path)? {
            let bytes = content(&file).map_err(|error| (file.clone(), error))?;
            let bytes = Bytes::from(bytes);
            let mut messages = split(bytes.clone());
            if messages.is_empty() && blank == Blank::Kept {
                messages.push(bytes.clone());
            }
            let mut envelope = Batch::read(bytes).map_or_else(Vec::new, |batch| batch.findings());
            found.extend(messages.into_iter().enumerate().map(|(at, bytes)| Found {
                path: file.clone(),
                number: at + 1,
                bytes,
                envelope: std::mem::take(&mut envelope),
            }));
        }
    }
    match paths.first() {
        Some(path) if found.is_empty() => {
            let text = "no message found in it; folders are searched for files named *.hl7";
            Err((path.clone(), io::Error::new(io::ErrorKind::NotFound, text)))
        }
        Some(_) | None => Ok(found),
    }
}

fn content(file: &Path) -> io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The file itself, or the `*.hl7` files below a folder. Links to folders are not followed, so that there is an end.
fn files(path: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let (mut files, mut folders) = (Vec::new(), vec![path.to_owned()]);
    while let Some(folder) = folders.pop() {
        let failed = |error| (folder.clone(), error);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("hl7")) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The messages in the bytes of one file, in order; empty for a blank file.
///
/// A file that starts with VT is taken as MLLP frames, byte for byte. Otherwise each MSH segment starts a message, and
/// the headers and trailers of batches (FHS, BHS, BTS, FTS) and blank lines at its end do not belong to it; lines before
/// the first MSH are a message as they are, so that a broken one is shown and can be sent, too. Line ends become CR,
/// unless the message has CRs of its own, since then an LF may be data, or is UTF-16. Linear.
pub fn split(file: Bytes) -> Vec<Bytes> {
    if file.first() == Some(&VT) {
        return frames(&file);
    }
    let mut messages: Vec<Bytes> =
        split_batch(file.clone()).map(|message| with_cr(&message).unwrap_or(message)).collect();
    // An envelope around nothing.
    if messages.is_empty() && !file.trim_ascii().is_empty() {
        messages.push(file);
    }
    messages
}

fn frames(file: &[u8]) -> Vec<Bytes> {
    let (mut decoder, mut buffer, mut messages) = (Decoder::new(usize::MAX), BytesMut::from(file), Vec::new());
    loop {
        // Without a limit there is no error.
        let event = match decoder.decode(&mut buffer) {
            Ok(Some(event)) => Some(event),
            Ok(None) | Err(_) => decoder.finish(&mut buffer),
        };
        match event {
            Some(Event::Frame { bytes, .. } | Event::Unfinished { bytes } | Event::Restarted { dropped: bytes }) => {
                messages.push(bytes);
            }
            Some(Event::Skipped { .. }) => {}
            None => return messages,
        }
    }
}

/// The message with its line ends as CR; `None` when it has them already, or an LF in it may be half a character.
fn with_cr(message: &[u8]) -> Option<Bytes> {
    let bare_cr = message.windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n') || message.ends_with(b"\r");
    let headed = message.starts_with(b"MSH");
    if bare_cr || !headed || !message.contains(&b'\n') {
        return None;
    }
    let mut out = Vec::with_capacity(message.len());
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        let text = line.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(text.unwrap_or(line));
        out.extend(text.map(|_| b'\r'));
    }
    Some(out.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check(file: &[u8], expected: &[&[u8]]) {
        assert_eq!(split(Bytes::copy_from_slice(file)), expected, "{}", String::from_utf8_lossy(file));
    }

    #[test]
    fn messages_as_people_keep_them() {
        check(b"", &[]);
        check(b"\r\n \n", &[]);
        check(b"MSH|a\rPID|1\r", &[b"MSH|a\rPID|1\r"]);
        check(b"MSH|a\nPID|1\n\nMSH|b\nPID|2", &[b"MSH|a\rPID|1\r", b"MSH|b\rPID|2"]);
        check(b"MSH|a\r\nPID|1\r\n\r\n\r\nMSH|b\r\n", &[b"MSH|a\rPID|1\r", b"MSH|b\r"]);
        check(b"FHS|x\rBHS|y\rMSH|a\rPID|1\rMSH#^~\\&\rBTS|1\rFTS|1\r", &[b"MSH|a\rPID|1\r", b"MSH#^~\\&\r"]);
        check(b"a note\nMSH|a\n", &[b"a note\n", b"MSH|a\r"]);
        check(b"MSH|a\nNTE|1||x  \n\nMSH|b  \r\n", &[b"MSH|a\rNTE|1||x  \r", b"MSH|b  \r"]);
        check(b"FHS|^~\\&\rFTS|0\r", &[b"FHS|^~\\&\rFTS|0\r"]);
        check(b"\xFF\xFEM\0S\0H\0|\0\n\0", &[b"M\0S\0H\0|\0\n\0"]);
        check(b"MSH|a\rOBX|1|a\nb\r", &[b"MSH|a\rOBX|1|a\nb\r"]);
        check(b"MSHX is no segment\rnor this", &[b"MSHX is no segment\rnor this"]);
        check(b"\x0BMSH|a\r\x1C\r\x0B\x0BMSH|b\n\x1C\r\n\x0Bcut", &[b"MSH|a\r", b"MSH|b\n", b"cut"]);
    }

    #[test]
    fn the_envelope_of_a_file_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("batch.hl7");
        fs::write(&file, "BHS|^~\\&\nMSH|a\nMSH|b\nBTS|5\n").unwrap();
        let found = read(&[file], Blank::Skipped).unwrap_or_default();
        let told: Vec<&[String]> = found.iter().map(|found| &found.envelope[..]).collect();
        assert_eq!(told, [&["BTS-1 tells of 5 messages and 2 came".to_owned()][..], &[]]);
    }

    #[test]
    fn folders_are_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for (name, text) in [("b/2.hl7", "MSH|2\nMSH|3\n"), ("a.HL7", "MSH|1\n"), ("note.txt", "MSH|no\n")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let found =
            read(&[folder.path().to_owned(), folder.path().join("note.txt")], Blank::Skipped).unwrap_or_default();
        let got: Vec<(usize, &[u8])> = found.iter().map(|found| (found.number, &found.bytes[..])).collect();
        assert_eq!(got, [(1, &b"MSH|1\r"[..]), (1, b"MSH|2\r"), (2, b"MSH|3\r"), (1, b"MSH|no\r")]);
        assert!(read(&[folder.path().join("missing.hl7")], Blank::Skipped).is_err());
        let empty = folder.path().join("empty");
        fs::create_dir(&empty).unwrap();
        for blank in [Blank::Skipped, Blank::Kept] {
            let (path, error) = read(std::slice::from_ref(&empty), blank).err().unwrap();
            assert!(path == empty && error.to_string().starts_with("no message found"), "{error}");
            assert_eq!(read(&[empty.clone(), folder.path().to_owned()], blank).unwrap().len(), 3);
        }
    }
}
