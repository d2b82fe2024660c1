//! Which breakers open: every fault is met often enough in a row, and the breaker that counts it opens, and no other.

use std::fmt::Write as _;

use futures_util::stream::{self, StreamExt};
use serde_json::Value;

use crate::fault_matrix::cells::{Cell, Client, Moves, Place};
use crate::fault_matrix::places::Places;
use crate::fault_matrix::seen::Dialect;
use crate::fault_matrix::{AT_ONCE, answers, faults};
use crate::support::fake::FakeUpstream;
use crate::support::{Setup, TestApp};

/// As many failures in a row open a breaker.
const IN_A_ROW: usize = 3;

/// A fault, and an upstream that has it for one model and answers for another.
struct Run {
    at: usize,
    name: String,
    place: Place,
    cell: Cell,
    stream: bool,
    upstream: FakeUpstream,
}

/// Every fault that a client sees who reads, with two models at an upstream of its own.
async fn runs() -> Vec<Run> {
    let mut all = Vec::new();
    for fault in faults::faults() {
        let deliveries = [(false, fault.whole), (true, fault.stream)];
        for (stream, cell) in deliveries.into_iter().filter_map(|(stream, cell)| Some((stream, cell?))) {
            if cell.client != Client::Reads {
                continue;
            }
            let (fault_reply, healthy) = (cell.reply.clone(), answers::healthy().0);
            let upstream = FakeUpstream::answering(move |request| {
                let asks_bad = String::from_utf8_lossy(&request.body).contains("\"bad-");
                if asks_bad { fault_reply.clone() } else { healthy.clone() }
            })
            .await;
            let name = format!("{}, {}", fault.name, if stream { "stream" } else { "whole" });
            all.push(Run { at: all.len(), name, place: fault.place, cell, stream, upstream });
        }
    }
    all
}

fn setup(other: &[FakeUpstream; 2]) -> Setup {
    let [whole, stream] = other.each_ref().map(FakeUpstream::base_url);
    let toml = format!(
        r#"
        [server]
        request_timeout = "30s"
        [retry]
        base_delay = "1ms"
        max_delay = "1ms"
        budget_share = 1.0
        budget_burst = 10000
        [breaker]
        window = "1h"
        least_calls = 100000
        in_a_row = {IN_A_ROW}
        cooling = "1h"
        longest_cooling = "1h"
        [[tiers]]
        id = "small"
        [upstreams.other-whole]
        base_url = "{whole}"
        [upstreams.other-stream]
        base_url = "{stream}"
        [[tiers.models]]
        name = "other-whole"
        upstream = "other-whole"
        price = {{ input = 10.0, output = 30.0 }}
        [[tiers.models]]
        name = "other-stream"
        upstream = "other-stream"
        price = {{ input = 10.0, output = 30.0 }}
        "#
    );
    Setup { toml, ..Setup::default() }
}

impl Run {
    fn configuration(&self, base_url: &str) -> String {
        let (at, limits, mut toml) = (self.at, self.cell.limits.toml(), String::new());
        write!(toml, "\n[upstreams.place-{at}]\nbase_url = \"{base_url}\"\ntimeouts = {limits}\n").unwrap();
        for (name, other) in [("bad", if self.stream { "stream" } else { "whole" }), ("sibling", "whole")] {
            write!(
                toml,
                "[[tiers.models]]\nname = \"{name}-{at}\"\nupstream = \"place-{at}\"\nprice = {{ input = 1.0, output = 2.0 }}\nfallback = [\"other-{other}\"]\n"
            )
            .unwrap();
        }
        toml
    }

    /// Asks the model with the fault as often as opens a breaker, and then the other one at the same upstream; what that answer says of
    /// its attempts, where there was more than one.
    async fn meet(&self, app: &TestApp) -> String {
        let body = |model: &str, stream| Dialect::Chat.body(&format!("{model}-{}", self.at), "Hello", stream);
        for _ in 0..IN_A_ROW {
            app.post("/v1/chat/completions", &body("bad", self.stream)).await;
        }
        let reply = app.post("/v1/chat/completions", &body("sibling", false)).await;
        reply.headers.get("x-trimtab-attempts").map_or("", |value| value.to_str().unwrap()).to_owned()
    }

    fn wrong(&self, (attempts, targets): (&str, &[Value])) -> Option<String> {
        let at = self.at;
        let states = |model: String| {
            let target = targets.iter().find(|target| target["model"] == model.as_str()).unwrap();
            [&target["breaker"]["state"], &target["key_breaker"]["state"]]
                .map(|state| state.as_str().unwrap().to_owned())
        };
        let found = (states(format!("bad-{at}")), states(format!("sibling-{at}")), attempts.to_owned());
        let [closed, open] = ["closed", "open"].map(str::to_owned);
        let own = String::new();
        let expected = match self.cell.moves {
            Moves::None => ([closed.clone(), closed.clone()], [closed.clone(), closed], own),
            Moves::Target => ([open, closed.clone()], [closed.clone(), closed], own),
            Moves::Key => (
                [closed.clone(), open.clone()],
                [closed, open],
                format!("sibling-{at}@place-{at}=skipped, other-whole@other-whole=success"),
            ),
        };
        // An open breaker keeps calls away while another target is there.
        let calls = self.upstream.requests().len();
        let most = match self.cell.moves {
            Moves::None => usize::MAX,
            Moves::Target => IN_A_ROW + 1,
            Moves::Key => IN_A_ROW,
        };
        (found != expected || calls > most)
            .then(|| format!("{}: expected {expected:?}, found {found:?} after {calls} calls", self.name))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_in_a_row_open_the_breaker_that_counts_them_and_no_other() {
    let healthy = answers::healthy();
    let other = [FakeUpstream::script([healthy.0]).await, FakeUpstream::script([healthy.1]).await];
    let (runs, mut setup, mut places) = (runs().await, setup(&other), Places::default());
    for run in &runs {
        let base_url = places.base_url(run.place, &run.upstream).await;
        setup.toml.push_str(&run.configuration(&base_url));
    }
    let app = TestApp::start(setup).await;

    let attempts: Vec<String> = stream::iter(&runs).map(|run| run.meet(&app)).buffered(AT_ONCE).collect().await;

    let all = app.send(app.client.get(format!("{}/admin/upstreams", app.admin_url))).await.json();
    let targets = all["data"].as_array().unwrap();
    let mut wrong: Vec<String> =
        runs.iter().zip(&attempts).filter_map(|(run, attempts)| run.wrong((attempts, targets))).collect();
    for target in targets.iter().filter(|target| target["upstream"].as_str().unwrap().starts_with("other")) {
        if target["state"] != "closed" {
            wrong.push(format!("a healthy target's breaker opened: {target}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} faults:\n{}", wrong.len(), runs.len(), wrong.join("\n"));
}
