//! TCP beyond the handshake, as a tap sees it: repetitions, gaps, the round trip, and what the tap itself has missed.

mod gauge;
mod sequence;
mod stream;
#[cfg(test)]
mod tests;
mod totals;

pub use gauge::TcpHealth;
pub(super) use gauge::{Gauge, Measure, Passing};
pub use stream::StreamSums;
pub use totals::TcpTotals;
