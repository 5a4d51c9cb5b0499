//! stub
use std::io::{self, Write};
/// Play the fixtures
#[derive(clap::Args, Debug)]
pub struct Args {}
/// x
/// # Errors
/// x
pub async fn run(_a: &Args, _o: &mut impl Write) -> io::Result<u8> {
    Ok(0)
}
