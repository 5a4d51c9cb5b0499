//! Organisations of the configuration: teams, identifiers, labels.

use std::collections::HashMap;
use std::sync::Arc;

use fairway_care::{Label, LabelSet, Organisation, Team, TeamKind};
use fairway_core::mapping::{IdentifierType, read_identifiers};
use fairway_core::record::IdentifierKind;
use fairway_core::source::{Place, Problems, Table, Value};

use super::Credential;

/// An organisation with what its feeds need of it.
pub(super) struct ConfiguredOrganisation {
    /// Where the configuration names it.
    pub(super) place: Place,
    pub(super) organisation: Arc<Organisation>,
    /// Its own identifiers.
    pub(super) identifiers: Vec<IdentifierType>,
    pub(super) specialty_labels: HashMap<String, Label>,
    pub(super) service_labels: HashMap<String, Label>,
    pub(super) credentials: Vec<Credential>,
}

pub(super) fn read(mut table: Table, problems: &mut Problems) -> Option<ConfiguredOrganisation> {
    let place = table.place().clone();
    let code = table.required_text("code", problems);
    let name = table.required_text("name", problems);
    let teams: Vec<Team> =
        table.tables("team", problems).into_iter().filter_map(|team| read_team(team, problems)).collect();
    let identifiers = table.tables("identifier", problems);
    let identifiers = read_identifiers(identifiers, IdentifierKind::Local, problems);
    let mut labels = table.table("labels", problems);
    let mut read_labels = |name: &'static str, problems: &mut Problems| {
        let table = labels.as_mut().and_then(|labels| labels.table(name, problems));
        table.map(|table| labels_of(table, problems)).unwrap_or_default()
    };
    let specialty_labels = read_labels("specialty", problems);
    let service_labels = read_labels("service", problems);
    if let Some(labels) = labels {
        labels.finish(problems);
    }
    let credentials = table.tables("credential", problems);
    table.finish(problems);
    let (code, code_place) = code?;
    match Organisation::new(&code, &name?.0, teams) {
        Ok(organisation) => Some(ConfiguredOrganisation {
            credentials: credentials
                .into_iter()
                .filter_map(|given| credential(given, &organisation, problems))
                .collect(),
            place: code_place,
            organisation: Arc::new(organisation),
            identifiers,
            specialty_labels,
            service_labels,
        }),
        Err(error) => {
            problems.hint(&place, error.to_string(), "see `[[organisation.team]]` in config.example.toml");
            None
        }
    }
}

fn credential(mut table: Table, organisation: &Organisation, problems: &mut Problems) -> Option<Credential> {
    let user = table.required_text("user", problems);
    let password = table.required_text("password-sha256", problems).and_then(|(text, place)| {
        let digest = digest(&text);
        if digest.is_none() {
            let hint =
                "64 hexadecimal digits: `printf %s \"$PASSWORD\" | sha256sum`, of a long password made by chance";
            problems.hint(&place, "this is no SHA-256 digest", hint);
        }
        digest
    });
    let team = table.text("team", problems);
    if let Some((alias, place)) = &team
        && organisation.team(alias).is_none()
    {
        let aliases: Vec<&str> = organisation.teams().iter().map(|team| team.alias.as_str()).collect();
        let hint = format!("one of: {}", aliases.join(", "));
        problems.hint(place, format!("`{alias}` is no team of this organisation"), hint);
    }
    table.finish(problems);
    let (user, place) = user?;
    if user.is_empty() || user.contains(':') {
        problems.hint(&place, "a user name has at least one character and no `:`", "choose another");
    }
    Some(Credential {
        user,
        password_sha256: password?,
        organisation: organisation.code().to_owned(),
        team: team.map(|(alias, _)| alias),
    })
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

fn read_team(mut table: Table, problems: &mut Problems) -> Option<Team> {
    let alias = table.required_text("alias", problems);
    let name = table.required_text("name", problems);
    let kind = match table.text("kind", problems) {
        None => TeamKind::Speciality,
        Some((text, _)) if text == "patient-record" => TeamKind::PatientRecord,
        Some((text, _)) if text == "speciality" => TeamKind::Speciality,
        Some((text, place)) => {
            problems.hint(&place, format!("unknown kind of team `{text}`"), "`patient-record` or `speciality`");
            TeamKind::Speciality
        }
    };
    let access: LabelSet =
        table.texts("access", problems).iter().filter_map(|(text, place)| label(text, place, problems)).collect();
    table.finish(problems);
    Some(Team::new(&alias?.0, &name?.0, kind, access))
}

fn labels_of(mut table: Table, problems: &mut Problems) -> HashMap<String, Label> {
    let mut labels = HashMap::new();
    for (code, _, value) in table.take_all() {
        if let Some(label) = label_value(&value, problems) {
            labels.insert(code, label);
        }
    }
    labels
}

fn label_value(value: &Value, problems: &mut Problems) -> Option<Label> {
    match value.as_text() {
        Some(text) => label(text, &value.place, problems),
        None => {
            problems.hint(&value.place, "a label must be a string", "write it like `\"710\" = \"MENTAL_HEALTH\"`");
            None
        }
    }
}

fn label(text: &str, place: &Place, problems: &mut Problems) -> Option<Label> {
    let found = Label::from_code(text);
    if found.is_none() {
        let codes: Vec<&str> = Label::ALL.iter().map(|label| label.code()).collect();
        problems.hint(place, format!("`{text}` is no privacy label"), format!("one of: {}", codes.join(", ")));
    }
    found
}
