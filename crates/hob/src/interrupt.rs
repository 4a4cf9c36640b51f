//! Ctrl-C. Work that can stop in good order says so with [`Interruptible`]; then the first press
//! stops it. Without one, or at the second press, the program ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::failure;

struct Listener {
    pressed: Arc<AtomicBool>,
    wake: Box<dyn Fn() + Send>,
}

static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);

/// Catches Ctrl-C and a polite kill from now on.
pub(crate) fn install() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(entered);
    let listen = async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => on_press(),
                _ = terminate.recv() => on_press(),
                _ = hangup.recv() => on_press(),
            }
        }
    };
    let name = "hob-signals".to_owned();
    std::thread::Builder::new().name(name).spawn(move || runtime.block_on(listen))?;
    Ok(())
}

fn on_press() {
    let listener = LISTENER.lock().unwrap_or_else(PoisonError::into_inner);
    match listener.as_ref() {
        Some(listener) if !listener.pressed.swap(true, Ordering::SeqCst) => (listener.wake)(),
        _ => std::process::exit(i32::from(failure::INTERRUPTED)),
    }
}

/// While it lives, the first press sets the flag and calls `wake` in place of ending the program.
pub(crate) struct Interruptible {
    pressed: Arc<AtomicBool>,
}

impl Interruptible {
    pub(crate) fn new(wake: impl Fn() + Send + 'static) -> Interruptible {
        let pressed = Arc::new(AtomicBool::new(false));
        let listener = Listener { pressed: Arc::clone(&pressed), wake: Box::new(wake) };
        let mut slot = LISTENER.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(slot.is_none(), "one piece of work listens at a time");
        *slot = Some(listener);
        Interruptible { pressed }
    }

    /// True once somebody pressed.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.pressed
    }

    pub(crate) fn is_pressed(&self) -> bool {
        self.pressed.load(Ordering::SeqCst)
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        *LISTENER.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
