//! The terminal: its whole screen is taken, keys come one by one, and it is given back as it was, whatever happens.

use std::io::{self, Stdout, Write};
use std::sync::Arc;
use std::thread;

use ratatui::backend::TermionBackend;
use ratatui::layout::Rect;
use ratatui::termion::event::Key as Pressed;
use ratatui::termion::input::TermRead;
use ratatui::termion::raw::{IntoRawMode, RawTerminal};
use ratatui::termion::screen::{AlternateScreen, IntoAlternateScreen, ToMainScreen};
use ratatui::termion::{cursor, get_tty, terminal_size};
use ratatui::{Frame, TerminalOptions, Viewport};
use tokio::sync::mpsc;

use super::screen::Key;

/// Keys that may wait.
const KEYS: usize = 32;
/// The size of a terminal that does not tell its own.
const USUAL: Rect = Rect { x: 0, y: 0, width: 80, height: 24 };

/// The terminal while it is taken. Dropped, it is as it was before.
pub(crate) struct Terminal {
    // Dropped in this order: first the screen goes, then the way keys are read.
    screen: ratatui::Terminal<TermionBackend<AlternateScreen<Stdout>>>,
    _raw: Arc<RawTerminal<Stdout>>,
}

impl Terminal {
    /// Takes the terminal on standard output.
    ///
    /// # Errors
    /// When it cannot be set up for this.
    pub(crate) fn take() -> io::Result<Self> {
        let raw = Arc::new(io::stdout().into_raw_mode()?);
        // A panic is told on the terminal's own screen, or nobody could read of it.
        let (weak, before) = (Arc::downgrade(&raw), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| {
            if let Some(raw) = weak.upgrade() {
                let _gone = write!(io::stdout(), "{ToMainScreen}{}", cursor::Show);
                let _gone = raw.suspend_raw_mode();
            }
            before(panic);
        }));
        let backend = TermionBackend::new(io::stdout().into_alternate_screen()?);
        let viewport = match terminal_size() {
            Ok((1.., 1..)) => Viewport::Fullscreen,
            _ => Viewport::Fixed(USUAL),
        };
        let mut screen = ratatui::Terminal::with_options(backend, TerminalOptions { viewport })?;
        screen.hide_cursor()?;
        screen.clear()?;
        Ok(Self { screen, _raw: raw })
    }

    /// Draws what has changed, in the terminal's size of now.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.screen.draw(picture).map(drop)
    }

    /// Keys as they are pressed, until the terminal is gone.
    ///
    /// # Errors
    /// When this process has no terminal to read them from.
    pub(crate) fn keys() -> io::Result<mpsc::Receiver<Key>> {
        let tty = get_tty()?;
        let (pressed, keys) = mpsc::channel(KEYS);
        // A thread of its own, which ends with the process: nothing interrupts a read.
        thread::spawn(move || {
            for key in tty.keys().map_while(Result::ok).filter_map(known) {
                if pressed.blocking_send(key).is_err() {
                    return;
                }
            }
        });
        Ok(keys)
    }
}

/// What a key of the terminal means here, if anything.
fn known(key: Pressed) -> Option<Key> {
    Some(match key {
        Pressed::Up => Key::Up,
        Pressed::Down => Key::Down,
        Pressed::PageUp => Key::PageUp,
        Pressed::PageDown => Key::PageDown,
        Pressed::Home => Key::First,
        Pressed::End => Key::Last,
        Pressed::Char('\t') => Key::Next,
        Pressed::BackTab => Key::Previous,
        Pressed::Esc => Key::Escape,
        Pressed::Ctrl('c') => Key::Interrupt,
        Pressed::Char(letter) => Key::Letter(letter),
        _ => return None,
    })
}
