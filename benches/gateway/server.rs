//! The built server, as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) ready_after: Duration,
    _directory: tempfile::TempDir,
}

impl Server {
    /// A server in whose smaller tier are these models, and in its larger one `l`. It scores every prompt anew, though a run sends each of
    /// [`prompts`](super::prompts) many times: what is measured is what a prompt costs that was not there before.
    pub(crate) fn start(upstream: SocketAddr, models: &[&str], careful_workers: usize) -> Self {
        Self::configured(
            upstream,
            models,
            &format!("careful_workers = {careful_workers}\n[cache.decisions]\nenabled = false\n"),
        )
    }

    /// The same with the decision cache, as servers come, and without second looks.
    pub(crate) fn with_decision_cache(upstream: SocketAddr, models: &[&str]) -> Self {
        Self::configured(upstream, models, "careful_workers = 0\n")
    }

    /// `model_settings` are further keys of `[model]`, and tables after it.
    fn configured(upstream: SocketAddr, models: &[&str], model_settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let small: String = models.iter().map(|name| model(name)).collect();
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
             [model]\ndir = \"{}/models\"\n{model_settings}\
             [store]\npath = \"{}/bench.db\"\n\
             [log]\nfilter = \"warn\"\n\
             [upstreams.bench]\nbase_url = \"http://{upstream}/v1\"\n\
             [[tiers]]\nid = \"small\"\n{small}[[tiers]]\nid = \"large\"\n{}",
            env!("CARGO_MANIFEST_DIR"),
            directory.path().display(),
            model("l"),
        );
        let file = directory.path().join("bench.toml");
        std::fs::write(&file, config).unwrap();
        let started = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_trimtab"))
            .args(["serve", "--config"])
            .arg(&file)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready_after = started.elapsed();
        let address =
            line.trim().rsplit("http://").next().unwrap().parse().unwrap_or_else(|_| panic!("no address in {line:?}"));
        Self { process, address, ready_after, _directory: directory }
    }

    pub(crate) fn resident_mb(&self) -> f64 {
        resident_mb(self.process.id())
    }

    /// The time that its threads have computed.
    pub(crate) fn computed(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let ticks: u64 =
            stat.rsplit(") ").next().unwrap().split(' ').skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }
}

fn model(name: &str) -> String {
    format!("[[tiers.models]]\nname = \"{name}\"\nupstream = \"bench\"\n")
}

/// The memory of a process, in megabytes; NaN where the system does not say.
pub(crate) fn resident_mb(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kb =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
    kb.unwrap_or(f64::NAN) / 1024.0
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
