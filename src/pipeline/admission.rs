//! What every call brings with it through the door.

use tokio::time::Instant;

use crate::domain::api::Api;
use crate::domain::ids::{CallerId, DecisionId};
use crate::domain::probability::Probability;
use crate::pipeline::App;

/// What is known of every call before it is read.
#[derive(Debug)]
pub struct Admission {
    /// The name of the decision, or of the call where nothing is decided; made at the edge.
    pub id: DecisionId,
    /// Who called.
    pub caller: CallerId,
    /// The name of the request in logs, the client's own where it sent one.
    pub request_id: String,
    /// When it was admitted.
    pub started: Instant,
    /// The same moment on the wall clock, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// A uniform draw from 0..1, for exploration and the pauses before retries.
    pub draw: Probability,
    /// The API by which it came, whose dialect the caller reads.
    pub api: Api,
}

impl Admission {
    /// When the call must be over.
    pub(super) fn deadline(&self, app: &App) -> Instant {
        self.started + app.request_timeout
    }
}
