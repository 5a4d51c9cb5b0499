//! Telephones and e-mail: XTN to ContactPoint.

use std::borrow::Cow;

use super::person::period;
use super::printable;
use crate::fhir::Json;
use crate::hl7v2::{Value, Zone};

/// XTN, with the forms UK systems send (hl7-api 2.2, mapping-pitfalls 5).
pub(in crate::mapping) fn contact_point(value: Value<'_>, default_use: Option<&str>) -> Option<Json> {
    let part = |n: usize| value.component(n).trimmed();
    let (first, mail) = (part(1), part(4));
    let (use_code, equipment) = (part(2).to_uppercase(), part(3).to_uppercase());
    let is_mail = |text: &str| text.contains('@');
    let (system, text): (&str, Cow<'_, str>) = if is_mail(&mail) {
        ("email", mail)
    } else if is_mail(&first) {
        ("email", first)
    } else {
        let number = if !part(12).is_empty() {
            part(12)
        } else if !part(7).is_empty() {
            let pieces = [part(5), part(6), part(7)];
            let pieces: Vec<&str> = pieces.iter().map(|piece| &**piece).filter(|piece| !piece.is_empty()).collect();
            let extension = part(8);
            let joined =
                if extension.is_empty() { pieces.join(" ") } else { format!("{} x{extension}", pieces.join(" ")) };
            Cow::Owned(joined)
        } else {
            first
        };
        let system = match (use_code.as_str(), equipment.as_str()) {
            ("FAX", _) | (_, "FX" | "FAX") => "fax",
            ("BPN", _) | (_, "BP" | "SAT") => "pager",
            ("NET" | "EMAIL", _) | (_, "INTERNET" | "X.400") => "email",
            _ => "phone",
        };
        (system, number)
    };
    let text = printable(&text);
    if text.trim().is_empty() {
        return None;
    }
    let usage = match (use_code.as_str(), equipment.as_str()) {
        ("PRS" | "MOBILE" | "MOB", _) | (_, "CP" | "MOBILE") if system == "phone" => Some("mobile"),
        ("PRN" | "HOME", _) => Some("home"),
        ("WPN" | "WORK", _) => Some("work"),
        ("ORN" | "VHN", _) => Some("temp"),
        _ => default_use,
    };
    let mut members = vec![("system", Json::string(system)), ("value", Json::String(text))];
    if let Some(usage) = usage {
        members.push(("use", Json::string(usage)));
    }
    Some(Json::object(members))
}

/// XTN with all that the guide fills: rank, dates, and equipment that is no telephone (v2-to-fhir XTN[ContactPoint]).
pub(in crate::mapping) fn telecom(value: Value<'_>, default_use: Option<&str>, zone: &Zone) -> Option<Json> {
    let mut made = contact_point(value, default_use)?;
    let Json::Object(object) = &mut made else { return None };
    if matches!(&*value.component(3).trimmed(), "MD" | "SAT" | "TDD" | "TTY") {
        object.insert("system", Json::string("other"));
    }
    let rank = value.component(18).trimmed();
    if let Some(rank) = rank.parse::<u16>().ok().filter(|rank| *rank > 0) {
        object.insert("rank", Json::number(&rank.to_string())?);
    }
    if let Some(period) = period(value.component(13), value.component(14), zone) {
        object.insert("period", period);
    }
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{show, with_value};
    use super::*;

    #[test]
    fn telephones_and_mail_in_every_form_seen() {
        let made = |field: &str| with_value(field, |value| show(contact_point(value, Some("home"))));
        assert_eq!(
            made("^NET^^john.smith@company.com"),
            r#"{"system":"email","value":"john.smith@company.com","use":"home"}"#
        );
        assert_eq!(made("x@y.org^NET"), r#"{"system":"email","value":"x@y.org","use":"home"}"#);
        assert_eq!(made("x@y.org^EMAIL"), r#"{"system":"email","value":"x@y.org","use":"home"}"#);
        assert_eq!(made("07000^MOBILE"), r#"{"system":"phone","value":"07000","use":"mobile"}"#);
        assert_eq!(made("01234^PRN"), r#"{"system":"phone","value":"01234","use":"home"}"#);
        assert_eq!(made("^WPN^FX^^^0207^946000^12"), r#"{"system":"fax","value":"0207 946000 x12","use":"work"}"#);
        assert_eq!(made("^PRN^PH^^^^^^^^^+44 20"), r#"{"system":"phone","value":"+44 20","use":"home"}"#);
        assert_eq!(made("1^PRN^PH^^^^^^^^^+44 20"), r#"{"system":"phone","value":"+44 20","use":"home"}"#);
        assert_eq!(made("^PRN"), "nothing");
    }
}
