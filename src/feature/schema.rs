//! The features of a device window: name, unit, meaning and scale, in one versioned table.

/// Version of the table; a model trained under another version is not used.
pub const SCHEMA_VERSION: u16 = 2;

/// One feature. "Damped to a half in 1 s" is the decay 2^(-t) of AfterImage (Kitsune, NDSS 2018), in 10 s 2^(-t / 10); a
/// damped rate is the weight times decay and ln 2, so that it equals an even rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Name in snake case, as reasons, API and metrics name it.
    pub name: &'static str,
    /// Unit in words.
    pub unit: &'static str,
    /// What is counted.
    pub meaning: &'static str,
    /// How it is spread.
    pub scale: Scale,
}

/// How the values of a feature are spread, which says how to compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Differences matter.
    Linear,
    /// Ratios matter: heavy-tailed and never negative.
    Logarithmic,
}

macro_rules! features {
    ($($variant:ident $name:literal $unit:literal $scale:ident $meaning:literal;)*) => {
        /// Index of each feature in a vector.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(usize)]
        pub enum Slot {
            $(#[doc = $meaning] $variant,)*
        }

        /// All features, in the order of the vector.
        pub const SCHEMA: &[Feature] = &[
            $(Feature { name: $name, unit: $unit, meaning: $meaning, scale: Scale::$scale },)*
        ];
    };
}

features! {
    SentPacketRate "sent_packet_rate" "packets/s" Logarithmic "Packets that the device sent.";
    ReceivedPacketRate "received_packet_rate" "packets/s" Logarithmic "Packets sent to the device alone.";
    SentByteRate "sent_byte_rate" "bytes/s" Logarithmic "Bytes on the wire that the device sent.";
    ReceivedByteRate "received_byte_rate" "bytes/s" Logarithmic "Bytes on the wire sent to the device alone.";
    SentByteShare "sent_byte_share" "ratio" Linear "Share of the device's bytes that it sent.";
    SentSizeMean "sent_size_mean" "bytes" Linear "Mean size on the wire of the packets it sent.";
    SentSizeDeviation "sent_size_deviation" "bytes" Linear "Standard deviation of that size.";
    ReceivedSizeMean "received_size_mean" "bytes" Linear "Mean size on the wire of the packets it received.";
    SmallPacketShare "small_packet_share" "ratio" Linear "Share of the packets it sent that are under 100 bytes.";
    SentGapMean "sent_gap_mean" "seconds" Logarithmic "Mean time between two packets that it sent in the window.";
    SentGapVariation "sent_gap_variation" "ratio" Logarithmic "Standard deviation of that time over its mean: 0 for a clock, 1 for chance, more for bursts.";
    Peers "peers" "addresses" Logarithmic "Distinct unicast addresses that it sent to: IP, or hardware addresses for frames that are neither IP nor ARP.";
    ExternalPeers "external_peers" "addresses" Logarithmic "Distinct unicast IP addresses outside the site that it sent to.";
    ContactedPorts "contacted_ports" "ports" Logarithmic "Distinct TCP and UDP server ports to which it opened flows.";
    Clients "clients" "addresses" Logarithmic "Distinct addresses that opened flows to it.";
    PeerEntropy "peer_entropy" "bits" Linear "Entropy of the unicast packets it sent over the addresses they went to, in 32 bins (at most 5 bits).";
    PortEntropy "port_entropy" "bits" Linear "Entropy of the TCP and UDP packets it sent over the lower of their two ports, in 32 bins (at most 5 bits).";
    OpenedFlowRate "opened_flow_rate" "flows/s" Logarithmic "Flows that it opened.";
    ServedFlowRate "served_flow_rate" "flows/s" Logarithmic "Flows that others opened to it.";
    FailedFlowRate "failed_flow_rate" "flows/s" Logarithmic "Flows that it opened and that were refused (RST, ICMP unreachable) or, for TCP, not answered.";
    FailedFlowShare "failed_flow_share" "ratio" Linear "Refused or unanswered ones among the flows it opened whose outcome came in the window.";
    RefusedFlowRate "refused_flow_rate" "flows/s" Logarithmic "Flows to it that it refused or, for TCP, did not answer.";
    SynShare "syn_share" "ratio" Linear "Connection openings among the TCP segments it sent.";
    RstShare "rst_share" "ratio" Linear "Resets among the TCP segments it sent.";
    FlowDurationMean "flow_duration_mean" "seconds" Logarithmic "Mean duration of the flows of the device that came to their end.";
    FlowBytesMean "flow_bytes_mean" "bytes" Logarithmic "Mean bytes, both ways, of the flows of the device that came to their end.";
    TcpShare "tcp_share" "ratio" Linear "TCP among the packets it sent.";
    UdpShare "udp_share" "ratio" Linear "UDP among the packets it sent.";
    IcmpShare "icmp_share" "ratio" Linear "ICMP among the packets it sent.";
    ArpRequestRate "arp_request_rate" "packets/s" Logarithmic "ARP requests that it sent.";
    GroupShare "group_share" "ratio" Linear "Broadcast and multicast among the packets it sent.";
    ExternalByteShare "external_byte_share" "ratio" Linear "Share of the bytes it sent that went to IP addresses outside the site.";
    DnsQueryRate "dns_query_rate" "queries/s" Logarithmic "Unicast DNS queries that it sent.";
    DnsNames "dns_names" "names" Logarithmic "Distinct names in them, upper and lower case alike.";
    DnsFailureShare "dns_failure_share" "ratio" Linear "Answers with an error code among the DNS answers it received.";
    DnsNameLength "dns_name_length" "characters" Linear "Mean length of the names it asked for.";
    DnsNameEntropy "dns_name_entropy" "bits" Linear "Highest entropy per character, upper and lower case alike, among the names of 16 characters and more that it asked for.";
    NewPeerPeak "new_peer_peak" "addresses/s" Logarithmic "Highest rate, damped to a half in 10 s, of peers that it sent to neither earlier in this window nor in the one before: a sweep of few addresses is a peak before it is a mean.";
    SentPacketPeak "sent_packet_peak" "packets/s" Logarithmic "Highest rate of the packets it sent, damped to a half in 1 s: a burst that the mean of a window hides.";
    SentBytePeak "sent_byte_peak" "bytes/s" Logarithmic "Highest rate of the bytes it sent, damped to a half in 1 s.";
    ReceivedPacketPeak "received_packet_peak" "packets/s" Logarithmic "Highest rate of the packets it received, damped to a half in 1 s.";
    ChannelPacketPeak "channel_packet_peak" "packets/s" Logarithmic "Highest rate of packets, both ways, between it and one IP address (its busiest channel), damped to a half in 10 s.";
    SocketPacketPeak "socket_packet_peak" "packets/s" Logarithmic "Highest rate of packets, both ways, of one TCP or UDP socket (its busiest socket), damped to a half in 10 s: far below that of the channel where many short connections make it up.";
    ChannelGapVariation "channel_gap_variation" "ratio" Logarithmic "Jitter: standard deviation of the time between two packets that it sent on its busiest channel over its mean, damped to a half in 10 s, at the end of the window.";
    ChannelMagnitude "channel_magnitude" "bytes" Linear "Root of the sum of the squares of the mean sizes of packets each way on its busiest channel, damped likewise.";
    ChannelRadius "channel_radius" "bytes^2" Logarithmic "Root of the sum of the squares of the variances of these sizes: how unlike the packets of one conversation are.";
    ChannelCorrelation "channel_correlation" "ratio" Linear "Correlation, -1 to 1, of these sizes each way with each other: whether the answers follow the questions.";
    SocketCorrelation "socket_correlation" "ratio" Linear "The same of the sizes on its busiest socket.";
    PlantReadRate "plant_read_rate" "operations/s" Logarithmic "Requests to read, of a plant protocol, that it sent.";
    PlantActRate "plant_act_rate" "operations/s" Logarithmic "Requests of a plant protocol that it sent to write, control, program, configure, start or stop.";
    PlantOperations "plant_operations" "operations" Logarithmic "Distinct requests of plant protocols that it sent: protocol, effect, function code and unit.";
    PlantFailureShare "plant_failure_share" "ratio" Linear "Answers with an error among the answers of plant protocols that it received.";
    TlsHelloRate "tls_hello_rate" "hellos/s" Logarithmic "TLS ClientHellos that it sent, over TCP or QUIC.";
    TlsServers "tls_servers" "names" Logarithmic "Distinct server names in them.";
}

/// Features in a vector.
pub const COUNT: usize = SCHEMA.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_snake_case() {
        for (at, feature) in SCHEMA.iter().enumerate() {
            assert!(SCHEMA.iter().skip(at + 1).all(|other| other.name != feature.name), "{}", feature.name);
            assert!(feature.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", feature.name);
            assert!(!feature.unit.is_empty() && feature.meaning.ends_with('.'), "{}", feature.name);
        }
        assert_eq!(Slot::TlsServers as usize + 1, COUNT);
    }
}
