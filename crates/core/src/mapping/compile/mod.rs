//! Compiles a mapping file: every name in it is checked against the FHIR element table, the code sets and the
//! conversions, and every problem is reported with its place.
//!
//! A file with a problem gives no plan; what compiles can only fail on the content of a message. Here: files, messages and
//! writes; `conditions` reads paths, keys and conditions, `rows` the rows and what fills them.

mod change;
mod conditions;
mod reach;
mod resources;
mod rows;
mod sense;
mod values;

pub use reach::unreachable;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::codes::CodeSet;
use super::plan::{BlockId, Gate, MessagePlan, PatientPlan, Plan, Profile, Read, Row, Work, WritePlan};
use crate::fhir;
use crate::hl7v2::{self, Path, SegmentName};
use crate::nearest::nearest;
use crate::record::{Policy, Unknown};
use crate::source::{self, Place, Problems, Source, Table, Value};

/// The mapping files and code sets of a configuration, by name.
#[derive(Debug, Clone, Default)]
pub struct Library {
    files: BTreeMap<String, Arc<Source>>,
    /// Files without messages that others include: they hold what mappings share and are none themselves.
    shared: HashSet<String>,
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
        let files: BTreeMap<String, Arc<Source>> = mappings.into_iter().collect();
        let (mut shared, mut mappings) = (HashSet::new(), HashSet::new());
        for (file, source) in &files {
            // What is wrong in the file is told when it is compiled.
            let mut unread = Problems::default();
            let mut table = source::parse(source, &mut unread);
            shared.extend(table.texts("include", &mut unread).into_iter().map(|given| given.0));
            if table.has("message") {
                mappings.insert(file.clone());
            }
        }
        shared.retain(|file| !mappings.contains(file));
        Library { files, shared, codes }
    }

    /// The code set of a name.
    pub fn codes(&self, name: &str) -> Option<&Arc<CodeSet>> {
        self.codes.get(name)
    }

    /// Every code set.
    pub fn code_sets(&self) -> impl Iterator<Item = &Arc<CodeSet>> {
        self.codes.values()
    }

    /// Names of the mappings: every file that has messages or that no other includes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().filter(|file| !self.shared.contains(*file)).map(|file| file.trim_end_matches(".toml"))
    }
}

/// Compiles the mapping `name`; `None` when it has problems, all of which are added to `problems`.
pub fn compile(library: &Library, name: &str, problems: &mut Problems) -> Option<Plan> {
    compile_changed(library, name, &FeedChange::default(), problems)
}

/// What a feed changes of the mapping it names (docs/mappings.md).
#[derive(Debug, Clone, Default)]
pub struct FeedChange {
    /// `[change]`: rows added, replaced and removed.
    pub rows: Option<Value>,
    /// `[codes]`: code sets that others take the place of.
    pub codes: Option<Value>,
}

/// Compiles a mapping with what a feed changes of it.
pub fn compile_changed(library: &Library, name: &str, change: &FeedChange, problems: &mut Problems) -> Option<Plan> {
    let before = problems.len();
    let chain = chain(library, name, problems)?;
    let mut compiler = Compiler {
        library,
        rows: HashMap::new(),
        checks: HashMap::new(),
        writes: HashMap::new(),
        nestings: Vec::new(),
        other_codes: HashMap::new(),
        profile: Profile::Phr,
        in_value: false,
        own_parts: Vec::new(),
        parts: HashMap::new(),
        segments: HashSet::new(),
        events: HashMap::new(),
        places: HashMap::new(),
        faulty: HashSet::new(),
        whole: true,
        compiled: HashMap::new(),
        open: Vec::new(),
        blocks: Vec::new(),
        gates: Vec::new(),
        check_gates: Vec::new(),
        write_gates: Vec::new(),
        passed: Vec::new(),
        shut: Vec::new(),
        used: HashSet::new(),
        reads: Vec::new(),
        grouped: false,
        problems,
    };
    let mut files = Vec::new();
    let (mut own, mut tables) = (Vec::new(), Vec::new());
    for (index, (file, source)) in chain.iter().enumerate().rev() {
        let broken = compiler.problems.syntax_errors();
        let mut table = source::parse(source, compiler.problems);
        table.take("base");
        if index + 1 == chain.len() {
            compiler.profile = profile(&mut table, source, compiler.problems);
        }
        files.push(file.clone());
        own = compiler.include(&mut table, &mut files);
        compiler.whole &= compiler.problems.syntax_errors() == broken;
        if let Some(change) = table.take("change") {
            compiler.change(&change);
        }
        if let Some(codes) = table.take("codes") {
            compiler.exchange_codes(&codes);
        }
        tables.push(table);
    }
    if let Some(rows) = &change.rows {
        compiler.change(rows);
    }
    if let Some(codes) = &change.codes {
        compiler.exchange_codes(codes);
    }
    let mut messages: Vec<MessagePlan> = Vec::new();
    for mut table in tables {
        let given = table.tables("message", compiler.problems);
        messages.extend(given.into_iter().filter_map(|message| compiler.message(message)));
        table.finish(compiler.problems);
    }
    let profile = compiler.profile;
    let source = &chain[0].1;
    // A write that could not be read uses nothing, so this is only told of a file that is right otherwise.
    if compiler.problems.len() == before {
        compiler.codes_in_vain();
    }
    let right = compiler.problems.len() == before;
    for (kind, name, place) in own {
        if right && !compiler.used.contains(&(kind, name.clone())) {
            compiler.problems.hint(&place, format!("{kind} `{name}` are used nowhere"), "use them or delete them");
        }
    }
    if right && messages.is_empty() {
        let hint = "add one with `events` and `patient`, or include the file in a mapping when it is no mapping itself";
        compiler.problems.hint(&Place::start(source), "the mapping has no `[[message]]`", hint);
    }
    let shut = if right { compiler.shut_gates() } else { Vec::new() };
    let (blocks, passed) = (compiler.blocks, compiler.passed);
    (problems.len() == before).then(|| Plan { name: name.to_owned(), profile, messages, blocks, passed, shut })
}

/// The file of a mapping, and those it is based on, the root last.
fn chain(library: &Library, name: &str, problems: &mut Problems) -> Option<Vec<(String, Arc<Source>)>> {
    let mut chain: Vec<(String, Arc<Source>)> = Vec::new();
    let (mut name, mut named): (String, Option<Place>) = (name.to_owned(), None);
    loop {
        let file = format!("{name}.toml");
        let Some(source) = library.files.get(&file) else {
            let hint = source::meant(&name, library.names(), "there are");
            let message = format!("there is no mapping `{name}`");
            match &named {
                Some(place) => problems.hint(place, message, hint),
                None => problems.general(message, hint),
            }
            return None;
        };
        if let Some(place) = named.as_ref().filter(|_| chain.iter().any(|(earlier, _)| *earlier == file)) {
            problems.hint(place, format!("`{name}` is based on itself"), "base it on another mapping");
            return None;
        }
        chain.push((file, source.clone()));
        // What is wrong in the file is told when it is read whole.
        let mut unread = Problems::default();
        match source::parse(source, &mut unread).text("base", &mut unread) {
            Some((base, place)) => (name, named) = (base, Some(place)),
            None => return Some(chain),
        }
    }
}

/// The published behaviour that a mapping follows.
fn profile(table: &mut Table, source: &Arc<Source>, problems: &mut Problems) -> Profile {
    match table.text("profile", problems) {
        Some((text, _)) if text == "phr" => Profile::Phr,
        Some((text, _)) if text == "v2-to-fhir" => Profile::V2ToFhir,
        Some((text, place)) => {
            problems.hint(&place, format!("unknown profile `{text}`"), "write `phr` or `v2-to-fhir`");
            Profile::Phr
        }
        None => {
            let hint = "add `profile = \"phr\"`, or include the file in a mapping when it is no mapping itself";
            problems.absent(&Place::start(source), "`profile` is missing", hint);
            Profile::Phr
        }
    }
}

struct Compiler<'a> {
    library: &'a Library,
    rows: HashMap<String, (Place, Value)>,
    checks: HashMap<String, (Place, Value)>,
    writes: HashMap<String, (Place, Value)>,
    /// Code sets that others take the place of, with the places of both names.
    other_codes: HashMap<String, (String, Place, Place)>,
    /// What `each` of the message at hand goes through.
    nestings: Vec<sense::Nesting>,
    profile: Profile,
    /// Rows are compiled that stand at a value, so that paths may be relative to it.
    in_value: bool,
    /// What the rows at hand read of the value they stand at: `.`, `.4`, `.4.1`.
    own_parts: Vec<(Path, Place)>,
    /// The same for compiled blocks.
    parts: HashMap<BlockId, Vec<(Path, Place)>>,
    compiled: HashMap<(String, &'static str, bool), BlockId>,
    /// Blocks being compiled, to refuse circles.
    open: Vec<String>,
    blocks: Vec<Vec<Row>>,
    /// The conditions of each row of each block, those of a `use` around it first.
    gates: Vec<Vec<Vec<Gate>>>,
    /// The conditions of the checks of the message at hand.
    check_gates: Vec<Gate>,
    /// Those of its writes, with what fills them.
    write_gates: Vec<(Gate, Option<BlockId>)>,
    /// Gates that some message goes through.
    passed: Vec<Place>,
    /// Gates where messages come and none goes on: gate, condition and events.
    shut: Vec<(Place, Place, String)>,
    used: HashSet<(&'static str, String)>,
    /// Segments that the files declare as a site's own.
    segments: HashSet<SegmentName>,
    /// Where each event is named.
    events: HashMap<(String, String), Place>,
    /// Where the message at hand names each segment; rows compiled for an earlier message have no entry.
    places: HashMap<SegmentName, Place>,
    /// Blocks with a problem: what they do not fill may just not have been understood.
    faulty: HashSet<BlockId>,
    /// False when a file is missing or has broken syntax, so that something named may be defined in what could not be read.
    whole: bool,
    reads: Vec<Read>,
    grouped: bool,
    problems: &'a mut Problems,
}
impl Compiler<'_> {
    /// Takes `segments`, `[rows]`, `[checks]`, `[writes]` and the included files; returns what this file defines.
    fn include(&mut self, table: &mut Table, files: &mut Vec<String>) -> Vec<(&'static str, String, Place)> {
        let mut own = Vec::new();
        for (name, place) in table.texts("segments", self.problems) {
            match SegmentName::parse(&name) {
                Some(segment) => drop(self.segments.insert(segment)),
                None => {
                    let hint = "three capitals or digits, e.g. `ZPV`";
                    self.problems.hint(&place, format!("`{name}` is no segment name"), hint);
                }
            }
        }
        for kind in ["rows", "checks", "writes"] {
            let Some(mut named) = table.table(kind, self.problems) else { continue };
            for (name, place, value) in named.take_all() {
                // Rows that only other mappings use are looked at no further.
                let named = |item: &Value| kind == "checks" && item.as_text().is_some();
                if let Some(item) =
                    source::one_or_many(&value).iter().find(|item| item.as_table().is_none() && !named(item))
                {
                    let hint = format!("write `{name} = [{{ … }}]`");
                    self.problems.hint(&item.place, format!("{kind} `{name}` must be a list of tables"), hint);
                }
                own.push((kind, name.clone(), place.clone()));
                let all = match kind {
                    "rows" => &mut self.rows,
                    "checks" => &mut self.checks,
                    _ => &mut self.writes,
                };
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
                let hint = self.near(&file, self.library.files.keys().filter(|name| !files.contains(name)));
                self.problems.hint(&place, format!("there is no file `{file}` beside this one"), hint);
                self.whole = false;
                continue;
            };
            files.push(file);
            let mut included = source::parse(source, self.problems);
            if included.has("message") {
                let hint = "move what both need to a file without `[[message]]` and `profile`, and include that";
                self.problems.hint(&place, "this is a mapping itself, and a mapping cannot be included", hint);
                self.whole = false;
                continue;
            }
            self.include(&mut included, files);
            included.finish(self.problems);
        }
        own
    }

    fn message(&mut self, mut table: Table) -> Option<MessagePlan> {
        self.grouped = false;
        self.reads.clear();
        self.check_gates.clear();
        let mut events = Vec::new();
        let given = table.texts("events", self.problems);
        if given.is_empty() {
            self.problems.absent(table.place(), "`events` is missing", "add `events = [\"ADT^A28\"]`");
        }
        for (text, place) in given {
            events.extend(self.event(&text, &place).map(|event| (event, place)));
        }
        let checks = match table.take("checks") {
            Some(value) => self.checks_of(&value),
            None => Vec::new(),
        };
        // A check may well ask for what a message should not hold, and what it looks at goes nowhere.
        self.reads.clear();
        self.places.clear();
        self.nestings.clear();
        self.write_gates.clear();
        let work = match self.profile {
            Profile::Phr => self.record(&mut table),
            Profile::V2ToFhir => self.resources(&mut table),
        };
        table.finish(self.problems);
        for (event, place) in &events {
            self.read_in_vain(event, place);
        }
        if let Some((event, _)) = events.first() {
            self.nested_in_vain(event);
        }
        if let Some(work) = work.as_ref().filter(|_| self.whole) {
            self.references(work);
        }
        let events: Vec<(String, String)> = events.into_iter().map(|(event, _)| event).collect();
        let (checked, written) = (std::mem::take(&mut self.check_gates), std::mem::take(&mut self.write_gates));
        let patient = match &work {
            Some(Work::Record { patient, .. }) => Some(patient.rows),
            Some(Work::Resources(_)) | None => None,
        };
        self.reach(&events, &checked, &written, patient);
        for path in ["MSH-3", "MSH-4", "MSH-5", "MSH-6", "MSH-7", "MSH-9", "MSH-10", "MSH-11", "MSH-12", "MSH-18"] {
            if let Ok(path) = Path::parse(path) {
                self.reads_path(&path, true);
            }
        }
        let reads = std::mem::take(&mut self.reads);
        Some(MessagePlan { events, grouped: self.grouped, checks, work: work?, reads })
    }

    /// What a message does to one patient's record.
    fn record(&mut self, table: &mut Table) -> Option<Work> {
        // Identifiers are read without rows.
        for path in ["PID-2", "PID-3"] {
            if let Ok(path) = Path::parse(path) {
                self.reads_path(&path, true);
            }
        }
        let patient = match table.table("patient", self.problems) {
            Some(patient) => self.patient(patient),
            None => {
                let hint = "add `patient = { policy = \"match\", rows = \"patient\" }`";
                self.problems.absent(table.place(), "`patient` is missing: whose record is it?", hint);
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
        Some(Work::Record { patient: patient?, teams, writes })
    }

    /// A message type, as `ADT^A28`; the second place that names one is a problem.
    fn event(&mut self, text: &str, place: &Place) -> Option<(String, String)> {
        let event = match text.split_once('^') {
            // Trigger events are three characters as segment names are.
            Some((code, trigger)) if code.len() == 3 && SegmentName::parse(trigger).is_some() => {
                (code.to_owned(), trigger.to_owned())
            }
            _ => {
                let hint = "write message code and trigger event like `ADT^A28`, without the structure";
                self.problems.hint(place, format!("`{text}` is no message type"), hint);
                return None;
            }
        };
        if !event.0.starts_with('Z') && !hl7v2::message_codes().any(|code| code == event.0) {
            let hint = match nearest(&event.0, hl7v2::message_codes()) {
                Some(near) => format!("did you mean `{near}^{}`?", event.1),
                None => "write it like `ADT^A28`; message types of your own begin with Z".to_owned(),
            };
            self.problems.hint(place, format!("HL7 v2 has no messages `{}`", event.0), hint);
            return None;
        }
        match self.events.get(&event) {
            Some(earlier) => {
                let (line, _) = earlier.line_and_column();
                let hint = format!("line {line} names it first; keep it in one `[[message]]`");
                self.problems.hint(place, format!("{text} is handled already"), hint);
                None
            }
            None => {
                self.events.insert(event.clone(), place.clone());
                Some(event)
            }
        }
    }

    fn patient(&mut self, mut table: Table) -> Option<PatientPlan> {
        let demographics = match table.required_text("policy", self.problems) {
            Some((text, _)) if text == "merge" => true,
            Some((text, _)) if text == "match" => false,
            Some((text, place)) => {
                self.problems.hint(
                    &place,
                    format!("unknown policy `{text}` for a patient"),
                    "write `merge` or `match`",
                );
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
                    let hint = "write `replace`, `merge`, `set`, `append` or `delete`";
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
                let message = format!("unknown value `{text}` of `unknown`");
                self.problems.hint(&place, message, "write `create` or `ignore`");
                Unknown::Create
            }
        };
        let each = self.each(&mut table);
        let gate = self.gate(&mut table, "when");
        let labels = table.texts("label", self.problems);
        let key = match table.take("key") {
            Some(value) => {
                let key = self.key(&value, &labels);
                if let Some((_, place)) =
                    labels.last().filter(|_| labels.len() < key.iter().filter(|part| !part.optional).count())
                {
                    self.problems.hint(place, "fewer labels than parts of the key", "give one label for each part");
                }
                if let Some((_, place)) = labels.get(key.len().max(1)) {
                    self.problems.hint(place, "more labels than parts of the key", "give one label for each part");
                }
                key
            }
            None => {
                self.problems.absent(table.place(), "`key` is missing: the sender's id", "add `key = \"SCH-1.1\"`");
                Vec::new()
            }
        };
        let apart = table.text("apart", self.problems).map(|given| given.0);
        let identifier = self.paths(&mut table, "identifier");
        let group = self.paths(&mut table, "group");
        let whole_group = table.boolean("whole-group", self.problems).unwrap_or(false);
        let once = table.boolean("once", self.problems).unwrap_or(false);
        let at = self.paths(&mut table, "at");
        let item = table.text("item", self.problems).and_then(|given| self.event_kind(given));
        let item = item.map(|kind| (Arc::from(kind), at));
        let deletes = item.is_none() && matches!(policy, Some((Policy::Delete, _)));
        let rows = match deletes {
            true => None,
            false => table.required_text("rows", self.problems),
        };
        let sets = table.has("only");
        let only = self.elements(&mut table, "only", resource);
        let sum = table.boolean("sum", self.problems).unwrap_or(false);
        if sum && (resource != "DiagnosticReport" || !matches!(policy, Some((Policy::Replace, _)))) {
            let hint = "leave it out, or write a DiagnosticReport with the policy `replace`";
            self.problems.hint(table.place(), "`sum` is for reports that are replaced", hint);
        }
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
            && !sets
        {
            self.problems.hint(place, "policy `set` needs `only`", "list the elements, e.g. `only = [\"status\"]`");
        }
        table.finish(self.problems);
        let rows = match (rows, deletes) {
            (Some(given), _) => {
                let rows = self.block_of(&given, resource)?;
                self.required_elements(rows, resource, &given.1);
                Some(rows)
            }
            (None, true) => None,
            (None, false) => return None,
        };
        let when = gate.when();
        self.write_gates.push((gate, rows));
        Some(WritePlan {
            resource,
            policy: policy?.0,
            unknown,
            each,
            when,
            key,
            apart,
            identifier,
            group,
            whole_group,
            once,
            item,
            rows,
            only,
            sum,
            specialty,
            service,
        })
    }

    /// Elements that FHIR requires and no row fills, told once for a block.
    pub(super) fn required_elements(&mut self, rows: BlockId, resource: &str, place: &Place) {
        if !self.whole || self.faulty.contains(&rows) {
            return;
        }
        let Some(kind) = fhir::r4().type_named(resource) else { return };
        for element in kind.elements().iter().filter(|element| element.min() > 0) {
            let filled = self.blocks[rows].iter().any(|row| match row.path.first() {
                Some(step) => step.name == element.name() || element.choice().is_some_and(|c| step.choice == Some(c)),
                None => true,
            });
            if !filled && element.choice().is_none() {
                let message = format!("no row fills `{}`, which FHIR requires of {resource}", element.name());
                self.problems.hint(place, message, format!("add a row with `to = \"{}\"`", element.name()));
                self.faulty.insert(rows);
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
                    None => self.problems.hint(place, message, "write it as FHIR does, e.g. `Appointment`"),
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
        source::meant(name, names, "there are")
    }
}
