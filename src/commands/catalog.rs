//! `trimtab catalog`: what a request may be sent to.

use std::process::ExitCode;

use crate::commands::Settings;
use crate::commands::output::say;
use crate::config::{Deployment, Secrets};
use crate::domain::candidate::Candidate;
use crate::domain::money::NanoUsd;

pub(super) fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let config = settings.load(Secrets::Unread)?;
    say(&format!(
        "{:<34} {:<10} {:<14} {:>10} {:>10} {:>9}  can",
        "model", "tier", "upstream", "in $/M", "out $/M", "context"
    ))?;
    for target in config.targets() {
        for place in &target.deployments {
            say(&row(&target.candidate, place))?;
        }
    }
    if config.demo {
        say(
            "\nThese are the demo's models: no language model answers. Configure real ones in trimtab.toml; see examples/.",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One place of a model, with what the model costs there.
fn row(candidate: &Candidate, place: &Deployment) -> String {
    let usd = |amount: Option<NanoUsd>| amount.map_or("–".to_owned(), |amount| amount.as_usd().to_string());
    let capability = candidate.capability;
    let can: Vec<&str> =
        [(capability.tools, "tools"), (capability.images, "images"), (capability.json_schema, "json-schema")]
            .into_iter()
            .filter_map(|(has, name)| has.then_some(name))
            .collect();
    format!(
        "{:<34} {:<10} {:<14} {:>10} {:>10} {:>9}  {}",
        candidate.model.as_str(),
        candidate.tier.as_str(),
        place.upstream.as_str(),
        usd(place.price.map(|price| price.input_per_mtok)),
        usd(place.price.map(|price| price.output_per_mtok)),
        capability.context_tokens.map_or("–".to_owned(), |tokens| tokens.to_string()),
        can.join(" "),
    )
}
