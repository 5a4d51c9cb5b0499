//! Where each element of a translation came from: path, value, conversion, row. Kept only when somebody asks.

use std::collections::HashMap;

use crate::hl7v2::Value;
use crate::mapping::plan::{Op, Row, Source};
use crate::record::Step;

/// One element, and what made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The resource, as `Patient/3d1f…`; `Patient` alone when its id is only known once the record is found.
    pub resource: String,
    /// The element, as `name[0].family`.
    pub element: String,
    /// Where the value stands in the message, as `PID-5[1].1`; empty for a constant or a default.
    pub from: String,
    /// The value as it was typed, or the constant.
    pub value: String,
    /// The conversion, code set or constant, as `as date` or `codes administrative-gender`.
    pub by: String,
    /// File and line of the row.
    pub row: String,
}

/// What has been explained so far.
#[derive(Default)]
pub(super) struct Trace {
    on: bool,
    /// Elements around the rows at hand.
    around: Vec<String>,
    /// How many items a repeating element has.
    items: HashMap<String, usize>,
    found: Vec<Explained>,
}

/// How far a trace had come, to name or to take back what follows.
#[derive(Clone, Copy, Default)]
pub(super) struct Mark(usize);

impl Trace {
    pub(super) fn asked(on: bool) -> Trace {
        Trace { on, ..Trace::default() }
    }

    pub(super) fn into_found(self) -> Vec<Explained> {
        self.found
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.found.len())
    }

    /// What was found since belongs to this resource, unless it belongs to one made on the way.
    pub(super) fn name(&mut self, since: Mark, resource: &str) {
        for one in self.found.iter_mut().skip(since.0).filter(|one| one.resource.is_empty()) {
            one.resource = resource.to_owned();
        }
    }

    /// Nothing came of what was found since.
    pub(super) fn take_back(&mut self, since: Mark) {
        self.found.truncate(since.0);
    }

    /// The rows of a block come next, for one item of its element.
    pub(super) fn enter(&mut self, row: &Row) {
        if self.on {
            let element = self.element(&row.path, row.many);
            self.around.push(element);
        }
    }

    pub(super) fn leave(&mut self) {
        self.around.pop();
    }

    /// Rows of a resource of its own come next; gives what was around it, for [`Trace::resume`].
    pub(super) fn begin(&mut self) -> (Vec<String>, HashMap<String, usize>) {
        (std::mem::take(&mut self.around), std::mem::take(&mut self.items))
    }

    pub(super) fn resume(&mut self, (around, items): (Vec<String>, HashMap<String, usize>)) {
        (self.around, self.items) = (around, items);
    }

    /// A row made an element at this path of a value.
    pub(super) fn made(&mut self, row: &Row, path: &[Step], value: Option<Value<'_>>) {
        if !self.on {
            return;
        }
        let element = self.element(path, row.many);
        let (from, value) = match (value, &row.op) {
            (Some(value), _) => (value.location().to_string(), value.text().into_owned()),
            (None, Op::Constant(json)) => {
                (String::new(), json.as_str().map_or_else(|| json.to_string(), str::to_owned))
            }
            (None, _) => (paths(row), String::new()),
        };
        let is_default = from.is_empty() && matches!(row.source, Source::First(_));
        let by = if is_default { "default".to_owned() } else { by(row) };
        let (line, _) = row.place.line_and_column();
        let row_at = format!("{}:{line}", row.place.source.name);
        self.found.push(Explained { resource: String::new(), element, from, value, by, row: row_at });
    }

    /// A row made a document of a value, which stands in a Binary of its own.
    pub(super) fn made_document(&mut self, row: &Row, id: &str, value: Value<'_>) {
        if self.on {
            let (line, _) = row.place.line_and_column();
            self.found.push(Explained {
                resource: format!("Binary/{id}"),
                element: "data".to_owned(),
                from: value.location().to_string(),
                value: value.text().into_owned(),
                by: by(row),
                row: format!("{}:{line}", row.place.source.name),
            });
        }
    }

    /// `name[0].given[1]`, below the elements around; items of a repeating element are counted.
    fn element(&mut self, path: &[Step], many: bool) -> String {
        let mut text = self.around.last().cloned().unwrap_or_default();
        for (index, step) in path.iter().enumerate() {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(step.name);
            let last = index + 1 == path.len();
            let item = match (step.index, step.many) {
                (Some(item), _) => item,
                (None, true) if last && many => {
                    let count = self.items.entry(text.clone()).or_default();
                    *count += 1;
                    *count - 1
                }
                (None, true) => 0,
                (None, false) => continue,
            };
            text.push_str(&format!("[{item}]"));
        }
        text
    }
}

fn by(row: &Row) -> String {
    match &row.op {
        Op::Constant(_) => "value".to_owned(),
        Op::Convert { conversion, .. } => match row.source {
            Source::Lines(_) => "lines".to_owned(),
            Source::First(_) | Source::Nothing => format!("as {}", conversion.doc().name),
        },
        Op::Codes { set, .. } => format!("codes {}", set.name),
        Op::ObservationValue { .. } => "as observation-value".to_owned(),
        Op::Block(_) => "rows".to_owned(),
        Op::Make { resource, .. } => format!("make {resource}"),
        Op::Patient => "refer patient".to_owned(),
        Op::Refer { resource, .. } | Op::ReferTo { resource, .. } => format!("refer {resource}"),
    }
}

/// The paths of a row whose values are not at hand one by one.
fn paths(row: &Row) -> String {
    match &row.source {
        Source::Lines(paths) => paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Source::First(_) | Source::Nothing => String::new(),
    }
}
