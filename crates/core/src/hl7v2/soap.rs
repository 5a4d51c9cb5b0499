//! The SOAP envelope in which some senders carry a message (hl7-api 1.2): taking the message out, wrapping the answer.
//!
//! Text in, text out. No document type and no entity of its own is read, so nothing grows and nothing is fetched.

use std::borrow::Cow;

use encoding_rs::Encoding;
use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::Event;

/// Namespace of `acceptMessage` (hl7-api 1.2).
const SERVICE: &str = "http://wsssl.hl7api.patientsknowbest.com/";
/// How deep elements may nest.
const DEPTH_MAX: usize = 32;
/// The elements around the message, by their names without prefix.
const WAY: [&str; 4] = ["Envelope", "Body", "acceptMessage", "arg0"];

/// Why a body is no envelope with a message. Names no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SoapError {
    /// It is not XML, or not well-formed.
    #[error("the body is no well-formed XML (byte {0})")]
    Malformed(u64),
    /// It has a document type, or an entity other than the five of XML.
    #[error("document types and entities of one's own are not read (byte {0})")]
    Entities(u64),
    /// Its declaration names a character set that is not known.
    #[error("the XML declaration names an unknown character set; send UTF-8")]
    Charset,
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

/// The message in an envelope, as UTF-8. Linear in the length of the body.
///
/// CDATA and escaped text are the same. Prefixes and namespaces are not asked: senders write what their tools give.
///
/// # Errors
/// When the body is no such envelope.
pub fn message_of(body: &[u8]) -> Result<String, SoapError> {
    let text = decoded(body)?;
    let mut reader = Reader::from_str(&text);
    let (mut depth, mut on_way) = (0_usize, 0_usize);
    let mut message: Option<String> = None;
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event().map_err(|_| SoapError::Malformed(at))?;
        let inside = depth == WAY.len() && on_way == WAY.len();
        match event {
            Event::Start(element) => {
                if depth == DEPTH_MAX {
                    return Err(SoapError::TooDeep(at));
                }
                if on_way == depth && WAY.get(depth) == Some(&element.local_name().as_ref()) {
                    on_way += 1;
                }
                depth += 1;
                if on_way == WAY.len() && depth == WAY.len() && message.replace(String::new()).is_some() {
                    return Err(SoapError::SeveralMessages);
                }
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                on_way = on_way.min(depth);
            }
            Event::Empty(element) => {
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
    message.filter(|message| !message.trim().is_empty()).ok_or(SoapError::NoMessage)
}

/// The body as text: by its byte order mark, else by its declaration, else UTF-8.
fn decoded(body: &[u8]) -> Result<Cow<'_, str>, SoapError> {
    let head = String::from_utf8_lossy(&body[..body.len().min(200)]);
    let declared = head.split_once("encoding=").filter(|(before, _)| before.contains("<?xml")).map(|(_, rest)| {
        let quote = rest.chars().next().unwrap_or('"');
        rest.trim_start_matches(quote).split(quote).next().unwrap_or_default().to_owned()
    });
    let encoding = match declared {
        Some(name) => Encoding::for_label(name.as_bytes()).ok_or(SoapError::Charset)?,
        None => encoding_rs::UTF_8,
    };
    // `decode` lets a byte order mark win.
    let (text, _, broken) = encoding.decode(body);
    match broken {
        true => Err(SoapError::Malformed(0)),
        false => Ok(text),
    }
}

/// The envelope of an answer: JAX-WS' `acceptMessageResponse/return` (gap 6).
pub fn answer(acknowledgement: &str) -> String {
    // XML readers turn a CR into LF unless it is written as a reference.
    let text = escape(acknowledgement).replace('\r', "&#13;");
    envelope(&format!(
        "<ns2:acceptMessageResponse xmlns:ns2=\"{SERVICE}\"><return>{text}</return></ns2:acceptMessageResponse>"
    ))
}

/// The envelope of a fault of the sender's.
pub fn fault(reason: &str) -> String {
    let reason = escape(reason);
    envelope(&format!(
        "<soapenv:Fault><faultcode>soapenv:Client</faultcode><faultstring>{reason}</faultstring></soapenv:Fault>"
    ))
}

fn envelope(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope \
         xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
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
    use super::*;

    const MESSAGE: &str = "MSH|^~\\&|PAS|RXX\rPID|||1&2";

    fn wrapped(inner: &str) -> String {
        format!(
            "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:wss=\"{SERVICE}\">\n\
             <soapenv:Header/><soapenv:Body><wss:acceptMessage>\n<arg0>{inner}</arg0></wss:acceptMessage></soapenv:Body>\
             </soapenv:Envelope>"
        )
    }

    #[test]
    fn the_message_is_taken_out() {
        let cdata = wrapped(&format!("<![CDATA[{MESSAGE}]]>"));
        assert_eq!(message_of(cdata.as_bytes()).as_deref(), Ok(MESSAGE));
        let escaped = wrapped("MSH|^~\\&amp;|PAS|RXX&#13;PID|||1&#x26;2");
        assert_eq!(message_of(escaped.as_bytes()).as_deref(), Ok(MESSAGE));
        let both = wrapped("MSH|^~<![CDATA[\\&|PAS|RXX]]>&#xD;<!-- no part of it -->PID|||1<![CDATA[&]]>2");
        assert_eq!(message_of(both.as_bytes()).as_deref(), Ok(MESSAGE));
        let latin = [b"<?xml version='1.0' encoding='ISO-8859-1'?>", wrapped("MSH|^~\\|Zo").as_bytes()].concat();
        let at = latin.windows(2).position(|two| two == b"Zo").unwrap_or_default();
        let mut latin = latin;
        latin.insert(at + 2, 0xEB);
        assert_eq!(message_of(&latin).as_deref(), Ok("MSH|^~\\|Zo\u{eb}"));
        let marked = ["\u{feff}", &wrapped("MSH|a")].concat();
        assert_eq!(message_of(marked.as_bytes()).as_deref(), Ok("MSH|a"));
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        let fails = |body: &str| message_of(body.as_bytes()).err();
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
        assert!(matches!(message_of(b"<a>\xFF</a>"), Err(SoapError::Malformed(_))));
    }

    #[test]
    fn an_answer_survives_xml() {
        let acknowledgement = "MSH|^~\\&|FAIRWAY\rMSA|AR|1|a < b & \"c\"\r";
        let envelope = answer(acknowledgement);
        let as_call = envelope
            .replace("ns2:acceptMessageResponse", "ns2:acceptMessage")
            .replace("<return>", "<arg0>")
            .replace("</return>", "</arg0>");
        assert_eq!(message_of(as_call.as_bytes()).as_deref(), Ok(acknowledgement));
        assert!(fault("a<b").contains("<faultstring>a&lt;b</faultstring>"));
        assert!(wsdl("http://127.0.0.1/x?a&b").contains("location=\"http://127.0.0.1/x?a&amp;b\""));
    }
}
