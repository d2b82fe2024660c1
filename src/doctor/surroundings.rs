//! What surrounds the learned part: the store, the ports, the upstreams' keys and Python.

use std::fs::{OpenOptions, TryLockError};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::config::env::Environment;
use crate::config::{Config, Upstream, UpstreamKind};
use crate::doctor::Check;

pub(super) fn checks(config: &Config, environment: &Environment) -> Vec<Check> {
    let mut checks = vec![store(config)];
    checks.push(port("listen", config.server.listen));
    checks.push(port("admin_listen", config.server.admin_listen));
    checks.extend(config.upstreams.iter().filter(|_| !config.demo).map(|upstream| key(upstream, config)));
    checks.push(python(environment));
    checks
}

fn store(config: &Config) -> Check {
    const NAME: &str = "store";
    let path = &config.store.path;
    if !config.store.enabled {
        return Check::warn(NAME, "turned off: nothing is recorded", "set store.enabled = true to learn from feedback");
    }
    // The directory is made when the server starts: what counts is the nearest one that is there.
    let directory = path.ancestors().skip(1).map(in_words).find(|directory| directory.is_dir());
    let directory = directory.unwrap_or_else(|| PathBuf::from("."));
    let probe = directory.join(format!(".trimtab-doctor-{}", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).open(&probe);
    if let Err(error) = written {
        let found = format!("{} cannot be written: {error}", directory.display());
        return Check::fail(NAME, found, "make it writable, or set store.path to a place that is");
    }
    let removed = std::fs::remove_file(&probe);
    let writable = path.metadata().map(|file| !file.permissions().readonly()).unwrap_or(true);
    if !writable || removed.is_err() {
        return Check::fail(
            NAME,
            format!("{} is read-only", path.display()),
            "make it writable, or set another store.path",
        );
    }
    match lock(path) {
        Lock::Free if path.is_file() => Check::ok(NAME, format!("{} can be written", path.display())),
        Lock::Free => Check::ok(NAME, format!("{} will be made", path.display())),
        Lock::Held => Check::warn(
            NAME,
            format!("{} is in use by another process", path.display()),
            "fine if that is your running server; a second one needs its own store.path",
        ),
    }
}

/// `""`, the parent of a bare file name, is the current directory.
fn in_words(directory: &Path) -> PathBuf {
    if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory.to_owned() }
}

enum Lock {
    Free,
    Held,
}

/// Whether a server holds the store's lock file. Looks at the lock and lets it go at once.
fn lock(store: &Path) -> Lock {
    let mut name = store.as_os_str().to_owned();
    name.push(".lock");
    let Ok(file) = OpenOptions::new().read(true).write(true).open(PathBuf::from(name)) else {
        return Lock::Free;
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Lock::Held,
        Ok(()) | Err(TryLockError::Error(_)) => Lock::Free,
    }
}

fn port(key: &str, address: SocketAddr) -> Check {
    match TcpListener::bind(address) {
        Ok(_) => Check::ok(key, format!("{address} is free")),
        Err(error) => Check::warn(
            key,
            format!("{address} cannot be listened on: {error}"),
            format!("fine if that is your running server; else free the port or set server.{key}"),
        ),
    }
}

/// Says whether a key is there, never what it is. A missing one of an upstream in use is a problem of the configuration and stands there.
fn key(upstream: &Upstream, config: &Config) -> Check {
    let name = format!("upstream {}", upstream.id);
    let signs = matches!(upstream.kind, UpstreamKind::Bedrock { keys: Some(_), .. });
    let key = if signs || upstream.api_key.is_some() { "with a key" } else { "without a key" };
    if config.uses(&upstream.id) {
        return Check::ok(name, format!("{} {key}", upstream.base_url));
    }
    Check::warn(name, "no model uses it", "name it in [[tiers.models]] or [[embeddings]], or remove it")
}

/// Python is for building encoders only. It is looked for and not run.
fn python(environment: &Environment) -> Check {
    let found = environment.get("PATH").and_then(|path| {
        std::env::split_paths(path).map(|directory| directory.join("python3")).find(|program| program.is_file())
    });
    let found = found.map_or_else(
        || "not found; only `make runtime` and `make encoders` need it".to_owned(),
        |program| format!("{}, for `make runtime` and `make encoders`", program.display()),
    );
    Check::ok("python", found)
}
