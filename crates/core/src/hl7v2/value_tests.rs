//! Text of values: formatted text as plain text and as HTML, sets that a text switches to, and documents that are not
//! copied.
#![allow(clippy::unwrap_used)]

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::hl7v2::{ParseOptions, WarningCode, mllp};

fn message(msh18: &str, obx5: &[u8]) -> Message {
    let mut bytes = format!("MSH|^~\\&|||||||ORU^R01|1|P|2.4||||||{msh18}\rOBX|1|FT|||").into_bytes();
    bytes.extend_from_slice(obx5);
    bytes.push(b'\r');
    Message::parse(bytes.into(), &ParseOptions::default()).unwrap()
}

fn value(message: &Message) -> Value<'_> {
    message.segment_at(1).unwrap().field(5)
}

fn check(typed: &str, plain: &str, html: &str) {
    let message = message("", typed.as_bytes());
    assert_eq!(value(&message).formatted(), plain, "{typed}");
    assert_eq!(value(&message).html(), html, "{typed}");
}

#[test]
fn pages() {
    check("", "", "");
    check("\"\"", "", "");
    check("one line", "one line", "one line");
    check(r"a\.br\b\.sp\c\.sp3\d\.br\", "a\nb\nc\n\n\nd\n", "a<br/>b<br/>c<br/><br/><br/>d<br/>");
    check(r"a\X0D0A\b\X0D\c\X0A\d", "a\nb\nc\nd", "a<br/>b<br/>c<br/>d");
    check(r"\H\Bold\N\ plain", "Bold plain", "<b>Bold</b> plain");
    check(r"\H\a\H\b\N\c\N\d", "abcd", "<b>ab</b>cd");
    check(r"\H\a\.br\b", "a\nb", "<b>a</b><br/><b>b</b>");
    check(r"a\H\\N\b\H\", "ab", "ab");
    check(r"left\.ce\Title\.br\left", "left\nTitle\nleft", "left<br/><div style=\"text-align:center\">Title</div>left");
    check(r"\.ce\\H\T\N\", "T", "<div style=\"text-align:center\"><b>T</b></div>");
    check(
        r"\.nf\a  b\.br\c\.fi\ d\.br\e  f",
        "a  b\nc d\ne  f",
        "<span style=\"white-space:pre\">a  b</span><br/><span style=\"white-space:pre\">c d</span><br/>e &#160;f",
    );
    check(r"a\.sk2\b", "a  b", "a &#160;b");
}

#[test]
fn margins_hold_and_indents_do_not() {
    // The example of HL7 v2 chapter 2.7.3: hanging numbers.
    check(
        r"\.in+4\\.ti-4\ 1. One\.sp\\.ti-4\ 2. Two\.br\more\.in0\\.br\end",
        " 1. One\n 2. Two\n    more\nend",
        "&#160;1. One<br/>&#160;2. Two<br/>&#160;&#160;&#160;&#160;more<br/>end",
    );
    check(r"\.ti3\a\.br\b", "   a\nb", "&#160;&#160;&#160;a<br/>b");
    check(r"\.in2\a\.in2\b\.br\c", "  a  b\n  c", "&#160;&#160;a &#160;b<br/>&#160;&#160;c");
    check(r"\.in-4\a\.ti-9\b", "ab", "ab");
    // An empty line gets no blanks.
    check(r"\.in4\\.br\\.br\a", "\n\n    a", "<br/><br/>&#160;&#160;&#160;&#160;a");
}

#[test]
fn markup_is_text() {
    check(
        r"<script>x()</script> \T\lt; A\T\E & 'q' &#60;",
        "<script>x()</script> &lt; A&E & 'q' &#60;",
        "&lt;script&gt;x()&lt;/script&gt; &amp;lt; A&amp;E &amp; &#39;q&#39; &amp;#60;",
    );
    check(r"\X3C\b\X3E\", "<b>", "&lt;b&gt;");
    check(r"a\X00\b\X1B\", "a\0b\u{1b}", "a\u{FFFD}b\u{FFFD}");
    check("  two\tcolumns", "  two\tcolumns", "&#160;&#160;two&#160;&#160;&#160; columns");
    check(r"\.xx\ \Zab\ \.br", r"\.xx\ \Zab\ \.br", r"\.xx\ \Zab\ \.br");
}

#[test]
fn a_page_cannot_grow_without_end() {
    let typed = r"\.in100\".to_owned() + &r"\.sp100\x".repeat(20_000);
    let message = message("", typed.as_bytes());
    assert!(value(&message).formatted().len() < 3 * typed.len());
    assert!(value(&message).html().len() < 8 * typed.len());
}

#[test]
fn sets_are_switched_where_declared() {
    let check = |msh18: &str, typed: &[u8], expected: &str| {
        let message = message(msh18, typed);
        assert_eq!(value(&message).text(), expected, "{msh18}");
        assert_eq!(value(&message).formatted(), expected, "{msh18}");
        assert!(!message.warnings().iter().any(|warning| warning.code == WarningCode::InvalidCharacters), "{msh18}");
    };
    check("8859/1~8859/2", b"\xA3 \\C2D42\\\xA3\xF3d\xBC\\C2D41\\ \xA3", "£ Łódź £");
    check("ASCII~8859/7", b"\\c2d46\\ is not, \\C2D46\\\xE1\xE2\\C2842\\ is", "\\c2d46\\ is not, αβ is");
    check("ASCII~ISO IR87", b"YAMADA \\M2442\\\x3B\x33\x45\x44\\C2842\\!", "YAMADA 山田!");
    check("~8859/15", "é\\C2D62\\".as_bytes(), "é");
    // What is UTF-8 by chance is believed to be of the set.
    check("8859/1~8859/2", b"\\C2D42\\J\xD3\xACWIAK", "JÓŹWIAK");
    check("8859/2~8859/5", b"J\xD3\xACWIAK \\C2D4C\\\xC2\xB0", "JÓŹWIAK ТА");
    // Unterminated: to the end. Not declared, unknown, half: as typed.
    check("8859/1~8859/15", b"a\\C2D62\\\xA4", "a€");
    check("8859/1", b"\\C2D42\\\xA3", "\\C2D42\\£");
    check("8859/1~8859/2", b"\\C2D46\\\xA3", "\\C2D46\\£");
    check("8859/1~8859/2", b"\\C2D42\xA3", "\\C2D42£");
    // A set ends at the next delimiter, whatever the level at which the text is read.
    check("8859/1~8859/2", b"\\C2D42\\\xA3^\xA3~\xA3\xA3&\xA3", "Ł^£~££&£");
    check("8859/1~8859/2", b"\\C2D42\\\\XA3\\\\T\\\xA3", "Ł&Ł");
    // What is no text of the set stays in the message's.
    check("8859/1~ISO IR87", b"\\M2442\\\x7D\x7Dx", "}}x");
    let message = message("8859/1~8859/2", b"\\C2D42\\\xA3^\xA3~\xA3");
    let all: Vec<_> = value(&message).repetitions().map(|repetition| repetition.component(1).text()).collect();
    assert_eq!(all, ["Ł", "£"]);
    assert_eq!(value(&message).unknown_escape(), None);
}

#[test]
fn names_of_sets_are_checked() {
    let codes = |msh18: &str| -> Vec<WarningCode> {
        message(msh18, b"x").warnings().iter().map(|warning| warning.code).collect()
    };
    for known in ["", "\"\"", "~", "~~", "ASCII~ISO IR87~KS X 1001", "ISO IR14~ISO IR87", "8859/1^x"] {
        assert_eq!(codes(known), [], "{known}");
    }
    for unknown in ["KLINGON", "8859/1~KLINGON", "8859/12~KLINGON", "ISO IR87"] {
        assert_eq!(codes(unknown), [WarningCode::UnknownCharset], "{unknown}");
    }
    assert_eq!(message(&"~8859/2".repeat(1000), b"x").charset(), Charset::Utf8);
}

/// From socket buffer to value a document of 100 MB is where the socket put it.
#[test]
fn a_document_of_100_mb_is_read_where_it_arrived() {
    const BYTES: usize = 100 << 20;
    let head = "MSH|^~\\&|LAB|RXX|||20240403||ORU^R01|1|P|2.4\rOBX|1|ED|||^application^pdf^Base64^";
    let mut buffer = BytesMut::with_capacity(BYTES + 1024);
    buffer.extend_from_slice(b"\x0b");
    buffer.extend_from_slice(head.as_bytes());
    buffer.resize(buffer.len() + BYTES, b'A');
    buffer.extend_from_slice(b"||||||F\r\x1c\r");
    let arrived = buffer.as_ptr();
    let mut decoder = mllp::Decoder::new(BYTES + 1024);
    let Some(mllp::Event::Frame { bytes, .. }) = decoder.decode(&mut buffer).unwrap() else {
        panic!("a frame");
    };
    let message = Message::parse(bytes, &ParseOptions::default()).unwrap();
    let data = value(&message).component(5);
    assert_eq!(data.raw().as_ptr(), arrived.wrapping_add(1 + head.len()));
    assert_eq!(data.raw().len(), BYTES);
    // Text and formatted text borrow; the one copy is the decoded document.
    assert!(matches!(data.text(), Cow::Borrowed(text) if text.as_ptr() == data.raw().as_ptr()));
    assert!(matches!(data.formatted(), Cow::Borrowed(text) if text.as_ptr() == data.raw().as_ptr()));
}

/// Whether the tags of `html` are the known ones, and balanced.
fn tags_are_ours(html: &str) -> bool {
    let (mut open, mut rest) = (Vec::new(), html);
    while let Some(at) = rest.find(['<', '>', '"', '\'']) {
        let Some(end) = rest[at..].find('>') else { return false };
        match &rest[at..=at + end] {
            "<br/>" => {}
            "<b>" => open.push("</b>"),
            "<div style=\"text-align:center\">" => open.push("</div>"),
            "<span style=\"white-space:pre\">" => open.push("</span>"),
            close if open.last() == Some(&close) => {
                open.pop();
            }
            _ => return false,
        }
        rest = &rest[at + end + 1..];
    }
    open.is_empty()
}

proptest! {
    #[test]
    fn html_holds_only_our_tags(
        parts in proptest::collection::vec(
            prop_oneof![
                r"\\\.(br|ce|nf|fi|sp[0-9]|in[+-]?[0-9]|ti[+-]?[0-9]|sk[0-9]?)\\",
                r"\\[HNFSTREPX]\\",
                r"\\X(3C|3E|26|22|27|0D|0A|C3|A9|00)\\",
                r#"[<>&"'/a-c ;#=\t]{0,6}"#,
                "\\PC{0,4}",
            ],
            0..20,
        ),
        charset in prop_oneof![Just(""), Just("8859/7"), Just("ASCII~8859/5")],
    ) {
        let message = message(charset, parts.concat().replace(['\r', '\n', '|'], "").as_bytes());
        let html = value(&message).html();
        prop_assert!(tags_are_ours(&html), "{html}");
        // Every & opens one of our entities.
        for behind in html.split('&').skip(1) {
            prop_assert!(["lt;", "gt;", "amp;", "quot;", "#39;", "#160;"].iter().any(|name| behind.starts_with(name)));
        }
        // The same words in the same order as the plain text.
        let mut bare = html;
        for (markup, text) in [
            ("<br/>", " "),
            ("<b>", ""),
            ("</b>", ""),
            ("<div style=\"text-align:center\">", ""),
            ("</div>", ""),
            ("<span style=\"white-space:pre\">", ""),
            ("</span>", ""),
            ("&#160;", " "),
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&quot;", "\""),
            ("&#39;", "'"),
            ("&amp;", "&"),
        ] {
            bare = bare.replace(markup, text);
        }
        let words = |text: &str| text.split_whitespace().collect::<String>();
        let lost = |c: char| (c.is_control() && !" \t\n".contains(c)) || matches!(c, '\u{FFFE}' | '\u{FFFF}');
        prop_assert_eq!(words(&bare), words(&value(&message).formatted().replace(lost, "\u{FFFD}")));
    }
}
