//! The demo: what is served when nothing is configured.

use std::net::SocketAddr;

use crate::config::Config;

impl Config {
    /// Points the demo upstream at the port it got. Does nothing unless `demo` is set.
    pub fn set_demo_address(&mut self, address: SocketAddr) {
        if self.demo {
            for upstream in &mut self.upstreams {
                upstream.base_url = format!("http://{address}/v1");
            }
        }
    }
}
