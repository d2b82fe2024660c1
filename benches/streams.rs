//! Streams: how many a second, what each chunk costs, how late it comes, and whether memory stays flat.
//!
//! An upstream, the load generator and the built server share the machine. Figures of one run are compared with each other only.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on has failed, and prints its figures"
)]

mod gateway;

use gateway::delays::Delays;
use gateway::load::Load;
use gateway::mock::{CHUNKS, LONG_CHUNKS, PACED_CHUNKS};
use gateway::prompts::Requests;
use gateway::server::Server;
use gateway::{mock, prompts};

/// Streams over which memory has to stay flat.
const MANY: usize = 200_000;
/// Streams of paced chunks at once.
const PACED: usize = 16;

fn main() {
    // `cargo test --benches` only wants to know that this builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let upstream = mock::start().await;
        let server = Server::start(upstream, &["m"], 0);
        let bodies = prompts::chats();
        let named = prompts::chat(&bodies, "\"model\":\"m\",\"stream\":true,", "");
        let auto = prompts::chat(&bodies, "\"model\":\"auto\",\"stream\":true,", "");
        println!("streams of {CHUNKS} chunks with text, 300 tokens of prompt");
        Load::seconds(16, 3).run(upstream, &named).await.print("direct to the upstream, 16 connections");
        Load::seconds(16, 1).run(server.address, &named).await;
        Load::seconds(16, 5).run(server.address, &named).await.print("through trimtab, named model, 16 connections");
        Load::seconds(16, 5).run(server.address, &auto).await.print("through trimtab, auto, 16 connections");
        memory(&server, &named).await;
        drop(server);

        let server = Server::start(upstream, &["long"], 0);
        let long = prompts::chat(&bodies[..8], "\"model\":\"long\",\"stream\":true,", "");
        cost(&server, &long, LONG_CHUNKS, "that come as fast as they are read").await;
        let paced = prompts::chat(&prompts::paced(PACED * 4), "\"model\":\"long\",\"stream\":true,", "");
        cost(&server, &paced, PACED_CHUNKS, "that are written one by one").await;
        Delays::measure(upstream, &paced[0]).await.print("direct");
        Delays::measure(server.address, &paced[0]).await.print("through trimtab");
    });
}

async fn memory(server: &Server, requests: &Requests) {
    print!("resident after streams:");
    for quarter in 0..=4 {
        if quarter > 0 {
            Load::requests(16, MANY / 4).run(server.address, requests).await;
        }
        print!("  {} {:.0} MB", quarter * MANY / 4, server.resident_mb());
    }
    println!();
}

/// What a chunk costs the server in time to compute.
async fn cost(server: &Server, requests: &Requests, chunks: usize, kind: &str) {
    let connections = PACED.min(requests.len());
    Load::requests(connections, connections).run(server.address, requests).await;
    let before = server.computed();
    Load::requests(connections, requests.len()).run(server.address, requests).await;
    let spent = server.computed().saturating_sub(before);
    let each = spent.as_secs_f64() * 1e6 / (requests.len() * chunks) as f64;
    println!("chunks {kind}: {each:.2} µs of the server's time each ({} chunks)", requests.len() * chunks);
}
