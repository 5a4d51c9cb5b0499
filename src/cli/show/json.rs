//! A message as JSON for programs: one object on one line, nothing shortened.
//!
//! The shape is told in the command's help; keys are added, never taken away. Written as it is read: a value of ten
//! million components is never held as a tree.

use std::io::{self, Write};

use fairway_core::hl7v2::{Segment, Structure, dictionary};
use serde_json::{Value as Json, json};

use super::node::{Labels, Node};
use super::tree::Tree;
use super::{Content, Shown};

/// Prints a message.
pub(super) fn message(shown: &Shown, out: &mut impl Write) -> io::Result<()> {
    let head = match &shown.content {
        Content::Unreadable(bytes) => json!({
            "source": shown.source, "controlId": null, "type": null, "version": null, "names": null, "charset": null,
            "bytes": bytes.len(),
        }),
        Content::Message { message, version } => json!({
            "source": shown.source,
            "controlId": message.control_id(),
            "type": format!("{}^{}", message.code(), message.trigger()),
            "version": message.version(),
            "names": version.name(),
            "charset": message.charset().name(),
            "bytes": message.bytes().len(),
        }),
    };
    write!(out, "{},\"segments\":[", open(&head))?;
    if let Content::Message { message, version } = &shown.content {
        let structure = Structure::of(message);
        let tree = Tree { labels: &Labels::of(message), places: Default::default(), version: *version };
        for segment in message.segments() {
            out.write_all(if segment.index() == 0 { b"{" } else { b",{" })?;
            one_segment(segment, &structure, &tree, out)?;
            out.write_all(b"}")?;
        }
    }
    let findings = shown.findings.iter().map(|finding| json!({"path": finding.place, "text": finding.text}));
    writeln!(out, "],\"findings\":{}}}", whole(&Json::Array(findings.collect())))
}

/// The text of an object without its last brace, so that members can follow.
pub(super) fn open(object: &Json) -> String {
    let mut text = whole(object);
    text.pop();
    text
}

/// JSON as text that controls no terminal: DEL and the controls of C1 are escaped, as JSON has all others be.
fn whole(json: &Json) -> String {
    let text = json.to_string();
    let controls = |c: char| matches!(c, '\x7f'..='\u{9f}');
    if !text.contains(controls) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if controls(c) => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}

/// The members of a segment, without braces.
pub(super) fn one_segment<'m>(
    segment: Segment<'m>,
    structure: &Structure,
    tree: &Tree<'m>,
    out: &mut impl Write,
) -> io::Result<()> {
    let name = Some(segment.name()).filter(|name| *name != "???");
    let head = json!({
        "segment": name,
        "occurrence": segment.occurrence(),
        "name": name.and_then(|name| dictionary::segment(tree.version, name)),
        "groups": super::groups(structure, segment.index()),
    });
    write!(out, "{},\"fields\":[", &open(&head)[1..])?;
    match name {
        Some(_) => nodes(Node::of_segment(segment, tree.version), segment, tree.labels, out)?,
        // Of a line that is no segment no field means anything.
        None => {
            let line = json!({"value": segment.message().charset().decode(segment.raw()).0});
            write!(out, "{}", whole(&line))?;
        }
    }
    out.write_all(b"]")
}

/// The members of a repetition, component or subcomponent, without braces.
pub(super) fn one_node<'m>(
    node: &Node<'m>,
    segment: Segment<'m>,
    labels: &Labels<'m>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut head = json!({
        "path": labels.node(segment, node),
        "name": node.element.map(|element| element.name),
        "type": Some(node.type_name()).filter(|text| !text.is_empty()),
    });
    let mut parts = node.parts().peekable();
    if parts.peek().is_some() {
        write!(out, "{},\"parts\":[", &open(&head)[1..])?;
        nodes(parts, segment, labels, out)?;
        return out.write_all(b"]");
    }
    head["value"] = match node.value.is_null() {
        true => Json::Null,
        false => Json::from(node.value.formatted()),
    };
    if let Some(meaning) = node.meaning() {
        head["meaning"] = Json::from(meaning);
    }
    out.write_all(&open(&head).as_bytes()[1..])
}

fn nodes<'m>(
    nodes: impl Iterator<Item = Node<'m>>,
    segment: Segment<'m>,
    labels: &Labels<'m>,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (at, node) in nodes.enumerate() {
        out.write_all(if at == 0 { b"{" } else { b",{" })?;
        one_node(&node, segment, labels, out)?;
        out.write_all(b"}")?;
    }
    Ok(())
}
