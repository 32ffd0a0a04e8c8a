//! What is deleted, and when: alerts by age and for room, each with what was said of it; outbox entries beyond its
//! capacity, devices beyond theirs. Works on the [`Ledger`]; the writer decides when.

use std::ops::{Bound, ControlFlow};

use super::Config;
use super::database::{Direction, Tree};
use super::error::Fault;
use super::inbox::MAX_DEVICES;
use super::ledger::Ledger;
use super::record::{Head, alert_key, decode_device};
use crate::alert::AlertId;
use crate::time::{Span, Timestamp};

/// Records deleted between two looks at the limit.
const STEP: usize = 256;
/// Age passes of one call: the next call goes on where this one stopped.
const AGE_STEPS: usize = 16;

/// The most bytes of keys and values that a quota has room for. sled's file is 2.0 to 2.2 times its content when it is
/// fresh, and is rewritten at 2.8 times: with 2.6 as the rule, the file and its fresh copy fit in the quota together.
pub(super) fn content_limit(quota: u64) -> u64 {
    quota / 2 / 26 * 10
}

/// The largest snapshot: a third of the content, so that a baseline, a model and the devices fit beside each other.
pub(super) fn snapshot_limit(quota: u64) -> u64 {
    content_limit(quota) / 3
}

/// Whether the file takes more than its half of the quota, and a rewrite would make it smaller.
pub(super) fn wants_rewrite(bytes: u64, content: u64, quota: u64) -> bool {
    bytes > quota / 2 && bytes / 28 * 10 > content
}

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deleted {
    /// Alerts, for age or room.
    pub(super) alerts: u64,
    /// Outbox entries given up.
    pub(super) outbox: u64,
}

/// Deletes alerts last seen longer ago than the retention, counted from the newest alert or from `now`, whichever is
/// earlier. Bounded; says how many.
pub(super) fn expire_old(ledger: &mut Ledger, retention: Span, now: Timestamp) -> Result<u64, Fault> {
    let cutoff = ledger.newest.min(now) - retention;
    // An alert first seen after the cutoff was last seen after it, too.
    let end = alert_key(AlertId::new(cutoff, 0));
    let mut deleted = 0;
    for _ in 0..AGE_STEPS {
        let keys = ledger.lowest(Tree::Alerts, STEP, |key, value| {
            if key >= end.as_bytes() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(Head::read(value).is_none_or(|head| head.last_seen < cutoff))
        })?;
        for key in &keys {
            deleted += u64::from(ledger.remove_alert(key)?);
        }
        if keys.len() < STEP {
            break;
        }
    }
    Ok(deleted)
}

/// Brings everything under its limit, the oldest first: the outbox to its capacity, devices to theirs, and, when the
/// content is over what the quota has room for, alerts (and, when there are none left, outbox entries) down to nine
/// tenths of that.
pub(super) fn make_room(ledger: &mut Ledger, config: &Config) -> Result<Deleted, Fault> {
    let mut deleted = Deleted::default();
    trim_devices(ledger)?;
    deleted.outbox +=
        delete_until(ledger, Tree::Outbox, |ledger| ledger.records(Tree::Outbox) <= config.outbox_capacity)?;
    let limit = content_limit(config.quota);
    if ledger.content <= limit {
        return Ok(deleted);
    }
    let enough = |ledger: &Ledger| ledger.content <= limit / 10 * 9;
    deleted.alerts += delete_until(ledger, Tree::Alerts, enough)?;
    deleted.outbox += delete_until(ledger, Tree::Outbox, enough)?;
    Ok(deleted)
}

/// Deletes from the low end until it is enough, or the tree is empty, whatever the counts say.
fn delete_until(ledger: &mut Ledger, tree: Tree, enough: impl Fn(&Ledger) -> bool) -> Result<u64, Fault> {
    let mut deleted = 0;
    while !enough(ledger) {
        let keys = ledger.lowest(tree, STEP, |_, _| ControlFlow::Continue(true))?;
        if keys.is_empty() {
            break;
        }
        for key in keys {
            if enough(ledger) {
                break;
            }
            let removed = match tree {
                Tree::Alerts => ledger.remove_alert(&key)?,
                _ => ledger.remove(tree, &key)?,
            };
            deleted += u64::from(removed);
        }
    }
    Ok(deleted)
}

/// Deletes the sixteenth of the devices that was not seen for longest, once there are more than [`MAX_DEVICES`].
fn trim_devices(ledger: &mut Ledger) -> Result<(), Fault> {
    if usize::try_from(ledger.records(Tree::Devices)).is_ok_and(|n| n <= MAX_DEVICES) {
        return Ok(());
    }
    let mut ages = Vec::new();
    ledger.database.for_each(
        Tree::Devices,
        (Bound::Unbounded, Bound::Unbounded),
        Direction::Rising,
        |key, value| {
            ages.push((decode_device(value).map(|device| device.last_seen), key.to_vec()));
            ControlFlow::Continue(())
        },
    )?;
    ages.sort_unstable();
    for (_, key) in ages.into_iter().take(MAX_DEVICES / 16) {
        ledger.remove(Tree::Devices, &key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::KeptAlert;
    use crate::store::record::tests::{alert, device};

    const DAY: u64 = 86_400;
    const RETENTION: Span = Span::from_secs(30 * DAY);

    fn ledger(path: &std::path::Path) -> Ledger {
        Ledger::open(path, 1 << 20).unwrap()
    }

    fn put(ledger: &mut Ledger, first_seen: Timestamp, last_seen: Timestamp) {
        let kept = KeptAlert::new(&alert(AlertId::new(first_seen, 1), "raised", last_seen)).unwrap();
        ledger.put(Tree::Alerts, alert_key(kept.id).as_bytes(), &kept.value).unwrap();
        ledger.newest = ledger.newest.max(last_seen);
    }

    fn day(n: u64) -> Timestamp {
        Timestamp::from_parts(1_420_070_400, 0) + Span::from_secs(n * DAY)
    }

    #[test]
    fn age_is_counted_from_the_newest_alert() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = ledger(dir.path());
        for n in 0..=50 {
            put(&mut ledger, day(n), day(n));
        }
        // Begun long ago, but seen lately: stays.
        put(&mut ledger, day(0) - Span::from_secs(DAY), day(45));
        assert_eq!(expire_old(&mut ledger, RETENTION, day(4_000)).unwrap(), 20);
        assert_eq!(expire_old(&mut ledger, RETENTION, day(4_000)).unwrap(), 0);
        assert_eq!(ledger.records(Tree::Alerts), 32);
    }

    #[test]
    fn a_clock_that_is_wrong_deletes_nothing_early() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = ledger(dir.path());
        put(&mut ledger, day(0), day(0));
        put(&mut ledger, day(9), day(9));
        // The wall clock has not been set since boot.
        assert_eq!(expire_old(&mut ledger, RETENTION, Timestamp::EPOCH).unwrap(), 0);
        // One alert was stamped far ahead: age is counted from the wall clock then.
        put(&mut ledger, day(60_000), day(60_000));
        assert_eq!(expire_old(&mut ledger, RETENTION, day(20)).unwrap(), 0);
        assert_eq!(expire_old(&mut ledger, RETENTION, day(35)).unwrap(), 1);
    }

    #[test]
    fn more_old_alerts_than_one_pass_takes_go_in_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = ledger(dir.path());
        let bound = u64::try_from(STEP * AGE_STEPS).unwrap();
        for n in 0..bound + 7 {
            ledger.put(Tree::Alerts, format!("{n:024x}").as_bytes(), b"not an alert").unwrap();
        }
        put(&mut ledger, day(60), day(60));
        assert_eq!(expire_old(&mut ledger, RETENTION, day(60)).unwrap(), bound);
        assert_eq!(expire_old(&mut ledger, RETENTION, day(60)).unwrap(), 7);
    }

    #[test]
    fn without_alerts_the_outbox_makes_room() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = ledger(dir.path());
        let config = Config { quota: Config::MIN_QUOTA, ..Config::default() };
        let count = 5_000_u64;
        for n in 0..count {
            ledger.put(Tree::Outbox, &n.to_be_bytes(), &[7; 3_000]).unwrap();
        }
        ledger.put(Tree::Alerts, b"a", &[7; 1_000]).unwrap();
        let deleted = make_room(&mut ledger, &config).unwrap();
        let limit = content_limit(config.quota);
        assert_eq!(deleted.alerts, 1);
        assert_eq!(ledger.records(Tree::Outbox), count - deleted.outbox);
        assert!(ledger.content <= limit / 10 * 9 && ledger.content > limit / 10 * 9 - 3_100);
        assert!(ledger.database.get(Tree::Outbox, &(count - 1).to_be_bytes()).unwrap().is_some());
        assert_eq!(make_room(&mut ledger, &config).unwrap(), Deleted::default());
    }

    #[test]
    fn a_count_above_what_is_there_does_not_hang_the_writer() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = ledger(dir.path());
        for n in 0..30_u64 {
            ledger.put(Tree::Outbox, &n.to_be_bytes(), b"waits").unwrap();
            ledger.put(Tree::Alerts, &n.to_be_bytes(), b"kept").unwrap();
        }
        // Behind the ledger's back.
        for n in 0..25_u64 {
            ledger.database.remove(Tree::Outbox, &n.to_be_bytes()).unwrap();
        }
        ledger.content = u64::MAX / 2;
        let config = Config { outbox_capacity: 10, ..Config::default() };
        assert_eq!(make_room(&mut ledger, &config).unwrap(), Deleted { alerts: 30, outbox: 5 });
    }

    #[test]
    fn a_full_baseline_fits_in_the_smallest_quota() {
        let full = crate::baseline::Config::default();
        // A window: key, time and features; a device: key, time and limit. All at their longest.
        let bytes = full.window_capacity * (18 + 10 + 4 * crate::feature::COUNT)
            + full.device_capacity * (18 + 1 + 10 + 18 + 10)
            + 1_024;
        let limit = snapshot_limit(Config::MIN_QUOTA);
        assert!(u64::try_from(bytes).unwrap() <= limit, "{bytes} of {limit}");
        assert!(3 * limit <= content_limit(Config::MIN_QUOTA));
    }

    #[test]
    fn devices_not_seen_for_longest_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = ledger(dir.path());
        let count = u64::try_from(MAX_DEVICES).unwrap() + 1;
        for n in 0..count {
            let mut device = device(1);
            device.last_seen = Timestamp::from_nanos(1_000_000 - i64::try_from(n).unwrap());
            let value = crate::store::record::encode_device(&device).unwrap();
            ledger.put(Tree::Devices, &n.to_be_bytes(), &value).unwrap();
        }
        make_room(&mut ledger, &Config::default()).unwrap();
        let trimmed = u64::try_from(MAX_DEVICES / 16).unwrap();
        assert_eq!(ledger.records(Tree::Devices), count - trimmed);
        let kept = |n: u64| ledger.database.get(Tree::Devices, &n.to_be_bytes()).unwrap().is_some();
        assert!(kept(count - trimmed - 1) && !kept(count - trimmed));
    }

    #[test]
    fn a_file_and_its_fresh_copy_fit_in_the_quota() {
        for quota in [Config::MIN_QUOTA, 256 << 20, 4 << 30] {
            let limit = content_limit(quota);
            // As large as a file may be without being rewritten, and the copy that is made then.
            let largest = (quota / 2).max(limit / 10 * 28);
            assert!(largest + limit / 10 * 22 <= quota);
            assert!(wants_rewrite(largest + quota / 50, limit, quota));
            assert!(!wants_rewrite(quota / 2, 0, quota) && !wants_rewrite(limit / 10 * 22, limit, quota));
        }
    }
}
