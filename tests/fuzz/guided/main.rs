//! One target under libFuzzer: the one whose name this binary has.

#![no_main]

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    match env!("CARGO_BIN_NAME") {
        "framing" => targets::framing(input),
        "parse" => targets::parse(input),
        "acknowledgements" => targets::acknowledgements(input),
        "paths" => targets::paths(input),
        "escapes" => targets::escapes(input),
        "timestamps" => targets::timestamps(input),
        "charset" => targets::charset(input),
        "batch" => targets::batch(input),
        "enveloped" => targets::enveloped(input),
        "soap" => targets::soap(input),
        name => panic!("no target {name}"),
    }
});
