//! Speed over HTTP, with the load generator on the same cores: `/v1/route` throughput, proxy overhead, start and memory.
//!
//! Runs the built server as a process of its own. Figures of one run are compared with each other only: machines are shared and noisy.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on has failed, and prints its figures"
)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Prompts of about 64 tokens, all different, so that nothing can be cached.
fn route_bodies(count: usize) -> Vec<String> {
    (0..count)
        .map(|i| {
            let prompt = format!(
                "A warehouse received {i} crates on Monday and sold a third of them by Friday, keeping the rest for the spring fair. Explain step by step how \
                 many crates are left, how the manager should plan the next order, and which assumptions you made about returns and breakage."
            );
            serde_json::json!({ "messages": [{ "role": "user", "content": prompt }] }).to_string()
        })
        .collect()
}

fn request(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One keep-alive connection that sends requests one after the other.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(1 << 16) }
    }

    async fn send(&mut self, request: &[u8]) -> Duration {
        let started = Instant::now();
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        loop {
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the server closed the connection");
            if let Some(end) = end_of_response(&self.buffer) {
                assert!(self.buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.buffer));
                assert_eq!(end, self.buffer.len());
                return started.elapsed();
            }
        }
    }
}

/// Where a response with a content length ends, once all of it is there.
fn end_of_response(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).unwrap().to_ascii_lowercase();
    let length: usize = text.split("content-length:").nth(1)?.split("\r\n").next()?.trim().parse().ok()?;
    (buffer.len() >= head + length).then_some(head + length)
}

struct Figures {
    sorted: Vec<Duration>,
    wall: Duration,
}

impl Figures {
    fn quantile(&self, q: f64) -> f64 {
        self.sorted[((self.sorted.len() - 1) as f64 * q) as usize].as_secs_f64() * 1e3
    }

    fn print(&self, name: &str) {
        println!(
            "{name:<52} {:>8.0} req/s   p50 {:.3} ms   p99 {:.3} ms   ({} requests)",
            self.sorted.len() as f64 / self.wall.as_secs_f64(),
            self.quantile(0.5),
            self.quantile(0.99),
            self.sorted.len()
        );
    }
}

async fn load(
    address: SocketAddr,
    requests: &std::sync::Arc<Vec<Vec<u8>>>,
    connections: usize,
    lasting: Duration,
) -> Figures {
    let started = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|lane| {
            let requests = std::sync::Arc::clone(requests);
            async move {
                let mut connection = Connection::open(address).await;
                let mut times = Vec::new();
                let mut at = lane;
                while started.elapsed() < lasting {
                    times.push(connection.send(&requests[at % requests.len()]).await);
                    at += connections;
                }
                times
            }
        })
        .collect();
    let mut sorted: Vec<Duration> = futures_util::future::join_all(tasks).await.into_iter().flatten().collect();
    let wall = started.elapsed();
    sorted.sort();
    Figures { sorted, wall }
}

/// An upstream that answers at once with a fixed completion.
async fn instant_upstream(listener: TcpListener) {
    let body = r#"{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":64,"completion_tokens":1,"total_tokens":65}}"#;
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let connections = tokio_util::task::TaskTracker::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let answer = answer.clone();
        connections.spawn(async move {
            let mut buffer = Vec::new();
            while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                while let Some(end) = end_of_response(&buffer) {
                    buffer.drain(..end);
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// Whether the encoder of the default bundle's second looks is installed.
fn has_transformer() -> bool {
    let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let manifest = std::fs::read_to_string(models.join("default/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let digest = manifest["careful"]["encoder"]["digest"].as_str();
    digest.is_some_and(|digest| models.join("encoders").join(digest).is_dir())
}

struct Server {
    process: Child,
    address: SocketAddr,
    ready_after: Duration,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start(upstream: SocketAddr, careful_workers: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
             [model]\ndir = \"{}/models\"\ncareful_workers = {careful_workers}\n\
             [store]\npath = \"{}/bench.db\"\n\
             [log]\nfilter = \"warn\"\n\
             [upstreams.bench]\nbase_url = \"http://{upstream}/v1\"\n\
             [[tiers]]\nid = \"small\"\n[[tiers.models]]\nname = \"m\"\nupstream = \"bench\"\n\
             [[tiers]]\nid = \"large\"\n[[tiers.models]]\nname = \"l\"\nupstream = \"bench\"\n",
            env!("CARGO_MANIFEST_DIR"),
            directory.path().display(),
        );
        let file = directory.path().join("bench.toml");
        std::fs::write(&file, config).unwrap();
        let started = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_trimtab"))
            .args(["serve", "--config"])
            .arg(&file)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready_after = started.elapsed();
        let address =
            line.trim().rsplit("http://").next().unwrap().parse().unwrap_or_else(|_| panic!("no address in {line:?}"));
        Self { process, address, ready_after, _directory: directory }
    }

    fn resident_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let kb =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
        kb.unwrap_or(f64::NAN) / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn main() {
    // `cargo test --benches` only wants to know that this builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap();
        let background = tokio_util::task::TaskTracker::new();
        background.spawn(instant_upstream(listener));

        let server = Server::start(upstream, 0);
        println!(
            "ready after {:.0} ms, {:.0} MB resident",
            server.ready_after.as_secs_f64() * 1e3,
            server.resident_mb()
        );

        let bodies = route_bodies(5_000);
        let routes = std::sync::Arc::new(bodies.iter().map(|body| request("/v1/route", body)).collect::<Vec<_>>());
        load(server.address, &routes, 8, Duration::from_secs(1)).await;
        load(server.address, &routes, 1, Duration::from_secs(3)).await.print("/v1/route, 1 connection");
        load(server.address, &routes, 32, Duration::from_secs(5)).await.print("/v1/route, 32 connections");

        let chat = |model: &str| {
            let with_model = |body: &String| body.replacen('{', &format!("{{\"model\":\"{model}\","), 1);
            std::sync::Arc::new(
                bodies.iter().map(|body| request("/v1/chat/completions", &with_model(body))).collect::<Vec<_>>(),
            )
        };
        let direct = load(upstream, &chat("m"), 1, Duration::from_secs(3)).await;
        let named = load(server.address, &chat("m"), 1, Duration::from_secs(3)).await;
        let auto = load(server.address, &chat("auto"), 1, Duration::from_secs(3)).await;
        direct.print("chat, direct to the upstream, 1 connection");
        named.print("chat through trimtab, named model, 1 connection");
        auto.print("chat through trimtab, auto, 1 connection");
        println!(
            "proxy overhead p50: named {:.3} ms, auto {:.3} ms",
            named.quantile(0.5) - direct.quantile(0.5),
            auto.quantile(0.5) - direct.quantile(0.5)
        );
        load(server.address, &chat("m"), 32, Duration::from_secs(4))
            .await
            .print("chat through trimtab, named model, 32 connections");
        load(server.address, &chat("auto"), 32, Duration::from_secs(4))
            .await
            .print("chat through trimtab, auto, 32 connections");
        println!("{:.0} MB resident after the load", server.resident_mb());

        if !has_transformer() {
            println!("second looks: not measured, the transformer is not built (`make encoders`)");
            return;
        }
        drop(server);
        let server = Server::start(upstream, 1);
        load(server.address, &routes, 1, Duration::from_secs(3))
            .await
            .print("/v1/route with second looks, 1 connection");
        load(server.address, &routes, 32, Duration::from_secs(5))
            .await
            .print("/v1/route with second looks, 32 connections");
    });
}
