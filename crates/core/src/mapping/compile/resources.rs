//! Reads what a mapping of the profile `v2-to-fhir` makes: resources for segments, in the order of the bundle.

use super::Compiler;
use crate::mapping::plan::{MakePlan, Same, Work};
use crate::source::{self, Place, Table, Value};

impl Compiler<'_> {
    /// `write = ["name of [writes]", { resource = "Encounter", each = "PV1", rows = "encounter" }]`.
    pub(super) fn resources(&mut self, table: &mut Table) -> Option<Work> {
        let Some(value) = table.take("write") else {
            let hint = "add `write = [{ resource = \"Patient\", each = \"PID\", rows = \"patient\" }]`";
            self.problems.absent(table.place(), "`write` is missing: what does the message make?", hint);
            return None;
        };
        let mut makes = Vec::new();
        self.makes_of(&value, &mut Vec::new(), &mut makes);
        Some(Work::Resources(makes))
    }

    fn makes_of(&mut self, value: &Value, open: &mut Vec<String>, makes: &mut Vec<MakePlan>) {
        for item in source::one_or_many(value) {
            if let Some(name) = item.as_text() {
                self.named_makes(name, &item.place, open, makes);
                continue;
            }
            match item.as_table() {
                Some(table) => makes.extend(self.make(table)),
                None => {
                    let hint = "write `{ resource = \"…\", rows = \"…\" }` or a name of `[writes]`";
                    self.problems.hint(&item.place, "a write must be a table or the name of writes", hint);
                }
            }
        }
    }

    fn named_makes(&mut self, name: &str, place: &Place, open: &mut Vec<String>, makes: &mut Vec<MakePlan>) {
        self.used.insert(("writes", name.to_owned()));
        let Some((_, value)) = self.writes.get(name).cloned() else {
            if !self.whole {
                self.problems.follows();
                return;
            }
            let hint = self.near(name, self.writes.keys());
            self.problems.hint(place, format!("there are no writes `{name}`"), hint);
            return;
        };
        if open.iter().any(|open| open == name) {
            let hint = format!("name other writes here: `{name}` lead back to this place");
            self.problems.hint(place, format!("writes `{name}` contain themselves"), hint);
            return;
        }
        open.push(name.to_owned());
        self.makes_of(&value, open, makes);
        open.pop();
    }

    fn make(&mut self, mut table: Table) -> Option<MakePlan> {
        let resource = table.required_text("resource", self.problems);
        let resource = resource.and_then(|(name, place)| self.resource(&name, &place))?;
        let each = self.each(&mut table);
        let gate = self.gate(&mut table, "when");
        let key = table.take("key").map(|value| self.key(&value, &[])).unwrap_or_default();
        let per_patient = table.boolean("per-patient", self.problems).unwrap_or(false);
        let bare = table.boolean("bare", self.problems).unwrap_or(false);
        let rows = table.required_text("rows", self.problems);
        table.finish(self.problems);
        let given = rows?;
        let rows = self.block_of(&given, resource)?;
        self.required_elements(rows, resource, &given.1);
        self.grouped = true;
        let when = gate.when();
        self.write_gates.push((gate, Some(rows)));
        Some(MakePlan { resource, each, when, key, per_patient, bare, rows })
    }

    /// `same = [["OBR-3.1", "OBR-29.2.1"], …]`: a path of the other segment, and one here; `?` behind the second when it may be
    /// missing.
    pub(super) fn same(&mut self, table: &mut Table, of: bool, place: &Place) -> Vec<Same> {
        let Some(value) = table.take("same") else { return Vec::new() };
        let hint = "write e.g. `of = \"OBR\", same = [[\"OBR-3.1\", \"OBR-29.2.1\"]]`: a path there, and one here";
        if !of {
            self.problems.hint(place, "`same` needs `of`: whose values are compared", hint);
        }
        let mut pairs = Vec::new();
        for pair in source::one_or_many(&value) {
            let texts = source::texts("same", &pair, self.problems);
            let [there, here] = &texts[..] else {
                self.problems.hint(&pair.place, "`same` compares two paths", hint);
                continue;
            };
            let optional = here.0.ends_with('?');
            let here = (here.0.trim_end_matches('?').to_owned(), here.1.clone());
            if let (Some(there), Some(here)) = (self.path(there), self.path(&here)) {
                pairs.push(Same { there, here, optional });
            }
        }
        if pairs.first().is_some_and(|pair| pair.optional) {
            self.problems.hint(&value.place, "the first pair of `same` must be there", "put one without `?` first");
        }
        pairs
    }
}
