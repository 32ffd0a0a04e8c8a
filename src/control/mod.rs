//! What the data plane and the control plane say to each other: immutable [`Status`] out, [`Command`]s in, and the
//! ports through which MQTT and HTTP reach the store and the settings.

mod board;
mod checkup;
mod command;
mod feed;
mod feedback;
mod files;
mod meters;
mod port;
mod settings;
mod status;
pub mod wire;

pub use board::{Board, Slot};
pub use checkup::CheckRecord;
pub use command::{CaptureCommand, Command, CommandQueue, CommandRefused, Reply, Tuning};
pub use feed::{AlertFeed, Listener, News};
pub use feedback::{ExpectedRecord, FeedbackCount, FeedbackRecord};
pub use files::{
    CaptureDesk, CaptureEnd, CaptureLimits, CaptureRecord, CaptureRecordState, CaptureRefused, CaptureWish,
    CapturesStatus, Download, EvidenceArchive, EvidenceStatus, FilesStatus, NoEvidence, Skipped,
};
pub use meters::Meters;
pub use port::{AlertArchive, AlertPage, AlertQuery, ArchiveError, DeliveryQueue, OutboxItem, OutboxKey};
pub use settings::{
    Author, Effect, LastChange, Outcome, PlannedChange, Setting, SettingKind, SettingProblem, SettingSource,
    SettingValue, SettingsAnswer, SettingsChange, SettingsDesk, SettingsRefused, SettingsVersion,
    SettingsView, Wanted,
};
pub use status::{
    AlertCounts, BaselinePhase, BaselineStatus, CaptureState, CaptureStatus, DeviceSummary, FlowSummary,
    HttpStatus, JudgeStatus, MeterStatus, ModelStatus, MqttState, MqttStatus, SourceKind, SourceStatus,
    Status, StoreStatus, TcpStatus,
};
