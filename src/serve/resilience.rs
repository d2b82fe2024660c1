//! Upstreams, the places of each model, and how calls to them may fail, from the configuration.

use std::sync::Arc;

use secrecy::SecretString;

use crate::catalog::Place;
use crate::config::{self, Config};
use crate::domain::ids::TierId;
use crate::drills::{DrillSettings, Drills, Schedule};
use crate::serve::providers;
use crate::telemetry::metrics::Metrics;
use crate::upstream::balance::{Balance, Pool};
use crate::upstream::breaker::{Breaker, BreakerSettings};
use crate::upstream::budget::{Allowance, Traffic};
use crate::upstream::client::{Timeouts, Upstream, UpstreamError, UpstreamSettings};
use crate::upstream::dispatch::Target;
use crate::upstream::health::Health;
use crate::upstream::retry::{RetryOn, RetrySettings};
use crate::upstream::transport::Transport;
use crate::upstream::verifier::Verifiers;
use crate::upstream::wait::Throughput;

/// The bounds of the attempts of a call.
pub(super) fn retry(retry: &config::Retry) -> RetrySettings {
    let listed = RetryOn::WORDS.into_iter().filter(|(word, _)| retry.on.contains(word)).map(|(_, kind)| kind);
    RetrySettings {
        per_target: retry.per_target,
        total: retry.attempts,
        within: retry.within,
        on: listed.collect(),
        base: retry.base_delay,
        cap: retry.max_delay,
        patience: retry.patience,
        last_patience: retry.last_patience,
    }
}

/// What all calls share.
pub(super) fn traffic(config: &Config) -> Result<Traffic, UpstreamError> {
    let retries = Allowance { share: config.retry.budget_share, burst: f64::from(config.retry.budget_burst) };
    let hedges = Allowance { share: config.hedge.share, burst: f64::from(config.hedge.burst) };
    let rules = config.policies.iter().filter_map(|policy| policy.recovery.escalation.as_ref());
    let verifiers = rules.filter_map(|rules| rules.verifier.as_ref()).next().map(|_| Verifiers::new()).transpose()?;
    Ok(Traffic { verifiers, ..Traffic::new(retries, hedges, config.server.client_timeout) })
}

/// When drills are made, and what they may cost.
const fn drills(drills: &config::Drills) -> DrillSettings {
    let schedule = if drills.enabled { Schedule::Every(drills.every, drills.jitter) } else { Schedule::Off };
    DrillSettings { schedule, timeout: drills.timeout, daily_cap: drills.max_per_day }
}

/// The drills of a server. What they find is kept beside the database, where there is one.
pub(super) fn hold(config: &Config, targets: Vec<Target>, metrics: Arc<Metrics>) -> Drills {
    let drills = Drills::new(drills(&config.drills), targets, metrics);
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
    pub(super) embeddings: Vec<Target>,
}

/// Where each model answers: every deployment, with every key of its upstream. Embedding models answer with its first key.
pub(super) fn places(config: &Config) -> Result<Places, UpstreamError> {
    let breaker = breaker(&config.breaker);
    let mut lanes: Vec<Lane> = Vec::new();
    for upstream in &config.upstreams {
        for (key, settings) in upstream_settings(upstream) {
            let (upstream, breaker) = (Arc::new(Upstream::new(settings)?), Arc::new(Breaker::new(breaker)));
            lanes.push(Lane { upstream, key, breaker });
        }
    }
    let place = |target: &config::Target| Place {
        model: target.candidate.model.clone(),
        pool: Pool::new(targets(target, &lanes, breaker), balance(target.balance)),
        fallback: target.fallback.clone(),
    };
    let embeddings = config.embeddings.iter().filter_map(|model| {
        let lane = lanes.iter().find(|lane| *lane.upstream.id() == model.upstream)?;
        Some(Target {
            upstream: Arc::clone(&lane.upstream),
            model: model.name.clone(),
            upstream_model: model.upstream_model.clone(),
            tier: TierId::from("embeddings"),
            price: model.price,
            context_tokens: None,
            weight: 1.0,
            key: lane.key,
            health: Arc::new(Health::new(breaker, Arc::clone(&lane.breaker))),
        })
    });
    Ok(Places { places: config.targets().map(place).collect(), embeddings: embeddings.collect() })
}

fn targets(target: &config::Target, lanes: &[Lane], breaker: BreakerSettings) -> Vec<Target> {
    let candidate = &target.candidate;
    let mut targets = Vec::new();
    for deployment in &target.deployments {
        let ours: Vec<&Lane> = lanes.iter().filter(|lane| *lane.upstream.id() == deployment.upstream).collect();
        for lane in &ours {
            targets.push(Target {
                upstream: Arc::clone(&lane.upstream),
                model: candidate.model.clone(),
                upstream_model: deployment.upstream_model.clone(),
                tier: candidate.tier.clone(),
                price: deployment.price,
                context_tokens: candidate.capability.context_tokens,
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
    let timeouts = upstream.timeouts;
    let with = |key: Option<&config::secret::Secret>| UpstreamSettings {
        api_key: key.map(secret),
        headers: upstream.headers.iter().map(|(name, value)| (name.clone(), secret(value))).collect(),
        timeouts: Timeouts {
            connect: timeouts.connect,
            headers: timeouts.headers,
            first_token: timeouts.first_token,
            idle: timeouts.idle,
            throughput: timeouts
                .min_throughput
                .map(|(bytes_per_second, window)| Throughput { bytes_per_second, window }),
            total: timeouts.total,
        },
        dialect: providers::dialect(upstream),
        quirks: providers::quirks(upstream),
        signing: providers::signing(upstream),
        transport: Transport {
            proxy: upstream.transport.proxy.as_ref().map(secret),
            ca_file: upstream.transport.ca_file.clone(),
        },
        ..UpstreamSettings::new(upstream.id.clone(), upstream.base_url.clone())
    };
    if upstream.more_keys.is_empty() {
        return vec![(None, with(upstream.api_key.as_ref()))];
    }
    let keys = upstream.api_key.iter().chain(&upstream.more_keys);
    (1..).zip(keys).map(|(number, key)| (Some(number), with(Some(key)))).collect()
}

const fn breaker(breaker: &config::Breaker) -> BreakerSettings {
    BreakerSettings {
        window: breaker.window,
        least_calls: breaker.least_calls,
        failures: breaker.failures,
        in_a_row: breaker.in_a_row,
        cooling: breaker.cooling,
        longest_cooling: breaker.longest_cooling,
    }
}

const fn balance(balance: config::Balance) -> Balance {
    match balance {
        config::Balance::Weighted => Balance::Weighted,
        config::Balance::LeastBusy => Balance::LeastBusy,
        config::Balance::Latency => Balance::Latency,
        config::Balance::Cost => Balance::Cost,
    }
}
