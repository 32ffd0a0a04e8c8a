//! [`Export`]: all kept alerts as a file, page by page, so that it costs the memory of one page.
//!
//! Comma-separated values follow RFC 4180, with a header row. A cell that a spreadsheet would take for a formula gets
//! a leading apostrophe, because names come from devices that nobody trusts (CWE-1236). One export runs at a time: it
//! occupies a worker for as long as its client takes. Who may have one is `router`'s business.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::control::wire::{AlertRecord, PeerRecord, ReasonRecord};
use crate::control::{AlertArchive, AlertPage, AlertQuery, ArchiveError, FeedbackRecord};

/// How the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON object per line, as `/api/alerts/{id}` answers it.
    Lines,
    /// Comma-separated values; lists are one cell.
    Csv,
}

impl Format {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Lines => "application/jsonl",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// Makes a browser save the file under a name.
    pub(super) const fn disposition(self) -> &'static str {
        match self {
            Self::Lines => "attachment; filename=\"tapguard-alerts.jsonl\"",
            Self::Csv => "attachment; filename=\"tapguard-alerts.csv\"",
        }
    }
}

/// The columns of the comma-separated file, in order. Further ones are only ever added at the end.
pub(super) const COLUMNS: [&str; 29] = [
    "id",
    "event",
    "timestamp",
    "first_seen",
    "last_seen",
    "kind",
    "severity",
    "score",
    "confidence",
    "count",
    "packets",
    "bytes",
    "title",
    "description",
    "subject_mac",
    "subject_ips",
    "subject_name",
    "subject_vendor",
    "peers",
    "technique",
    "reasons",
    "tap",
    "model",
    "baseline",
    "acknowledged",
    "acknowledged_note",
    "feedback",
    "feedback_time",
    "feedback_note",
];

/// Why an export breaks off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The archive failed on a later page.
    #[error("the alerts could not be read to their end")]
    Archive(#[from] ArchiveError),
    /// A record does not say where the next page begins, or has no written form.
    #[error("the alert record {0:?} cannot be exported")]
    Record(String),
    /// The server ends.
    #[error("the daemon is stopping")]
    Stopping,
}

/// The one place for an export.
#[derive(Debug)]
pub(super) struct Exports {
    taken: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Exports {
    /// `stop` breaks off an export that is under way.
    pub(super) fn new(stop: Arc<AtomicBool>) -> Self {
        Self { taken: Arc::default(), stop }
    }

    /// The place, until it is dropped; none while another has it.
    pub(super) fn take(&self) -> Option<Place> {
        let free = !self.taken.swap(true, Ordering::AcqRel);
        free.then(|| Place { taken: Arc::clone(&self.taken), stop: Arc::clone(&self.stop) })
    }
}

/// The right to export.
#[derive(Debug)]
pub(super) struct Place {
    taken: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.store(false, Ordering::Release);
    }
}

/// An export under way: pieces of the file, newest alert first. Alerts that are raised meanwhile are not in it.
pub(super) struct Export {
    archive: Arc<dyn AlertArchive>,
    query: AlertQuery,
    format: Format,
    /// What was read and is to be written next; none once all was read.
    page: Option<AlertPage>,
    started: bool,
    place: Place,
}

impl Export {
    /// Alerts in memory at once.
    const PAGE: usize = 100;

    /// Reads the first page, so that an archive that cannot be read is told as an error and not as an empty file.
    pub(super) fn begin(
        archive: Arc<dyn AlertArchive>,
        query: &AlertQuery,
        format: Format,
        place: Place,
    ) -> Result<Self, ArchiveError> {
        let query = AlertQuery { limit: Self::PAGE, before: None, ..query.clone() };
        let page = Some(archive.list(&query)?);
        Ok(Self { archive, query, format, page, started: false, place })
    }

    /// Reads the page after `page`; none where that was the last.
    fn turn(&mut self, page: &AlertPage) -> Result<Option<AlertPage>, Broken> {
        self.query.before = match (page.unsearched, page.alerts.last()) {
            (Some(id), _) => Some(id),
            (None, Some(last)) if page.alerts.len() >= self.query.limit => {
                Some(last.id.parse().map_err(|_| Broken::Record(last.id.clone()))?)
            }
            _ => return Ok(None),
        };
        Ok(Some(self.archive.list(&self.query)?))
    }

    fn piece(&mut self, page: &AlertPage) -> Result<Vec<u8>, Broken> {
        let first = !std::mem::replace(&mut self.started, true);
        match self.format {
            Format::Lines => lines(&page.alerts),
            Format::Csv => rows(&page.alerts, first),
        }
    }
}

impl Iterator for Export {
    type Item = Result<Vec<u8>, Broken>;

    /// May be empty, where a search has found nothing yet. Ends after an error.
    fn next(&mut self) -> Option<Self::Item> {
        let page = self.page.take()?;
        if self.place.stop.load(Ordering::Relaxed) {
            return Some(Err(Broken::Stopping));
        }
        let piece = self.piece(&page).and_then(|piece| {
            self.page = self.turn(&page)?;
            Ok(piece)
        });
        Some(piece)
    }
}

fn lines(alerts: &[AlertRecord]) -> Result<Vec<u8>, Broken> {
    let mut text = Vec::new();
    for alert in alerts {
        serde_json::to_writer(&mut text, alert).map_err(|_| Broken::Record(alert.id.clone()))?;
        text.push(b'\n');
    }
    Ok(text)
}

fn rows(alerts: &[AlertRecord], header: bool) -> Result<Vec<u8>, Broken> {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::with_capacity(4096));
    let named = |_| Broken::Record("the header".to_owned());
    if header {
        writer.write_record(COLUMNS).map_err(named)?;
    }
    for alert in alerts {
        writer.write_record(row(alert).map(harmless)).map_err(|_| Broken::Record(alert.id.clone()))?;
    }
    writer.into_inner().map_err(|_| Broken::Record("the last of a page".to_owned()))
}

/// The cells of one alert, as [`COLUMNS`] names them.
fn row(alert: &AlertRecord) -> [String; COLUMNS.len()] {
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let said = |part: fn(&FeedbackRecord) -> Option<String>| given(&alert.feedback.as_ref().and_then(part));
    let subject = &alert.subject;
    [
        alert.id.clone(),
        alert.event.clone(),
        alert.timestamp.clone(),
        alert.first_seen.clone(),
        alert.last_seen.clone(),
        alert.kind.clone(),
        alert.severity.clone(),
        alert.score.to_string(),
        alert.confidence.to_string(),
        alert.count.to_string(),
        alert.evidence.packets.to_string(),
        alert.evidence.bytes.to_string(),
        alert.title.clone(),
        alert.description.clone(),
        given(&subject.mac),
        joined(&subject.ips, " ", ToString::to_string),
        given(&subject.name),
        given(&subject.vendor),
        joined(&alert.peers, "; ", peer),
        alert.technique.join(" "),
        joined(&alert.reasons, "; ", reason),
        alert.tap.clone(),
        given(&alert.model),
        given(&alert.baseline),
        given(&alert.acknowledged),
        given(&alert.acknowledged_note),
        said(|feedback| Some(feedback.verdict.clone())),
        said(|feedback| Some(feedback.time.clone())),
        said(|feedback| feedback.note.clone()),
    ]
}

fn joined<T>(all: &[T], between: &str, text: impl Fn(&T) -> String) -> String {
    all.iter().map(text).collect::<Vec<_>>().join(between)
}

/// What is known of hardware address, address, port and protocol, such as `10.0.0.7 port 22 tcp`.
fn peer(peer: &PeerRecord) -> String {
    let parts = [
        peer.mac.clone(),
        peer.ip.map(|ip| ip.to_string()),
        peer.port.map(|port| format!("port {port}")),
        peer.protocol.clone(),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Such as `distinct_ports 4005 ports (median 3, p99 25)`.
fn reason(reason: &ReasonRecord) -> String {
    let mut text = format!("{} {} {}", reason.feature, reason.value, reason.unit);
    let known = [("median", reason.baseline.median), ("p99", reason.baseline.p99)];
    let known: Vec<String> =
        known.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))).collect();
    if !known.is_empty() {
        // Writing to a String does not fail.
        let _ = write!(text, " ({})", known.join(", "));
    }
    text
}

/// The cell as no spreadsheet takes for a formula.
fn harmless(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::*;
    use crate::alert::AlertId;
    use crate::control::FeedbackCount;
    use crate::http::tests::fixture::{NOW, alerts};

    /// So many alerts, of which a page looks at no more than `work`; reading below `fails` is an error.
    struct Pages {
        alerts: Vec<AlertRecord>,
        work: usize,
        fails: Option<usize>,
        largest: Mutex<usize>,
    }

    impl Pages {
        fn new(count: u64) -> Self {
            let id = |n| AlertId::new(NOW, n).to_string();
            let alerts = (1..=count).rev().map(|n| AlertRecord { id: id(n), ..alerts().remove(0) }).collect();
            Self { alerts, work: usize::MAX, fails: None, largest: Mutex::new(0) }
        }
    }

    impl AlertArchive for Pages {
        fn list(&self, query: &AlertQuery) -> Result<AlertPage, ArchiveError> {
            let before = query.before.map(|id| id.to_string());
            let start = before.map_or(0, |id| self.alerts.partition_point(|a| a.id >= id));
            if self.fails.is_some_and(|at| start >= at) {
                return Err(ArchiveError("the disk is gone".into()));
            }
            let looked = &self.alerts[start..self.alerts.len().min(start.saturating_add(self.work))];
            let found: Vec<AlertRecord> = looked.iter().take(query.limit).cloned().collect();
            let mut largest = self.largest.lock().unwrap();
            *largest = found.len().max(*largest);
            let more = start + looked.len() < self.alerts.len();
            let unsearched = looked.last().filter(|_| more && found.len() < query.limit);
            Ok(AlertPage { unsearched: unsearched.map(|a| a.id.parse().unwrap()), alerts: found })
        }

        fn get(&self, _: AlertId) -> Result<Option<AlertRecord>, ArchiveError> {
            Ok(None)
        }

        fn feedback(&self) -> Result<BTreeMap<String, FeedbackCount>, ArchiveError> {
            Ok(BTreeMap::new())
        }
    }

    fn export(archive: &Arc<Pages>, format: Format) -> Export {
        let place = Exports::new(Arc::default()).take().unwrap();
        let archive = Arc::clone(archive) as Arc<dyn AlertArchive>;
        Export::begin(archive, &AlertQuery::default(), format, place).unwrap()
    }

    fn whole(export: Export) -> String {
        let pieces: Result<Vec<_>, _> = export.collect();
        String::from_utf8(pieces.unwrap().concat()).unwrap()
    }

    #[test]
    fn every_alert_is_in_the_file_once_and_few_are_in_memory() {
        for (count, work) in
            [(0, usize::MAX), (99, usize::MAX), (100, usize::MAX), (250, usize::MAX), (250, 7)]
        {
            let archive = Arc::new(Pages { work, ..Pages::new(count) });
            let text = whole(export(&archive, Format::Lines));
            let told: Vec<AlertRecord> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(told, archive.alerts, "{count} alerts, {work} at once");
            assert!(*archive.largest.lock().unwrap() <= Export::PAGE);

            let table = whole(export(&archive, Format::Csv));
            let mut reader = csv::Reader::from_reader(table.as_bytes());
            assert_eq!(reader.headers().unwrap(), &COLUMNS[..]);
            let ids: Vec<String> = reader.records().map(|row| row.unwrap()[0].to_owned()).collect();
            let expected: Vec<String> = archive.alerts.iter().map(|a| a.id.clone()).collect();
            assert_eq!(ids, expected);
        }
    }

    #[test]
    fn an_archive_that_fails_breaks_the_file_off() {
        let archive = Arc::new(Pages { fails: Some(100), ..Pages::new(250) });
        let pieces: Vec<_> = export(&archive, Format::Lines).collect();
        assert!(matches!(pieces[..], [Err(Broken::Archive(_))]), "{pieces:?}");
    }

    #[test]
    fn a_stop_breaks_the_file_off() {
        let stop = Arc::new(AtomicBool::new(false));
        let place = Exports::new(Arc::clone(&stop)).take().unwrap();
        let archive = Arc::new(Pages::new(250));
        let mut export = Export::begin(archive, &AlertQuery::default(), Format::Csv, place).unwrap();
        assert!(matches!(export.next(), Some(Ok(_))));
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(export.next(), Some(Err(Broken::Stopping))));
        assert!(export.next().is_none());
    }

    #[test]
    fn one_has_the_place_until_it_is_given_back() {
        let exports = Exports::new(Arc::default());
        let place = exports.take().unwrap();
        assert!(exports.take().is_none());
        drop(place);
        assert!(exports.take().is_some());
    }

    #[test]
    fn a_row_reads_like_the_alert() {
        let cells = row(&alerts()[0]);
        let cell = |name: &str| cells[COLUMNS.iter().position(|c| *c == name).unwrap()].as_str();
        assert_eq!(cell("kind"), "port_scan");
        assert_eq!(cell("score"), "0.98");
        assert_eq!(cell("subject_ips"), "10.10.10.21 fe80::21a:2bff:fe3c:4d5e");
        assert_eq!(cell("peers"), "10.10.10.37 tcp");
        assert_eq!(cell("technique"), "T1046 T0846");
        assert!(
            cell("reasons").starts_with("distinct_ports 4005 ports (median 3, p99 25); failed_connections")
        );
        assert!(cell("reasons").ends_with("connection_rate 97.68 connections per second (p99 2.5)"));
        assert_eq!((cell("subject_vendor"), cell("model"), cell("baseline")), ("", "", "b3"));
    }

    #[test]
    fn no_cell_is_a_formula_and_every_cell_can_be_read_back() {
        let mut alert = alerts().remove(0);
        for (name, kept) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("a,b\"c\"\r\nd", "a,b\"c\"\r\nd"),
            ("1=1", "1=1"),
        ] {
            alert.subject.name = Some(name.to_owned());
            let table = rows(std::slice::from_ref(&alert), true).unwrap();
            assert!(table.ends_with(b"\r\n"));
            let mut reader = csv::Reader::from_reader(&table[..]);
            let cells = reader.records().next().unwrap().unwrap();
            assert_eq!((&cells[16], cells.len()), (kept, COLUMNS.len()));
        }
    }
}
