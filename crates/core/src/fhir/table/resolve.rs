//! Walks element paths such as `name.given` through the table, and finds the nearest known name for a wrong one.
//!
//! Paths come from mapping files: they are configuration, never patient data.

use std::fmt;

use super::{Element, Kind, Table, Type};

/// A step of an element path that the type before it does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// Byte offset of the step in the path; 0 when the type the path starts from is unknown.
    pub at: usize,
    /// The unknown step, or the unknown type.
    pub step: String,
    /// The type in which the step was looked for; empty when the type itself is unknown.
    pub in_type: &'static str,
    /// A known name that is near.
    pub suggestion: Option<&'static str>,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.in_type.is_empty() {
            write!(f, "`{}` is no FHIR R4 type", self.step)?;
        } else {
            write!(f, "`{}` is no element of {}", self.step, self.in_type)?;
        }
        self.suggestion.map_or(Ok(()), |name| write!(f, "; did you mean `{name}`?"))
    }
}

impl std::error::Error for PathError {}

impl Table {
    /// The elements along a path that starts in a type: `participant.actor.display`. A step may carry an index
    /// (`name[0].given`), which is not looked at; `_birthDate.extension` are the extensions of a primitive. Linear in the
    /// path.
    ///
    /// # Errors
    /// Names the first step that is not an element, with its place in the path and the nearest name.
    pub fn resolve(&self, type_name: &str, path: &str) -> Result<Vec<&'static Element>, PathError> {
        let mut here = self.type_named(type_name).ok_or_else(|| PathError {
            at: 0,
            step: type_name.to_owned(),
            in_type: "",
            suggestion: self.suggest_type(type_name),
        })?;
        let mut elements: Vec<&'static Element> = Vec::new();
        let mut at = 0;
        for part in path.split('.') {
            let step = part.strip_suffix(']').and_then(|p| p.split_once('[')).map_or(part, |(name, _)| name);
            let fail = |in_type, suggestion| PathError { at, step: step.to_owned(), in_type, suggestion };
            if let Some(last) = elements.last() {
                here = last.value_type().ok_or_else(|| fail(last.type_name(), None))?;
            }
            let element = here.element(step).or_else(|| self.sibling(here, step));
            elements.push(element.ok_or_else(|| fail(here.name(), suggestion(here, step)))?);
            at += part.len() + 1;
        }
        Ok(elements)
    }
}

/// A choice written without its type (`value`) is answered with its first concrete name.
fn suggestion(t: &'static Type, step: &str) -> Option<&'static str> {
    let concrete = t.elements().iter().filter(|e| e.choice() == Some(step));
    let preferred = concrete.clone().find(|e| matches!(e.kind(), Kind::Complex(_)));
    preferred.or_else(|| concrete.clone().next()).map(Element::name).or_else(|| t.suggest(step))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::r4;

    fn names(type_name: &str, path: &str) -> Vec<&'static str> {
        r4().resolve(type_name, path).unwrap().iter().map(|e| e.type_name()).collect()
    }

    #[test]
    fn paths_walk_complex_backbone_and_referenced_types() {
        assert_eq!(names("Patient", "name.given"), ["HumanName", "string"]);
        assert_eq!(names("Patient", "name[0].given[1]"), ["HumanName", "string"]);
        assert_eq!(names("Appointment", "_end.extension.url"), ["Element", "Extension", "uri"]);
        assert!(
            r4().resolve("Patient", "name._given.extension").is_err(),
            "repeating primitives have no place of their own"
        );
        assert!(r4().resolve("Appointment", "_participant.extension").is_err());
        let participant = ["Appointment.participant", "Reference", "string"];
        assert_eq!(names("Appointment", "participant.actor.display"), participant);
        assert_eq!(names("Bundle", "entry.link.relation"), ["Bundle.entry", "Bundle.link", "string"]);
        let items = ["Questionnaire.item", "Questionnaire.item", "Questionnaire.item", "string"];
        assert_eq!(names("Questionnaire", "item.item.item.text"), items);
        assert_eq!(names("Observation", "valueQuantity.value"), ["Quantity", "decimal"]);
    }

    fn fails(type_name: &str, path: &str) -> (usize, String, &'static str, Option<&'static str>) {
        let e = r4().resolve(type_name, path).unwrap_err();
        (e.at, e.step, e.in_type, e.suggestion)
    }

    #[test]
    fn an_unknown_step_is_shown_with_its_place_and_a_hint() {
        assert_eq!(fails("Patient", "name.famly"), (5, "famly".into(), "HumanName", Some("family")));
        assert_eq!(fails("Patient", "nmae.family"), (0, "nmae".into(), "Patient", Some("name")));
        assert_eq!(fails("Patient", "gender.x"), (7, "x".into(), "code", None));
        assert_eq!(fails("Patient", "contained.id"), (10, "id".into(), "Resource", None));
        assert_eq!(fails("Patien", "id"), (0, "Patien".into(), "", Some("Patient")));
        assert_eq!(fails("Observation", "value").3, Some("valueQuantity"));
        assert_eq!(fails("Patient", "").0, 0);
        assert_eq!(fails("Patient", "name..given").0, 5);
        let shown = r4().resolve("Patient", "name.famly").unwrap_err().to_string();
        assert_eq!(shown, "`famly` is no element of HumanName; did you mean `family`?");
    }
}
