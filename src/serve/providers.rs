//! What each upstream speaks and how it is reached, from the configuration.

use secrecy::SecretString;

use crate::chat::native::quirks::Quirks;
use crate::config::{self, UpstreamKind};
use crate::upstream::dialect::Dialect;
use crate::upstream::sign::{AwsCredentials, Signing};

pub(super) fn dialect(upstream: &config::Upstream) -> Dialect {
    match &upstream.kind {
        UpstreamKind::OpenAi(_) => Dialect::OpenAi,
        UpstreamKind::Azure { api_version } => {
            Dialect::Azure { api_version: UpstreamKind::azure_version(api_version.as_deref(), &upstream.base_url) }
        }
        UpstreamKind::Responses => Dialect::Responses,
        UpstreamKind::Anthropic => Dialect::Anthropic,
        UpstreamKind::Gemini => Dialect::Gemini,
        UpstreamKind::Bedrock { .. } => Dialect::Bedrock,
    }
}

pub(super) fn quirks(upstream: &config::Upstream) -> Quirks {
    let preset = match upstream.kind {
        UpstreamKind::OpenAi(preset) => preset,
        UpstreamKind::Azure { .. } | UpstreamKind::Responses | UpstreamKind::Anthropic => None,
        UpstreamKind::Gemini | UpstreamKind::Bedrock { .. } => None,
    };
    Quirks::of(preset, &upstream.drop_fields)
}

pub(super) fn signing(upstream: &config::Upstream) -> Option<Signing> {
    let UpstreamKind::Bedrock { region, keys: Some(keys) } = &upstream.kind else { return None };
    let secret = |secret: &config::secret::Secret| SecretString::from(secret.expose().to_owned());
    Some(Signing {
        region: region.clone(),
        credentials: AwsCredentials {
            access_key_id: secret(&keys.access_key_id),
            secret_access_key: secret(&keys.secret_access_key),
            session_token: keys.session_token.as_ref().map(secret),
        },
    })
}
