//! The status page and the API, on tiny_http.

use std::net::SocketAddr;

/// Settings of the HTTP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
}

impl Config {
    /// Port of the page where no other is set.
    pub const PORT: u16 = 8080;
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], Self::PORT)) }
    }
}
