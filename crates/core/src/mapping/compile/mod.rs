//! Compiles a mapping file: every name in it is checked against the FHIR element table, the code sets and the
//! conversions, and every problem is reported with its place.
//!
//! A file with a problem gives no plan; what compiles can only fail on the content of a message. Here: files, messages and
//! writes; `conditions` reads paths, keys and conditions, `rows` the rows and what fills them.

mod conditions;
mod rows;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::codes::CodeSet;
use super::plan::{BlockId, MessagePlan, PatientPlan, Plan, Profile, Row, WritePlan};
use crate::fhir;
use crate::hl7v2::{Path, SegmentName};
use crate::record::{Policy, Unknown};
use crate::source::{self, Place, Problems, Source, Table, Value};

/// The mapping files and code sets of a configuration, by name.
#[derive(Debug, Clone, Default)]
pub struct Library {
    files: BTreeMap<String, Arc<Source>>,
    codes: HashMap<String, Arc<CodeSet>>,
}

impl Library {
    /// A library of mapping files (`appointments.toml`) and code sets (`patient-class.csv`), named as on disk without
    /// folder; faults of the code sets go to `problems`.
    pub fn new(
        mappings: impl IntoIterator<Item = (String, Arc<Source>)>,
        code_sets: impl IntoIterator<Item = (String, Arc<Source>)>,
        problems: &mut Problems,
    ) -> Library {
        let codes = code_sets
            .into_iter()
            .map(|(file, source)| {
                let name = file.trim_end_matches(".csv").to_owned();
                let set = Arc::new(CodeSet::read(&name, &source, problems));
                (name, set)
            })
            .collect();
        Library { files: mappings.into_iter().collect(), codes }
    }

    /// The code set of a name.
    pub fn codes(&self, name: &str) -> Option<&Arc<CodeSet>> {
        self.codes.get(name)
    }

    /// Names of the files that define messages, so that each of them can be compiled.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files
            .iter()
            .filter(|(_, source)| source.text.contains("[[message]]"))
            .map(|(file, _)| file.trim_end_matches(".toml"))
    }
}

/// Compiles the mapping `name`; `None` when it has problems, all of which are added to `problems`.
pub fn compile(library: &Library, name: &str, problems: &mut Problems) -> Option<Plan> {
    let before = problems.len();
    let file = format!("{name}.toml");
    let Some(source) = library.files.get(&file) else {
        let names: Vec<&str> = library.names().collect();
        let hint = match source::nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", names.join(", ")),
        };
        problems.general(format!("there is no mapping `{name}`"), hint);
        return None;
    };
    let mut compiler = Compiler {
        library,
        rows: HashMap::new(),
        checks: HashMap::new(),
        compiled: HashMap::new(),
        open: Vec::new(),
        blocks: Vec::new(),
        used: HashSet::new(),
        reads: Vec::new(),
        grouped: false,
        problems,
    };
    let mut table = source::parse(source, compiler.problems);
    let profile = match table.required_text("profile", compiler.problems) {
        Some((text, _)) if text == "phr" => Profile::Phr,
        Some((text, _)) if text == "v2-to-fhir" => Profile::V2ToFhir,
        Some((text, place)) => {
            compiler.problems.hint(&place, format!("unknown profile `{text}`"), "`phr` or `v2-to-fhir`");
            Profile::Phr
        }
        None => Profile::Phr,
    };
    let own_rows = compiler.include(&mut table, &mut vec![file]);
    let messages: Vec<MessagePlan> = table
        .tables("message", compiler.problems)
        .into_iter()
        .filter_map(|message| compiler.message(message))
        .collect();
    table.finish(compiler.problems);
    // A write that could not be read uses nothing, so this is only told of a file that is right otherwise.
    let right = compiler.problems.len() == before;
    for (name, place) in own_rows {
        if right && !compiler.used.contains(&name) {
            compiler.problems.hint(&place, format!("rows `{name}` are used nowhere"), "use them or delete them");
        }
    }
    let mut seen = HashSet::new();
    for event in messages.iter().flat_map(|message| &message.events) {
        if !seen.insert(event) {
            let text = format!("{}: {}^{} is handled by more than one [[message]]", source.name, event.0, event.1);
            compiler.problems.general(text, "merge them");
        }
    }
    let blocks = compiler.blocks;
    (problems.len() == before).then(|| Plan { name: name.to_owned(), profile, messages, blocks })
}

struct Compiler<'a> {
    library: &'a Library,
    rows: HashMap<String, (Place, Value)>,
    checks: HashMap<String, (Place, Value)>,
    compiled: HashMap<(String, &'static str), BlockId>,
    /// Blocks being compiled, to refuse circles.
    open: Vec<String>,
    blocks: Vec<Vec<Row>>,
    used: HashSet<String>,
    reads: Vec<(SegmentName, u16, u16)>,
    grouped: bool,
    problems: &'a mut Problems,
}
impl Compiler<'_> {
    /// Takes `[rows]`, `[checks]` and the included files; returns the names of the rows this file defines.
    fn include(&mut self, table: &mut Table, files: &mut Vec<String>) -> Vec<(String, Place)> {
        let mut own = Vec::new();
        for (kind, takes_rows) in [("rows", true), ("checks", false)] {
            let Some(mut named) = table.table(kind, self.problems) else { continue };
            for (name, place, value) in named.take_all() {
                if takes_rows {
                    own.push((name.clone(), place.clone()));
                }
                let all = if takes_rows { &mut self.rows } else { &mut self.checks };
                if let Some((earlier, _)) = all.insert(name.clone(), (place.clone(), value)) {
                    self.problems.hint(&place, format!("{kind} `{name}` are defined already"), format!("at {earlier}"));
                }
            }
        }
        for (file, place) in table.texts("include", self.problems) {
            if files.contains(&file) {
                continue;
            }
            let Some(source) = self.library.files.get(&file) else {
                self.problems.hint(&place, format!("no file `{file}` beside this one"), "check the name");
                continue;
            };
            files.push(file);
            let mut included = source::parse(source, self.problems);
            self.include(&mut included, files);
            included.finish(self.problems);
        }
        own
    }

    fn message(&mut self, mut table: Table) -> Option<MessagePlan> {
        self.grouped = false;
        self.reads.clear();
        let mut events = Vec::new();
        let given = table.texts("events", self.problems);
        if given.is_empty() {
            self.problems.hint(table.place(), "`events` is missing", "add `events = [\"ADT^A28\"]`");
        }
        for (event, place) in given {
            match event.split_once('^') {
                Some((code, trigger)) if code.len() == 3 && !trigger.is_empty() => {
                    events.push((code.to_owned(), trigger.to_owned()));
                }
                _ => self.problems.hint(&place, format!("`{event}` is no message type"), "write it like `ADT^A28`"),
            }
        }
        let checks = match table.take("checks") {
            Some(value) => self.checks_of(&value),
            None => Vec::new(),
        };
        let patient = match table.table("patient", self.problems) {
            Some(patient) => self.patient(patient),
            None => {
                let hint = "add `patient = { policy = \"match\", rows = \"patient\" }`";
                self.problems.hint(table.place(), "`patient` is missing: whose record is it?", hint);
                None
            }
        };
        let teams = table.table("teams", self.problems).and_then(|mut teams| {
            let add = teams.required_text("add", self.problems).and_then(|given| self.path(&given));
            let remove = teams.required_text("remove", self.problems).and_then(|given| self.path(&given));
            teams.finish(self.problems);
            add.zip(remove)
        });
        let writes: Vec<WritePlan> =
            table.tables("write", self.problems).into_iter().filter_map(|write| self.write(write)).collect();
        table.finish(self.problems);
        for path in ["MSH-3", "MSH-4", "MSH-7", "MSH-9", "MSH-10", "MSH-11", "MSH-12", "PID-2", "PID-3"] {
            if let Ok(path) = Path::parse(path) {
                self.reads_path(&path);
            }
        }
        let reads = std::mem::take(&mut self.reads);
        Some(MessagePlan { events, grouped: self.grouped, checks, patient: patient?, teams, writes, reads })
    }

    fn patient(&mut self, mut table: Table) -> Option<PatientPlan> {
        let demographics = match table.required_text("policy", self.problems) {
            Some((text, _)) if text == "merge" => true,
            Some((text, _)) if text == "match" => false,
            Some((text, place)) => {
                self.problems.hint(&place, format!("unknown policy `{text}` for a patient"), "`merge` or `match`");
                false
            }
            None => false,
        };
        let rows = table.required_text("rows", self.problems);
        table.finish(self.problems);
        let rows = self.block_of(&rows?, "Patient")?;
        Some(PatientPlan { demographics, rows })
    }

    fn write(&mut self, mut table: Table) -> Option<WritePlan> {
        let resource = table.required_text("resource", self.problems);
        let resource = resource.and_then(|(name, place)| self.resource(&name, &place))?;
        let policy = table.required_text("policy", self.problems).and_then(|(text, place)| {
            let policy = match text.as_str() {
                "replace" => Policy::Replace,
                "merge" => Policy::Merge,
                "set" => Policy::Set,
                "append" => Policy::Append,
                "delete" => Policy::Delete,
                _ => {
                    let hint = "`replace`, `merge`, `set`, `append` or `delete`";
                    self.problems.hint(&place, format!("unknown policy `{text}`"), hint);
                    return None;
                }
            };
            Some((policy, place))
        });
        let unknown = match table.text("unknown", self.problems) {
            None => Unknown::Create,
            Some((text, _)) if text == "create" => Unknown::Create,
            Some((text, _)) if text == "ignore" => Unknown::Ignore,
            Some((text, place)) => {
                self.problems.hint(&place, format!("`unknown = \"{text}\"`?"), "`create` or `ignore`");
                Unknown::Create
            }
        };
        let each = self.each(&mut table);
        let when = self.conditions(&mut table, "when");
        let labels = table.texts("label", self.problems);
        let key = match table.take("key") {
            Some(value) => self.key(&value, &labels),
            None => {
                self.problems.hint(table.place(), "`key` is missing: the sender's id", "add `key = \"SCH-1.1\"`");
                Vec::new()
            }
        };
        let identifier = self.paths(&mut table, "identifier");
        let group = self.paths(&mut table, "group");
        let whole_group = table.boolean("whole-group", self.problems).unwrap_or(false);
        let once = table.boolean("once", self.problems).unwrap_or(false);
        let at = self.paths(&mut table, "at");
        let item = table.text("item", self.problems).map(|(kind, _)| (Arc::from(kind), at));
        let deletes = item.is_none() && matches!(policy, Some((Policy::Delete, _)));
        let rows = match deletes {
            true => None,
            false => table.required_text("rows", self.problems),
        };
        let only = self.elements(&mut table, "only", resource);
        let unite = self.elements(&mut table, "unite", resource);
        let gather = self.elements(&mut table, "gather", resource);
        let specialty = self.paths(&mut table, "specialty").into_iter().next();
        let service = self.paths(&mut table, "service").into_iter().next();
        if let Some((Policy::Append, place)) = &policy
            && item.is_none()
        {
            self.problems.hint(
                place,
                "policy `append` needs `item`",
                "name the kind of event, e.g. `item = \"TRANSFER\"`",
            );
        }
        if let Some((Policy::Set, place)) = &policy
            && item.is_none()
            && only.is_empty()
        {
            self.problems.hint(place, "policy `set` needs `only`", "list the elements, e.g. `only = [\"status\"]`");
        }
        let place = table.place().clone();
        table.finish(self.problems);
        let rows = match (rows, deletes) {
            (Some(rows), _) => {
                let rows = self.block_of(&rows, resource)?;
                self.required_elements(rows, resource, &place);
                Some(rows)
            }
            (None, true) => None,
            (None, false) => return None,
        };
        Some(WritePlan {
            resource,
            policy: policy?.0,
            unknown,
            each,
            when,
            key,
            identifier,
            group,
            whole_group,
            once,
            item,
            rows,
            only,
            unite,
            gather,
            specialty,
            service,
        })
    }

    /// Elements that FHIR requires and no row fills.
    fn required_elements(&mut self, rows: BlockId, resource: &str, place: &Place) {
        let Some(kind) = fhir::r4().type_named(resource) else { return };
        for element in kind.elements().iter().filter(|element| element.min() > 0) {
            let filled = self.blocks[rows].iter().any(|row| match row.path.first() {
                Some(step) => step.name == element.name() || element.choice().is_some_and(|c| step.choice == Some(c)),
                None => true,
            });
            if !filled && element.choice().is_none() {
                let message = format!("no row fills `{}`, which FHIR requires of {resource}", element.name());
                self.problems.hint(place, message, format!("add a row with `to = \"{}\"`", element.name()));
            }
        }
    }

    fn resource(&mut self, name: &str, place: &Place) -> Option<&'static str> {
        match fhir::r4().resource_type(name) {
            Some(kind) => Some(kind.name()),
            None => {
                let message = format!("`{name}` is no FHIR R4 resource type that Fairway knows");
                match fhir::r4().suggest_type(name) {
                    Some(near) => self.problems.hint(place, message, format!("did you mean `{near}`?")),
                    None => self.problems.at(place, message),
                }
                None
            }
        }
    }

    fn elements(&mut self, table: &mut Table, name: &'static str, resource: &'static str) -> Arc<[&'static str]> {
        let mut found = Vec::new();
        for (element, place) in table.texts(name, self.problems) {
            if let Some(path) = self.element_path(&element, &place, resource) {
                found.extend(path.0.first().map(|step| step.name));
            }
        }
        found.into()
    }

    fn near<'n>(&self, name: &str, names: impl Iterator<Item = &'n String>) -> String {
        let mut names: Vec<&str> = names.map(String::as_str).collect();
        names.sort_unstable();
        match source::nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", names.join(", ")),
        }
    }
}
