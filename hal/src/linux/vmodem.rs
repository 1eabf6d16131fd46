#![allow(missing_docs)]
#[derive(Debug)]
pub struct VmodemOptions {
    pub tty: std::path::PathBuf,
    pub phone: String,
    pub speed: u32,
    pub latency: core::time::Duration,
    pub dial: bool,
}
pub fn run(_o: VmodemOptions) -> Result<(), String> {
    Err("not here yet".into())
}
