//! The fault matrix: every fault of an upstream and of a client, streaming and not, in every dialect, beside a healthy target and without one.
//! Of each cell is checked what the caller sees, how many calls are made, which breaker counts a failure, and what is billed.
//!
//! Each cell has an upstream and a model of its own, so that all of them run at once against one server.

mod answers;
mod breakers;
mod cells;
mod document;
mod faults;
mod natives;
mod places;
mod seen;

use std::fmt::Write as _;
use std::future::pending;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use tokio::time::{Instant, interval, timeout};

use self::answers::HEALTHY_TEXT;
use self::cells::{Bill, Cell, Client, Fault, Moves, Place, Sees};
use self::natives::Speaks;
use self::places::Places;
use self::seen::{Dialect, Seen};
use crate::support::app::{PATIENCE, Reply};
use crate::support::fake::FakeUpstream;
use crate::support::{Setup, TestApp};

/// Cells that run at the same time.
const AT_ONCE: usize = 24;
/// Far beyond every limit that a call meets here, and far below the deadline of a call.
const NO_HANG: Duration = Duration::from_secs(12);
/// Longer than a client may take nothing of an answer before its connection is cut, on a busy machine too.
const TOO_LONG: Duration = Duration::from_secs(12);
/// What the healthy target's answers cost, and the counted ones of an upstream with a fault.
const HEALTHY_USD: f64 = 0.000_250;
const OWN_USD: f64 = 0.000_020;

/// One cell, and the upstream that it has for itself.
struct Run {
    at: usize,
    name: String,
    place: Place,
    speaks: Speaks,
    cell: Cell,
    dialect: Dialect,
    stream: bool,
    is_alone: bool,
    upstream: FakeUpstream,
}

/// What the client saw of a cell.
struct Told {
    seen: Result<Seen, String>,
    /// What the answer says of the attempts.
    attempts: String,
    took: Duration,
}

impl Run {
    fn sees(&self) -> Sees {
        if self.is_alone { self.cell.alone } else { self.cell.sees }
    }

    fn bill(&self) -> Bill {
        if matches!(self.sees(), Sees::Error(..)) { Bill::Nothing } else { self.cell.bill }
    }

    fn prompt(&self) -> String {
        format!("Tell me about cell {} of the matrix", self.at)
    }

    /// The upstream and the model of this cell.
    fn configuration(&self, base_url: &str) -> String {
        let speaks = self.speaks.toml();
        let (at, limits) = (self.at, self.cell.limits.toml());
        let healthy = if self.stream { "healthy-stream" } else { "healthy-whole" };
        let fallback = if self.is_alone { String::new() } else { format!("fallback = [\"{healthy}\"]") };
        format!(
            r#"
            [upstreams.place-{at}]
            base_url = "{base_url}"
            {speaks}
            timeouts = {limits}
            [[tiers.models]]
            name = "model-{at}"
            upstream = "place-{at}"
            price = {{ input = 1.0, output = 2.0 }}
            {fallback}
            "#
        )
    }
}

/// Two healthy upstreams, limits that keep nobody waiting, and breakers that count and do not open.
fn setup(healthy: &[FakeUpstream; 2]) -> Setup {
    let mut toml = r#"
        [server]
        request_timeout = "20s"
        client_timeout = "3s"
        [store]
        prompts = "full"
        [retry]
        base_delay = "1ms"
        max_delay = "1ms"
        budget_share = 1.0
        budget_burst = 10000
        [breaker]
        window = "1h"
        least_calls = 100000
        in_a_row = 100000
        [[tiers]]
        id = "small"
        "#
    .to_owned();
    for (name, upstream) in ["healthy-whole", "healthy-stream"].iter().zip(healthy) {
        let base_url = upstream.base_url();
        write!(
            toml,
            r#"
            [upstreams.{name}]
            base_url = "{base_url}"
            [[tiers.models]]
            name = "{name}"
            upstream = "{name}"
            price = {{ input = 10.0, output = 30.0 }}
            "#
        )
        .unwrap();
    }
    Setup { toml, ..Setup::default() }
}

/// All cells of these faults.
async fn runs(faults: Vec<Fault>) -> Vec<Run> {
    let mut all = Vec::new();
    for fault in faults {
        for (stream, cell) in [(false, &fault.whole), (true, &fault.stream)] {
            let Some(cell) = cell else { continue };
            for is_alone in [false, true] {
                for dialect in Dialect::ALL {
                    let delivery = if stream { "stream" } else { "whole" };
                    let company = if is_alone { ", alone" } else { "" };
                    all.push(Run {
                        at: all.len(),
                        name: format!("{}, {delivery}, {dialect:?} at {:?}{company}", fault.name, fault.speaks),
                        place: fault.place,
                        speaks: fault.speaks,
                        cell: cell.clone(),
                        dialect,
                        stream,
                        is_alone,
                        upstream: FakeUpstream::script([cell.reply.clone()]).await,
                    });
                }
            }
        }
    }
    all
}

async fn ask(app: &TestApp, run: &Run) -> Told {
    let began = Instant::now();
    let model = format!("model-{}", run.at);
    let body = run.dialect.body(&model, &run.prompt(), run.stream);
    let request = app
        .client
        .post(format!("{}{}", app.url, run.dialect.path(&model, run.stream)))
        .header("content-type", "application/json")
        .header("x-request-id", format!("cell-{}", run.at))
        .body(body.to_string());
    let (seen, attempts) = match run.cell.client {
        Client::Reads => read(run, &app.send(request).await),
        Client::ReadsSlowly => {
            let mut response = request.send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let (mut text, mut pace) = (Vec::new(), interval(Duration::from_millis(5)));
            while let Some(piece) = response.chunk().await.unwrap() {
                text.extend_from_slice(&piece);
                pace.tick().await;
            }
            read(run, &Reply { status, headers, text: String::from_utf8(text).unwrap() })
        }
        Client::LeavesAtOnce => {
            tokio::select! {
                answer = request.send() => panic!("an answer: {answer:?}"),
                () = run.upstream.asked() => {}
            }
            gone(run).await
        }
        Client::LeavesMidway | Client::StopsReading => {
            let mut response = request.send().await.unwrap();
            let first = response.chunk().await.unwrap();
            assert!(first.is_some_and(|piece| !piece.is_empty()), "{}", run.name);
            if run.cell.client == Client::LeavesMidway {
                drop(response);
                if run.stream { gone(run).await } else { (Ok(Seen::Nothing), String::new()) }
            } else if run.stream {
                let seen = gone(run).await;
                drop(response);
                seen
            } else {
                (cut_off(response).await, String::new())
            }
        }
    };
    Told { seen, attempts, took: began.elapsed() }
}

fn read(run: &Run, reply: &Reply) -> (Result<Seen, String>, String) {
    let header = reply.headers.get("x-trimtab-attempts").map_or("", |value| value.to_str().unwrap());
    let attempts = if reply.status == 200 { header } else { &reply.text };
    (run.dialect.read(reply, run.stream), attempts.to_owned())
}

/// Does nothing for as long as no client may, and then reads what is left of a whole answer, of which the end must be missing.
async fn cut_off(mut response: reqwest::Response) -> Result<Seen, String> {
    drop(timeout(TOO_LONG, pending::<()>()).await);
    loop {
        match response.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => return Err("the connection was kept, and the answer came whole".to_owned()),
            Err(_) => return Ok(Seen::Nothing),
        }
    }
}

/// Waits until the upstream's call is cancelled.
async fn gone(run: &Run) -> (Result<Seen, String>, String) {
    let gone = timeout(PATIENCE, run.upstream.client_gone()).await;
    (gone.map(|()| Seen::Nothing).map_err(|_| "the upstream's call went on".to_owned()), String::new())
}

/// What is wrong with a cell, once the server has stopped.
struct Verdict<'a> {
    targets: &'a [Value],
    rows: &'a [Value],
    /// The requests that the healthy upstreams had.
    healthy: &'a [String],
}

impl Verdict<'_> {
    fn wrong(&self, run: &Run, told: &Told) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut expect = |what: &str, expected: String, found: String| {
            if expected != found {
                wrong.push(format!("{}: {what}: expected {expected}, found {found}", run.name));
            }
        };
        let limit = if run.cell.client == Client::Reads { NO_HANG } else { PATIENCE };
        expect("in time", "true".to_owned(), (told.took < limit).to_string());

        let mut expected = run.dialect.expected(run.sees(), HEALTHY_TEXT);
        // Of the longest answers it is enough that they are whole.
        if let (Seen::Answer(text), Ok(Seen::Answer(found))) = (&mut expected, &told.seen)
            && text.is_empty()
            && !found.is_empty()
        {
            text.clone_from(found);
        }
        expect("the client sees", format!("{:?}", Ok::<_, String>(expected)), format!("{:?}", told.seen));

        let name = format!("place-{}", run.at);
        let named =
            told.attempts.matches(&format!("@{name}=")).count() + told.attempts.matches(&format!("`{name}`")).count();
        let calls = if run.place == Place::Scripted { run.upstream.requests().len() } else { named };
        expect("calls", run.cell.calls.to_string(), calls.to_string());
        if named > 0 {
            expect("calls that the client is told of", run.cell.calls.to_string(), named.to_string());
        }
        let healthy = self.healthy.iter().filter(|id| **id == format!("cell-{}", run.at)).count();
        expect(
            "calls of the healthy target",
            usize::from(run.sees() == Sees::Healthy).to_string(),
            healthy.to_string(),
        );

        let target = self.targets.iter().find(|target| target["upstream"] == name.as_str()).unwrap();
        let failures = (&target["breaker"]["failures"], &target["key_breaker"]["failures"]);
        let moved = match run.cell.moves {
            Moves::None => (0, 0),
            Moves::Target => (run.cell.calls, 0),
            Moves::Key => (0, run.cell.calls),
        };
        expect("failures that breakers count", format!("{moved:?}"), format!("({}, {})", failures.0, failures.1));
        expect("calls in flight at the end", "0".to_owned(), target["in_flight"].to_string());

        let rows: Vec<&Value> = self.rows.iter().filter(|row| row["prompt"] == run.prompt().as_str()).collect();
        expect("records", "1".to_owned(), rows.len().to_string());
        for row in rows {
            let cost = row["cost_usd"].as_f64();
            let is = |usd: f64| cost.is_some_and(|cost| (cost - usd).abs() < 1e-12);
            let is_right = match run.bill() {
                Bill::Healthy => is(HEALTHY_USD),
                Bill::Own => is(OWN_USD),
                Bill::Estimate => cost.is_some_and(|cost| cost > 0.0) && !is(OWN_USD) && !is(HEALTHY_USD),
                Bill::Nothing => cost.is_none(),
            };
            let found = if is_right { format!("{:?}", run.bill()) } else { format!("{cost:?}") };
            expect("billed", format!("{:?}", run.bill()), found);
            expect("how it ended", format!("{:?}", ends(run)), format!("{:?}", ended(run, row)));
        }
        wrong
    }
}

/// How the record says that a call ended.
fn ends(run: &Run) -> &'static str {
    match run.sees() {
        Sees::Healthy | Sees::Own(_) => "success",
        Sees::Cut(..) => "truncated",
        Sees::Error(..) => "failed",
        Sees::Nothing if run.cell.bill == Bill::Own => "success",
        Sees::Nothing => "cancelled",
    }
}

fn ended<'a>(run: &Run, row: &'a Value) -> &'a str {
    match (row["class"].as_str().unwrap_or("none"), run.sees()) {
        ("success" | "truncated" | "cancelled" | "none", Sees::Error(..)) => "no failure",
        (_, Sees::Error(..)) => "failed",
        (class, _) => class,
    }
}

/// The sum of a counter over all of its labels.
fn total(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_of_the_fault_matrix_is_as_documented() {
    check(faults::faults()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_of_upstreams_with_dialects_of_their_own_is_as_documented() {
    check(natives::faults()).await;
}

async fn check(faults: Vec<Fault>) {
    let healthy = answers::healthy();
    let healthy = [FakeUpstream::script([healthy.0]).await, FakeUpstream::script([healthy.1]).await];
    let (runs, mut setup, mut places) = (runs(faults).await, setup(&healthy), Places::default());
    setup.environment.push(("BEDROCK_KEY".to_owned(), "bedrock-key".to_owned()));
    for run in &runs {
        let base_url = places.base_url(run.place, &run.upstream).await;
        setup.toml.push_str(&run.configuration(&base_url));
    }
    let app = TestApp::start(setup).await;

    let told: Vec<Told> = stream::iter(&runs).map(|run| ask(&app, run)).buffered(AT_ONCE).collect().await;

    let all = app.send(app.client.get(format!("{}/admin/upstreams", app.admin_url))).await.json();
    let metrics = app.get("/metrics").await.text;
    let directory = app.stop().await;
    let rows = crate::commands::export(directory.path(), &[]);
    let id = |request: &crate::support::fake::Received| request.header("x-request-id").unwrap_or_default().to_owned();
    let asked: Vec<String> = healthy.iter().flat_map(FakeUpstream::requests).map(|request| id(&request)).collect();
    let verdict = Verdict { targets: all["data"].as_array().unwrap(), rows: &rows, healthy: &asked };
    let mut wrong: Vec<String> = runs.iter().zip(&told).flat_map(|(run, told)| verdict.wrong(run, told)).collect();
    let billed: f64 = rows.iter().filter_map(|row| row["cost_usd"].as_f64()).sum();
    let counted = total(&metrics, "trimtab_cost_usd_total");
    if (billed - counted).abs() > 1e-9 || rows.len() != runs.len() {
        wrong.push(format!("{} cells, {} records of {billed} $, {counted} $ counted", runs.len(), rows.len()));
    }
    for target in verdict.targets.iter().filter(|target| target["upstream"].as_str().unwrap().starts_with("healthy")) {
        if target["breaker"]["failures"] != 0 || target["key_breaker"]["failures"] != 0 {
            wrong.push(format!("the healthy target is blamed: {target}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), runs.len(), wrong.join("\n"));
}
