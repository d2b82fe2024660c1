//! Every metric as a typed method. No other file names a metric.
//!
//! Labels are bounded: tiers, policies and upstreams come from the configuration, models that it does not name become `other`.

mod cache;
pub mod checks;
pub mod choice;
mod deferred;
mod drift;
pub mod drills;
mod labels;
pub mod targets;

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::decide::Decision;
use crate::domain::ids::{BundleId, ModelName};
use crate::domain::money::{NanoUsd, Usage};
use crate::domain::outcome::{Attempt, Class, Outcome};
use crate::domain::scores::{ScoreFailure, ScoreTimings};
use crate::telemetry::metrics::drift::DriftGauges;
use crate::telemetry::metrics::labels::{Label, Registered, fast_histogram, slow_histogram};
use crate::telemetry::process;

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every number the process counts. Shared behind one `Arc`; every method may be called from any thread and never waits for long.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    models: HashSet<ModelName>,
    requests: Counters<2>,
    in_flight: Gauge,
    rejected: Counters<1>,
    errors: Counters<1>,
    decisions: Counters<3>,
    decision_seconds: Histogram,
    steps: Steps,
    score_failures: Counters<1>,
    router_cpu: Counter<f64, AtomicU64>,
    attempts: Counters<2>,
    upstream_seconds: Histograms<1>,
    first_byte: Histogram,
    tokens: Counters<2>,
    cost: Family<Labels<1>, Counter<f64, AtomicU64>>,
    store_dropped: Counter,
    store_degraded: Gauge,
    feedback: Counters<1>,
    bundle: Family<Labels<1>, Gauge>,
    prepare_failures: Counter,
    activations: Counter,
    cache: cache::CacheCounters,
    decision_cache: cache::DecisionCacheCounters,
    checks: checks::CheckCounters,
    choice: choice::Choice,
    deferred: deferred::DeferredCounters,
    targets: targets::Targets,
    drift: DriftGauges,
    drills: drills::DrillCounters,
    resident: Gauge,
}

type Labels<const N: usize> = [(&'static str, Label); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// The steps of scoring, resolved once because every request passes them.
#[derive(Debug)]
struct Steps {
    queue: Histogram,
    tokenize: Histogram,
    encode: Histogram,
    heads: Histogram,
    neighbours: Histogram,
}

/// Why a request was turned away before anything was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// `server.max_concurrent_requests` were in flight.
    Busy,
    /// The body was larger than `server.max_body_bytes`.
    TooLarge,
    /// No key, or a wrong one.
    Unauthenticated,
    /// The server is stopping.
    Draining,
}

/// What became of a feedback report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackResult {
    /// It is on disk.
    Stored,
    /// It was on disk before.
    Duplicate,
    /// No such decision.
    UnknownDecision,
    /// It could not be read or was out of range.
    Invalid,
    /// The store failed.
    Failed,
}

/// Counts one request in flight for as long as it lives.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Starts at zero. `models` are the names that may appear as a label.
    #[must_use]
    pub fn new(models: impl IntoIterator<Item = ModelName>) -> Self {
        let mut root = Registry::default();
        let resident = Gauge::default();
        let started = Gauge::<f64, AtomicU64>::default();
        started.set(process::now_seconds());
        root.register_with_unit("process_resident_memory", "Resident memory", Unit::Bytes, resident.clone());
        root.register_with_unit("process_start_time", "Start of the process since 1970", Unit::Seconds, started);
        let registry = root.sub_registry_with_prefix("trimtab");
        registry.register("build", "The running build", Info::new([("version", env!("CARGO_PKG_VERSION"))]));

        let step_seconds = Histograms::new_with_constructor(fast_histogram as fn() -> Histogram);
        let step = |name| step_seconds.get_or_create_owned(&[("step", Label::Word(name))]);
        let steps = Steps {
            queue: step("queue"),
            tokenize: step("tokenize"),
            encode: step("encode"),
            heads: step("heads"),
            neighbours: step("neighbours"),
        };
        registry.register_with_unit("score", "Time of each step of scoring", Unit::Seconds, step_seconds);
        let mut new = Registered(registry);
        Self {
            models: models.into_iter().collect(),
            requests: new.plain("requests", "Answered requests"),
            in_flight: new.plain("requests_in_flight", "Requests being answered now"),
            rejected: new.plain("admission_rejected", "Requests turned away before a decision"),
            errors: new.plain("errors", "Errors sent to callers"),
            decisions: new.plain("decisions", "Decisions"),
            decision_seconds: new.timed("decision", "From prompt to decision", fast_histogram()),
            steps,
            score_failures: new
                .plain("score_failures", "Prompts that could not be scored, so that the default tier answered"),
            router_cpu: new.timed("router_cpu", "Processor time spent on deciding", Counter::default()),
            attempts: new.plain("upstream_attempts", "Calls to upstreams by how they ended"),
            upstream_seconds: new.timed(
                "upstream",
                "Calls to upstreams",
                Histograms::new_with_constructor(slow_histogram),
            ),
            first_byte: new.timed("time_to_first_byte", "From admission to the first byte sent", slow_histogram()),
            tokens: new.plain("tokens", "Tokens as upstreams counted them, or as estimated where they did not"),
            cost: new.dollars("cost", "What upstreams charged, by configured prices"),
            store_dropped: new.plain("store_dropped", "Records dropped because the store could not keep up"),
            store_degraded: new.plain("store_degraded", "1 while the store cannot write"),
            feedback: new.plain("feedback", "Feedback reports"),
            bundle: new.plain("model_info", "1 for the bundle that serves"),
            prepare_failures: new
                .plain("model_prepare_failures", "Bundles that could not be loaded, while the old one kept serving"),
            activations: new.plain("model_activations", "Bundles that began to serve"),
            cache: cache::CacheCounters::new(&mut new),
            decision_cache: cache::DecisionCacheCounters::new(&mut new),
            checks: checks::CheckCounters::new(&mut new),
            choice: choice::Choice::new(&mut new),
            deferred: deferred::DeferredCounters::new(&mut new),
            targets: targets::Targets::new(&mut new),
            drift: DriftGauges::register(&mut new),
            drills: drills::DrillCounters::new(&mut new),
            resident,
            registry: root,
        }
    }

    /// A request was answered on a route, such as `/v1/route`, with a status.
    pub fn request(&self, route: &'static str, status: u16) {
        let class = match status / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "other",
        };
        let labels = [("route", Label::Word(route)), ("status_class", Label::Word(class))];
        self.requests.get_or_create(&labels).inc();
    }

    /// A request was admitted. Keep what this returns until its last byte is sent.
    #[must_use]
    pub fn admitted(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// A request was turned away.
    pub fn rejected(&self, why: Rejection) {
        let why = match why {
            Rejection::Busy => "busy",
            Rejection::TooLarge => "too_large",
            Rejection::Unauthenticated => "unauthenticated",
            Rejection::Draining => "draining",
        };
        self.rejected.get_or_create(&[("why", Label::Word(why))]).inc();
    }

    /// An error was sent to a caller. `kind` is the error's own low-cardinality word.
    pub fn error(&self, kind: &'static str) {
        self.errors.get_or_create(&[("kind", Label::Word(kind))]).inc();
    }

    /// A decision was made, in this time from reading the prompt.
    pub fn decision(&self, decision: &Decision, took: Duration) {
        let labels = [
            ("tier", Label::Tier(decision.tier.clone())),
            ("reason", Label::Word(decision.reason.as_str())),
            ("policy", Label::Policy(decision.policy.clone())),
        ];
        self.decisions.get_or_create(&labels).inc();
        self.decision_seconds.observe(took.as_secs_f64());
    }

    /// A prompt was scored.
    pub fn scored(&self, timings: &ScoreTimings) {
        let ScoreTimings { queue, tokenize, encode, heads, neighbours } = timings;
        self.steps.queue.observe(queue.as_secs_f64());
        self.steps.tokenize.observe(tokenize.as_secs_f64());
        self.steps.encode.observe(encode.as_secs_f64());
        self.steps.heads.observe(heads.as_secs_f64());
        self.steps.neighbours.observe(neighbours.as_secs_f64());
    }

    /// What the router has learned since was worked into kept scores, which is a search for neighbours.
    pub fn refreshed(&self, timings: &ScoreTimings) {
        self.steps.neighbours.observe(timings.neighbours.as_secs_f64());
        self.router_cpu(timings.neighbours);
    }

    /// A prompt could not be scored.
    pub fn score_failed(&self, failure: ScoreFailure) {
        let failure = match failure {
            ScoreFailure::NoBundle => "no_bundle",
            ScoreFailure::EmptyAsk => "empty_ask",
            ScoreFailure::UnknownText => "unknown_text",
            ScoreFailure::Overloaded => "overloaded",
            ScoreFailure::Deadline => "deadline",
            ScoreFailure::Inference => "inference",
        };
        self.score_failures.get_or_create(&[("failure", Label::Word(failure))]).inc();
    }

    /// Deciding took this much processor time: the router's own cost.
    pub fn router_cpu(&self, spent: Duration) {
        self.router_cpu.inc_by(spent.as_secs_f64());
    }

    /// An upstream was called.
    pub fn attempt(&self, attempt: &Attempt) {
        let upstream = || Label::Upstream(attempt.upstream.clone());
        let labels = [("upstream", upstream()), ("class", Label::Word(attempt.class.as_str()))];
        self.attempts.get_or_create(&labels).inc();
        if attempt.class == Class::Skipped {
            return;
        }
        self.upstream_seconds.get_or_create(&[("upstream", upstream())]).observe(attempt.took.as_secs_f64());
    }

    /// A call ended: counts every attempt, the time to the first byte, tokens and cost.
    pub fn outcome(&self, outcome: &Outcome) {
        for attempt in &outcome.attempts {
            self.attempt(attempt);
        }
        if let Some(first_byte) = outcome.first_byte {
            self.first_byte.observe(first_byte.as_secs_f64());
        }
        let mut given = outcome.cost;
        for (attempt, cost) in outcome.attempts.iter().filter_map(|one| Some((one, one.unused_cost?))) {
            self.billed(&attempt.model, &Usage::default(), Some(cost));
            given = given.map(|given| NanoUsd(given.0.saturating_sub(cost.0)));
        }
        if outcome.usage_estimated {
            self.checks.estimated();
        }
        if let Some(model) = &outcome.served_by {
            self.billed(model, &outcome.usage.unwrap_or_default(), given);
        }
    }

    fn billed(&self, model: &ModelName, usage: &Usage, cost: Option<NanoUsd>) {
        let model = if self.models.contains(model) { Label::Model(model.clone()) } else { Label::Word("other") };
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        let written = usage.cache_write_tokens.min(usage.input_tokens - cached);
        let kinds = [
            ("input", usage.input_tokens - cached - written),
            ("cached_input", cached),
            ("cache_write", written),
            ("output", usage.output_tokens),
        ];
        for (kind, tokens) in kinds.into_iter().filter(|(_, tokens)| *tokens > 0) {
            self.tokens.get_or_create(&[("model", model.clone()), ("kind", Label::Word(kind))]).inc_by(tokens);
        }
        if let Some(cost) = cost {
            self.cost.get_or_create(&[("model", model)]).inc_by(cost.as_usd());
        }
    }

    /// Records were dropped because the queue of the store was full.
    pub fn store_dropped(&self, records: u64) {
        self.store_dropped.inc_by(records);
    }

    /// The store cannot write.
    pub fn store_failing(&self) {
        self.store_degraded.set(1);
    }

    /// The store writes again.
    pub fn store_recovered(&self) {
        self.store_degraded.set(0);
    }

    /// A feedback report was handled.
    pub fn feedback(&self, result: FeedbackResult) {
        let result = match result {
            FeedbackResult::Stored => "stored",
            FeedbackResult::Duplicate => "duplicate",
            FeedbackResult::UnknownDecision => "unknown_decision",
            FeedbackResult::Invalid => "invalid",
            FeedbackResult::Failed => "failed",
        };
        self.feedback.get_or_create(&[("result", Label::Word(result))]).inc();
    }

    /// A bundle began to serve.
    pub fn bundle_activated(&self, bundle: &BundleId) {
        self.bundle.clear();
        self.bundle.get_or_create(&[("bundle", Label::Bundle(bundle.clone()))]).set(1);
        self.activations.inc();
    }

    /// A bundle could not be loaded.
    pub fn bundle_failed(&self) {
        self.prepare_failures.inc();
    }

    /// Everything in the OpenMetrics text format, see [`CONTENT_TYPE`].
    #[must_use]
    pub fn render(&self) -> String {
        self.resident.set(process::resident_bytes().unwrap_or(0));
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing to a string cannot fail; an empty page is what a scraper would notice.
            Err(std::fmt::Error) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
