//! What is opened before anything runs: source, store, token, what was known before. Each failure names what failed.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use super::AppError;
use super::capture::Input;
use crate::alert::Alert;
use crate::baseline::Baseline;
use crate::bounded::Text;
use crate::capture::{CaptureError, Next, SourceConfig};
use crate::config::Config;
use crate::control::DeviceSummary;
use crate::demo::{self, Network, Paced};
use crate::flow::KnownDevice;
use crate::http::{AdminToken, TokenHash};
use crate::model::Model;
use crate::pipeline::{Judge, JudgeConfig, Meter, MeterConfig};
use crate::store::{Opened, SnapshotName, Store};
use crate::sys::ServiceManager;
use crate::sys::clock::{self, Stopwatch};
use crate::time::Span;

/// How the daemon is to be started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where frames come from.
    pub origin: Origin,
    /// Where the store is, instead of where the configuration says. A demo takes a directory of its own in it.
    pub store: Option<PathBuf>,
    /// Make a new admin token even if there is one.
    pub new_token: bool,
    /// Who wants to hear how the daemon is.
    pub manager: ServiceManager,
}

/// Where frames come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configured or a chosen interface.
    Tap,
    /// The same; the generated network where there is no permission or no traffic.
    TapOrDemo {
        /// Times real time at which the generated network is played.
        speed: u32,
    },
    /// The generated network.
    Demo {
        /// Times real time at which it is played.
        speed: u32,
    },
}

/// Time that an interface has to show traffic before the generated network is played instead, and the storage medium
/// to take a new token.
const PATIENCE: Span = Span::from_secs(10);
/// What the generated network is learned for, and the quiet time after it before the first attack.
const DEMO_LEARNING: Span = Span::from_secs(7_200);
const DEMO_QUIET: Span = Span::from_secs(120);
/// Quiet time between two attacks: long enough for each to be seen by itself.
const DEMO_GAP: Span = Span::from_secs(1_800);
/// The demo is the same each time.
const DEMO_SEED: u64 = 1;

/// Opens the sources of frames.
pub(super) fn open_inputs(config: &[SourceConfig], origin: Origin) -> Result<Vec<Input>, AppError> {
    let open = || config.iter().map(Input::open).collect::<Result<Vec<_>, _>>();
    match origin {
        Origin::Tap => Ok(open()?),
        Origin::Demo { speed } => Ok(vec![generated(speed, "asked for by `tapguard demo`".to_owned())]),
        Origin::TapOrDemo { speed } => match open() {
            Ok(mut inputs) => {
                if has_traffic(&mut inputs)? {
                    return Ok(inputs);
                }
                let names: Vec<_> = inputs.iter().map(Input::name).collect();
                let why = format!("no traffic on interface {} within {PATIENCE}", names.join(", "));
                Ok(vec![generated(speed, why)])
            }
            Err(error) if error.is_permission() || matches!(error, CaptureError::NoInterface) => {
                Ok(vec![generated(speed, error.to_string())])
            }
            Err(error) => Err(error.into()),
        },
    }
}

fn generated(speed: u32, why: String) -> Input {
    let config = demo::Config {
        benign: DEMO_LEARNING + DEMO_QUIET,
        gap: DEMO_GAP,
        ..demo::Config::new(DEMO_SEED, clock::now())
    };
    Input::Demo { network: Box::new(Paced::new(Network::new(config), speed)), why }
}

fn has_traffic(inputs: &mut [Input]) -> Result<bool, AppError> {
    let waited = Stopwatch::start();
    while waited.elapsed() < PATIENCE {
        for input in inputs.iter_mut() {
            if let Next::Frame(_) = input.source().next()? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Opens the store, and tells whether a broken one had to be replaced.
pub(super) fn open_store(config: &crate::store::Config) -> Result<(Store, bool), AppError> {
    let Opened { store, replaced } = Store::open(config)?;
    if let Some(replaced) = &replaced {
        let moved_to = replaced.moved_to.display();
        tracing::error!("the store did not open and was moved to {moved_to}: {}", replaced.why);
    }
    Ok((store, replaced.is_some()))
}

/// Settings for the generated network: what is learned of it must never be taken for what a real one does, nor told
/// under the real tap's name.
pub(super) fn fit_to_demo(config: &mut Config) {
    config.judge.baseline.duration = DEMO_LEARNING;
    let name = format!("{}-demo", config.judge.alert.tap);
    if let Some(mqtt) = &mut config.mqtt {
        mqtt.tap.clone_from(&name);
        mqtt.learning = DEMO_LEARNING;
    }
    config.judge.alert.tap = name;
}

/// The admin token as far as it is known.
pub(super) struct Token {
    pub(super) hash: TokenHash,
    /// A new one, which nobody was shown yet.
    pub(super) fresh: Option<AdminToken>,
}

/// The admin token's hash; on first start, or when asked, that of a new token.
pub(super) fn admin_token(store: &Store, renew: bool) -> Result<Token, AppError> {
    let kept = store.secret()?.and_then(|bytes| TokenHash::from_bytes(&bytes).ok());
    if let (Some(hash), false) = (kept, renew) {
        return Ok(Token { hash, fresh: None });
    }
    let token = AdminToken::generate()?;
    Ok(Token { hash: token.hash()?, fresh: Some(token) })
}

/// Shows page, source and a new token. A token that could not be shown is not kept: the next start makes another.
pub(super) fn announce(
    store: &Store,
    token: Option<&AdminToken>,
    page: &str,
    source: &str,
    console: &mut dyn Write,
) -> Result<(), AppError> {
    let mut show = || {
        if let Some(token) = token {
            let token = token.as_str();
            writeln!(console, "admin token  {token}   (shown only now; needed to change anything)")?;
        }
        writeln!(console, "page         http://{page}/\nsource       {source}")?;
        console.flush()
    };
    match show() {
        Ok(()) => {
            if let Some(token) = token {
                store.save_secret(token.hash()?.to_bytes().to_vec())?;
                store.flush(PATIENCE)?;
            }
        }
        Err(error) => {
            tracing::warn!("the page is at http://{page}/, but standard output cannot be written: {error}")
        }
    }
    Ok(())
}

/// A meter for each source, with the devices that were known before: each in that of the source on which it sent
/// most, or else in the first.
pub(super) fn meters(
    config: &MeterConfig,
    inputs: Vec<Input>,
    store: &Store,
) -> Result<Vec<(Input, Meter)>, AppError> {
    let share = config.share(inputs.len());
    let mut all: Vec<_> = inputs.into_iter().map(|input| (input, Meter::new(&share))).collect();
    for device in store.devices()? {
        let own = all.iter().position(|(input, _)| device.interface.as_deref() == Some(input.name()));
        if let Some(((_, meter), known)) = all.get_mut(own.unwrap_or(0)).zip(known(device)) {
            meter.devices_mut().restore(&known);
        }
    }
    Ok(all)
}

/// The judge with the baseline, model and open incidents from before. What cannot be read is left out and told: the
/// daemon learns anew rather than not at all.
pub(super) fn judge(config: JudgeConfig, store: &Store) -> Result<Judge, AppError> {
    let baseline = store.snapshot(SnapshotName::Baseline)?.and_then(|bytes| {
        Baseline::restore(config.baseline.clone(), &bytes)
            .inspect_err(|error| {
                tracing::error!("the kept baseline is not used, a new one is learned: {error}")
            })
            .ok()
    });
    // A model is of no use without the baseline that it was trained on.
    let kept = store.snapshot(SnapshotName::Model)?.filter(|bytes| baseline.is_some() && !bytes.is_empty());
    let model = kept.and_then(|bytes| {
        Model::restore(&config.model, &bytes)
            .inspect_err(|error| tracing::error!("the kept model is not used, it is trained anew: {error}"))
            .ok()
    });
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    for record in store.open_alerts()? {
        match Alert::try_from(&record) {
            Ok(alert) => {
                seen.extend(record.acknowledged.map(|_| (alert.id, alert.severity)));
                open.push(alert);
            }
            Err(error) => tracing::error!("an open alert is not taken up: {error}"),
        }
    }
    let mut judge = Judge::new(config);
    judge.restore(baseline, model, open);
    judge.restore_marks(&seen, store.expected()?);
    Ok(judge)
}

fn known(device: DeviceSummary) -> Option<KnownDevice> {
    Some(KnownDevice {
        key: device.key()?,
        ips: device.ips,
        name: text(device.name.as_deref()),
        vendor_class: text(device.vendor.as_deref()),
        first_seen: device.first_seen,
        last_seen: device.last_seen,
        router: device.router,
        packets_sent: device.packets_sent,
        packets_received: device.packets_received,
        bytes_sent: device.bytes_sent,
        bytes_received: device.bytes_received,
    })
}

fn text(text: Option<&str>) -> Text<63> {
    Text::from_wire(text.unwrap_or_default().as_bytes())
}

/// A directory of our own for a demo that nobody wants to keep.
pub(super) fn passing_directory() -> Result<PathBuf, AppError> {
    let chance = getrandom::u64().map_err(|_| AppError::NoChance("the name of a directory"))?;
    let directory = std::env::temp_dir().join(format!("tapguard-demo-{chance:016x}"));
    DirBuilder::new()
        .mode(0o700)
        .create(&directory)
        .map_err(|source| AppError::Start { what: "the demo's passing store", source })?;
    Ok(directory)
}
