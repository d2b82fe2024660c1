//! A scripted upstream for tests: it answers, stalls, cuts and stays silent exactly as told, over real sockets on loopback.
//!
//! Depends on nothing of ours, so that integration tests include this same file by path.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Answers each request as it is told, by a script or by what the request says. Stops when dropped.
pub(crate) struct FakeUpstream {
    address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

struct State {
    respond: Box<dyn Fn(&Received) -> Reply + Send + Sync>,
    requests: Mutex<Vec<Received>>,
    /// How many there are of them.
    asked: watch::Sender<usize>,
    /// How many clients went away before their reply was complete.
    gone: watch::Sender<usize>,
    connections: watch::Sender<usize>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

/// One answer: pieces of bytes, and what happens after them.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    head: Vec<u8>,
    pieces: Vec<Vec<u8>>,
    /// Written after the pieces of a reply that ends well.
    tail: Vec<u8>,
    end: End,
    /// It begins only when this upstream has been asked.
    after: Option<watch::Receiver<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The reply is complete and the connection stays open.
    Complete,
    /// The connection stays open and nothing more comes.
    Silence,
    /// The connection is closed.
    Cut,
    /// The tail comes again and again.
    Drip,
}

/// The pause between two drops.
const DROP: Duration = Duration::from_millis(20);

/// A status with OpenAI's error body.
pub(crate) fn status(status: u16) -> Reply {
    let body = format!(r#"{{"error":{{"message":"scripted {status}","type":"scripted","param":null,"code":null}}}}"#);
    whole(status, "application/json", body.as_bytes())
}

/// A whole answer of this JSON.
pub(crate) fn json(body: &str) -> Reply {
    whole(200, "application/json", body.as_bytes())
}

/// A whole answer of any kind.
pub(crate) fn whole(status: u16, media_type: &str, body: &[u8]) -> Reply {
    let head =
        format!("HTTP/1.1 {status} Scripted\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n", body.len());
    Reply { head: head.into_bytes(), pieces: vec![body.to_vec()], tail: Vec::new(), end: End::Complete, after: None }
}

/// A stream of these words, one chunk each, that ends as OpenAI's streams do.
pub(crate) fn sse(words: &[&str]) -> Reply {
    let chunk = |delta: &str, reason: &str| {
        format!(
            r#"{{"id":"c1","object":"chat.completion.chunk","created":1,"model":"upstream-model","choices":[{{"index":0,"delta":{delta},"finish_reason":{reason}}}]}}"#
        )
    };
    let words = words.iter().map(|word| chunk(&format!(r#"{{"content":"{word}"}}"#), "null"));
    let events: Vec<String> = words.chain([chunk("{}", r#""stop""#), "[DONE]".to_owned()]).collect();
    events_reply(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A stream of events with exactly these data.
pub(crate) fn events_reply(data: &[&str]) -> Reply {
    raw_stream(&data.iter().map(|data| format!("data: {data}\n\n")).collect::<Vec<_>>())
}

/// A stream of exactly these pieces, each in a chunk of its own.
pub(crate) fn raw_stream(pieces: &[String]) -> Reply {
    in_pieces("text/event-stream", pieces)
}

/// A success whose body comes in exactly these pieces, each in a chunk of its own.
pub(crate) fn in_pieces(media_type: &str, pieces: &[impl AsRef<[u8]>]) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ntransfer-encoding: chunked\r\n\r\n");
    let framed = |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    Reply {
        head: head.into_bytes(),
        pieces: pieces.iter().map(|piece| framed(piece.as_ref())).collect(),
        tail: b"0\r\n\r\n".to_vec(),
        end: End::Complete,
        after: None,
    }
}

/// Exactly these bytes, and then silence.
pub(crate) fn only(head: &str) -> Reply {
    Reply { head: head.as_bytes().to_vec(), pieces: Vec::new(), tail: Vec::new(), end: End::Silence, after: None }
}

/// Nothing at all.
pub(crate) fn hang() -> Reply {
    only("")
}

/// A success that is a web page.
pub(crate) fn garbage() -> Reply {
    whole(200, "text/html", b"<html><body>Welcome to nginx</body></html>")
}

impl Reply {
    /// Adds a response header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let end = self.head.len() - 2;
        self.head.splice(end..end, format!("{name}: {value}\r\n").into_bytes());
        self
    }

    /// Begins only when that upstream has been asked.
    pub(crate) fn when_asked(self, upstream: &FakeUpstream) -> Self {
        Self { after: Some(upstream.state.asked.subscribe()), ..self }
    }

    /// Falls silent after so many pieces of the body.
    pub(crate) fn stall_after(self, pieces: usize) -> Self {
        self.stop_after(pieces, End::Silence)
    }

    /// Closes the connection after so many pieces of the body.
    pub(crate) fn cut_after(self, pieces: usize) -> Self {
        self.stop_after(pieces, End::Cut)
    }

    /// Sends these bytes again and again at the end.
    pub(crate) fn drip(self, bytes: &[u8]) -> Self {
        Self { tail: bytes.to_vec(), end: End::Drip, ..self }
    }

    /// Ends the body cleanly after so many pieces.
    pub(crate) fn end_after(mut self, pieces: usize) -> Self {
        self.pieces.truncate(pieces);
        self
    }

    /// Falls silent within the response headers.
    pub(crate) fn stall_in_headers(mut self) -> Self {
        self.head.truncate(self.head.len() - 4);
        self.stall_after(0)
    }

    /// Closes the connection within the body of a whole answer.
    pub(crate) fn cut_in_body(mut self) -> Self {
        for piece in &mut self.pieces {
            piece.truncate(piece.len() / 2);
        }
        Self { end: End::Cut, ..self }
    }

    fn stop_after(mut self, pieces: usize, end: End) -> Self {
        self.pieces.truncate(pieces);
        Self { end, tail: Vec::new(), ..self }
    }
}

impl FakeUpstream {
    /// Answers each request with the next of these; the last is repeated.
    pub(crate) async fn script(replies: impl IntoIterator<Item = Reply>) -> Self {
        let script: Mutex<VecDeque<Reply>> = Mutex::new(replies.into_iter().collect());
        Self::answering(move |_| {
            let mut script = script.lock().unwrap();
            let next = if script.len() > 1 { script.pop_front() } else { script.front().cloned() };
            next.unwrap_or_else(|| status(500))
        })
        .await
    }

    /// Answers each request with what this makes of it. Starts on a free port of loopback.
    pub(crate) async fn answering(respond: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            respond: Box::new(respond),
            requests: Mutex::default(),
            asked: watch::Sender::new(0),
            gone: watch::Sender::new(0),
            connections: watch::Sender::new(0),
        });
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&state);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                shared.connections.send_modify(|count| *count += 1);
                connections.spawn(serve(socket, Arc::clone(&shared)));
            }
        });
        Self { address, state, _tasks: tasks }
    }

    /// What a client takes as its base URL.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What arrived so far.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.state.requests.lock().unwrap().clone()
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&self) -> usize {
        *self.state.connections.borrow()
    }

    /// Returns when a request has arrived.
    pub(crate) async fn asked(&self) {
        self.state.asked.subscribe().wait_for(|asked| *asked > 0).await.unwrap();
    }

    /// Returns when a client has gone away before its reply was complete.
    pub(crate) async fn client_gone(&self) {
        self.state.gone.subscribe().wait_for(|gone| *gone > 0).await.unwrap();
    }
}

/// An address where nothing listens.
pub(crate) async fn refused_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/v1", listener.local_addr().unwrap())
}

async fn serve(mut socket: TcpStream, state: Arc<State>) {
    socket.set_nodelay(true).unwrap();
    while let Some(request) = read_request(&mut socket).await {
        let reply = (state.respond)(&request);
        state.requests.lock().unwrap().push(request);
        state.asked.send_modify(|asked| *asked += 1);
        if !play(&mut socket, reply).await {
            state.gone.send_modify(|gone| *gone += 1);
            return;
        }
    }
}

/// Plays a reply; false if the client went away before its end.
async fn play(socket: &mut TcpStream, reply: Reply) -> bool {
    if let Some(mut after) = reply.after {
        after.wait_for(|asked| *asked > 0).await.unwrap();
    }
    let mut pieces = reply.pieces.into_iter();
    // The head goes out with the first piece, so that both arrive at once.
    let first = [reply.head, pieces.next().unwrap_or_default()].concat();
    for piece in [first].into_iter().chain(pieces).chain([reply.tail.clone()]) {
        if socket.write_all(&piece).await.is_err() {
            return false;
        }
    }
    match reply.end {
        End::Complete => true,
        End::Cut => {
            drop(socket.shutdown().await);
            true
        }
        End::Drip => {
            let mut drops = tokio::time::interval(DROP);
            while socket.write_all(&reply.tail).await.is_ok() {
                drops.tick().await;
            }
            false
        }
        End::Silence => {
            // A client sends nothing more, so whatever can be read is its departure.
            let mut byte = [0];
            while socket.read(&mut byte).await.is_ok_and(|read| read > 0) {}
            false
        }
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut body = bytes.split_off(head + 4);
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
    while body.len() < length {
        if socket.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Received { path, headers, body })
}
