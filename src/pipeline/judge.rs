//! [`Judge`]: observations in, alerts and snapshots out. It composes baseline, model and alert; what a frame is, it
//! does not know.

use std::collections::VecDeque;

use super::{Coverage, Observation, Performance, Sighting, WindowSeen};
use crate::alert::{self, Alert, AlertId, Event, Expected, Incidents, Provenance, Rule, Severity, Tally};
use crate::baseline::{self, Baseline, Familiarity, Phase};
use crate::behaviour::{Evidence, Kind, Reason};
use crate::feature::{SCHEMA, Slot};
use crate::flow::DeviceKey;
use crate::model::{self, Model, NotTrained, Verdict};
use crate::time::{Span, Timestamp};

/// Settings of the judge's parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JudgeConfig {
    /// Learning.
    pub baseline: baseline::Config,
    /// Models.
    pub model: model::Config,
    /// Incidents.
    pub alert: alert::Config,
}

/// What the judge wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdicts {
    /// Tell people.
    Alert(Box<Alert>),
    /// Keep the baseline's snapshot.
    Baseline(Vec<u8>),
    /// Keep the model's snapshot; none when there is no model any more.
    Model(Option<Vec<u8>>),
}

/// Why no model judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoModel {
    /// Nothing was learned yet.
    #[error("no baseline yet")]
    NoBaseline,
    /// The baseline is being learned.
    #[error("the baseline is being learned")]
    Learning,
    /// What was learned is too little.
    #[error(transparent)]
    NotTrained(#[from] NotTrained),
}

/// The second half of the data plane.
#[derive(Debug)]
pub struct Judge {
    config: JudgeConfig,
    baseline: Baseline,
    model: Result<Model, NoModel>,
    /// Bytes of the model's snapshot.
    model_size: usize,
    /// Models trained since start.
    trainings: u64,
    performance: Performance,
    incidents: Incidents,
    tally: Tally,
    /// New devices whose names are waited for; at most [`Judge::ARRIVALS`].
    arrivals: Vec<Sighting>,
    /// New devices that were only seen while somebody swept the network, and may have answered him; at most
    /// [`Judge::ARRIVALS`].
    swept: Vec<Sighting>,
    windows: u64,
    unusual: u64,
    /// Whether findings of the network become incidents.
    detection: bool,
    suppressed: u64,
    now: Option<Timestamp>,
    saved: Timestamp,
    /// The baseline knows more than its snapshot.
    dirty: bool,
    /// Drained by the caller after each call.
    verdicts: VecDeque<Verdicts>,
}

impl Judge {
    /// Time that a new device has to give itself a name and an address before it is told of.
    const PATIENCE: Span = Span::from_secs(5);
    /// New devices waited for at once; a further one is told of at once.
    const ARRIVALS: usize = 64;
    /// Capture time between two snapshots while learning: what a power cut may cost.
    const SNAPSHOT_INTERVAL: Span = Span::from_secs(600);
    /// Capture time that new devices wait to be in a snapshot.
    const NEWS_INTERVAL: Span = Span::from_secs(60);

    /// No baseline, no incident.
    #[must_use]
    pub fn new(config: JudgeConfig) -> Self {
        Self {
            baseline: Baseline::new(config.baseline.clone()),
            model: Err(NoModel::NoBaseline),
            model_size: 0,
            trainings: 0,
            performance: Performance::default(),
            incidents: Incidents::new(config.alert.clone()),
            tally: Tally::default(),
            arrivals: Vec::new(),
            swept: Vec::new(),
            dirty: false,
            windows: 0,
            unusual: 0,
            detection: true,
            suppressed: 0,
            now: None,
            saved: Timestamp::EPOCH,
            verdicts: VecDeque::new(),
            config,
        }
    }

    /// Goes on from before a restart.
    pub fn restore(&mut self, baseline: Option<Baseline>, model: Option<Model>, open: Vec<Alert>) {
        if let Some(baseline) = baseline {
            self.baseline = baseline;
        }
        match model {
            Some(model) => {
                self.model_size = model.snapshot().len();
                self.model = Ok(model);
            }
            None if self.baseline.phase() == Phase::Armed => self.train(),
            None if self.baseline.phase() == Phase::Learning => self.model = Err(NoModel::Learning),
            None => {}
        }
        self.incidents.restore(open);
    }

    /// Takes up what the owner said before a restart: which of the open incidents he has seen, and what he expects.
    pub fn restore_marks(&mut self, seen: &[(AlertId, Severity)], expected: Vec<Rule>) {
        seen.iter().for_each(|&(id, severity)| self.incidents.acknowledge(id, Some(severity)));
        self.incidents.restore_expected(expected);
    }

    /// Whether a model can be trained from what was learned, and the name that it gets.
    ///
    /// # Errors
    /// Why not.
    pub fn can_train(&self) -> Result<String, NoModel> {
        match self.baseline.phase() {
            Phase::None => Err(NoModel::NoBaseline),
            Phase::Learning => Err(NoModel::Learning),
            Phase::Armed => Ok(Model::check(&self.baseline)?),
        }
    }

    /// Trains the model anew from the windows that the baseline holds. What was counted of the one before is forgotten.
    pub fn retrain(&mut self, now: Timestamp) {
        self.now = Some(now);
        self.train();
    }

    /// Notes that the owner has seen an incident while it was as severe as this, or that he has not.
    pub fn acknowledge(&mut self, id: AlertId, seen: Option<Severity>) {
        self.incidents.acknowledge(id, seen);
    }

    /// Expects the like of an alert from now on, and clears what is open of it.
    pub fn expect(&mut self, alert: &Alert) {
        let now = self.now.unwrap_or(alert.timestamp);
        self.incidents.expect(alert, now);
        self.drain();
    }

    /// Takes back what was said of an alert: the next finding like it is told.
    pub fn forget_expected(&mut self, alert: AlertId) {
        self.incidents.forget_expected(alert);
    }

    /// Forgets the baseline and learns anew for a time; the configured one when none is given.
    pub fn start_baseline(&mut self, now: Timestamp, duration: Option<Span>) {
        self.baseline.start(now, duration);
        self.model = Err(NoModel::Learning);
        self.performance = Performance::default();
        self.arrivals.clear();
        self.swept.clear();
        self.verdicts.push_back(Verdicts::Model(None));
        self.now = Some(now);
        self.save_baseline();
    }

    /// Switches detection. While it is off, what is found of the network is counted and never told of, later neither;
    /// learning, judging and the clearing of what is open go on. On at first.
    pub const fn set_detection(&mut self, on: bool) {
        self.detection = on;
    }

    /// Judges with other thresholds from now on. How long to learn holds from the next baseline on, and how to train
    /// from the next training on.
    pub fn retune(&mut self, config: model::Config, learning: Span) {
        if let Ok(model) = &mut self.model {
            model.retune(&config);
        }
        self.config.model = config;
        self.baseline.set_duration(learning);
    }

    /// Takes one observation in.
    pub fn handle(&mut self, observation: Observation) {
        match observation {
            Observation::Device(sighting) => self.handle_device(sighting),
            Observation::Window(seen) => self.handle_window(&seen),
            Observation::Evidence(evidence) => self.find(evidence, Provenance::default()),
            Observation::Time(now) => self.handle_time(now),
            Observation::Unwatched(now) => self.handle_gap(now),
            Observation::Step(now) => {
                self.handle_gap(now);
                self.incidents.handle_step(now);
                self.now = Some(now);
                self.saved = now;
                for arrival in self.arrivals.iter_mut().chain(&mut self.swept) {
                    arrival.time = now;
                }
            }
        }
        self.drain();
    }

    /// Something about the tap itself, which is told with detection off too.
    pub fn handle_tap(&mut self, evidence: Evidence) {
        self.incidents.handle(evidence, Provenance::default());
        self.drain();
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<Verdicts> {
        self.verdicts.pop_front()
    }

    /// The capture ends: who waits to be told of is told of, and what was learned is kept.
    pub fn finish(&mut self) {
        for sighting in std::mem::take(&mut self.arrivals) {
            if !self.incidents.is_swept(&sighting.party, sighting.time) {
                self.announce(sighting);
            }
        }
        self.save_baseline();
        self.drain();
    }

    /// The baseline.
    #[must_use]
    pub const fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// The model, or why there is none.
    ///
    /// # Errors
    /// Why no model judges.
    pub const fn model(&self) -> Result<&Model, &NoModel> {
        self.model.as_ref()
    }

    /// Bytes that the model's snapshot takes; 0 where there is no model.
    #[must_use]
    pub const fn model_size(&self) -> usize {
        self.model_size
    }

    /// Alerts told since start.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Models trained since start.
    #[must_use]
    pub const fn trainings(&self) -> u64 {
        self.trainings
    }

    /// What the model in use did.
    #[must_use]
    pub const fn performance(&self) -> &Performance {
        &self.performance
    }

    /// Incidents open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.incidents.open()
    }

    /// Open incidents that the owner has not seen.
    pub fn unacknowledged(&self) -> impl Iterator<Item = AlertId> {
        self.incidents.unacknowledged()
    }

    /// What the owner expects.
    #[must_use]
    pub const fn expected(&self) -> &Expected {
        self.incidents.expected()
    }

    /// The highest severity of what is open now and not acknowledged.
    #[must_use]
    pub fn threat(&self) -> Option<Severity> {
        self.incidents.threat()
    }

    /// Windows judged by a model since start.
    #[must_use]
    pub const fn windows(&self) -> u64 {
        self.windows
    }

    /// Windows that were unusual since start.
    #[must_use]
    pub const fn unusual(&self) -> u64 {
        self.unusual
    }

    /// Whether findings of the network become incidents.
    #[must_use]
    pub const fn detection(&self) -> bool {
        self.detection
    }

    /// Findings that were not told of because detection was off, since start.
    #[must_use]
    pub const fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// Time of the latest observation that carries one; none before.
    #[must_use]
    pub const fn now(&self) -> Option<Timestamp> {
        self.now
    }

    fn find(&mut self, evidence: Evidence, provenance: Provenance) {
        if self.detection {
            self.incidents.handle(evidence, provenance);
        } else {
            self.suppressed = self.suppressed.saturating_add(1);
        }
    }

    fn handle_device(&mut self, sighting: Sighting) {
        let waiting = self.arrivals.iter_mut().chain(&mut self.swept).find(|a| a.key == sighting.key);
        if let Some(waiting) = waiting {
            waiting.party = sighting.party;
        } else if self.is_new(sighting.key, sighting.time) {
            self.arrive(sighting);
        }
    }

    fn is_new(&mut self, key: DeviceKey, time: Timestamp) -> bool {
        let new = self.baseline.handle_device(key, time) == Familiarity::New;
        self.dirty |= new;
        new
    }

    fn arrive(&mut self, sighting: Sighting) {
        if self.arrivals.len() < Self::ARRIVALS {
            self.arrivals.push(sighting);
        } else {
            self.announce(sighting);
        }
    }

    fn handle_window(&mut self, seen: &WindowSeen) {
        // What is not whole looks like a quieter device: it teaches nothing, and is not judged.
        let whole = seen.coverage == Coverage::Whole && self.baseline.is_whole(&seen.window);
        if whole {
            self.baseline.handle_window(seen.key, &seen.window);
        }
        if self.baseline.phase() != Phase::Armed {
            return;
        }
        self.look_for_newcomer(seen);
        let Ok(model) = self.model.as_ref() else { return };
        if !whole {
            return;
        }
        let verdict = model.judge(seen.key, &seen.window.vector);
        // A device that the baseline does not know was told of as new; what is usual for it nobody knows yet.
        if !verdict.known {
            return;
        }
        self.windows += 1;
        self.performance.handle_verdict(&verdict);
        if !verdict.unusual {
            return;
        }
        self.unusual += 1;
        if self.incidents.explains(&seen.party, seen.window.start) {
            return;
        }
        let evidence = statistical(model, seen, &verdict);
        let provenance = Provenance { model: Some(model.id()), baseline: self.baseline_name() };
        self.find(evidence, provenance);
    }

    /// A device that speaks is asked for here too: its first sighting may have been before a restart, before learning,
    /// or lost. One that was only seen during a sweep is told of once it does something of its own.
    fn look_for_newcomer(&mut self, seen: &WindowSeen) {
        let vector = &seen.window.vector;
        let happens = |slot| vector.get(slot).is_some_and(|value| value > 0.0);
        if !happens(Slot::SentPacketRate) {
            return;
        }
        if self.is_new(seen.key, seen.window.start) {
            self.arrive(Sighting {
                key: seen.key,
                party: seen.party.clone(),
                time: seen.window.end,
                packets: seen.window.packets,
                bytes: seen.window.bytes,
            });
        }
        let own = [Slot::OpenedFlowRate, Slot::ArpRequestRate, Slot::DnsQueryRate, Slot::GroupShare];
        let acts = own.into_iter().any(happens);
        if !acts || self.incidents.is_swept(&seen.party, seen.window.start) {
            return;
        }
        let later = |a: &Sighting| a.key == seen.key && seen.window.start >= a.time;
        if let Some(at) = self.swept.iter().position(later) {
            let sighting = self.swept.swap_remove(at);
            self.announce(Sighting { party: seen.party.clone(), ..sighting });
        }
    }

    /// Nobody saw what passed up to now.
    fn handle_gap(&mut self, now: Timestamp) {
        self.baseline.handle_step(now);
        self.performance.handle_gap(now);
    }

    fn handle_time(&mut self, now: Timestamp) {
        self.now = Some(now);
        if self.model.is_ok() {
            self.performance.handle_time(now);
        }
        if self.baseline.handle_time(now).is_some() {
            self.train();
            self.save_baseline();
        }
        let interval = match self.baseline.phase() {
            Phase::Learning => Self::SNAPSHOT_INTERVAL,
            Phase::None | Phase::Armed => Self::NEWS_INTERVAL,
        };
        if (self.dirty || self.baseline.phase() == Phase::Learning) && now.since(self.saved) >= interval {
            self.save_baseline();
        }
        let due = |a: &Sighting| now.since(a.time) >= Self::PATIENCE;
        let (told, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.arrivals).into_iter().partition(due);
        self.arrivals = waiting;
        for sighting in told {
            // A silent device that answers a sweep is no newcomer: it was only never asked.
            let swept = self.incidents.is_swept(&sighting.party, sighting.time);
            if swept && self.swept.len() < Self::ARRIVALS {
                self.swept.push(sighting);
            } else {
                self.announce(sighting);
            }
        }
        self.incidents.handle_time(now);
    }

    /// Tells of a new device. Its score takes all windows learned for windows without a newcomer (rule of succession:
    /// then the chance of one is 1 in n + 2), so it is an upper bound where devices came late in learning.
    fn announce(&mut self, sighting: Sighting) {
        let learned = self.baseline.learned().as_secs_f64() / 3_600.0;
        let evidence = Evidence {
            kind: Kind::NewDevice,
            time: self.now.map_or(sighting.time, |now| now.max(sighting.time)),
            since: sighting.time,
            subject: sighting.party,
            peers: Vec::new(),
            peer_count: 0,
            reasons: vec![
                Reason::counted("learned_without_it", learned, "hours", None, 1.0),
                Reason::counted("known_devices", count(self.baseline.devices()), "devices", None, 0.0),
            ],
            packets: sighting.packets,
            bytes: sighting.bytes,
            score: (0.2 * (count(self.baseline.windows()) + 2.0).log10()).min(1.0),
            confidence: 0.9,
        };
        self.find(evidence, Provenance { model: None, baseline: self.baseline_name() });
    }

    fn train(&mut self) {
        let trained_at = self.now.unwrap_or_default();
        self.model = Model::train(&self.baseline, &self.config.model, trained_at).map_err(NoModel::from);
        let snapshot = self.model.as_ref().ok().map(Model::snapshot);
        self.model_size = snapshot.as_ref().map_or(0, Vec::len);
        self.trainings += u64::from(self.model.is_ok());
        self.performance = Performance::default();
        self.verdicts.push_back(Verdicts::Model(snapshot));
    }

    fn baseline_name(&self) -> Option<String> {
        self.baseline.id().map(|id| id.to_string())
    }

    fn save_baseline(&mut self) {
        self.saved = self.now.unwrap_or_default();
        self.dirty = false;
        self.verdicts.push_back(Verdicts::Baseline(self.baseline.snapshot()));
    }

    fn drain(&mut self) {
        while let Some(alert) = self.incidents.poll() {
            self.tally.count(&alert);
            if alert.event == Event::Raised && alert.model.is_some() {
                self.performance.handle_alert();
            }
            self.verdicts.push_back(Verdicts::Alert(Box::new(alert)));
        }
    }
}

fn statistical(model: &Model, seen: &WindowSeen, verdict: &Verdict) -> Evidence {
    let reasons = model.explain(seen.key, &seen.window.vector).into_iter().filter_map(|c| {
        let feature = SCHEMA.get(c.slot)?;
        Some(Reason {
            feature: feature.name.into(),
            value: c.value.into(),
            unit: feature.unit.into(),
            median: Some(c.median.into()),
            p99: Some(c.p99.into()),
            contribution: c.share,
        })
    });
    Evidence {
        kind: Kind::Behaviour,
        time: seen.window.end,
        since: seen.window.start,
        subject: seen.party.clone(),
        peers: Vec::new(),
        peer_count: 0,
        reasons: reasons.take(Evidence::MAX_REASONS).collect(),
        packets: seen.window.packets,
        bytes: seen.window.bytes,
        score: verdict.score,
        confidence: confidence(model),
    }
}

/// How far the calibration itself can be trusted: the rule of succession on the held-out windows that it rests on, so
/// 20 of them give 0.95 and 1,000 give 0.999.
fn confidence(model: &Model) -> f64 {
    let held_out = u32::try_from(model.held_out()).unwrap_or(u32::MAX);
    (f64::from(held_out) + 1.0) / (f64::from(held_out) + 2.0)
}

#[expect(clippy::cast_precision_loss, reason = "a count of devices or windows is far below 2^53")]
fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Party;
    use crate::feature::{COUNT, DeviceWindow, FeatureVector};
    use crate::flow::DeviceId;
    use crate::packet::Mac;

    #[test]
    fn time_without_capture_teaches_nothing() {
        let at = |seconds: i64| Timestamp::from_parts(1_700_000_000 + seconds, 0);
        let mut judge = Judge::new(JudgeConfig::default());
        judge.start_baseline(at(0), None);
        judge.handle(Observation::Time(at(10)));
        for second in 11..=600 {
            judge.handle(Observation::Unwatched(at(second)));
            judge.handle(Observation::Time(at(second)));
        }
        judge.handle(Observation::Time(at(605)));
        assert_eq!((judge.baseline().learned(), judge.now()), (Span::from_secs(15), Some(at(605))));
    }

    #[test]
    fn time_without_capture_is_not_counted_as_watched_by_the_model() {
        let at = |seconds: u32| Timestamp::from_parts(1_700_000_040 + i64::from(seconds), 0);
        let mut judge = Judge::new(JudgeConfig::default());
        judge.start_baseline(at(0), Some(Span::from_secs(3_600)));
        for minute in 0..60_u16 {
            for n in 0..4_u8 {
                let mut values = [1.0; COUNT];
                values[0] = f32::from(minute % 7 + u16::from(n));
                let start = at(60 * u32::from(minute));
                let window = DeviceWindow {
                    device: DeviceId { slot: u32::from(n), generation: 0 },
                    start,
                    end: start + Span::from_secs(60),
                    vector: FeatureVector::new(values),
                    packets: 9,
                    bytes: 900,
                };
                let key = DeviceKey::Mac(Mac([2, 0, 0, 0, 0, n]));
                judge.handle(Observation::Window(WindowSeen {
                    key,
                    party: Party::default(),
                    window,
                    coverage: Coverage::Whole,
                }));
            }
            judge.handle(Observation::Time(at(60 * (u32::from(minute) + 1))));
        }
        assert!(judge.model().is_ok());
        judge.handle(Observation::Time(at(3_601)));
        judge.handle(Observation::Time(at(3_611)));
        for second in 3_612..=3_700 {
            judge.handle(Observation::Unwatched(at(second)));
            judge.handle(Observation::Time(at(second)));
        }
        judge.handle(Observation::Time(at(3_705)));
        judge.handle(Observation::Step(at(4_000)));
        judge.handle(Observation::Time(at(4_002)));
        assert_eq!(judge.performance().watched, Span::from_secs(10 + 5 + 2));
    }

    #[test]
    fn with_detection_off_findings_are_counted_and_the_tap_itself_is_told_of() {
        let mut judge = Judge::new(JudgeConfig::default());
        let found = |kind, ip: u8| Evidence {
            kind,
            time: Timestamp::from_parts(1_700_000_000, 0),
            since: Timestamp::from_parts(1_700_000_000, 0),
            subject: Party { ips: vec![[192, 0, 2, ip].into()], ..Party::default() },
            peers: Vec::new(),
            peer_count: 0,
            reasons: vec![Reason::counted("ports", 20.0, "ports", None, 1.0)],
            packets: 20,
            bytes: 1_200,
            score: 0.9,
            confidence: 0.9,
        };
        judge.set_detection(false);
        judge.handle(Observation::Evidence(found(Kind::PortScan, 1)));
        assert_eq!((judge.suppressed(), judge.open(), judge.poll()), (1, 0, None));
        judge.handle_tap(found(Kind::TapStore, 2));
        assert_eq!((judge.suppressed(), judge.open()), (1, 1));
        judge.set_detection(true);
        judge.handle(Observation::Evidence(found(Kind::PortScan, 1)));
        assert_eq!((judge.suppressed(), judge.open()), (1, 2));
    }

    #[test]
    fn a_model_is_trained_where_there_is_something_to_train_from() {
        let now = Timestamp::from_parts(1_700_000_000, 0);
        let mut judge = Judge::new(JudgeConfig::default());
        assert_eq!(judge.can_train(), Err(NoModel::NoBaseline));
        judge.start_baseline(now, Some(Span::from_secs(60)));
        assert_eq!(judge.can_train(), Err(NoModel::Learning));
        judge.handle(Observation::Time(now + Span::from_secs(60)));
        let told = judge.can_train().unwrap_err().to_string();
        assert_eq!(told, "0 of the 64 device windows that it needs; learn longer");
        assert_eq!((judge.trainings(), judge.performance()), (0, &Performance::default()));
    }

    #[test]
    fn what_the_owner_said_holds_after_a_restart() {
        let time = Timestamp::from_parts(1_700_000_000, 0);
        let found = |kind, score| Evidence {
            kind,
            time,
            since: time,
            subject: Party { ips: vec![[192, 0, 2, 1].into()], ..Party::default() },
            peers: Vec::new(),
            peer_count: 0,
            reasons: Vec::new(),
            packets: 20,
            bytes: 1_200,
            score,
            confidence: 0.9,
        };
        let mut before = Judge::new(JudgeConfig::default());
        for kind in [Kind::PortScan, Kind::HostSweep] {
            before.handle(Observation::Evidence(found(kind, 0.8)));
        }
        let told = std::iter::from_fn(|| before.poll()).filter_map(|verdict| match verdict {
            Verdicts::Alert(alert) => Some(*alert),
            _ => None,
        });
        let [scan, sweep] = told.collect::<Vec<_>>().try_into().unwrap();
        before.expect(&scan);
        assert!(matches!(before.poll(), Some(Verdicts::Alert(alert)) if alert.event == Event::Cleared));

        let mut after = Judge::new(JudgeConfig::default());
        after.restore(None, None, vec![sweep.clone()]);
        after.restore_marks(&[(sweep.id, sweep.severity)], before.expected().rules().to_vec());
        assert_eq!((after.open(), after.unacknowledged().count(), after.threat()), (1, 0, None));
        after.handle(Observation::Evidence(found(Kind::PortScan, 0.8)));
        assert_eq!((after.expected().matched(), after.open(), after.poll()), (1, 1, None));
        after.handle(Observation::Evidence(found(Kind::PortScan, 1.0)));
        assert_eq!((after.threat(), after.open()), (Some(Severity::High), 2));
    }
}
