//! Markers in the text of messages, by which a call asks the simulated provider for a fault.
//!
//! Pure but for the counters of [`Plays`]. A marker is `[[mock:ITEM,ITEM…]]`, in any string of the
//! body, so that it survives a gateway that rewrites headers; `tollgate mock --fault ITEM,ITEM…` is
//! one for every call. Items:
//!
//! | item | effect |
//! |---|---|
//! | `status=503` | answer with this error; `code=…`, `retry_after=2`, `retry_after_ms=200` and `should_retry=false` shape it |
//! | `page` | the answer is a page of HTML, as of a proxy; with `status=502` that of an error |
//! | `times=2` | the marker counts for the first two calls that carry this very text, then it is ignored |
//! | `id=…` | nothing; makes two markers with `times` different |
//! | `delay=200` | milliseconds before the answer |
//! | `reset` | close the connection without an answer |
//! | `stall` | a stream stops in its middle and stays open; any other answer never begins |
//! | `cut` | the connection is closed in the middle of the answer, and of an event |
//! | `unfinished` | a stream ends in its middle as if it were whole, without `[DONE]`; any other answer is half a JSON |
//! | `error` | a stream tells of a failure in its middle, in the endpoint's own event; any other answer is a 500 |
//! | `after=3` | so many events come before `stall`, `cut`, `unfinished` or `error`; without it half of them |
//! | `chunks=50`, `chunk_delay=20` | words of the answer, milliseconds between them |
//! | `split=1` | the answer comes in pieces of so many bytes, whatever stands there; `chunk_delay` is between them |
//! | `echo` | answer with the last user message, as it arrived |
//! | `say=…` | answer with the rest of the marker |
//! | `input=`, `cached=`, `output=`, `reasoning=` | usage |
//!
//! A marker with an unknown item is answered with 400, so that a typing error does not look like a
//! healthy provider.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::Duration;

use super::Options;
use crate::bounds::{MOCK_CHUNKS_MAX, MOCK_MARKERS_MAX};
use crate::lock::lock;

const BEGIN: &str = "[[mock:";
const END: &str = "]]";

/// The faults of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) retry_after_ms: Option<String>,
    pub(crate) should_retry: Option<bool>,
    pub(crate) delay: Duration,
    pub(crate) reset: bool,
    pub(crate) stall: bool,
    pub(crate) cut: bool,
    pub(crate) unfinished: bool,
    pub(crate) error: bool,
    pub(crate) page: bool,
    pub(crate) after: Option<usize>,
    pub(crate) split: Option<NonZeroUsize>,
    pub(crate) chunks: Option<usize>,
    pub(crate) chunk_delay: Duration,
    pub(crate) echo: bool,
    pub(crate) say: Option<String>,
    pub(crate) input_tokens: Option<u64>,
    pub(crate) cached_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
    pub(crate) reasoning_tokens: Option<u64>,
}

impl Script {
    pub(crate) fn from_options(options: &Options) -> Script {
        Script {
            delay: options.latency,
            chunk_delay: options.chunk_delay,
            chunks: options.chunks.map(|n| n.min(MOCK_CHUNKS_MAX)),
            ..Script::default()
        }
    }

    /// How many of a stream's events come before its fault.
    pub(crate) fn events_before(&self, events: usize) -> usize {
        self.after.unwrap_or(events / 2).min(events)
    }

    fn set(&mut self, item: &str) -> Result<(), String> {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        let number = || value.parse::<u64>().map_err(|_| format!("{name} needs a number"));
        match name {
            "status" => {
                let status = number()?;
                let fits = (400..600).contains(&status);
                self.status = Some(u16::try_from(status).ok().filter(|_| fits).ok_or(
                    "status has to be 400 to \
                        599",
                )?);
            }
            "code" => self.code = Some(value.to_owned()),
            "retry_after_ms" => self.retry_after_ms = Some(value.to_owned()),
            "retry_after" => self.retry_after = Some(value.to_owned()),
            "should_retry" => self.should_retry = Some(value == "true"),
            "delay" => self.delay = Duration::from_millis(number()?.min(600_000)),
            "chunk_delay" => self.chunk_delay = Duration::from_millis(number()?.min(600_000)),
            "chunks" => {
                self.chunks =
                    Some(usize::try_from(number()?).unwrap_or(usize::MAX).min(MOCK_CHUNKS_MAX))
            }
            "reset" => self.reset = true,
            "stall" => self.stall = true,
            "cut" => self.cut = true,
            "unfinished" => self.unfinished = true,
            "error" => self.error = true,
            "page" => self.page = true,
            "after" => self.after = Some(usize::try_from(number()?).unwrap_or(usize::MAX)),
            "split" => {
                let bytes = NonZeroUsize::new(usize::try_from(number()?).unwrap_or(usize::MAX));
                self.split = Some(bytes.ok_or("split wants 1 or more")?);
            }
            "echo" => self.echo = true,
            "input" => self.input_tokens = Some(number()?),
            "cached" => self.cached_tokens = Some(number()?),
            "output" => self.output_tokens = Some(number()?),
            "reasoning" => self.reasoning_tokens = Some(number()?),
            "times" => drop(number()?),
            "id" => {}
            _ => return Err(format!("unknown fault {name:?}")),
        }
        Ok(())
    }
}

/// How often each marker with `times` has been played.
#[derive(Default)]
pub(crate) struct Plays(Mutex<HashMap<String, u64>>);

impl Plays {
    /// Puts what `marker` (the text between the brackets) says into `script`, unless its `times`
    /// are used up.
    ///
    /// # Errors
    /// If an item is unknown or has a wrong value; the text says which.
    pub(crate) fn apply(&self, marker: &str, script: &mut Script) -> Result<(), String> {
        let (items, say) = match marker.split_once("say=") {
            Some((items, say)) => (items, Some(say)),
            None => (marker, None),
        };
        let items: Vec<&str> =
            items.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
        let times = items.iter().find_map(|item| item.strip_prefix("times=")?.parse::<u64>().ok());
        if times.is_some_and(|times| !self.play(marker, times)) {
            return Ok(());
        }
        items.into_iter().try_for_each(|item| script.set(item))?;
        if let Some(say) = say {
            script.say = Some(say.to_owned());
        }
        Ok(())
    }

    /// At the bound all counts are forgotten: a test that plays thousands of markers has long done
    /// with the first.
    fn play(&self, marker: &str, times: u64) -> bool {
        let mut plays = lock(&self.0);
        if plays.len() >= MOCK_MARKERS_MAX && !plays.contains_key(marker) {
            plays.clear();
        }
        let played = plays.entry(marker.to_owned()).or_default();
        let again = *played < times;
        *played = played.saturating_add(1);
        again
    }
}

/// Whether these are items of a marker.
///
/// # Errors
/// The first that is none.
pub fn check(items: &str) -> Result<(), String> {
    Plays::default().apply(items, &mut Script::default())
}

/// The markers in `text`, in order, without their brackets.
pub(crate) fn markers(text: &str) -> impl Iterator<Item = &str> {
    text.split(BEGIN).skip(1).filter_map(|rest| rest.split_once(END).map(|(marker, _)| marker))
}

/// `text` without its markers.
pub(crate) fn without_markers(text: &str) -> String {
    let mut parts = text.split(BEGIN);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(END) {
            Some((_, rest)) => plain.push_str(rest),
            None => {
                plain.push_str(BEGIN);
                plain.push_str(part);
            }
        }
    }
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_and_taken_out() {
        let table: [(&str, &[&str], &str); 5] = [
            ("hello", &[], "hello"),
            ("a [[mock:cut]] b", &["cut"], "a  b"),
            ("[[mock:echo]][[mock:delay=2]]x", &["echo", "delay=2"], "x"),
            ("[[mock:open", &[], "[[mock:open"),
            (r#"[[mock:say={"a":[1]}]]"#, &[r#"say={"a":[1]}"#], ""),
        ];
        for (text, expected, plain) in table {
            assert_eq!(markers(text).collect::<Vec<_>>(), expected, "{text}");
            assert_eq!(without_markers(text), plain, "{text}");
        }
    }

    #[test]
    fn items_set_the_script_and_mistakes_are_told() {
        let plays = Plays::default();
        let mut script = Script::default();
        plays
            .apply("status=429, code=slow_down,retry_after=2,chunks=7,say=a,b=c", &mut script)
            .unwrap();
        let expected = Script {
            status: Some(429),
            code: Some("slow_down".into()),
            retry_after: Some("2".into()),
            chunks: Some(7),
            say: Some("a,b=c".into()),
            ..Script::default()
        };
        assert_eq!(script, expected);
        for wrong in
            ["statsu=503", "status=99", "status=abc", "delay=", "chunks=-1", "after=x", "split=0"]
        {
            assert!(
                plays.apply(wrong, &mut Script::default()).is_err() && check(wrong).is_err(),
                "{wrong}"
            );
        }
        assert_eq!(check("cut,after=3,times=2"), Ok(()));
    }

    #[test]
    fn times_are_counted_for_each_text() {
        let plays = Plays::default();
        let hit = |marker: &str| {
            let mut script = Script::default();
            plays.apply(marker, &mut script).unwrap();
            script.status.is_some()
        };
        assert_eq!([(); 4].map(|()| hit("status=503,times=2")), [true, true, false, false]);
        assert_eq!([(); 2].map(|()| hit("status=503,times=1,id=x")), [true, false]);
        assert_eq!([(); 3].map(|()| hit("status=500")), [true; 3]);
        for n in 0..2 * MOCK_MARKERS_MAX {
            assert!(hit(&format!("status=500,times=1,id={n}")));
        }
        assert!(plays.0.lock().unwrap().len() <= MOCK_MARKERS_MAX);
    }
}
