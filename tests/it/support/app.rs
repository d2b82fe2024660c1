//! The server under test, in this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trimtab::config::env::Environment;
use trimtab::config::{Secrets, Sources, load};
use trimtab::serve::{Addresses, ServeError, serve};

/// Longer than anything here takes; a test that waits for it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How a server is set up. The default has no upstream but the demo.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// TOML that is added to the test's own.
    pub(crate) toml: String,
    /// Environment variables.
    pub(crate) environment: Vec<(String, String)>,
}

impl Setup {
    /// Two tiers with a model each, at upstreams of these addresses: `small` at the first and `large` at the last.
    pub(crate) fn tiers(upstreams: &[String]) -> Self {
        let (first, last) = (upstreams.first().unwrap(), upstreams.last().unwrap());
        let toml = format!(
            r#"
            [upstreams.first]
            base_url = "{first}"
            timeouts = {{ connect = "1s", headers = "1s", idle = "1s", total = "5s" }}
            [upstreams.last]
            base_url = "{last}"
            timeouts = {{ connect = "1s", headers = "1s", idle = "1s", total = "5s" }}
            [[tiers]]
            id = "small"
            [[tiers.models]]
            name = "cheap"
            upstream = "first"
            upstream_model = "vendor/cheap-1"
            price = {{ input = 0.1, output = 0.4 }}
            [[tiers]]
            id = "large"
            [[tiers.models]]
            name = "dear"
            upstream = "last"
            price = {{ input = 10.0, output = 30.0 }}
            "#
        );
        Self { toml, ..Self::default() }
    }

    pub(crate) fn with(mut self, toml: &str) -> Self {
        self.toml.push_str(toml);
        self
    }
}

/// A running server. Dropping it stops it.
pub(crate) struct TestApp {
    pub(crate) url: String,
    pub(crate) admin_url: String,
    pub(crate) directory: TempDir,
    pub(crate) client: reqwest::Client,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name} in {:?}", self.headers)).to_str().unwrap()
    }

    /// The parts of an error: status, code and field.
    pub(crate) fn error(&self) -> (u16, String, Option<String>) {
        let body = self.json();
        let error = &body["error"];
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        assert!(error["type"].is_string(), "{body}");
        (self.status, error["code"].as_str().unwrap_or_default().to_owned(), error["param"].as_str().map(str::to_owned))
    }
}

impl TestApp {
    pub(crate) async fn start(setup: Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start_in(directory, setup).await.unwrap()
    }

    /// Starts in a directory that may hold a store or models already.
    pub(crate) async fn start_in(directory: TempDir, setup: Setup) -> Result<Self, ServeError> {
        let config = load_config(directory.path(), &setup);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (ready, addresses) = oneshot::channel::<Addresses>();
        let (failed, failure) = oneshot::channel();
        let token = stop.clone();
        tasks.spawn(async move {
            let result = serve(config, token, |addresses| ready.send(addresses).unwrap()).await;
            drop(failed.send(result));
        });
        let Ok(addresses) = addresses.await else {
            return Err(failure.await.unwrap().unwrap_err());
        };
        Ok(Self {
            url: format!("http://{}", addresses.public),
            admin_url: format!("http://{}", addresses.admin),
            directory,
            client: client(),
            stop,
            tasks,
        })
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(
            self.client
                .post(format!("{}{path}", self.url))
                .header("content-type", "application/json")
                .body(body.to_string()),
        )
        .await
    }

    pub(crate) async fn post_bytes(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        self.send(self.client.post(format!("{}{path}", self.url)).header("content-type", "application/json").body(body))
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.client.get(format!("{}{path}", self.url))).await
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = tokio::time::timeout(PATIENCE, request.send()).await.expect("an answer in time").unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = tokio::time::timeout(PATIENCE, response.text()).await.expect("a body in time").unwrap();
        Reply { status, headers, text }
    }

    /// Stops the server and gives its directory back, with everything written.
    pub(crate) async fn stop(self) -> TempDir {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(PATIENCE, self.tasks.wait()).await.expect("the server stops in time");
        self.directory
    }
}

/// A chat body with one user message.
pub(crate) fn chat(model: &str, ask: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": ask }] })
}

/// Where the shipped fixtures are.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Copies the tiny bundle and its encoders into a model directory of the test's own, as the default bundle.
pub(crate) fn install_tiny_models(models: &Path) {
    copy_tree(&fixtures().join("encoders"), &models.join("encoders"));
    copy_tree(&fixtures().join("bundles/tiny"), &models.join("default"));
}

/// Copies the shipped bundle and its encoder into a model directory of the test's own.
pub(crate) fn install_default_models(models: &Path) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let manifest: Value = serde_json::from_slice(&fs::read(shipped.join("default/manifest.json")).unwrap()).unwrap();
    let encoder = Path::new("encoders").join(manifest["encoder"]["digest"].as_str().unwrap());
    copy_tree(&shipped.join(&encoder), &models.join(&encoder));
    copy_tree(&shipped.join("default"), &models.join("default"));
}

pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).map(drop).unwrap();
        }
    }
}

pub(crate) fn load_config(directory: &Path, setup: &Setup) -> trimtab::config::Config {
    let models = directory.join("models");
    if !models.exists() {
        install_tiny_models(&models);
    }
    let file = directory.join("trimtab.toml");
    fs::write(&file, &setup.toml).unwrap();
    let environment: Environment = setup.environment.iter().cloned().collect();
    let own = [
        ("server.listen", "127.0.0.1:0".to_owned()),
        ("server.admin_listen", "127.0.0.1:0".to_owned()),
        ("model.dir", models.display().to_string()),
        ("store.path", directory.join("trimtab.db").display().to_string()),
    ];
    let overrides: Vec<(String, String)> = own.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let sources = Sources {
        file: Some(&file),
        directory,
        environment: &environment,
        overrides: &overrides,
        secrets: Secrets::Required,
    };
    load(&sources).unwrap_or_else(|errors| panic!("{errors}"))
}

fn client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Runs the built program in a directory, and gives its exit code, standard output and standard error.
pub(crate) fn trimtab(directory: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_trimtab"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("TRIMTAB_CONFIG")
        .envs(runtime_for_children())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A program that runs in a temporary directory does not find `.runtime/` there, so it is told where ours is.
pub(crate) fn runtime_for_children() -> Option<(&'static str, PathBuf)> {
    trimtab::model::runtime::locate().ok().map(|library| (trimtab::model::runtime::PATH_VARIABLE, library))
}
