//! A terminal taken over for a live picture: another page, no echo, keys one by one. Whatever ends
//! the program, also a panic, gives the terminal back as it was.

use std::io::{self, Write};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// To another page without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// A terminal that does not tell its size.
const SIZE_DEFAULT: (usize, usize) = (80, 24);

/// How the terminal was, while it is taken over.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal, until this is dropped.
pub(crate) struct Live(());

/// Columns and lines of the terminal at standard output.
pub(crate) fn size() -> (usize, usize) {
    match tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => SIZE_DEFAULT,
    }
}

impl Live {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn open() -> io::Result<Live> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        give_back_after_a_panic();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let live = Live(());
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        write(ENTER)?;
        Ok(live)
    }

    /// Shows lines in place of those before. All of it is one write, so that nothing flickers.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn show(&self, lines: &[String]) -> io::Result<()> {
        let mut page = "\x1b[H".to_owned();
        for (place, line) in lines.iter().enumerate() {
            // The last line has no break, which would move the page up.
            page.push_str(if place == 0 { "" } else { "\r\n" });
            page.push_str(line);
            page.push_str("\x1b[K");
        }
        page.push_str("\x1b[J");
        write(&page)
    }

    /// Keys pressed within `time`, as bytes; none when there was none, or a signal came.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn keys(&self, time: Duration) -> io::Result<Vec<u8>> {
        let mut ready = [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)];
        let time = Timespec::try_from(time).expect("a short time");
        match poll(&mut ready, Some(&time)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut keys = vec![0; 64];
        let len = rustix::io::read(stdin(), &mut keys)?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        keys.truncate(len);
        Ok(keys)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // A terminal that is gone needs nothing back.
        let _ = write(LEAVE);
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}

/// What a panic says would be lost with the other page, so that goes first.
fn give_back_after_a_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let say = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            say(panic);
        }));
    });
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
