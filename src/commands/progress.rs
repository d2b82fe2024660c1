//! A progress bar for each phase of offline work, and Ctrl-C.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::shutdown;
use crate::train::progress::{Phase, Progress};

/// Shows phases on standard error, where that is a terminal, and hears a request to stop.
#[derive(Debug)]
pub(super) struct Bars {
    current: Mutex<Option<(Phase, ProgressBar)>>,
    cancelled: Arc<AtomicBool>,
}

impl Bars {
    /// Starts to listen for SIGINT and SIGTERM: the work then ends at its next step and leaves nothing behind.
    pub(super) fn new() -> Self {
        let cancelled = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&cancelled);
        // The thread ends with the process; if it cannot be started, a signal ends the process as it would any other.
        drop(std::thread::Builder::new().name("trimtab-signals".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime
                && runtime.block_on(shutdown::requested()).is_ok()
            {
                told.store(true, Ordering::Relaxed);
            }
        }));
        Self { current: Mutex::new(None), cancelled }
    }

    /// Leaves the last bar standing as a line.
    pub(super) fn finish(&self) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((_, bar)) = current {
            bar.finish();
        }
    }
}

impl Progress for Bars {
    fn at(&self, phase: Phase, done: u64, total: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_none_or(|(shown, _)| *shown != phase) {
            if let Some((_, bar)) = current.take() {
                bar.finish();
            }
            *current = Some((phase, bar(phase)));
        }
        if let Some((_, bar)) = current.as_ref() {
            if total > 0 {
                bar.set_length(total);
            }
            bar.set_position(done);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

fn bar(phase: Phase) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = "{msg:<20} {wide_bar} {human_pos}/{human_len}  {per_sec}  {eta} left";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(phase.words());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
