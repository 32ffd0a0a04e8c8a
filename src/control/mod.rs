//! What the data plane and the control plane say to each other: immutable [`Status`] out, [`Command`]s in, and the
//! ports through which MQTT and HTTP reach the store.

mod board;
mod command;
mod feedback;
mod port;
mod status;
pub mod wire;

pub use board::{Board, Slot};
pub use command::{CaptureCommand, Command, CommandQueue, CommandRefused, Commands, Reply};
pub use feedback::{ExpectedRecord, FeedbackCount, FeedbackRecord};
pub use port::{AlertArchive, AlertPage, AlertQuery, ArchiveError, DeliveryQueue, OutboxItem, OutboxKey};
pub use status::{
    AlertCounts, BaselinePhase, BaselineStatus, CaptureState, CaptureStatus, DeviceSummary, FlowSummary,
    HttpStatus, JudgeStatus, MeterStatus, ModelStatus, MqttState, MqttStatus, SourceKind, Status,
    StoreStatus,
};
