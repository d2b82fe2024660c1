//! From merged tables to a checked [`Config`]: the listeners, the learned part, the records and the log.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;
use tracing_subscriber::EnvFilter;

use crate::config::cache;
use crate::config::deferred;
use crate::config::drills;
use crate::config::error::ConfigErrors;
use crate::config::layers::Layers;
use crate::config::reader::{Notes, Section};
use crate::config::recovery;
use crate::config::routing::{self, Defaults, Routing};
use crate::config::secret::{BadSecret, Secret};
use crate::config::{
    CallerKey, Config, Device, Drift, FeedbackScope, KeptPrompts, LiveFeedback, Log, LogFormat, Model, Secrets, Server,
    Sessions, Sources, Store, Training,
};
use crate::domain::drift::ReferenceKind;
use crate::domain::policy::SessionMode;
use crate::domain::probability::Probability;

/// The longest duration of anything.
const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn config(layers: &Layers, sources: &Sources<'_>) -> Result<Config, ConfigErrors> {
    let notes = Notes::new(&layers.origins);
    let checked = sections(layers, &notes, &Keys { sources });
    let problems = notes.into_problems();
    match checked {
        Some(config) if problems.is_empty() => Ok(config),
        Some(_) | None => Err(ConfigErrors(problems)),
    }
}

fn sections(layers: &Layers, notes: &Notes<'_>, keys: &Keys<'_>) -> Option<Config> {
    let mut root = Section::root(&layers.table, notes);
    let server = server(root.section("server"), keys);
    let model = model(root.section("model"));
    let sessions = sessions(root.section("sessions"));
    let cache = cache::read(root.section("cache"));
    let deferred = deferred::read(root.section("deferred"));
    let store = store(root.section("store"));
    let feedback = feedback(root.section("feedback"));
    let training = training(root.section("training"));
    let drift = drift(root.section("drift"));
    let drills = drills::read(root.section("drills"));
    let log = log(root.section("log"));
    let retry = recovery::retry(root.section("retry"));
    let breaker = recovery::breaker(root.section("breaker"));
    let hedge = recovery::hedge(root.section("hedge"));
    let longest = server.as_ref().map_or(DAY, |server| server.request_timeout);
    let routing = routing::read(&mut root, keys, Defaults { longest, sessions });
    root.finish();
    let Routing { upstreams, tiers, embeddings, policies, default_policy } = routing?;
    if let Some(cache) = &cache {
        cache::check(cache, &policies, notes);
    }
    Some(Config {
        server: server?,
        model: model?,
        sessions: sessions?,
        cache: cache?,
        deferred: deferred?,
        store: store?,
        feedback: feedback?,
        training: training?,
        drift: drift?,
        drills: drills?,
        log: log?,
        retry: retry?,
        breaker: breaker?,
        hedge: hedge?,
        upstreams,
        tiers,
        embeddings,
        policies,
        default_policy,
        demo: layers.demo,
        file: layers.file.clone(),
    })
}

/// Whether a conversation keeps its model, in words.
pub(super) const SESSION_MODES: [(&str, SessionMode); 2] = [("sticky", SessionMode::Sticky), ("off", SessionMode::Off)];

/// Reads secrets, or refrains from it.
pub(super) struct Keys<'a> {
    sources: &'a Sources<'a>,
}

impl Keys<'_> {
    /// Whether secrets are read at all.
    pub(super) fn are_read(&self) -> bool {
        self.sources.secrets == Secrets::Required
    }

    /// Reads `{ env = "NAME" }` or `{ file = "PATH" }`. Text in place of the table is refused unread.
    ///
    /// `None` is a problem already remembered, or a secret that is not to be read.
    pub(super) fn secret(&self, section: &mut Section<'_>, key: &'static str) -> Option<Secret> {
        let path = section.path(key);
        let value = section.raw(key);
        self.secret_value(section, path, value)
    }

    /// As [`Keys::secret`], for a value already taken out of the section.
    pub(super) fn secret_value(&self, section: &Section<'_>, path: String, value: Option<Value>) -> Option<Secret> {
        const FORM: &str = "write { env = \"NAME\" } for an environment variable or { file = \"PATH\" } for a file";
        let Some(Value::Table(table)) = value else {
            let problem = if value.is_some() { "a secret does not belong into a configuration" } else { "is missing" };
            section.notes().problem(path, problem, FORM);
            return None;
        };
        let mut source = section.child(path.clone(), table);
        let variable = source.optional("env", Section::text);
        let file = source.optional("file", Section::text);
        source.finish();
        let (read, fix) = match (variable, file) {
            (Some(_), Some(_)) | (None, None) => {
                section.notes().problem(path, "names not exactly one place", FORM);
                return None;
            }
            _ if !self.are_read() => return None,
            (Some(variable), None) => (
                Secret::from_env(&variable, self.sources.environment),
                format!("export {variable} with the secret before starting trimtab"),
            ),
            (None, Some(file)) => (
                Secret::from_file(Path::new(&file)),
                format!("put the secret, and nothing else, into `{file}` and make it readable"),
            ),
        };
        read.map_err(|problem: BadSecret| section.notes().problem(path, problem.to_string(), fix)).ok()
    }
}

fn server(mut section: Section<'_>, keys: &Keys<'_>) -> Option<Server> {
    let listen = address(&mut section, "listen");
    let admin_listen = address(&mut section, "admin_listen");
    let threads = section.count("threads", 0..=1024);
    let max_body_bytes = section.bytes("max_body_bytes", 1 << 10..=1 << 30);
    let max_concurrent_requests = section.count("max_concurrent_requests", 1..=100_000);
    let request_timeout = section.duration("request_timeout", Duration::from_secs(1)..=DAY);
    let client_timeout = section.duration("client_timeout", Duration::from_secs(1)..=DAY);
    let keep_alive = section.duration("keep_alive", Duration::from_millis(100)..=HOUR);
    let drain_timeout = section.duration("drain_timeout", Duration::ZERO..=HOUR);
    let has_admin_key = section.has("admin_key");
    let admin_key = if has_admin_key { keys.secret(&mut section, "admin_key") } else { None };
    let entries = section.list("keys");
    let has_keys = !entries.is_empty();
    let callers = callers(&section, entries, keys);

    if let Some(address) = listen.filter(|address| !address.ip().is_loopback() && !has_keys) {
        section.problem(
            "listen",
            format!("{address} can be reached from other machines, and no caller keys are configured"),
            "add [[server.keys]] with a name and key = { env = \"NAME\" }, or listen on 127.0.0.1",
        );
    }
    if let Some(address) = admin_listen.filter(|address| !address.ip().is_loopback() && !has_admin_key) {
        section.problem(
            "admin_listen",
            format!("{address} can be reached from other machines, and no admin key is configured"),
            "set server.admin_key = { env = \"NAME\" }, or listen on 127.0.0.1",
        );
    }
    if listen == admin_listen && listen.is_some_and(|address| address.port() != 0) {
        section.problem("admin_listen", "is the same address as server.listen", "choose another port");
    }
    section.finish();
    Some(Server {
        listen: listen?,
        admin_listen: admin_listen?,
        threads: threads?,
        max_body_bytes: usize::try_from(max_body_bytes?).ok()?,
        max_concurrent_requests: max_concurrent_requests?,
        request_timeout: request_timeout?,
        client_timeout: client_timeout?,
        keep_alive: keep_alive?,
        drain_timeout: drain_timeout?,
        keys: callers,
        admin_key,
    })
}

fn address(section: &mut Section<'_>, key: &'static str) -> Option<SocketAddr> {
    let expected = "an address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"";
    section.parsed(key, expected, |text| {
        let text = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
        text.parse().ok()
    })
}

fn callers(server: &Section<'_>, entries: Vec<Section<'_>>, keys: &Keys<'_>) -> Vec<CallerKey> {
    let mut callers: Vec<CallerKey> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for mut entry in entries {
        let name = entry.text("name");
        let key = keys.secret(&mut entry, "key");
        let words = [("own", FeedbackScope::Own), ("any", FeedbackScope::Any)];
        let feedback = entry.optional("feedback", |entry, key| entry.word(key, &words)).unwrap_or_default();
        if let Some(name) = name.as_ref().filter(|name| names.contains(name)) {
            entry.problem("name", format!("a second caller is named `{name}`"), "give each caller its own name");
        }
        names.extend(name.clone());
        let twin = key.as_ref().and_then(|key| callers.iter().find(|other| other.key.matches(key.expose())));
        if let Some(twin) = twin {
            entry.problem("key", format!("is the key of `{}` too", twin.name), "give each caller its own key");
        }
        entry.finish();
        if let (Some(name), Some(key)) = (name, key) {
            callers.push(CallerKey { name: name.as_str().into(), key, feedback });
        }
    }
    debug_assert!(keys.are_read() || callers.is_empty(), "{}", server.path("keys"));
    callers
}

fn feedback(mut section: Section<'_>) -> Option<LiveFeedback> {
    let caller_share = section.number("caller_share", 0.01..=1.0);
    section.finish();
    Some(LiveFeedback { caller_share: caller_share? })
}

fn training(mut section: Section<'_>) -> Option<Training> {
    let threads = section.count("threads", 1..=256);
    let caller_share = section.number("caller_share", 0.01..=1.0);
    section.finish();
    Some(Training { threads: threads?, caller_share: caller_share? })
}

fn model(mut section: Section<'_>) -> Option<Model> {
    let dir = path(&mut section, "dir");
    let bundle = section.optional("bundle", path);
    let device = section.word("device", &[("auto", Device::Auto), ("cpu", Device::Cpu), ("cuda", Device::Cuda)]);
    let runtime = section.optional("runtime", path);
    let fast_sessions = section.count("fast_sessions", 0..=1024);
    let careful_workers = section.count("careful_workers", 0..=256);
    let careful_queue = section.count("careful_queue", 1..=100_000);
    let careful_timeout = section.duration("careful_timeout", Duration::from_millis(1)..=Duration::from_secs(60));
    section.finish();
    Some(Model {
        dir: dir?,
        bundle,
        device: device?,
        runtime,
        fast_sessions: fast_sessions?,
        careful_workers: careful_workers?,
        careful_queue: careful_queue?,
        careful_timeout: careful_timeout?,
    })
}

fn sessions(mut section: Section<'_>) -> Option<Sessions> {
    let mode = section.word("mode", &SESSION_MODES);
    let idle_reset = section.duration("idle_reset", Duration::from_secs(1)..=7 * DAY);
    let max_sessions = section.count("max_sessions", 1..=10_000_000);
    let switch_margin = section.number("switch_margin", 0.0..=1.0);
    section.finish();
    Some(Sessions {
        mode: mode?,
        idle_reset: idle_reset?,
        max_sessions: NonZeroUsize::new(max_sessions?)?,
        switch_margin: Probability::try_from(switch_margin?).ok()?,
    })
}

fn store(mut section: Section<'_>) -> Option<Store> {
    let enabled = section.flag("enabled");
    let path = path(&mut section, "path");
    let words = [("full", KeptPrompts::Full), ("redacted", KeptPrompts::Redacted), ("none", KeptPrompts::None)];
    let prompts = section.word("prompts", &words);
    let queue = section.count("queue", 64..=1_000_000);
    section.finish();
    Some(Store { enabled: enabled?, path: path?, prompts: prompts?, queue: queue? })
}

fn drift(mut section: Section<'_>) -> Option<Drift> {
    let words = [("traffic", ReferenceKind::Traffic), ("training", ReferenceKind::Training)];
    let reference = section.word("reference", &words);
    let decisions = section.count("reference_decisions", 100..=1_000_000);
    let window = section.duration("window", HOUR..=7 * DAY);
    section.finish();
    Some(Drift { reference: reference?, reference_decisions: decisions? as u64, window: window? })
}

fn log(mut section: Section<'_>) -> Option<Log> {
    let expected = "a level (error, warn, info, debug, trace) or directives such as \"info,trimtab::upstream=debug\"";
    let filter = section.parsed("filter", expected, |text| {
        let is_valid = !text.trim().is_empty() && EnvFilter::try_new(text).is_ok();
        is_valid.then(|| text.to_owned())
    });
    let format = section.word("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
    let prompts = section.flag("prompts");
    section.finish();
    Some(Log { filter: filter?, format: format?, prompts: prompts? })
}

fn path(section: &mut Section<'_>, key: &'static str) -> Option<PathBuf> {
    section.text(key).map(PathBuf::from)
}
