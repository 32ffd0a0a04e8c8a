//! The entities that Home Assistant makes of a tap: one table, in the abbreviated keys of MQTT discovery.

use serde_json::{Map, Value, json};

use super::command::{
    ACKNOWLEDGE, MINUTES, Mode, SET_CAPTURE, SET_DETECTION, SET_LEARNING, SET_MODE, SET_THRESHOLD,
    START_BASELINE,
};
use super::state;
use super::topic::Topics;
use crate::alert::Severity;
use crate::behaviour::Kind;
use crate::control::BaselinePhase;
use crate::model::Config as Judging;
use crate::time::Span;

/// All components by id. Ids are part of entities' identities: one that is renamed is a new entity.
pub(super) fn components(topics: &Topics, node: &str, state_interval: Span) -> Map<String, Value> {
    let mut table = Table { topics, node, rows: Map::new() };
    table.alerts();
    table.traffic(state_interval);
    table.learning();
    table.controls();
    table.learning_controls();
    table.rows
}

struct Table<'a> {
    topics: &'a Topics,
    node: &'a str,
    rows: Map<String, Value>,
}

impl Table<'_> {
    /// A component with what every one needs, and `more`.
    fn add(&mut self, platform: &str, id: &str, name: &str, more: Value) {
        let mut row = json!({ "p": platform, "uniq_id": format!("{}_{id}", self.node), "name": name });
        if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
            row.extend(more);
        }
        self.rows.insert(id.to_owned(), row);
    }

    /// A component that shows a field of the state message. Null reads as `None`, which is "unknown".
    fn show(&mut self, platform: &str, (id, field): (&str, &str), name: &str, more: Value) {
        let template = match platform {
            "binary_sensor" | "switch" => format!(
                "{{{{ 'None' if value_json.{field} is none else 'ON' if value_json.{field} else 'OFF' }}}}"
            ),
            _ => format!("{{{{ value_json.{field} }}}}"),
        };
        let mut row = json!({ "stat_t": self.topics.state, "val_tpl": template });
        if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
            row.extend(more);
        }
        self.add(platform, id, name, row);
    }

    fn alerts(&mut self) {
        let kinds = Kind::ALL.map(Kind::word);
        self.add(
            "event",
            "alert",
            "Alert",
            json!({
                "stat_t": self.topics.alerts,
                "evt_typ": kinds,
                // One event for each incident: its news and its end are in the states.
                "val_tpl": "{{ value if value_json.event == 'raised' else '' }}",
                "qos": 1,
                "ic": "mdi:shield-alert",
            }),
        );
        let levels: Vec<_> = std::iter::once("none").chain(Severity::ALL.map(Severity::word)).collect();
        let level = json!({ "dev_cla": "enum", "ops": levels, "ic": "mdi:shield-alert-outline" });
        self.show("sensor", ("threat_level", "threat"), "Threat level", level);
        let problem = json!({ "dev_cla": "problem" });
        self.show("binary_sensor", ("problem", "problem"), "Problem", problem);
        let open = json!({ "unit_of_meas": "alerts", "stat_cla": "measurement", "ic": "mdi:bell-alert" });
        self.show("sensor", ("open_alerts", "open_alerts"), "Open alerts", open);
        let topic = self.topics.last_alert.clone();
        self.add(
            "sensor",
            "last_alert",
            "Last alert",
            json!({
                "stat_t": topic,
                // A state has at most 255 characters.
                "val_tpl": "{{ value_json.title[:255] }}",
                "json_attr_t": topic,
                "ic": "mdi:shield-search",
            }),
        );
        self.add(
            "sensor",
            "last_alert_time",
            "Last alert time",
            json!({ "stat_t": topic, "val_tpl": "{{ value_json.first_seen }}", "dev_cla": "timestamp" }),
        );
    }

    fn traffic(&mut self, state_interval: Span) {
        let expires = state_interval.as_secs().saturating_mul(3);
        self.show(
            "sensor",
            ("packet_rate", "packets_per_second"),
            "Packet rate",
            json!({
                "unit_of_meas": "packets/s",
                "stat_cla": "measurement",
                "sug_dsp_prc": 0,
                "exp_aft": expires,
                "ic": "mdi:speedometer",
            }),
        );
        self.show(
            "sensor",
            ("bit_rate", "bits_per_second"),
            "Bit rate",
            json!({
                "dev_cla": "data_rate",
                "unit_of_meas": "bit/s",
                "stat_cla": "measurement",
                "sug_dsp_prc": 0,
                "exp_aft": expires,
            }),
        );
        self.show(
            "sensor",
            ("dropped_packets", "dropped_packets"),
            "Dropped packets",
            json!({
                "unit_of_meas": "packets",
                "stat_cla": "total_increasing",
                "ent_cat": "diagnostic",
                "ic": "mdi:package-variant-remove",
            }),
        );
        let flows = json!({ "unit_of_meas": "flows", "stat_cla": "measurement", "ic": "mdi:transit-connection-variant" });
        self.show("sensor", ("flows", "flows"), "Flows", flows);
        let devices = json!({ "unit_of_meas": "devices", "stat_cla": "measurement", "ic": "mdi:devices" });
        self.show("sensor", ("devices", "devices"), "Devices", devices);
        let running = json!({ "dev_cla": "running", "ent_cat": "diagnostic" });
        self.show("binary_sensor", ("capture", "capturing"), "Capture", running);
        self.show(
            "binary_sensor",
            ("mirror_problem", "mirror_problem"),
            "Mirror problem",
            json!({
                "dev_cla": "problem",
                "ent_cat": "diagnostic",
                "json_attr_t": self.topics.state,
                // What was found and what helps.
                "json_attr_tpl": "{{ dict(found=value_json.mirror) | tojson }}",
            }),
        );
        let states = json!({
            "dev_cla": "enum",
            "ops": state::CAPTURE,
            "ent_cat": "diagnostic",
            "ic": "mdi:ethernet",
        });
        self.show("sensor", ("capture_state", "capture"), "Capture state", states);
    }

    fn learning(&mut self) {
        let phases =
            [BaselinePhase::None, BaselinePhase::Learning, BaselinePhase::Armed].map(BaselinePhase::word);
        let phase = json!({ "dev_cla": "enum", "ops": phases, "ic": "mdi:school" });
        self.show("sensor", ("baseline_phase", "baseline"), "Baseline", phase);
        self.show(
            "sensor",
            ("baseline_progress", "baseline_progress"),
            "Baseline progress",
            json!({
                "unit_of_meas": "%",
                "stat_cla": "measurement",
                "sug_dsp_prc": 0,
                "ent_cat": "diagnostic",
                "ic": "mdi:progress-clock",
            }),
        );
        let model =
            json!({ "dev_cla": "enum", "ops": state::MODEL, "ent_cat": "diagnostic", "ic": "mdi:brain" });
        self.show("sensor", ("model_state", "model"), "Model", model);
    }

    fn controls(&mut self) {
        self.show(
            "switch",
            ("detection", "detection"),
            "Detection",
            json!({ "cmd_t": self.topics.command(SET_DETECTION), "qos": 1, "ic": "mdi:shield" }),
        );
        self.show(
            "select",
            ("mode", "mode"),
            "Mode",
            json!({
                "cmd_t": self.topics.command(SET_MODE),
                "qos": 1,
                "ops": Mode::ALL.map(Mode::word),
                "ent_cat": "config",
                "ic": "mdi:shield-sync",
            }),
        );
        self.show(
            "switch",
            ("listening", "listening"),
            "Listening",
            json!({
                "cmd_t": self.topics.command(SET_CAPTURE),
                "qos": 1,
                "ent_cat": "config",
                "ic": "mdi:ethernet",
            }),
        );
        self.show(
            "number",
            ("alert_threshold", "alert_threshold"),
            "Alert threshold",
            json!({
                "cmd_t": self.topics.command(SET_THRESHOLD),
                "qos": 1,
                "min": Judging::LEAST_THRESHOLD,
                "max": Judging::MOST_THRESHOLD,
                "step": 0.01,
                "mode": "box",
                "ent_cat": "config",
                "ic": "mdi:tune-variant",
            }),
        );
        self.add(
            "button",
            "acknowledge_alerts",
            "Acknowledge alerts",
            json!({ "cmd_t": self.topics.command(ACKNOWLEDGE), "qos": 1, "ic": "mdi:check-all" }),
        );
    }

    fn learning_controls(&mut self) {
        self.add(
            "button",
            "start_baseline",
            "Start baseline",
            json!({
                "cmd_t": self.topics.command(START_BASELINE),
                "qos": 1,
                "ent_cat": "config",
                "ic": "mdi:school-outline",
            }),
        );
        self.show(
            "number",
            ("baseline_minutes", "baseline_minutes"),
            "Baseline duration",
            json!({
                "cmd_t": self.topics.command(SET_LEARNING),
                "qos": 1,
                "min": MINUTES.start(),
                "max": MINUTES.end(),
                "step": 1,
                "mode": "box",
                "dev_cla": "duration",
                "unit_of_meas": "min",
                "ent_cat": "config",
            }),
        );
    }
}
