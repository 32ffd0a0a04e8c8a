//! Keeps a panic inside sled from going further: it becomes an error that says what the panic said.
//!
//! sled 0.34 panics where a damaged file breaks its assumptions, also on its own I/O threads. The message would go to
//! standard error as if the daemon had crashed. The panic hook is the process's, so it is wrapped once and for all
//! by one that stays silent for contained work and for threads of sled, and hands everything else to the hook that
//! was there before.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// What a contained panic said.
#[derive(Debug, thiserror::Error)]
#[error("the database library panicked: {0}")]
pub(super) struct Panicked(String);

/// Runs `work`; a panic in it is returned instead of unwinding further.
///
/// `work` may leave what it touched half done. Callers give up the database handle after a panic in a write, and
/// touch only sled's own structures in a read.
pub(super) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    HOOK.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            let of_sled = std::thread::current().name().is_some_and(|name| name.starts_with("sled-io-"));
            if !of_sled && !CONTAINED.get() {
                previous(info);
            }
        }));
    });
    let outer = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(outer);
    result.map_err(|payload| {
        let said = payload
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        // One line, and no longer than a status page wants to show.
        Panicked(said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        let caught = contain(|| -> u8 { panic!("left {}\n  right", 1) });
        assert_eq!(
            caught.map_err(|p| p.to_string()),
            Err("the database library panicked: left 1 right".to_owned())
        );
        assert_eq!(contain(|| 7).ok(), Some(7));
        assert!(!CONTAINED.get());
    }
}
