//! `[[embeddings]]`: models that embed texts. They stand in no tier, since nothing is decided about them.

use std::collections::BTreeSet;

use crate::config::reader::Section;
use crate::config::routing::check_model_name;
use crate::config::{Deployment, Upstream, UpstreamKind, deployments};
use crate::domain::ids::ModelName;
use crate::domain::money::{NanoUsd, Price};

/// One entry of `[[embeddings]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingModel {
    /// The name that callers use.
    pub name: ModelName,
    /// Where it answers, and what it charges there, where that is known. Embeddings have no output.
    pub deployment: Deployment,
}

/// Reads the list. `names` are those of all models so far.
pub(super) fn read(root: &mut Section<'_>, upstreams: &[String], names: &mut BTreeSet<String>) -> Vec<EmbeddingModel> {
    let mut models: Vec<EmbeddingModel> = Vec::new();
    for mut section in root.list("embeddings") {
        let name = section.text("name");
        let upstream = deployments::upstream(&mut section, upstreams);
        let upstream_model = section.optional("upstream_model", Section::text).or_else(|| name.clone());
        let input = section.optional("price", |section, key| {
            let mut section = section.section(key);
            let input = section.number("input", 0.0..=100_000.0).and_then(NanoUsd::from_usd);
            section.finish();
            input
        });
        if let Some(name) = &name {
            check_model_name(&section, name, names);
        }
        section.finish();
        if let (Some(name), Some(upstream), Some(upstream_model)) = (name, upstream, upstream_model) {
            let price = input.map(|input_per_mtok| Price { input_per_mtok, ..Price::default() });
            let upstream = upstream.as_str().into();
            models.push(EmbeddingModel {
                name: name.as_str().into(),
                deployment: Deployment { upstream, upstream_model, weight: 1.0, price },
            });
        }
    }
    models
}

/// Checks that embedding models answer where embeddings can be asked for, once upstreams are read.
pub(super) fn check_kinds(root: &Section<'_>, models: &[EmbeddingModel], upstreams: &[Option<Upstream>]) {
    for (at, model) in models.iter().enumerate() {
        let upstream = upstreams.iter().flatten().find(|upstream| upstream.id == model.deployment.upstream);
        let kind = match upstream.map(|upstream| &upstream.kind) {
            None | Some(UpstreamKind::OpenAi(_) | UpstreamKind::Azure { .. }) => continue,
            Some(UpstreamKind::Responses { .. }) => "responses",
            Some(UpstreamKind::Anthropic { .. }) => "anthropic",
            Some(UpstreamKind::Gemini) => "gemini",
            Some(UpstreamKind::Bedrock { .. }) => "bedrock",
        };
        let upstream = &model.deployment.upstream;
        root.notes().problem(
            format!("embeddings[{at}].upstream"),
            format!("`{upstream}` is of kind \"{kind}\", where embeddings are not translated"),
            "name an upstream of kind \"openai\" or \"azure\"; many providers have an address that speaks OpenAI's dialect",
        );
    }
}
