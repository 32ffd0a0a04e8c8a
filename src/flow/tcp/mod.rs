//! TCP beyond the handshake, as a tap sees it: sequence numbers, repetitions, gaps, and the round trip.

mod totals;

pub use totals::TcpTotals;
