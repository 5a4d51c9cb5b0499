//! Constants and code sets of rows: whether they fit the element they fill.

use super::Compiler;
use crate::fhir::{self, Json, Primitive};
use crate::mapping::plan::{CodeShape, Op};
use crate::source::{self, Place, Value};

/// The element a row fills.
pub(super) struct Target {
    pub(super) many: bool,
    pub(super) type_name: &'static str,
    pub(super) primitive: Option<Primitive>,
    pub(super) binding: Option<&'static [&'static str]>,
    /// What a Reference may lead to; empty means anything.
    pub(super) targets: &'static [&'static str],
}

impl Compiler<'_> {
    pub(super) fn constant(&mut self, value: &Value, target: &Target) -> Option<Json> {
        let made = match target.primitive {
            Some(Primitive::Boolean) => value.as_boolean().map(Json::Bool),
            Some(Primitive::Integer | Primitive::PositiveInt | Primitive::UnsignedInt | Primitive::Decimal) => {
                value.as_integer().and_then(|number| Json::number(&number.to_string()))
            }
            Some(_) => value.as_text().map(Json::string),
            None => None,
        };
        let Some(made) = made else {
            let hint = match target.primitive {
                Some(Primitive::Boolean) => "write `true` or `false` without quotes",
                Some(Primitive::Integer | Primitive::PositiveInt | Primitive::UnsignedInt | Primitive::Decimal) => {
                    "write a whole number without quotes"
                }
                Some(_) => "write a text between quotes",
                None => "fill its elements by `rows`, or one by one with dots, e.g. `code.text`",
            };
            self.problems.hint(&value.place, format!("this value does not fit a {}", target.type_name), hint);
            return None;
        };
        if let Some(fault) = target.primitive.and_then(|primitive| fhir::primitive_fault(primitive, &made)) {
            let message = format!("this value does not fit a {}: {fault}", target.type_name);
            self.problems.hint(&value.place, message, "write it as FHIR does");
            return None;
        }
        if let Some(text) = made.as_str()
            && !self.bound(text, target, &value.place)
        {
            return None;
        }
        Some(made)
    }

    /// Checks a code against the required binding of its element.
    pub(super) fn bound(&mut self, code: &str, target: &Target, place: &Place) -> bool {
        let Some(codes) = target.binding else { return true };
        if codes.contains(&code) {
            return true;
        }
        let hint = source::meant(code, codes.iter().copied(), "one of");
        self.problems.hint(place, format!("`{code}` is not in the required value set of this element"), hint);
        false
    }

    pub(super) fn codes(
        &mut self,
        (name, place): (&str, &Place),
        target: &Target,
        default: Option<(String, Place)>,
        otherwise: Option<(String, Place)>,
        any_case: bool,
    ) -> Option<Op> {
        let Some(set) = self.library.codes.get(name).cloned() else {
            let hint = self.near(name, self.library.codes.keys());
            self.problems.hint(place, format!("there is no code set `{name}`"), hint);
            return None;
        };
        let shape = match (target.type_name, target.primitive) {
            ("Coding", _) => CodeShape::Coding,
            ("CodeableConcept", _) => CodeShape::CodeableConcept,
            (_, Some(Primitive::Code | Primitive::String | Primitive::Uri)) => CodeShape::Code,
            _ => {
                let message =
                    format!("a code set fills a code, Coding or CodeableConcept, and this is a {}", target.type_name);
                self.problems.hint(place, message, "use `as` instead of `codes`, or another element");
                return None;
            }
        };
        if set.is_empty() {
            // Its file could not be read, which has been told.
            self.problems.follows();
            return None;
        }
        if shape == CodeShape::Code {
            for (code, entry) in set.entries() {
                let value = entry.value.as_str();
                let Some(allowed) = target.binding.filter(|codes| !codes.contains(&value)) else { continue };
                let hint = source::meant(value, allowed.iter().copied(), "one of");
                let message = format!("`{code}` becomes `{value}`, which {place} cannot take");
                self.problems.hint(&entry.place, message, hint);
            }
        }
        for (text, at) in default.iter().chain(&otherwise) {
            if set.get(text).is_none() && (shape != CodeShape::Code || !self.bound(text, target, at)) {
                if shape != CodeShape::Code {
                    let hint = self.near(text, set.codes());
                    self.problems.hint(at, format!("`{text}` is not in code set `{name}`"), hint);
                }
                return None;
            }
        }
        Some(Op::Codes { set, shape, default: default.map(|d| d.0), otherwise: otherwise.map(|o| o.0), any_case })
    }
}
