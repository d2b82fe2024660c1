//! The configuration, as each room wants it.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::cache::decisions::{DecisionCache, DecisionCacheSettings};
use crate::cache::{Cache, CacheSettings, Matching, Rules, Temperatures, ToolCalls};
use crate::catalog::{Catalog, CatalogParts};
use crate::config::{self, CachedDecisions, CachedResponses, CachedTemperatures, Config, KeptPrompts};
use crate::domain::candidate::Candidate;
use crate::domain::recovery::LastKept;
use crate::drift::DriftSettings;
use crate::model::engine::EngineSettings;
use crate::model::generation::PrepareSettings;
use crate::model::session::Device;
use crate::retrain::bundles::Bundles;
use crate::retrain::{RetrainSettings, Retrainer};
use crate::serve::{ServeError, resilience};
use crate::sessions::SessionSettings;
use crate::store::{PromptRetention, Store, StoreSettings};

/// How many threads serve callers: as many as the machine runs at once, where the configuration does not say.
pub(super) fn threads(config: &Config) -> NonZeroUsize {
    let as_many = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    NonZeroUsize::new(config.server.threads).unwrap_or_else(as_many)
}

pub(super) fn store(config: &Config) -> StoreSettings {
    let prompts = match config.store.prompts {
        KeptPrompts::Full => PromptRetention::Full,
        KeptPrompts::Redacted => PromptRetention::Redacted,
        KeptPrompts::None => PromptRetention::None,
    };
    let usual = StoreSettings::at(config.store.path.clone());
    StoreSettings { prompts, queue: NonZeroUsize::new(config.store.queue).unwrap_or(usual.queue), ..usual }
}

pub(super) fn sessions(config: &Config) -> SessionSettings {
    SessionSettings { idle_reset: config.sessions.idle_reset, max_sessions: config.sessions.max_sessions }
}

/// The response cache, where it is switched on.
pub(super) fn cache(config: &Config) -> Option<Arc<Cache>> {
    let given = config.cache;
    let gives_stale = config.policies.iter().any(|policy| policy.recovery.degraded.cached == LastKept::Given);
    let matching = match given.responses {
        CachedResponses::Off => return None,
        CachedResponses::Exact => Matching::Exact,
        CachedResponses::Semantic => Matching::Similar(given.similarity),
    };
    let temperatures = match given.temperature {
        CachedTemperatures::Zero => Temperatures::Zero,
        CachedTemperatures::Unset => Temperatures::Unset,
        CachedTemperatures::Any => Temperatures::Any,
    };
    let tool_calls = if given.tool_calls { ToolCalls::Kept } else { ToolCalls::Left };
    Some(Arc::new(Cache::new(CacheSettings {
        matching,
        ttl: given.ttl,
        // What nobody may be given is not kept.
        stale_for: if gives_stale { given.stale_for } else { Duration::ZERO },
        max_entries: given.max_entries,
        max_bytes: given.max_bytes,
        max_answer_bytes: given.max_answer_bytes,
        rules: Rules { temperatures, tool_calls },
    })))
}

/// The decision cache, where it is switched on.
pub(super) fn decisions(config: &Config) -> Option<Arc<DecisionCache>> {
    let CachedDecisions { enabled, ttl, max_entries, max_bytes } = config.cache.decisions;
    enabled.then(|| Arc::new(DecisionCache::new(DecisionCacheSettings { ttl, max_entries, max_bytes })))
}

/// How a bundle is prepared under this configuration.
#[must_use]
pub fn prepare_settings(config: &Config, bundle: &Path) -> PrepareSettings {
    let usual = PrepareSettings::new(bundle, &config.model.dir);
    let careful = EngineSettings::default();
    PrepareSettings {
        device: match config.model.device {
            config::Device::Auto => Device::Auto,
            config::Device::Cpu => Device::Cpu,
            config::Device::Cuda => Device::Cuda,
        },
        slots: NonZeroUsize::new(config.model.fast_sessions).unwrap_or(usual.slots),
        careful: NonZeroUsize::new(config.model.careful_workers).map(|workers| EngineSettings {
            workers,
            waiting: NonZeroUsize::new(config.model.careful_queue).unwrap_or(careful.waiting),
            ..careful
        }),
        caller_share: config.feedback.caller_share,
        candidates: config.candidates(),
        ..usual
    }
}

/// How drift is watched under this configuration.
#[must_use]
pub fn drift_settings(config: &Config) -> DriftSettings {
    DriftSettings {
        reference: config.drift.reference,
        reference_decisions: config.drift.reference_decisions,
        window_hours: config.drift.window.as_secs().div_ceil(3600),
    }
}

/// Where a server keeps the counts of drift: beside the database. `None` where nothing is stored.
#[must_use]
pub fn drift_file(config: &Config) -> Option<PathBuf> {
    config.store.enabled.then(|| config.store.path.with_extension("drift.json"))
}

pub(super) fn retrainer(config: &Config, bundles: Bundles, store: Option<&Store>) -> Retrainer {
    let data = config.store.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let settings = RetrainSettings {
        data: data.to_path_buf(),
        threads: config.training.threads,
        caller_share: config.training.caller_share,
        device: prepare_settings(config, Path::new("")).device,
    };
    Retrainer::new(settings, bundles, store.map(|store| store.reader().clone()))
}

/// Sets up what calls go to and lets it go again, as `trimtab serve --check` does: files that the configuration names are read, nothing is called.
///
/// # Errors
/// An upstream that cannot be set up.
pub fn check(config: &Config) -> Result<(), ServeError> {
    catalog(config, 0)?;
    resilience::traffic(config)?;
    Ok(())
}

pub(super) fn catalog(config: &Config, threads: usize) -> Result<Catalog, ServeError> {
    let candidates: Vec<Candidate> = config.candidates();
    let resilience::Places { places, embeddings } = resilience::places(config, threads)?;
    let (default, policies): (Vec<_>, Vec<_>) =
        config.policies.iter().cloned().partition(|policy| policy.name == config.default_policy);
    let default_policy = default.into_iter().next().or_else(|| policies.first().cloned());
    let default_policy =
        default_policy.ok_or_else(|| ServeError::NoPolicy { name: config.default_policy.to_string() })?;
    Ok(Catalog::new(CatalogParts { candidates, places, policies, default_policy, embeddings }))
}
