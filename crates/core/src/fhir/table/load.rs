//! Reads `r4-elements.txt` into the element table. The format is described in `generate.py`.
//!
//! The text is compiled in and held to its format by the table's tests; a line that does not fit is left out here.

use std::collections::HashMap;

use super::{Binding, Element, Kind, NameIndex, Primitive, Table, Type, TypeId, TypeKind, ValueSet, rules_of};

/// The table for `text`; what the table holds lives as long as the program.
pub(super) fn load(text: &'static str) -> Table {
    let mut resource_types: Vec<&'static str> = Vec::new();
    let mut value_sets = HashMap::new();
    let mut open_set = None;
    let mut raw: Vec<(&'static str, TypeKind, Vec<&'static str>)> = Vec::new();
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("#", _)) | None => {}
            Some(("R", names)) => resource_types = names.split(' ').collect(),
            Some(("V", name)) => {
                close(&mut value_sets, open_set.take());
                open_set = Some((name, Vec::new()));
            }
            Some(("S", codes)) => {
                if let Some((_, systems)) = &mut open_set {
                    systems.push(system_of(codes));
                }
            }
            Some(("T", rest)) => raw.extend(type_of(rest)),
            Some(_) => {
                if let Some((_, _, lines)) = raw.last_mut() {
                    lines.push(line);
                }
            }
        }
    }
    close(&mut value_sets, open_set);
    resource_types.sort_unstable();
    let ids: HashMap<_, _> = raw.iter().zip(0..).map(|((name, ..), id)| (*name, TypeId(id))).collect();
    let types: Vec<Type> =
        raw.into_iter().map(|(name, kind, lines)| build(name, kind, &lines, &ids, &value_sets)).collect();
    let type_names: Vec<_> = types.iter().map(|t| t.name).collect();
    let mut names: Vec<_> = types.iter().flat_map(|t| t.elements).map(|e| e.name).collect();
    let siblings = siblings(&types, &ids);
    let sibling_names: Vec<_> = siblings.iter().map(|e| e.name).collect();
    names.push("resourceType");
    names.sort_unstable();
    names.dedup();
    Table {
        by_name: NameIndex::new(&type_names),
        by_element_name: NameIndex::new(&names),
        types: types.leak(),
        names: names.leak(),
        resource_types: resource_types.leak(),
        siblings: siblings.leak(),
        by_sibling_name: NameIndex::new(&sibling_names),
    }
}

/// `_birthDate` and the like, each once.
fn siblings(types: &[Type], ids: &HashMap<&'static str, TypeId>) -> Vec<Element> {
    let primitive = |e: &&Element| matches!(e.kind, Kind::Primitive(_)) && !e.many;
    let mut names: Vec<_> = types.iter().flat_map(|t| t.elements).filter(primitive).map(|e| e.name).collect();
    names.sort_unstable();
    names.dedup();
    let Some(id) = ids.get("Element") else { return Vec::new() };
    let kind = Kind::Complex(*id);
    let of = |name| {
        let name: &'static str = format!("_{name}").leak();
        Element { name, min: 0, many: false, slot: 0, kind, binding: None, targets: &[], choice: None }
    };
    names.into_iter().map(of).collect()
}

type Systems = Vec<(&'static str, &'static [&'static str])>;

fn system_of(line: &'static str) -> (&'static str, &'static [&'static str]) {
    let (system, codes) = line.split_once('\t').unwrap_or((line, ""));
    (system, sorted(codes.split('\t').filter(|code| !code.is_empty()).collect()))
}

fn sorted(mut codes: Vec<&'static str>) -> &'static [&'static str] {
    codes.sort_unstable();
    codes.dedup();
    codes.leak()
}

fn close(sets: &mut HashMap<&'static str, &'static ValueSet>, open: Option<(&'static str, Systems)>) {
    if let Some((name, systems)) = open {
        let codes = sorted(systems.iter().flat_map(|(_, codes)| codes.iter().copied()).collect());
        sets.insert(name, Box::leak(Box::new(ValueSet { name, systems: systems.leak(), codes })));
    }
}

fn type_of(line: &'static str) -> Option<(&'static str, TypeKind, Vec<&'static str>)> {
    let (name, kind) = line.split_once(' ')?;
    let kind = match kind {
        "r" => TypeKind::Resource,
        "c" => TypeKind::DataType,
        "b" => TypeKind::Backbone,
        _ => return None,
    };
    Some((name, kind, Vec::new()))
}

fn build(
    name: &'static str,
    kind: TypeKind,
    lines: &[&'static str],
    ids: &HashMap<&'static str, TypeId>,
    sets: &HashMap<&'static str, &'static ValueSet>,
) -> Type {
    let mut elements: Vec<Element> = Vec::with_capacity(lines.len());
    let mut slot = 0;
    for line in lines {
        if let Some(mut element) = element_of(line, ids, sets) {
            // The names of a choice stand together; they share a slot.
            if let Some(last) = elements.last()
                && (element.choice.is_none() || element.choice != last.choice)
            {
                slot += 1;
            }
            element.slot = slot;
            elements.push(element);
        }
    }
    let names: Vec<_> = elements.iter().map(|e| e.name).collect();
    let elements: &'static [Element] = elements.leak();
    Type {
        name,
        kind,
        by_name: NameIndex::new(&names),
        required: elements.iter().filter(|e| e.min > 0).fold(0, |bits, e| bits | e.slot()),
        rules: rules_of(name, elements),
        elements,
    }
}

fn element_of(
    line: &'static str,
    ids: &HashMap<&'static str, TypeId>,
    sets: &HashMap<&'static str, &'static ValueSet>,
) -> Option<Element> {
    let mut fields = line.split(' ');
    let name = fields.next()?;
    let (min, many) = match fields.next()? {
        "?" => (0, false),
        "1" => (1, false),
        "*" => (0, true),
        "+" => (1, true),
        _ => return None,
    };
    let kind = match fields.next()? {
        "Resource" => Kind::Resource,
        type_name => match Primitive::named(type_name) {
            Some(primitive) => Kind::Primitive(primitive),
            None => Kind::Complex(*ids.get(type_name)?),
        },
    };
    let mut element = Element { name, min, many, slot: 0, kind, binding: None, targets: &[], choice: None };
    for field in fields {
        match field.split_at_checked(1)? {
            ("=", "mimetypes") => element.binding = Some(Binding::MimeType),
            ("=", set) => element.binding = Some(Binding::ValueSet(sets.get(set)?)),
            (">", targets) => element.targets = sorted(targets.split(',').collect()),
            ("~", choice) => element.choice = Some(choice),
            _ => return None,
        }
    }
    Some(element)
}
