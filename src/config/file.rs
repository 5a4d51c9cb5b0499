//! The configuration file itself, and how its parts fit together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fairway_core::hl7v2::AckStyle;
use fairway_core::mapping::{self, Plan, read_identifiers};
use fairway_core::record::IdentifierKind;
use fairway_core::source::{Place, Problems, Table, meant, parse};

use super::feed::{self, Parts};
use super::files::Files;
use super::organisation::{self, ConfiguredOrganisation};
use super::{Config, ConfiguredFeed, Credential, Environment, Folders, IDENTIFIERS, Listener, library, tls};

/// Largest frame unless a listener says otherwise, in bytes.
const FRAME_BYTES_MAX: i64 = 128 * 1024 * 1024;

pub(super) fn load(files: Files, path: &Path, problems: &mut Problems) -> Option<Config> {
    let source = files.read(path, None, problems)?;
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    let mut table = parse(&source, problems);
    let mut folder = |name: &'static str, problems: &mut Problems| -> (PathBuf, Place) {
        let (given, place) = table.text(name, problems).unwrap_or_else(|| (name.to_owned(), Place::start(&source)));
        (base.join(given), place)
    };
    let (data, _) = folder("data", problems);
    let (feeds_folder, feeds_place) = folder("feeds", problems);
    let (mappings_folder, mappings_place) = folder("mappings", problems);

    if !table.has("http") {
        let hint = "add `[http]` with `listen = \"127.0.0.1:8080\"` and `access = \"open\"`";
        problems.absent(table.place(), "`[http]` is missing", hint);
    }
    let http = table.table("http", problems).and_then(|http| read_http(http, problems));
    let log_json = table.table("log", problems).is_some_and(|log| read_log(log, problems));

    let tables = table.tables("organisation", problems);
    let tables_count = tables.len();
    let organisations: Vec<ConfiguredOrganisation> =
        tables.into_iter().filter_map(|organisation| organisation::read(organisation, problems)).collect();
    let mut codes = HashMap::new();
    for one in &organisations {
        if let Some(earlier) = codes.insert(one.organisation.code(), &one.place) {
            let message = format!("organisation `{}` is given twice", one.organisation.code());
            let hint = format!("line {} has it, too; give each organisation once", earlier.line_and_column().0);
            problems.hint(&one.place, message, hint);
        }
    }
    local_systems_are_local(&organisations, problems);

    let library = library(files, &mappings_folder, &mappings_place, problems);
    let plans: HashMap<&str, Option<Arc<Plan>>> =
        library.names().map(|name| (name, mapping::compile(&library, name, problems).map(Arc::new))).collect();
    // What mappings share is in vain only when none of them needs it, so that all must be known.
    if plans.values().all(Option::is_some) {
        mapping::unreachable(plans.values().flatten().map(AsRef::as_ref), problems);
    }
    let national = match files.read(&mappings_folder.join(IDENTIFIERS), Some(&mappings_place), problems) {
        Some(source) => {
            let mut table = parse(&source, problems);
            let tables = table.tables("identifier", problems);
            table.finish(problems);
            read_identifiers(tables, IdentifierKind::National, problems)
        }
        None => Vec::new(),
    };
    let parts = Parts {
        organisations: &organisations,
        organisations_complete: organisations.len() == tables_count,
        national: &national,
        library: &library,
        plans: &plans,
    };
    let feed_files = files.read_folder(&feeds_folder, "toml", &feeds_place, problems);
    let mut feeds = BTreeMap::new();
    for (file, source) in &feed_files {
        let feed = feed::read(file, source, &parts, problems).map(Arc::new);
        feeds.insert(file.trim_end_matches(".toml"), feed);
    }

    let environments = environments(&mut table, base, &feeds, http, problems);
    table.finish(problems);
    let credentials: Vec<Credential> = organisations.iter().flat_map(|one| one.credentials.clone()).collect();
    one_user_one_credential(&credentials, &organisations, problems);
    let organisations = organisations.into_iter().map(|one| one.organisation).collect();
    let plans = plans.into_iter().filter_map(|(name, plan)| Some((name.to_owned(), plan?))).collect();
    let feeds = feeds.into_values().flatten().collect();
    let code_sets = library.code_sets().cloned().collect();
    let folders = (files == Files::Disk).then(|| Folders {
        config: path.to_owned(),
        feeds: feeds_folder,
        mappings: mappings_folder,
    });
    Some(Config {
        data,
        folders,
        http: http?,
        log_json,
        organisations,
        credentials,
        environments,
        plans,
        code_sets,
        feeds,
    })
}

/// A local number must never lead to another organisation's patient, so systems are not shared.
fn local_systems_are_local(organisations: &[ConfiguredOrganisation], problems: &mut Problems) {
    let mut owners: HashMap<&str, &str> = HashMap::new();
    for one in organisations {
        let code = one.organisation.code();
        for identifier in one.identifiers.iter().filter(|type_of| type_of.kind == IdentifierKind::Local) {
            let owner = owners.entry(&identifier.system).or_insert(code);
            if *owner != code {
                let message = format!("identifier system `{}` is used by `{owner}` and by `{code}`", identifier.system);
                problems.hint(&one.place, message, "local numbers need a system of their own per organisation");
            }
        }
    }
}

/// The user name alone tells whose credential it is.
fn one_user_one_credential(all: &[Credential], organisations: &[ConfiguredOrganisation], problems: &mut Problems) {
    for (index, one) in all.iter().enumerate() {
        let owner = organisations.iter().find(|owner| owner.organisation.code() == one.organisation);
        if let Some(owner) = owner.filter(|_| all[..index].iter().any(|earlier| earlier.user == one.user)) {
            let message = format!("user `{}` has two credentials", one.user);
            problems.hint(&owner.place, message, "give each credential a user name of its own");
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

/// Whether the system gives only one of two addresses: `0.0.0.0` is every IPv4 address, `[::]` every address.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let holds = |all: SocketAddr, part: SocketAddr| {
        all.ip().is_unspecified() && (all.is_ipv6() || part.ip().to_canonical().is_ipv4())
    };
    one.port() == other.port() && (one.ip() == other.ip() || holds(one, other) || holds(other, one))
}

/// Feeds by name; none when a file has problems, which are told.
type Feeds<'a> = BTreeMap<&'a str, Option<Arc<ConfiguredFeed>>>;

fn environments(
    table: &mut Table,
    base: &Path,
    feeds: &Feeds<'_>,
    http: Option<SocketAddr>,
    problems: &mut Problems,
) -> Vec<Environment> {
    let mut environments: Vec<Environment> = Vec::new();
    // Port 0 asks the system for a free port, so it clashes with nothing.
    let mut taken: Vec<SocketAddr> = http.into_iter().filter(|address| address.port() != 0).collect();
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
        let own: Feeds<'_> =
            feeds.iter().map(|(name, feed)| (*name, feed.as_ref().map(|feed| Arc::new(own(feed))))).collect();
        let (mut listeners, mut names) = (Vec::new(), HashMap::new());
        for listener in given.tables("listener", problems) {
            if let Some(listener) = read_listener(listener, base, &own, &mut taken, &mut names, problems) {
                listeners.push(listener);
            }
        }
        given.finish(problems);
        environments.push(Environment { name, listeners });
    }
    if environments.is_empty() {
        problems.absent(table.place(), "no `[[environment]]`", "add one with `name = \"sandbox\"` and a listener");
    }
    environments
}

fn read_listener(
    mut table: Table,
    base: &Path,
    feeds: &Feeds<'_>,
    taken: &mut Vec<SocketAddr>,
    names: &mut HashMap<String, Place>,
    problems: &mut Problems,
) -> Option<Listener> {
    let name = table.required_text("name", problems);
    if let Some((name, place)) = &name
        && let Some(earlier) = names.insert(name.clone(), place.clone())
    {
        let hint = format!("line {} has it, too; logs and metrics tell listeners by name", earlier.line_and_column().0);
        problems.hint(place, format!("listener `{name}` is given twice"), hint);
    }
    let listen = table.required_text("listen", problems);
    let listen = listen.and_then(|(text, place)| {
        let address = address(&text, &place, problems)?;
        if let Some(other) = taken.iter().find(|other| overlap(address, **other)) {
            let message = match *other == address {
                true => format!("{address} is used twice"),
                false => format!("{address} and {other} cannot be listened on together: one is part of the other"),
            };
            problems.hint(&place, message, "give each listener a port of its own");
        }
        taken.extend(Some(address).filter(|address| address.port() != 0));
        Some(address)
    });
    let tls = table.table("tls", problems).map(|given| tls::read(given, base, problems));
    let mut own: Vec<Arc<ConfiguredFeed>> = Vec::new();
    let wanted = table.texts("feeds", problems);
    if wanted.is_empty() {
        problems.absent(table.place(), "the listener serves no feed", "add `feeds = [\"demographics\"]`");
    }
    for (wanted, place) in wanted {
        let Some(feed) = feeds.get(wanted.as_str()) else {
            let hint = meant(&wanted, feeds.keys().copied(), "there are, by their files");
            problems.hint(&place, format!("there is no feed `{wanted}`"), hint);
            continue;
        };
        let Some(feed) = feed else { continue };
        if let Some(rival) = own.iter().find(|earlier| rivals(earlier, feed)) {
            let message = format!("`{wanted}` and `{}` take the same messages", rival.feed.name);
            problems.hint(&place, message, "tell them apart by `[[route]]` with application or facility");
        }
        own.push(feed.clone());
    }
    let acknowledgement = match table.text("acknowledgement", problems) {
        None => AckStyle::Standard,
        Some((text, _)) if text == "standard" => AckStyle::Standard,
        Some((text, _)) if text == "strict" => AckStyle::Strict,
        Some((text, _)) if text == "plain" => AckStyle::Plain,
        Some((text, place)) => {
            problems.hint(&place, format!("unknown acknowledgement `{text}`"), "write `standard`, `strict` or `plain`");
            AckStyle::Standard
        }
    };
    let mut number = |name: &'static str, within: std::ops::Range<i64>, default: i64| {
        let found = table.integer(name, within, problems).unwrap_or(default);
        u64::try_from(found).unwrap_or_default()
    };
    // SQLite keeps values below 1 GB; a message and a document of it must both fit.
    let frame_bytes_max = number("frame-bytes-max", 1024..512 * 1024 * 1024 + 1, FRAME_BYTES_MAX);
    let connections_max = number("connections-max", 1..100_001, 1024);
    let connections_per_peer_max = number("connections-per-peer-max", 1..100_001, 256);
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
        acknowledgement,
        frame_bytes_max: usize::try_from(frame_bytes_max).unwrap_or(usize::MAX),
        connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
        connections_per_peer_max: usize::try_from(connections_per_peer_max).unwrap_or(usize::MAX),
        idle: Duration::from_secs(idle),
        in_frame: Duration::from_secs(in_frame),
    })
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
