//! What the operator asks for: defaults, file, environment and flags, checked into plain data. Imports `domain`.
//!
//! [`load`] reports every problem at once, each with its path and its remedy. `default.toml` documents every key.

mod cache;
mod deferred;
mod demo;
mod deployments;
mod drills;
mod embeddings;
pub mod env;
pub mod error;
mod escalate;
mod layers;
mod provider;
mod reader;
mod recovery;
mod resilience;
mod routing;
pub mod secret;
mod timeouts;
mod units;
mod upstream;
mod validate;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::config::cache::{Cache, CachedDecisions, CachedResponses, CachedTemperatures};
pub use crate::config::deferred::Deferred;
pub use crate::config::drills::Drills;
pub use crate::config::embeddings::EmbeddingModel;
use crate::config::env::Environment;
use crate::config::error::ConfigErrors;
pub use crate::config::resilience::{Deployment, Retry};
use crate::config::secret::Secret;
pub use crate::config::upstream::{AwsKeys, Transport, Upstream, UpstreamKind};
use crate::domain::candidate::Candidate;
use crate::domain::drift::ReferenceKind;
use crate::domain::ids::{CallerId, ModelName, PolicyName, TierId, UpstreamId};
use crate::domain::policy::{Policy, SessionMode};
use crate::domain::probability::Probability;
use crate::domain::resilience::{Allowance, Balance, BreakerSettings};

/// The annotated defaults, for people to read.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// The file read from the working directory where no other is named.
pub const DEFAULT_FILE: &str = "trimtab.toml";

const DEMO_TOML: &str = include_str!("demo.toml");

/// Where a configuration comes from. Nothing else is read.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The file that `--config` names. It must exist.
    pub file: Option<&'a Path>,
    /// Where `trimtab.toml` is looked for when no file is named. It need not be there.
    pub directory: &'a Path,
    /// The environment.
    pub environment: &'a Environment,
    /// Keys set by flags, as path and text, for example `("server.listen", "127.0.0.1:0")`. The last one wins.
    pub overrides: &'a [(String, String)],
    /// Whether secrets are read.
    pub secrets: Secrets,
}

/// Whether the secrets that a configuration names are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// For serving: a missing secret is a problem.
    Required,
    /// For commands that neither serve nor call an upstream. Keys are `None` and `server.keys` is empty, so never serve with it.
    Unread,
}

/// Reads, merges and checks a configuration.
///
/// # Errors
/// With every problem found, not only the first.
pub fn load(sources: &Sources<'_>) -> Result<Config, ConfigErrors> {
    let layers = layers::merge(sources).map_err(ConfigErrors)?;
    validate::config(&layers, sources)
}

/// A checked configuration. Plain data: whoever reads it need not check again.
#[derive(Clone, Debug)]
pub struct Config {
    /// The listeners.
    pub server: Server,
    /// The learned part.
    pub model: Model,
    /// Conversations.
    pub sessions: Sessions,
    /// Answers that are given again, and asks that are not scored again.
    pub cache: Cache,
    /// Requests that wait for an answer.
    pub deferred: Deferred,
    /// The records.
    pub store: Store,
    /// Feedback that the running router learns from at once.
    pub feedback: LiveFeedback,
    /// Retraining.
    pub training: Training,
    /// The watch over drift.
    pub drift: Drift,
    /// Calls that see whether targets work.
    pub drills: Drills,
    /// The log.
    pub log: Log,
    /// How often is asked again.
    pub retry: Retry,
    /// When targets are left alone.
    pub breaker: BreakerSettings,
    /// How often a second target is asked at once.
    pub hedge: Allowance,
    /// Every configured upstream, by name.
    pub upstreams: Vec<Upstream>,
    /// Every tier from weak to strong; at least one, each with at least one model.
    pub tiers: Vec<Tier>,
    /// Every embedding model, in the order of the file.
    pub embeddings: Vec<EmbeddingModel>,
    /// Every policy, by name.
    pub policies: Vec<Policy>,
    /// The policy of requests that name none. One of `policies`.
    pub default_policy: PolicyName,
    /// Whether nothing was configured, so that the embedded demo answers. See [`Config::set_demo_address`].
    pub demo: bool,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
}

/// `[server]`.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where callers connect. A loopback address where `keys` is empty.
    pub listen: SocketAddr,
    /// Where administration connects. A loopback address where `admin_key` is `None`.
    pub admin_listen: SocketAddr,
    /// How many threads serve callers. Zero: as many as the machine runs at once.
    pub threads: usize,
    /// Bytes of the largest request body.
    pub max_body_bytes: usize,
    /// Most requests in flight.
    pub max_concurrent_requests: usize,
    /// From admission to the last byte.
    pub request_timeout: Duration,
    /// How long a client may leave an answer unread.
    pub client_timeout: Duration,
    /// After how much silence of a stream its client gets a sign of life.
    pub keep_alive: Duration,
    /// How long a stopping server waits for requests in flight.
    pub drain_timeout: Duration,
    /// Who may call. Empty means everyone.
    pub keys: Vec<CallerKey>,
    /// What administration must present, where it must.
    pub admin_key: Option<Secret>,
}

/// One entry of `[[server.keys]]`.
#[derive(Clone, Debug)]
pub struct CallerKey {
    /// Who holds it.
    pub name: CallerId,
    /// The key.
    pub key: Secret,
    /// Whose decisions the holder may report on.
    pub feedback: FeedbackScope,
}

/// Whose decisions a caller may report on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeedbackScope {
    /// Its own.
    #[default]
    Own,
    /// Everybody's.
    Any,
}

/// `[feedback]`: feedback that the running router learns from at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LiveFeedback {
    /// The most that one caller's prompts may be of those that joined the running index, as a share of all.
    pub caller_share: f64,
}

/// `[training]`: retraining by the running server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// Threads it computes on.
    pub threads: usize,
    /// The most that one caller's feedback may weigh, as a share of all.
    pub caller_share: f64,
}

/// `[model]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The model directory.
    pub dir: PathBuf,
    /// The bundle that serves whatever `CURRENT` says: absolute, or relative to `dir`.
    pub bundle: Option<PathBuf>,
    /// Where scoring runs.
    pub device: Device,
    /// The ONNX Runtime library, where the operator names one.
    pub runtime: Option<PathBuf>,
    /// Sessions of the fast scorer; 0 is one per processor core.
    pub fast_sessions: usize,
    /// Threads of the careful scorer; 0 turns it off.
    pub careful_workers: usize,
    /// Prompts that may wait for the careful scorer.
    pub careful_queue: usize,
    /// How long a request waits for the careful scorer.
    pub careful_timeout: Duration,
}

/// Where scoring runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// CUDA where it is there, else the processor.
    Auto,
    /// The processor.
    Cpu,
    /// CUDA, or an error.
    Cuda,
}

/// `[sessions]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sessions {
    /// Whether later turns of a conversation keep its model, under policies that do not say.
    pub mode: SessionMode,
    /// After this long without a turn a session starts anew.
    pub idle_reset: Duration,
    /// Most sessions remembered.
    pub max_sessions: NonZeroUsize,
    /// The gain in success probability without which a session keeps its model.
    pub switch_margin: Probability,
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Whether anything is recorded.
    pub enabled: bool,
    /// The database file.
    pub path: PathBuf,
    /// What is kept of a prompt.
    pub prompts: KeptPrompts,
    /// Records that may wait for the disk.
    pub queue: usize,
}

/// What is kept of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptPrompts {
    /// Its text.
    Full,
    /// Its text with personal data masked.
    Redacted,
    /// Its digest and embedding only.
    None,
}

/// `[drift]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift {
    /// What recent traffic is compared with.
    pub reference: ReferenceKind,
    /// How many decisions make a reference of traffic.
    pub reference_decisions: u64,
    /// How long a decision counts as recent, whole hours.
    pub window: Duration,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Directives that `tracing_subscriber::EnvFilter` accepts.
    pub filter: String,
    /// How events look.
    pub format: LogFormat,
    /// Whether prompt text may appear at level trace.
    pub prompts: bool,
}

/// How events look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// One entry of `[[tiers]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// The name.
    pub id: TierId,
    /// The tier of the bundle that it stands for.
    pub class: TierId,
    /// At least one.
    pub models: Vec<Target>,
}

/// One entry of `[[tiers.models]]`: a model, and where it answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The model as the decision sees it.
    pub candidate: Candidate,
    /// Every place where it answers, at least one, each at one of the configured upstreams.
    pub deployments: Vec<Deployment>,
    /// How load is spread over them.
    pub balance: Balance,
    /// The models asked when none of them does. Empty for what the policy says.
    pub fallback: Vec<ModelName>,
}

impl Config {
    /// Every model, weakest tier first, in the order of the file.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.tiers.iter().flat_map(|tier| &tier.models)
    }

    /// Every model as the decision sees it, in the same order.
    #[must_use]
    pub fn candidates(&self) -> Vec<Candidate> {
        self.targets().map(|target| target.candidate.clone()).collect()
    }

    /// The name of every model, embedding models included.
    #[must_use]
    pub fn model_names(&self) -> Vec<ModelName> {
        let chat = self.targets().map(|target| target.candidate.model.clone());
        chat.chain(self.embeddings.iter().map(|model| model.name.clone())).collect()
    }

    /// The model of a name.
    #[must_use]
    pub fn target(&self, model: &ModelName) -> Option<&Target> {
        self.targets().find(|target| target.candidate.model == *model)
    }

    /// The policy of a name.
    #[must_use]
    pub fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.name.as_str() == name)
    }

    /// Whether any model, embedding models included, answers at an upstream.
    #[must_use]
    pub fn uses(&self, id: &UpstreamId) -> bool {
        deployments::all(&self.tiers, &self.embeddings).any(|one| one.upstream == *id)
    }

    /// The upstream of a name.
    #[must_use]
    pub fn upstream(&self, id: &UpstreamId) -> Option<&Upstream> {
        self.upstreams.iter().find(|upstream| upstream.id == *id)
    }
}

#[cfg(test)]
mod tests;
