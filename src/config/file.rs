//! The configuration file itself, and how its parts fit together.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fairway_core::mapping::{self, read_identifiers};
use fairway_core::record::IdentifierKind;
use fairway_core::source::{Place, Problems, Table, parse};

use super::feed::{self, Parts};
use super::files::Files;
use super::organisation::{self, ConfiguredOrganisation};
use super::{Config, ConfiguredFeed, Environment, Listener, library, tls};

/// Largest frame unless a listener says otherwise, in bytes.
const FRAME_BYTES_MAX: i64 = 128 * 1024 * 1024;

pub(super) fn load(files: Files, path: &Path, problems: &mut Problems) -> Option<Config> {
    let source = files.read(path, problems)?;
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    let mut table = parse(&source, problems);
    let mut folder = |name: &'static str, problems: &mut Problems| -> PathBuf {
        let given = table.text(name, problems).map(|(text, _)| text);
        base.join(given.unwrap_or_else(|| name.to_owned()))
    };
    let data = folder("data", problems);
    let feeds_folder = folder("feeds", problems);
    let mappings_folder = folder("mappings", problems);

    let http = table.table("http", problems).and_then(|http| read_http(http, problems));
    if http.is_none() && problems.is_empty() {
        problems.hint(table.place(), "`[http]` is missing", "add `[http]` with `listen = \"127.0.0.1:8080\"`");
    }
    let log_json = table.table("log", problems).is_some_and(|log| read_log(log, problems));

    let organisations: Vec<ConfiguredOrganisation> = table
        .tables("organisation", problems)
        .into_iter()
        .filter_map(|organisation| organisation::read(organisation, problems))
        .collect();
    let mut codes = HashSet::new();
    for organisation in &organisations {
        if !codes.insert(organisation.organisation.code()) {
            let message = format!("organisation `{}` is given twice", organisation.organisation.code());
            problems.hint(table.place(), message, "give each organisation once");
        }
    }
    local_systems_are_local(&organisations, table.place(), problems);

    let library = library(files, &mappings_folder, problems);
    let mut plans = HashMap::new();
    for name in library.names() {
        if let Some(plan) = mapping::compile(&library, name, problems) {
            plans.insert(name.to_owned(), Arc::new(plan));
        }
    }
    let national = match files.read(&mappings_folder.join("identifiers.toml"), problems) {
        Some(source) => {
            let mut table = parse(&source, problems);
            let tables = table.tables("identifier", problems);
            table.finish(problems);
            read_identifiers(tables, IdentifierKind::National, problems)
        }
        None => Vec::new(),
    };
    let parts = Parts { organisations: &organisations, national: &national, plans: &plans };
    let feeds: Vec<Arc<ConfiguredFeed>> = files
        .read_folder(&feeds_folder, "toml", problems)
        .into_iter()
        .filter_map(|(file, source)| feed::read(&file, &source, &parts, problems))
        .map(Arc::new)
        .collect();

    let environments = environments(&mut table, base, &feeds, http, problems);
    table.finish(problems);
    let organisations = organisations.into_iter().map(|one| one.organisation).collect();
    Some(Config { data, http: http?, log_json, organisations, environments, plans, feeds })
}

/// A local number must never lead to another organisation's patient, so systems are not shared.
fn local_systems_are_local(organisations: &[ConfiguredOrganisation], place: &Place, problems: &mut Problems) {
    let mut owners: HashMap<&str, &str> = HashMap::new();
    for organisation in organisations {
        let code = organisation.organisation.code();
        for identifier in organisation.identifiers.iter().filter(|one| one.kind == IdentifierKind::Local) {
            let owner = owners.entry(&identifier.system).or_insert(code);
            if *owner != code {
                let message = format!("identifier system `{}` is used by `{owner}` and by `{code}`", identifier.system);
                problems.hint(place, message, "local numbers need a system of their own per organisation");
            }
        }
    }
}

fn read_http(mut table: Table, problems: &mut Problems) -> Option<SocketAddr> {
    let listen = table.required_text("listen", problems);
    let access = table.required_text("access", problems);
    table.finish(problems);
    let (text, place) = listen?;
    let address = address(&text, &place, problems)?;
    let (access, access_place) = access?;
    if access != "open" {
        let hint = "`open`, on a loopback address; sign-in is not available yet";
        problems.hint(&access_place, format!("unknown access `{access}`"), hint);
    } else if !address.ip().is_loopback() {
        let hint = "listen on 127.0.0.1 or [::1]; records must not be readable without a credential";
        problems.hint(&place, "open access is refused on an address that is not loopback", hint);
    }
    Some(address)
}

fn read_log(mut table: Table, problems: &mut Problems) -> bool {
    let json = match table.text("format", problems) {
        None => false,
        Some((text, _)) if text == "text" => false,
        Some((text, _)) if text == "json" => true,
        Some((text, place)) => {
            problems.hint(&place, format!("unknown log format `{text}`"), "`text` or `json`");
            false
        }
    };
    table.finish(problems);
    json
}

fn address(text: &str, place: &Place, problems: &mut Problems) -> Option<SocketAddr> {
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            problems.hint(place, format!("`{text}` is no address"), "write an IP address and a port: `127.0.0.1:2575`");
            None
        }
    }
}

fn environments(
    table: &mut Table,
    base: &Path,
    feeds: &[Arc<ConfiguredFeed>],
    http: Option<SocketAddr>,
    problems: &mut Problems,
) -> Vec<Environment> {
    let mut environments: Vec<Environment> = Vec::new();
    // Port 0 asks the system for a free port, so it clashes with nothing.
    let mut taken: HashSet<SocketAddr> = http.into_iter().filter(|address| address.port() != 0).collect();
    for mut given in table.tables("environment", problems) {
        let Some((name, place)) = given.required_text("name", problems) else { continue };
        let name = match name.as_str() {
            "sandbox" => "sandbox",
            "production" => "production",
            _ => {
                problems.hint(&place, format!("unknown environment `{name}`"), "`sandbox` or `production`");
                continue;
            }
        };
        if environments.iter().any(|environment| environment.name == name) {
            problems.hint(&place, format!("environment `{name}` is given twice"), "give it once");
        }
        let test_numbers_only = match given.text("nhs-numbers", problems) {
            None => name == "sandbox",
            Some((text, _)) if text == "test-range" => true,
            Some((text, _)) if text == "any" => false,
            Some((text, place)) => {
                problems.hint(&place, format!("unknown nhs-numbers `{text}`"), "`test-range` or `any`");
                true
            }
        };
        let own = |feed: &ConfiguredFeed| ConfiguredFeed {
            feed: mapping::Feed { test_numbers_only, production_only: name == "production", ..feed.feed.clone() },
            kind: feed.kind,
            routes: feed.routes.clone(),
            parse: feed.parse.clone(),
        };
        let own: Vec<Arc<ConfiguredFeed>> = feeds.iter().map(|feed| Arc::new(own(feed))).collect();
        let mut listeners = Vec::new();
        for listener in given.tables("listener", problems) {
            if let Some(listener) = read_listener(listener, base, &own, &mut taken, problems) {
                listeners.push(listener);
            }
        }
        given.finish(problems);
        environments.push(Environment { name, listeners });
    }
    if environments.is_empty() {
        problems.hint(table.place(), "no `[[environment]]`", "add one with `name = \"sandbox\"` and a listener");
    }
    environments
}

fn read_listener(
    mut table: Table,
    base: &Path,
    feeds: &[Arc<ConfiguredFeed>],
    taken: &mut HashSet<SocketAddr>,
    problems: &mut Problems,
) -> Option<Listener> {
    let name = table.required_text("name", problems);
    let listen = table.required_text("listen", problems);
    let listen = listen.and_then(|(text, place)| {
        let address = address(&text, &place, problems)?;
        if address.port() != 0 && !taken.insert(address) {
            problems.hint(&place, format!("{address} is used twice"), "give each listener a port of its own");
        }
        Some(address)
    });
    let tls = table.table("tls", problems).map(|given| tls::read(given, base, problems));
    let mut own: Vec<Arc<ConfiguredFeed>> = Vec::new();
    for (wanted, place) in table.texts("feeds", problems) {
        let Some(feed) = feeds.iter().find(|feed| feed.feed.name == wanted) else {
            let hint = match nearest_feed(&wanted, feeds) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "there is one file per feed in the feeds folder".to_owned(),
            };
            problems.hint(&place, format!("there is no feed `{wanted}`"), hint);
            continue;
        };
        if let Some(rival) = own.iter().find(|earlier| rivals(earlier, feed)) {
            let message = format!("`{wanted}` and `{}` take the same messages", rival.feed.name);
            problems.hint(&place, message, "tell them apart by `[[route]]` with application or facility");
        }
        own.push(feed.clone());
    }
    if own.is_empty() {
        problems.hint(table.place(), "the listener serves no feed", "add `feeds = [\"demographics\"]`");
    }
    let mut number = |name: &'static str, within: std::ops::Range<i64>, default: i64| {
        let found = table.integer(name, within, problems).unwrap_or(default);
        u64::try_from(found).unwrap_or_default()
    };
    // SQLite keeps values below 1 GB; a message and a document of it must both fit.
    let frame_bytes_max = number("frame-bytes-max", 1024..512 * 1024 * 1024 + 1, FRAME_BYTES_MAX);
    let connections_max = number("connections-max", 1..100_001, 1024);
    let idle = number("idle-timeout-secs", 1..86_401, 1800);
    let in_frame = number("frame-timeout-secs", 1..3601, 30);
    table.finish(problems);
    Some(Listener {
        name: name?.0,
        listen: listen?,
        tls: match tls {
            // Never plain TCP where TLS was asked for.
            Some(tls) => Some(tls?),
            None => None,
        },
        feeds: own,
        frame_bytes_max: usize::try_from(frame_bytes_max).unwrap_or(usize::MAX),
        connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
        idle: Duration::from_secs(idle),
        in_frame: Duration::from_secs(in_frame),
    })
}

fn nearest_feed<'a>(name: &str, feeds: &'a [Arc<ConfiguredFeed>]) -> Option<&'a str> {
    fairway_core::source::nearest(name, feeds.iter().map(|feed| feed.feed.name.as_str()))
}

/// True when some message would fit both feeds equally well.
fn rivals(left: &ConfiguredFeed, right: &ConfiguredFeed) -> bool {
    let events: HashSet<String> = left.feed.plan.events().collect();
    if !right.feed.plan.events().any(|event| events.contains(&event)) {
        return false;
    }
    let meet = |left: &[String], right: &[String]| {
        (left.is_empty() && right.is_empty()) || left.iter().any(|one| right.contains(one))
    };
    left.routes.iter().any(|one| {
        right
            .routes
            .iter()
            .any(|other| meet(&one.applications, &other.applications) && meet(&one.facilities, &other.facilities))
    })
}
