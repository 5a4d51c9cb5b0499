//! Sends HL7 v2 messages over MLLP and waits for the acknowledgement of each.
//!
//! Never takes one message's acknowledgement for another's, never sends again by itself, and never uses a connection
//! on which an answer is still owed or may come once more.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut, buf};
use fairway_core::hl7v2::mllp::{CR, Decoder, Event, FS, VT};
use fairway_core::hl7v2::{Charset, Message, ParseOptions, Separators, answer_text, unescape, utf16_to_utf8};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use super::write_some;
use crate::tls::{ClientConfig, ServerName};

/// A longer acknowledgement is an error.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Messages whose further answers are passed over.
const ANSWERED_MAX: usize = 1024;
/// How long a connection that is used again for the first time is left for the receiver to close it.
const SETTLE_WAIT: Duration = Duration::from_millis(20);
/// How long a second answer is waited for that comes only for success or only for errors (MSH-16 `SU`, `ER`).
const SECOND_WAIT: Duration = Duration::from_secs(1);
/// Room for reading one acknowledgement.
const READ_BYTES: usize = 4 * 1024;
/// The byte order mark of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// Longest part of a foreign control id that an error shows.
const ID_CHARS_MAX: usize = 64;

/// A receiver, and how to connect to it.
#[derive(Debug, Clone)]
pub struct Target {
    /// `HOST:PORT`.
    pub address: String,
    /// Bounds the connecting, and later each [`send`](Client::send) from its first byte to the answer.
    pub timeout: Duration,
    /// TLS, and the name that the receiver's certificate must have; none for plain TCP.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// TCP or TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Stream for S {}

/// One connection to an MLLP receiver, with one message in flight.
#[derive(Debug)]
pub struct Client {
    /// Gone after the first error.
    stream: Option<Box<dyn Stream>>,
    decoder: Decoder,
    buffer: BytesMut,
    /// Whether a message was sent over it.
    used: bool,
    /// Of the last messages that were answered.
    answered: VecDeque<Names>,
    timeout: Duration,
}

/// How MSA-2 may name a message: by its control id as it was sent, by the first component of that, by each unescaped.
#[derive(Debug, Clone)]
struct Names(Vec<String>);

impl Names {
    /// Of a message, from MSH-10.
    fn of(message: &[u8]) -> Names {
        let message = &*readable(message);
        let id = field(message, b"MSH", 9).unwrap_or_default();
        let component = beginning(message).get(4);
        let first = id.split(|byte| Some(byte) == component).next().filter(|first| !first.is_empty());
        Names::either(&[Some(id), first], message)
    }

    /// What an answer calls the message that it answers.
    fn told(answered: &[u8], answer: &[u8]) -> Names {
        Names::either(&[Some(answered)], answer)
    }

    fn either(ids: &[Option<&[u8]>], within: &[u8]) -> Names {
        let mut names = Vec::with_capacity(1);
        for id in ids.iter().flatten().map(|id| Charset::Utf8.decode(id).0) {
            let escapes = beginning(within).get(6).is_some_and(|escape| id.as_bytes().contains(escape));
            let plain =
                separators(within).filter(|_| escapes).map(|separators| unescape(&id, &separators).into_owned());
            for name in [Some(id.into_owned()), plain].into_iter().flatten() {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Names(names)
    }

    /// Whether one answer may be meant for both.
    fn meet(&self, other: &Names) -> bool {
        self.0.iter().any(|name| other.0.contains(name))
    }
}

fn separators(message: &[u8]) -> Option<Separators> {
    let header = beginning(message).split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    let header = Message::parse(Bytes::copy_from_slice(header), &ParseOptions::default()).ok()?;
    Some(header.separators())
}

/// A message on its way.
struct Sending<'m> {
    names: Names,
    /// MSH-10, as an error shows it.
    id: String,
    /// MSH-16.
    second: Vec<u8>,
    out: buf::Chain<buf::Chain<&'static [u8], &'m [u8]>, &'static [u8]>,
    /// Whether the writer holds back bytes that `out` no longer has.
    unflushed: bool,
    /// The acknowledgement that it is kept (`CA`).
    kept: Option<Bytes>,
    /// When no second acknowledgement is waited for any more.
    kept_until: Option<Instant>,
}

impl<'m> Sending<'m> {
    fn new(message: &'m [u8], names: Names) -> Self {
        let out = Buf::chain(Buf::chain(&[VT][..], message), &[FS, CR][..]);
        let readable = readable(message);
        let id = shown(field(&readable, b"MSH", 9).unwrap_or_default());
        let second = field(&readable, b"MSH", 15).unwrap_or_default().to_vec();
        Sending { names, id, second, out, unflushed: false, kept: None, kept_until: None }
    }

    fn all_sent(&self) -> bool {
        !self.out.has_remaining() && !self.unflushed
    }
}

/// Why a message has no acknowledgement. It may have been taken all the same, except after
/// [`Disconnected`](SendError::Disconnected).
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// An earlier error or the receiver has closed the connection, or a message with the same control id was answered over
    /// it, whose answer may come once more. Nothing was sent.
    #[error("nothing was sent, since the connection is closed or may bring an earlier answer; connect again")]
    Disconnected,
    /// No acknowledgement in time. The connection is closed, so that a late one is never taken for the next.
    #[error("no acknowledgement within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The receiver closed the connection without an acknowledgement.
    #[error("the receiver closed the connection without an acknowledgement")]
    Closed,
    /// The answer has no MSA segment, or is longer than 1 MiB.
    #[error("the answer is not an acknowledgement: it has no MSA segment or is too long")]
    NotAnAcknowledgement,
    /// It was accepted before all of it was sent, which is no answer to it.
    #[error("the receiver accepted the message before it had all of it")]
    Early,
    /// MSA-2 is not the MSH-10 that was sent.
    #[error("the acknowledgement is for message {answered:?}, not for {sent:?} (MSA-2 against MSH-10)")]
    OtherMessage {
        /// MSH-10 of the message.
        sent: String,
        /// MSA-2 of the answer.
        answered: String,
    },
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

impl Client {
    /// Connects over plain TCP. `limit` bounds the connecting, and later each [`send`](Self::send) from its first byte
    /// to the answer.
    ///
    /// # Errors
    /// What the system says, or `TimedOut`.
    pub async fn connect(addr: impl ToSocketAddrs, limit: Duration) -> io::Result<Client> {
        Client::open(addr, limit, None).await
    }

    /// Connects as `target` says. With TLS 1.3 a receiver that does not take our certificate says so only when
    /// something is read, so that error may come from the first [`send`](Self::send).
    ///
    /// # Errors
    /// What the system or the TLS library says, or `TimedOut`.
    pub async fn connect_to(target: &Target) -> io::Result<Client> {
        Client::open(&target.address, target.timeout, target.tls.as_ref()).await
    }

    async fn open(
        addr: impl ToSocketAddrs,
        limit: Duration,
        tls: Option<&(Arc<ClientConfig>, ServerName<'static>)>,
    ) -> io::Result<Client> {
        let connect = async {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            Ok::<Box<dyn Stream>, io::Error>(match tls {
                None => Box::new(stream),
                Some((config, name)) => {
                    Box::new(TlsConnector::from(config.clone()).connect(name.clone(), stream).await?)
                }
            })
        };
        let stream = timeout(limit, connect).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Client {
            stream: Some(stream),
            decoder: Decoder::new(ANSWER_BYTES_MAX),
            buffer: BytesMut::new(),
            used: false,
            answered: VecDeque::new(),
            timeout: limit,
        })
    }

    /// Whether another message can be sent: no error yet, and no early answer to a message that was not sent whole.
    pub fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Closes the connection in order: a TLS receiver is told that nothing was cut off.
    pub async fn close(mut self) {
        if let Some(mut stream) = self.stream.take() {
            // Whoever has gone already need not be told.
            timeout(self.timeout, stream.shutdown()).await.ok();
        }
    }

    /// Whether a message was answered over this connection whose answer, when it comes once more, could be taken for that
    /// of `message`: their control ids are the same, in the first component or unescaped.
    pub fn has_answered(&self, message: &[u8]) -> bool {
        self.has_answered_any(&Names::of(message))
    }

    fn has_answered_any(&self, names: &Names) -> bool {
        self.answered.iter().any(|earlier| earlier.meet(names))
    }

    /// Behind the first answer, waits a moment for the receiver to close the connection, as some do behind each answer: what
    /// is written then is lost, and nobody can tell. Later it does nothing.
    pub async fn settle(&mut self) {
        if self.answered.len() == 1
            && let Some(stream) = &mut self.stream
            && let Ok(Ok(0) | Err(_)) = timeout(SETTLE_WAIT, stream.read_buf(&mut self.buffer)).await
        {
            self.stream = None;
        }
    }

    /// Sends one message and gives its acknowledgement, both without framing; one in UTF-16 is given in UTF-8. What came
    /// before the first byte of the message was written is no answer to it.
    ///
    /// Of a receiver that first says that it keeps the message (`CA`) and then what became of it, as MSH-16 asks, the
    /// second is given: with `AL` it is waited for as long as for any answer, with `SU` and `ER`, where it need not come,
    /// for a second. When it does not come, the first is the answer. Another answer to a message that is answered already
    /// is passed over.
    ///
    /// # Errors
    /// Any error closes the connection; what to do next is the caller's business.
    pub async fn send(&mut self, message: &[u8]) -> Result<Bytes, SendError> {
        // Taken out, so that a caller who drops the future in the middle leaves no connection behind either.
        let mut stream = self.stream.take().ok_or(SendError::Disconnected)?;
        let names = Names::of(message);
        if self.has_answered_any(&names) {
            return Err(SendError::Disconnected);
        }
        let used = std::mem::replace(&mut self.used, true);
        self.drain(&mut stream).await.map_err(|error| if used { SendError::Disconnected } else { error })?;
        let mut sending = Sending::new(message, names);
        let error = match timeout(self.timeout, self.exchange(&mut stream, &mut sending)).await {
            Ok(Ok(answer)) => {
                let all_sent = sending.all_sent();
                self.answered.push_back(sending.names);
                if self.answered.len() > ANSWERED_MAX {
                    self.answered.pop_front();
                }
                self.stream = all_sent.then_some(stream);
                return Ok(answer);
            }
            Ok(Err(error)) => error,
            Err(_) => SendError::Timeout(self.timeout),
        };
        // An answer of which only the last byte of the framing is missing is whole.
        while let Some(event) = self.decoder.finish(&mut self.buffer) {
            if let Event::Frame { bytes, .. } = event
                && let Some(answer) = self.answer(bytes, &mut sending)?
            {
                return Ok(answer);
            }
        }
        // It is kept, and what became of it may be asked for later.
        sending.kept.ok_or(error)
    }

    /// Passes over what has come since the last answer.
    async fn drain(&mut self, stream: &mut Box<dyn Stream>) -> Result<(), SendError> {
        // So that what has come is known.
        tokio::task::yield_now().await;
        loop {
            while self.decoder.decode(&mut self.buffer).map_err(|_| SendError::NotAnAcknowledgement)?.is_some() {}
            self.buffer.reserve(READ_BYTES);
            match poll_fn(|cx| Poll::Ready(pin!(stream.read_buf(&mut self.buffer)).poll(cx))).await {
                Poll::Ready(Ok(0)) => return Err(SendError::Closed),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Err(SendError::Io(error)),
                // Half an answer would end in what comes next.
                Poll::Pending if self.decoder.in_frame() => return Err(SendError::Disconnected),
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// The answer to the message, if that is what came; none for one that another follows or that is to be passed over.
    fn answer(&self, answer: Bytes, sending: &mut Sending<'_>) -> Result<Option<Bytes>, SendError> {
        let answer = match readable(&answer) {
            Cow::Borrowed(_) => answer,
            Cow::Owned(text) => text.into(),
        };
        let answered = field(&answer, b"MSA", 2).ok_or(SendError::NotAnAcknowledgement)?;
        let names = Names::told(answered, &answer);
        if !sending.names.meet(&names) {
            if self.has_answered_any(&names) {
                return Ok(None);
            }
            let (sent, answered) = (sending.id.clone(), shown(answered));
            return Err(SendError::OtherMessage { sent, answered });
        }
        let code = ack_code(&answer);
        if !sending.all_sent() && !matches!(code, Some("AE" | "AR" | "CE" | "CR")) {
            return Err(SendError::Early);
        }
        let second = &sending.second[..];
        if code != Some("CA") || matches!(second, b"" | b"\"\"" | b"NE") {
            return Ok(Some(answer));
        }
        sending.kept = Some(answer);
        sending.kept_until = matches!(second, b"ER" | b"SU").then(|| Instant::now() + SECOND_WAIT);
        Ok(None)
    }

    /// Writes the message and reads its answer, both at once: a receiver that refuses a long message answers early.
    async fn exchange(&mut self, stream: &mut Box<dyn Stream>, sending: &mut Sending<'_>) -> Result<Bytes, SendError> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut write_error = None;
        loop {
            match self.decoder.decode(&mut self.buffer) {
                Ok(Some(Event::Frame { bytes, .. })) => {
                    if let Some(answer) = self.answer(bytes, sending)? {
                        return Ok(answer);
                    }
                    continue;
                }
                Ok(Some(_)) => continue,
                Ok(None) => self.buffer.reserve(READ_BYTES),
                Err(_) => return Err(SendError::NotAnAcknowledgement),
            }
            let writes = !sending.all_sent() && write_error.is_none();
            let kept_until = sending.kept_until;
            tokio::select! {
                read = reader.read_buf(&mut self.buffer) => match read {
                    Ok(0) => return Err(write_error.map_or(SendError::Closed, SendError::Io)),
                    Ok(_) => {}
                    Err(error) => return Err(SendError::Io(error)),
                },
                written = write_some(&mut writer, &mut sending.out, &mut sending.unflushed), if writes => {
                    // The answer that explains the failure may be waiting to be read.
                    write_error = written.err();
                }
                () = sleep_until(kept_until.unwrap_or_else(Instant::now)), if kept_until.is_some() => {
                    return sending.kept.take().ok_or(SendError::Closed);
                }
            }
        }
    }
}

/// MSA-1 of an acknowledgement, such as `AA`. `None` without MSA or when empty.
pub fn ack_code(ack: &[u8]) -> Option<&str> {
    std::str::from_utf8(field(ack, b"MSA", 1)?).ok().filter(|code| !code.is_empty())
}

/// What an acknowledgement says in words, read in its character set and without its escapes: MSA-3, or else ERR-8. `None`
/// when both are empty.
pub fn ack_text(ack: &[u8]) -> Option<String> {
    let ack = answer_text(&Bytes::copy_from_slice(ack)).0;
    let plain = |said: &[u8]| {
        let said = String::from_utf8_lossy(said);
        separators(ack.as_bytes())
            .map(|separators| unescape(&said, &separators).into_owned())
            .unwrap_or(said.into_owned())
    };
    let said = [(b"MSA", 3), (b"ERR", 8)].into_iter().filter_map(|(name, index)| field(ack.as_bytes(), name, index));
    said.filter(|said| !said.is_empty()).map(plain).next()
}

/// MSH-10 of a message. `None` without MSH or when empty.
pub fn control_id_of(message: &[u8]) -> Option<String> {
    let id = Charset::Utf8.decode(field(&readable(message), b"MSH", 9)?).0.into_owned();
    Some(id).filter(|id| !id.is_empty())
}

/// UTF-16 as UTF-8, anything else as it is.
pub(crate) fn readable(message: &[u8]) -> Cow<'_, [u8]> {
    utf16_to_utf8(message).map_or(Cow::Borrowed(message), |(text, _)| Cow::Owned(text.into_bytes()))
}

/// A message from its first segment on: behind blanks and a byte order mark.
pub(crate) fn beginning(message: &[u8]) -> &[u8] {
    message.strip_prefix(BYTE_ORDER_MARK).unwrap_or(message).trim_ascii_start()
}

/// Field `index` of the first segment `name`, trimmed: MSH of a message, MSA of an acknowledgement, neither in UTF-16.
/// `None` without that segment, empty when the segment is shorter.
///
/// MSH-1 is the separator itself, so MSH-n is at index n - 1. MSH is looked for in the first segment only, any other
/// segment in all of them; linear in what is looked at. The separator is the fourth byte of the message.
pub(crate) fn field<'a>(message: &'a [u8], name: &[u8; 3], index: usize) -> Option<&'a [u8]> {
    let message = beginning(message);
    let separator = *message.get(3).filter(|_| message.starts_with(b"MSH"))?;
    let mut segments = message.split(|byte| matches!(byte, b'\r' | b'\n'));
    let segment = match name {
        b"MSH" => segments.next(),
        _ => segments.find(|s| s.starts_with(name) && s.get(3).is_none_or(|&byte| byte == separator)),
    };
    let found = segment?.split(|&byte| byte == separator).nth(index);
    Some(found.unwrap_or_default().trim_ascii())
}

fn shown(id: &[u8]) -> String {
    Charset::Utf8.decode(id).0.chars().take(ID_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: &[u8] = b"MSH|^~\\&|F|R|S|O|20240101||ACK^A01|77|P|2.4\rMSA|AE|42|PID-3 missing\rERR||||||||eight\r";

    #[test]
    fn reads_acknowledgements_leniently() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!((ack_code(ACK), ack_text(ACK), control_id_of(ACK)), (Some("AE"), some("PID-3 missing"), some("77")));
        assert_eq!(ack_text(b"MSH|^~\\&\nMSA|AR|42\nERR||||||||eight"), some("eight"));
        assert_eq!(ack_text(b"MSH|^~\\&|||||||||||||||| 8859/2\rMSA|AR|42|\xA3\xF3d\xBC\r"), some("Łódź"));
        assert_eq!(ack_text(b"MSH|^~\\&\rMSA|AR|42|Sil\xE2n\r"), some("Silân"));
        assert_eq!(
            ack_text(b"MSH|^~\\&\rMSA|AR|42|ADT\\S\\A40: send a ^ as \\E\\S\\E\\\r"),
            some("ADT^A40: send a ^ as \\S\\")
        );
        assert_eq!(ack_code(b"\xEF\xBB\xBFMSH|^~\\&\rMSA|AA|1\r"), Some("AA"));
        assert_eq!(ack_code(b"\r\nMSH#^~\\&\r\nMSA#AA#1\r\n"), Some("AA"));
        assert_eq!(control_id_of(b"MSH|^~\\&|||||||ADT^A01| id \rMSH|x"), some("id"));
        for broken in [&b""[..], b"MSH", b"MSA|AA|1", b"MSH|^~\\&\r", b"MSH|^~\\&\rMSAX|AA", b"\xFF\xFF"] {
            assert_eq!((ack_code(broken), ack_text(broken), control_id_of(broken)), (None, None, None));
        }
        assert_eq!(field(b"MSH|^~\\&\rMSA", b"MSA", 2), Some(&b""[..]));
    }
}
