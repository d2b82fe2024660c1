//! Upstreams, the places of each model, and how calls to them may fail, from the configuration.

use std::sync::Arc;

use secrecy::SecretString;

use crate::catalog::{Catalog, EMBEDDINGS, Place};
use crate::config::{self, Config, Deployment};
use crate::domain::ids::{ModelName, TierId};
use crate::domain::policy::Policy;
use crate::domain::resilience::{Balance, BreakerSettings};
use crate::drills::{Chain, DrillSettings, Drills, Paths, Schedule};
use crate::serve::providers;
use crate::telemetry::metrics::Metrics;
use crate::upstream::balance::Pool;
use crate::upstream::breaker::Breaker;
use crate::upstream::budget::Traffic;
use crate::upstream::client::{Upstream, UpstreamError, UpstreamSettings};
use crate::upstream::dispatch::Target;
use crate::upstream::health::Health;
use crate::upstream::transport::Transport;
use crate::upstream::verifier::Verifiers;

/// What all calls share.
pub(super) fn traffic(config: &Config) -> Result<Traffic, UpstreamError> {
    let rules = config.policies.iter().filter_map(|policy| policy.recovery.escalation.as_ref());
    let verifiers = rules.filter_map(|rules| rules.verifier.as_ref()).next().map(|_| Verifiers::new()).transpose()?;
    Ok(Traffic { verifiers, ..Traffic::new(config.retry.budget, config.hedge, config.server.client_timeout) })
}

/// When drills are made, and what they may cost.
const fn drills(drills: &config::Drills) -> DrillSettings {
    let schedule = if drills.enabled { Schedule::Every(drills.every, drills.jitter) } else { Schedule::Off };
    DrillSettings { schedule, timeout: drills.timeout, daily_cap: drills.max_per_day }
}

/// The drills of a server. What they find is kept beside the database, where there is one.
pub(super) fn hold(config: &Config, catalog: &Catalog, metrics: Arc<Metrics>) -> Drills {
    let embeddings = catalog.embedding_models().iter().flat_map(|place| place.pool.targets());
    let chain = |policy: &Policy| Chain { policy: policy.name.clone(), steps: policy.recovery.chain.clone() };
    let paths = Paths {
        chat: catalog.chat_targets().cloned().collect(),
        embeddings: embeddings.cloned().collect(),
        chains: config.policies.iter().map(chain).filter(|chain| !chain.steps.is_empty()).collect(),
    };
    let drills = Drills::new(drills(&config.drills), paths, metrics);
    if config.store.enabled { drills.kept_in(config.store.path.with_extension("drills.json")) } else { drills }
}

/// One upstream with one of its keys.
struct Lane {
    upstream: Arc<Upstream>,
    /// Which of several keys, from 1.
    key: Option<u32>,
    /// Shared by all models there.
    breaker: Arc<Breaker>,
}

/// Where everything answers.
pub(super) struct Places {
    pub(super) places: Vec<Place>,
    pub(super) embeddings: Vec<Place>,
}

/// Where each model answers: every deployment, with every key of its upstream. So many threads serve callers.
pub(super) fn places(config: &Config, threads: usize) -> Result<Places, UpstreamError> {
    let breaker = config.breaker;
    let mut lanes: Vec<Lane> = Vec::new();
    for upstream in &config.upstreams {
        for (key, settings) in upstream_settings(upstream) {
            let settings = UpstreamSettings { threads, ..settings };
            let (upstream, breaker) = (Arc::new(Upstream::new(settings)?), Arc::new(Breaker::new(breaker)));
            lanes.push(Lane { upstream, key, breaker });
        }
    }
    let place = |target: &config::Target| Place {
        model: target.candidate.model.clone(),
        pool: Pool::new(targets(&Served::chat(target), &lanes, breaker), target.balance),
        fallback: target.fallback.clone(),
    };
    let embeddings = config.embeddings.iter().map(|model| Place {
        model: model.name.clone(),
        pool: Pool::new(targets(&Served::embeddings(model), &lanes, breaker), Balance::default()),
        fallback: Vec::new(),
    });
    Ok(Places { places: config.targets().map(place).collect(), embeddings: embeddings.collect() })
}

/// A model with the places where it answers.
struct Served<'a> {
    model: &'a ModelName,
    tier: TierId,
    context_tokens: Option<u64>,
    deployments: &'a [Deployment],
}

impl<'a> Served<'a> {
    fn chat(target: &'a config::Target) -> Self {
        let candidate = &target.candidate;
        Self {
            model: &candidate.model,
            tier: candidate.tier.clone(),
            context_tokens: candidate.capability.context_tokens,
            deployments: &target.deployments,
        }
    }

    fn embeddings(model: &'a config::EmbeddingModel) -> Self {
        let deployments = std::slice::from_ref(&model.deployment);
        Self { model: &model.name, tier: TierId::from(EMBEDDINGS), context_tokens: None, deployments }
    }
}

fn targets(served: &Served<'_>, lanes: &[Lane], breaker: BreakerSettings) -> Vec<Target> {
    let mut targets = Vec::new();
    for deployment in served.deployments {
        let ours: Vec<&Lane> = lanes.iter().filter(|lane| *lane.upstream.id() == deployment.upstream).collect();
        for lane in &ours {
            targets.push(Target {
                upstream: Arc::clone(&lane.upstream),
                model: served.model.clone(),
                upstream_model: deployment.upstream_model.clone(),
                tier: served.tier.clone(),
                price: deployment.price,
                context_tokens: served.context_tokens,
                // The keys of a deployment share its part of the load.
                weight: deployment.weight / ours.len() as f64,
                key: lane.key,
                health: Arc::new(Health::new(breaker, Arc::clone(&lane.breaker))),
            });
        }
    }
    targets
}

/// The settings of an upstream, once for each of its keys.
fn upstream_settings(upstream: &config::Upstream) -> Vec<(Option<u32>, UpstreamSettings)> {
    let secret = |secret: &config::secret::Secret| SecretString::from(secret.expose().to_owned());
    let with = |number: Option<u32>, key: Option<&config::secret::Secret>| UpstreamSettings {
        api_key: key.map(secret),
        headers: upstream.headers.iter().map(|(name, value)| (name.clone(), secret(value))).collect(),
        timeouts: upstream.timeouts,
        dialect: providers::dialect(upstream, number),
        quirks: providers::quirks(upstream),
        signing: providers::signing(upstream),
        offers_hosted_tools: providers::offers_hosted_tools(upstream),
        transport: Transport {
            proxy: upstream.transport.proxy.as_ref().map(secret),
            ca_file: upstream.transport.ca_file.clone(),
        },
        ..UpstreamSettings::new(upstream.id.clone(), upstream.base_url.clone())
    };
    if upstream.more_keys.is_empty() {
        return vec![(None, with(None, upstream.api_key.as_ref()))];
    }
    let keys = upstream.api_key.iter().chain(&upstream.more_keys);
    (1..).zip(keys).map(|(number, key)| (Some(number), with(Some(number), Some(key)))).collect()
}
