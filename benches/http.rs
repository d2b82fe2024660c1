//! Speed over HTTP, with the load generator on the same cores: `/v1/route` throughput, proxy overhead, start and memory. Every prompt is scored
//! anew, but for the rows that repeat one ask.
//!
//! Runs the built server as a process of its own. Figures of one run are compared with each other only: machines are shared and noisy.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on has failed, and prints its figures"
)]

mod gateway;

use std::sync::Arc;

use gateway::load::Load;
use gateway::server::Server;
use gateway::{mock, prompts};

/// Whether the encoder of the default bundle's second looks is installed.
fn has_transformer() -> bool {
    let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let manifest = std::fs::read_to_string(models.join("default/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let digest = manifest["careful"]["encoder"]["digest"].as_str();
    digest.is_some_and(|digest| models.join("encoders").join(digest).is_dir())
}

fn main() {
    // `cargo test --benches` only wants to know that this builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let upstream = mock::start().await;
        let server = Server::start(upstream, &["m"], 0);
        println!(
            "ready after {:.0} ms, {:.0} MB resident",
            server.ready_after.as_secs_f64() * 1e3,
            server.resident_mb()
        );

        let bodies = prompts::short();
        let routes = Arc::new(bodies.iter().map(|body| prompts::post("/v1/route", "", body)).collect());
        Load::seconds(8, 1).run(server.address, &routes).await;
        Load::seconds(1, 3).run(server.address, &routes).await.print("/v1/route, 1 connection");
        Load::seconds(32, 5).run(server.address, &routes).await.print("/v1/route, 32 connections");

        let named = prompts::chat(&bodies, "\"model\":\"m\",", "");
        let auto = prompts::chat(&bodies, "\"model\":\"auto\",", "");
        let direct = Load::seconds(1, 3).run(upstream, &named).await;
        let named_one = Load::seconds(1, 3).run(server.address, &named).await;
        let auto_one = Load::seconds(1, 3).run(server.address, &auto).await;
        direct.print("chat, direct to the upstream, 1 connection");
        named_one.print("chat through trimtab, named model, 1 connection");
        auto_one.print("chat through trimtab, auto, 1 connection");
        println!(
            "proxy overhead p50: named {:.3} ms, auto {:.3} ms",
            named_one.quantile(0.5) - direct.quantile(0.5),
            auto_one.quantile(0.5) - direct.quantile(0.5)
        );
        Load::seconds(32, 4)
            .run(server.address, &named)
            .await
            .print("chat through trimtab, named model, 32 connections");
        Load::seconds(32, 4).run(server.address, &auto).await.print("chat through trimtab, auto, 32 connections");
        println!("{:.0} MB resident after the load", server.resident_mb());

        drop(server);

        let server = Server::with_decision_cache(upstream, &["m"]);
        let one_ask = Arc::new(vec![prompts::post("/v1/route", "", &bodies[0])]);
        Load::seconds(8, 1).run(server.address, &one_ask).await;
        Load::seconds(1, 3).run(server.address, &one_ask).await.print("/v1/route, one ask repeated, 1 connection");
        Load::seconds(32, 3).run(server.address, &one_ask).await.print("/v1/route, one ask repeated, 32 connections");
        drop(server);

        if !has_transformer() {
            println!("second looks: not measured, the transformer is not built (`make encoders`)");
            return;
        }
        let server = Server::start(upstream, &["m"], 1);
        Load::seconds(1, 3).run(server.address, &routes).await.print("/v1/route with second looks, 1 connection");
        Load::seconds(32, 5).run(server.address, &routes).await.print("/v1/route with second looks, 32 connections");
    });
}
