//! The client of one provider.

use std::error::Error as _;
use std::fmt;
use std::time::{Duration, SystemTime};

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING, UPGRADE,
};
use reqwest::{Client, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::chat::anthropic::BETAS;
use crate::chat::native::Delivery;
use crate::chat::native::quirks::Quirks;
use crate::domain::api::Api;
use crate::domain::ids::UpstreamId;
use crate::domain::provider::Thoughts;
use crate::domain::timeouts::Timeouts;
use crate::upstream::classify::Trouble;
use crate::upstream::dialect::{Asking, Dialect, Spoken};
use crate::upstream::dispatch::{Outgoing, Reader};
use crate::upstream::hint;
use crate::upstream::said::{self, Said};
use crate::upstream::scrub::Scrubber;
use crate::upstream::sign::{Signer, Signing};
use crate::upstream::threads::PerThread;
use crate::upstream::transport::{Prepared, Transport, Unprepared};

const USER_AGENT: &str = concat!("trimtab/", env!("CARGO_PKG_VERSION"));
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How often an HTTP/2 connection is asked whether it is still there, in use or not, and how long it may take to say so. One that died
/// without a word would cost the next call its whole limit for headers.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// Headers that frame a request or choose its host: never an operator's to set.
const RESERVED: [HeaderName; 5] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE];

/// How to reach a provider.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// Its name.
    pub id: UpstreamId,
    /// Where its API starts, for example `https://api.openai.com/v1`. A query is kept; a user name is refused.
    pub base_url: String,
    /// The key sent with every request, if it needs one.
    pub api_key: Option<SecretString>,
    /// Further headers sent with every request. Their values are treated as secrets.
    pub headers: Vec<(String, SecretString)>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How much to read.
    pub sizes: Sizes,
    /// What it speaks.
    pub dialect: Dialect,
    /// What it wants otherwise than OpenAI does.
    pub quirks: Quirks,
    /// How requests are signed, where AWS wants them to be.
    pub signing: Option<Signing>,
    /// How its host is reached.
    pub transport: Transport,
    /// Whether callers may use what runs there beside the models.
    pub offers_hosted_tools: bool,
    /// How many threads serve callers. Each of them has connections of its own.
    pub threads: usize,
}

impl UpstreamSettings {
    /// Settings for an upstream that needs no key, with the default limits.
    #[must_use]
    pub fn new(id: UpstreamId, base_url: String) -> Self {
        Self {
            id,
            base_url,
            api_key: None,
            headers: Vec::new(),
            timeouts: Timeouts::default(),
            sizes: Sizes::default(),
            dialect: Dialect::OpenAi,
            quirks: Quirks::default(),
            signing: None,
            transport: Transport::default(),
            offers_hosted_tools: true,
            threads: 0,
        }
    }
}

/// How much to read from a provider; what is larger is not an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Most bytes of a whole answer.
    pub answer: usize,
    /// Most bytes of one event of a stream.
    pub event: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { answer: 64 << 20, event: 1 << 20 }
    }
}

/// Why an upstream could not be set up. No message holds a secret.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// The base URL is not one.
    #[error("upstream `{id}`: base_url {problem}; write one such as `https://api.openai.com/v1`")]
    BaseUrl {
        /// The upstream.
        id: UpstreamId,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A header has a name or a value that cannot be sent, or frames the request.
    #[error(
        "upstream `{id}`: header `{name}` cannot be sent; use a plain name other than host and framing headers, and a visible ASCII value"
    )]
    Header {
        /// The upstream.
        id: UpstreamId,
        /// The header.
        name: String,
    },
    /// The key cannot be a header value.
    #[error("upstream `{id}`: the key holds characters that cannot be sent; check it for line breaks and spaces")]
    Key {
        /// The upstream.
        id: UpstreamId,
    },
    /// The proxy or the certificates cannot be used.
    #[error("upstream `{id}`: {problem}")]
    Transport {
        /// The upstream.
        id: UpstreamId,
        /// What is wrong, and what to do about it.
        problem: String,
    },
    /// The client could not be built, in practice for want of root certificates.
    #[error("upstream `{id}`: no TLS client: {problem}; install the system's root certificates (ca-certificates)")]
    Tls {
        /// The upstream.
        id: UpstreamId,
        /// What the library said.
        problem: String,
    },
}

/// The client of one provider: its address, its key, its connections and its limits. Only its settings choose the host; redirects are not
/// followed and no proxy is taken from the environment.
pub struct Upstream {
    id: UpstreamId,
    base: Url,
    offers_hosted_tools: bool,
    clients: PerThread<Client>,
    scrubber: Scrubber,
    timeouts: Timeouts,
    sizes: Sizes,
    dialect: Dialect,
    quirks: Quirks,
    /// What the operator would have of what Anthropic is still trying out.
    betas: Option<HeaderValue>,
    signer: Option<Signer>,
}

/// Shows the name only.
impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Prepares a client; opens no connection.
    ///
    /// # Errors
    /// When an address, a header or a key cannot be used, or an HTTPS client finds no root certificates.
    pub fn new(settings: UpstreamSettings) -> Result<Self, UpstreamError> {
        let base = base_url(&settings)?;
        let headers = default_headers(&settings)?;
        let betas = headers.get(BETAS).cloned();
        // Fails when a provider is installed already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let prepared = settings.transport.prepare(&base).map_err(|wrong| match wrong {
            Unprepared::Setting(problem) => UpstreamError::Transport { id: settings.id.clone(), problem },
            Unprepared::Tls(problem) => UpstreamError::Tls { id: settings.id.clone(), problem },
        })?;
        let clients = PerThread::new(settings.threads, || client(&settings, &prepared, headers.clone()))?;
        let signer = settings.signing.as_ref().map(Signer::new);
        let values = settings.headers.into_iter().map(|(_, value)| value);
        let aws = settings.signing.into_iter().flat_map(|signing| signing.credentials.into_secrets());
        let proxy = settings.transport.proxy;
        let scrubber = Scrubber::new(settings.api_key.into_iter().chain(values).chain(aws).chain(proxy));
        let UpstreamSettings { id, timeouts, sizes, dialect, quirks, offers_hosted_tools, .. } = settings;
        Ok(Self { id, base, clients, scrubber, timeouts, sizes, dialect, quirks, betas, signer, offers_hosted_tools })
    }

    /// The name of the upstream.
    #[must_use]
    pub const fn id(&self) -> &UpstreamId {
        &self.id
    }

    pub(crate) const fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    pub(crate) const fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    pub(crate) const fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }

    /// What it speaks.
    pub(crate) const fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Asks for a model in the upstream's dialect and waits for the response headers, without a limit of its own but the one on connecting.
    pub(crate) async fn send(&self, outgoing: &Outgoing<'_>, model: &str) -> Result<Response, Trouble> {
        let body = self.quirks.apply((outgoing.body)(model, self.reader()));
        let Spoken { path, query, header, body } =
            self.dialect.speak(outgoing, Asking { model, base: self.base.path(), body })?;
        // Clients of the same dialect are spoken for in their own words, which may hold what the operator leaves out.
        let body = if matches!(self.dialect, Dialect::Responses(_) | Dialect::Anthropic) {
            self.quirks.apply(body)
        } else {
            body
        };
        let url = self.url(&path, query);
        let delivery = if outgoing.stream { Delivery::Stream } else { Delivery::Whole };
        let signature = match &self.signer {
            None => HeaderMap::new(),
            Some(signer) => {
                let unsigned = || Trouble::Connect("the request could not be signed".to_owned());
                signer.headers(url.as_str(), (&body, SystemTime::now())).ok_or_else(unsigned)?
            }
        };
        let mut call = self.clients.own().post(url).header(ACCEPT, self.dialect.accepts(delivery)).headers(signature);
        if let Ok(id) = HeaderValue::from_str(outgoing.request_id) {
            call = call.header(REQUEST_ID, id);
        }
        if let Some((name, value)) = header.and_then(|(name, value)| self.beside_ours(name, &value)) {
            call = call.header(name, value);
        }
        call.body(body).send().await.map_err(|error| trouble(&error))
    }

    /// A header of one request, together with what the operator has there.
    fn beside_ours(&self, name: &'static str, value: &str) -> Option<(HeaderName, HeaderValue)> {
        let ours = self.betas.as_ref().and_then(|ours| ours.to_str().ok()).filter(|_| name == BETAS);
        let all: Vec<&str> = ours.into_iter().chain([value]).collect();
        Some((HeaderName::from_static(name), HeaderValue::from_str(&all.join(",")).ok()?))
    }

    /// Whether callers of this API may use what runs there beside the models.
    pub(crate) const fn hosts(&self, api: Api) -> bool {
        self.offers_hosted_tools && self.dialect.is_of(api)
    }

    /// Who reads the body of a call.
    pub(crate) const fn reader(&self) -> Reader {
        match (self.dialect.reader(), self.quirks.thoughts) {
            (Reader::Server, Thoughts::Wanted) => Reader::ThoughtfulServer,
            (reader, Thoughts::AsSent | Thoughts::Refused(_) | Thoughts::Wanted) => reader,
        }
    }

    fn url(&self, path: &str, query: Option<(&'static str, String)>) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if let Some((name, value)) = query {
            url.query_pairs_mut().append_pair(name, &value);
        }
        url
    }
}

/// A client with connections of its own.
fn client(settings: &UpstreamSettings, prepared: &Prepared, headers: HeaderMap) -> Result<Client, UpstreamError> {
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(settings.timeouts.connect)
        .tcp_keepalive(Duration::from_secs(30))
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_PATIENCE)
        .http2_keep_alive_while_idle(true);
    prepared
        .apply(builder)
        .build()
        .map_err(|error| UpstreamError::Tls { id: settings.id.clone(), problem: innermost(&error) })
}

/// The trouble that a status means, with the hint of its headers. Only for a status that is no success.
pub(crate) fn status_trouble(response: &Response) -> Trouble {
    let hint = hint::in_headers(response.headers(), SystemTime::now());
    Trouble::Status { status: response.status().as_u16(), said: Said { hint, ..Said::default() } }
}

/// The same trouble once its body is read. A hint of the headers beats one of the body.
pub(crate) fn with_words(trouble: Trouble, body: &[u8]) -> Trouble {
    let Trouble::Status { status, said: Said { hint, .. } } = trouble else { return trouble };
    let words = said::read(body, SystemTime::now());
    Trouble::Status { status, said: Said { hint: hint.or(words.hint), ..words } }
}

/// The trouble that an error of the HTTP client means.
pub(crate) fn trouble(error: &reqwest::Error) -> Trouble {
    if error.is_connect() { Trouble::Connect(innermost(error)) } else { Trouble::Broken(innermost(error)) }
}

/// What went wrong at the bottom, where it names neither an address nor a header.
fn innermost(error: &reqwest::Error) -> String {
    let mut source = error.source();
    let mut text = "unknown reason".to_owned();
    while let Some(error) = source {
        text = error.to_string();
        source = error.source();
    }
    text
}

fn base_url(settings: &UpstreamSettings) -> Result<Url, UpstreamError> {
    let wrong = |problem| UpstreamError::BaseUrl { id: settings.id.clone(), problem };
    let url = Url::parse(&settings.base_url).map_err(|_| wrong("is not a URL"))?;
    let problem = match url.scheme() {
        "http" | "https" if url.host_str().is_none_or(str::is_empty) => Some("names no host"),
        "http" | "https" if !url.username().is_empty() || url.password().is_some() => {
            Some("holds a user name or password, which belong in api_key or headers")
        }
        "http" | "https" if url.fragment().is_some() => Some("has a fragment"),
        "http" | "https" => None,
        _ => Some("is neither http nor https"),
    };
    problem.map_or(Ok(url), |problem| Err(wrong(problem)))
}

fn default_headers(settings: &UpstreamSettings) -> Result<HeaderMap, UpstreamError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some((name, value)) = settings.dialect.header() {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    for (name, value) in &settings.headers {
        let wrong = || UpstreamError::Header { id: settings.id.clone(), name: name.clone() };
        let value = sensitive(value.expose_secret()).ok_or_else(wrong)?;
        headers.insert(header_name(name).ok_or_else(wrong)?, value);
    }
    if let Some(key) = &settings.api_key {
        let (name, value) = match settings.dialect.key_header() {
            None => (AUTHORIZATION, sensitive(&format!("Bearer {}", key.expose_secret()))),
            Some(name) => (HeaderName::from_static(name), sensitive(key.expose_secret())),
        };
        headers.insert(name, value.ok_or_else(|| UpstreamError::Key { id: settings.id.clone() })?);
    }
    Ok(headers)
}

fn header_name(name: &str) -> Option<HeaderName> {
    HeaderName::try_from(name).ok().filter(|name| !RESERVED.contains(name))
}

/// A header value that no `Debug` shows.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
