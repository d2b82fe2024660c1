//! The models a decision may choose from, and why some may not be chosen.

use serde::Serialize;

use crate::domain::ids::{ModelName, TierId};
use crate::domain::money::{NanoUsd, Price};
use crate::domain::prompt::Shape;

/// One model of one tier, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The name that callers use.
    pub model: ModelName,
    /// The configured tier.
    pub tier: TierId,
    /// The place of that tier, 0 the weakest.
    pub rank: usize,
    /// The tier of the bundle whose predictions stand for this model while the bundle does not know it by name.
    pub class: TierId,
    /// What it charges, where that is known.
    pub price: Option<Price>,
    /// What it can do.
    pub capability: Capability,
}

/// What a model can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Most tokens of input and output together, where that is known.
    pub context_tokens: Option<u64>,
    /// Calls tools.
    pub tools: bool,
    /// Calls one where the request leaves it no choice.
    pub forced_tools: bool,
    /// Reads images.
    pub images: bool,
    /// Takes images by address too, and not only those that are in the request.
    pub image_urls: bool,
    /// Follows a JSON schema.
    pub json_schema: bool,
}

impl Capability {
    /// What this model lacks for a request, if anything.
    #[must_use]
    pub fn lacks(&self, shape: &Shape) -> Option<Exclusion> {
        if shape.tools > 0 && !self.tools {
            return Some(Exclusion::NeedsTools);
        }
        if shape.must_call && !self.forced_tools {
            return Some(Exclusion::NeedsForcedTools);
        }
        if shape.images > 0 && !self.images {
            return Some(Exclusion::NeedsImages);
        }
        if shape.remote_images > 0 && !self.image_urls {
            return Some(Exclusion::NeedsImageUrls);
        }
        if shape.json_schema && !self.json_schema {
            return Some(Exclusion::NeedsJsonSchema);
        }
        let needed = shape.input_tokens.saturating_add(shape.max_output_tokens.unwrap_or(0));
        match self.context_tokens {
            Some(context) if needed > context => Some(Exclusion::ContextTooSmall),
            Some(_) | None => None,
        }
    }
}

/// Why a model was not eligible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exclusion {
    /// The request offers tools.
    NeedsTools,
    /// The request insists on the call of a tool.
    NeedsForcedTools,
    /// The request holds images.
    NeedsImages,
    /// The request holds images by address.
    NeedsImageUrls,
    /// The request asks for a JSON schema.
    NeedsJsonSchema,
    /// The request is longer than the model's context.
    ContextTooSmall,
    /// The request holds encrypted thoughts that the model would be shown, and they are another account's.
    OtherAccount,
    /// The request asks for what only a provider of the caller's own dialect has, such as a tool that runs there.
    NeedsHosted,
    /// The caller listed other candidates.
    NotInCandidates,
    /// The expected cost is above the caller's ceiling.
    AboveMaxCost,
    /// Costs are to be held against an amount of money, and the model has no price.
    NoPrice,
}

impl Exclusion {
    /// The reason as it reads in a sentence about the model.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NeedsTools => "does not call tools",
            Self::NeedsForcedTools => "cannot be made to call a tool",
            Self::NeedsImages => "does not read images",
            Self::NeedsImageUrls => "takes no images by address",
            Self::NeedsJsonSchema => "does not follow a JSON schema",
            Self::ContextTooSmall => "has too small a context",
            Self::OtherAccount => "would be shown encrypted thoughts that another account alone can read",
            Self::NeedsHosted => "is at no provider that offers the hosted tools or content that the request asks for",
            Self::NotInCandidates => "is not among the candidates asked for",
            Self::AboveMaxCost => "is expected to cost more than allowed",
            Self::NoPrice => "has no price to hold against an amount of money",
        }
    }
}

impl Exclusion {
    /// The field of a request that asks for what the model lacks; `None` where it may be one of several.
    #[must_use]
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Self::NeedsTools => Some("tools"),
            Self::NeedsForcedTools => Some("tool_choice"),
            Self::NeedsImages | Self::NeedsImageUrls | Self::ContextTooSmall => Some("messages"),
            Self::NeedsJsonSchema => Some("response_format"),
            Self::NotInCandidates => Some("trimtab.candidates"),
            Self::AboveMaxCost => Some("trimtab.max_cost_usd"),
            Self::OtherAccount | Self::NeedsHosted | Self::NoPrice => None,
        }
    }
}

/// What a call to a model is expected to cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ExpectedCost {
    /// With an answer of median length.
    pub p50: NanoUsd,
    /// With an answer longer than nine in ten.
    pub p90: NanoUsd,
    /// With an answer of mean length: what calls like this one cost on average, which is what a decision weighs.
    pub mean: NanoUsd,
    /// The mean were no input cached. The same as `mean` outside sessions.
    pub uncached: NanoUsd,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_for_more_tokens_than_can_be_counted_fits_no_context() {
        let capability = Capability {
            context_tokens: Some(1_000),
            tools: true,
            forced_tools: true,
            images: true,
            image_urls: true,
            json_schema: true,
        };
        let shape = |max_output_tokens| Shape { input_tokens: 10, max_output_tokens, ..Shape::default() };

        assert_eq!(capability.lacks(&shape(Some(u64::MAX))), Some(Exclusion::ContextTooSmall));
        assert_eq!(capability.lacks(&shape(Some(990))), None);
    }

    #[test]
    fn who_cannot_be_made_to_call_a_tool_may_be_offered_some() {
        let all = Capability {
            context_tokens: None,
            tools: true,
            forced_tools: true,
            images: true,
            image_urls: true,
            json_schema: true,
        };
        let capability = Capability { forced_tools: false, ..all };
        let shape = |must_call| Shape { tools: 1, must_call, ..Shape::default() };

        assert_eq!(capability.lacks(&shape(true)), Some(Exclusion::NeedsForcedTools));
        assert_eq!(capability.lacks(&shape(false)), None);
        assert_eq!(all.lacks(&shape(true)), None);
        assert_eq!(Capability { tools: false, ..capability }.lacks(&shape(true)), Some(Exclusion::NeedsTools));
    }
}
