//! Shows problems of configuration and mapping files: place, the line with the text underlined, and what to do.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use fairway_core::source::Problem;
use std::io::{IsTerminal, Write};

/// Problems shown in full; of more only the number is told.
const SHOWN_MAX: usize = 1000;

/// The problems as text for people, each called what `level` says.
pub fn render(problems: &[Problem], level: &Level<'static>, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for problem in problems.iter().take(SHOWN_MAX) {
        let title = level.clone().primary_title(problem.message.as_str());
        let mut report = Vec::new();
        let hint = problem.hint.as_deref();
        match &problem.place {
            Some(place) => {
                let end = place.source.text.len();
                let span = place.span.start.min(end)..place.span.end.clamp(place.span.start.min(end), end);
                let snippet = Snippet::source(place.source.text.as_str())
                    .path(place.source.name.as_str())
                    .annotation(AnnotationKind::Primary.span(span));
                let group = title.element(snippet);
                report.push(match hint {
                    Some(hint) => group.element(Level::HELP.message(hint)),
                    None => group,
                });
            }
            None => {
                let group = annotate_snippets::Group::with_title(title);
                report.push(match hint {
                    Some(hint) => group.element(Level::HELP.message(hint)),
                    None => group,
                });
            }
        }
        text.push_str(&renderer.render(&report));
        text.push_str("\n\n");
    }
    if problems.len() > SHOWN_MAX {
        text.push_str(&format!("… and {} more; `fairway check --json` shows all\n", problems.len() - SHOWN_MAX));
    }
    text
}

/// Prints the problems and their number to standard error, with colour on a terminal.
pub fn print(problems: &[Problem]) {
    let noun = if problems.len() == 1 { "problem" } else { "problems" };
    write(problems, &Level::ERROR, &format!("{} {noun}\n", problems.len()));
}

/// Prints what deserves a look and is no problem yet.
pub fn print_warnings(warnings: &[Problem]) {
    write(warnings, &Level::WARNING, "");
}

fn write(problems: &[Problem], level: &Level<'static>, end: &str) {
    let mut stderr = std::io::stderr();
    let text = render(problems, level, stderr.is_terminal()) + end;
    // Nothing is left to tell when standard error is closed.
    stderr.write_all(text.as_bytes()).unwrap_or_default();
}
