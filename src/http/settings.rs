//! Settings over HTTP: what is shown of them, and a body (RFC 7396) or a version to a [`SettingsChange`]. What may be
//! changed, and what becomes of it, the desk says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::query::{BadRequest, whole};
use super::reply::{Fault, Reply};
use super::router::not_done;
use crate::control::{
    Author, PlannedChange, Setting, SettingKind, SettingProblem, SettingSource, SettingValue, SettingsAnswer,
    SettingsChange, SettingsRefused, SettingsVersion, SettingsView, Wanted,
};

/// The answer of `GET /api/config`.
#[derive(Serialize)]
struct ConfigAnswer<'a> {
    version: u64,
    settings: Vec<SettingShown<'a>>,
    last_change: Option<LastChangeShown<'a>>,
    left_out: Option<&'a str>,
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own to a client")]
struct SettingShown<'a> {
    key: &'a str,
    section: &'a str,
    meaning: &'a str,
    schema: Schema,
    value: Option<Value>,
    set: bool,
    secret: bool,
    default: Option<Value>,
    source: SourceShown<'a>,
    effect: &'static str,
    changeable: bool,
    why_not: Option<&'a str>,
    pending_restart: bool,
}

/// JSON Schema of a value, and its unit.
#[derive(Serialize)]
struct Schema {
    #[serde(rename = "type")]
    kind: &'static str,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
    #[serde(rename = "enum", skip_serializing_if = "Option::is_none")]
    options: Option<&'static [&'static str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<&'static str>,
    #[serde(rename = "minLength", skip_serializing_if = "Option::is_none")]
    shortest: Option<usize>,
    #[serde(rename = "maxLength", skip_serializing_if = "Option::is_none")]
    longest: Option<usize>,
}

#[derive(Serialize)]
struct SourceShown<'a> {
    kind: &'static str,
    place: Option<&'a str>,
}

#[derive(Serialize)]
struct LastChangeShown<'a> {
    version: u64,
    outcome: &'static str,
    reason: Option<&'a str>,
}

/// The answer of a dry run.
#[derive(Serialize)]
struct DryRun<'a> {
    dry_run: bool,
    version: u64,
    on_trial: bool,
    changes: Vec<ChangeShown<'a>>,
}

#[derive(Serialize)]
struct ChangeShown<'a> {
    key: &'a str,
    from: Option<Value>,
    to: Option<Value>,
    effect: &'static str,
}

#[derive(Serialize)]
struct VersionsAnswer {
    versions: Vec<VersionShown>,
}

#[derive(Serialize)]
struct VersionShown {
    number: u64,
    time: String,
    author: &'static str,
    reason: Option<String>,
    settings: BTreeMap<String, Option<Value>>,
}

/// The settings.
pub(super) fn shown(status: u16, view: &SettingsView) -> Reply {
    let last_change = view.last_change.as_ref().map(|change| LastChangeShown {
        version: change.version,
        outcome: change.outcome.word(),
        reason: change.reason.as_deref(),
    });
    let answer = ConfigAnswer {
        version: view.version,
        settings: view.settings.iter().map(setting).collect(),
        last_change,
        left_out: view.left_out.as_deref(),
    };
    Reply::json(status, &answer).with("ETag", tag(view))
}

fn tag(view: &SettingsView) -> String {
    format!("\"{}\"", view.tag)
}

fn setting(setting: &Setting) -> SettingShown<'_> {
    let of_kind = |text: &str| typed(setting.kind, text);
    let (kind, place) = match &setting.source {
        SettingSource::Default => ("default", None),
        SettingSource::File(place) => ("file", Some(place.as_str())),
        SettingSource::Remote => ("remote", None),
        SettingSource::Environment(name) => ("environment", Some(name.as_str())),
        SettingSource::Flag => ("flag", None),
    };
    SettingShown {
        key: setting.key,
        section: setting.key.rsplit_once('.').map_or("", |(section, _)| section),
        meaning: setting.meaning,
        schema: schema(setting.kind),
        value: setting.value.as_deref().map(of_kind),
        set: setting.set,
        secret: setting.secret,
        default: setting.default.map(of_kind),
        source: SourceShown { kind, place },
        effect: setting.effect.word(),
        changeable: setting.fixed.is_none(),
        why_not: setting.fixed.as_deref(),
        pending_restart: setting.pending_restart,
    }
}

fn schema(kind: SettingKind) -> Schema {
    let mut schema = Schema {
        kind: "string",
        description: kind.to_string(),
        minimum: None,
        maximum: None,
        unit: None,
        options: None,
        pattern: None,
        shortest: None,
        longest: None,
    };
    match kind {
        SettingKind::Integer { least, most, unit } => {
            schema.kind = "integer";
            schema.minimum = Some(least.into());
            schema.maximum = (most < i64::MAX).then(|| most.into());
            schema.unit = Some(unit).filter(|unit| !unit.is_empty());
        }
        SettingKind::Number { least, most } => {
            schema.kind = "number";
            (schema.minimum, schema.maximum) = (Some(least.into()), Some(most.into()));
        }
        SettingKind::Boolean => schema.kind = "boolean",
        SettingKind::Choice(words) => schema.options = Some(words),
        SettingKind::Text { pattern, empty, .. } => {
            schema.pattern = pattern;
            schema.shortest = (!empty).then_some(1);
            schema.longest = Some(SettingKind::MAX_TEXT);
        }
    }
    schema
}

/// A value in the type of its kind; text where it is none of it.
fn typed(kind: SettingKind, text: &str) -> Value {
    let of_type = match kind {
        SettingKind::Integer { .. } => text.parse::<i64>().map(Value::from).ok(),
        SettingKind::Number { .. } => text.parse::<f64>().map(Value::from).ok(),
        SettingKind::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "on" | "yes" => Some(true.into()),
            "false" | "0" | "off" | "no" => Some(false.into()),
            _ => None,
        },
        SettingKind::Choice(_) | SettingKind::Text { .. } => None,
    };
    of_type.unwrap_or_else(|| text.into())
}

fn kind_of(view: &SettingsView, key: &str) -> Option<SettingKind> {
    view.settings.iter().find(|setting| setting.key == key).map(|setting| setting.kind)
}

/// The versions.
pub(super) fn versions(view: &SettingsView, versions: Vec<SettingsVersion>) -> Reply {
    let value = |key: &str, text: String| kind_of(view, key).map_or(Value::Null, |kind| typed(kind, &text));
    let versions = versions.into_iter().map(|version| {
        let settings = version.settings.into_iter().map(|(key, text)| {
            let text = text.map(|text| value(&key, text));
            (key, text)
        });
        VersionShown {
            number: version.number,
            time: version.time.to_string(),
            author: version.author.word(),
            reason: version.reason,
            settings: settings.collect(),
        }
    });
    Reply::json(200, &VersionsAnswer { versions: versions.collect() })
}

/// What a client asks for, and where in its body each key stands.
pub(super) struct Asked {
    pub(super) change: SettingsChange,
    pointers: BTreeMap<String, String>,
}

impl Asked {
    /// From a merge patch: sections as objects or keys with dots.
    pub(super) fn patch(body: &[u8]) -> Result<Self, BadRequest> {
        let body: Value =
            serde_json::from_slice(body).map_err(|error| BadRequest::Patch(error.to_string()))?;
        let Value::Object(fields) = body else { return Err(BadRequest::Patch("it is no object".to_owned())) };
        let (mut wanted, mut pointers) = (Vec::new(), BTreeMap::new());
        flatten(fields, ("", ""), &mut wanted, &mut pointers);
        Ok(Self { change: change(Wanted::Set(wanted)), pointers })
    }

    /// From the number of a version.
    pub(super) fn restore(body: &[u8]) -> Result<Self, BadRequest> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Restore {
            version: serde_json::Number,
        }
        // serde would take an array for the object's fields in order.
        if body.trim_ascii().first() != Some(&b'{') {
            return Err(BadRequest::Restore("it is no object".to_owned()));
        }
        let body: Restore =
            serde_json::from_slice(body).map_err(|error| BadRequest::Restore(error.to_string()))?;
        let version =
            whole(&body.version).ok_or_else(|| BadRequest::Restore("it is no whole number".to_owned()))?;
        Ok(Self { change: change(Wanted::Version(version)), pointers: BTreeMap::new() })
    }

    /// The reply to what became of it.
    pub(super) fn reply(
        &self,
        outcome: Result<SettingsAnswer, SettingsRefused>,
        view: &SettingsView,
    ) -> Reply {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(error) => return self.refusal(error, view),
        };
        if !self.change.dry_run {
            return shown(if answer.on_trial { 202 } else { 200 }, &answer.view);
        }
        let changes = answer.changes.iter().map(|change| planned(&answer.view, change)).collect();
        let (version, on_trial) = (answer.view.version, answer.on_trial);
        let told = DryRun { dry_run: true, version, on_trial, changes };
        Reply::json(200, &told).with("ETag", tag(&answer.view))
    }

    fn refusal(&self, error: SettingsRefused, view: &SettingsView) -> Reply {
        let why = error.to_string();
        match error {
            SettingsRefused::Invalid(problems) => {
                let fault = |p: SettingProblem| Fault { pointer: self.pointer(&p.key), detail: p.detail };
                let faults: Vec<_> = problems.into_iter().map(fault).collect();
                Reply::problems(422, &why, &faults)
            }
            SettingsRefused::Stale => Reply::problem(412, &why).with("ETag", tag(view)),
            SettingsRefused::NoVersion(_) => Reply::problem(404, &why),
            SettingsRefused::OnTrial => Reply::problem(409, &why).with("Retry-After", "30"),
            SettingsRefused::TakenBack(_) => Reply::problem(409, &why),
            SettingsRefused::NotKept(_) => Reply::problem(503, &why).with("Retry-After", "30"),
            SettingsRefused::NotNow(refused) => not_done(&refused),
        }
    }

    fn pointer(&self, key: &str) -> String {
        let nested = || if key.is_empty() { String::new() } else { format!("/{}", key.replace('.', "/")) };
        self.pointers.get(key).cloned().unwrap_or_else(nested)
    }
}

fn change(wanted: Wanted) -> SettingsChange {
    SettingsChange { wanted, if_match: Some(Vec::new()), dry_run: false, author: Author::Http }
}

fn planned<'a>(view: &SettingsView, change: &'a PlannedChange) -> ChangeShown<'a> {
    let value = |text: &Option<String>| {
        let text = text.as_deref()?;
        Some(kind_of(view, change.key).map_or(Value::Null, |kind| typed(kind, text)))
    };
    ChangeShown {
        key: change.key,
        from: value(&change.from),
        to: value(&change.to),
        effect: change.effect.word(),
    }
}

/// Adds the leaves below a path, with their pointers (RFC 6901). The depth is bounded by the JSON parser.
fn flatten(
    fields: serde_json::Map<String, Value>,
    (path, pointer): (&str, &str),
    wanted: &mut Vec<(String, Option<SettingValue>)>,
    pointers: &mut BTreeMap<String, String>,
) {
    for (name, value) in fields {
        let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        let path = if path.is_empty() { name } else { format!("{path}.{name}") };
        let value = match value {
            Value::Object(fields) if fields.is_empty() => Some(SettingValue::Empty),
            Value::Object(fields) => {
                flatten(fields, (&path, &pointer), wanted, pointers);
                continue;
            }
            Value::Null => None,
            Value::Bool(on) => Some(SettingValue::Boolean(on)),
            Value::String(text) => Some(SettingValue::Text(text)),
            Value::Array(_) => Some(SettingValue::Other("a list")),
            Value::Number(number) => Some(self::number(&number)),
        };
        pointers.insert(path.clone(), pointer);
        wanted.push((path, value));
    }
}

/// A whole number is one however it is written, as in JSON Schema.
fn number(number: &serde_json::Number) -> SettingValue {
    if let Some(whole) = number.as_i64() {
        return SettingValue::Integer(whole);
    }
    let Some(float) = number.as_f64() else { return SettingValue::Other("a number beyond measure") };
    let whole = format!("{float:.0}").parse().ok().filter(|_| float.fract() == 0.0);
    whole.map_or(SettingValue::Number(float), SettingValue::Integer)
}

/// The tags of `If-Match`; none where it is missing. A weak one is never the same as ours.
pub(super) fn if_match<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Vec<String>> {
    let mut lines = lines.peekable();
    lines.peek()?;
    let tags = lines.flat_map(|line| line.split(',')).map(str::trim).filter_map(|tag| match tag {
        "*" => Some("*"),
        quoted => quoted.strip_prefix('"')?.strip_suffix('"'),
    });
    Some(tags.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_its_leaves_with_their_places() {
        let body = br#"{"mqtt": {"port": 1883.0, "host": null}, "log.level": "warn", "detection": {"sensitivity": 0.25},
            "ml_models": {"isolation_forest": {"n_estimators": [1]}}, "a/b~c": true, "store": {}}"#;
        let asked = Asked::patch(body).unwrap();
        let Wanted::Set(mut wanted) = asked.change.wanted.clone() else { panic!("a patch sets") };
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [
            ("a/b~c", Some(SettingValue::Boolean(true)), "/a~1b~0c"),
            ("detection.sensitivity", Some(SettingValue::Number(0.25)), "/detection/sensitivity"),
            ("log.level", Some(SettingValue::Text("warn".to_owned())), "/log.level"),
            (
                "ml_models.isolation_forest.n_estimators",
                Some(SettingValue::Other("a list")),
                "/ml_models/isolation_forest/n_estimators",
            ),
            ("mqtt.host", None, "/mqtt/host"),
            ("mqtt.port", Some(SettingValue::Integer(1_883)), "/mqtt/port"),
            ("store", Some(SettingValue::Empty), "/store"),
        ];
        assert_eq!(wanted.len(), expected.len());
        for ((key, value), (expected, expected_value, pointer)) in wanted.iter().zip(expected) {
            assert_eq!((key.as_str(), value), (expected, &expected_value));
            assert_eq!(asked.pointer(key), pointer);
        }
        assert_eq!(asked.pointer("mqtt.username"), "/mqtt/username", "one that is missing from the body");
        assert_eq!(asked.pointer(""), "", "the whole body");
    }

    #[test]
    fn a_version_is_whole_however_it_is_written() {
        let asked = |body: &str| Asked::restore(body.as_bytes()).ok().map(|asked| asked.change.wanted);
        assert_eq!(asked("{\"version\":3.0}"), Some(Wanted::Version(3)));
        for body in ["{\"version\":3.5}", "{\"version\":-1}", "{\"version\":\"3\"}", "[3]", "{}"] {
            assert_eq!(asked(body), None, "{body}");
        }
    }

    #[test]
    fn numbers_keep_their_size() {
        let number = |text: &str| number(&serde_json::from_str(text).unwrap());
        assert_eq!(number("9223372036854775807"), SettingValue::Integer(i64::MAX));
        assert!(matches!(number("18446744073709551615"), SettingValue::Number(_)));
        assert_eq!(number("-0.5"), SettingValue::Number(-0.5));
        assert_eq!(number("1e3"), SettingValue::Integer(1_000));
        assert!(matches!(number("1e300"), SettingValue::Number(_)));
    }

    #[test]
    fn tags_are_read_as_the_standard_has_them() {
        let read = |lines: &[&str]| if_match(lines.iter().copied());
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["\"a\", \"b\"", "*"]), Some(vec!["a".to_owned(), "b".to_owned(), "*".to_owned()]));
        assert_eq!(read(&["W/\"a\", b"]), Some(Vec::new()));
    }

    #[test]
    fn values_have_their_types() {
        let integer = SettingKind::Integer { least: 0, most: 9, unit: "" };
        assert_eq!(typed(integer, "7"), Value::from(7));
        assert_eq!(typed(SettingKind::Number { least: 0.0, most: 1.0 }, "1"), Value::from(1.0));
        for (text, value) in [("true", true), ("1", true), ("No", false)] {
            assert_eq!(typed(SettingKind::Boolean, text), Value::from(value));
        }
        assert_eq!(typed(SettingKind::Choice(&["a"]), "a"), Value::from("a"));
        assert_eq!(typed(integer, "x"), Value::from("x"));
    }
}
