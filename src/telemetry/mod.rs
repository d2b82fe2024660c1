//! What the process says about itself: the log, and numbers for Prometheus. Imports `config` and `domain`.

pub mod metrics;
mod process;

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::config::{Log, LogFormat};

/// The target of every event that carries prompt text: `trace!(target: PROMPT_TARGET, ...)`. Dropped unless `log.prompts` is set.
pub const PROMPT_TARGET: &str = "trimtab::prompt";

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter does not parse.
    #[error(
        "log.filter `{filter}` is not a filter: {reason}; write a level or directives such as `info,trimtab::upstream=debug`"
    )]
    Filter {
        /// The filter as configured.
        filter: String,
        /// What the parser says.
        reason: String,
    },
    /// Something else has set up a log for this process.
    #[error("the log of this process is already set up")]
    AlreadySet,
}

/// Starts logging to standard error, for the whole process. For the outer edge, once.
///
/// # Errors
/// When the filter does not parse, or when it was called before.
pub fn init(log: &Log) -> Result<(), LogError> {
    let colours = if std::io::stderr().is_terminal() { Colours::Some } else { Colours::None };
    let subscriber = subscriber(log, colours, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::AlreadySet)
}

/// Whether text is coloured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Colours {
    Some,
    None,
}

fn subscriber<W>(log: &Log, colours: Colours, writer: W) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&log.filter)
        .map_err(|error| LogError::Filter { filter: log.filter.clone(), reason: error.to_string() })?;
    // A filter of its own, so that no directive of `log.filter` can bring prompts back.
    let prompts = log.prompts;
    let discretion = FilterFn::new(move |event| prompts || !event.target().starts_with(PROMPT_TARGET));
    let layer = fmt::layer().with_writer(writer).with_ansi(colours == Colours::Some);
    let layer = match log.format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    Ok(Box::new(Registry::default().with(filter).with(discretion).with(layer)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("a lock").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: &Log) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = subscriber(log, Colours::None, move || writer.clone()).expect("a subscriber");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(bundle = "b1", "activated bundle");
            tracing::debug!("a detail");
            tracing::trace!(target: PROMPT_TARGET, text = "my diary", "read prompt");
        });
        let bytes = captured.0.lock().expect("a lock").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn json_lines_carry_fields_and_obey_the_filter() {
        let log = Log { filter: "info".to_owned(), format: LogFormat::Json, prompts: true };

        let text = logged(&log);

        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert_eq!(lines[0]["bundle"], "b1");
        assert_eq!(lines[0]["message"], "activated bundle");
    }

    #[test]
    fn prompts_stay_out_of_the_log_whatever_the_filter_says() {
        let filter = "trace,trimtab::prompt=trace".to_owned();
        let silent = Log { filter: filter.clone(), format: LogFormat::Text, prompts: false };
        let open = Log { filter, format: LogFormat::Text, prompts: true };

        assert!(!logged(&silent).contains("diary"));
        assert!(logged(&silent).contains("a detail"));
        assert!(logged(&open).contains("diary"));
    }
}
