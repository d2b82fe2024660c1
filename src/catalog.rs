//! Everything a request may be sent to: candidates, the targets that serve them, and the policies that choose.
//!
//! Built once from the configuration and never changed; a reload builds another.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::chat::options::RouterOptions;
use crate::domain::candidate::{Candidate, Exclusion};
use crate::domain::decide::Decision;
use crate::domain::ids::{AccountId, ModelName, PolicyName, TierId};
use crate::domain::policy::{Aim, Limits, Policy, matches};
use crate::domain::prompt::Shape;
use crate::upstream::balance::Pool;
use crate::upstream::breaker::BreakerState;
use crate::upstream::dispatch::{Needs, Target};

/// The prefix of virtual models that name a policy.
const AUTO: &str = "auto";

/// What stands in place of a tier for embedding models.
pub const EMBEDDINGS: &str = "embeddings";

/// The configured models and policies.
#[derive(Debug)]
pub struct Catalog {
    candidates: Vec<Candidate>,
    pools: HashMap<ModelName, Place>,
    policies: HashMap<PolicyName, Policy>,
    default_policy: Policy,
    embeddings: Vec<Place>,
    tiers: Arc<[TierId]>,
}

/// Where one model answers.
#[derive(Debug)]
pub struct Place {
    /// The model.
    pub model: ModelName,
    /// Its targets.
    pub pool: Pool,
    /// The models asked when none of them answers. Empty for what the policy says.
    pub fallback: Vec<ModelName>,
}

/// The parts of a catalog. Every target's model is one of the candidates; the configuration checked that.
#[derive(Debug)]
pub struct CatalogParts {
    /// Every model once, weakest tier first.
    pub candidates: Vec<Candidate>,
    /// Where each of them answers, each once.
    pub places: Vec<Place>,
    /// Every policy but the default.
    pub policies: Vec<Policy>,
    /// What `auto` means.
    pub default_policy: Policy,
    /// Every embedding model.
    pub embeddings: Vec<Place>,
}

/// What a request wants, once its model name is understood.
#[derive(Clone, Debug)]
pub enum Wanted<'a> {
    /// A decision under a policy.
    Decision {
        /// The operator's rules.
        policy: &'a Policy,
        /// The caller's wishes.
        limits: Limits,
    },
    /// A model by name: nothing is decided.
    Model(&'a Candidate),
}

/// A name that the configuration does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownName {
    /// No such model, real or virtual.
    #[error("the model `{model}` is not configured; use `auto`, `auto:<policy>` or one of: {known}")]
    Model {
        /// What was asked for.
        model: String,
        /// What there is.
        known: String,
    },
    /// No such embedding model, or none named where there are several.
    #[error("{}; {known}", .model.as_ref().map_or_else(|| "the request names no embedding model".to_owned(), |model| format!("the embedding model `{model}` is not configured")))]
    EmbeddingModel {
        /// What was asked for.
        model: Option<String>,
        /// What to do: the models there are, or where to add one.
        known: String,
    },
    /// No such policy.
    #[error("the policy `{policy}` is not configured; use one of: {known}")]
    Policy {
        /// What was asked for.
        policy: String,
        /// What there is.
        known: String,
    },
    /// A candidate pattern that matches nothing.
    #[error("the candidate `{pattern}` matches no configured model; use names or prefixes ending in `*` of: {known}")]
    Candidate {
        /// What was asked for.
        pattern: String,
        /// What there is.
        known: String,
    },
    /// A RouteLLM name whose threshold is not a number from 0 to 1.
    #[error("`{model}` must end in a threshold from 0 to 1, as in `router-mf-0.116`")]
    Threshold {
        /// What was asked for.
        model: String,
    },
}

impl Catalog {
    /// Joins the parts.
    #[must_use]
    pub fn new(parts: CatalogParts) -> Self {
        let pools = parts.places.into_iter().map(|place| (place.model.clone(), place)).collect();
        let mut tiers: Vec<TierId> = parts.candidates.iter().map(|candidate| candidate.tier.clone()).collect();
        tiers.dedup();
        let policies = parts.policies.into_iter().map(|policy| (policy.name.clone(), policy)).collect();
        Self {
            candidates: parts.candidates,
            pools,
            policies,
            default_policy: parts.default_policy,
            embeddings: parts.embeddings,
            tiers: tiers.into(),
        }
    }

    /// Every model, weakest tier first.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Every tier that has a model, weakest first.
    #[must_use]
    pub fn tiers(&self) -> Arc<[TierId]> {
        Arc::clone(&self.tiers)
    }

    /// The candidate of a name.
    #[must_use]
    pub fn candidate(&self, model: &str) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.model.as_str() == model)
    }

    /// Every policy by name, the default first, the others sorted.
    #[must_use]
    pub fn policies(&self) -> Vec<&Policy> {
        let mut policies: Vec<&Policy> =
            self.policies.values().filter(|policy| policy.name != self.default_policy.name).collect();
        policies.sort_by(|a, b| a.name.cmp(&b.name));
        policies.insert(0, &self.default_policy);
        policies
    }

    /// Understands a model name: `auto`, `auto:<policy>`, `router-<name>-<threshold>` as RouteLLM writes it, or a configured model.
    ///
    /// RouteLLM's threshold is applied to the predicted gain of a stronger model: higher means cheaper, as there.
    ///
    /// # Errors
    /// Names that the configuration does not have.
    pub fn resolve(&self, model: &str, options: &RouterOptions) -> Result<Wanted<'_>, UnknownName> {
        self.check_candidates(&options.limits)?;
        let mut limits = options.limits.clone();
        let policy = match (model.split_once(':'), &options.policy) {
            (_, Some(policy)) if is_virtual(model) => self.policy(policy.as_str())?,
            (Some((AUTO, policy)), _) => self.policy(policy)?,
            _ if model == AUTO => &self.default_policy,
            _ => match routellm_threshold(model) {
                Some(threshold) => {
                    let threshold = threshold.ok_or_else(|| UnknownName::Threshold { model: model.to_owned() })?;
                    limits.aim = limits.aim.or(Some(Aim::Threshold(threshold)));
                    &self.default_policy
                }
                None => return self.named(model),
            },
        };
        Ok(Wanted::Decision { policy, limits })
    }

    fn named(&self, model: &str) -> Result<Wanted<'_>, UnknownName> {
        let unknown = || UnknownName::Model { model: model.to_owned(), known: self.known_models() };
        self.candidate(model).map(Wanted::Model).ok_or_else(unknown)
    }

    fn policy(&self, name: &str) -> Result<&Policy, UnknownName> {
        if name == self.default_policy.name.as_str() {
            return Ok(&self.default_policy);
        }
        self.policies.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.policies().iter().map(|policy| policy.name.as_str()).collect();
            UnknownName::Policy { policy: name.to_owned(), known: known.join(", ") }
        })
    }

    fn check_candidates(&self, limits: &Limits) -> Result<(), UnknownName> {
        let names_some = |pattern: &str| self.candidates.iter().any(|one| matches(pattern, one.model.as_str()));
        match limits.candidates.iter().find(|pattern| !names_some(pattern)) {
            Some(pattern) => Err(UnknownName::Candidate { pattern: pattern.clone(), known: self.known_models() }),
            None => Ok(()),
        }
    }

    fn known_models(&self) -> String {
        let names: Vec<&str> = self.candidates.iter().map(|one| one.model.as_str()).collect();
        names.join(", ")
    }

    /// The models that answer nowhere where a request can be sent, each with the reason. What a model can do wherever it answers is not asked
    /// here.
    #[must_use]
    pub fn barred(&self, shape: &Shape) -> Vec<(ModelName, Exclusion)> {
        let needs = self.needs(shape);
        if needs == Needs::default() {
            return Vec::new();
        }
        let bars = |model: &ModelName| {
            let targets = self.pools.get(model)?.pool.targets();
            targets.iter().map(|target| target.bars(needs)).reduce(|all, one| all.and(one)).flatten()
        };
        let models = self.candidates.iter().map(|candidate| &candidate.model);
        models.filter_map(|model| Some((model.clone(), bars(model)?))).collect()
    }

    /// What a request needs of the place where it is answered. Thoughts of accounts that nobody here has are no need: they are left out.
    fn needs<'a>(&self, shape: &'a Shape) -> Needs<'a> {
        let is_here = |account: &AccountId| self.chat_targets().any(|target| target.account() == Some(account));
        Needs {
            thinker: shape.thinkers.iter().rev().find(|account| is_here(account)),
            hosted: shape.hosted.as_ref().map(|hosted| hosted.api),
        }
    }

    /// The targets of a decision in the order they are tried: the chosen model, then what the policy or else the model falls back on, and
    /// where neither says so, the other eligible models of its tier, stronger tiers, and weaker ones only where that is allowed. A model that
    /// may not answer the request is never among them, nor is a place of a model where it cannot be sent.
    #[must_use]
    pub fn targets_for(&self, decision: &Decision, shape: &Shape, wishes: Wishes<'_>) -> Vec<Arc<Target>> {
        let place = self.pools.get(&decision.model);
        let own = place.map_or(&[][..], |place| &place.fallback);
        let chain = if wishes.chain.is_empty() { own } else { wishes.chain };
        let now = Instant::now();
        let mut targets = self.ordered(&decision.model, now);
        let mut asked = vec![&decision.model];
        let by_tier;
        let others: &mut dyn Iterator<Item = &ModelName> = if chain.is_empty() {
            by_tier = by_tier_of(decision, wishes.weaker);
            &mut by_tier.into_iter()
        } else {
            &mut chain.iter().filter(|model| self.may_answer(model, decision, shape))
        };
        for model in others {
            if !asked.contains(&model) {
                asked.push(model);
                targets.extend(self.ordered(model, now));
            }
        }
        let needs = self.needs(shape);
        targets.retain(|target| target.bars(needs).is_none());
        targets
    }

    /// Every embedding model.
    #[must_use]
    pub fn embedding_models(&self) -> &[Place] {
        &self.embeddings
    }

    /// The embedding model of a name; where none is named, the only one.
    ///
    /// # Errors
    /// Names that the configuration does not have, and none where there is no single model.
    pub fn embedding_model(&self, model: Option<&str>) -> Result<&Place, UnknownName> {
        let found = match (model, self.embeddings.as_slice()) {
            (Some(model), all) => all.iter().find(|place| place.model.as_str() == model),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        found.ok_or_else(|| {
            let known: Vec<&str> = self.embeddings.iter().map(|place| place.model.as_str()).collect();
            let known = if known.is_empty() {
                "add one under [[embeddings]] in the configuration".to_owned()
            } else {
                format!("name one of: {}", known.join(", "))
            };
            UnknownName::EmbeddingModel { model: model.map(str::to_owned), known }
        })
    }

    /// Whether a model may answer: the decision says so where it was among the candidates, else what the model can do.
    fn may_answer(&self, model: &ModelName, decision: &Decision, shape: &Shape) -> bool {
        match decision.considered.iter().find(|one| one.model == *model) {
            Some(considered) => considered.excluded.is_none(),
            None => self.candidate(model.as_str()).is_some_and(|one| one.capability.lacks(shape).is_none()),
        }
    }

    fn ordered(&self, model: &ModelName, now: Instant) -> Vec<Arc<Target>> {
        self.pools.get(model).map_or_else(Vec::new, |place| place.pool.ordered(now))
    }

    /// How the breaker stands that stands best among a model's targets. `None` where it has none.
    #[must_use]
    pub fn breaker_of(&self, model: &ModelName, now: Instant) -> Option<BreakerState> {
        let targets = self.pools.get(model)?.pool.targets();
        targets.iter().map(|target| target.health.view(now).state()).min()
    }

    /// Every target of every chat model, weakest tier first.
    pub fn chat_targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        let pools = self.candidates.iter().filter_map(|candidate| self.pools.get(&candidate.model));
        pools.flat_map(|place| place.pool.targets())
    }

    /// Every target: those of the chat models, weakest tier first, and those of the embedding models.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.chat_targets().chain(self.embeddings.iter().flat_map(|place| place.pool.targets()))
    }
}

/// What a policy says about falling back.
#[derive(Clone, Copy, Debug)]
pub struct Wishes<'a> {
    /// The models asked after the first. Empty for the usual ones.
    pub chain: &'a [ModelName],
    /// Whether weaker tiers may answer at last.
    pub weaker: Weaker,
}

/// Whether weaker tiers may answer when all else failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weaker {
    /// They may.
    Allowed,
    /// They may not.
    Forbidden,
}

/// The other eligible models of a decision: the same tier, then upwards, then downwards from the nearest where that is allowed.
fn by_tier_of(decision: &Decision, weaker: Weaker) -> Vec<&ModelName> {
    let chosen_rank = decision.considered.iter().find(|one| one.model == decision.model).map_or(0, |one| one.rank);
    let mut others: Vec<_> = decision
        .considered
        .iter()
        .filter(|one| one.excluded.is_none() && one.model != decision.model)
        .filter(|one| one.rank >= chosen_rank || weaker == Weaker::Allowed)
        .collect();
    others.sort_by_key(|one| (one.rank < chosen_rank, one.rank.abs_diff(chosen_rank)));
    others.into_iter().map(|one| &one.model).collect()
}

fn is_virtual(model: &str) -> bool {
    model == AUTO || model.starts_with("auto:") || routellm_threshold(model).is_some()
}

/// The threshold of `router-<name>-<threshold>`. The inner `None` is a threshold that is not a number from 0 to 1.
fn routellm_threshold(model: &str) -> Option<Option<f64>> {
    let (_, threshold) = model.strip_prefix("router-")?.rsplit_once('-')?;
    Some(threshold.parse().ok().filter(|threshold| (0.0..=1.0).contains(threshold)))
}
