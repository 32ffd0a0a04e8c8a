//! Where things are published: `<prefix>/<tap>/...`.

/// The topics of one tap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topics {
    /// `online` or `offline`, retained; the last will.
    pub(super) availability: String,
    /// The tap's state as JSON, retained.
    pub(super) state: String,
    /// Alerts as JSON, one message for each telling, QoS 1, never retained.
    pub(super) alerts: String,
}

impl Topics {
    pub(super) fn new(prefix: &str, tap: &str) -> Self {
        let topic = |leaf| format!("{prefix}/{tap}/{leaf}");
        Self { availability: topic("availability"), state: topic("state"), alerts: topic("alerts") }
    }
}
