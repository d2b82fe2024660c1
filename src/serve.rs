//! The composition root: builds the rooms from the configuration, serves, and takes everything down again.

mod chores;
mod deferred;
mod drift;
mod providers;
mod resilience;
pub mod settings;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::Cache;
use crate::cache::decisions::DecisionCache;
use crate::chat::openai::ChatRequest;
use crate::config::{Config, FeedbackScope};
use crate::demo;
use crate::domain::api::Api;
use crate::domain::ids::{BundleId, CallerId, TierId};
use crate::domain::probability::Probability;
use crate::drift::Drift;
use crate::http;
use crate::http::admission::{new_decision_id, now_unix_ms};
use crate::http::auth::Keys;
use crate::http::body::BodyLimits;
use crate::http::listen::{self, Waits};
use crate::http::state::Server;
use crate::http::threads::Threads;
use crate::model::error::PrepareError;
use crate::model::generation::PrepareSettings;
use crate::model::manifest::Manifest;
use crate::model::registry::{Prepared, Registry};
use crate::model::runtime::{self, RuntimeError, RuntimeMissing};
use crate::model::shelf::Shelf;
use crate::model::watch::{Watch, Watcher};
use crate::pipeline::{Admission, App, Call};
use crate::retrain::Retrainer;
use crate::retrain::bundles::Bundles;
use crate::serve::chores::{announce_drain, hold_drills, look_after_clients, report_store};
use crate::serve::drift::{look_for_drift, watch_drift};
use crate::serve::settings::prepare_settings;
use crate::sessions::Sessions;
use crate::store::{Journal, Store, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::upstream::client::UpstreamError;
use crate::upstream::threads::serve_as;

/// Longest time that a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// Longest time that the store gets for its last records.
const STORE_WITHIN: Duration = Duration::from_secs(10);

/// Longest time that the threads that serve get to drop what was cut.
const THREADS_WITHIN: Duration = Duration::from_secs(5);

/// Longest time that a training gets to notice that it is over.
const TRAINING_WITHIN: Duration = Duration::from_secs(10);

/// Where a running server can be reached.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// For callers.
    pub public: SocketAddr,
    /// For administration.
    pub admin: SocketAddr,
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({source}); stop what listens there, or set `{setting}`")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// The setting that chose it.
        setting: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no threads to serve with.
    #[error(
        "the threads that serve cannot be started ({0}); set `server.threads` to fewer, or raise the limits of the process"
    )]
    Threads(io::Error),
    /// ONNX Runtime is not there.
    #[error(transparent)]
    RuntimeMissing(#[from] RuntimeMissing),
    /// ONNX Runtime is there and cannot be used.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The bundle cannot be loaded.
    #[error("the model cannot be loaded: {0}")]
    Model(#[from] PrepareError),
    /// An upstream cannot be set up.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The default policy does not exist. The configuration's own check says so first.
    #[error("the default policy `{name}` is not configured; add `[policies.{name}]`")]
    NoPolicy {
        /// Its name.
        name: String,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Serves until `stop`, then drains. `ready` is called once, when requests are welcome.
///
/// # Errors
/// What keeps the server from starting. Nothing is left behind then.
pub async fn serve(
    mut config: Config,
    stop: CancellationToken,
    ready: impl FnOnce(Addresses) + Send,
) -> Result<(), ServeError> {
    let public = bind(config.server.listen, "server.listen").await?;
    let admin = bind(config.server.admin_listen, "server.admin_listen").await?;
    let addresses = Addresses { public: address(&public), admin: address(&admin) };
    let tasks = TaskTracker::new();
    let over = CancellationToken::new();
    if config.demo {
        start_demo(&mut config, &tasks, &over).await?;
    }
    let threads = Threads::start(settings::threads(&config), serve_as).map_err(ServeError::Threads)?;
    let metrics = Arc::new(Metrics::new(config.model_names()));
    let store = open_store(&config).await?;
    let journal = store.as_ref().map(|store| store.journal().clone());
    let models = load_models(&config, &metrics)?;
    let drift = watch_drift(&config, &models.registry);
    let following = follow(&config, &models, (&metrics, &drift));
    let parts = Parts {
        threads: settings::threads(&config).get(),
        models: models.registry,
        journal: journal.clone(),
        cache: settings::cache(&config),
        decisions: settings::decisions(&config),
        sessions: Some(Sessions::new(settings::sessions(&config))),
        metrics: Arc::clone(&metrics),
        drift: Arc::clone(&drift),
    };
    let bundles = Bundles::new(models.settings, config.model.bundle.clone());
    let retrainer = settings::retrainer(&config, bundles, store.as_ref());
    let server = Arc::new(server(&config, (app(&config, parts)?, retrainer), store.clone()));

    if let Some((watch, serving)) = following {
        tasks.spawn(watch.run(serving, over.clone()));
    }
    if let Some(journal) = journal {
        tasks.spawn(report_store(journal, metrics, over.clone()));
    }
    tasks.spawn(look_for_drift(drift, settings::drift_file(&config), over.clone()));
    tasks.spawn(look_after_clients(Arc::clone(&server.app.traffic), over.clone()));
    tasks.spawn(hold_drills(Arc::clone(&server), stop.clone()));
    tasks.spawn(deferred::ask_again(Arc::clone(&server), stop.clone()));
    tasks.spawn(announce_drain(Arc::clone(&server), stop.clone()));
    ready(addresses);
    let drain = config.server.drain_timeout;
    let waits = Waits { drain, client: config.server.client_timeout };
    let admin_waits = Waits { drain: Duration::from_secs(1), ..waits };
    let admin_keys = admin_keys(&config);
    let here = Threads::here();
    let (all_done, _) = tokio::join!(
        listen::serve(public, (http::public(Arc::clone(&server)), &threads), (stop.clone(), waits)),
        listen::serve(admin, (http::admin(Arc::clone(&server), admin_keys), &here), (stop, admin_waits)),
    );
    server.retrainer.stop(TRAINING_WITHIN).await;
    if !all_done {
        tracing::warn!(drain_s = drain.as_secs(), "some requests did not finish in time and were cut");
    }
    // Before the store is closed, so that it takes the records of what was cut.
    if !threads.stop(THREADS_WITHIN).await {
        tracing::error!("a thread that serves did not end in time");
    }
    over.cancel();
    tasks.close();
    tasks.wait().await;
    if let Some(store) = store
        && let Err(error) = store.close(STORE_WITHIN).await
    {
        tracing::error!(%error, "the store did not take its last records");
    }
    Ok(())
}

/// The pipeline without listeners, store and caches, as `trimtab route` uses it.
///
/// # Errors
/// A model that cannot be loaded, or an upstream that cannot be set up.
pub fn build_app(config: &Config) -> Result<App, ServeError> {
    let metrics = Arc::new(Metrics::new([]));
    let models = load_models(config, &metrics)?.registry;
    // Rows of a file are no turns of one conversation, whatever they have in common.
    let drift = Arc::default();
    app(
        config,
        Parts { threads: 0, models, journal: None, cache: None, decisions: None, sessions: None, metrics, drift },
    )
}

/// A call that came from this process.
#[must_use]
pub fn local_call(chat: ChatRequest) -> Call {
    let admission = Admission {
        id: new_decision_id(),
        caller: CallerId::from("local"),
        request_id: String::new(),
        started: Instant::now(),
        at_unix_ms: now_unix_ms(),
        draw: Probability::clamped(rand::random::<f64>()),
        api: Api::Route,
    };
    Call::now(admission, chat)
}

async fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, setting, source })
}

/// The bound address. A listener that was just bound has one.
fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)))
}

async fn start_demo(config: &mut Config, tasks: &TaskTracker, over: &CancellationToken) -> Result<(), ServeError> {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), "tiers").await?;
    config.set_demo_address(address(&listener));
    tasks.spawn(demo::serve(listener, over.clone()));
    Ok(())
}

async fn open_store(config: &Config) -> Result<Option<Store>, ServeError> {
    if !config.store.enabled {
        return Ok(None);
    }
    Ok(Some(Store::open(settings::store(config)).await?))
}

/// Loads the bundle that should serve: the pinned one, else the one that `CURRENT` names.
fn load_models(config: &Config, metrics: &Metrics) -> Result<Models, ServeError> {
    start_runtime(config)?;
    let directory = match &config.model.bundle {
        Some(pinned) => config.model.dir.join(pinned),
        None => Shelf::new(&config.model.dir).current()?,
    };
    let settings = prepare_settings(config, &directory);
    let prepared = Prepared::new(&settings)?;
    metrics.bundle_activated(prepared.generation().id());
    warn_of_unknown_classes(config, prepared.generation().manifest());
    let registry = Arc::new(Registry::new());
    registry.activate(prepared);
    Ok(Models { registry, settings })
}

/// A tier that stands for none of the bundle's has no predictions, so its models are chosen only where nothing else is eligible.
fn warn_of_unknown_classes(config: &Config, manifest: &Manifest) {
    for tier in config.tiers.iter().filter(|tier| !manifest.tiers.contains(&tier.class)) {
        let known: Vec<&str> = manifest.tiers.iter().map(TierId::as_str).collect();
        tracing::warn!(tier = %tier.id, class = %tier.class, known = known.join(", "), "the bundle does not know this tier's class; set `class`");
    }
}

/// Starts ONNX Runtime from the configured library, or from the first one found.
///
/// # Errors
/// No library, or one that cannot be used.
pub fn start_runtime(config: &Config) -> Result<(), ServeError> {
    let library = match &config.model.runtime {
        Some(library) => library.clone(),
        None => runtime::locate()?,
    };
    Ok(runtime::init(&library)?)
}

/// The registry, with how its first generation was prepared.
struct Models {
    registry: Arc<Registry>,
    settings: PrepareSettings,
}

/// Follows `CURRENT`, unless the configuration pins a bundle.
fn follow(
    config: &Config,
    models: &Models,
    (metrics, drift): (&Arc<Metrics>, &Arc<Drift>),
) -> Option<(Watch, PathBuf)> {
    if config.model.bundle.is_some() {
        return None;
    }
    let (registry, drift) = (Arc::clone(&models.registry), Arc::clone(drift));
    let watcher = Arc::new(Reports { metrics: Arc::clone(metrics), registry, drift });
    let watch = Watch { registry: Arc::clone(&models.registry), settings: models.settings.clone(), watcher };
    Some((watch, models.settings.bundle.clone()))
}

/// Tells the metrics and the log what became of a change of `CURRENT`.
struct Reports {
    metrics: Arc<Metrics>,
    registry: Arc<Registry>,
    drift: Arc<Drift>,
}

impl Watcher for Reports {
    fn activated(&self, bundle: &BundleId) {
        self.metrics.bundle_activated(bundle);
        if let Some(generation) = self.registry.current() {
            self.drift.begin(generation.id(), generation.baseline());
        }
    }

    fn refused(&self, bundle: &Path, error: &PrepareError) {
        self.metrics.bundle_failed();
        tracing::error!(bundle = %bundle.display(), %error, "the bundle was refused; the one before goes on serving");
    }
}

struct Parts {
    /// How many threads serve callers.
    threads: usize,
    models: Arc<Registry>,
    journal: Option<Journal>,
    cache: Option<Arc<Cache>>,
    decisions: Option<Arc<DecisionCache>>,
    sessions: Option<Sessions>,
    metrics: Arc<Metrics>,
    drift: Arc<Drift>,
}

fn app(config: &Config, parts: Parts) -> Result<App, ServeError> {
    Ok(App {
        catalog: settings::catalog(config, parts.threads)?,
        models: parts.models,
        journal: parts.journal,
        cache: parts.cache,
        decisions: parts.decisions,
        deferred: deferred::queue(config),
        sessions: parts.sessions,
        metrics: parts.metrics,
        drift: parts.drift,
        retry: config.retry.settings,
        traffic: Arc::new(resilience::traffic(config)?),
        request_timeout: config.server.request_timeout,
        careful_timeout: config.model.careful_timeout,
    })
}

fn server(config: &Config, (app, retrainer): (App, Retrainer), store: Option<Store>) -> Server {
    let keys = config.server.keys.iter().map(|key| (key.name.clone(), SecretString::from(key.key.expose().to_owned())));
    let drills = resilience::hold(config, &app.catalog, Arc::clone(&app.metrics));
    Server {
        app,
        store,
        keys: Keys::new(keys),
        judges: config
            .server
            .keys
            .iter()
            .filter(|key| key.feedback == FeedbackScope::Any)
            .map(|key| key.name.clone())
            .collect(),
        retrainer,
        drills,
        permits: Arc::new(Semaphore::new(config.server.max_concurrent_requests)),
        body_limits: BodyLimits { bytes: config.server.max_body_bytes, time: BODY_WITHIN },
        keep_alive: config.server.keep_alive,
        draining: AtomicBool::new(false),
        started_unix: now_unix_ms() / 1000,
    }
}

fn admin_keys(config: &Config) -> Keys {
    let key = config.server.admin_key.as_ref();
    Keys::new(key.map(|key| (CallerId::from("admin"), SecretString::from(key.expose().to_owned()))))
}
