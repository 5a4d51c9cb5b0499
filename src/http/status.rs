//! The status page: environments, feeds, messages by pages, the last ones first. Server-made HTML without scripts.
//!
//! Shows operational facts of messages, never what they say of a patient.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use fairway_core::hl7v2::fhir_instant_from_micros;

use super::App;
use crate::store::{MessageFilter, MessageSummary};

/// Messages shown of each environment.
const SHOWN: i64 = 50;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #212b32; --soft: #4c6272; --line: #d8dde0; --paper: #fff; --band: #f0f4f5; --blue: #005eb8; --good: #006747; --bad: #b10e1e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edee; --soft: #a6b5bd; --line: #3a464d; --paper: #14191c; --band: #1d2529; --blue: #6bb0f0; --good: #5fc79a; --bad: #ff8a92; } }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
header { background: #005eb8; color: #fff; padding: 14px 28px; display: flex; gap: 16px; align-items: baseline; }
header h1 { font-size: 20px; margin: 0; } header span { opacity: .85; }
main { padding: 12px 28px 40px; max-width: 1500px; }
h2 { font-size: 17px; margin: 26px 0 8px; } h2 small { font-weight: normal; color: var(--soft); margin-left: 8px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th { text-align: left; color: var(--soft); font-weight: 600; padding: 6px 12px 6px 0; border-bottom: 2px solid var(--line); white-space: nowrap; }
td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n { white-space: nowrap; font-variant-numeric: tabular-nums; } td.what { min-width: 320px; }
a { color: var(--blue); } .AA { color: var(--good); font-weight: 600; } .AR, .AE { color: var(--bad); font-weight: 600; }
.none { color: var(--soft); padding: 8px 0; } nav { display: flex; gap: 18px; padding: 10px 0 0; flex-wrap: wrap; }
";

/// What of the messages is asked for: `environment=sandbox&before=1000`.
#[derive(Default)]
struct Asked<'q> {
    /// Only this environment.
    environment: Option<&'q str>,
    /// Only messages whose number is lower.
    before: Option<i64>,
}

impl<'q> Asked<'q> {
    /// `None` when there is something else in it.
    fn read(query: &'q str) -> Option<Asked<'q>> {
        let mut asked = Asked::default();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=')? {
                ("environment", name) => asked.environment = Some(name),
                ("before", number) => asked.before = Some(number.parse().ok().filter(|number| *number > 0)?),
                _ => return None,
            }
        }
        Some(asked)
    }
}

/// `GET /`
pub(super) async fn page(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let known = |asked: &Asked<'_>| asked.environment.is_none_or(|name| app.environment(name).is_some());
    let Some(asked) = Asked::read(&query).filter(known) else {
        return (StatusCode::BAD_REQUEST, "this page takes environment=NAME and before=NUMBER of a message\n")
            .into_response();
    };
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Fairway</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\
         <header><h1>Fairway</h1><span>{} · {}</span></header><main>",
        env!("CARGO_PKG_VERSION"),
        if (app.ready)() { "ready" } else { "not ready" }
    );
    html.push_str(
        "<nav><a href=\"/metrics\">metrics</a><a href=\"/healthz\">health</a><a href=\"/readyz\">readiness</a></nav>",
    );
    html.push_str("<h2>Feeds</h2><div class=\"scroll\"><table><tr><th>environment</th><th>feed</th><th>kind</th><th>organisation</th><th>listener</th></tr>");
    for feed in &app.feeds {
        row(&mut html, &[feed.environment, &feed.feed, feed.kind, &feed.organisation, &feed.listener]);
    }
    html.push_str("</table></div>");
    for environment in app.environments.iter().filter(|one| asked.environment.is_none_or(|name| name == one.name)) {
        let (name, reader, before) = (environment.name, environment.reader.clone(), asked.before);
        let messages = app
            .read(move || {
                let newest = reader.message_count()?;
                let last = before.map_or(newest, |before| newest.min(before - 1));
                let after = (last - SHOWN).max(0);
                let limit = usize::try_from(last - after).unwrap_or_default();
                reader.messages(&MessageFilter { after, limit, ..MessageFilter::default() })
            })
            .await;
        section(&mut html, name, messages.and_then(|(messages, _)| messages.ok()));
    }
    html.push_str("</main></body></html>");
    Html(html).into_response()
}

/// What the page shows of a message's reason or changes, in characters.
const WHAT_CHARS_MAX: usize = 2000;

fn section(html: &mut String, environment: &str, messages: Option<Vec<MessageSummary>>) {
    // Writing to a String cannot fail.
    write!(
        html,
        "<h2>{environment}<small><a href=\"/{environment}/fhir/metadata\">FHIR capability</a> · \
         <a href=\"/{environment}/fhir/Patient\">Patients</a></small></h2>"
    )
    .unwrap_or_default();
    let Some(messages) = messages else {
        html.push_str("<p class=\"none\">The store cannot be read.</p>");
        return;
    };
    if messages.is_empty() {
        html.push_str("<p class=\"none\">No message.</p>");
        return;
    }
    html.push_str("<div class=\"scroll\"><table><tr><th>no.</th><th>received (UTC)</th><th>feed</th><th>type</th><th>control id</th><th>ACK</th><th>outcome</th><th>what it did, or why not</th></tr>");
    for message in messages.iter().rev() {
        let what = message.reason.as_deref().unwrap_or(&message.action);
        let what: String = what.chars().take(WHAT_CHARS_MAX).collect();
        write!(
            html,
            "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td><td>{}</td>\
             <td class=\"{}\">{}</td><td>{}</td><td class=\"what\">{}</td></tr>",
            message.id,
            escape(&fhir_instant_from_micros(message.received_at).replace('T', " ").replace('Z', "")),
            escape(&message.feed),
            escape(&message.kind),
            escape(&message.control_id),
            escape(&message.ack_code),
            escape(&message.ack_code),
            message.outcome.as_str(),
            escape(&what.replace("; ", "\n")).replace('\n', "<br>")
        )
        .unwrap_or_default();
    }
    html.push_str("</table></div><nav>");
    if let Some(first) = messages.first().filter(|first| first.id > 1) {
        write!(html, "<a href=\"/?environment={environment}&amp;before={}\">earlier messages</a>", first.id)
            .unwrap_or_default();
    }
    html.push_str("<a href=\"/\">last messages</a></nav>");
}

fn row(html: &mut String, cells: &[&str]) {
    html.push_str("<tr>");
    for cell in cells {
        html.push_str("<td>");
        html.push_str(&escape(cell));
        html.push_str("</td>");
    }
    html.push_str("</tr>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
