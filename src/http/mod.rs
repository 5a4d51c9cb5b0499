//! Stub until the real one lands.
#![allow(missing_docs)]
use std::sync::Arc;
use tokio::sync::watch;
pub struct App;
impl App {
    pub fn new(
        _: &crate::config::Config,
        _: &[crate::daemon::RunningEnvironment],
        _: Arc<crate::telemetry::Metrics>,
        _: impl Fn() -> bool,
        _: watch::Receiver<bool>,
    ) -> App {
        App
    }
}
pub async fn serve(_l: tokio::net::TcpListener, _a: Arc<App>, mut stop: watch::Receiver<bool>) -> std::io::Result<()> {
    let _ = stop.wait_for(|s| *s).await;
    Ok(())
}
