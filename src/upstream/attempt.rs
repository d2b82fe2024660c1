//! One try at one target, up to the commit point.

use std::future::poll_fn;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use tokio::time::{Instant, timeout_at};

use crate::chat::dialect::translatable;
use crate::chat::usage::{Completion, PublicModel};
use crate::domain::check::Evidence;
use crate::domain::outcome::Class;
use crate::upstream::classify::Trouble;
use crate::upstream::client::{Upstream, status_trouble, trouble, with_words};
use crate::upstream::dispatch::{Expects, Outgoing, Target};
use crate::upstream::headroom::Headroom;
use crate::upstream::relay::{Limits, Streaming};
use crate::upstream::said::Said;
use crate::upstream::source::EventSource;
use crate::upstream::tap::{Passage, Tap};

/// What of a stream is held back while it may still fail over. When it is more, the stream goes to the client without that chance.
const MOST_HELD_EVENTS: usize = 64;
const MOST_HELD_BYTES: usize = 256 << 10;
/// What is read of a refusal, and for how long.
const REFUSAL_BYTES: usize = 64 << 10;
const REFUSAL_PATIENCE: Duration = Duration::from_secs(2);

/// An attempt that will serve the call.
pub(crate) struct Started {
    pub(crate) status: u16,
    /// When the attempt had succeeded: at the headers of a stream, at the end of a whole answer.
    pub(crate) reached: Instant,
    pub(crate) answer: StartedAnswer,
    /// What is known of an answer that is to be checked.
    pub(crate) evidence: Option<Evidence>,
}

pub(crate) enum StartedAnswer {
    Whole(Completion),
    Stream(Box<Streaming<reqwest::Body>>),
}

/// An attempt that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) trouble: Trouble,
    /// The upstream's own words about a refused request: an error object in OpenAI's shape, scrubbed.
    pub(crate) words: Option<Bytes>,
}

impl<T: Into<Trouble>> From<T> for Failure {
    fn from(trouble: T) -> Self {
        Self { trouble: trouble.into(), words: None }
    }
}

/// How long an attempt may take, beyond what its upstream allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// When the call must be over.
    pub(crate) deadline: Instant,
    /// The longest wait for the first token of a stream.
    pub(crate) first_token: Option<Duration>,
}

/// Asks a target. A stream has started when its first token is there.
pub(crate) async fn run(target: &Target, outgoing: &Outgoing<'_>, patience: Patience) -> Result<Started, Failure> {
    let upstream = target.upstream.as_ref();
    let limits = Limits::new(upstream.timeouts(), patience.deadline);
    let own = upstream.timeouts().first_token;
    let first_token = patience.first_token.map_or(own, |wish| wish.min(own));
    let attempt = Attempt { upstream, limits, begun: Instant::now(), first_token };
    let headers = upstream.timeouts().headers;
    let (wait, silent) = if outgoing.stream && first_token < headers {
        (first_token, Trouble::SilentStart(first_token))
    } else {
        (headers, Trouble::SilentHeaders(headers))
    };
    let sent = upstream.send(outgoing, &target.upstream_model);
    let response = attempt.within(attempt.begun + wait, silent, sent).await??;
    let status = response.status();
    if let Some(headroom) = Headroom::read(response.headers(), Instant::now(), SystemTime::now()) {
        target.health.note(headroom);
    }
    let headers_at = Instant::now();
    if !status.is_success() {
        return Err(attempt.refusal(response).await);
    }
    let model = PublicModel::from(&target.model);
    let (reached, answer) = if outgoing.stream {
        let tap = Tap::new(model, outgoing.wants_usage, upstream.scrubber().clone());
        if let Some(media_type) = foreign_media_type(&response) {
            return Err(Trouble::NotAStream(media_type).into());
        }
        let decoder = upstream.dialect().decoder(upstream.sizes().event, outgoing.request_id);
        let source = EventSource::new(reqwest::Body::from(response), decoder);
        (headers_at, StartedAnswer::Stream(Box::new(attempt.first_token(source, tap).await?)))
    } else {
        let body = attempt.whole_body(response).await?;
        let read = match outgoing.expects {
            Expects::Embeddings => Completion::read_embeddings(body, &model),
            expected @ (Expects::Completion | Expects::Translatable) => {
                let completion = upstream.dialect().completion(body, outgoing.request_id);
                let completion =
                    if expected == Expects::Translatable { completion.and_then(translatable) } else { completion };
                completion.and_then(|completion| Completion::read(completion, &model))
            }
        };
        (Instant::now(), StartedAnswer::Whole(read.map_err(Trouble::from)?))
    };
    Ok(Started { status: status.as_u16(), reached, answer, evidence: None })
}

struct Attempt<'a> {
    upstream: &'a Upstream,
    limits: Limits,
    begun: Instant,
    first_token: Duration,
}

impl Attempt<'_> {
    /// Waits for a future until then or until the end of the attempt, whichever is first.
    async fn within<F: Future>(&self, then: Instant, late: Trouble, future: F) -> Result<F::Output, Trouble> {
        let until = then.min(self.limits.until);
        timeout_at(until, future).await.map_err(|_| if then <= self.limits.until { late } else { self.limits.late() })
    }

    async fn whole_body(&self, response: Response) -> Result<Bytes, Trouble> {
        let idle = self.limits.idle;
        let mut body = LimitedBody::new(response, self.upstream.sizes().answer)?;
        while self.within(Instant::now() + idle, Trouble::Idle(idle), body.read()).await?? {}
        Ok(body.into_bytes())
    }

    /// What the upstream said about a request it refused. What cannot be read soon is not worth waiting for.
    async fn refusal(&self, response: Response) -> Failure {
        let mut trouble = status_trouble(&response);
        let until = self.limits.until.min(Instant::now() + REFUSAL_PATIENCE);
        let read = async {
            let mut body = LimitedBody::new(response, REFUSAL_BYTES)?;
            while body.read().await? {}
            Ok::<_, Trouble>(body.into_bytes())
        };
        // Every body is read, so that its connection can serve again; only a refusal is for the client.
        let body = timeout_at(until, read).await.ok().and_then(Result::ok);
        let mut words = None;
        if let (Some(body), Some(status)) = (body, trouble.status()) {
            trouble = with_words(trouble, &body);
            let said = Said { clue: trouble.clue(), hint: trouble.hint() };
            let refused = self.upstream.dialect().refused((status, said.clue), body);
            trouble = Trouble::Status { status: refused.status, said };
            words = refused.words.filter(|_| matches!(trouble.class(), Class::Rejected | Class::TooLong));
        }
        Failure { trouble, words: words.map(|words| self.upstream.scrubber().bytes(words)) }
    }

    async fn first_token(
        &self,
        mut source: EventSource<reqwest::Body>,
        mut tap: Tap,
    ) -> Result<Streaming<reqwest::Body>, Failure> {
        let mut held = Vec::new();
        let patience = self.first_token;
        let search = async {
            let mut held_bytes = 0;
            while held.len() < MOST_HELD_EVENTS && held_bytes < MOST_HELD_BYTES {
                let event = poll_fn(|cx| source.poll_event(cx)).await.ok_or(Trouble::Ended)??;
                match tap.see(event)? {
                    Passage::Token(bytes) => {
                        held.push(bytes);
                        break;
                    }
                    Passage::Frame(bytes) => {
                        held_bytes += bytes.len();
                        held.push(bytes);
                    }
                    Passage::Comment(_) | Passage::Nothing => {}
                    Passage::Done => return Err(Trouble::Ended.into()),
                    Passage::Failed(trouble, words) => return Err(Failure { trouble, words }),
                }
            }
            Ok::<_, Failure>(())
        };
        self.within(self.begun + patience, Trouble::SilentStart(patience), search).await??;
        Ok(Streaming::new(source, tap, held, self.limits))
    }
}

/// A media type that no stream has. Others are let through: what counts is whether events come.
fn foreign_media_type(response: &Response) -> Option<&'static str> {
    let value = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default().trim();
    ["application/json", "text/html"].into_iter().find(|foreign| media_type.eq_ignore_ascii_case(foreign))
}

/// A body that is read whole, up to a size.
struct LimitedBody {
    body: reqwest::Body,
    limit: usize,
    /// The only piece of most bodies, which needs no copy.
    first: Bytes,
    all: BytesMut,
}

impl LimitedBody {
    fn new(response: Response, limit: usize) -> Result<Self, Trouble> {
        let body = reqwest::Body::from(response);
        let announced = body.size_hint().lower();
        if usize::try_from(announced).map_or(true, |announced| announced > limit) {
            return Err(Trouble::TooLarge { limit });
        }
        Ok(Self { body, limit, first: Bytes::new(), all: BytesMut::new() })
    }

    /// Reads one piece. False at the end.
    async fn read(&mut self) -> Result<bool, Trouble> {
        let Some(frame) = self.body.frame().await else { return Ok(false) };
        let Ok(data) = frame.map_err(|error| trouble(&error))?.into_data() else { return Ok(true) };
        if self.first.len() + self.all.len() + data.len() > self.limit {
            return Err(Trouble::TooLarge { limit: self.limit });
        }
        if self.first.is_empty() && self.all.is_empty() {
            self.first = data;
        } else {
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
            self.all.extend_from_slice(&data);
        }
        Ok(true)
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}
