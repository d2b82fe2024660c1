//! Other gateways, as processes.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::gateway::server::resident_mb;

/// It does not start without a key.
const LITELLM_KEY: &str = "sk-loopback-only";

/// A gateway to compare with.
#[derive(Clone, Copy)]
pub(crate) enum Peer {
    /// No gateway of models: what a process in between costs at the least.
    Nginx,
    Portkey,
    LiteLlm,
}

/// A gateway that listens.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Peer {
    pub(crate) const ALL: [Self; 3] = [Self::Nginx, Self::Portkey, Self::LiteLlm];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx, a plain proxy",
            Self::Portkey => "Portkey",
            Self::LiteLlm => "LiteLLM",
        }
    }

    /// The header lines that tell it where to forward.
    pub(crate) fn headers(self, upstream: SocketAddr) -> String {
        match self {
            Self::Nginx => String::new(),
            Self::Portkey => format!(
                "x-portkey-provider: openai\r\nx-portkey-custom-host: http://{upstream}/v1\r\nauthorization: Bearer none\r\n"
            ),
            Self::LiteLlm => format!("authorization: Bearer {LITELLM_KEY}\r\n"),
        }
    }

    /// Starts it in front of the upstream and waits until it listens.
    pub(crate) async fn start(self, installed: &Path, upstream: SocketAddr) -> Result<Process, String> {
        let directory = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = match self {
            Self::Nginx => {
                let file = directory.path().join("nginx.conf");
                std::fs::write(&file, nginx(address, upstream)).unwrap();
                let mut command = Command::new("nginx");
                command.arg("-p").arg(directory.path()).arg("-e").arg("stderr").arg("-c").arg(&file);
                command
            }
            Self::Portkey => {
                let script = installed.join("node_modules/@portkey-ai/gateway/build/start-server.js");
                let mut command = Command::new("node");
                command.args(["--require", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/loopback.cjs")]);
                command.arg(existing(&script)?).arg("--headless").arg(format!("--port={}", address.port()));
                command.env("NODE_ENV", "production").env("TRUSTED_CUSTOM_HOSTS", "127.0.0.1,localhost");
                command
            }
            Self::LiteLlm => {
                let file = directory.path().join("litellm.yaml");
                std::fs::write(&file, litellm(upstream)).unwrap();
                let mut command = Command::new(existing(&installed.join("venv/bin/litellm"))?);
                command.arg("--config").arg(&file).args([
                    "--host",
                    "127.0.0.1",
                    "--num_workers",
                    "1",
                    "--telemetry",
                    "False",
                ]);
                command.args(["--port", &address.port().to_string()]);
                command
                    .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
                    .env("LITELLM_LOG", "ERROR")
                    .env("LITELLM_MASTER_KEY", LITELLM_KEY)
                    .env("LITELLM_MODE", "PRODUCTION");
                command
            }
        };
        // What it says is for who wonders why it fails.
        let log = File::create(installed.join(format!("{}.log", self.name()))).map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        let not_started = |error| format!("{:?} does not start: {error}", command.get_program());
        let process = Process { child: child.map_err(not_started)?, address, _directory: directory };
        for _ in 0..240 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(2)).await;
                return Ok(process);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Err("it does not listen after two minutes".into())
    }
}

impl Process {
    pub(crate) fn resident_mb(&self) -> f64 {
        resident_mb(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn existing(path: &Path) -> Result<&Path, String> {
    path.exists().then_some(path).ok_or_else(|| format!("{} is not there (`make peers` installs it)", path.display()))
}

fn nginx(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n\
         upstream mock {{ server {upstream}; keepalive 64; }}\n\
         server {{ listen {listen}; keepalive_requests 1000000000;\n\
         location / {{ proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off; }} }}\n}}\n"
    )
}

fn litellm(upstream: SocketAddr) -> String {
    format!(
        "model_list:\n  - model_name: m\n    litellm_params:\n      model: openai/m\n      api_base: http://{upstream}/v1\n      api_key: none\n\
         litellm_settings:\n  telemetry: false\n  set_verbose: false\n"
    )
}
