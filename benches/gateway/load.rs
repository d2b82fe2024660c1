//! A load generator that shares the machine with what it measures.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::prompts::Requests;

/// One keep-alive connection that sends requests one after the other.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(1 << 16) }
    }

    /// Sends a request and reads its response to the end; how long that took. `None` where it was no success.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Option<Duration> {
        self.send_and_watch(request, &mut |_| ()).await
    }

    /// The same; `watch` sees every piece of the response when it arrives.
    pub(crate) async fn send_and_watch(&mut self, request: &[u8], watch: &mut impl FnMut(&[u8])) -> Option<Duration> {
        let started = Instant::now();
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        let mut framing = None;
        loop {
            let before = self.buffer.len();
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the server closed the connection");
            watch(&self.buffer[before..]);
            if framing.is_none() {
                framing = Framing::of(&self.buffer);
            }
            if framing.as_mut().is_some_and(|framing| framing.is_over(&self.buffer)) {
                return self.buffer.starts_with(b"HTTP/1.1 200").then(|| started.elapsed());
            }
        }
    }
}

/// How the end of a response is known.
enum Framing {
    /// All bytes are there at this length.
    Length(usize),
    /// The next chunk begins here.
    Chunks(usize),
}

impl Framing {
    /// `None` until the head is there.
    fn of(buffer: &[u8]) -> Option<Self> {
        let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(&buffer[..head]).unwrap().to_ascii_lowercase();
        match text.split("content-length:").nth(1) {
            Some(rest) => Some(Self::Length(head + rest.split("\r\n").next()?.trim().parse::<usize>().ok()?)),
            None => Some(Self::Chunks(head)),
        }
    }

    fn is_over(&mut self, buffer: &[u8]) -> bool {
        match self {
            Self::Length(length) => buffer.len() >= *length,
            Self::Chunks(at) => {
                while let Some((line, size)) = buffer.get(*at..).and_then(chunk_size) {
                    if size == 0 {
                        return true;
                    }
                    *at += line + size + 2;
                }
                false
            }
        }
    }
}

/// The length of the line that opens a chunk, and the chunk's own.
fn chunk_size(rest: &[u8]) -> Option<(usize, usize)> {
    let line = rest.iter().take(20).position(|byte| *byte == b'\n')? + 1;
    let size = std::str::from_utf8(&rest[..line]).ok()?.trim();
    Some((line, usize::from_str_radix(size, 16).ok()?))
}

/// Times of many requests.
pub(crate) struct Figures {
    pub(crate) sorted: Vec<Duration>,
    wall: Duration,
    /// Requests that were not answered with a success.
    pub(crate) failed: usize,
}

impl Figures {
    /// A quantile in milliseconds.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        self.sorted[((self.sorted.len() - 1) as f64 * q) as usize].as_secs_f64() * 1e3
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.sorted.len() as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn print(&self, name: &str) {
        println!(
            "{name:<52} {:>8.0} /s   p50 {:.3} ms   p99 {:.3} ms   ({} requests)",
            self.per_second(),
            self.quantile(0.5),
            self.quantile(0.99),
            self.sorted.len()
        );
        assert_eq!(self.failed, 0, "requests failed");
    }
}

/// How much load.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) lasting: Duration,
    /// No more requests than these.
    pub(crate) most: usize,
}

impl Load {
    pub(crate) const fn seconds(connections: usize, seconds: u64) -> Self {
        Self { connections, lasting: Duration::from_secs(seconds), most: usize::MAX }
    }

    pub(crate) const fn requests(connections: usize, most: usize) -> Self {
        Self { connections, lasting: Duration::from_secs(600), most }
    }

    /// Sends the requests in turn.
    pub(crate) async fn run(self, address: SocketAddr, requests: &Requests) -> Figures {
        let started = Instant::now();
        let lanes = (0..self.connections).map(async |lane| {
            let mut connection = Connection::open(address).await;
            let mut times = Vec::new();
            let mut at = lane;
            while started.elapsed() < self.lasting && at < self.most {
                times.push(connection.send(&requests[at % requests.len()]).await);
                at += self.connections;
            }
            times
        });
        let ended: Vec<Option<Duration>> = futures_util::future::join_all(lanes).await.into_iter().flatten().collect();
        let wall = started.elapsed();
        let mut sorted: Vec<Duration> = ended.iter().copied().flatten().collect();
        sorted.sort();
        assert!(!sorted.is_empty(), "no request succeeded");
        Figures { failed: ended.len() - sorted.len(), sorted, wall }
    }
}
