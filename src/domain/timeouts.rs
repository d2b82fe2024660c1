//! How long a provider is waited for. Plain values.

use std::time::Duration;

/// How long to wait for a provider. The deadline of the call bounds each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To an open connection, TLS included.
    pub connect: Duration,
    /// From sending a request to the response headers. An answer that is not streamed often has its headers when it is complete.
    pub headers: Duration,
    /// From sending a request to the first token of a stream.
    pub first_token: Duration,
    /// Between two pieces of a whole body, or two events of a stream.
    pub idle: Duration,
    /// How much must come while an answer comes. `None` where any trickle will do.
    pub throughput: Option<Throughput>,
    /// From sending a request to the end of its answer.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(5),
            headers: seconds(120),
            first_token: seconds(120),
            idle: seconds(60),
            throughput: None,
            total: seconds(600),
        }
    }
}

/// The least of an answer that must come, on average over a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throughput {
    /// Bytes a second: of what a stream says, or of a whole answer. A token is about four.
    pub bytes_per_second: u32,
    /// Over how long.
    pub window: Duration,
}
