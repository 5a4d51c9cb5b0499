//! What a mapping or a feed changes of a mapping it is based on: rows added, replaced and removed by name, so that no file
//! is copied to change a line of it.

use super::Compiler;
use crate::source::{self, Place, Table, Value};

impl Compiler<'_> {
    /// `[change.result]` with `add`, `replace` and `remove`: rows of the block `result`.
    pub(super) fn change(&mut self, value: &Value) {
        let Some(mut table) = value.as_table() else {
            let hint = "write `[change.NAME]` with `add`, `replace` or `remove`, NAME a block of rows";
            self.problems.hint(&value.place, "`change` must hold tables", hint);
            return;
        };
        for (name, place, value) in table.take_all() {
            let Some((at, rows)) = self.rows.get(&name).cloned() else {
                if self.whole {
                    let hint = self.near(&name, self.rows.keys());
                    self.problems.hint(&place, format!("the mapping has no rows `{name}`"), hint);
                } else {
                    self.problems.follows();
                }
                continue;
            };
            let Some(changes) = value.as_table() else {
                let hint = format!("write `[change.{name}]` with `add`, `replace` or `remove`");
                self.problems.hint(&value.place, "a change must be a table", hint);
                continue;
            };
            let rows = self.changed(changes, &name, source::one_or_many(&rows));
            self.rows.insert(name, (at.clone(), Value::list(at, rows)));
        }
    }

    /// `[codes]` with `name = "other"`: where the base asks the code set `name`, this mapping or feed asks the other.
    pub(super) fn exchange_codes(&mut self, value: &Value) {
        let Some(mut table) = value.as_table() else {
            let hint = "write `[codes]` with lines like `patient-class = \"rxx-patient-class\"`";
            self.problems.hint(&value.place, "`codes` must be a table", hint);
            return;
        };
        for (name, place, value) in table.take_all() {
            let Some(other) = value.as_text() else {
                let hint = format!("write `{name} = \"…\"`, the name of another code set");
                self.problems.hint(&value.place, format!("`{name}` must be a string"), hint);
                continue;
            };
            self.other_codes.insert(name, (other.to_owned(), place, value.place.clone()));
        }
    }

    /// The code set that a row with `codes = "name"` asks.
    pub(super) fn codes_for(&mut self, name: &str, place: &Place) -> (String, Place) {
        self.used.insert(("codes", name.to_owned()));
        match self.other_codes.get(name) {
            Some((other, _, at)) => (other.clone(), at.clone()),
            None => (name.to_owned(), place.clone()),
        }
    }

    /// Reports code sets that are exchanged and that nothing asks.
    pub(super) fn codes_in_vain(&mut self) {
        let mut unused: Vec<(String, Place)> = Vec::new();
        for (name, (_, place, _)) in &self.other_codes {
            if !self.used.contains(&("codes", name.clone())) {
                unused.push((name.clone(), place.clone()));
            }
        }
        for (name, place) in unused {
            let message = format!("no row of the mapping asks the code set `{name}`");
            self.problems.hint(&place, message, "leave the line out, or correct the name");
        }
    }

    fn changed(&mut self, mut changes: Table, name: &str, mut rows: Vec<Value>) -> Vec<Value> {
        let place = changes.place().clone();
        let removed = changes.texts("remove", self.problems);
        let replaced = changes.take("replace");
        let added = changes.take("add");
        changes.finish(self.problems);
        if removed.is_empty() && replaced.is_none() && added.is_none() {
            self.problems.hint(&place, "the change changes nothing", "write `add`, `replace` or `remove`");
        }
        for (element, place) in removed {
            if self.there(&element, &place, name, &rows) {
                rows.retain(|row| element_of(row).as_deref() != Some(&element));
            }
        }
        for new in replaced.iter().flat_map(source::one_or_many) {
            let Some(element) = element_of(&new) else {
                let hint =
                    "write `replace = [{ to = \"…\", … }]`: the row that takes the place of those with this `to`";
                self.problems.hint(&new.place, "what replaces a row says which by its `to`", hint);
                continue;
            };
            if self.there(&element, &new.place, name, &rows) {
                let first = rows.iter().position(|row| element_of(row).as_deref() == Some(&element));
                rows.retain(|row| element_of(row).as_deref() != Some(&element));
                rows.insert(first.unwrap_or(rows.len()).min(rows.len()), new);
            }
        }
        rows.extend(added.iter().flat_map(source::one_or_many));
        rows
    }

    /// Whether a row fills this element; told when none does.
    fn there(&mut self, element: &str, place: &Place, name: &str, rows: &[Value]) -> bool {
        let elements: Vec<String> = rows.iter().filter_map(element_of).collect();
        if elements.iter().any(|held| held == element) {
            return true;
        }
        let hint = source::meant(element, elements.iter().map(String::as_str), "they fill");
        self.problems.hint(place, format!("rows `{name}` have no row with `to = \"{element}\"`"), hint);
        false
    }
}

/// The element that a row fills, as it is written.
fn element_of(row: &Value) -> Option<String> {
    row.as_table()?.take("to")?.as_text().map(str::to_owned)
}
