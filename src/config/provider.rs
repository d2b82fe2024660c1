//! What an upstream speaks and how its host is reached.

use std::path::PathBuf;

use toml::Value;
use url::Url;

use crate::config::reader::Section;
use crate::config::secret::Secret;
use crate::config::validate::Keys;
use crate::config::{AwsKeys, Tier, Transport, Upstream, UpstreamKind};
use crate::domain::ids::{AccountId, UpstreamId};
use crate::domain::provider::Preset;

/// The words of `kind`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    OpenAi,
    Azure,
    Responses,
    Anthropic,
    Gemini,
    Bedrock,
}

const WORDS: [(&str, Word); 6] = [
    ("openai", Word::OpenAi),
    ("azure", Word::Azure),
    ("responses", Word::Responses),
    ("anthropic", Word::Anthropic),
    ("gemini", Word::Gemini),
    ("bedrock", Word::Bedrock),
];

/// The newest version of Azure's API that is not a preview, at the paths of deployments.
const AZURE_VERSION: &str = "2024-10-21";

/// Reads `kind` and what belongs to it. `keys` is absent where nobody calls the upstream, so that its secrets are not looked for.
pub(super) fn kind(section: &mut Section<'_>, keys: Option<&Keys<'_>>) -> UpstreamKind {
    let word = section.optional("kind", |section, key| section.word(key, &WORDS)).unwrap_or(Word::OpenAi);
    match word {
        Word::OpenAi => {
            UpstreamKind::OpenAi(section.optional("preset", |section, key| section.word(key, &Preset::WORDS)))
        }
        Word::Azure => UpstreamKind::Azure {
            api_version: section.optional("api_version", |section, key| {
                section.parsed(key, "a version such as \"2024-10-21\"", version)
            }),
        },
        Word::Responses => UpstreamKind::Responses {
            account: section.optional("account", |section, key| {
                let expected = "a name of 1 to 64 letters, digits, `-` and `_`, the same for every key of one account";
                section.parsed(key, expected, AccountId::parse)
            }),
        },
        Word::Anthropic => {
            let hosted_tools = section.optional("hosted_tools", |section, key| section.flag(key)).unwrap_or(true);
            UpstreamKind::Anthropic { hosted_tools }
        }
        Word::Gemini => UpstreamKind::Gemini,
        Word::Bedrock => {
            let region = section.parsed("region", "a region such as \"eu-central-1\"", region).unwrap_or_default();
            UpstreamKind::Bedrock { region, keys: aws_keys(section, keys) }
        }
    }
}

impl UpstreamKind {
    /// Where the API is, where the operator need not say.
    pub(super) fn base_url(&self) -> Option<String> {
        match self {
            Self::OpenAi(preset) => preset.and_then(Preset::base_url).map(str::to_owned),
            Self::Azure { .. } => None,
            Self::Responses { .. } => Some("https://api.openai.com/v1".to_owned()),
            Self::Anthropic { .. } => Some("https://api.anthropic.com".to_owned()),
            Self::Gemini => Some("https://generativelanguage.googleapis.com/v1beta".to_owned()),
            Self::Bedrock { region, keys: _ } => Some(format!("https://bedrock-runtime.{region}.amazonaws.com")),
        }
    }

    /// Whether images may be addresses: Converse of AWS takes bytes alone, and Trimtab fetches none.
    const fn takes_addresses(&self) -> bool {
        match self {
            Self::OpenAi(_) | Self::Azure { .. } | Self::Responses { .. } => true,
            Self::Anthropic { .. } | Self::Gemini => true,
            Self::Bedrock { .. } => false,
        }
    }

    /// The version of Azure's API in use at this address; none under `/openai/v1` unless the operator names one.
    #[must_use]
    pub fn azure_version(given: Option<&str>, base_url: &str) -> Option<String> {
        let usual = (!base_url.ends_with("/openai/v1")).then_some(AZURE_VERSION);
        given.or(usual).map(str::to_owned)
    }
}

/// Notes which models take images by address: those that answer at one upstream that does.
pub(super) fn note_addresses(tiers: &mut [Tier], upstreams: &[Option<Upstream>]) {
    for model in tiers.iter_mut().flat_map(|tier| &mut tier.models) {
        let takes = |name: &UpstreamId| {
            upstreams.iter().flatten().find(|one| one.id == *name).is_none_or(|one| one.kind.takes_addresses())
        };
        model.candidate.capability.image_urls = model.deployments.iter().any(|place| takes(&place.upstream));
    }
}

fn version(text: &str) -> Option<String> {
    let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_plain.then(|| text.to_owned())
}

fn region(text: &str) -> Option<String> {
    let is_plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    (is_plain && !text.is_empty()).then(|| text.to_owned())
}

fn aws_keys(section: &mut Section<'_>, keys: Option<&Keys<'_>>) -> Option<AwsKeys> {
    let names = ["access_key_id", "secret_access_key", "session_token"];
    let [has_id, has_secret, has_token] = names.map(|name| section.has(name));
    let bearer = ["api_key", "api_keys"].into_iter().find(|name| section.has(name));
    if let Some(bearer) = bearer.filter(|_| has_id || has_secret || has_token) {
        section.problem(bearer, "stands beside an access key", "keep it, or the access key and its secret");
    } else if !(bearer.is_some() || has_id && has_secret) {
        let problem = "the upstream has no whole key";
        section.problem("access_key_id", problem, "set access_key_id and secret_access_key, an api_key, or api_keys");
    }
    let keys = keys.filter(|_| has_id && has_secret && bearer.is_none())?;
    let mut secret = |name| keys.secret(section, name);
    let (access_key_id, secret_access_key) = (secret("access_key_id"), secret("secret_access_key"));
    let session_token = if has_token { secret("session_token") } else { None };
    Some(AwsKeys { access_key_id: access_key_id?, secret_access_key: secret_access_key?, session_token })
}

/// Reads how the host is reached.
pub(super) fn transport(section: &mut Section<'_>, keys: Option<&Keys<'_>>) -> Transport {
    let ca_file = section.optional("ca_file", Section::text).map(PathBuf::from);
    let proxy = match section.raw("proxy") {
        None => None,
        Some(Value::String(text)) => {
            let found = proxy(&text);
            if found.is_none() {
                let fix = "write an address such as \"http://proxy.internal:3128\"; one with a password as { env = \"NAME\" }";
                section.problem("proxy", "is not the plain address of an HTTP proxy", fix);
            }
            found
        }
        Some(_) => keys.and_then(|keys| keys.secret(section, "proxy")),
    };
    Transport { proxy, ca_file }
}

fn proxy(text: &str) -> Option<Secret> {
    plain_address(text)?;
    Secret::new(text).ok()
}

/// An address with a host, http or https, without user and password.
pub(super) fn plain_address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    (is_plain && is_web).then_some(url)
}

/// Fields that are left out of every request to an upstream.
pub(super) fn drops(section: &mut Section<'_>) -> Vec<String> {
    const NEEDED: [&str; 3] = ["model", "messages", "stream"];
    let expected = "write a list of field names such as [\"seed\", \"logit_bias\"], without model, messages and stream";
    let Some(value) = section.raw("drop_fields") else { return Vec::new() };
    let names = value.as_array().and_then(|names| {
        names.iter().map(|name| name.as_str().filter(|name| !NEEDED.contains(name)).map(str::to_owned)).collect()
    });
    names.unwrap_or_else(|| {
        section.problem("drop_fields", "is not a list of fields that can be left out", expected);
        Vec::new()
    })
}
