//! Compiles a mapping file: every name in it is checked against the FHIR element table, the code sets and the
//! conversions, and every problem is reported with its place.
//!
//! A file with a problem gives no plan; what compiles can only fail on the content of a message.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::codes::CodeSet;
use super::convert::{self, Conversion, VALUE_ELEMENTS};
use super::plan::{
    Argument, BlockId, Check, CodeShape, Condition, KeyPart, MessagePlan, Need, Op, PatientPlan, Pattern, Plan,
    Profile, Row, Source as RowSource, WritePlan,
};
use crate::fhir::{self, Json, Kind, Primitive, Type};
use crate::hl7v2::{Path, SegmentName};
use crate::record::{ElementPath, Policy, Step, Unknown};
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

    /// `checks = "name"`, `["name", { … }]` or a list of tables.
    fn checks_of(&mut self, value: &Value) -> Vec<Check> {
        let mut checks = Vec::new();
        for item in source::one_or_many(value) {
            if let Some(name) = item.as_text() {
                checks.extend(self.named_checks(name, &item.place, &[]));
                continue;
            }
            let Some(mut table) = item.as_table() else {
                self.problems.at(&item.place, "a check must be a table or the name of checks");
                continue;
            };
            let each = self.each(&mut table);
            if let Some((name, place)) = table.text("use", self.problems) {
                table.finish(self.problems);
                checks.extend(self.named_checks(&name, &place, &each));
                continue;
            }
            let conditions = self.conditions(&mut table, "if");
            if conditions.is_empty() {
                self.problems.hint(&item.place, "`if` is missing", "say when the message is refused");
            }
            let refusal = table.required_text("refuse", self.problems);
            table.finish(self.problems);
            if let Some((refusal, _)) = refusal {
                checks.push(Check { each, conditions, refusal });
            }
        }
        checks
    }

    fn named_checks(&mut self, name: &str, place: &Place, each: &[SegmentName]) -> Vec<Check> {
        let Some((_, value)) = self.checks.get(name).cloned() else {
            let hint = self.near(name, self.checks.keys());
            self.problems.hint(place, format!("there are no checks `{name}`"), hint);
            return Vec::new();
        };
        let mut checks = self.checks_of(&value);
        for check in &mut checks {
            check.each.splice(0..0, each.iter().copied());
        }
        checks
    }

    fn near<'n>(&self, name: &str, names: impl Iterator<Item = &'n String>) -> String {
        let mut names: Vec<&str> = names.map(String::as_str).collect();
        names.sort_unstable();
        match source::nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", names.join(", ")),
        }
    }

    fn each(&mut self, table: &mut Table) -> Vec<SegmentName> {
        let Some((text, place)) = table.text("each", self.problems) else { return Vec::new() };
        self.grouped = true;
        text.split('/').filter_map(|name| self.segment(name, &place)).collect()
    }

    fn segment(&mut self, name: &str, place: &Place) -> Option<SegmentName> {
        match SegmentName::parse(name) {
            Some(name) => Some(name),
            None => {
                let hint = "three characters, e.g. `OBX`; `OBR/OBX` for the OBX of each OBR";
                self.problems.hint(place, format!("`{name}` is no segment name"), hint);
                None
            }
        }
    }

    fn conditions(&mut self, table: &mut Table, name: &'static str) -> Vec<Condition> {
        table.tables(name, self.problems).into_iter().filter_map(|condition| self.condition(condition)).collect()
    }

    fn condition(&mut self, mut table: Table) -> Option<Condition> {
        let place = table.place().clone();
        let condition = if let Some(given) = table.text("valued", self.problems) {
            match SegmentName::parse(&given.0) {
                Some(segment) => Some(Condition::SegmentValued(segment)),
                None => self.path(&given).map(Condition::Valued),
            }
        } else if let Some(given) = table.text("absent", self.problems) {
            self.path(&given).map(Condition::Absent)
        } else if let Some(given) = table.text("path", self.problems) {
            let path = self.path(&given);
            let within: Vec<String> = table.texts("in", self.problems).into_iter().map(|text| text.0).collect();
            let without: Vec<String> = table.texts("not-in", self.problems).into_iter().map(|text| text.0).collect();
            match (within.is_empty(), without.is_empty()) {
                (false, true) => path.map(|path| Condition::In(path, within)),
                (true, false) => path.map(|path| Condition::NotIn(path, without)),
                _ => {
                    self.problems.hint(&place, "`path` needs `in` or `not-in`", "add e.g. `in = [\"R\"]`");
                    None
                }
            }
        } else if let Some((name, place)) = table.text("count", self.problems) {
            let below = table.integer("below", 0..1000, self.problems).and_then(|n| usize::try_from(n).ok());
            let above = table.integer("above", 0..1000, self.problems).and_then(|n| usize::try_from(n).ok());
            self.segment(&name, &place).map(|segment| Condition::Count { segment, below, above })
        } else if let Some((name, place)) = table.text("pattern", self.problems) {
            self.grouped = true;
            match name.as_str() {
                "textual-report" => Some(Condition::Pattern(Pattern::TextualReport)),
                "collection" => Some(Condition::Pattern(Pattern::Collection)),
                _ => {
                    let hint = "`textual-report` or `collection`";
                    self.problems.hint(&place, format!("unknown pattern `{name}`"), hint);
                    None
                }
            }
        } else {
            let paths = self.paths(&mut table, "differ");
            if paths.is_empty() {
                let hint = "use valued, absent, path with in or not-in, differ, count or pattern";
                self.problems.hint(&place, "a condition says nothing", hint);
                return None;
            }
            Some(Condition::Differ(paths))
        };
        table.finish(self.problems);
        condition
    }

    fn paths(&mut self, table: &mut Table, name: &'static str) -> Vec<Path> {
        table.texts(name, self.problems).iter().filter_map(|given| self.path(given)).collect()
    }

    fn path(&mut self, (text, place): &(String, Place)) -> Option<Path> {
        match Path::parse(text) {
            Ok(path) if path.segment.is_some() => {
                self.reads_path(&path);
                Some(path)
            }
            Ok(_) => {
                self.problems.hint(place, format!("`{text}` names no segment"), "write e.g. `PID-5.1`");
                None
            }
            Err(error) => {
                // The text stands between quotes, so its first byte is one after the start of the value.
                let start = (place.span.start + 1 + error.offset).min(place.span.end);
                let at = Place { source: place.source.clone(), span: start..place.span.end };
                self.problems.hint(&at, format!("`{text}` is no HL7 path: {}", error.message), error.hint);
                None
            }
        }
    }

    /// A path that a conversion reads of itself.
    fn implied(&mut self, text: &'static str, place: &Place) -> Option<Path> {
        self.path(&(text.to_owned(), place.clone()))
    }

    fn reads_path(&mut self, path: &Path) {
        if let Some(segment) = path.segment {
            self.reads.push((segment, path.field, path.component.unwrap_or(0)));
        }
    }

    /// `"SCH-1.1"`, or a list of parts, each a path or a list of alternatives; `?` marks a part that may be empty.
    fn key(&mut self, value: &Value, labels: &[(String, Place)]) -> Vec<KeyPart> {
        let parts = source::one_or_many(value);
        let mut key = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let mut optional = false;
            let mut paths = Vec::new();
            for (text, place) in source::texts("key", part, self.problems) {
                optional |= text.ends_with('?');
                paths.extend(self.path(&(text.trim_end_matches('?').to_owned(), place)));
            }
            let label = labels.get(index).map_or_else(|| "key".to_owned(), |label| label.0.clone());
            key.push(KeyPart { paths, optional, label });
        }
        key
    }

    /// The compiled rows of a name for elements of one type.
    fn block_of(&mut self, (name, place): &(String, Place), type_name: &'static str) -> Option<BlockId> {
        self.used.insert(name.clone());
        if let Some(&block) = self.compiled.get(&(name.clone(), type_name)) {
            // What an earlier message read through these rows is read again here.
            self.reads_again(block);
            return Some(block);
        }
        let mut rows = self.rows_of(name, place, type_name)?;
        // Rows for one element share its path, so that a translation need not compare paths step by step.
        for index in 1..rows.len() {
            let (earlier, later) = rows.split_at_mut(index);
            if let Some(same) = earlier.iter().find(|row| row.path == later[0].path) {
                later[0].path = same.path.clone();
            }
        }
        self.blocks.push(rows);
        let block = self.blocks.len() - 1;
        self.compiled.insert((name.clone(), type_name), block);
        Some(block)
    }

    fn reads_again(&mut self, block: BlockId) {
        let mut open = vec![block];
        let mut paths = Vec::new();
        while let Some(block) = open.pop() {
            for row in &self.blocks[block] {
                self.grouped |= !row.each.is_empty() || matches!(row.source, RowSource::Lines(_));
                paths.extend(row.paths().cloned());
                if let Op::Block(inner) = row.op {
                    open.push(inner);
                }
            }
        }
        paths.iter().for_each(|path| self.reads_path(path));
    }

    fn rows_of(&mut self, name: &str, place: &Place, type_name: &'static str) -> Option<Vec<Row>> {
        let Some((_, value)) = self.rows.get(name).cloned() else {
            let hint = self.near(name, self.rows.keys());
            self.problems.hint(place, format!("there are no rows `{name}`"), hint);
            return None;
        };
        if self.open.iter().any(|open| open == name) {
            self.problems.at(place, format!("rows `{name}` contain themselves"));
            return None;
        }
        self.open.push(name.to_owned());
        let mut rows = Vec::new();
        for item in source::one_or_many(&value) {
            match item.as_table() {
                Some(table) => rows.extend(self.row(table, type_name)),
                None => self.problems.at(&item.place, "a row must be a table, e.g. `{ to = \"…\", from = \"…\" }`"),
            }
        }
        self.open.pop();
        Some(rows)
    }

    fn row(&mut self, mut table: Table, type_name: &'static str) -> Vec<Row> {
        let place = table.place().clone();
        if let Some((name, at)) = table.text("use", self.problems) {
            table.finish(self.problems);
            self.used.insert(name.clone());
            return self.rows_of(&name, &at, type_name).unwrap_or_default();
        }
        let each = self.each(&mut table);
        let when = self.conditions(&mut table, "when");
        let unless = self.conditions(&mut table, "unless");
        let from = self.paths(&mut table, "from");
        let lines = self.paths(&mut table, "lines");
        let source = match (from.is_empty(), lines.is_empty()) {
            (false, true) => RowSource::First(from),
            (true, false) => {
                self.grouped = true;
                RowSource::Lines(lines)
            }
            (true, true) => RowSource::Nothing,
            (false, false) => {
                self.problems.hint(&place, "`from` and `lines` exclude each other", "keep one of them");
                RowSource::Nothing
            }
        };
        let need = match table.text("need", self.problems) {
            None => Need::Never,
            Some((text, _)) if text == "create" => Need::Create,
            Some((text, _)) if text == "always" => Need::Always,
            Some((text, at)) => {
                self.problems.hint(&at, format!("unknown need `{text}`"), "`create` or `always`");
                Need::Never
            }
        };
        let label = table.text("label", self.problems).map(|given| given.0).unwrap_or_default();
        let missing = table.text("missing", self.problems).map(|given| given.0);
        let null_deletes = match table.text("null", self.problems) {
            None => false,
            Some((text, _)) if text == "delete" => true,
            Some((text, _)) if text == "keep" => false,
            Some((text, at)) => {
                self.problems.hint(&at, format!("unknown null `{text}`"), "`delete` or `keep`");
                false
            }
        };
        let to = table.required_text("to", self.problems);
        let named = table.text("as", self.problems);
        let conversion = match named {
            None => Some(Conversion::Text),
            Some((name, at)) => match Conversion::named(&name) {
                Some(conversion) => Some(conversion),
                None => {
                    let names = convert::CONVERSIONS.iter().map(|doc| doc.name);
                    let hint = match source::nearest(&name, names.clone()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("there are: {}", names.collect::<Vec<_>>().join(", ")),
                    };
                    self.problems.hint(&at, format!("unknown conversion `{name}`"), hint);
                    None
                }
            },
        };
        let (Some((to, to_place)), Some(conversion)) = (to, conversion) else { return Vec::new() };
        let Some((path, target)) = self.target(&to, &to_place, type_name, conversion) else { return Vec::new() };
        let op = self.op(&mut table, &source, conversion, &target, &to_place);
        table.finish(self.problems);
        let Some(op) = op else { return Vec::new() };
        let many = target.many && path.last().is_some_and(|step| step.index.is_none());
        vec![Row { path, many, each, when, unless, source, op, need, label, missing, null_deletes, place }]
    }

    /// The element a row fills; for an Observation's value the choice is made per message.
    fn target(
        &mut self,
        to: &str,
        place: &Place,
        type_name: &'static str,
        conversion: Conversion,
    ) -> Option<(ElementPath, Target)> {
        if conversion == Conversion::ObservationValue {
            if to != "value" {
                let hint = "write `to = \"value\"`";
                self.problems.hint(place, "`observation-value` fills the value of an Observation", hint);
                return None;
            }
            let (path, _) = self.element_path(VALUE_ELEMENTS[0], place, type_name)?;
            return Some((
                path,
                Target { many: false, type_name: "Observation.value[x]", primitive: None, binding: None },
            ));
        }
        let (path, element) = self.element_path(to, place, type_name)?;
        let primitive = match element.kind() {
            Kind::Primitive(primitive) => Some(primitive),
            _ => None,
        };
        let binding = element.binding();
        Some((path, Target { many: element.many(), type_name: element.type_name(), primitive, binding }))
    }

    /// Resolves `name.given[0]` below a type.
    fn element_path(
        &mut self,
        to: &str,
        place: &Place,
        type_name: &'static str,
    ) -> Option<(ElementPath, &'static fhir::Element)> {
        let mut names = Vec::new();
        let mut indexes = Vec::new();
        for step in to.split('.') {
            let (name, index) = match step.split_once('[') {
                None => (step, None),
                Some((name, rest)) => match rest.strip_suffix(']').and_then(|digits| digits.parse::<usize>().ok()) {
                    Some(index) if index < 100 => (name, Some(index)),
                    _ => {
                        self.problems.hint(place, format!("`{step}` has no valid index"), "write e.g. `given[0]`");
                        return None;
                    }
                },
            };
            names.push(name);
            indexes.push(index);
        }
        let elements = match fhir::r4().resolve(type_name, &names.join(".")) {
            Ok(elements) => elements,
            Err(error) => {
                let message = format!("{} has no element `{}`", error.in_type, error.step);
                match error.suggestion {
                    Some(near) => self.problems.hint(place, message, format!("did you mean `{near}`?")),
                    None => {
                        let known: Vec<&str> = fhir::r4()
                            .type_named(error.in_type)
                            .map(|kind: &Type| kind.elements().iter().map(|element| element.name()).collect())
                            .unwrap_or_default();
                        self.problems.hint(place, message, format!("it has: {}", known.join(", ")));
                    }
                }
                return None;
            }
        };
        let steps: Vec<Step> = elements
            .iter()
            .zip(&indexes)
            .map(|(element, index)| Step {
                name: element.name(),
                many: element.many(),
                index: *index,
                choice: element.choice(),
            })
            .collect();
        if let Some(step) = steps.iter().find(|step| step.index.is_some() && !step.many) {
            self.problems.hint(place, format!("`{}` does not repeat", step.name), "leave the index out");
            return None;
        }
        let last = elements.last().copied()?;
        Some((steps.into(), last))
    }

    fn op(
        &mut self,
        table: &mut Table,
        source: &RowSource,
        conversion: Conversion,
        target: &Target,
        place: &Place,
    ) -> Option<Op> {
        let default = table.text("default", self.problems);
        let otherwise = table.text("otherwise", self.problems);
        if let Some(value) = table.take("value") {
            return self.constant(&value, target).map(Op::Constant);
        }
        if let Some(rows) = table.text("rows", self.problems) {
            if target.primitive.is_some() {
                self.problems.at(place, format!("a {} takes a value, not rows", target.type_name));
                return None;
            }
            return self.block_of(&rows, target.type_name).map(Op::Block);
        }
        if let Some((resource, at)) = table.text("refer", self.problems) {
            if target.type_name != "Reference" {
                let message = format!("`refer` fills a Reference, and this is a {}", target.type_name);
                self.problems.at(place, message);
                return None;
            }
            if resource == "patient" {
                return Some(Op::Patient);
            }
            let resource = self.resource(&resource, &at);
            let Some(key) = table.take("key") else {
                self.problems.hint(&at, "`refer` needs the `key` of what it refers to", "the same as in its write");
                return None;
            };
            let key = self.key(&key, &[]);
            return Some(Op::Refer { resource: resource?, key });
        }
        if matches!(source, RowSource::Nothing) {
            let hint = "add `from`, `lines`, `value`, `rows` or `refer`";
            self.problems.hint(place, "the row has no source", hint);
            return None;
        }
        if let Some((name, at)) = table.text("codes", self.problems) {
            return self.codes(&name, &at, target, default, otherwise);
        }
        if conversion == Conversion::ObservationValue {
            let elements: Vec<ElementPath> = VALUE_ELEMENTS
                .iter()
                .filter_map(|name| Some(self.element_path(name, place, "Observation")?.0))
                .collect();
            let paths = [self.implied("OBX-2", place)?, self.implied("OBX-6", place)?];
            return Some(Op::ObservationValue { elements, paths });
        }
        if !convert::fits(conversion, target.type_name, target.primitive) {
            let doc = conversion.doc();
            let fitting: Vec<&str> = convert::CONVERSIONS
                .iter()
                .filter(|doc| doc.makes.contains(&target.primitive.map_or(target.type_name, Primitive::name)))
                .map(|doc| doc.name)
                .collect();
            let message =
                format!("`{}` makes {}, and this is a {}", doc.name, doc.makes.join(" or "), target.type_name);
            let hint = match fitting[..] {
                [] => "fill its elements one by one, or by `rows` or `codes`".to_owned(),
                _ => format!("fitting here: {}", fitting.join(", ")),
            };
            self.problems.hint(place, message, hint);
            return None;
        }
        if conversion == Conversion::Text && target.binding.is_some() {
            let message = format!("a {} with a required binding needs a code set", target.type_name);
            self.problems.hint(place, message, "add `codes = \"…\"`");
            return None;
        }
        let with = table.text("with", self.problems).map(|given| given.0);
        let mut paths = self.paths(table, "title");
        if conversion == Conversion::EndOfAppointment {
            for path in ["SCH-11.4", "SCH-9.1", "SCH-10.1"] {
                paths.extend(self.implied(path, place));
            }
        }
        let default = default.map(|(text, _)| Json::string(text));
        Some(Op::Convert { conversion, argument: Argument { with, paths }, default })
    }

    fn constant(&mut self, value: &Value, target: &Target) -> Option<Json> {
        let made = match target.primitive {
            Some(Primitive::Boolean) => value.as_boolean().map(Json::Bool),
            Some(Primitive::Integer | Primitive::PositiveInt | Primitive::UnsignedInt) => {
                value.as_integer().and_then(|number| Json::number(&number.to_string()))
            }
            Some(_) => value.as_text().map(Json::string),
            None => None,
        };
        let Some(made) = made else {
            self.problems.at(&value.place, format!("this value does not fit a {}", target.type_name));
            return None;
        };
        if let Some(text) = made.as_str()
            && !self.bound(text, target, &value.place)
        {
            return None;
        }
        Some(made)
    }

    /// Checks a code against the required binding of its element.
    fn bound(&mut self, code: &str, target: &Target, place: &Place) -> bool {
        let Some(codes) = target.binding else { return true };
        if codes.contains(&code) {
            return true;
        }
        let hint = match source::nearest(code, codes.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of: {}", codes.join(", ")),
        };
        self.problems.hint(place, format!("`{code}` is not in the required value set of this element"), hint);
        false
    }

    fn codes(
        &mut self,
        name: &str,
        place: &Place,
        target: &Target,
        default: Option<(String, Place)>,
        otherwise: Option<(String, Place)>,
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
                self.problems.at(place, message);
                return None;
            }
        };
        if shape == CodeShape::Code {
            for (code, entry) in set.entries() {
                if target.binding.is_some_and(|codes| !codes.contains(&entry.value.as_str())) {
                    let value = entry.value.clone();
                    let message =
                        format!("code set `{name}` turns `{code}` into `{value}`, which this element cannot have");
                    self.problems.at(place, message);
                }
            }
        }
        for (text, at) in default.iter().chain(&otherwise) {
            if set.get(text).is_none() && (shape != CodeShape::Code || !self.bound(text, target, at)) {
                if shape != CodeShape::Code {
                    self.problems.at(at, format!("`{text}` is not in code set `{name}`"));
                }
                return None;
            }
        }
        Some(Op::Codes { set, shape, default: default.map(|d| d.0), otherwise: otherwise.map(|o| o.0) })
    }
}

/// The element a row fills.
struct Target {
    many: bool,
    type_name: &'static str,
    primitive: Option<Primitive>,
    binding: Option<&'static [&'static str]>,
}

impl Row {
    /// Every path the row reads.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let own: &[Path] = match &self.source {
            RowSource::Nothing => &[],
            RowSource::First(paths) | RowSource::Lines(paths) => paths,
        };
        let conditions = self.when.iter().chain(&self.unless).flat_map(Condition::paths);
        let more: Vec<&Path> = match &self.op {
            Op::Convert { argument, .. } => argument.paths.iter().collect(),
            Op::ObservationValue { paths, .. } => paths.iter().collect(),
            Op::Refer { key, .. } => key.iter().flat_map(|part| &part.paths).collect(),
            Op::Constant(_) | Op::Codes { .. } | Op::Block(_) | Op::Patient => Vec::new(),
        };
        own.iter().chain(conditions).chain(more)
    }
}

impl Condition {
    fn paths(&self) -> &[Path] {
        match self {
            Condition::Valued(path) | Condition::Absent(path) | Condition::In(path, _) | Condition::NotIn(path, _) => {
                std::slice::from_ref(path)
            }
            Condition::Differ(paths) => paths,
            Condition::SegmentValued(_) | Condition::Count { .. } | Condition::Pattern(_) => &[],
        }
    }
}
