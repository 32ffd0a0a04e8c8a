//! What a flow is and what can happen to it.

use std::net::IpAddr;

use super::DeviceId;
use crate::packet::{Application, Mac, TcpFlags};
use crate::time::Timestamp;

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address.
    pub ip: IpAddr,
    /// Port; 0 where the protocol has none; the identifier for ICMP echo.
    pub port: u16,
    /// Hardware address next to this end on this link: its own, or that of the router it is behind.
    pub mac: Mac,
    /// The device, where it is one of this site.
    pub device: Option<DeviceId>,
}

/// A side of a flow. The client opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Opened the flow: sent the SYN or the first packet; when the start was not seen, the one with the higher port.
    Client,
    /// The other.
    Server,
}

/// Totals of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Transport payload bytes.
    pub payload: u64,
    /// All TCP control bits seen; in an event of a part, those of earlier parts, too.
    pub flags: TcpFlags,
}

/// A flow as it stands: [`super::FlowTable::recent`] gives it whole. In an event it is whole, too, but for what
/// [`News::Renewed`] says of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// IP protocol number.
    pub protocol: u8,
    /// Who opened it.
    pub client: Endpoint,
    /// Who was asked.
    pub server: Endpoint,
    /// First packet; in an event of a part, the first of the part.
    pub first: Timestamp,
    /// Latest packet.
    pub last: Timestamp,
    /// From the client.
    pub to_server: Traffic,
    /// From the server.
    pub to_client: Traffic,
    /// Where it is.
    pub state: FlowState,
    /// Its start was not seen (TCP with ACK, but without SYN of the client), so the sides are a guess.
    pub midstream: bool,
    /// The first application protocol that was recognised in it.
    pub application: Application,
}

/// Where a flow is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowState {
    /// TCP: SYN sent, nothing came back yet. Also a first segment without SYN, ACK and RST: no connection begins or
    /// goes on with one (RFC 9293, section 3.10.7), so that it is a probe of who sent it.
    Attempt,
    /// TCP: SYN answered by SYN+ACK (or, opening at the same time, by a SYN), not yet acknowledged.
    Accepted,
    /// TCP: data may flow (also what was found midstream).
    Established,
    /// TCP: a FIN was seen.
    Closing,
    /// TCP: FIN in both directions.
    Closed,
    /// TCP: RST after the SYN was answered.
    Reset,
    /// RST as the only answer to an attempt or to what was found midstream, or an ICMP unreachable for it (any
    /// protocol).
    Refused,
    /// Not TCP: packets in one direction only.
    OneWay,
    /// Not TCP: packets in both directions.
    TwoWay,
}

impl FlowState {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Attempt => "attempt",
            Self::Accepted => "accepted",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::OneWay => "one_way",
            Self::TwoWay => "two_way",
        }
    }
}

/// Something happened to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowEvent {
    /// What.
    pub news: News,
    /// When, on the capture's clock.
    pub time: Timestamp,
    /// The flow after it.
    pub flow: FlowRecord,
}

/// What can happen to a flow. `Opened` comes once and first; `Answered` or `Refused` at most once; `Ended` once and
/// last. `Renewed` comes with the first packet after each active timeout.
///
/// `Renewed` and `Ended` tell parts: their record has the totals, and the first packet, of what no `Renewed` has told
/// yet. So the totals of all `Renewed` and the `Ended` of a flow add up to those of the flow, and the `Ended` of one
/// that was never renewed tells the whole. The other news tell the flow so far, whatever was told.
///
/// A flow found midstream is answered by the first packet but RST of the side that was not the first to be seen, or
/// at once when that first packet was a SYN+ACK. It is refused by an RST that is all the server ever sent, as long as
/// the client has sent one segment only or none with payload: the answer to a probe with ACK, or to a late segment of
/// a connection that the server has forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// First packet.
    Opened,
    /// TCP: the SYN+ACK came. Others: the first packet of the server came.
    Answered,
    /// The server's RST to an attempt or to the first segment of a flow found midstream, or an ICMP unreachable for
    /// the flow.
    Refused,
    /// It has lasted for the active timeout since it was opened or last renewed: the part since then, without the
    /// packet at this time. So a flow that never ends is told of, too (RFC 3954, section 5).
    Renewed,
    /// It is no longer in the table.
    Ended(EndReason),
}

/// Why a flow left the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndReason {
    /// FIN from both sides.
    Closed,
    /// RST after the SYN was answered.
    Reset,
    /// RST or ICMP unreachable as the only answer.
    Refused,
    /// A TCP attempt to which nothing came back in time.
    Unanswered,
    /// Silent for longer than its timeout.
    Idle,
    /// Put out of the full table.
    Evicted,
    /// Its key was used for a new connection.
    Replaced,
    /// The capture ended or its clock jumped.
    Flushed,
}

impl EndReason {
    /// All reasons, in order.
    pub const ALL: [Self; 8] = [
        Self::Closed,
        Self::Reset,
        Self::Refused,
        Self::Unanswered,
        Self::Idle,
        Self::Evicted,
        Self::Replaced,
        Self::Flushed,
    ];

    /// The word for metrics and the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::Idle => "idle",
            Self::Evicted => "evicted",
            Self::Replaced => "replaced",
            Self::Flushed => "flushed",
        }
    }
}
