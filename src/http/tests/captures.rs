//! Evidence and captures on demand as their clients meet them.

use std::io::{Cursor, Error, ErrorKind};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::fixture::{Answer, Bench, NOW, alerts};
use super::openapi::{check, description};
use crate::alert::AlertId;
use crate::capture::check_filter;
use crate::control::{
    CaptureDesk, CaptureEnd, CaptureRecord, CaptureRecordState, CaptureRefused, CaptureWish, CapturesStatus,
    Download, EvidenceArchive, EvidenceStatus, FilesStatus, NoEvidence, Skipped,
};

/// What is in each file.
const CONTENT: &[u8] = b"\x0a\x0d\x0d\x0a and so on";

/// Files that are there without a disk: evidence of the first alert, and captures that go on until they are stopped.
#[derive(Default)]
pub(super) struct StillFiles(Mutex<Vec<CaptureRecord>>);

pub(super) fn files() -> FilesStatus {
    FilesStatus {
        evidence: EvidenceStatus {
            on: true,
            files: 3,
            bytes: 70_000,
            quota: 64 << 20,
            written: 4,
            skipped: vec![("off", 0), ("rate", 2)],
            deleted: 1,
            write_errors: 1,
            failing: Some("no storage space".to_owned()),
        },
        captures: CapturesStatus {
            running: 1,
            captures: 2,
            bytes: 9_000,
            lost: 7,
            ..CapturesStatus::default()
        },
    }
}

fn download() -> Download {
    Download { length: u64::try_from(CONTENT.len()).unwrap(), content: Box::new(Cursor::new(CONTENT)) }
}

impl EvidenceArchive for StillFiles {
    fn evidence(&self, id: AlertId) -> Result<Download, NoEvidence> {
        match alerts().iter().position(|alert| alert.id == id.to_string()) {
            Some(0) => Ok(download()),
            Some(_) => Err(NoEvidence::Skipped(Skipped::Rate)),
            None => Err(NoEvidence::Unknown),
        }
    }
}

impl CaptureDesk for StillFiles {
    fn start(&self, wish: CaptureWish) -> Result<CaptureRecord, CaptureRefused> {
        check_filter(&wish.filter)?;
        let mut all = self.0.lock().unwrap();
        if wish.name == "no room" {
            return Err(Error::from(ErrorKind::StorageFull).into());
        }
        if all.iter().filter(|record| record.state == CaptureRecordState::Running).count() >= 2 {
            return Err(CaptureRefused::Busy);
        }
        let id = u64::try_from(all.len()).unwrap() + 1;
        all.push(CaptureRecord {
            id,
            name: wish.name,
            filter: wish.filter,
            limits: wish.limits,
            state: CaptureRecordState::Running,
            ended_because: None,
            started: NOW.to_string(),
            ended: None,
            written_packets: 5,
            written_bytes: 700,
            lost_packets: 1,
        });
        Ok(all.last().unwrap().clone())
    }

    fn list(&self) -> Vec<CaptureRecord> {
        self.0.lock().unwrap().iter().rev().cloned().collect()
    }

    fn find(&self, id: u64) -> Option<CaptureRecord> {
        self.list().into_iter().find(|record| record.id == id)
    }

    fn stop(&self, id: u64) -> Result<CaptureRecord, CaptureRefused> {
        let mut all = self.0.lock().unwrap();
        let record = all.iter_mut().find(|record| record.id == id).ok_or(CaptureRefused::Unknown)?;
        record.state = CaptureRecordState::Ended;
        record.ended_because = Some(CaptureEnd::Stopped);
        record.ended = Some(NOW.to_string());
        Ok(record.clone())
    }

    fn delete(&self, id: u64) -> Result<(), CaptureRefused> {
        match self.find(id).ok_or(CaptureRefused::Unknown)?.state {
            CaptureRecordState::Running => Err(CaptureRefused::InUse),
            CaptureRecordState::Ended => {
                self.0.lock().unwrap().retain(|record| record.id != id);
                Ok(())
            }
        }
    }

    fn file(&self, id: u64) -> Result<Download, CaptureRefused> {
        match self.find(id).ok_or(CaptureRefused::Unknown)?.state {
            CaptureRecordState::Running => Err(CaptureRefused::Running),
            CaptureRecordState::Ended => Ok(download()),
        }
    }
}

#[track_caller]
fn checked(document: &Value, path: &str, method: &str, answer: Answer, status: u16) -> Answer {
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    check(document, path, method, &answer);
    answer
}

#[test]
fn evidence_is_a_file_for_the_owner_or_says_why_there_is_none() {
    let (document, bench) = (description(), Bench::new());
    let path = "/api/alerts/{id}/evidence.pcapng";
    let of = |id: &str| bench.get_as_owner(&path.replace("{id}", id));
    let alerts = alerts();
    let file = checked(&document, path, "get", of(&alerts[0].id), 200);
    assert_eq!(file.body, CONTENT);
    let name = format!("attachment; filename=\"tapguard-alert-{}.pcapng\"", alerts[0].id);
    assert_eq!(file.header("Content-Disposition"), Some(&*name));
    assert_eq!(file.header("Content-Length"), Some(&*CONTENT.len().to_string()));
    let none = checked(&document, path, "get", of(&alerts[1].id), 404);
    assert_eq!(none.problem(), "skipped: too many alerts in that minute");
    checked(&document, path, "get", of("000000000000000000000000"), 404);
    checked(&document, path, "get", of("7"), 400);
    checked(&document, path, "get", bench.get(&path.replace("{id}", &alerts[0].id)), 401);
    assert_eq!(of(&alerts[0].id).status, 200, "the place for exports is free again");
}

#[test]
fn a_capture_is_begun_watched_stopped_taken_and_deleted() {
    let (document, bench) = (description(), Bench::new());
    let (all, one) = ("/api/captures", "/api/captures/{id}");
    let (stop, file) = ("/api/captures/{id}/stop", "/api/captures/{id}/file.pcapng");
    let json_type = "Content-Type: application/json\r\n";
    let post = |body: &str| bench.write("POST", all, json_type, body);
    let begun = checked(&document, all, "post", post(r#"{"name": "a", "filter": "arp", "seconds": 5}"#), 201);
    assert_eq!(begun.header("Location"), Some("/api/captures/1"));
    let record: Value = serde_json::from_slice(&begun.body).unwrap();
    assert_eq!((&record["filter"], &record["seconds"]), (&json!("arp"), &json!(5)));
    checked(&document, all, "post", post(""), 201);
    let busy = checked(&document, all, "post", post("{}"), 429);
    assert_eq!(busy.header("Retry-After"), Some("10"));
    checked(&document, all, "post", post(r#"{"name": "no room"}"#), 507);
    let bad = checked(&document, all, "post", post(r#"{"filter": "tcp prt 80"}"#), 400);
    assert!(bad.problem().starts_with("bad filter `tcp prt 80`: "), "{}", bad.problem());
    let long = checked(&document, all, "post", post(r#"{"seconds": 86401}"#), 422);
    assert_eq!(long.problem(), "seconds is not a whole number from 1 to 86400");
    checked(&document, all, "post", post(r#"{"colour": "red"}"#), 400);
    checked(&document, all, "post", bench.write("POST", all, "Content-Type: text/plain\r\n", "{}"), 415);
    checked(&document, all, "post", bench.post(all, "", ""), 401);

    let at = |path: &str, id: &str| path.replace("{id}", id);
    let list = checked(&document, all, "get", bench.get_as_owner(all), 200);
    let list: Value = serde_json::from_slice(&list.body).unwrap();
    assert_eq!(list["captures"].as_array().unwrap().len(), 2);
    checked(&document, one, "get", bench.get_as_owner(&at(one, "1")), 200);
    for unknown in ["9", "x", ""] {
        checked(&document, one, "get", bench.get_as_owner(&at(one, unknown)), 404);
    }
    checked(&document, file, "get", bench.get_as_owner(&at(file, "1")), 409);
    checked(&document, one, "delete", bench.write("DELETE", &at(one, "1"), "", ""), 409);
    let stopped = checked(&document, stop, "post", bench.write("POST", &at(stop, "1"), json_type, ""), 200);
    let stopped: Value = serde_json::from_slice(&stopped.body).unwrap();
    assert_eq!(stopped["ended_because"], "stopped");
    checked(&document, stop, "post", bench.write("POST", &at(stop, "9"), json_type, ""), 404);
    let taken = checked(&document, file, "get", bench.get_as_owner(&at(file, "1")), 200);
    assert_eq!(taken.body, CONTENT);
    let head = bench.write("HEAD", &at(file, "1"), "", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    let left = checked(&document, one, "delete", bench.write("DELETE", &at(one, "1"), "", ""), 200);
    assert!(!left.text().contains("\"a\""));
    checked(&document, one, "delete", bench.write("DELETE", &at(one, "1"), "", ""), 404);
    checked(
        &document,
        one,
        "delete",
        bench.ask("DELETE /api/captures/2 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        401,
    );
    let refused = bench.write("PUT", all, "", "");
    assert_eq!((refused.status, refused.header("Allow")), (405, Some("GET, HEAD, POST")));
}
