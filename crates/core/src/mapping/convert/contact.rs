//! Telephones and e-mail: XTN to ContactPoint.

use std::borrow::Cow;

use super::person::period;
use super::printable;
use crate::fhir::Json;
use crate::hl7v2::{Value, Zone};

/// XTN, with the forms UK systems send (hl7-api 2.2, mapping-pitfalls 5). Of a number and an e-mail address in one XTN it
/// is the number, and [`mail_beside`] the address.
pub(in crate::mapping) fn contact_point(value: Value<'_>, default_use: Option<&str>) -> Option<Json> {
    match number_and_mail(value) {
        (Some((system, number)), _) => made(value, system, &number, default_use),
        (None, mail) => made(value, "email", &mail?, default_use),
    }
}

/// The e-mail address that stands beside a telephone number (v2-to-fhir XTN[ContactPoint]).
pub(in crate::mapping) fn mail_beside(value: Value<'_>, default_use: Option<&str>) -> Option<Json> {
    match number_and_mail(value) {
        (Some(_), Some(mail)) => made(value, "email", &mail, default_use),
        _ => None,
    }
}

fn codes(value: Value<'_>) -> (String, String) {
    let part = |n: usize| value.component(n).trimmed().to_uppercase();
    (part(2), part(3))
}

/// A telephone number with its system, and an e-mail address; no number of what is said to be mail.
fn number_and_mail(value: Value<'_>) -> (Option<(&'static str, String)>, Option<String>) {
    let part = |n: usize| value.component(n).trimmed();
    let (use_code, equipment) = codes(value);
    let system = match (use_code.as_str(), equipment.as_str()) {
        ("FAX", _) | (_, "FX" | "FAX") => "fax",
        ("BPN", _) | (_, "BP" | "SAT") => "pager",
        ("NET" | "EMAIL", _) | (_, "INTERNET" | "X.400") => "email",
        _ => "phone",
    };
    let is_mail = |text: &Cow<'_, str>| text.contains('@');
    let mail = [part(4), part(1)].into_iter().find(is_mail).map(Cow::into_owned);
    let number = if !part(12).is_empty() {
        part(12)
    } else if !part(7).is_empty() {
        let pieces = [part(5), part(6), part(7)];
        let pieces: Vec<&str> = pieces.iter().map(|piece| &**piece).filter(|piece| !piece.is_empty()).collect();
        let extension = part(8);
        let joined = if extension.is_empty() { pieces.join(" ") } else { format!("{} x{extension}", pieces.join(" ")) };
        Cow::Owned(joined)
    } else {
        part(1)
    };
    let no_number = number.is_empty() || is_mail(&number) || system == "email" && mail.is_some();
    ((!no_number).then(|| (system, number.into_owned())), mail)
}

fn made(value: Value<'_>, system: &str, text: &str, default_use: Option<&str>) -> Option<Json> {
    let (use_code, equipment) = codes(value);
    let text = printable(text);
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
