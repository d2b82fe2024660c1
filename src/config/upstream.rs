//! `[upstreams.NAME]`: a provider, how it is reached, and how long it is waited for.

use std::path::PathBuf;

use crate::config::secret::Secret;
use crate::domain::ids::{AccountId, UpstreamId};
use crate::domain::provider::Preset;
use crate::domain::timeouts::Timeouts;

/// `[upstreams.NAME]`.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The name.
    pub id: UpstreamId,
    /// The protocol it speaks.
    pub kind: UpstreamKind,
    /// `http` or `https`, without a slash at its end; the paths of its kind are appended.
    pub base_url: String,
    /// The key, sent as its kind wants it.
    pub api_key: Option<Secret>,
    /// Further keys, over which load is spread.
    pub more_keys: Vec<Secret>,
    /// Sent with every request: small letters and values that a header can carry. Values may be secret, so all are kept as such.
    pub headers: Vec<(String, Secret)>,
    /// How long to wait for what. Connect is at most headers, and headers and idle are at most total.
    pub timeouts: Timeouts,
    /// How its host is reached.
    pub transport: Transport,
    /// Fields of a request that are left out.
    pub drop_fields: Vec<String>,
}

/// The protocol of an upstream.
#[derive(Clone, Debug)]
pub enum UpstreamKind {
    /// OpenAI's chat completions, with the ways of a known provider.
    OpenAi(Option<Preset>),
    /// OpenAI's chat completions at the paths of Azure.
    Azure {
        /// The value of `api-version`, where the operator names one.
        api_version: Option<String>,
    },
    /// OpenAI's Responses.
    Responses {
        /// The account of every key, where the operator names it. Each key counts as an account of its own otherwise.
        account: Option<AccountId>,
    },
    /// Anthropic's Messages.
    Anthropic {
        /// Whether callers may use what runs there beside the models.
        hosted_tools: bool,
    },
    /// Google's Gemini.
    Gemini,
    /// Converse of AWS Bedrock.
    Bedrock {
        /// The region.
        region: String,
        /// The keys that sign; `None` where the API key of the upstream is sent instead.
        keys: Option<AwsKeys>,
    },
}

impl UpstreamKind {
    /// The header that carries the key, or the signature, in small letters.
    #[must_use]
    pub const fn key_header(&self) -> &'static str {
        match self {
            Self::OpenAi(_) | Self::Responses { .. } | Self::Bedrock { .. } => "authorization",
            Self::Azure { .. } => "api-key",
            Self::Anthropic { .. } => "x-api-key",
            Self::Gemini => "x-goog-api-key",
        }
    }
}

/// The keys of an AWS account.
#[derive(Clone, Debug)]
pub struct AwsKeys {
    /// The public half.
    pub access_key_id: Secret,
    /// The secret half.
    pub secret_access_key: Secret,
    /// The token of a session, which short-lived keys have.
    pub session_token: Option<Secret>,
}

/// How the host of an upstream is reached.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// The HTTP proxy. It may hold a password.
    pub proxy: Option<Secret>,
    /// Authorities to trust beside the system's, in PEM.
    pub ca_file: Option<PathBuf>,
}
