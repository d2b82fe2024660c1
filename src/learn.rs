//! Feedback into the running neighbour index.

use crate::domain::embedding::Embedding;
use crate::domain::ids::{ItemId, ModelName, TierId};
use crate::domain::scores::LabelSpace;
use crate::model::index::FreshItem;
use crate::pipeline::App;
use crate::store::Learnable;

/// Puts a verdict into the neighbour index of the serving generation, so that the next prompt like it is judged by it.
///
/// Returns whether it did: feedback without a verdict, or about a decision of another encoder, waits for the next training.
pub fn learn(app: &App, learnable: &Learnable) -> bool {
    let Some(generation) = app.models.current() else { return false };
    if learnable.encoder.as_deref() != Some(generation.manifest().encoder.digest.as_str()) {
        return false;
    }
    let labels = labels(app, learnable, generation.learned().labels);
    let embedding = learnable.embedding.clone().and_then(Embedding::normalise);
    match embedding {
        Some(embedding) if !labels.is_empty() => {
            let id = ItemId::from(learnable.decision_id.to_string());
            generation.add_feedback(FreshItem {
                id,
                embedding,
                labels: labels.into(),
                caller: learnable.caller.clone(),
            });
            true
        }
        Some(_) | None => false,
    }
}

/// The verdict on the model that served and on its class; where another model was preferred, that one did well.
fn labels(app: &App, learnable: &Learnable, space: &LabelSpace) -> Vec<(u16, f32)> {
    let mut labels: Vec<(u16, f32)> = Vec::new();
    let mut put = |position: Option<usize>, score: f64| {
        let position = position.and_then(|position| u16::try_from(position).ok());
        if let Some(position) = position.filter(|position| labels.iter().all(|(known, _)| known != position)) {
            labels.push((position, score as f32));
        }
    };
    if let Some(verdict) = learnable.verdict {
        put(space.model(&learnable.model), verdict.get());
        put(space.tier(&class(app, &learnable.model, &learnable.tier)), verdict.get());
    }
    if let Some(preferred) = &learnable.preferred_model {
        put(space.model(preferred), 1.0);
        if let Some(candidate) = app.catalog.candidate(preferred.as_str()) {
            put(space.tier(&candidate.class), 1.0);
        }
    }
    labels
}

fn class(app: &App, model: &ModelName, tier: &TierId) -> TierId {
    app.catalog.candidate(model.as_str()).map_or_else(|| tier.clone(), |candidate| candidate.class.clone())
}
