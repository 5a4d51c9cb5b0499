//! ED: a document inside a message, decoded once and kept under its hash; RP: one outside it (mapping-pitfalls 13).
//!
//! Never guesses a media type or half-decodes content.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use super::sha1::sha1;
use crate::fhir::Json;
use crate::hl7v2::{Segment, Value};
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
    Ok(Some(kept(content_type, bytes, title)))
}

/// ED as HL7's guide has it (v2-to-fhir ED[Attachment]), whatever OBX-2 says: each repetition is a document, text keeps
/// delimiters that were not escaped, the content decides where the type is none we know, and Base64 of a PDF needs no type.
pub(in crate::mapping) fn document(
    value: Value<'_>,
    title: Option<Json>,
) -> Result<Option<(Json, Blob)>, &'static str> {
    if let Some(bytes) = bare_pdf(value) {
        return Ok(Some(hashed(kept(Cow::Borrowed("application/pdf"), bytes, title))));
    }
    let encoding = value.component(4).trimmed().to_uppercase();
    let behind = || value.components().skip(4);
    if !behind().any(|part| part.is_valued()) {
        return Err("holds no document: .5 is empty");
    }
    let bytes = match encoding.as_str() {
        "BASE64" | "B64" => decode_base64(value.component(5).raw()).ok_or(".5 is not valid Base64")?,
        "HEX" => decode_hex(value.component(5).raw()).ok_or(".5 is not valid hexadecimal")?,
        "A" | "" => {
            let parts: Vec<Cow<'_, str>> = behind().map(|part| part.formatted()).collect();
            Bytes::from(parts.join("^").trim_end_matches('^').to_owned().into_bytes())
        }
        _ => return Err(".4 (encoding) must be Base64, Hex or A"),
    };
    let said = media_type(&value.component(2).trimmed(), &value.component(3).trimmed());
    let content_type = match (content_of(&bytes), said) {
        // What the bytes begin with is surer than what the sender says.
        (Some(found), _) => Cow::Borrowed(found),
        (None, Some(said)) => said,
        (None, None) if matches!(encoding.as_str(), "A" | "") => Cow::Borrowed("text/plain"),
        (None, None) => Cow::Borrowed("application/octet-stream"),
    };
    Ok(Some(hashed(kept(content_type, bytes, title))))
}

/// Whether OBX-5 holds a document: OBX-2 is ED, the fourth component names an encoding, or it is Base64 of a PDF.
pub(in crate::mapping) fn is_document(obx: Segment<'_>) -> bool {
    let value = obx.field(5);
    obx.field(2).component(1).trimmed() == "ED"
        || matches!(&*value.component(4).trimmed().to_uppercase(), "BASE64" | "HEX") && value.component(5).is_valued()
        || value.component(1).raw().starts_with(PDF_IN_BASE64) && bare_pdf(value).is_some()
}

/// The first bytes of a PDF in Base64.
const PDF_IN_BASE64: &[u8] = b"JVBERi0";

/// The bytes of a PDF that stands in a text field as Base64 alone.
fn bare_pdf(value: Value<'_>) -> Option<Bytes> {
    let raw = value.component(1).raw();
    raw.starts_with(PDF_IN_BASE64).then(|| decode_base64(raw)).flatten()
}

/// The media type that bytes begin like.
fn content_of(bytes: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &'static str); 7] = [
        (b"%PDF-", "application/pdf"),
        (b"{\\rtf", "application/rtf"),
        (b"\x89PNG\r\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
    ];
    known.into_iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| name)
}

/// An attachment with the SHA-1 that FHIR asks for.
fn hashed((mut json, blob): (Json, Blob)) -> (Json, Blob) {
    if let Json::Object(object) = &mut json {
        object.insert("hash", Json::String(base64::engine::general_purpose::STANDARD.encode(sha1(&blob.bytes))));
    }
    (json, blob)
}

/// Text of a message as a document (mapping-pitfalls 13: `text/plain`, whatever the guide calls it).
pub(in crate::mapping) fn text_attachment(text: String, title: Option<Json>) -> (Json, Blob) {
    hashed(kept(Cow::Borrowed("text/plain"), Bytes::from(text.into_bytes()), title))
}

fn kept(content_type: Cow<'static, str>, bytes: Bytes, title: Option<Json>) -> (Json, Blob) {
    let blob = Blob { id: sha256_hex(&[content_type.as_bytes(), b"\0", &bytes]), content_type, bytes };
    let mut members = vec![
        ("contentType", Json::String(blob.content_type.clone().into_owned())),
        ("url", Json::String(format!("Binary/{}", blob.id))),
    ];
    members.extend(Json::number(&blob.bytes.len().to_string()).map(|size| ("size", size)));
    members.extend(title.map(|title| ("title", title)));
    (Json::object(members), blob)
}

/// RP: pointer, application, type and subtype. The pointer is a URI or whatever the sender's archive calls the
/// document; blanks are escaped, since a FHIR url has none.
pub(in crate::mapping) fn pointer(value: Value<'_>, title: Option<Json>) -> Option<Json> {
    let pointer = value.component(1).trimmed();
    if pointer.is_empty() {
        return None;
    }
    let mut url = pointer.replace(|c: char| c.is_whitespace() || c.is_control(), "%20");
    // What leads to no document (`javascript:`, `data:`) must be no link that anybody follows.
    if let Some((scheme, rest)) = url.split_once(':')
        && !matches!(scheme.to_lowercase().as_str(), "http" | "https" | "ftp" | "ftps" | "sftp" | "urn" | "file")
        && scheme.len() > 1
    {
        url = format!("{scheme}%3A{rest}");
    }
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
    let name = if subtype.is_empty() { kind.as_str() } else { subtype.as_str() };
    let name = name.rsplit('/').next().unwrap_or_default();
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
        "OCTET-STREAM" => "application/octet-stream",
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
