//! How late the chunks of a stream come.

use std::net::SocketAddr;
use std::time::Duration;

use super::load::Connection;
use super::mock::{self, PACED_CHUNKS};

/// Streams that are looked at, one after the other.
const STREAMS: usize = 6;

/// Times from the upstream's writing a chunk to the client's reading it, shortest first.
pub(crate) struct Delays(Vec<Duration>);

impl Delays {
    /// Sends a request for a paced stream a few times.
    pub(crate) async fn measure(address: SocketAddr, request: &[u8]) -> Self {
        let mut connection = Connection::open(address).await;
        let mut found = Vec::new();
        for _ in 0..STREAMS {
            let mut watch = |piece: &[u8]| {
                let now = mock::now();
                let text = String::from_utf8_lossy(piece);
                for rest in text.split('<').skip(1) {
                    if let Some(written) = rest.split('>').next().and_then(|number| number.parse::<u64>().ok()) {
                        found.push(Duration::from_micros(now.saturating_sub(written)));
                    }
                }
            };
            connection.send_and_watch(request, &mut watch).await;
        }
        assert_eq!(found.len(), STREAMS * PACED_CHUNKS, "every chunk has arrived");
        found.sort();
        Self(found)
    }

    /// A quantile in microseconds.
    pub(crate) fn quantile(&self, q: f64) -> u128 {
        self.0[((self.0.len() - 1) as f64 * q) as usize].as_micros()
    }

    pub(crate) fn print(&self, name: &str) {
        println!(
            "delay of a chunk, {name}: p50 {} µs, p99 {} µs, longest {} µs",
            self.quantile(0.5),
            self.quantile(0.99),
            self.quantile(1.0)
        );
    }
}
