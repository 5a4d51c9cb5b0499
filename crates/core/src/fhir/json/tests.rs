//! Reading and writing JSON, by examples and for any tree.

#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

#[test]
fn every_digit_and_the_order_of_members_survive() {
    let text = r#"{"z":72.50,"a":[0.00010,100000000000000000000.5,-0,1e+2,1e-7],"valueDecimal":1.0,"b":{"c":null}}"#;
    assert_eq!(parse(text).to_string(), text);
    assert_eq!(parse(text).to_vec(), text.as_bytes());
    let value: serde_json::Value = parse(text).into();
    assert_eq!(Json::from(value).to_string(), text);
}

/// Guards the private key under which serde_json hands numbers to a visitor.
#[test]
fn numbers_are_numbers() {
    assert!(matches!(parse("72.50"), Json::Number(n) if n.as_str() == "72.50"));
    assert!(matches!(parse("[1]").at("0"), Some(Json::Number(_))));
    assert_ne!(parse("72.5"), parse("72.50"));
    assert_eq!(parse("72.50"), Json::number("72.50").unwrap());
    assert_eq!(Json::number("1,5"), None);
}

#[test]
fn the_last_of_a_repeated_member_wins_in_small_and_large_objects() {
    assert_eq!(parse(r#"{"a":1,"b":2,"a":3}"#).to_string(), r#"{"a":3,"b":2}"#);
    let members: Vec<String> = (0..1000).map(|n| format!("\"m{}\":{n}", n % 500)).collect();
    let object = parse(&format!("{{{}}}", members.join(",")));
    assert_eq!(object.as_object().unwrap().len(), 500);
    assert_eq!(object.get("m7"), Some(&Json::from(507)));
}

#[test]
fn broken_and_deep_documents_are_refused() {
    for text in ["", "{", "[1,]", "01", "{\"a\":1}x", "nul", "\"\u{1}\""] {
        assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(Json::parse(b"\"\xff\"").is_err());
    assert!(Json::parse("[".repeat(100_000).as_bytes()).is_err());
}

#[test]
fn element_names_are_shared() {
    let json = parse(r#"{"birthDate":"2024","x-y":1}"#);
    let names: Vec<_> = json.as_object().unwrap().clone().into_iter().map(|(name, _)| name).collect();
    assert!(matches!(names[0], Name::Borrowed("birthDate")) && matches!(names[1], Name::Owned(_)));
}

#[test]
fn paths_reach_into_the_tree() {
    let json = parse(r#"{"name":[{"family":"A"},{"given":["B","C"]}]}"#);
    assert_eq!(json.str_at("name[0].family"), Some("A"));
    assert_eq!(json.str_at("name.1.given.1"), Some("C"));
    assert_eq!(json.str_at("name[1].given[2]"), None);
    assert_eq!(json.at("name.family"), None);
    assert_eq!(json.at("name[0].family.x"), None);
}

#[test]
fn members_are_replaced_in_their_place() {
    let mut object: Object = [("a", Json::from(1)), ("b", Json::from(2))].into_iter().collect();
    assert_eq!(object.insert("a", true), Some(Json::from(1)));
    assert_eq!(object.insert("c", "x"), None);
    assert_eq!(*object.get_or_insert_with("b", || Json::Null), Json::from(2));
    *object.get_or_insert_with("d", || Json::Null) = Json::from("y");
    assert_eq!(object.remove("c"), Some(Json::from("x")));
    assert_eq!(Json::from(object.clone()).to_string(), r#"{"a":true,"b":2,"d":"y"}"#);
    object.retain(|name, _| name != "a");
    assert!(!object.contains("a") && object.len() == 2 && !object.is_empty());
}

/// Any JSON tree, with some names and texts of FHIR among it.
pub(crate) fn any_json() -> impl Strategy<Value = Json> {
    let name = prop_oneof![
        Just("resourceType".to_owned()),
        Just("identifier".to_owned()),
        Just("name".to_owned()),
        Just("_birthDate".to_owned()),
        Just("extension".to_owned()),
        Just("valueReference".to_owned()),
        Just("reference".to_owned()),
        Just("contained".to_owned()),
        Just("period".to_owned()),
        Just("id".to_owned()),
        any::<String>(),
    ];
    let text = prop_oneof![
        Just("Patient".to_owned()),
        Just("Bundle".to_owned()),
        Just("Appointment".to_owned()),
        Just("#x".to_owned()),
        Just("2024-02-30".to_owned()),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?"
            .prop_map(|digits| Json::number(&digits).unwrap()),
        text.prop_map(Json::String),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::Array),
            prop::collection::vec((name.clone(), inner), 0..7).prop_map(Json::object),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(json in any_json()) {
        prop_assert_eq!(&Json::parse(&json.to_vec()).unwrap(), &json);
        prop_assert_eq!(&Json::from(serde_json::Value::from(json.clone())), &json);
        let other: serde_json::Value = serde_json::from_slice(&json.to_vec()).unwrap();
        prop_assert_eq!(other, serde_json::Value::from(json));
    }
}
