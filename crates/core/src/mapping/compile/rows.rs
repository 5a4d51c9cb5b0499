//! Reads rows: the element each fills, where its value comes from, and whether the two fit.
//!
//! A row that compiles makes a value of the right type, whatever a message holds.

use super::Compiler;
use super::values::Target;
use crate::fhir::{self, Json, Kind, Primitive, Type};
use crate::hl7v2::Path;
use crate::mapping::convert::{self, Conversion, VALUE_ELEMENTS};
use crate::mapping::plan::{Argument, BlockId, Condition, Gate, Need, Op, Profile, Row, Source as RowSource};
use crate::record::{ElementPath, Step};
use crate::source::{self, Place, Table};

impl Compiler<'_> {
    /// The compiled rows of a name for elements of one type, which stand at each value of these paths when there are any.
    pub(super) fn block_at(
        &mut self,
        named: &(String, Place),
        type_name: &'static str,
        values: &[Path],
    ) -> Option<BlockId> {
        if values.is_empty() {
            return self.block_of(named, type_name);
        }
        let outer = (self.in_value, std::mem::take(&mut self.own_parts));
        self.in_value = true;
        let block = self.block_of(named, type_name);
        self.in_value = outer.0;
        self.own_parts = outer.1;
        let block = block?;
        let own = self.parts.get(&block).cloned().unwrap_or_default();
        for path in values {
            match path.segment {
                Some(_) => {
                    self.parts_in_vain(path, &own);
                    parts_of(path, &own).iter().for_each(|path| self.reads_path(path, false));
                }
                None => self.own_parts.push((path.clone(), named.1.clone())),
            }
        }
        Some(block)
    }

    /// The compiled rows of a name for elements of one type.
    pub(super) fn block_of(&mut self, (name, place): &(String, Place), type_name: &'static str) -> Option<BlockId> {
        self.used.insert(("rows", name.clone()));
        if let Some(&block) = self.compiled.get(&(name.clone(), type_name, self.in_value)) {
            // What an earlier message read through these rows is read again here.
            self.reads_again(block);
            self.own_parts.extend(self.parts.get(&block).into_iter().flatten().cloned());
            return Some(block);
        }
        let before = self.problems.len();
        let outer = std::mem::take(&mut self.own_parts);
        let rows = self.rows_of(name, place, type_name);
        let mut own = std::mem::replace(&mut self.own_parts, outer);
        own.sort_by_key(|(path, place)| (path.component, path.subcomponent, place.span.start));
        own.dedup();
        self.own_parts.extend(own.iter().cloned());
        let (mut rows, gates): (Vec<Row>, Vec<Vec<Gate>>) = rows?.into_iter().unzip();
        // Rows for one element share its path, so that a translation need not compare paths step by step.
        for index in 1..rows.len() {
            let (earlier, later) = rows.split_at_mut(index);
            if let Some(same) = earlier.iter().find(|row| row.path == later[0].path) {
                later[0].path = same.path.clone();
            }
        }
        self.filled_in_vain(&rows);
        self.never_needed(&rows);
        self.blocks.push(rows);
        self.gates.push(gates);
        let block = self.blocks.len() - 1;
        self.parts.insert(block, own);
        if self.problems.len() > before {
            self.faulty.insert(block);
        }
        self.compiled.insert((name.clone(), type_name, self.in_value), block);
        Some(block)
    }

    /// Reports what rows read of the values of a path and no version of HL7 v2 has there.
    fn parts_in_vain(&mut self, path: &Path, parts: &[(Path, Place)]) {
        for (part, place) in parts.iter().filter(|_| path.component.is_none()) {
            let whole = Path { component: part.component, subcomponent: part.subcomponent, ..path.clone() };
            self.has(&whole, &part.to_string(), place);
        }
    }

    fn reads_again(&mut self, block: BlockId) {
        let mut open = vec![block];
        let mut paths: Vec<(Path, bool)> = Vec::new();
        while let Some(block) = open.pop() {
            for row in &self.blocks[block] {
                self.grouped |= !row.each.is_empty() || matches!(row.source, RowSource::Lines(_));
                if let (RowSource::First(values), Op::Block(inner) | Op::Make { block: inner, .. }) =
                    (&row.source, &row.op)
                {
                    let parts = self.parts.get(inner).map(Vec::as_slice).unwrap_or_default();
                    paths.extend(values.iter().flat_map(|path| parts_of(path, parts)).map(|path| (path, false)));
                }
                paths.extend(row.paths().map(|path| (path.clone(), false)));
                paths.extend(row.read_whole().iter().map(|path| (path.clone(), true)));
                if let Op::Block(inner) | Op::Make { block: inner, .. } = row.op {
                    open.push(inner);
                }
            }
        }
        paths.iter().for_each(|(path, all)| self.reads_path(path, *all));
    }

    fn rows_of(&mut self, name: &str, place: &Place, type_name: &'static str) -> Option<Vec<(Row, Vec<Gate>)>> {
        let Some((_, value)) = self.rows.get(name).cloned() else {
            if !self.whole {
                self.problems.follows();
                return None;
            }
            let hint = self.near(name, self.rows.keys());
            self.problems.hint(place, format!("there are no rows `{name}`"), hint);
            return None;
        };
        if self.open.iter().any(|open| open == name) {
            let hint = format!("name other rows here: `{name}` lead back to this row");
            self.problems.hint(place, format!("rows `{name}` contain themselves"), hint);
            return None;
        }
        self.open.push(name.to_owned());
        let mut rows = Vec::new();
        for item in source::one_or_many(&value) {
            match item.as_table() {
                Some(table) => rows.extend(self.row(table, type_name)),
                // Told where the rows were taken.
                None => self.problems.follows(),
            }
        }
        self.open.pop();
        Some(rows)
    }

    /// A row with its conditions as they are written, or those that it uses.
    fn row(&mut self, mut table: Table, type_name: &'static str) -> Vec<(Row, Vec<Gate>)> {
        let place = table.place().clone();
        let before = self.problems.len();
        if let Some((name, at)) = table.text("use", self.problems) {
            let gate = self.gate(&mut table, "when");
            table.finish(self.problems);
            self.used.insert(("rows", name.clone()));
            let mut rows = self.rows_of(&name, &at, type_name).unwrap_or_default();
            for (row, gates) in &mut rows {
                row.when.splice(0..0, gate.when());
                gates.insert(0, gate.clone());
            }
            return rows;
        }
        // Rows may stand at each value of `from`.
        let sources: Vec<&str> =
            SOURCES.into_iter().filter(|name| table.has(name) && !(*name == "from" && table.has("rows"))).collect();
        if sources.len() > 1 {
            let message = format!("a row has one source, and this has `{}`", sources.join("` and `"));
            self.problems.hint(&place, message, "keep one of them");
        }
        if table.has("codes") && table.has("as") {
            self.problems.hint(&place, "`codes` and `as` exclude each other", "keep one of them");
        }
        let each = self.each(&mut table);
        let gate = self.gate(&mut table, "when");
        let when = gate.when();
        let unless = self.gate(&mut table, "unless").when();
        let outside = self.segments_of(&mut table, "outside");
        let fallback = table.boolean("fallback", self.problems).unwrap_or(false);
        let latest = table.boolean("latest", self.problems).unwrap_or(false);
        let issue = table.text("issue", self.problems);
        if let Some((_, at)) = issue.as_ref().filter(|_| !table.has("default")) {
            self.problems.hint(
                at,
                "`issue` is told when a default is used, and the row has none",
                "add `default = \"…\"`",
            );
        }
        let issue = issue.map(|(text, _)| text);
        let reads = self.reads.len();
        let from = self.paths(&mut table, "from");
        if table.has("rows") {
            // Only what the rows read of each value is read.
            self.reads.truncate(reads);
        }
        let lines = self.paths(&mut table, "lines");
        let source = match (from.is_empty(), lines.is_empty()) {
            (false, true) => RowSource::First(from),
            (true, false) => {
                self.grouped = true;
                if lines.iter().any(|path| path.to_string() == "OBX-5") {
                    // What type the line is of, and its unit.
                    self.implied("OBX-2", table.place());
                    self.implied("OBX-6", table.place());
                }
                RowSource::Lines(lines)
            }
            (true, true) => RowSource::Nothing,
            // Told above.
            (false, false) => RowSource::Nothing,
        };
        let need = match table.text("need", self.problems) {
            None => Need::Never,
            Some((text, _)) if text == "create" => Need::Create,
            Some((text, _)) if text == "always" => Need::Always,
            Some((text, _)) if text == "rows" => Need::Rows,
            Some((text, at)) => {
                self.problems.hint(&at, format!("unknown need `{text}`"), "write `create`, `always` or `rows`");
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
                self.problems.hint(&at, format!("unknown null `{text}`"), "write `delete` or `keep`");
                false
            }
        };
        let id = table.text("id", self.problems);
        let to = table.required_text("to", self.problems);
        let named = table.text("as", self.problems);
        let conversion = match named {
            None => Some(Conversion::Text),
            Some((name, at)) => match Conversion::named(&name) {
                Some(conversion) => Some(conversion),
                None => {
                    let names = convert::CONVERSIONS.iter().map(|doc| doc.name);
                    let hint = source::meant(&name, names, "there are");
                    self.problems.hint(&at, format!("unknown conversion `{name}`"), hint);
                    None
                }
            },
        };
        let Some((to, to_place)) = to else { return Vec::new() };
        let Some(conversion) = conversion else {
            self.element_path(&to, &to_place, type_name);
            return Vec::new();
        };
        let Some((path, target)) = self.target(&to, &to_place, type_name, conversion) else { return Vec::new() };
        let op = self.op(&mut table, &source, conversion, &target, &to_place, before);
        let Some(op) = op else {
            // Keys that were not come to are no unknown ones.
            for name in [
                "value", "rows", "make", "refer", "of", "same", "key", "codes", "any-case", "with", "title", "plus",
                "identity", "delay", "unit",
            ] {
                table.take(name);
            }
            table.finish(self.problems);
            return Vec::new();
        };
        table.finish(self.problems);
        let many = target.many && path.last().is_some_and(|step| step.index.is_none());
        if let Some((_, at)) = id.as_ref().filter(|_| !many || target.primitive.is_some()) {
            self.problems.hint(
                at,
                "`id` is for the items of a repeating element with elements of its own",
                "leave it out",
            );
        }
        let id = id.map(|(id, _)| id);
        let row = Row {
            path,
            many,
            each,
            when,
            unless,
            outside,
            source,
            op,
            need,
            label,
            missing,
            id,
            null_deletes,
            fallback,
            latest,
            issue,
            place,
        };
        row.read_whole().iter().for_each(|path| self.reads_path(path, true));
        vec![(row, vec![gate])]
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
                Target { many: false, type_name: "Observation.value[x]", primitive: None, binding: None, targets: &[] },
            ));
        }
        let (path, element) = self.element_path(to, place, type_name)?;
        let primitive = match element.kind() {
            Kind::Primitive(primitive) => Some(primitive),
            _ => None,
        };
        let binding = element.binding();
        Some((
            path,
            Target {
                many: element.many(),
                type_name: element.type_name(),
                primitive,
                binding,
                targets: element.targets(),
            },
        ))
    }

    /// Resolves `name.given[0]` below a type.
    pub(super) fn element_path(
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
                        let hint = match known[..] {
                            [] => "it is a plain value without parts: end the path before it".to_owned(),
                            _ => format!("it has: {}", known.join(", ")),
                        };
                        self.problems.hint(place, message, hint);
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
        before: usize,
    ) -> Option<Op> {
        let default = table.text("default", self.problems);
        let otherwise = table.text("otherwise", self.problems);
        if let Some(value) = table.take("value") {
            return self.constant(&value, target).map(Op::Constant);
        }
        let values: &[Path] = match source {
            RowSource::First(paths) => paths,
            RowSource::Lines(_) | RowSource::Nothing => &[],
        };
        if let Some((resource, at)) = table.text("make", self.problems) {
            if target.type_name != "Reference" {
                let message = format!("`make` fills a Reference, and this is a {}", target.type_name);
                self.problems.hint(place, message, "fill it with `from`, `value` or `rows`");
                return None;
            }
            if self.profile == Profile::Phr {
                let hint = "file it by a `write` of its own, and name it with `refer` and its key";
                self.problems.hint(&at, "`make` is for the profile `v2-to-fhir`", hint);
                return None;
            }
            let resource = self.resource(&resource, &at);
            let rows = table.required_text("rows", self.problems)?;
            let resource = resource?;
            self.refers_to(resource, target.targets, &at);
            let block = self.block_at(&rows, resource, values)?;
            self.required_elements(block, resource, &rows.1);
            return Some(Op::Make { resource, block });
        }
        if let Some(rows) = table.text("rows", self.problems) {
            if target.primitive.is_some() {
                let message = format!("a {} takes a value, not rows", target.type_name);
                self.problems.hint(place, message, "write `from` or `value` instead of `rows`");
                return None;
            }
            let block = self.block_at(&rows, target.type_name, values)?;
            self.required_inside(block, target.type_name, &rows.1);
            return Some(Op::Block(block));
        }
        if let Some((resource, at)) = table.text("refer", self.problems) {
            if target.type_name != "Reference" {
                let message = format!("`refer` fills a Reference, and this is a {}", target.type_name);
                self.problems.hint(place, message, "fill it with `from`, `value` or `rows`");
                return None;
            }
            if resource == "patient" && self.profile == Profile::Phr {
                self.refers_to("Patient", target.targets, &at);
                return Some(Op::Patient);
            }
            let resource = self.resource(&resource, &at);
            if let Some(resource) = resource {
                self.refers_to(resource, target.targets, &at);
            }
            if self.profile == Profile::V2ToFhir {
                let of = table.text("of", self.problems).and_then(|(name, place)| self.segment(&name, &place));
                let same = self.same(table, of.is_some(), &at);
                return Some(Op::ReferTo { resource: resource?, of, same });
            }
            let Some(key) = table.take("key") else {
                self.problems.hint(&at, "`refer` needs the `key` of what it refers to", "the same as in its write");
                return None;
            };
            let key = self.key(&key, &[]);
            return Some(Op::Refer { resource: resource?, key });
        }
        if matches!(source, RowSource::Nothing) {
            // A source that could not be read has been told already.
            if self.problems.len() == before {
                let hint = "add `from`, `lines`, `value`, `rows` or `refer`";
                self.problems.absent(place, "the row has no source", hint);
            }
            return None;
        }
        if let Some((name, at)) = table.text("codes", self.problems) {
            let any_case = table.boolean("any-case", self.problems).unwrap_or_default();
            let (name, at) = self.codes_for(&name, &at);
            return self.codes((&name, &at), target, default, otherwise, any_case);
        }
        if let Some((_, at)) = otherwise {
            self.problems.hint(&at, "`otherwise` is for codes that a code set does not have", "add `codes = \"…\"`");
        }
        if conversion == Conversion::ObservationValue {
            // Behind the elements of one value stands that of several.
            let elements: Vec<ElementPath> = VALUE_ELEMENTS
                .iter()
                .chain(&["component"])
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
        let with = match table.text("with", self.problems) {
            Some((text, at)) if conversion == Conversion::ContactPoint => {
                let uses = self.element_path("use", &at, "ContactPoint").and_then(|found| found.1.binding());
                let use_of = Target {
                    many: false,
                    type_name: "code",
                    primitive: Some(Primitive::Code),
                    binding: uses,
                    targets: &[],
                };
                self.bound(&text, &use_of, &at).then_some(text)
            }
            Some((text, _))
                if matches!(
                    conversion,
                    Conversion::CxIdentifier
                        | Conversion::EiIdentifier
                        | Conversion::HdIdentifier
                        | Conversion::XonIdentifier
                ) =>
            {
                Some(text)
            }
            Some((_, at)) => {
                let message = format!("`{}` takes no `with`", conversion.doc().name);
                let hint = "leave it out; it is for `contact-point` and conversions of identifiers";
                self.problems.hint(&at, message, hint);
                None
            }
            None => None,
        };
        let mut paths = self.paths(table, "title");
        let unit = table.text("unit", self.problems);
        if let Some((_, at)) =
            unit.as_ref().filter(|_| !matches!(conversion, Conversion::Quantity | Conversion::Minutes))
        {
            let hint = "it is for `quantity` and `minutes`";
            self.problems.hint(at, format!("`{}` takes no `unit`", conversion.doc().name), hint);
        }
        paths.extend(unit.and_then(|given| self.path(&given)));
        if matches!(conversion, Conversion::LowOfRange | Conversion::HighOfRange) {
            paths.extend(self.implied("OBX-6", place));
        }
        if conversion == Conversion::EndOfAppointment {
            for path in ["SCH-11.4", "SCH-9.1", "SCH-10.1"] {
                paths.extend(self.implied(path, place));
            }
        }
        if conversion == Conversion::Minutes && paths.is_empty() {
            self.problems.hint(place, "`minutes` needs to know the unit", "add e.g. `unit = \"SCH-10.1\"`");
            return None;
        }
        let plus = table.take("plus").map(|value| (self.pairs(&value), value.place));
        if let Some((_, at)) = plus.as_ref().filter(|_| conversion != Conversion::Instant) {
            self.problems.hint(at, "`plus` adds a duration to a time", "add `as = \"instant\"`, or leave it out");
            return None;
        }
        let plus = plus.map(|plus| plus.0).unwrap_or_default();
        let identity = self.paths(table, "identity");
        let delay = self.paths(table, "delay").into_iter().next();
        let documents = matches!(conversion, Conversion::Attachment | Conversion::Pointer);
        if !documents && (!identity.is_empty() || delay.is_some()) {
            let hint = "they are for `attachment` and `pointer`";
            self.problems.hint(place, "`identity` and `delay` are told of documents only", hint);
        }
        let default = default.map(|(text, _)| Json::string(text));
        Some(Op::Convert { conversion, argument: Argument { with, paths, plus, identity, delay }, default })
    }
}

/// The parts of the values of a path that are read when rows stand at each.
fn parts_of(path: &Path, parts: &[(Path, Place)]) -> Vec<Path> {
    match path.component {
        Some(_) => vec![path.clone()],
        None => {
            let mut components: Vec<Option<u16>> = parts.iter().map(|(part, _)| part.component).collect();
            components.sort_unstable();
            components.dedup();
            components.into_iter().map(|component| Path { component, ..path.clone() }).collect()
        }
    }
}

/// Where a row's value may come from, one of them.
const SOURCES: [&str; 5] = ["from", "lines", "value", "rows", "refer"];

impl Row {
    /// The paths of which the row reads every repetition by itself.
    fn read_whole(&self) -> &[Path] {
        match (&self.source, &self.op) {
            (RowSource::Lines(paths), _) | (RowSource::First(paths), Op::ObservationValue { .. }) => paths,
            (RowSource::First(_) | RowSource::Nothing, _) => &[],
        }
    }

    /// Every path the row reads.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let own: &[Path] = match (&self.source, &self.op) {
            // Read as far as the block reads.
            (RowSource::First(_), Op::Block(_) | Op::Make { .. }) | (RowSource::Nothing, _) => &[],
            (RowSource::First(paths) | RowSource::Lines(paths), _) => paths,
        };
        let conditions = self.when.iter().chain(&self.unless).flat_map(Condition::paths);
        let more: Vec<&Path> = match &self.op {
            Op::Convert { argument, .. } => argument
                .paths
                .iter()
                .chain(argument.plus.iter().flatten())
                .chain(&argument.identity)
                .chain(&argument.delay)
                .collect(),
            Op::ObservationValue { paths, .. } => paths.iter().collect(),
            Op::Refer { key, .. } => key.iter().flat_map(|part| &part.paths).collect(),
            Op::ReferTo { same, .. } => same.iter().flat_map(|pair| [&pair.there, &pair.here]).collect(),
            Op::Constant(_) | Op::Codes { .. } | Op::Block(_) | Op::Make { .. } | Op::Patient => Vec::new(),
        };
        own.iter().chain(conditions).chain(more)
    }
}
