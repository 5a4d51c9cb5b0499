//! Stub until the real one lands.
#![allow(missing_docs)]
#[derive(Default)]
pub struct Metrics;
impl Metrics {
    pub fn new() -> Metrics {
        Metrics
    }
    pub fn text(&self) -> String {
        String::new()
    }
    pub fn message(&self, _: &str, _: &str, _: &str, _: &str) {}
    pub fn answered(&self, _: &str, _: f64) {}
    pub fn batch(&self, _: &str, _: usize, _: f64) {}
    pub fn queue(&self, _: &str, _: i64) {}
    pub fn connection(&self, _: &str, _: &str, _: &str) {}
    pub fn connections_open(&self, _: &str, _: &str, _: i64) {}
}
pub fn init_logs(_json: bool) {}
