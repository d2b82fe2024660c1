//! `trimtab route`: decisions on the terminal, made by the same line that serves.

use std::fs;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::chat::openai::ChatRequest;
use crate::cli::RouteArgs;
use crate::commands::Settings;
use crate::commands::output::say;
use crate::config::Secrets;
use crate::pipeline::{Routed, route};
use crate::serve::{build_app, local_call};
use crate::view::{DecisionView, Shown};

/// Most bytes read from standard input or a file.
const MAX_INPUT: u64 = 256 * 1024 * 1024;

pub(super) fn run(settings: &Settings, args: &RouteArgs) -> anyhow::Result<ExitCode> {
    let requests = requests(args)?;
    let config = settings.load(Secrets::Unread)?;
    let app = build_app(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for request in requests {
        let call = local_call(request);
        let routed = runtime.block_on(route(&app, &call))?;
        let shown = Shown {
            id: call.admission.id,
            at_unix_ms: call.admission.at_unix_ms,
            prompt: &call.chat.prompt,
            routed: &routed,
            explain: args.explain,
        };
        let view = serde_json::to_value(DecisionView::of(&shown))?;
        say(&if args.json { view.to_string() } else { for_people(&view, &routed) })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The chat requests that the arguments ask about.
fn requests(args: &RouteArgs) -> anyhow::Result<Vec<ChatRequest>> {
    let options = json!({ "policy": args.policy, "quality": args.quality, "threshold": args.threshold });
    let mut requests = Vec::new();
    for file in &args.file {
        for body in file_bodies(file)? {
            requests.push(request(body, &options).with_context(|| format!("in {}", file.display()))?);
        }
    }
    match args.prompt.as_deref() {
        Some(prompt) if prompt != "-" => requests.push(request(chat(prompt), &options)?),
        None if !requests.is_empty() => {}
        Some(_) | None => {
            if std::io::stdin().is_terminal() {
                bail!("there is no prompt; write `trimtab route \"…\"`, pipe one in, or name a file with --file");
            }
            requests.push(request(chat(&read_limited(std::io::stdin().lock())?), &options)?);
        }
    }
    Ok(requests)
}

fn chat(prompt: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": prompt }] })
}

fn request(mut body: Value, options: &Value) -> anyhow::Result<ChatRequest> {
    if let Some(fields) = body.as_object_mut() {
        fields.insert("trimtab".to_owned(), options.clone());
    }
    Ok(ChatRequest::from_text(&body.to_string())?)
}

/// A `.jsonl` file holds a prompt per line; any other file is one prompt.
fn file_bodies(file: &Path) -> anyhow::Result<Vec<Value>> {
    let reader = fs::File::open(file).with_context(|| format!("{} cannot be opened", file.display()))?;
    let text = read_limited(reader).with_context(|| format!("{} cannot be read", file.display()))?;
    if file.extension().is_none_or(|extension| extension != "jsonl") {
        return Ok(vec![chat(&text)]);
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| line_body(line).with_context(|| format!("{}, line {}", file.display(), at + 1))).collect()
}

fn line_body(line: &str) -> anyhow::Result<Value> {
    let value: Value = serde_json::from_str(line).context("this is not JSON")?;
    match (&value, value.get("prompt").and_then(Value::as_str)) {
        (Value::String(prompt), _) => Ok(chat(prompt)),
        (_, Some(prompt)) => Ok(chat(prompt)),
        _ if value.get("messages").is_some() => Ok(value),
        _ => bail!("a line must be a text, or an object with `prompt` or `messages`"),
    }
}

fn read_limited(reader: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = reader.take(MAX_INPUT).read_to_string(&mut text).context("the prompt must be UTF-8 text")?;
    if read as u64 == MAX_INPUT {
        bail!("the input is larger than {MAX_INPUT} bytes");
    }
    Ok(text)
}

/// The sentence, then a line for each model.
fn for_people(view: &Value, routed: &Routed) -> String {
    let mut text = format!("{}\n", routed.sentence);
    let candidates = view.get("candidates").and_then(Value::as_array).into_iter().flatten();
    for candidate in candidates {
        let field = |name: &str| candidate.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let chosen = if candidate.get("model") == view.get("model") { "→" } else { " " };
        let success = candidate
            .get("success")
            .and_then(Value::as_f64)
            .map_or("      –".to_owned(), |p| format!("{:5.1} %", 100.0 * p));
        let cost = candidate
            .pointer("/cost_usd/p50")
            .and_then(Value::as_f64)
            .map_or("–".to_owned(), |usd| format!("${usd:.6}"));
        let excluded =
            candidate.get("excluded_by").and_then(Value::as_str).map_or(String::new(), |why| format!("  ({why})"));
        let (model, tier, utility) = (field("model"), field("tier"), utility(candidate, view));
        text += &format!("{chosen} {model:<28} {tier:<8} success {success}  cost {cost:<10}  {utility}{excluded}\n");
    }
    let signals = view.get("signals").cloned().unwrap_or_default();
    if let Some(task) = signals.get("task").and_then(Value::as_str) {
        let number = |name: &str| signals.get(name).and_then(Value::as_f64).unwrap_or_default();
        let total = view.pointer("/timings_us/total").and_then(Value::as_u64).unwrap_or_default();
        text += &format!(
            "  task {task} ({:.0} %), difficulty {:.2}, {} tokens read, decided in {total} µs",
            100.0 * number("task_probability"),
            number("difficulty"),
            number("tokens"),
        );
    }
    text.trim_end().to_owned()
}

/// What a candidate is worth, in points, and how that comes about: success, less what is charged for its cost (or its tier, where the
/// threshold is below zero), less what leaving the session's model costs. A dash where nothing was weighed.
fn utility(candidate: &Value, view: &Value) -> String {
    let points = |value: Option<&Value>| value.and_then(Value::as_f64).map(|number| 100.0 * number);
    let field = |name: &str| points(candidate.get(name));
    let (Some(success), Some(utility)) = (field("success"), field("utility")) else {
        return "utility     –".to_owned();
    };
    let switching = field("switching_cost").unwrap_or(0.0);
    let charged = success - switching - utility;
    let below_zero = points(view.get("threshold")).is_some_and(|threshold| threshold < 0.0);
    let what = if below_zero { "tier" } else { "cost" };
    let sign = if charged < -0.05 { "+" } else { "−" };
    let leaving = if switching.abs() < 0.05 { String::new() } else { format!(" − {switching:.1} for leaving") };
    format!("utility {utility:5.1} = {success:.1} {sign} {:.1} for {what}{leaving}", charged.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utility_is_told_as_success_less_cost_less_switching() {
        let candidate = json!({ "success": 0.812, "utility": 0.692, "switching_cost": 0.02, "relative_cost": 1.0 });
        let free = json!({ "success": 0.6, "utility": 0.6, "switching_cost": 0.0 });
        let raised = json!({ "success": 0.6, "utility": 0.65, "switching_cost": 0.0 });

        let told = |candidate: &Value, threshold: Value| utility(candidate, &json!({ "threshold": threshold }));

        assert_eq!(told(&candidate, json!(0.1)), "utility  69.2 = 81.2 − 10.0 for cost − 2.0 for leaving");
        assert_eq!(told(&free, json!(0.1)), "utility  60.0 = 60.0 − 0.0 for cost");
        assert_eq!(told(&raised, json!(-0.05)), "utility  65.0 = 60.0 + 5.0 for tier");
        assert_eq!(told(&json!({ "success": 0.6, "utility": null }), Value::Null), "utility     –");
    }
}
