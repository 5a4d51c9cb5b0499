//! The TLS of a listener: which files, whose clients; read at the start and again whenever the files change.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fairway_core::source::{Place, Problem, Problems, Table};
use jiff::Timestamp;

use crate::tls::{Clients, Fault, Part, Server, Subject, server};

/// How a listener does TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Longest time of a handshake.
    pub handshake: Duration,
    /// What the files held at the start.
    pub server: Server,
    /// When they held it.
    pub stamp: TlsStamp,
    files: TlsFiles,
}

/// The files of a listener's TLS, and the names its clients may have.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    certificate: Named,
    key: Named,
    authorities: Option<Named>,
    subjects: Vec<Subject>,
}

/// A file and where the configuration names it.
#[derive(Debug, Clone)]
struct Named {
    path: PathBuf,
    place: Place,
}

/// Which state of the files is meant: changes with every change of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsStamp([Option<(u64, i64, i64, u64)>; 3]);

impl TlsFiles {
    /// The state of the files now. Blocks.
    pub fn stamp(&self) -> TlsStamp {
        TlsStamp([Some(&self.certificate), Some(&self.key), self.authorities.as_ref()].map(|file| {
            let found = fs::metadata(&file?.path).ok()?;
            // The time of change cannot be set back, unlike that of modification.
            Some((found.ino(), found.ctime(), found.ctime_nsec(), found.size()))
        }))
    }

    /// Reads the files. Blocks.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn read(&self) -> Result<Server, Vec<Fault>> {
        let read = |part, file: &Named| {
            fs::read(&file.path).map_err(|error| {
                let message = format!("cannot read {}: {error}", file.path.display());
                Fault::new(part, message, "check the path, which is relative to this file, and the permissions")
            })
        };
        let certificate = read(Part::Certificate, &self.certificate);
        let key = read(Part::Key, &self.key);
        let authorities = self.authorities.as_ref().map(|file| read(Part::Authorities, file)).transpose();
        match (certificate, key, authorities) {
            (Ok(certificate), Ok(key), Ok(authorities)) => {
                let clients = match &authorities {
                    Some(authorities) => Clients::Certified { authorities, subjects: &self.subjects },
                    None => Clients::Any,
                };
                server(&certificate, &key, clients)
            }
            (certificate, key, authorities) => {
                Err([certificate.err(), key.err(), authorities.err()].into_iter().flatten().collect())
            }
        }
    }

    fn place(&self, part: Part) -> &Place {
        match part {
            Part::Certificate => &self.certificate.place,
            Part::Key => &self.key.place,
            Part::Authorities => self.authorities.as_ref().map_or(&self.certificate.place, |file| &file.place),
        }
    }
}

impl Tls {
    /// The files, to be read again when they change.
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// What does not keep the daemon from starting and makes it of little use: a certificate that is not valid.
    pub(super) fn warning(&self, now: Timestamp) -> Option<Problem> {
        let shown = |seconds| Timestamp::from_second(seconds).map_or_else(|_| "?".to_owned(), |time| time.to_string());
        let message = match now.as_second() {
            now if now > self.server.valid_until => {
                format!("the certificate has expired at {}", shown(self.server.valid_until))
            }
            now if now < self.server.valid_from => {
                format!("the certificate is not valid before {}", shown(self.server.valid_from))
            }
            _ => return None,
        };
        let hint = "senders will refuse it; put a valid one in its place, at any time: it is read again by itself";
        Some(Problem { place: Some(self.files.certificate.place.clone()), message, hint: Some(hint.to_owned()) })
    }
}

/// Reads `tls` of a listener; paths are relative to `base`.
pub(super) fn read(mut table: Table, base: &Path, problems: &mut Problems) -> Option<Tls> {
    let named = |(text, place): (String, Place)| Named { path: base.join(text), place };
    let certificate = table.required_text("certificate", problems).map(named);
    let key = table.required_text("key", problems).map(named);
    let authorities = table.text("client-ca", problems).map(named);
    let clients = table.text("clients", problems);
    match (&authorities, &clients) {
        (None, None) => {
            let hint = "add `client-ca = \"…\"`, or `clients = \"any\"` to take messages without a client certificate";
            problems.hint(table.place(), "`client-ca` is missing", hint);
        }
        (Some(_), Some((_, place))) => {
            problems.hint(place, "`clients` and `client-ca` exclude each other", "leave one of them out");
        }
        (None, Some((text, place))) if text != "any" => {
            problems.hint(place, format!("unknown clients `{text}`"), "`any`, or leave it out and give `client-ca`");
        }
        (None, Some(_)) | (Some(_), None) => {}
    }
    let mut subjects = Vec::new();
    for (text, place) in table.texts("client-subjects", problems) {
        match Subject::parse(&text) {
            _ if authorities.is_none() => {
                problems.hint(&place, "`client-subjects` without `client-ca`", "add `client-ca = \"…\"`");
            }
            Some(subject) => subjects.push(subject),
            None => {
                let hint = "`CN=name` for the common name, `DNS:name` or `URI:name` for an alternative name";
                problems.hint(&place, format!("`{text}` is no subject"), hint);
            }
        }
    }
    let handshake = table.integer("handshake-timeout-secs", 1..301, problems).unwrap_or(10);
    table.finish(problems);
    let files = TlsFiles { certificate: certificate?, key: key?, authorities, subjects };
    let stamp = files.stamp();
    match files.read() {
        Ok(server) => {
            let handshake = Duration::from_secs(handshake.unsigned_abs());
            Some(Tls { handshake, server, stamp, files })
        }
        Err(faults) => {
            for fault in faults {
                problems.hint(files.place(fault.part), fault.message, fault.hint);
            }
            None
        }
    }
}
