//! How long a provider may keep silent in the middle of its answer, and what its client hears
//! meanwhile.
//!
//! Stage 11 of the walk, beside the tee. Promises: an answer is given up when nothing has come for
//! `idle`, or at the call's deadline, whichever is first; where the policy asks for it
//! (`timeouts.keep_alive`) a comment is due whenever the client has been given nothing for so long,
//! which prolongs neither. One timer at most, and none until a wait begins. Does not: know events,
//! or write anything.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::bounds::STREAM_GATHER_WITHIN;

/// How long an answer may take.
#[derive(Clone, Copy)]
pub struct Patience {
    pub idle: Duration,
    pub deadline: Instant,
    /// How often the client of a silent stream gets a comment.
    pub keep_alive: Option<Duration>,
}

/// The end of a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The client should hear something.
    Comment,
    /// The provider is waited for no longer.
    End,
}

/// The silence of one answer.
pub struct Silence {
    idle: Duration,
    deadline: Instant,
    /// When the provider was last heard.
    heard: Instant,
    is_quick: bool,
    keep_alive: Option<KeepAlive>,
    timer: Option<Pin<Box<Sleep>>>,
}

struct KeepAlive {
    every: Duration,
    /// When the client was last given anything.
    told: Instant,
}

impl Silence {
    /// Begins now.
    pub fn new(patience: Patience) -> Silence {
        let now = Instant::now();
        let keep_alive = patience.keep_alive.map(|every| KeepAlive { every, told: now });
        Silence {
            idle: patience.idle,
            deadline: patience.deadline,
            heard: now,
            is_quick: false,
            keep_alive,
            timer: None,
        }
    }

    /// The provider has sent bytes. Whether it was in time: one that never pauses meets the
    /// deadline, too.
    pub fn heard(&mut self) -> bool {
        let before = std::mem::replace(&mut self.heard, Instant::now());
        self.is_quick = self.heard.saturating_duration_since(before) < STREAM_GATHER_WITHIN;
        self.heard < self.deadline
    }

    /// Whether the provider's last bytes came soon after those before, so that more of them may be
    /// here by now.
    pub fn is_quick(&self) -> bool {
        self.is_quick
    }

    /// The client is given something.
    pub fn told(&mut self) {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.told = Instant::now();
        }
    }

    /// Waits for what is due. A comment is only where `may_comment`.
    pub fn poll(&mut self, cx: &mut Context<'_>, may_comment: bool) -> Poll<Due> {
        let end = (self.heard + self.idle).min(self.deadline);
        let comment = self
            .keep_alive
            .as_ref()
            .filter(|_| may_comment)
            .map(|k| k.told + k.every)
            .filter(|at| *at < end);
        let due = comment.unwrap_or(end);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if due < timer.deadline() {
            timer.as_mut().reset(due);
        }
        // A timer that was set before the provider was last heard ends too soon, and is set again:
        // one for many events.
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= due {
                break;
            }
            timer.as_mut().reset(due);
        }
        Poll::Ready(if comment.is_some() { Due::Comment } else { Due::End })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The events, by second, of a call that may be silent for 10 and take 100, until it
    /// ends. `script` says at which second the provider sends something, and whether the client is
    /// given something of it.
    async fn follow(
        keep_alive: Option<u64>,
        may_comment: bool,
        script: &[(u64, bool)],
    ) -> Vec<(u64, Due)> {
        let begun = Instant::now();
        let deadline = begun + 100 * SECOND;
        let mut silence = Silence::new(Patience {
            idle: 10 * SECOND,
            deadline,
            keep_alive: keep_alive.map(Duration::from_secs),
        });
        let (mut script, mut seen) = (script.iter().peekable(), vec![]);
        loop {
            let next = script.peek().map_or(1000, |(at, _)| *at);
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(begun + Duration::from_secs(next)) => {
                    let in_time = silence.heard();
                    assert_eq!(in_time, begun.elapsed() < 100 * SECOND);
                    if script.next().is_some_and(|(_, given)| *given) {
                        silence.told();
                    }
                }
                due = poll_fn(|cx| silence.poll(cx, may_comment)) => {
                    seen.push((begun.elapsed().as_secs(), due));
                    match due {
                        Due::Comment => silence.told(),
                        Due::End => return seen,
                    }
                }
            }
        }
    }

    /// How often comments are wished for, whether they may be, the script, and what happens when.
    type Case<'a> = (Option<u64>, bool, &'a [(u64, bool)], &'a [(u64, Due)]);

    #[tokio::test(start_paused = true)]
    async fn comments_come_while_it_is_silent_and_do_not_prolong_it() {
        use Due::{Comment, End};
        let forever: Vec<(u64, bool)> = (1..60).map(|n| (2 * n, true)).collect();
        let table: &[Case<'_>] = &[
            (None, true, &[], &[(10, End)]),
            (None, true, &[(7, true)], &[(17, End)]),
            (Some(3), true, &[], &[(3, Comment), (6, Comment), (9, Comment), (10, End)]),
            // Not in the middle of an event, or behind the last.
            (Some(3), false, &[], &[(10, End)]),
            // Bytes given to the client count, and bytes held back do not.
            (Some(3), true, &[(2, true)], &[(5, Comment), (8, Comment), (11, Comment), (12, End)]),
            (Some(3), true, &[(2, false)], &[(3, Comment), (6, Comment), (9, Comment), (12, End)]),
            // One that is due with the end is the end.
            (Some(5), true, &[], &[(5, Comment), (10, End)]),
            // The deadline holds for those that keep talking.
            (Some(3), true, &forever, &[(100, End)]),
            (None, true, &forever, &[(100, End)]),
        ];
        for (keep_alive, may_comment, script, expected) in table {
            let seen = follow(*keep_alive, *may_comment, script).await;
            assert_eq!(seen, *expected, "{keep_alive:?} {may_comment} {script:?}");
        }
    }
}
