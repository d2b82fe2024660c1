//! One try at one target, up to the commit point.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use tokio::time::{Instant, timeout_at};

use crate::chat::dialect::translatable;
use crate::chat::usage::{Completion, NotAnAnswer, PublicModel, error_alone};
use crate::domain::check::Evidence;
use crate::upstream::books::Counts;
use crate::upstream::classify::Trouble;
use crate::upstream::client::{Upstream, status_trouble, trouble, with_words};
use crate::upstream::dispatch::{Expects, Outgoing, Target};
use crate::upstream::headroom::Headroom;
use crate::upstream::heavy::heavy;
use crate::upstream::relay::Streaming;
use crate::upstream::said::{self, Said};
use crate::upstream::source::EventSource;
use crate::upstream::tap::{Passage, Tap};
use crate::upstream::wait::{Limits, SHORTEST_STEP, STEPS, Watch};

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

impl StartedAnswer {
    /// The tokens, where they are known, and what is known of the output where they are not.
    pub(crate) fn counts(&self) -> Counts {
        match self {
            Self::Whole(Completion { usage, output_bytes, body: _ }) => {
                Counts { usage: *usage, so_far: None, output_bytes: *output_bytes }
            }
            Self::Stream(stream) => stream.counts(),
        }
    }
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
            return Err(attempt.no_stream(response, media_type).await);
        }
        let decoder = upstream.dialect().decoder(upstream.sizes().event, (outgoing.request_id, outgoing.api));
        let source = EventSource::new(reqwest::Body::from(response), decoder);
        (headers_at, StartedAnswer::Stream(Box::new(attempt.first_token(source, tap).await?)))
    } else {
        let body = attempt.whole_body(response).await?;
        (Instant::now(), StartedAnswer::Whole(attempt.completion(body, (outgoing, model)).await?))
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
    /// Waits for a future until then or until the end of the attempt, whichever is first. As in a [`Watch`], only time counts in which there was
    /// time to look.
    async fn within<F: Future>(&self, then: Instant, late: Trouble, future: F) -> Result<F::Output, Trouble> {
        let mut future = pin!(future);
        let mut left = then.saturating_duration_since(Instant::now());
        let step = (left / STEPS).max(SHORTEST_STEP);
        loop {
            let length = step.min(left);
            let until = (Instant::now() + length).min(self.limits.until);
            if let Ok(output) = timeout_at(until, future.as_mut()).await {
                return Ok(output);
            }
            left = left.saturating_sub(length);
            if Instant::now() >= self.limits.until {
                return Err(if then <= self.limits.until { late } else { self.limits.late() });
            }
            if left.is_zero() {
                return Err(late);
            }
        }
    }

    async fn whole_body(&self, response: Response) -> Result<Bytes, Trouble> {
        let mut body = LimitedBody::new(response, self.upstream.sizes().answer)?;
        let mut watch = Watch::new(self.limits);
        loop {
            let came = poll_fn(|cx| match body.poll_read(cx) {
                Poll::Ready(came) => Poll::Ready(came),
                Poll::Pending => watch.poll(cx).map(Err),
            });
            match came.await? {
                None => return Ok(body.into_bytes()),
                // Some send blank lines for as long as a request waits for its turn.
                Some(_) if body.is_blank => watch.lives(),
                Some(bytes) => watch.came(bytes),
            }
            if let Some(trouble) = watch.late() {
                return Err(trouble);
            }
        }
    }

    async fn completion(
        &self,
        body: Bytes,
        (outgoing, model): (&Outgoing<'_>, PublicModel),
    ) -> Result<Completion, Failure> {
        let (dialect, expects, given) = (self.upstream.dialect().clone(), outgoing.expects, body.clone());
        let (request_id, api) = (outgoing.request_id.to_owned(), outgoing.api);
        let read = heavy(body.len(), move || match expects {
            Expects::Completion => {
                let completion = dialect.completion(body, (&request_id, api));
                completion.and_then(|completion| Completion::read(completion, &model))
            }
            Expects::Translatable => {
                let completion = dialect.completion(body, (&request_id, api)).and_then(translatable);
                completion.and_then(|completion| Completion::read(completion, &model))
            }
            Expects::Embeddings => Completion::read_embeddings(body, &model),
        });
        let lost = || Trouble::Broken("the program is ending".to_owned());
        read.await.ok_or_else(lost)?.map_err(|problem| self.no_answer(problem, &given))
    }

    /// What a success means that is no answer: the error that it reports, where it reports one.
    fn no_answer(&self, problem: NotAnAnswer, body: &[u8]) -> Failure {
        match problem.in_body(body) {
            NotAnAnswer::Failed { status } => {
                let trouble = Trouble::reported(status, said::read(body, SystemTime::now()));
                let words = error_alone(body).filter(|_| trouble.is_for_client());
                Failure { trouble, words: words.map(|words| self.upstream.scrubber().bytes(words)) }
            }
            problem @ (NotAnAnswer::Empty
            | NotAnAnswer::NotJson
            | NotAnAnswer::NoEmbeddings
            | NotAnAnswer::NoChoices) => Trouble::from(problem).into(),
        }
    }

    /// What a success means that is no stream where one was asked for.
    async fn no_stream(&self, response: Response, media_type: &'static str) -> Failure {
        let body = self.few_bytes(response).await.unwrap_or_default();
        match NotAnAnswer::NoChoices.in_body(&body) {
            reported @ NotAnAnswer::Failed { .. } => self.no_answer(reported, &body),
            NotAnAnswer::Empty | NotAnAnswer::NotJson | NotAnAnswer::NoEmbeddings | NotAnAnswer::NoChoices => {
                Trouble::NotAStream(media_type).into()
            }
        }
    }

    /// A body that is no answer. What cannot be read soon is not worth waiting for.
    async fn few_bytes(&self, response: Response) -> Option<Bytes> {
        let until = self.limits.until.min(Instant::now() + REFUSAL_PATIENCE);
        let read = async {
            let mut body = LimitedBody::new(response, REFUSAL_BYTES)?;
            while poll_fn(|cx| body.poll_read(cx)).await?.is_some() {}
            Ok::<_, Trouble>(body.into_bytes())
        };
        timeout_at(until, read).await.ok().and_then(Result::ok)
    }

    /// What the upstream said about a request it refused.
    async fn refusal(&self, response: Response) -> Failure {
        let mut trouble = status_trouble(&response);
        // Every body is read, so that its connection can serve again; only a refusal is for the client.
        let body = self.few_bytes(response).await;
        let mut words = None;
        if let (Some(body), Some(status)) = (body, trouble.status()) {
            trouble = with_words(trouble, &body);
            let said = Said { clue: trouble.clue(), hint: trouble.hint(), status: None };
            let refused = self.upstream.dialect().refused((status, said.clue), body);
            trouble = Trouble::Status { status: refused.status, said };
            words = refused.words.filter(|_| trouble.is_for_client());
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
    /// Whether nothing but white space came so far.
    is_blank: bool,
}

impl LimitedBody {
    fn new(response: Response, limit: usize) -> Result<Self, Trouble> {
        let body = reqwest::Body::from(response);
        let announced = body.size_hint().lower();
        if usize::try_from(announced).map_or(true, |announced| announced > limit) {
            return Err(Trouble::TooLarge { limit });
        }
        Ok(Self { body, limit, first: Bytes::new(), all: BytesMut::new(), is_blank: true })
    }

    /// Reads one piece, and says how long it is. `None` at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>, Trouble>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else { return Poll::Ready(Ok(None)) };
        Poll::Ready(frame.map_err(|error| trouble(&error)).and_then(|frame| match frame.into_data() {
            Ok(data) => self.take(data).map(Some),
            Err(_) => Ok(Some(0)),
        }))
    }

    fn take(&mut self, data: Bytes) -> Result<usize, Trouble> {
        let length = data.len();
        if self.first.len() + self.all.len() + length > self.limit {
            return Err(Trouble::TooLarge { limit: self.limit });
        }
        self.is_blank = self.is_blank && data.iter().all(u8::is_ascii_whitespace);
        if self.first.is_empty() && self.all.is_empty() {
            self.first = data;
        } else {
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
            self.all.extend_from_slice(&data);
        }
        Ok(length)
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}
