//! The wishes of the person at the terminal: order, filter, pause, place; pure.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::read::Sum;

/// Longest text of a filter.
const FILTER_MAX: usize = 64;

/// The order of the organisations: the largest first, names by letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Cost,
    Calls,
    Errors,
    Refused,
    P95,
    Name,
}

impl Sort {
    const ALL: [Sort; 6] =
        [Sort::Cost, Sort::Calls, Sort::Errors, Sort::Refused, Sort::P95, Sort::Name];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Sort::Cost => "cost",
            Sort::Calls => "calls",
            Sort::Errors => "errors",
            Sort::Refused => "refused",
            Sort::P95 => "p95",
            Sort::Name => "name",
        }
    }

    fn next(self) -> Sort {
        let at = Sort::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Sort::ALL[(at + 1) % Sort::ALL.len()]
    }
}

/// The effect of a key besides another picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Draw,
    /// Read now.
    Read,
    Quit,
}

#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) sort: Sort,
    pub(crate) filter: String,
    /// Keys go into the filter.
    pub(crate) is_typing: bool,
    pub(crate) is_paused: bool,
    pub(crate) has_help: bool,
    /// Organisations that have been scrolled past.
    pub(crate) skipped: usize,
}

impl Default for View {
    fn default() -> View {
        View {
            sort: Sort::Cost,
            filter: String::new(),
            is_typing: false,
            is_paused: false,
            has_help: false,
            skipped: 0,
        }
    }
}

impl View {
    /// Takes an event of the terminal.
    pub(crate) fn take(&mut self, event: &Event) -> Then {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.press(*key),
            _ => Then::Draw,
        }
    }

    fn press(&mut self, key: KeyEvent) -> Then {
        let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if with_control => return Then::Quit,
            KeyCode::Char('l') if with_control => return Then::Draw,
            _ if self.is_typing => self.write(key.code),
            KeyCode::Char('q') => return Then::Quit,
            KeyCode::Esc if self.has_help => self.has_help = false,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('?' | 'h') => self.has_help = !self.has_help,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('r') => return Then::Read,
            KeyCode::Char(' ' | 'p') => {
                self.is_paused = !self.is_paused;
                return if self.is_paused { Then::Draw } else { Then::Read };
            }
            KeyCode::Down | KeyCode::Char('j') => self.skipped = self.skipped.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.skipped = self.skipped.saturating_sub(1),
            KeyCode::PageDown => self.skipped = self.skipped.saturating_add(10),
            KeyCode::PageUp => self.skipped = self.skipped.saturating_sub(10),
            KeyCode::Home | KeyCode::Char('g') => self.skipped = 0,
            _ => {}
        }
        Then::Draw
    }

    fn write(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if self.filter.len() < FILTER_MAX => self.filter.push(c),
            _ => {}
        }
        self.skipped = 0;
    }

    /// The organisations that are shown, in their order.
    pub(crate) fn chosen<'s>(&self, all: &'s [Sum]) -> Vec<&'s Sum> {
        let wanted = self.filter.to_lowercase();
        let mut chosen: Vec<&Sum> =
            all.iter().filter(|sum| sum.org_id.to_lowercase().contains(&wanted)).collect();
        chosen.sort_by(|a, b| {
            let largest = match self.sort {
                Sort::Cost => b.cost_usd.unwrap_or(-1.0).total_cmp(&a.cost_usd.unwrap_or(-1.0)),
                Sort::Calls => b.calls.cmp(&a.calls),
                Sort::Errors => b.errors.cmp(&a.errors),
                Sort::Refused => b.rate_limited.cmp(&a.rate_limited),
                Sort::P95 => b.p95_ms.cmp(&a.p95_ms),
                Sort::Name => std::cmp::Ordering::Equal,
            };
            largest.then_with(|| a.org_id.cmp(&b.org_id))
        });
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(view: &mut View, code: KeyCode) -> Then {
        view.take(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    fn sum(org: &str, calls: u64, cost_usd: Option<f64>) -> Sum {
        Sum { org_id: org.to_owned(), calls, cost_usd, ..Sum::default() }
    }

    #[test]
    fn keys_change_order_filter_and_place() {
        let mut view = View::default();
        let all = [sum("b", 1, Some(2.0)), sum("a", 5, None), sum("B2", 3, Some(2.0))];
        let names = |view: &View| -> Vec<String> {
            view.chosen(&all).iter().map(|sum| sum.org_id.clone()).collect()
        };
        assert_eq!(names(&view), ["B2", "b", "a"], "the dearest first, then by name");
        press(&mut view, KeyCode::Char('s'));
        assert_eq!(names(&view), ["a", "B2", "b"], "by calls");
        press(&mut view, KeyCode::Char('/'));
        // While a filter is typed, `q` is a letter.
        assert_eq!(press(&mut view, KeyCode::Char('q')), Then::Draw);
        press(&mut view, KeyCode::Backspace);
        press(&mut view, KeyCode::Char('b'));
        press(&mut view, KeyCode::Enter);
        assert_eq!(names(&view), ["B2", "b"], "letters of any case");
        press(&mut view, KeyCode::Esc);
        assert_eq!(names(&view).len(), 3, "Esc removes the filter");
        press(&mut view, KeyCode::Down);
        press(&mut view, KeyCode::Up);
        press(&mut view, KeyCode::Up);
        assert_eq!(view.skipped, 0);
        assert_eq!(press(&mut view, KeyCode::Char('q')), Then::Quit);
    }

    #[test]
    fn control_c_quits_everywhere() {
        let mut view = View { is_typing: true, ..View::default() };
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.take(&Event::Key(key)), Then::Quit);
    }

    #[test]
    fn the_end_of_a_pause_is_a_reading() {
        let mut view = View::default();
        assert_eq!(press(&mut view, KeyCode::Char(' ')), Then::Draw);
        assert_eq!(press(&mut view, KeyCode::Char(' ')), Then::Read);
    }
}
