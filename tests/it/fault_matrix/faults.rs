//! Every fault, and what is expected of it. `docs/fault-matrix.md` is written from this list.

use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::fault_matrix::answers::{
    ANSWER, BIG, OWN_TEXT, ROLE, TOOL_ARGUMENTS, TOOL_START, another_shape, big_answer, big_stream, bytes_of, counting,
    cut_arguments, events, garbled, huge_answer, stream_of, telling, with_usage_everywhere,
};
use crate::fault_matrix::cells::{
    Bill, Cell, Client, Fault, Limits, Moves, Place, Sees, THROTTLED, answers, at, both, breaks, each, fails, leaves,
    refuses, streamed, whole_only,
};
use crate::support::fake::{Reply, events_reply, garbage, hang, in_pieces, json, only, raw_stream, sse, status, whole};

/// All of them.
pub(super) fn faults() -> Vec<Fault> {
    let mut all = connections();
    all.extend(statuses());
    all.extend(bodies());
    all.extend(streams());
    all.extend(counts());
    all.extend(clients());
    all
}

fn connections() -> Vec<Fault> {
    let silent = |reply| fails(reply).once().within(Limits::Short);
    vec![
        at(Place::Refused, "connection refused"),
        at(Place::NoName, "host name that is none"),
        at(Place::Nameless, "unknown host"),
        at(Place::NotTls, "TLS handshake fails"),
        at(Place::Untrusted, "certificate that nobody trusts"),
        at(Place::Full, "connection that never opens"),
        both("silent after accepting", &silent(hang())),
        both("headers that never end", &silent(only("HTTP/1.1 200 OK\r\ncontent-type: ").drip(b"x"))),
        each(
            "silent after the headers",
            silent(only("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n")),
            silent(stream_of(&[]).stall_after(0)),
        ),
        whole_only(
            "drips its body",
            fails(
                only("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400000\r\n\r\n").drip(b"{"),
            )
            .once()
            .within(Limits::Throughput),
        ),
        streamed("comments and no answer", silent(stream_of(&[]).drip(b"f\r\n: still there\n\n\r\n"))),
    ]
}

fn statuses() -> Vec<Fault> {
    let plain = |name, code| both(name, &fails(status(code)));
    vec![
        both("400", &refuses(400)),
        both("401", &fails(status(401)).once().counted_by(Moves::Key)),
        both("403", &fails(status(403)).once()),
        both("404", &fails(status(404)).once()),
        plain("408", 408),
        both("413", &fails(status(413)).once().counted_by(Moves::None).alone(Sees::Error(413, ""))),
        both("422", &refuses(422)),
        both("429", &fails(status(429)).alone(THROTTLED)),
        both(
            "429, come back in 20 ms",
            &fails(status(429).header("retry-after-ms", "20")).counted_by(Moves::None).alone(THROTTLED),
        ),
        both("429, come back in 10 minutes", &later(status(429).header("retry-after", "600"))),
        both(
            "429, come back at a time 10 minutes from now",
            &later(status(429).header("retry-after", &in_10_minutes())),
        ),
        both("429, come back in 10 minutes, in its words alone", &later(in_words("600s"))),
        plain("500", 500),
        plain("502", 502),
        plain("503", 503),
        plain("504", 504),
        both("529", &fails(status(529)).alone(THROTTLED)),
        both("a redirect", &fails(status(307).header("location", "http://127.0.0.1:9/"))),
    ]
}

/// The upstream says when to come back, which is too late.
fn later(reply: Reply) -> Cell {
    fails(reply).once().counted_by(Moves::None).alone(THROTTLED)
}

/// A date as HTTP writes it.
fn in_10_minutes() -> String {
    httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(600))
}

/// A 429 whose message alone says when to come back.
fn in_words(after: &str) -> Reply {
    let message = format!("Rate limit reached. Please try again in {after}.");
    let error = json!({ "message": message, "type": "requests", "param": null, "code": "rate_limit_exceeded" });
    whole(429, "application/json", json!({ "error": error }).to_string().as_bytes())
}

fn bodies() -> Vec<Fault> {
    let too_large = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000000\r\n\r\n";
    let large_event = format!("data: {}\n\n", "x".repeat(BIG));
    vec![
        each("malformed JSON", fails(json("{\"id\": \"c1\", ")), fails(events_reply(&["{\"id\": \"c1\", "]))),
        each(
            "JSON of another shape",
            fails(json(&another_shape("message"))),
            fails(events_reply(&[&another_shape("delta")])),
        ),
        both(
            "an error as a success",
            &fails(json(r#"{"error":{"message":"sorry","type":"server_error","code":null}}"#)),
        ),
        both("a web page", &fails(garbage())),
        each(
            "truncated body",
            fails(json(ANSWER).cut_in_body()),
            fails(raw_stream(&[telling(ROLE)[..40].to_owned()]).cut_after(1)),
        ),
        each("empty body", fails(whole(200, "application/json", b"")), fails(stream_of(&[]))),
        each("oversize body", fails(only(too_large)).once(), fails(raw_stream(&[large_event])).once()),
        each(
            "invalid UTF-8",
            fails(whole(200, "application/json", &garbled(ANSWER))),
            fails(in_pieces("text/event-stream", &[garbled(&telling(&events()[1]))])),
        ),
        each(
            "split at every byte",
            answers(in_pieces("application/json", &bytes_of(ANSWER)), OWN_TEXT),
            answers(in_pieces("text/event-stream", &bytes_of(&events().map(|data| telling(&data)).concat())), OWN_TEXT),
        ),
        each(
            "tool call with cut arguments",
            answers(json(&cut_arguments()), TOOL_ARGUMENTS),
            breaks(stream_of(&[ROLE, TOOL_START]).cut_after(2), "upstream_cut").after(TOOL_ARGUMENTS),
        ),
    ]
}

fn streams() -> Vec<Fault> {
    let [role, first, rest, finish, usage, done] = events();
    let (role, first, rest) = (role.as_str(), first.as_str(), rest.as_str());
    let error = r#"{"error":{"message":"too busy","type":"server_error","param":null,"code":"too_busy"}}"#;
    let broken = in_pieces("text/event-stream", &[telling(first).into_bytes(), garbled(&telling(rest))]);
    vec![
        streamed("cut before the first token", fails(stream_of(&[role]).cut_after(1))),
        streamed("ends before the first token", fails(stream_of(&[role, &done]))),
        streamed("error event before the first token", fails(stream_of(&[role, error, &done]))),
        streamed("cut after the first token", breaks(stream_of(&[role, first]).cut_after(2), "upstream_cut")),
        streamed("ends without a reason", breaks(stream_of(&[role, first]), "upstream_cut")),
        streamed(
            "stalls after the first token",
            breaks(stream_of(&[role, first]).stall_after(2), "upstream_idle").within(Limits::ShortIdle),
        ),
        streamed(
            "drips after the first token",
            breaks(stream_of(&[role, first]).drip(b"f\r\n: still there\n\n\r\n"), "upstream_slow")
                .within(Limits::Throughput),
        ),
        streamed("error event after the first token", breaks(stream_of(&[role, first, error, &done]), "too_busy")),
        streamed("invalid UTF-8 after the first token", breaks(broken, "upstream_garbage")),
        streamed(
            "malformed JSON after the first token",
            breaks(stream_of(&[role, first, "{\"id\": "]), "upstream_garbage"),
        ),
        streamed(
            "oversize event after the first token",
            breaks(stream_of(&[role, first, &"x".repeat(BIG)]), "upstream_garbage"),
        ),
        streamed("missing `[DONE]`", answers(stream_of(&[role, first, rest, &finish, &usage]), OWN_TEXT)),
    ]
}

fn counts() -> Vec<Fault> {
    let [role, first, rest, finish, usage, done] = events();
    let with_usage = counting(&finish);
    let uncounted = |reply| answers(reply, "Hello").billed(Bill::Estimate);
    let whole = ANSWER.replace("Hé", "He").replace("usage", "bill");
    let everywhere = with_usage_everywhere();
    let everywhere: Vec<&str> = everywhere.iter().map(String::as_str).collect();
    vec![
        each("usage missing", uncounted(json(&whole)), uncounted(sse(&["Hel", "lo"]))),
        streamed(
            "usage on a chunk with a choice",
            answers(stream_of(&[&role, &first, &rest, &with_usage, &done]), OWN_TEXT),
        ),
        streamed("usage on every chunk", answers(stream_of(&everywhere), OWN_TEXT)),
        streamed("usage after the end", answers(stream_of(&[&role, &first, &rest, &finish, &usage, &done]), OWN_TEXT)),
    ]
}

fn clients() -> Vec<Fault> {
    let [role, first, ..] = events();
    let stalled = stream_of(&[&role, &first]).stall_after(2);
    vec![
        both("client leaves before the first byte", &leaves(hang(), Client::LeavesAtOnce)),
        each(
            "client leaves midway",
            leaves(json(&big_answer()), Client::LeavesMidway).billed(Bill::Own),
            leaves(stalled, Client::LeavesMidway).billed(Bill::Estimate),
        ),
        each(
            "client stops reading",
            leaves(json(&huge_answer()), Client::StopsReading).billed(Bill::Own),
            leaves(big_stream(64).stall_after(64), Client::StopsReading).billed(Bill::Estimate),
        ),
        streamed("client reads slowly", answers(big_stream(8), "").read_by(Client::ReadsSlowly)),
    ]
}
