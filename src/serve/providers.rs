//! What each upstream speaks and how it is reached, from the configuration.

use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use crate::chat::native::quirks::Quirks;
use crate::config::{self, UpstreamKind};
use crate::domain::ids::{AccountId, UpstreamId};
use crate::upstream::dialect::Dialect;
use crate::upstream::sign::{AwsCredentials, Signing};

/// What an upstream speaks to whoever has this one of its keys.
pub(super) fn dialect(upstream: &config::Upstream, key: Option<u32>) -> Dialect {
    match &upstream.kind {
        UpstreamKind::OpenAi(_) => Dialect::OpenAi,
        UpstreamKind::Azure { api_version } => {
            Dialect::Azure { api_version: UpstreamKind::azure_version(api_version.as_deref(), &upstream.base_url) }
        }
        UpstreamKind::Responses { account } => {
            Dialect::Responses(account.clone().unwrap_or_else(|| own_account(&upstream.id, key)))
        }
        UpstreamKind::Anthropic { .. } => Dialect::Anthropic,
        UpstreamKind::Gemini => Dialect::Gemini,
        UpstreamKind::Bedrock { .. } => Dialect::Bedrock,
    }
}

/// A name for the account of a key whose operator gave it none: the same after every start, by the name of the upstream and the place of the
/// key. It says nothing of the key itself.
fn own_account(upstream: &UpstreamId, key: Option<u32>) -> AccountId {
    const SHOWN: usize = 6;
    let sum = Sha256::digest(format!("{}\n{upstream}", key.unwrap_or(1)));
    let hex: String = sum.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    AccountId::from(hex)
}

pub(super) fn quirks(upstream: &config::Upstream) -> Quirks {
    let preset = match upstream.kind {
        UpstreamKind::OpenAi(preset) => preset,
        UpstreamKind::Azure { .. } | UpstreamKind::Responses { .. } | UpstreamKind::Anthropic { .. } => None,
        UpstreamKind::Gemini | UpstreamKind::Bedrock { .. } => None,
    };
    Quirks::of(preset, &upstream.drop_fields)
}

/// Whether callers may use what runs there beside the models.
pub(super) fn offers_hosted_tools(upstream: &config::Upstream) -> bool {
    !matches!(upstream.kind, UpstreamKind::Anthropic { hosted_tools: false })
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
