//! An upstream that answers at once, in the shapes that a benchmark asks for by the name of the model or in the prompt.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

/// Chunks with text in the stream of an ordinary model.
pub(crate) const CHUNKS: usize = 20;
/// Chunks with text in the stream of the model `long`, which come as fast as they are read.
pub(crate) const LONG_CHUNKS: usize = 20_000;
/// What a prompt says that wants a paced stream.
pub(crate) const PACED: &str = "Take your time.";
/// Chunks with text in a paced stream, each of which says when it was written.
pub(crate) const PACED_CHUNKS: usize = 500;
/// The time between those.
const PACE: Duration = Duration::from_millis(2);

const ANSWER: &str = r#"{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":64,"completion_tokens":1,"total_tokens":65}}"#;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
static STREAM: LazyLock<Vec<u8>> = LazyLock::new(|| whole_stream(CHUNKS));
static LONG: LazyLock<Vec<u8>> = LazyLock::new(|| whole_stream(LONG_CHUNKS));

/// Microseconds since the benchmark began, as [`PACED_CHUNKS`] carry them.
pub(crate) fn now() -> u64 {
    u64::try_from(STARTED.elapsed().as_micros()).unwrap()
}

/// Starts the upstream in the background.
pub(crate) async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = TaskTracker::new();
    connections.clone().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            // A client that leaves is no fault.
            connections.spawn(async move { drop(serve(stream).await) });
        }
    });
    address
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let answer = head("application/json", &format!("content-length: {}", ANSWER.len())) + ANSWER;
    let mut buffer = Vec::new();
    while stream.read_buf(&mut buffer).await? > 0 {
        while let Some(end) = end_of_request(&buffer) {
            let request = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.drain(..end);
            match (says(&request, "stream", "true"), request.contains(PACED)) {
                (false, _) => stream.write_all(answer.as_bytes()).await?,
                (true, true) => paced(&mut stream).await?,
                (true, false) if says(&request, "model", "\"long\"") => stream.write_all(&LONG).await?,
                (true, false) => stream.write_all(&STREAM).await?,
            }
        }
    }
    Ok(())
}

async fn paced(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(stream_head().as_bytes()).await?;
    for _ in 0..PACED_CHUNKS {
        tokio::time::sleep(PACE).await;
        stream.write_all(framed(&text(&format!("<{}>", now()))).as_bytes()).await?;
    }
    stream.write_all(end().as_bytes()).await
}

fn whole_stream(chunks: usize) -> Vec<u8> {
    let mut bytes = stream_head();
    for _ in 0..chunks {
        bytes.push_str(&framed(&text(" word")));
    }
    bytes.push_str(&end());
    bytes.into_bytes()
}

fn head(content_type: &str, length: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{length}\r\n\r\n")
}

fn stream_head() -> String {
    head("text/event-stream", "transfer-encoding: chunked")
        + &framed(&chunk(r#"{"role":"assistant","content":""}"#, "null"))
}

fn text(content: &str) -> String {
    chunk(&format!(r#"{{"content":"{content}"}}"#), "null")
}

fn end() -> String {
    let usage = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":300,\"completion_tokens\":20,\"total_tokens\":320}}\n\n";
    framed(&chunk("{}", "\"stop\"")) + &framed(usage) + &framed("data: [DONE]\n\n") + "0\r\n\r\n"
}

fn chunk(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

fn framed(piece: &str) -> String {
    format!("{:x}\r\n{piece}\r\n", piece.len())
}

/// Whether a body has this member, with or without a space.
fn says(request: &str, member: &str, value: &str) -> bool {
    request.contains(&format!("\"{member}\":{value}")) || request.contains(&format!("\"{member}\": {value}"))
}

/// Where a request with a content length ends, once all of it is there.
fn end_of_request(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).unwrap().to_ascii_lowercase();
    let length =
        text.split("content-length:").nth(1).map_or(Some(0), |rest| rest.split("\r\n").next()?.trim().parse().ok())?;
    (buffer.len() >= head + length).then_some(head + length)
}
