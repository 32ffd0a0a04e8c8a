//! What Home Assistant's own schemas ask of a device payload (core 2025.4, `components/mqtt`), and what is taken back.

use super::*;

fn config(discovery: Option<&str>) -> Config {
    Config {
        host: "b".to_owned(),
        port: 1_883,
        login: None,
        tls: None,
        prefix: "tapguard".to_owned(),
        tap: "hall-1".to_owned(),
        state_interval: Span::from_secs(60),
        discovery: discovery.map(str::to_owned),
        learning: Span::from_secs(86_400),
    }
}

fn topics() -> Topics {
    Topics::new("tapguard", "hall-1")
}

fn payload() -> Value {
    device(&config(Some("homeassistant")), &topics())
}

fn rows(payload: &Value) -> Vec<(&str, &Value)> {
    payload["cmps"].as_object().unwrap().iter().map(|(id, row)| (id.as_str(), row)).collect()
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[test]
fn the_root_has_what_it_must_and_nothing_that_is_refused() {
    let payload = payload();
    let keys: Vec<_> = payload.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["avty_t", "cmps", "dev", "o"]);
    assert_eq!(payload["dev"]["ids"][0], "tapguard_hall-1");
    assert_eq!(payload["o"]["name"], "tapguard");
    assert_eq!(payload["avty_t"], "tapguard/hall-1/availability");
    assert!(topic("homeassistant", "hall-1") == "homeassistant/device/tapguard_hall-1/config");
    // Clients and brokers with small buffers; our own takes 256 KiB.
    assert!(payload.to_string().len() < 16 << 10, "{} bytes", payload.to_string().len());
}

#[test]
fn every_component_has_an_identity_of_its_own_and_legal_topics() {
    let payload = payload();
    let mut seen = std::collections::BTreeSet::new();
    let mut names = std::collections::BTreeSet::new();
    for (id, row) in rows(&payload) {
        assert!(is_id(id), "{id}");
        let unique = row["uniq_id"].as_str().unwrap();
        assert!(is_id(unique) && seen.insert(unique), "{id}: {unique}");
        let name = row["name"].as_str().unwrap();
        assert!(names.insert(name) && !name.to_lowercase().contains("tapguard"), "{id}: {name}");
        for key in ["stat_t", "cmd_t", "json_attr_t"] {
            let topic = row[key].as_str();
            assert!(
                topic.is_none_or(|t| t.starts_with("tapguard/hall-1/") && !t.contains(['+', '#'])),
                "{id}"
            );
        }
        for refused in ["~", "retain", "ret", "obj_id", "object_id"] {
            assert_eq!(row.get(refused), None, "{id}");
        }
        let icon = row["ic"].as_str();
        assert!(icon.is_none_or(|i| i.starts_with("mdi:")), "{id}");
        let braces = |what: &str| row["val_tpl"].as_str().map_or(0, |t| t.matches(what).count());
        assert_eq!(braces("{{"), braces("}}"), "{id}");
        let (reads, writes) = (row.get("stat_t").is_some(), row.get("cmd_t").is_some());
        let expected = match row["p"].as_str().unwrap() {
            "event" | "sensor" | "binary_sensor" => (true, false),
            "button" => (false, true),
            "switch" | "number" | "select" => (true, true),
            other => panic!("{id}: {other}"),
        };
        assert_eq!((reads, writes), expected, "{id}");
    }
}

#[test]
fn sensors_keep_to_the_rules_of_their_classes() {
    let payload = payload();
    for (id, row) in rows(&payload) {
        let platform = row["p"].as_str().unwrap();
        let category = row["ent_cat"].as_str();
        let allowed = if platform.ends_with("sensor") { "diagnostic" } else { "config" };
        assert!(category.is_none_or(|c| c == allowed), "{id}: {category:?}");
        let is_enum = row["dev_cla"] == "enum";
        assert_eq!(row.get("ops").is_some(), is_enum || platform == "select", "{id}");
        if is_enum {
            assert!(row.get("unit_of_meas").is_none() && row.get("stat_cla").is_none(), "{id}");
            assert!(!row["ops"].as_array().unwrap().is_empty(), "{id}");
        }
        if row["dev_cla"] == "data_rate" {
            assert_eq!(row["unit_of_meas"], "bit/s", "{id}");
        }
        if platform == "sensor" && row.get("unit_of_meas").is_some() {
            assert!(row["stat_cla"] == "measurement" || row["stat_cla"] == "total_increasing", "{id}");
        }
        assert!(row.get("exp_aft").is_none_or(|s| s == 180), "{id}");
    }
}

#[test]
fn the_event_knows_every_kind_and_its_topic_is_never_retained() {
    let payload = payload();
    let event = &payload["cmps"]["alert"];
    let kinds: Vec<_> = crate::behaviour::Kind::ALL.iter().map(|k| k.word()).collect();
    assert_eq!(event["evt_typ"], json!(kinds));
    assert_eq!((&event["stat_t"], &event["qos"]), (&json!("tapguard/hall-1/alerts"), &json!(1)));
    assert_eq!(event.get("dev_cla"), None);
    let retained: Vec<_> =
        Announcer::default().messages(&config(Some("homeassistant")), &topics()).into_iter().collect();
    assert!(retained.iter().all(|(topic, _)| *topic != topics().alerts));
}

/// What a template shows is in the state message, under that name.
#[test]
fn every_field_that_is_shown_is_published() {
    let state = super::super::state::StateRecord::of(
        &crate::control::Status::default(),
        &crate::control::SettingsView::default(),
        Span::from_secs(60),
    );
    let state = json!(state);
    let payload = payload();
    let mut shown = 0;
    for (id, row) in rows(&payload).into_iter().filter(|(_, row)| row["stat_t"] == topics().state) {
        let template = row["val_tpl"].as_str().unwrap();
        let (_, rest) = template.split_once("value_json.").unwrap();
        let field = rest.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).next().unwrap();
        assert!(state.get(field).is_some(), "{id} shows {field}");
        shown += 1;
    }
    assert!(shown > 10, "{shown}");
}

fn announced(announcer: &Announcer, discovery: Option<&str>) -> Vec<(String, Value)> {
    let messages = announcer.messages(&config(discovery), &topics());
    messages.into_iter().map(|(t, p)| (t, serde_json::from_slice(&p).unwrap_or(Value::Null))).collect()
}

const HERE: &str = "homeassistant/device/tapguard_hall-1/config";
const THERE: &str = "elsewhere/device/tapguard_hall-1/config";
const MEMORY: &str = "tapguard/hall-1/discovery";

fn remembering(memory: &Value) -> Announcer {
    let mut announcer = Announcer::default();
    announcer.handle_memory(memory.to_string().as_bytes(), "hall-1");
    announcer
}

#[test]
fn what_was_announced_is_remembered_and_what_is_gone_is_taken_back_first() {
    let first = announced(&Announcer::default(), Some("homeassistant"));
    assert_eq!(first.iter().map(|(t, _)| t.as_str()).collect::<Vec<_>>(), [HERE, MEMORY]);
    let mut memory = first[1].1.clone();
    let again = announced(&remembering(&memory), Some("homeassistant"));
    assert_eq!(again, [(HERE.to_owned(), payload())], "nothing new to remember");

    memory["components"]["old"] = json!("select");
    let later = announced(&remembering(&memory), Some("homeassistant"));
    assert_eq!(later.iter().map(|(t, _)| t.as_str()).collect::<Vec<_>>(), [HERE, HERE, MEMORY]);
    assert_eq!(later[0].1["cmps"]["old"], json!({ "p": "select" }));
    assert_eq!(later[0].1["cmps"]["alert"], payload()["cmps"]["alert"], "the others stay");
    assert_eq!(later[1].1, payload());
    assert_eq!(later[2], first[1]);
}

#[test]
fn switched_off_or_moved_everything_is_taken_back() {
    let first = announced(&Announcer::default(), Some("homeassistant"));
    let off = announced(&remembering(&first[1].1), None);
    assert_eq!(off, [(HERE.to_owned(), Value::Null), (MEMORY.to_owned(), Value::Null)]);
    assert_eq!(announced(&Announcer::default(), None), [], "nothing was announced");
    let moved = announced(&remembering(&first[1].1), Some("elsewhere"));
    let topics: Vec<_> = moved.iter().map(|(t, _)| t.as_str()).collect();
    assert_eq!(topics, [HERE, THERE, MEMORY]);
    assert_eq!(moved[0].1, Value::Null);
}

#[test]
fn a_memory_that_is_none_of_this_tap_is_ignored() {
    for foreign in [json!({ "topic": "lights/all", "components": {} }), json!([]), json!(null)] {
        let messages = announced(&remembering(&foreign), None);
        assert_eq!(messages, [], "{foreign}");
    }
}

#[test]
fn a_birth_is_answered_without_taking_back_anything() {
    let mut announcer = remembering(&json!({ "topic": HERE, "components": { "old": "select" } }));
    assert!(!announcer.is_due());
    announcer.finish();
    announcer.handle_birth(Span::from_secs(0));
    assert!(announcer.is_due());
    assert_eq!(announced(&announcer, Some("homeassistant")), [(HERE.to_owned(), payload())]);
    announcer.finish();
    assert!(!announcer.is_due());
    announcer.handle_birth(Announcer::LONGEST_WAIT);
    assert!(!announcer.is_due(), "it waits");
}
