//! The terminal: entered, drawn and left.
//!
//! Guarantees: it is restored when this is dropped, also by a panic; nothing is coloured where
//! `NO_COLOR` is set; a picture is one write. Does not: decide what is drawn.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::event::{self, Event};
use crossterm::style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::{cursor, execute, queue, terminal};
use tokio::sync::mpsc;

use super::picture::{Line, Style};

/// Events of the terminal that wait.
const EVENTS_MAX: usize = 64;
/// How often the reader of events looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A terminal in the alternate screen.
pub(crate) struct Screen {
    has_colors: bool,
    is_over: Arc<AtomicBool>,
}

impl Screen {
    /// Enters, and sends the terminal's events. The channel ends with the terminal.
    ///
    /// # Errors
    /// There is no terminal that can be entered.
    pub(crate) fn enter() -> io::Result<(Screen, mpsc::Receiver<Event>)> {
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave();
            former(panic);
        }));
        let is_over = Arc::new(AtomicBool::new(false));
        let has_colors = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let screen = Screen { has_colors, is_over: Arc::clone(&is_over) };
        terminal::enable_raw_mode()?;
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let reader = move || {
            while !is_over.load(Ordering::Relaxed) {
                match event::poll(LOOK_EVERY) {
                    Ok(false) => {}
                    Ok(true) => match event::read() {
                        Ok(event) if sender.blocking_send(event).is_ok() => {}
                        _ => return,
                    },
                    Err(_) => return,
                }
            }
        };
        std::thread::Builder::new().name("terminal".to_owned()).spawn(reader)?;
        Ok((screen, events))
    }

    /// Columns and lines; those of a usual terminal where they are not known.
    pub(crate) fn size(&self) -> (usize, usize) {
        let (width, height) = terminal::size().unwrap_or((80, 24));
        (usize::from(width.max(1)), usize::from(height.max(1)))
    }

    /// Draws over the whole screen.
    ///
    /// # Errors
    /// The terminal cannot be written.
    pub(crate) fn draw(&self, lines: &[Line]) -> io::Result<()> {
        let mut out = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            queue!(out, cursor::MoveTo(0, u16::try_from(at).unwrap_or(u16::MAX)))?;
            for (style, text) in line {
                self.begin(&mut out, *style)?;
                queue!(out, Print(text), SetAttribute(Attribute::Reset))?;
                if self.has_colors {
                    queue!(out, ResetColor)?;
                }
            }
            queue!(out, terminal::Clear(terminal::ClearType::UntilNewLine))?;
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(&out)?;
        stdout.flush()
    }

    fn begin(&self, out: &mut Vec<u8>, style: Style) -> io::Result<()> {
        let color = match style {
            Style::Warning => Some(Color::Yellow),
            Style::Bad => Some(Color::Red),
            _ => None,
        };
        if let Some(color) = color.filter(|_| self.has_colors) {
            queue!(out, SetForegroundColor(color))?;
        }
        match style {
            Style::Head => queue!(out, SetAttribute(Attribute::Reverse)),
            Style::Strong | Style::Bad => queue!(out, SetAttribute(Attribute::Bold)),
            Style::Quiet => queue!(out, SetAttribute(Attribute::Dim)),
            Style::Plain | Style::Warning => Ok(()),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        leave();
    }
}

/// Back to the lines before. Nothing can be done about an error.
fn leave() {
    let _ = execute!(io::stdout(), cursor::Show, terminal::LeaveAlternateScreen);
    let _ = terminal::disable_raw_mode();
}
