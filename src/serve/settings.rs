//! The configuration, as each room wants it.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;

use crate::catalog::{Catalog, CatalogParts};
use crate::chat::native::quirks::Quirks;
use crate::config::{self, Config, KeptPrompts, UpstreamKind};
use crate::domain::candidate::Candidate;
use crate::domain::provider::Preset;
use crate::model::engine::EngineSettings;
use crate::model::generation::PrepareSettings;
use crate::model::session::Device;
use crate::retrain::bundles::Bundles;
use crate::retrain::{RetrainSettings, Retrainer};
use crate::serve::ServeError;
use crate::sessions::SessionSettings;
use crate::store::{PromptRetention, Store, StoreSettings};
use crate::upstream::client::{Timeouts, Upstream, UpstreamError, UpstreamSettings};
use crate::upstream::dialect::Dialect;
use crate::upstream::dispatch::Target;
use crate::upstream::sign::{AwsCredentials, Signing};
use crate::upstream::transport::Transport;

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
        ..usual
    }
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

pub(super) fn catalog(config: &Config) -> Result<Catalog, ServeError> {
    let upstreams: Vec<Arc<Upstream>> = config
        .upstreams
        .iter()
        .map(|upstream| Ok(Arc::new(Upstream::new(upstream_settings(upstream))?)))
        .collect::<Result<_, UpstreamError>>()?;
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut targets = Vec::new();
    for target in config.targets() {
        let Some(upstream) = upstreams.iter().find(|upstream| *upstream.id() == target.upstream) else { continue };
        let candidate = &target.candidate;
        if candidates.iter().all(|known| known.model != candidate.model) {
            candidates.push(candidate.clone());
        }
        targets.push(Target {
            upstream: Arc::clone(upstream),
            model: candidate.model.clone(),
            upstream_model: target.upstream_model.clone(),
            tier: candidate.tier.clone(),
            price: candidate.price,
        });
    }
    let (default, policies): (Vec<_>, Vec<_>) =
        config.policies.iter().cloned().partition(|policy| policy.name == config.default_policy);
    let default_policy = default.into_iter().next().or_else(|| policies.first().cloned());
    let default_policy =
        default_policy.ok_or_else(|| ServeError::NoPolicy { name: config.default_policy.to_string() })?;
    Ok(Catalog::new(CatalogParts { candidates, targets, policies, default_policy }))
}

fn upstream_settings(upstream: &config::Upstream) -> UpstreamSettings {
    let secret = |secret: &config::secret::Secret| SecretString::from(secret.expose().to_owned());
    let timeouts = upstream.timeouts;
    UpstreamSettings {
        api_key: upstream.api_key.as_ref().map(secret),
        headers: upstream.headers.iter().map(|(name, value)| (name.clone(), secret(value))).collect(),
        timeouts: Timeouts {
            connect: timeouts.connect,
            headers: timeouts.headers,
            first_token: timeouts.headers,
            idle: timeouts.idle,
            total: timeouts.total,
        },
        dialect: dialect(upstream),
        quirks: quirks(upstream),
        signing: signing(upstream),
        transport: Transport {
            proxy: upstream.transport.proxy.as_ref().map(secret),
            ca_file: upstream.transport.ca_file.clone(),
        },
        ..UpstreamSettings::new(upstream.id.clone(), upstream.base_url.clone())
    }
}

fn dialect(upstream: &config::Upstream) -> Dialect {
    match &upstream.kind {
        UpstreamKind::OpenAi(_) => Dialect::OpenAi,
        UpstreamKind::Azure { api_version } => {
            Dialect::Azure { api_version: UpstreamKind::azure_version(api_version.as_deref(), &upstream.base_url) }
        }
        UpstreamKind::Anthropic => Dialect::Anthropic,
        UpstreamKind::Gemini => Dialect::Gemini,
        UpstreamKind::Bedrock { .. } => Dialect::Bedrock,
    }
}

fn quirks(upstream: &config::Upstream) -> Quirks {
    let preset = match upstream.kind {
        UpstreamKind::OpenAi(preset) => preset,
        UpstreamKind::Azure { .. } | UpstreamKind::Anthropic | UpstreamKind::Gemini => None,
        UpstreamKind::Bedrock { .. } => None,
    };
    let drops = preset.map_or(&[][..], Preset::drops).iter().map(|field| (*field).to_owned());
    Quirks {
        drops: drops.chain(upstream.drop_fields.iter().cloned()).collect(),
        renames: preset.map_or(&[][..], Preset::renames).to_vec(),
    }
}

fn signing(upstream: &config::Upstream) -> Option<Signing> {
    let UpstreamKind::Bedrock { region, keys: Some(keys) } = &upstream.kind else { return None };
    let secret = |secret: &config::secret::Secret| SecretString::from(secret.expose().to_owned());
    Some(Signing {
        region: region.clone(),
        credentials: AwsCredentials {
            access_key_id: secret(&keys.access_key_id),
            secret_access_key: secret(&keys.secret_access_key),
            session_token: keys.session_token.as_ref().map(secret),
        },
    })
}
