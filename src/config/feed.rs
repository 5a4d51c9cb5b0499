//! Feed files: one stream of one kind from one organisation, and which messages are its own.

use std::collections::HashMap;
use std::sync::Arc;

use fairway_core::hl7v2::{Charset, Message, ParseOptions, Zone};
use fairway_core::mapping::{self, Feed, FeedChange, IdentifierType, Library, Plan, Profile};
use fairway_core::source::{Problems, Source, meant, parse};

use super::ConfiguredFeed;
use super::organisation::ConfiguredOrganisation;

/// What a feed carries (design 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedKind {
    /// Patients and their teams.
    Demographics,
    /// Outpatient appointments.
    Appointments,
    /// Admissions, transfers, discharges.
    Encounters,
    /// Radiology reports.
    Radiology,
    /// Letters and other documents.
    Documents,
    /// Laboratory results.
    Pathology,
}

const KINDS: [(&str, FeedKind); 6] = [
    ("demographics", FeedKind::Demographics),
    ("appointments", FeedKind::Appointments),
    ("encounters", FeedKind::Encounters),
    ("radiology", FeedKind::Radiology),
    ("documents", FeedKind::Documents),
    ("pathology", FeedKind::Pathology),
];

impl FeedKind {
    /// Every word of feed files.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KINDS.iter().map(|(name, _)| *name)
    }

    /// The word in feed files.
    pub fn as_str(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// Which messages a feed takes: all that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Sending applications (MSH-3.1); empty takes any.
    pub applications: Vec<String>,
    /// Sending facilities (MSH-4.1); empty takes any.
    pub facilities: Vec<String>,
}

impl Route {
    /// How closely the route fits a message: none when it does not, higher the more it asks for.
    pub fn fit(&self, message: &Message) -> Option<usize> {
        let (application, facility) = (message.sending_application(), message.sending_facility());
        let fits = |wanted: &[String], text: &str| wanted.is_empty() || wanted.iter().any(|one| one == text.trim());
        (fits(&self.applications, &application) && fits(&self.facilities, &facility))
            .then_some(usize::from(!self.applications.is_empty()) + usize::from(!self.facilities.is_empty()))
    }
}

impl ConfiguredFeed {
    /// The feed as it is for a sender with the credentials of a team, or that names a character set beside the message.
    pub fn for_sender(&self, team: Option<&str>, charset: Option<Charset>) -> ConfiguredFeed {
        let default_charset = charset.unwrap_or(self.parse.default_charset);
        let source_team = team.map(str::to_owned).or_else(|| self.feed.source_team.clone());
        ConfiguredFeed {
            feed: Feed { source_team, ..self.feed.clone() },
            kind: self.kind,
            routes: self.routes.clone(),
            parse: ParseOptions { default_charset, ..self.parse.clone() },
        }
    }

    /// How closely the feed fits a message by MSH-9, MSH-3 and MSH-4; none when the message is not its own.
    pub fn fit(&self, message: &Message) -> Option<usize> {
        if !self.feed.plan.handles(&message.code(), &message.trigger()) {
            return None;
        }
        self.routes.iter().filter_map(|route| route.fit(message)).max()
    }
}

/// What feeds are made from.
pub(super) struct Parts<'a> {
    pub(super) organisations: &'a [ConfiguredOrganisation],
    /// True when no organisation has problems, so that one that is not found is not there.
    pub(super) organisations_complete: bool,
    pub(super) national: &'a [IdentifierType],
    /// What mappings are made from, for feeds that change one.
    pub(super) library: &'a Library,
    /// Every mapping; none when it has problems.
    pub(super) plans: &'a HashMap<&'a str, Option<Arc<Plan>>>,
}

pub(super) fn read(
    file: &str,
    source: &Arc<Source>,
    parts: &Parts<'_>,
    problems: &mut Problems,
) -> Option<ConfiguredFeed> {
    let mut table = parse(source, problems);
    let kind = table.required_text("kind", problems).and_then(|(text, place)| {
        let found = KINDS.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind);
        if found.is_none() {
            let hint = meant(&text, FeedKind::names(), "one of");
            problems.hint(&place, format!("unknown kind of feed `{text}`"), hint);
        }
        found
    });
    let organisation = table.required_text("organisation", problems).and_then(|(code, place)| {
        let found = parts.organisations.iter().find(|one| one.organisation.code() == code);
        if found.is_none() && !parts.organisations_complete {
            problems.follows();
        } else if found.is_none() {
            let hint = "add an `[[organisation]]` with this code to the configuration";
            problems.hint(&place, format!("there is no organisation `{code}`"), hint);
        }
        found
    });
    let change = FeedChange { rows: table.take("change"), codes: table.take("codes") };
    let changes = change.rows.is_some() || change.codes.is_some();
    let plan = table.required_text("mapping", problems).and_then(|(name, place)| {
        let changed;
        let plan = match parts.plans.get(name.as_str()) {
            Some(Some(_)) if changes => {
                changed = mapping::compile_changed(parts.library, &name, &change, problems).map(Arc::new);
                Some(&changed)
            }
            plan => plan,
        };
        match plan {
            // None when the mapping has problems of its own, which are told.
            Some(plan) => plan.clone().filter(|plan| {
                let files = plan.profile == Profile::Phr;
                if !files {
                    let hint = "name a mapping of the profile `phr`; `fairway convert` takes this one";
                    problems.hint(&place, format!("`{name}` makes FHIR resources and files none in records"), hint);
                }
                files
            }),
            None => {
                let mut names: Vec<&str> = parts.plans.keys().copied().collect();
                names.sort_unstable();
                let hint = meant(&name, names, "there are");
                problems.hint(&place, format!("there is no mapping `{name}`"), hint);
                None
            }
        }
    });
    let zone = table.text("zone", problems);
    let zone_name = zone.as_ref().map_or("Europe/London", |(name, _)| name.as_str());
    let zone_found = Zone::named(zone_name).ok();
    if let (None, Some((name, place))) = (&zone_found, &zone) {
        problems.hint(place, format!("`{name}` is no time zone"), "use a name like `Europe/London`");
    }
    let mut options = ParseOptions::default();
    if let Some((name, place)) = table.text("charset", problems) {
        match Charset::from_msh18(&name) {
            Some(charset) => options.default_charset = charset,
            None => {
                let hint = "use a name of MSH-18, e.g. `UNICODE UTF-8` or `8859/1`";
                problems.hint(&place, format!("`{name}` is no character set"), hint);
            }
        }
    }
    let mut routes: Vec<Route> = Vec::new();
    for mut route in table.tables("route", problems) {
        let texts = |given: Vec<(String, _)>| given.into_iter().map(|(text, _)| text).collect();
        let applications = texts(route.texts("application", problems));
        let facilities = texts(route.texts("facility", problems));
        route.finish(problems);
        routes.push(Route { applications, facilities });
    }
    if routes.is_empty() {
        routes.push(Route::default());
    }
    table.finish(problems);
    let organisation = organisation?;
    let identifiers: Vec<IdentifierType> = organisation.identifiers.iter().chain(parts.national).cloned().collect();
    let feed = Feed {
        name: file.trim_end_matches(".toml").to_owned(),
        plan: plan?,
        organisation: organisation.organisation.clone(),
        identifiers: identifiers.into(),
        zone: zone_found?,
        specialty_labels: organisation.specialty_labels.clone(),
        service_labels: organisation.service_labels.clone(),
        source_team: None,
        test_numbers_only: false,
        production_only: false,
    };
    Some(ConfiguredFeed { feed, kind: kind?, routes, parse: options })
}
