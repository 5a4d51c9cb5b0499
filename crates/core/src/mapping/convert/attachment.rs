//! ED: a document inside a message, decoded once and kept under its hash; RP: one outside it (mapping-pitfalls 13).
//!
//! Never guesses a media type or half-decodes content.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use crate::fhir::Json;
use crate::hl7v2::Value;
use crate::record::{Blob, sha256_hex};

/// ED: type, encoding and data, decoded once (mapping-pitfalls 13).
pub(in crate::mapping) fn attachment(
    value: Value<'_>,
    title: Option<Json>,
) -> Result<Option<(Json, Blob)>, &'static str> {
    let data = value.component(5);
    let encoding = value.component(4).trimmed().to_uppercase();
    // Text may end in delimiters that were not escaped; what is encoded has none, so behind it they say nothing.
    let stands = |value: &Value<'_>| matches!(&*encoding, "A" | "") || value.is_valued();
    if value.components().skip(5).any(|part| stands(&part)) {
        return Err("holds a ^ that is not escaped; send it as \\S\\");
    }
    let whole = value.segment().map(|segment| segment.field(value.location().field));
    if whole.is_some_and(|field| field.repetitions().filter(stands).nth(1).is_some()) {
        return Err("holds more than one document, or a ~ that is not escaped; send it as \\R\\");
    }
    if !data.is_valued() {
        return Ok(None);
    }
    let content_type = media_type(&value.component(2).trimmed(), &value.component(3).trimmed())
        .ok_or(".2 and .3 name no known kind of document (PDF, HTML, MSWORD, RTF, …)")?;
    let bytes = match encoding.as_str() {
        "BASE64" => decode_base64(data.raw()).ok_or(".5 is not valid Base64")?,
        "HEX" => decode_hex(data.raw()).ok_or(".5 is not valid hexadecimal")?,
        "A" | "" if content_type.starts_with("text/") => Bytes::from(data.formatted().into_owned().into_bytes()),
        _ => return Err(".4 (encoding) must be Base64 or Hex; A only for text"),
    };
    let blob = Blob { id: sha256_hex(&[content_type.as_bytes(), b"\0", &bytes]), content_type, bytes };
    let mut members = vec![
        ("contentType", Json::String(blob.content_type.clone().into_owned())),
        ("url", Json::String(format!("Binary/{}", blob.id))),
    ];
    members.extend(Json::number(&blob.bytes.len().to_string()).map(|size| ("size", size)));
    members.extend(title.map(|title| ("title", title)));
    Ok(Some((Json::object(members), blob)))
}

/// RP: pointer, application, type and subtype. The pointer is a URI or whatever the sender's archive calls the
/// document; blanks are escaped, since a FHIR url has none.
pub(in crate::mapping) fn pointer(value: Value<'_>, title: Option<Json>) -> Option<Json> {
    let pointer = value.component(1).trimmed();
    if pointer.is_empty() {
        return None;
    }
    let url = pointer.replace(|c: char| c.is_whitespace() || c.is_control(), "%20");
    let content_type = media_type(&value.component(3).trimmed(), &value.component(4).trimmed());
    let mut members = Vec::with_capacity(3);
    members.extend(content_type.map(|name| ("contentType", Json::String(name.into_owned()))));
    members.push(("url", Json::String(url)));
    members.extend(title.map(|title| ("title", title)));
    Some(Json::object(members))
}

/// The media type of ED components 2 and 3, as senders really write them.
fn media_type(kind: &str, subtype: &str) -> Option<Cow<'static, str>> {
    let (kind, subtype) = (kind.to_uppercase(), subtype.to_uppercase());
    let name = if subtype.is_empty() { kind.rsplit('/').next().unwrap_or_default() } else { subtype.as_str() };
    let known = match name {
        "PDF" => "application/pdf",
        "HTML" | "HTM" | "X-HL7-CDA-LEVEL-ONE" => "text/html",
        "MSWORD" | "DOC" => "application/msword",
        "DOCX" | "VND.OPENXMLFORMATS-OFFICEDOCUMENT.WORDPROCESSINGML.DOCUMENT" => {
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
        }
        "RTF" => "application/rtf",
        "PLAIN" | "TXT" | "TEXT" => "text/plain",
        "XML" => "application/xml",
        "JPEG" | "JPG" => "image/jpeg",
        "PNG" => "image/png",
        "GIF" => "image/gif",
        "TIFF" | "TIF" => "image/tiff",
        "DICOM" => "application/dicom",
        _ => return None,
    };
    Some(Cow::Borrowed(known))
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Base64, with the line ends senders put into it.
fn decode_base64(raw: &[u8]) -> Option<Bytes> {
    let clean = without_breaks(raw);
    BASE64.decode(&*clean).ok().map(Bytes::from)
}

/// Hexadecimal digits, blanks between them ignored.
fn decode_hex(raw: &[u8]) -> Option<Bytes> {
    let clean = without_breaks(raw);
    let digits: Option<Vec<u8>> = clean.iter().map(|&byte| char::from(byte).to_digit(16).map(|d| d as u8)).collect();
    let digits = digits?;
    (digits.len() % 2 == 0).then(|| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Bytes without blanks, line ends and `\.br\`; borrowed when there are none.
fn without_breaks(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.iter().any(|byte| byte.is_ascii_whitespace() || *byte == b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut clean = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(br"\.br\") {
            rest = after;
            continue;
        }
        if !byte.is_ascii_whitespace() {
            clean.push(byte);
        }
        rest = after;
    }
    Cow::Owned(clean)
}
