//! Trimtab beside other gateways, in one run on one machine: added latency, requests and streams a second, memory.
//!
//! `make peers` installs them under `target/peers` and runs this. They run as processes of their own, on loopback only, with their telemetry off.
//! Figures of one run are compared with each other only.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on has failed, and prints its figures"
)]

mod gateway;
#[path = "peers/processes.rs"]
mod processes;

use std::net::SocketAddr;
use std::path::PathBuf;

use gateway::delays::Delays;
use gateway::load::Load;
use gateway::server::Server;
use gateway::{mock, prompts};
use processes::Peer;

/// A gateway under load.
struct Line<'a> {
    name: &'a str,
    address: SocketAddr,
    model: &'a str,
    /// Header lines of its own.
    headers: String,
}

/// What was measured of it.
struct Row {
    name: String,
    p50: f64,
    p99: f64,
    requests: f64,
    streams: f64,
    /// Of a chunk, in microseconds.
    delay: u128,
    failed: usize,
}

impl Line<'_> {
    async fn measure(&self, bodies: &[String]) -> Row {
        let members = format!("\"model\":\"{}\",", self.model);
        let whole = prompts::chat(bodies, &members, &self.headers);
        let paced = prompts::chat(&prompts::paced(1), &format!("{members}\"stream\":true,"), &self.headers);
        let streams = prompts::chat(bodies, &format!("{members}\"stream\":true,"), &self.headers);
        Load::seconds(4, 2).run(self.address, &whole).await;
        let one = Load::seconds(1, 4).run(self.address, &whole).await;
        let many = Load::seconds(32, 5).run(self.address, &whole).await;
        let streams = Load::seconds(16, 5).run(self.address, &streams).await;
        let delays = Delays::measure(self.address, &paced[0]).await;
        Row {
            name: self.name.to_owned(),
            p50: one.quantile(0.5),
            p99: one.quantile(0.99),
            requests: many.per_second(),
            streams: streams.per_second(),
            delay: delays.quantile(0.5),
            failed: one.failed + many.failed + streams.failed,
        }
    }
}

fn main() {
    // `cargo test --benches` only wants to know that this builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let installed = PathBuf::from(std::env::var("PEERS").unwrap_or_else(|_| "target/peers".into()));
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let bodies = prompts::chats();
        let upstream = mock::start().await;
        let line = |name, address, model| Line { name, address, model, headers: String::new() };
        let direct = line("direct", upstream, "m").measure(&bodies).await;
        print_head();
        print(&direct, &direct, f64::NAN);
        {
            let server = Server::start(upstream, &["m"], 0);
            let named = line("trimtab, named model", server.address, "m").measure(&bodies).await;
            print(&named, &direct, server.resident_mb());
            let auto = line("trimtab, auto", server.address, "auto").measure(&bodies).await;
            print(&auto, &direct, server.resident_mb());
        }
        for peer in Peer::ALL {
            match peer.start(&installed, upstream).await {
                Ok(process) => {
                    let line = Line { headers: peer.headers(upstream), ..line(peer.name(), process.address, "m") };
                    print(&line.measure(&bodies).await, &direct, process.resident_mb());
                }
                Err(reason) => println!("{:<24} not measured: {reason}", peer.name()),
            }
        }
    });
}

fn print_head() {
    println!("chats of 300 tokens; streams of {} chunks; a chunk's delay where chunks come one by one", mock::CHUNKS);
    println!(
        "{:<22} {:>13} {:>13} {:>15} {:>12} {:>14} {:>10}",
        "", "added p50, ms", "added p99, ms", "requests/s, 32", "streams/s, 16", "chunk p50, µs", "memory, MB"
    );
}

fn print(row: &Row, direct: &Row, memory: f64) {
    println!(
        "{:<22} {:>13.3} {:>13.3} {:>15.0} {:>12.0} {:>14} {memory:>10.0}",
        row.name,
        row.p50 - direct.p50,
        row.p99 - direct.p99,
        row.requests,
        row.streams,
        row.delay
    );
    if row.failed > 0 {
        println!("{:<22} {} requests failed and are not counted", "", row.failed);
    }
}
