//! The store as its users see it: against a model, killed, damaged, in use, full, and with records of the future.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc::sync_channel};

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::test_runner::{Config as Cases, TestCaseError, TestRunner};
use proptest::{prop_assert, prop_assert_eq};

use super::database::{Database, Tree};
use super::mark::tests::{mark, rules};
use super::record::tests::{alert, device};
use super::{Config, SnapshotName, Store, StoreError};
use crate::alert::{AlertId, Mark, Marking, Note, Severity};
use crate::behaviour::Kind;
use crate::control::wire::AlertRecord;
use crate::control::{AlertArchive, AlertQuery, DeliveryQueue, News, OutboxKey};
use crate::time::{Span, Timestamp};

const DEADLINE: Span = Span::from_secs(60);
/// 2015: alerts of a replayed capture.
const START: i64 = 1_420_070_400;

fn config(path: &Path) -> Config {
    Config { path: path.to_owned(), deliver: true, ..Config::default() }
}

fn open(config: &Config) -> Store {
    let opened = Store::open(config).unwrap();
    assert_eq!(opened.replaced, None);
    opened.store
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_parts(START, 0) + Span::from_secs(seconds)
}

/// Incident `n`, first and last seen `n` seconds after the start.
fn raised(n: u64) -> AlertRecord {
    alert(AlertId::new(at(n), n), "raised", at(n))
}

fn id(record: &AlertRecord) -> AlertId {
    record.id.parse().unwrap()
}

fn ids(records: &[AlertRecord]) -> Vec<&str> {
    records.iter().map(|r| r.id.as_str()).collect()
}

fn save(store: &Store, alerts: impl IntoIterator<Item = AlertRecord>) {
    for alert in alerts {
        store.save_alert(alert).unwrap();
    }
    store.flush(DEADLINE).unwrap();
}

fn reopen(store: Store, config: &Config) -> Store {
    store.close(DEADLINE).unwrap();
    drop(store);
    open(config)
}

// Against a model.

#[derive(Clone, Debug)]
enum Step {
    Save { incident: u64, event: &'static str, kind: Kind, severity: Severity, seen: u64 },
    Acknowledge { nth: usize },
    Mark { nth: usize, marking: Marking },
    List(AlertQuery),
    Pending { after: Option<usize>, limit: usize },
    Reopen,
    Drop,
}

fn query() -> impl Strategy<Value = AlertQuery> {
    (
        1_usize..8,
        prop::option::of(0_u64..12),
        prop::option::of(0_u64..40),
        prop::option::of(prop::sample::select(Kind::ALL.to_vec())),
        prop::option::of(prop::sample::select(Severity::ALL.to_vec())),
        any::<Option<bool>>(),
        any::<Option<bool>>(),
    )
        .prop_map(|(limit, before, since, kind, severity, open, acknowledged)| AlertQuery {
            limit,
            before: before.map(|n| AlertId::new(at(n), n)),
            since: since.map(at),
            kind,
            severity,
            open,
            acknowledged,
        })
}

fn step() -> impl Strategy<Value = Step> {
    let save = (
        0_u64..12,
        prop::sample::select(vec!["raised", "updated", "cleared"]),
        prop::sample::select(Kind::ALL.to_vec()),
        prop::sample::select(Severity::ALL.to_vec()),
        0_u64..40,
    )
        .prop_map(|(incident, event, kind, severity, seen)| Step::Save {
            incident,
            event,
            kind,
            severity,
            seen,
        });
    prop_oneof![
        8 => save,
        3 => (0_usize..6).prop_map(|nth| Step::Acknowledge { nth }),
        4 => (0_usize..12, prop::sample::select(markings())).prop_map(|(nth, marking)| Step::Mark { nth, marking }),
        4 => query().prop_map(Step::List),
        2 => (prop::option::of(0_usize..6), 0_usize..6).prop_map(|(after, limit)| Step::Pending { after, limit }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Drop),
    ]
}

fn markings() -> Vec<Marking> {
    let note = Note::of("the nightly backup").unwrap();
    let said = [Marking::Acknowledge(None), Marking::Unacknowledge, Marking::NotFalse];
    said.into_iter().chain([Marking::FalsePositive(note)]).collect()
}

#[derive(Default)]
struct Model {
    alerts: BTreeMap<String, AlertRecord>,
    marks: BTreeMap<String, Mark>,
    outbox: Vec<(OutboxKey, AlertRecord)>,
}

impl Model {
    fn list(&self, query: &AlertQuery) -> Vec<AlertRecord> {
        let before = query.before.map(|id| id.to_string());
        let wanted = |r: &&AlertRecord| {
            before.as_ref().is_none_or(|id| r.id < *id)
                && query.since.is_none_or(|t| r.last_seen.parse::<Timestamp>().unwrap() >= t)
                && query.kind.is_none_or(|k| r.kind == k.word())
                && query.severity.is_none_or(|s| r.severity.parse::<Severity>().unwrap() >= s)
                && query.open.is_none_or(|o| o != r.is_cleared())
                && query.acknowledged.is_none_or(|a| {
                    self.marks.get(&r.id).is_some_and(|m| m.settles(r.severity.parse().unwrap())) == a
                })
        };
        let found = self.alerts.values().rev().filter(wanted).take(query.limit);
        found.map(|record| self.marked(record)).collect()
    }

    fn marked(&self, record: &AlertRecord) -> AlertRecord {
        record.clone().marked(self.marks.get(&record.id).unwrap_or(&Mark::default()))
    }

    fn pending(&self, after: Option<OutboxKey>, limit: usize) -> Vec<(OutboxKey, AlertRecord)> {
        self.outbox.iter().filter(|(key, _)| after.is_none_or(|a| *key > a)).take(limit).cloned().collect()
    }
}

fn list(store: &Store, query: &AlertQuery) -> Vec<AlertRecord> {
    let page = store.list(query).unwrap();
    assert_eq!(page.unsearched, None);
    page.alerts
}

fn pending(store: &Store, after: Option<OutboxKey>, limit: usize) -> Vec<(OutboxKey, AlertRecord)> {
    store.pending(after, limit).unwrap().into_iter().map(|item| (item.key, item.record)).collect()
}

fn run_step(store: Store, config: &Config, model: &mut Model, step: &Step) -> Result<Store, TestCaseError> {
    match step {
        Step::Save { incident, event, kind, severity, seen } => {
            let record = AlertRecord {
                kind: kind.word().to_owned(),
                severity: severity.word().to_owned(),
                ..alert(AlertId::new(at(*incident), *incident), event, at(*seen))
            };
            save(&store, [record.clone()]);
            // A position is never used again, not even that of an entry which has gone.
            let last = model.outbox.last().map(|(key, _)| *key);
            let (key, delivered) = pending(&store, last, 2).remove(0);
            prop_assert_eq!(&delivered, &record);
            model.outbox.push((key, record.clone()));
            model.alerts.insert(record.id.clone(), record);
        }
        Step::Acknowledge { nth } => {
            if let Some((key, _)) = model.outbox.get(*nth).cloned() {
                store.acknowledge(key).unwrap();
                model.outbox.remove(*nth);
            }
        }
        Step::Mark { nth, marking } => {
            if let Some(record) = model.alerts.values().nth(*nth) {
                let mark = model.marks.entry(record.id.clone()).or_default();
                mark.apply(marking, record.severity.parse().unwrap(), at(77));
                store.save_marks(vec![(id(record), mark.clone())]).unwrap();
                store.flush(DEADLINE).unwrap();
                prop_assert_eq!(&store.mark(id(record)).unwrap(), &*mark);
            }
        }
        Step::List(query) => prop_assert_eq!(list(&store, query), model.list(query)),
        Step::Pending { after, limit } => {
            let after = after.and_then(|n| model.outbox.get(n)).map(|(key, _)| *key);
            prop_assert_eq!(pending(&store, after, *limit), model.pending(after, *limit));
        }
        Step::Reopen => return Ok(reopen(store, config)),
        Step::Drop => {
            drop(store);
            return Ok(open(config));
        }
    }
    Ok(store)
}

#[test]
fn agrees_with_a_map_whatever_is_done() {
    let mut runner = TestRunner::new_with_rng(
        Cases { cases: 24, failure_persistence: None, ..Cases::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let result = runner.run(&prop::collection::vec(step(), 1..40), |steps| {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let mut model = Model::default();
        let mut store = open(&config);
        for step in &steps {
            store = run_step(store, &config, &mut model, step)?;
        }
        store.flush(DEADLINE).unwrap();
        prop_assert_eq!(pending(&store, None, 100), model.pending(None, 100));
        let status = store.status();
        prop_assert_eq!(status.alerts, model.alerts.len() as u64);
        prop_assert_eq!(status.outbox, model.outbox.len() as u64);
        prop_assert_eq!((status.write_errors, status.alerts_lost, status.unreadable), (0, 0, 0));
        prop_assert_eq!((status.failing, status.last_error), (None, None));
        for record in model.alerts.values() {
            prop_assert_eq!(store.get(id(record)).unwrap(), Some(model.marked(record)));
        }
        let open = store.open_alerts().unwrap();
        prop_assert!(open.iter().all(|r| !r.is_cleared()));
        prop_assert_eq!(open.len(), model.alerts.values().filter(|r| !r.is_cleared()).count());
        Ok(())
    });
    result.unwrap();
}

// What is kept beside alerts.

#[test]
fn devices_snapshots_and_the_secret_survive() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let mut store = open(&config);
    assert_eq!((store.secret().unwrap(), store.snapshot(SnapshotName::Model).unwrap()), (None, None));
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for round in 0..3_u8 {
        store.save_devices(vec![device(1), device(2), device(1)]).unwrap();
        let mut newer = device(2);
        newer.packets_sent = u64::from(round);
        store.save_devices(vec![newer.clone()]).unwrap();
        store.save_snapshot(SnapshotName::Model, [&[round], large.as_slice()].concat()).unwrap();
        store.save_snapshot(SnapshotName::Baseline, vec![round]).unwrap();
        store.save_secret(vec![round; 32]).unwrap();
        store = reopen(store, &config);
        assert_eq!(store.devices().unwrap(), [device(1), newer]);
        assert_eq!(store.snapshot(SnapshotName::Model).unwrap(), Some([&[round], large.as_slice()].concat()));
        assert_eq!(store.snapshot(SnapshotName::Baseline).unwrap(), Some(vec![round]));
        assert_eq!(store.secret().unwrap(), Some(vec![round; 32]));
    }
    let too_large = store.save_snapshot(SnapshotName::Model, vec![0; 20 << 20]).unwrap_err();
    assert!(too_large.to_string().contains("raise the store's quota"), "{too_large}");
    assert_eq!(store.status().refused_writes, 1);
    assert!(store.save_secret(vec![0; 1_025]).is_err());
    let mut too_large = device(3);
    too_large.name = Some("n".repeat(20_000));
    store.save_devices(vec![too_large]).unwrap();
    store.flush(DEADLINE).unwrap();
    assert_eq!((store.devices().unwrap().len(), store.status().refused_writes), (2, 2));
}

#[test]
fn an_alert_that_cannot_be_kept_is_counted_as_lost_and_not_as_a_failed_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&config(dir.path()));
    let nameless = AlertRecord { id: "x".to_owned(), ..raised(1) };
    assert!(store.save_alert(nameless).is_err());
    assert_eq!((store.status().alerts_lost, store.status().write_errors), (1, 0));
}

#[test]
fn a_closed_store_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&config(dir.path()));
    let other = store.clone();
    store.close(DEADLINE).unwrap();
    store.close(DEADLINE).unwrap();
    assert!(matches!(other.save_alert(raised(1)), Err(StoreError::Closed)));
    assert!(matches!(other.flush(DEADLINE), Err(StoreError::Closed)));
    assert!(other.list(&AlertQuery::default()).is_err() && other.acknowledge(OutboxKey(0)).is_err());
    // Closed, it is free, although handles are left.
    open(&config(dir.path()));
}

#[test]
fn wakes_the_deliverer_once_an_entry_is_durable_and_only_where_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let store = open(&config);
    let (sender, woken) = sync_channel(8);
    let reader = store.clone();
    store.on_outbox(Box::new(move || sender.try_send(reader.pending(None, 9).unwrap().len()).unwrap()));
    store.save_alert(raised(1)).unwrap();
    assert_eq!(woken.recv_timeout(DEADLINE.to_std()), Ok(1));
    store.on_outbox(Box::new(|| panic!("a faulty deliverer")));
    save(&store, [raised(2)]);
    save(&store, [raised(3)]);
    store.close(DEADLINE).unwrap();

    let silent = open(&Config { deliver: false, ..config });
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    silent.on_outbox(Box::new(move || drop(counted.fetch_add(1, Ordering::SeqCst).to_string())));
    save(&silent, [raised(4)]);
    silent.close(DEADLINE).unwrap();
    assert_eq!((calls.load(Ordering::SeqCst), silent.status().outbox), (0, 3));
}

// Limits.

#[test]
fn a_full_outbox_gives_up_the_oldest_and_acknowledgements_last() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { outbox_capacity: 10, ..config(dir.path()) };
    let store = open(&config);
    save(&store, (0..25).map(raised));
    let first = pending(&store, None, 1).remove(0).0;
    store.acknowledge(first).unwrap();
    store.acknowledge(first).unwrap();
    let store = reopen(store, &config);
    let left: Vec<AlertRecord> = pending(&store, None, 100).into_iter().map(|(_, record)| record).collect();
    assert_eq!(left, (16..25).map(raised).collect::<Vec<_>>());
    assert_eq!((store.status().outbox, store.status().alerts), (9, 25));
    // Counted since start: this run has given nothing up yet.
    assert_eq!(store.status().outbox_dropped, 0);
    save(&store, (25..30).map(raised));
    assert_eq!((store.status().outbox, store.status().outbox_dropped), (10, 4));
}

#[test]
fn alerts_beyond_the_retention_go_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let store = open(&config);
    let day = 86_400;
    save(&store, [raised(1), raised(20 * day), raised(40 * day)]);
    assert_eq!((store.status().alerts, store.status().alerts_expired), (3, 0));
    store.close(DEADLINE).unwrap();
    let store = open(&Config { alert_retention: Span::from_secs(30 * day), ..config });
    save(&store, [raised(41 * day)]);
    let kept = list(&store, &AlertQuery::default());
    assert_eq!(ids(&kept), ids(&[raised(41 * day), raised(40 * day), raised(20 * day)]));
    assert_eq!((store.status().alerts, store.status().alerts_expired), (3, 1));
}

// What the owner said.

#[test]
fn what_was_said_survives_later_tellings_and_restarts_and_goes_with_its_alert() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let store = open(&config);
    let day = 86_400;
    let (old, new) = (raised(1), raised(40 * day));
    save(&store, [old.clone(), new.clone()]);
    let marks = vec![(id(&old), mark("backup")), (id(&new), mark("")), (id(&raised(7)), mark("of nothing"))];
    store.save_marks(marks).unwrap();
    store.save_expected(&rules(3)).unwrap();
    let cleared = AlertRecord { event: "cleared".to_owned(), ..new.clone() };
    save(&store, [cleared.clone()]);
    let store = reopen(store, &config);
    assert_eq!(store.get(id(&new)).unwrap(), Some(cleared.clone().marked(&mark(""))));
    assert!(pending(&store, None, 9).iter().all(|(_, record)| record.feedback.is_none()), "MQTT has its own");
    assert_eq!(store.expected().unwrap(), rules(3));
    assert_eq!(store.mark(id(&raised(7))).unwrap(), Mark::default(), "there is no such alert");
    let counted = store.feedback().unwrap();
    assert_eq!(counted.get("isolation_forest-3").map(|c| (c.confirmed, c.false_positives)), Some((0, 2)));

    store.close(DEADLINE).unwrap();
    let store = open(&Config { alert_retention: Span::from_secs(30 * day), ..config.clone() });
    save(&store, [raised(41 * day)]);
    assert_eq!(store.get(id(&old)).unwrap(), None);
    assert_eq!(store.mark(id(&old)).unwrap(), Mark::default());
    store.save_marks(vec![(id(&new), Mark::default())]).unwrap();
    store.save_expected(&[]).unwrap();
    let store = reopen(store, &config);
    assert_eq!(store.get(id(&new)).unwrap(), Some(cleared));
    assert_eq!(store.expected().unwrap(), []);
    store.close(DEADLINE).unwrap();
    let database = Database::open(&dir.path().join("db-0"), config.cache).unwrap();
    for record in [old, new] {
        assert_eq!(database.get(Tree::Marks, record.id.as_bytes()).unwrap(), None);
    }
}

#[test]
fn damaged_rules_are_counted_and_nothing_is_expected() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let store = open(&config);
    store.save_expected(&rules(2)).unwrap();
    let store = reopen(store, &config);
    assert_eq!((store.expected().unwrap().len(), store.status().unreadable), (2, 0));
    store.save_snapshot(SnapshotName::Expected, b"\x63[]".to_vec()).unwrap();
    let store = reopen(store, &config);
    assert_eq!((store.expected().unwrap().len(), store.status().unreadable), (0, 1));
}

/// An alert of about 2 KB that hardly compresses.
fn bulky(n: u64) -> AlertRecord {
    let noise = (0..400).scan(n + 1, |state, _| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(format!("{:08x}", *state >> 32))
    });
    AlertRecord { description: noise.collect(), ..raised(n) }
}

#[test]
fn a_lowered_quota_deletes_the_oldest_and_the_file_shrinks() {
    let dir = tempfile::tempdir().unwrap();
    let wide = Config { deliver: false, ..config(dir.path()) };
    let store = open(&wide);
    let count = 18_000;
    save(&store, (0..count).map(bulky));
    let before = store.status();
    assert_eq!((before.alerts, before.alerts_expired), (count, 0));
    assert!(before.bytes > Config::MIN_QUOTA, "{before:?}");
    store.save_snapshot(SnapshotName::Baseline, vec![7; 100_000]).unwrap();
    let said = [0, count - 1].map(|n| (id(&bulky(n)), mark("seen")));
    store.save_marks(said.to_vec()).unwrap();
    store.close(DEADLINE).unwrap();

    let narrow = Config { quota: 1, ..wide };
    let store = open(&narrow);
    // Writes during the rewrite are in its result, too.
    for n in count..=count + 200 {
        save(&store, [bulky(n)]);
    }
    let store = reopen(store, &narrow);
    let mut rounds = 0;
    while store.status().bytes > Config::MIN_QUOTA / 2 {
        rounds += 1;
        assert!(rounds < 1_000, "{:?}", store.status());
        save(&store, [bulky(count + 200)]);
    }
    let after = store.status();
    assert_eq!((after.quota, after.write_errors), (Config::MIN_QUOTA, 0));
    assert!(after.alerts > 1_000 && after.alerts < count / 2, "{after:?}");
    let newest = list(&store, &AlertQuery { limit: 500, ..AlertQuery::default() });
    let expected: Vec<AlertRecord> = (count - 299..=count + 200).rev().map(bulky).collect();
    assert_eq!(ids(&newest), ids(&expected));
    let store = reopen(store, &narrow);
    assert_eq!(store.status().alerts, after.alerts);
    assert_eq!(store.snapshot(SnapshotName::Baseline).unwrap(), Some(vec![7; 100_000]));
    let kept = said.map(|(id, _)| store.mark(id).unwrap());
    assert_eq!(kept, [Mark::default(), mark("seen")], "one went with its alert, the other came along");
    let generations = fs::read_dir(dir.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("db-"))
        .count();
    assert_eq!(generations, 1);
}

// Records that this version cannot read.

#[test]
fn records_of_a_later_version_are_skipped_counted_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let store = open(&config);
    save(&store, [raised(1), raised(3)]);
    store.save_devices(vec![device(1)]).unwrap();
    store.close(DEADLINE).unwrap();
    let database = Database::open(&dir.path().join("db-0"), config.cache).unwrap();
    let future = [99, 1, 2, 3];
    database.put(Tree::Alerts, raised(2).id.as_bytes(), &future).unwrap();
    database.put(Tree::Outbox, &7_u64.to_be_bytes(), &future).unwrap();
    database.put(Tree::Devices, b"m\x02\0\0\0\0\x09", &future).unwrap();
    database.put(Tree::Meta, b"model", &future).unwrap();
    database.put(Tree::Marks, raised(3).id.as_bytes(), &future).unwrap();
    database.sync().unwrap();
    drop(database);

    let store = open(&config);
    assert_eq!((store.status().unreadable, store.status().alerts), (4, 3));
    assert_eq!(list(&store, &AlertQuery::default()), [raised(3), raised(1)], "the alert is shown without it");
    assert_eq!(store.get(id(&raised(2))).unwrap(), None);
    assert_eq!(pending(&store, None, 9).len(), 2);
    assert_eq!(store.devices().unwrap(), [device(1)]);
    assert_eq!(store.snapshot(SnapshotName::Model).unwrap(), None);
    assert_eq!(store.status().unreadable, 10);
    assert_eq!(store.status().write_errors, 0);
}

#[test]
fn an_outbox_entry_that_cannot_be_read_goes_so_that_the_outbox_gets_empty() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    open(&config).close(DEADLINE).unwrap();
    let database = Database::open(&dir.path().join("db-0"), config.cache).unwrap();
    database.put(Tree::Outbox, &7_u64.to_be_bytes(), &[99, 1, 2, 3]).unwrap();
    database.sync().unwrap();
    drop(database);
    let store = open(&config);
    assert_eq!((store.status().outbox, store.status().unreadable), (1, 1));
    assert_eq!(pending(&store, None, 9), []);
    assert_eq!(pending(&store, None, 9), []);
    store.flush(DEADLINE).unwrap();
    assert_eq!((store.status().outbox, store.status().unreadable), (0, 2));
}

#[test]
fn a_search_that_finds_little_ends_early_and_says_where_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let store = open(&config);
    save(&store, [AlertRecord { kind: "new_device".to_owned(), ..raised(0) }, raised(1)]);
    store.close(DEADLINE).unwrap();
    let database = Database::open(&dir.path().join("db-0"), config.cache).unwrap();
    let scan = database.get(Tree::Alerts, raised(1).id.as_bytes()).unwrap().unwrap();
    for n in 2..20_001 {
        database.put(Tree::Alerts, raised(n).id.as_bytes(), &scan).unwrap();
    }
    database.sync().unwrap();
    drop(database);
    let store = open(&config);
    let wanted = AlertQuery { kind: Some(Kind::NewDevice), ..AlertQuery::default() };
    let first = store.list(&wanted).unwrap();
    assert_eq!((first.alerts, first.unsearched), (Vec::new(), Some(id(&raised(1)))));
    let rest = store.list(&AlertQuery { before: first.unsearched, ..wanted }).unwrap();
    assert_eq!((ids(&rest.alerts), rest.unsearched), (vec![raised(0).id.as_str()], None));
    // The daemon itself needs all that are open.
    assert_eq!(store.open_alerts().unwrap().len(), 1_024);
    // As many as there are is enough.
    assert_eq!(
        store.list(&AlertQuery { before: Some(id(&raised(20_000))), ..wanted }).unwrap().unsearched,
        None
    );
}

// Damage.

/// Every file below a directory that has content.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.metadata().unwrap().len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Opens a damaged store: whatever happens, it works afterwards. Says whether it was replaced.
fn opens_whatever(path: &Path) -> bool {
    let config = config(path);
    let opened = Store::open(&config).unwrap();
    let store = opened.store;
    if let Some(replaced) = &opened.replaced {
        assert!(replaced.moved_to.is_dir() && !replaced.why.contains('\n'), "{replaced:?}");
        assert_eq!(store.status().replaced, Some(replaced.moved_to.display().to_string()));
        assert_eq!(store.status().alerts, 0);
    }
    save(&store, [raised(100_000)]);
    assert_eq!(store.get(id(&raised(100_000))).unwrap(), Some(raised(100_000)));
    store.close(DEADLINE).unwrap();
    let again = open(&config);
    assert_eq!(again.get(id(&raised(100_000))).unwrap(), Some(raised(100_000)));
    opened.replaced.is_some()
}

#[test]
fn a_truncated_or_garbled_file_is_survived_at_every_place() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let store = open(&config(&whole));
    for n in 0..30 {
        save(&store, (n * 50..n * 50 + 50).map(raised));
    }
    store.close(DEADLINE).unwrap();
    let (mut tried, mut replaced) = (0, 0);
    for file in files(&whole.join("db-0")) {
        let length = file.metadata().unwrap().len();
        for part in 0..12 {
            for garble in [false, true] {
                let damaged = dir.path().join(format!("damaged-{tried}"));
                copy(&whole, &damaged);
                let target = damaged.join(file.strip_prefix(&whole).unwrap());
                let at = length * part / 12;
                if garble {
                    use std::os::unix::fs::FileExt;
                    let file = OpenOptions::new().write(true).open(&target).unwrap();
                    file.write_all_at(&[0x5a; 97], at).unwrap();
                } else {
                    OpenOptions::new().write(true).open(&target).unwrap().set_len(at).unwrap();
                }
                tried += 1;
                replaced += u32::from(opens_whatever(&damaged));
                fs::remove_dir_all(&damaged).unwrap();
            }
        }
    }
    assert!(replaced > 4 && replaced < tried, "{replaced} of {tried} were replaced");
}

#[test]
fn a_store_in_use_and_a_place_that_cannot_be_used_are_told_apart_from_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = open(&config(&path));
    let text = |path: &Path| Store::open(&config(path)).err().unwrap().to_string();
    assert_eq!(
        text(&path),
        format!(
            "the store in {} is in use by another process; stop it, or give this one another directory",
            path.display()
        )
    );
    drop(store);
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    assert_eq!(
        text(&file),
        format!(
            "cannot use {} as the store's directory; give a directory that this user may write to",
            file.display()
        )
    );
    assert!(text(&file.join("below")).contains("below"));
}

// Killed, and out of space: in a process of its own.

const CHILD: &str = "TAPGUARD_TEST_STORE";

fn child(path: &Path, before: &str) -> Child {
    let exe = std::env::current_exe().unwrap();
    Command::new("sh")
        .args([
            "-c",
            &format!("{before} exec \"$0\" --exact store::tests::child_writes --ignored --nocapture"),
        ])
        .arg(exe)
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Numbers that the child says on lines `<what> <number>`.
fn said<'a>(child: &'a mut Child, what: &'a str) -> impl Iterator<Item = u64> + 'a {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(move |line| line.strip_prefix(what)?.trim().parse().ok())
}

#[test]
#[ignore = "the other process of the tests below"]
fn child_writes() {
    let path = PathBuf::from(std::env::var(CHILD).unwrap());
    let store = open(&Config { deliver: true, ..config(&path) });
    let first = store.status().alerts;
    for n in first..first + 100_000 {
        if store.save_alert(raised(n)).and_then(|()| store.flush(DEADLINE)).is_err() {
            println!("\nfailed {n}");
            let status = store.status();
            assert!(status.write_errors > 0 && status.alerts_lost == 0);
            assert!(status.failing.is_some() && status.failing == status.last_error, "{status:?}");
            // What is kept can still be read.
            assert_eq!(store.get(id(&raised(first))).unwrap(), Some(raised(first)));
            // The queue still takes some, then refuses without waiting.
            let refused = (n + 1..n + 200).filter(|&n| store.save_alert(raised(n)).is_err()).count();
            println!("refused {refused}");
            // News of an incident that waits already is still taken.
            store.save_alert(alert(AlertId::new(at(n + 1), n + 1), "updated", at(n + 2))).unwrap();
            assert_eq!(store.status().alerts_lost, refused as u64);
            // sled may find room for a few when it opens anew: this is in the way of the look whether the disk takes any.
            fs::create_dir(path.join("probe")).unwrap();
            let closed = store.close(DEADLINE).unwrap_err();
            assert!(matches!(closed, StoreError::Unsaved { alerts: 65, .. }), "{closed}");
            assert_eq!(store.status().alerts_lost, refused as u64 + 65);
            return;
        }
        if n % 7 == 0 {
            store.save_snapshot(SnapshotName::Model, vec![1; 50_000]).unwrap();
            store.save_devices((0..50).map(device).collect()).unwrap();
        }
        println!("\ndurable {n}");
    }
}

#[test]
fn what_was_durable_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    for kill_after in [1, 3, 40, 120, 7, 300] {
        let mut child = child(dir.path(), "");
        let last = said(&mut child, "durable ").nth(kill_after).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let config = config(dir.path());
        let store = open(&config);
        assert!(store.status().alerts > last);
        for n in 0..=last {
            assert_eq!(store.get(id(&raised(n))).unwrap(), Some(raised(n)), "{n} of {last}");
        }
        let mut waiting = Vec::new();
        while let Some((key, record)) = waiting
            .last()
            .map(|(key, _)| *key)
            .map_or_else(|| pending(&store, None, 1).pop(), |after| pending(&store, Some(after), 1).pop())
        {
            waiting.push((key, record));
        }
        let waiting: Vec<AlertRecord> = waiting.into_iter().map(|(_, record)| record).collect();
        assert!(waiting.starts_with(&(0..=last).map(raised).collect::<Vec<_>>()));
        if let Some(model) = store.snapshot(SnapshotName::Model).unwrap() {
            assert_eq!(model, vec![1; 50_000]);
        }
        assert_eq!(store.status().unreadable, 0);
    }
}

#[test]
fn a_full_disk_is_counted_told_and_survived() {
    let dir = tempfile::tempdir().unwrap();
    // 1 MiB per file at most, and the error instead of the signal.
    let mut child = child(dir.path(), "trap '' XFSZ; ulimit -f 2048;");
    let lines: Vec<String> =
        BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    let number = |what: &str| -> u64 {
        lines.iter().rev().find_map(|line| line.strip_prefix(what)?.trim().parse().ok()).unwrap()
    };
    assert!(child.wait().unwrap().success(), "{lines:?}");
    let (last, failed, refused) = (number("durable "), number("failed "), number("refused "));
    assert_eq!(failed, last + 1);
    assert!(refused > 100, "{refused} refused");
    let store = open(&config(dir.path()));
    for n in 0..=last {
        assert_eq!(store.get(id(&raised(n))).unwrap(), Some(raised(n)), "{n} of {last}");
    }
}

#[test]
fn an_alert_is_told_to_who_listens_once_it_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&config(dir.path()));
    save(&store, [raised(1)]);
    let feed = store.feed();
    let listener = feed.listen();
    for n in 2..5 {
        store.save_alert(raised(n)).unwrap();
        listener.wait(DEADLINE);
        assert_eq!(store.get(id(&raised(n))).unwrap(), Some(raised(n)));
        assert_eq!(listener.poll(), Some(News::Alert(Arc::new(raised(n)))));
    }
    assert_eq!(listener.poll(), None);
}
