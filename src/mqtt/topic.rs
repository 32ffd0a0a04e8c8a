//! Where things are published and listened to: `<prefix>/<tap>/...`.

/// The topics of one tap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topics {
    /// `online` or `offline`, retained; the last will.
    pub(super) availability: String,
    /// The tap's state as JSON, retained.
    pub(super) state: String,
    /// Alerts as JSON, one message for each telling, QoS 1, never retained.
    pub(super) alerts: String,
    /// The newest incident as it was told last, retained.
    pub(super) last_alert: String,
    /// What of the tap was announced to Home Assistant last, retained; the tap itself reads it.
    pub(super) discovery: String,
    /// What every command's topic begins with, slash included.
    pub(super) commands: String,
    /// Answers to commands, never retained.
    pub(super) replies: String,
}

impl Topics {
    pub(super) fn new(prefix: &str, tap: &str) -> Self {
        let topic = |leaf| format!("{prefix}/{tap}/{leaf}");
        Self {
            availability: topic("availability"),
            state: topic("state"),
            alerts: topic("alerts"),
            last_alert: topic("last_alert"),
            discovery: topic("discovery"),
            commands: topic("command/"),
            replies: topic("reply"),
        }
    }

    /// Where a command is taken.
    pub(super) fn command(&self, name: &str) -> String {
        format!("{}{name}", self.commands)
    }
}
