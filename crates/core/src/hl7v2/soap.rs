//! The SOAP envelope in which some senders carry a message (hl7-api 1.2): taking the message out, wrapping the answer.
//!
//! Text in, text out. No document type and no entity of its own is read, so nothing grows and nothing is fetched.

use std::borrow::Cow;

use encoding_rs::Encoding;
use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::{BytesStart, Event};

/// Namespace of `acceptMessage` (hl7-api 1.2).
const SERVICE: &str = "http://wsssl.hl7api.patientsknowbest.com/";
/// How deep elements may nest.
const DEPTH_MAX: usize = 32;
/// The elements around the message, by their names without prefix.
const WAY: [&str; 4] = ["Envelope", "Body", "acceptMessage", "arg0"];

/// Namespace of a SOAP 1.2 envelope.
const NAMESPACE_12: &str = "http://www.w3.org/2003/05/soap-envelope";
/// Namespace of a SOAP 1.1 envelope.
const NAMESPACE_11: &str = "http://schemas.xmlsoap.org/soap/envelope/";

/// The version of SOAP in which a sender speaks and is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoapVersion {
    /// 1.1, as `text/xml`.
    V11,
    /// 1.2, as `application/soap+xml`.
    V12,
}

impl SoapVersion {
    /// Of a request with this media type, in lower case.
    pub fn of_media_type(media_type: &str) -> SoapVersion {
        if media_type == SoapVersion::V12.media_type() { SoapVersion::V12 } else { SoapVersion::V11 }
    }

    /// The media type of its envelopes.
    pub fn media_type(self) -> &'static str {
        match self {
            SoapVersion::V11 => "text/xml",
            SoapVersion::V12 => "application/soap+xml",
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            SoapVersion::V11 => NAMESPACE_11,
            SoapVersion::V12 => NAMESPACE_12,
        }
    }
}

/// What an envelope holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The message.
    pub message: String,
    /// The version that the envelope's namespace names, if it does.
    pub version: Option<SoapVersion>,
}

/// Why a body is no envelope with a message. Names no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SoapError {
    /// It is not XML, or not well-formed.
    #[error("the body is no well-formed XML (byte {0})")]
    Malformed(u64),
    /// It has a document type, or an entity other than the five of XML.
    #[error("document types and entities of one's own are not read (byte {0})")]
    Entities(u64),
    /// The request or the XML declaration names a character set that is not known.
    #[error("the character set that is named for the XML is not known; send UTF-8")]
    Charset,
    /// A header must be understood, and none is.
    #[error("a header with mustUnderstand is not understood; this service knows none")]
    NotUnderstood,
    /// There are elements inside `arg0`.
    #[error("there are elements inside the message; send it as text or CDATA (byte {0})")]
    Elements(u64),
    /// It nests deeper than any envelope.
    #[error("elements are nested too deep (byte {0})")]
    TooDeep(u64),
    /// There is no `Envelope/Body/acceptMessage/arg0`.
    #[error("there is no message; send it as Envelope/Body/acceptMessage/arg0")]
    NoMessage,
    /// There is more than one `arg0`.
    #[error("there is more than one message; send one for each call")]
    SeveralMessages,
}

/// The message in an envelope. Linear in the length of the body. `charset` is what the request names, as in
/// `Content-Type`.
///
/// CDATA and escaped text are the same. Prefixes and namespaces are not asked: senders write what their tools give.
///
/// # Errors
/// When the body is no such envelope.
pub fn message_of(body: &[u8], charset: Option<&str>) -> Result<Call, SoapError> {
    let text = decoded(body, charset)?;
    let mut reader = Reader::from_str(&text);
    let (mut depth, mut on_way, mut in_header) = (0_usize, 0_usize, false);
    let (mut message, mut version): (Option<String>, _) = (None, None);
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event().map_err(|_| SoapError::Malformed(at))?;
        let inside = depth == WAY.len() && on_way == WAY.len();
        match event {
            Event::Start(_) | Event::Empty(_) if inside => return Err(SoapError::Elements(at)),
            Event::Start(element) => {
                if depth == DEPTH_MAX {
                    return Err(SoapError::TooDeep(at));
                }
                if in_header && depth == 2 && is_demanded(&element) {
                    return Err(SoapError::NotUnderstood);
                }
                if on_way == depth && WAY.get(depth) == Some(&element.local_name().as_ref()) {
                    if depth == 0 {
                        version = version_of(&element);
                    }
                    on_way += 1;
                }
                in_header |= depth == 1 && on_way == 1 && element.local_name().as_ref() == "Header";
                depth += 1;
                if on_way == WAY.len() && depth == WAY.len() && message.replace(String::new()).is_some() {
                    return Err(SoapError::SeveralMessages);
                }
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                on_way = on_way.min(depth);
                in_header &= depth > 1;
            }
            Event::Empty(element) => {
                if in_header && depth == 2 && is_demanded(&element) {
                    return Err(SoapError::NotUnderstood);
                }
                let last = depth + 1 == WAY.len() && on_way == depth && element.local_name().as_ref() == WAY[depth];
                if last && message.replace(String::new()).is_some() {
                    return Err(SoapError::SeveralMessages);
                }
            }
            Event::Text(part) if inside => {
                message.get_or_insert_default().push_str(&part);
            }
            Event::CData(part) if inside => {
                message.get_or_insert_default().push_str(&part);
            }
            Event::GeneralRef(name) => {
                let character = name.resolve_char_ref().map_err(|_| SoapError::Malformed(at))?;
                let part = match character {
                    Some(character) => Cow::Owned(character.to_string()),
                    None => Cow::Borrowed(resolve_predefined_entity(&name).ok_or(SoapError::Entities(at))?),
                };
                if inside {
                    message.get_or_insert_default().push_str(&part);
                }
            }
            Event::DocType(_) => return Err(SoapError::Entities(at)),
            Event::Eof if depth > 0 => return Err(SoapError::Malformed(at)),
            Event::Eof => break,
            Event::Text(_) | Event::CData(_) | Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
    }
    let message = message.filter(|message| !message.trim().is_empty()).ok_or(SoapError::NoMessage)?;
    Ok(Call { message, version })
}

/// The version that an envelope's namespaces name.
fn version_of(envelope: &BytesStart<'_>) -> Option<SoapVersion> {
    let mut names = envelope.attributes().flatten().map(|attribute| attribute.value);
    names.find_map(|name| match &*name {
        NAMESPACE_11 => Some(SoapVersion::V11),
        NAMESPACE_12 => Some(SoapVersion::V12),
        _ => None,
    })
}

/// Whether a header block is meant for us and must be understood.
fn is_demanded(block: &BytesStart<'_>) -> bool {
    let (mut demanded, mut ours) = (false, true);
    for attribute in block.attributes().flatten() {
        match attribute.key.local_name().as_ref() {
            "mustUnderstand" => demanded = matches!(&*attribute.value, "1" | "true"),
            "actor" | "role" => {
                ours = attribute.value.is_empty()
                    || attribute.value.ends_with("/next")
                    || attribute.value.ends_with("/ultimateReceiver");
            }
            _ => {}
        }
    }
    demanded && ours
}

/// The body as text: by its byte order mark, else by what its first bytes show of UTF-16, else by what the request names
/// (RFC 7303), else by its declaration, else UTF-8.
fn decoded<'b>(body: &'b [u8], charset: Option<&str>) -> Result<Cow<'b, str>, SoapError> {
    let known = |label: &str| Encoding::for_label(label.trim().as_bytes()).ok_or(SoapError::Charset);
    let shown = match body {
        [b'<', 0, ..] => Some(encoding_rs::UTF_16LE),
        [0, b'<', ..] => Some(encoding_rs::UTF_16BE),
        _ => None,
    };
    let encoding = match (shown, charset) {
        (Some(encoding), _) => encoding,
        (None, Some(label)) => known(label)?,
        (None, None) => match declared(body).map(known).transpose()? {
            // A declaration that is read byte by byte is not in UTF-16, whatever some tools write there.
            Some(encoding) if encoding.output_encoding() == encoding => encoding,
            Some(_) | None => encoding_rs::UTF_8,
        },
    };
    // `decode` lets a byte order mark win.
    let (text, _, broken) = encoding.decode(body);
    match broken {
        true => Err(SoapError::Malformed(0)),
        false => Ok(text),
    }
}

/// The character set that an XML declaration at the very beginning names.
fn declared(body: &[u8]) -> Option<&str> {
    let head = body.get(..body.len().min(200))?.strip_prefix(b"<?xml")?;
    let declaration = std::str::from_utf8(&head[..memchr::memmem::find(head, b"?>")?]).ok()?;
    let (_, rest) = declaration.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    rest[1..].split(quote).next()
}

/// The envelope of an answer: JAX-WS' `acceptMessageResponse/return` (gap 6).
pub fn answer(acknowledgement: &str, version: SoapVersion) -> String {
    // XML readers turn a CR into LF unless it is written as a reference.
    let text = escaped(acknowledgement).replace('\r', "&#13;");
    let body = format!(
        "<ns2:acceptMessageResponse xmlns:ns2=\"{SERVICE}\"><return>{text}</return></ns2:acceptMessageResponse>"
    );
    envelope(&body, version)
}

/// The envelope of a fault of the sender's.
pub fn fault(reason: &str, not_understood: bool, version: SoapVersion) -> String {
    let reason = escaped(reason);
    let code = match (version, not_understood) {
        (_, true) => "MustUnderstand",
        (SoapVersion::V11, false) => "Client",
        (SoapVersion::V12, false) => "Sender",
    };
    let fault = match version {
        SoapVersion::V11 => {
            format!("<faultcode>soapenv:{code}</faultcode><faultstring>{reason}</faultstring>")
        }
        SoapVersion::V12 => format!(
            "<soapenv:Code><soapenv:Value>soapenv:{code}</soapenv:Value></soapenv:Code><soapenv:Reason>\
             <soapenv:Text xml:lang=\"en\">{reason}</soapenv:Text></soapenv:Reason>"
        ),
    };
    envelope(&format!("<soapenv:Fault>{fault}</soapenv:Fault>"), version)
}

/// Text as XML can hold it.
fn escaped(text: &str) -> String {
    let held = |c: char| c >= ' ' && !matches!(c, '\u{FFFE}' | '\u{FFFF}') || matches!(c, '\t' | '\n' | '\r');
    escape(text).replace(|c| !held(c), "\u{FFFD}")
}

fn envelope(body: &str, version: SoapVersion) -> String {
    let namespace = version.namespace();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope xmlns:soapenv=\"{namespace}\">\
         <soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    )
}

/// The service's description for a client that asks for `?wsdl`; `address` is where it is served.
pub fn wsdl(address: &str) -> String {
    let address = escape(address);
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:tns="{SERVICE}" targetNamespace="{SERVICE}" name="HL7Service">
  <wsdl:types>
    <xsd:schema targetNamespace="{SERVICE}" elementFormDefault="unqualified">
      <xsd:element name="acceptMessage"><xsd:complexType><xsd:sequence>
        <xsd:element name="arg0" type="xsd:string" minOccurs="0"/></xsd:sequence></xsd:complexType></xsd:element>
      <xsd:element name="acceptMessageResponse"><xsd:complexType><xsd:sequence>
        <xsd:element name="return" type="xsd:string" minOccurs="0"/></xsd:sequence></xsd:complexType></xsd:element>
    </xsd:schema>
  </wsdl:types>
  <wsdl:message name="acceptMessage"><wsdl:part name="parameters" element="tns:acceptMessage"/></wsdl:message>
  <wsdl:message name="acceptMessageResponse"><wsdl:part name="parameters" element="tns:acceptMessageResponse"/></wsdl:message>
  <wsdl:portType name="HL7"><wsdl:operation name="acceptMessage">
    <wsdl:input message="tns:acceptMessage"/><wsdl:output message="tns:acceptMessageResponse"/></wsdl:operation></wsdl:portType>
  <wsdl:binding name="HL7Binding" type="tns:HL7"><soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <wsdl:operation name="acceptMessage"><soap:operation soapAction=""/>
      <wsdl:input><soap:body use="literal"/></wsdl:input><wsdl:output><soap:body use="literal"/></wsdl:output></wsdl:operation></wsdl:binding>
  <wsdl:service name="HL7Service"><wsdl:port name="HL7Port" binding="tns:HL7Binding"><soap:address location="{address}"/></wsdl:port></wsdl:service>
</wsdl:definitions>
"#
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MESSAGE: &str = "MSH|^~\\&|PAS|RXX\rPID|||1&2";

    fn wrapped(inner: &str) -> String {
        format!(
            "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:wss=\"{SERVICE}\">\n\
             <soapenv:Header/><soapenv:Body><wss:acceptMessage>\n<arg0>{inner}</arg0></wss:acceptMessage></soapenv:Body>\
             </soapenv:Envelope>"
        )
    }

    fn taken(body: &[u8]) -> Result<String, SoapError> {
        message_of(body, None).map(|call| call.message)
    }

    #[test]
    fn the_message_is_taken_out() {
        let cdata = wrapped(&format!("<![CDATA[{MESSAGE}]]>"));
        assert_eq!(taken(cdata.as_bytes()).as_deref(), Ok(MESSAGE));
        let escaped = wrapped("MSH|^~\\&amp;|PAS|RXX&#13;PID|||1&#x26;2");
        assert_eq!(taken(escaped.as_bytes()).as_deref(), Ok(MESSAGE));
        let both = wrapped("MSH|^~<![CDATA[\\&|PAS|RXX]]>&#xD;<!-- no part of it -->PID|||1<![CDATA[&]]>2");
        assert_eq!(taken(both.as_bytes()).as_deref(), Ok(MESSAGE));
        let latin = [b"<?xml version='1.0' encoding='ISO-8859-1'?>", wrapped("MSH|^~\\|Zo").as_bytes()].concat();
        let at = latin.windows(2).position(|two| two == b"Zo").unwrap_or_default();
        let mut latin = latin;
        latin.insert(at + 2, 0xEB);
        assert_eq!(taken(&latin).as_deref(), Ok("MSH|^~\\|Zo\u{eb}"));
        let marked = ["\u{feff}", &wrapped("MSH|a")].concat();
        assert_eq!(taken(marked.as_bytes()).as_deref(), Ok("MSH|a"));
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        let fails = |body: &str| taken(body.as_bytes()).err();
        assert_eq!(fails(""), Some(SoapError::NoMessage));
        assert_eq!(fails("MSH|^~\\|a"), Some(SoapError::NoMessage));
        assert_eq!(fails(&wrapped("  ")), Some(SoapError::NoMessage));
        assert_eq!(fails(&wrapped("a").replace("arg0", "arg1")), Some(SoapError::NoMessage));
        assert_eq!(fails(&wrapped("a").replace("Body", "Boby")), Some(SoapError::NoMessage));
        assert_eq!(fails(&wrapped("a</arg0><arg0>b")), Some(SoapError::SeveralMessages));
        assert!(matches!(fails(&wrapped("&lol;")), Some(SoapError::Entities(_))));
        let typed = ["<!DOCTYPE x [<!ENTITY a \"b\">]>", &wrapped("a")].concat();
        assert!(matches!(fails(&typed), Some(SoapError::Entities(_))));
        assert!(matches!(fails("<Envelope><Body>"), Some(SoapError::Malformed(_))));
        assert!(matches!(fails("<Envelope></Body>"), Some(SoapError::Malformed(_))));
        assert!(matches!(fails(&"<a>".repeat(100)), Some(SoapError::TooDeep(_))));
        assert_eq!(fails("<?xml version='1.0' encoding='klingon'?><a/>"), Some(SoapError::Charset));
        assert!(matches!(taken(b"<a>\xFF</a>"), Err(SoapError::Malformed(_))));
    }

    #[test]
    fn an_answer_survives_xml() {
        let acknowledgement = "MSH|^~\\&|FAIRWAY\rMSA|AR|1|a < b & \"c\"\r";
        let envelope = answer(acknowledgement, SoapVersion::V11);
        let as_call = envelope
            .replace("ns2:acceptMessageResponse", "ns2:acceptMessage")
            .replace("<return>", "<arg0>")
            .replace("</return>", "</arg0>");
        assert_eq!(taken(as_call.as_bytes()).as_deref(), Ok(acknowledgement));
        assert!(fault("a<b", false, SoapVersion::V11).contains("<faultstring>a&lt;b</faultstring>"));
        assert!(wsdl("http://127.0.0.1/x?a&b").contains("location=\"http://127.0.0.1/x?a&amp;b\""));
    }

    #[test]
    fn the_character_set_is_that_of_the_mark_the_request_or_the_declaration() {
        let xml = |declaration: &str| format!("{declaration}{}", wrapped("MSH|Zo\u{eb}"));
        let latin = |declaration: &str| xml(declaration).chars().map(|c| c as u8).collect::<Vec<u8>>();
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        for (body, charset) in [
            (latin(""), Some("ISO-8859-1")),
            (latin("<?xml version=\"1.0\" encoding = \"ISO-8859-1\"?>"), None),
            (latin("<?xml version='1.0' encoding ='iso-8859-1' ?>"), None),
            // The request goes first.
            (xml("<?xml version=\"1.0\" encoding=\"utf-16\"?>").into_bytes(), Some("utf-8")),
            (xml("<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>").into_bytes(), Some("UTF-8")),
            (xml("<?xml version=\"1.0\" encoding=\"utf-16\"?>").into_bytes(), None),
            (wide(&xml("")), Some("UTF-16")),
            (wide(&xml("<?xml version=\"1.0\" encoding=\"UTF-16\"?>")), None),
            (wide(&xml("\u{feff}")), Some("utf-8")),
            // No declaration at all.
            (xml("<!-- encoding=\"iso-8859-1\" -->").into_bytes(), None),
            (xml("<?xml version=\"1.0\"?><!-- <?xml encoding=\"iso-8859-1\" -->").into_bytes(), None),
        ] {
            let call = message_of(&body, charset);
            assert_eq!(
                call.map(|call| call.message).as_deref(),
                Ok("MSH|Zo\u{eb}"),
                "{charset:?} {}",
                body.escape_ascii()
            );
        }
        assert_eq!(message_of(b"<a/>", Some("klingon")), Err(SoapError::Charset));
        assert_eq!(message_of(&latin(""), Some("utf-8")), Err(SoapError::Malformed(0)));
    }

    #[test]
    fn what_is_not_understood_is_a_fault() {
        let header = |block: &str| {
            wrapped("MSH|a").replace("<soapenv:Header/>", &format!("<soapenv:Header>{block}</soapenv:Header>"))
        };
        let fails = |body: &str| taken(body.as_bytes()).err();
        for block in ["<x:a soapenv:mustUnderstand=\"1\"/>", "<b/><a soapenv:mustUnderstand='true' actor=''>x</a>"] {
            assert_eq!(fails(&header(block)), Some(SoapError::NotUnderstood), "{block}");
        }
        for block in [
            "<a soapenv:mustUnderstand=\"0\"/>",
            "<a><b soapenv:mustUnderstand=\"1\"/></a>",
            "<a soapenv:mustUnderstand=\"1\" soapenv:actor=\"http://else.where/\"/>",
        ] {
            assert_eq!(fails(&header(block)), None, "{block}");
        }
        assert!(matches!(fails(&wrapped("MSH|a<b/>c")), Some(SoapError::Elements(_))));
        assert!(matches!(fails(&wrapped("MSH|a<b>x</b>")), Some(SoapError::Elements(_))));
        let fault = fault("no", true, SoapVersion::V12);
        assert!(fault.contains("<soapenv:Value>soapenv:MustUnderstand</soapenv:Value>"), "{fault}");
    }

    #[test]
    fn an_envelope_is_answered_in_its_version() {
        let version = |body: &str| message_of(body.as_bytes(), None).unwrap().version;
        assert_eq!(version(&wrapped("MSH|a")), Some(SoapVersion::V11));
        assert_eq!(version(&wrapped("MSH|a").replace(NAMESPACE_11, NAMESPACE_12)), Some(SoapVersion::V12));
        assert_eq!(version(&wrapped("MSH|a").replace(NAMESPACE_11, "urn:x")), None);
        assert!(answer("MSH", SoapVersion::V12).contains(NAMESPACE_12));
        assert!(
            answer("MSH|\u{fffe}\u{1}|\r", SoapVersion::V11).contains("<return>MSH|\u{fffd}\u{fffd}|&#13;</return>")
        );
    }
}
