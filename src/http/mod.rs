//! The status page and the API, on tiny_http.
//!
//! A request passes three rooms: `gate` admits a connection and reads one whole request within limits of size and
//! time, tiny_http turns it into a request for one of three workers, and `router` answers it from the board, the
//! archive and the command queue. A live stream has passed them once its handshake is agreed to, and goes on in `stream`.
//! What the daemon does is none of this module's business: it shows and asks.

mod assets;
mod captures;
mod door;
mod export;
mod gate;
mod head;
mod health;
mod history;
mod metrics;
mod packets;
mod query;
mod reply;
mod request;
mod router;
mod seats;
mod server;
mod settings;
mod stream;
mod token;
mod view;
mod view_decoding;
mod view_drops;
mod view_files;
mod view_interfaces;
mod view_lists;
mod view_models;
mod view_packets;
mod view_sources;
mod view_tcp;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

pub use server::{About, HttpError, Parts, Server};
pub use token::{AdminToken, BadTokenHash, NoRandomness, TokenHash};

/// Settings of the HTTP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Host names, without a port, under which the page may be asked for besides `localhost` and bare addresses.
    /// A page of another site that points its own name at this daemon (DNS rebinding) is refused by this list.
    pub allowed_hosts: Vec<String>,
}

impl Config {
    /// Port of the page where no other is set.
    pub const PORT: u16 = 8080;
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], Self::PORT)), allowed_hosts: Vec::new() }
    }
}
