//! What the API says of the capture files that are written. The rules are those of `view`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::control::{CapturesStatus, EvidenceStatus, FilesStatus};

/// Evidence and captures on demand.
#[derive(Debug, Serialize)]
pub(super) struct FilesView {
    evidence: EvidenceView,
    captures: CapturesView,
}

#[derive(Debug, Serialize)]
struct EvidenceView {
    enabled: bool,
    files: u64,
    size_bytes: u64,
    quota_bytes: u64,
    written: u64,
    /// By reason.
    skipped: BTreeMap<&'static str, u64>,
    deleted: u64,
    write_errors: u64,
    failing: Option<String>,
}

#[derive(Debug, Serialize)]
struct CapturesView {
    running: u64,
    captures: u64,
    size_bytes: u64,
    quota_bytes: u64,
    lost_packets: u64,
    deleted: u64,
    write_errors: u64,
    failing: Option<String>,
}

impl FilesView {
    pub(super) fn new(files: &FilesStatus) -> Self {
        Self { evidence: EvidenceView::new(&files.evidence), captures: CapturesView::new(&files.captures) }
    }
}

impl EvidenceView {
    fn new(evidence: &EvidenceStatus) -> Self {
        Self {
            enabled: evidence.on,
            files: evidence.files,
            size_bytes: evidence.bytes,
            quota_bytes: evidence.quota,
            written: evidence.written,
            skipped: evidence.skipped.iter().copied().collect(),
            deleted: evidence.deleted,
            write_errors: evidence.write_errors,
            failing: evidence.failing.clone(),
        }
    }
}

impl CapturesView {
    fn new(captures: &CapturesStatus) -> Self {
        Self {
            running: captures.running,
            captures: captures.captures,
            size_bytes: captures.bytes,
            quota_bytes: captures.quota,
            lost_packets: captures.lost,
            deleted: captures.deleted,
            write_errors: captures.write_errors,
            failing: captures.failing.clone(),
        }
    }
}
