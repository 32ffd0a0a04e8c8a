//! [`Settings`]: what was set remotely, version by version, the configuration that it makes with the other layers,
//! and what is shown of it. The daemon's loop owns it; what components do about a change is that loop's business.

use std::path::PathBuf;
use std::sync::Arc;

use super::AppError;
use super::plan::{Plan, fixed, merged, plan};
use super::reload::{Changes, Reload, Reloader, effective, load};
use super::trial::{Standing, Trial};
use crate::config::key::{KEYS, Key};
use crate::config::{Config, Inputs, Origin, Overlay};
use crate::control::{
    Author, Board, Effect, LastChange, Outcome, PlannedChange, Setting, SettingSource, SettingsAnswer,
    SettingsChange, SettingsRefused, SettingsView, Slot, Wanted,
};
use crate::store::{KeptSettings, Store, StoreError};
use crate::sys::{clock, one_line};
use crate::time::Span;

/// What was kept, read at the start.
pub(super) struct Restored {
    /// The whole configuration.
    pub(super) config: Config,
    kept: KeptSettings,
    left_out: Option<String>,
}

/// Reads what was set remotely and adds it to the configuration without it. A change that was on trial when the
/// daemon ended is taken back; remote settings that are no longer good are left out.
pub(super) fn restore(store: &Store, inputs: &Inputs, plain: &Config) -> Result<Restored, AppError> {
    let mut kept = store.settings()?;
    if kept.on_trial {
        let why = "the daemon ended before the capture was back";
        take_back(&mut kept, why);
        tracing::warn!("the latest remote settings are taken back: {why}");
        if let Err(error) = keep(store, &kept) {
            tracing::error!("that they are taken back is not kept: {}", one_line(&error));
        }
    }
    let overlay = overlay(&kept);
    if overlay.is_empty() {
        return Ok(Restored { config: plain.clone(), kept, left_out: None });
    }
    match load(inputs, &overlay) {
        Ok(config) => Ok(Restored { config, kept, left_out: None }),
        Err(error) => {
            let why = one_line(&error);
            tracing::error!("the remote settings are left out, they are no longer good: {why}");
            Ok(Restored { config: plain.clone(), kept, left_out: Some(why) })
        }
    }
}

/// Makes the settings before the newest version the newest, which holds.
fn take_back(kept: &mut KeptSettings, why: &str) {
    let before = kept.before();
    kept.push(clock::now(), Author::Rollback, Some(why.to_owned()), before);
    kept.on_trial = false;
}

fn overlay(kept: &KeptSettings) -> Overlay {
    kept.latest().map(|version| version.overlay.clone()).unwrap_or_default()
}

/// What a slow storage medium is waited for.
const DISK: Span = Span::from_secs(5);

fn keep(store: &Store, kept: &KeptSettings) -> Result<(), StoreError> {
    store.save_settings(kept)?;
    store.flush(DISK)
}

/// The settings of the running daemon.
pub(super) struct Settings {
    store: Store,
    reloader: Reloader,
    kept: KeptSettings,
    left_out: Option<String>,
    trial: Option<Trial>,
    /// Where the store is, where a flag said so.
    place: Option<PathBuf>,
    shown: Arc<Slot<SettingsView>>,
    secrets: Vec<Option<String>>,
    /// Makes tags of different runs differ.
    run: u64,
    /// Rises with each thing that is shown anew.
    revision: u64,
}

impl Settings {
    /// `place` is where a flag put the store.
    pub(super) fn new(
        how: Reload,
        restored: Restored,
        store: Store,
        demo: bool,
        place: Option<PathBuf>,
    ) -> Result<Self, AppError> {
        let mut settings = Self {
            store,
            reloader: Reloader::new(how, restored.config, demo),
            kept: restored.kept,
            left_out: restored.left_out,
            trial: None,
            place,
            shown: Arc::default(),
            secrets: Vec::new(),
            run: getrandom::u64().map_err(|_| AppError::NoChance("a settings tag"))?,
            revision: 0,
        };
        settings.show();
        Ok(settings)
    }

    /// Where what holds is published.
    pub(super) fn shown(&self) -> Arc<Slot<SettingsView>> {
        Arc::clone(&self.shown)
    }

    pub(super) fn view(&self) -> Arc<SettingsView> {
        self.shown.latest().unwrap_or_default()
    }

    /// Reads the configuration again. Remote settings that are left out already are tried, and may stay so.
    pub(super) fn reload(&mut self) -> Result<Changes, AppError> {
        let (config, left_out) = match self.reloader.check(&overlay(&self.kept)) {
            Ok(config) => (config, None),
            Err(error) if self.left_out.is_some() => {
                (self.reloader.check(&Overlay::new())?, Some(one_line(&error)))
            }
            Err(error) => return Err(error),
        };
        self.left_out = left_out;
        Ok(self.adopt(config))
    }

    /// What a change would do, or why it cannot be made.
    pub(super) fn plan(&self, change: &SettingsChange) -> Result<Plan, SettingsRefused> {
        if self.kept.on_trial && !change.dry_run {
            return Err(SettingsRefused::OnTrial);
        }
        let tag = &self.view().tag;
        if change.if_match.as_ref().is_some_and(|tags| !tags.iter().any(|given| given == tag || given == "*"))
        {
            return Err(SettingsRefused::Stale);
        }
        let base = overlay(&self.kept);
        let (overlay, problems) = match &change.wanted {
            Wanted::Set(wanted) => merged(&base, wanted, self.reloader.now()),
            Wanted::Version(number) => {
                let kept = self.kept.overlay(*number).ok_or(SettingsRefused::NoVersion(*number))?;
                (kept, Vec::new())
            }
        };
        plan(&self.reloader, &base, overlay, problems).map_err(SettingsRefused::Invalid)
    }

    /// Whether a plan differs from what is kept.
    pub(super) fn is_new(&self, plan: &Plan) -> bool {
        plan.overlay != overlay(&self.kept)
    }

    /// Keeps a plan as the newest version, and then puts it in force. Where the capture moves, it is kept as on trial.
    pub(super) async fn carry_out(
        &mut self,
        plan: Plan,
        planned: &[PlannedChange],
        author: Author,
    ) -> Result<Changes, SettingsRefused> {
        let mut kept = self.kept.clone();
        kept.push(clock::now(), author, None, plan.overlay);
        kept.on_trial = plan.moves_capture;
        if let Err(error) = self.keep(kept.clone()).await {
            // It waits for the medium; what was before takes its place.
            if let Err(error) = self.store.save_settings(&self.kept) {
                tracing::error!("{}", one_line(&error));
            }
            return Err(SettingsRefused::NotKept(one_line(&error)));
        }
        self.kept = kept;
        self.left_out = None;
        let keys: Vec<_> = planned.iter().map(|change| change.key).collect();
        let version = self.kept.latest().map_or(0, |version| version.number);
        tracing::info!(version, author = author.word(), "set remotely: {}", keys.join(", "));
        Ok(self.adopt(plan.config))
    }

    /// The capture thread has taken its new settings: now it has to come back.
    pub(super) fn begin_trial(&mut self, board: &Board) {
        self.trial = self.kept.on_trial.then(|| Trial::begin(board));
    }

    pub(super) const fn on_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// Looks at the trial. One that is passed holds; of one that failed, the reason.
    pub(super) async fn look(&mut self, board: &Board) -> Option<String> {
        match self.trial.as_ref()?.look(board) {
            Standing::Undecided => None,
            Standing::Failed(why) => Some(why),
            Standing::Passed => {
                self.trial = None;
                self.kept.on_trial = false;
                if let Err(error) = self.keep(self.kept.clone()).await {
                    let why = one_line(&error);
                    tracing::error!("a restart would take the latest remote settings back: {why}");
                }
                tracing::info!("the capture is back: the remote settings hold");
                self.show();
                None
            }
        }
    }

    /// Puts back what was set before the newest version.
    pub(super) async fn roll_back(&mut self, why: &str) -> Changes {
        self.trial = None;
        take_back(&mut self.kept, why);
        tracing::error!("the latest remote settings are taken back: {why}");
        if let Err(error) = self.keep(self.kept.clone()).await {
            tracing::error!("that they are taken back is not kept: {}", one_line(&error));
        }
        // These were good before, so only a file that was changed meanwhile stands against them.
        let before = self.reloader.check(&overlay(&self.kept));
        self.left_out = before.as_ref().err().map(|error| one_line(error));
        match before.or_else(|_| self.reloader.check(&Overlay::new())) {
            Ok(config) => self.adopt(config),
            Err(error) => {
                tracing::error!("the settings before cannot be put in force: {}", one_line(&error));
                self.show();
                Changes::default()
            }
        }
    }

    /// The capture goes on with the settings before the latest.
    pub(super) fn capture_stays(&mut self) {
        self.reloader.capture_stays();
    }

    /// The judge goes on with the settings before the latest.
    pub(super) fn tuning_stays(&mut self) {
        self.reloader.tuning_stays();
    }

    /// The answer to a change.
    pub(super) fn answer(&self, changes: Vec<PlannedChange>, on_trial: bool) -> SettingsAnswer {
        SettingsAnswer { view: self.view(), changes, on_trial }
    }

    async fn keep(&self, kept: KeptSettings) -> Result<(), StoreError> {
        let store = self.store.clone();
        // A slow medium holds up neither signals nor MQTT.
        let written = tokio::task::spawn_blocking(move || keep(&store, &kept)).await;
        written.unwrap_or(Err(StoreError::Closed))
    }

    fn adopt(&mut self, config: Config) -> Changes {
        let changes = self.reloader.adopt(config);
        self.show();
        changes
    }

    /// Publishes what holds, with a new tag where anything is different.
    fn show(&mut self) {
        let now = self.reloader.now();
        let secrets = KEYS.iter().filter(|key| key.secret);
        let secrets: Vec<_> = secrets.map(|key| now.value(key.path).map(str::to_owned)).collect();
        let before = self.view();
        let mut view = SettingsView {
            tag: before.tag.clone(),
            version: self.kept.latest().map_or(0, |version| version.number),
            settings: KEYS.iter().map(|key| self.setting(key)).collect(),
            last_change: self.last_change(),
            left_out: self.left_out.clone(),
        };
        if view == *before && secrets == self.secrets {
            return;
        }
        self.revision += 1;
        view.tag = format!("{}-{:016x}-{}", view.version, self.run, self.revision);
        self.secrets = secrets;
        self.shown.publish(view);
    }

    fn setting(&self, key: &Key) -> Setting {
        let now = self.reloader.now();
        let origin = now.origin(key.path);
        let (mut text, mut source) = (effective(now, key).map(str::to_owned), source(origin));
        if let (Some(place), "store.path") = (&self.place, key.path) {
            (text, source) = (Some(place.display().to_string()), SettingSource::Flag);
        }
        Setting {
            key: key.path,
            meaning: key.meaning,
            kind: key.kind,
            set: text.is_some(),
            value: text.filter(|_| !key.secret),
            default: key.default,
            source,
            effect: if key.local { Effect::File } else { self.reloader.effect(key) },
            secret: key.secret,
            fixed: fixed(key, origin),
            pending_restart: self.reloader.waits(key),
        }
    }

    fn last_change(&self) -> Option<LastChange> {
        let latest = self.kept.latest()?;
        let outcome = match latest.author {
            _ if self.kept.on_trial => Outcome::Pending,
            Author::Rollback => Outcome::RolledBack,
            Author::Http | Author::Mqtt => Outcome::Applied,
        };
        Some(LastChange { version: latest.number, outcome, reason: latest.reason.clone() })
    }
}

fn source(origin: &Origin) -> SettingSource {
    match origin {
        Origin::Default => SettingSource::Default,
        Origin::File { .. } => SettingSource::File(origin.to_string()),
        Origin::Remote => SettingSource::Remote,
        Origin::Environment(name) => SettingSource::Environment(name.clone()),
        Origin::CommandLine => SettingSource::Flag,
    }
}
