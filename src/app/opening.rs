//! What comes before the threads: store, remote settings and source of frames, which need each other in this order
//! where there is a store already.

use std::path::{Path, PathBuf};

use super::AppError;
use super::capture::Input;
use super::reload::Reload;
use super::settings::{self, Restored, Settings};
use super::start::{self, Options, Origin};
use crate::config::Config;
use crate::store::{self, Store};
use crate::time::Span;

/// All that is open.
pub(super) struct Opening {
    pub(super) inputs: Vec<Input>,
    /// What the components get.
    pub(super) config: Config,
    pub(super) settings: Settings,
    pub(super) store: Store,
    /// A broken store was replaced.
    pub(super) replaced: bool,
    /// A directory that passes with the demo.
    pub(super) passing: Option<PathBuf>,
}

impl Opening {
    /// Opens the tap's store where it is there, for what was set remotely; then the source; then, where it is the
    /// generated network, the store of that.
    pub(super) fn open(plain: &Config, options: &Options, reload: Reload) -> Result<Self, AppError> {
        let place = options.store.as_ref().unwrap_or(&plain.store.path);
        let early = match options.origin {
            Origin::Demo { .. } => None,
            // What else is wrong is told first, and the generated network needs no store of a tap.
            Origin::Tap | Origin::TapOrDemo { .. } => {
                place.is_dir().then(|| Kept::read(place, plain, &reload))
            }
        };
        let capture = early.as_ref().and_then(|kept| kept.as_ref().ok()).map(|kept| &kept.restored.config);
        let inputs = start::open_inputs(&capture.unwrap_or(plain).capture, options.origin)?;
        let demo = inputs.iter().any(|input| matches!(input, Input::Demo { .. }));
        let (kept, passing) = if demo {
            drop(early);
            let (path, passing) = match &options.store {
                Some(store) => (store.join("demo"), None),
                None => {
                    let directory = start::passing_directory()?;
                    (directory.clone(), Some(directory))
                }
            };
            (Kept::read(&path, plain, &reload)?, passing)
        } else {
            (early.unwrap_or_else(|| Kept::read(place, plain, &reload))?, None)
        };
        let Kept { store, replaced, restored, path } = kept;
        let mut config = restored.config.clone();
        config.store.path = path;
        if demo {
            start::fit_to_demo(&mut config);
        }
        let settings = Settings::new(reload, restored, store.clone(), demo, options.store.clone())?;
        Ok(Self { inputs, config, settings, store, replaced, passing })
    }
}

/// A store, and what it knows of settings.
struct Kept {
    store: Store,
    replaced: bool,
    restored: Restored,
    path: PathBuf,
}

impl Kept {
    /// What a slow storage medium is waited for.
    const CLOSING: Span = Span::from_secs(10);

    fn read(path: &Path, plain: &Config, reload: &Reload) -> Result<Self, AppError> {
        let placed = |config: &Config| store::Config { path: path.to_owned(), ..config.store.clone() };
        let (mut store, mut replaced) = start::open_store(&placed(plain))?;
        let restored = settings::restore(&store, &reload.inputs, plain)?;
        let deliver = restored.config.mqtt.is_some();
        let wanted = placed(&restored.config);
        // Its limits may be remote settings, which it holds itself.
        if wanted != (store::Config { deliver, ..placed(plain) }) {
            store.close(Self::CLOSING)?;
            let again = start::open_store(&wanted)?;
            (store, replaced) = (again.0, replaced || again.1);
        }
        store.set_deliver(deliver);
        Ok(Self { store, replaced, restored, path: path.to_owned() })
    }
}
