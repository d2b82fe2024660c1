//! `[[embeddings]]`: models that embed texts. They stand in no tier, since nothing is decided about them.

use crate::config::reader::{Section, quoted};
use crate::domain::ids::{ModelName, UpstreamId};
use crate::domain::money::{NanoUsd, Price};

/// One entry of `[[embeddings]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingModel {
    /// The name that callers use.
    pub name: ModelName,
    /// Where it answers. One of the configured upstreams.
    pub upstream: UpstreamId,
    /// What that upstream calls it.
    pub upstream_model: String,
    /// What it charges, where that is known. Embeddings have no output.
    pub price: Option<Price>,
}

/// Reads the list. `taken` are the names of the models of the tiers.
pub(super) fn read(root: &mut Section<'_>, upstreams: &[String], taken: &[&str]) -> Vec<EmbeddingModel> {
    let mut models: Vec<EmbeddingModel> = Vec::new();
    for mut section in root.list("embeddings") {
        let name = section.text("name");
        let upstream = section.text("upstream");
        let upstream_model = section.optional("upstream_model", Section::text).or_else(|| name.clone());
        let input = section.optional("price", |section, key| {
            let mut section = section.section(key);
            let input = section.number("input", 0.0..=100_000.0).and_then(NanoUsd::from_usd);
            section.finish();
            input
        });
        if let Some(upstream) = upstream.as_ref().filter(|upstream| !upstreams.contains(upstream)) {
            let fix = format!("add [upstreams.{upstream}], or name one of: {}", quoted(upstreams));
            section.problem("upstream", format!("there is no upstream `{upstream}`"), fix);
        }
        if let Some(name) = &name {
            if models.iter().any(|model| model.name.as_str() == name) || taken.contains(&name.as_str()) {
                section.problem("name", format!("a second model is named `{name}`"), "give each model its own name");
            }
            if name == "auto" || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
                let fix = "use visible ASCII without spaces, and not `auto`";
                section.problem("name", format!("{name:?} cannot name an embedding model"), fix);
            }
        }
        section.finish();
        if let (Some(name), Some(upstream), Some(upstream_model)) = (name, upstream, upstream_model) {
            let price = input.map(|input_per_mtok| Price { input_per_mtok, ..Price::default() });
            models.push(EmbeddingModel {
                name: name.as_str().into(),
                upstream: upstream.as_str().into(),
                upstream_model,
                price,
            });
        }
    }
    models
}
