//! Labels, and how metrics are registered.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelValue;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::ids::{BundleId, ModelName, PolicyName, TierId, UpstreamId};
use crate::domain::money::NanoUsd;

/// A label's value, without a copy of its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Label {
    Word(&'static str),
    Tier(TierId),
    Policy(PolicyName),
    Upstream(UpstreamId),
    Model(ModelName),
    /// What an upstream calls a model.
    UpstreamModel(String),
    Bundle(BundleId),
    /// Which of several keys, from 1.
    Key(u32),
}

impl EncodeLabelValue for Label {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>) -> std::fmt::Result {
        let text = match self {
            Self::Word(word) => word,
            Self::Tier(tier) => tier.as_str(),
            Self::Policy(policy) => policy.as_str(),
            Self::Upstream(upstream) => upstream.as_str(),
            Self::Model(model) => model.as_str(),
            Self::UpstreamModel(model) => model.as_str(),
            Self::Bundle(bundle) => bundle.as_str(),
            Self::Key(number) => return EncodeLabelValue::encode(number, encoder),
        };
        EncodeLabelValue::encode(&text, encoder)
    }
}

/// Registers a metric and hands it back.
pub(super) struct Registered<'a>(pub(super) &'a mut Registry);

impl Registered<'_> {
    pub(super) fn plain<M: prometheus_client::registry::Metric + Clone + Default>(
        &mut self,
        name: &str,
        help: &str,
    ) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    pub(super) fn timed<M: prometheus_client::registry::Metric + Clone>(
        &mut self,
        name: &str,
        help: &str,
        metric: M,
    ) -> M {
        self.in_unit(name, help, (Unit::Seconds, metric))
    }

    pub(super) fn dollars<M>(&mut self, name: &str, help: &str) -> M
    where
        M: prometheus_client::registry::Metric + Clone + Default,
    {
        self.in_unit(name, help, (Unit::Other("usd".to_owned()), M::default()))
    }

    pub(super) fn in_unit<M>(&mut self, name: &str, help: &str, (unit, metric): (Unit, M)) -> M
    where
        M: prometheus_client::registry::Metric + Clone,
    {
        self.0.register_with_unit(name, help, unit, metric.clone());
        metric
    }
}

/// A counter that is counted elsewhere.
pub(super) fn set(counter: &Counter, count: u64) {
    counter.inner().store(count, Ordering::Relaxed);
}

/// An amount that is counted elsewhere.
pub(super) fn set_usd(counter: &Counter<f64, AtomicU64>, amount: NanoUsd) {
    counter.inner().store(amount.as_usd().to_bits(), Ordering::Relaxed);
}

/// 10 µs to 1 s: what happens on this machine.
pub(super) fn fast_histogram() -> Histogram {
    Histogram::new([1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 0.25, 1.0])
}

/// 1 ms to 5 minutes: what waits for an upstream.
pub(super) fn slow_histogram() -> Histogram {
    Histogram::new([1e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0])
}
