//! Turns for work on bodies, so that one caller's large bodies do not slow down another's calls.
//!
//! Beside stages 6 and 11 of the walk. Work on a body (decoding, redacting, reading an answer) is
//! done in steps. After a few steps the task gives way to all other tasks that are ready. A turn
//! group (an organisation, or all pass-through callers together) has a small share of processor
//! time free; within it a step costs two looks at the clock and one atomic addition. A group that
//! has used its share waits in line: few steps run at once, fewer than the runtime has threads, and
//! groups take turns.
//!
//! Guarantees: a step is cut so that it takes about [`STEP_TIME_MAX`]; so does all work between
//! two times at which others may run; a dropped call gives back
//! its turn; a turn that is not used within [`TURN_UNUSED_MAX`] goes to the next in line, so that a
//! stopped call holds no other call up. Does not: count the work of other parts of a call, or
//! refuse.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::body_threads::{BodyThreads, Running};
use super::by_group::ByGroup;
use super::turn_group::TurnGroup;
use crate::auth::Caller;
use crate::bounds::{
    BODY_INLINE_TIME_MAX, BODY_QUICK_NANOS_PER_BYTE, GIVE_WAY_BYTES, STEP_BYTES_MAX,
    STEP_BYTES_MIN, STEP_TIME_MAX, TURN_FREE_BURST, TURN_FREE_SHARE, TURN_GROUPS_TOLD_APART,
    TURN_UNUSED_MAX,
};
use crate::clock::{Clock, Nanos};
use crate::config::policy::Accept;
use crate::lock::lock;
use crate::upstream::apart::{Done, Job};

/// The turns of all calls.
pub struct Turns {
    clock: Clock,
    /// The time at which each group has its free share back, in nanoseconds of the clock. Groups
    /// whose hashes agree share one.
    spent: Box<[AtomicU64]>,
    hasher: RandomState,
    at_once: usize,
    line: Mutex<Line>,
    /// Notified when a call waits in line.
    waiting: Notify,
    /// For bodies that take long.
    threads: BodyThreads,
}

/// The calls that have a turn, and those that wait for one.
#[derive(Default)]
struct Line {
    /// Turns that are given out, and since when.
    given: BTreeMap<u64, Nanos>,
    /// Calls that wait.
    waiting: ByGroup<Waker>,
}

impl Turns {
    /// Turns for a runtime with `threads` threads.
    pub fn new(clock: Clock, threads: usize) -> Arc<Turns> {
        let at_once = threads.saturating_sub(1).max(1);
        Arc::new(Turns {
            clock,
            spent: (0..TURN_GROUPS_TOLD_APART).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            at_once,
            line: Mutex::default(),
            waiting: Notify::new(),
            threads: BodyThreads::new(at_once),
        })
    }

    /// The group of a caller. All pass-through callers are one: their keys are not checked, so they
    /// can be made up.
    pub fn group(&self, caller: &Caller) -> TurnGroup {
        match caller.via {
            Accept::Passthrough => self.group_of("passthrough", ""),
            Accept::Anonymous => self.group_of("anonymous", ""),
            Accept::Jwt | Accept::Key => self.group_of("org", caller.org.as_str()),
        }
    }

    fn group_of(&self, kind: &str, name: &str) -> TurnGroup {
        let hash = self.hasher.hash_one((kind, name));
        // The remainder fits: there are at most 65,536 places.
        TurnGroup(u16::try_from(hash % self.spent.len() as u64).unwrap_or_default())
    }

    /// The pace of one body of a group.
    pub fn pace(self: &Arc<Turns>, group: TurnGroup) -> Pace {
        Pace {
            turns: Arc::clone(self),
            group,
            turn: Turn::None,
            gave_way: false,
            step_bytes: STEP_BYTES_MAX,
            bytes: 0,
            time: Duration::ZERO,
            uncounted: Duration::ZERO,
            spent: Duration::ZERO,
            done: 0,
        }
    }

    /// Does a job of a group on a thread of low priority, when it is the group's turn there.
    pub fn apart(&self, group: TurnGroup, job: Job) -> Done {
        let mut running = self.threads.run(group, job);
        Box::pin(async move {
            poll_fn(|cx| running.poll(cx)).await;
        })
    }

    /// Takes back turns that are not used, until `stop`.
    pub async fn keep(self: Arc<Turns>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.waiting.notified() => {}
            }
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(TURN_UNUSED_MAX) => {}
                }
                if !self.take_back() {
                    break;
                }
            }
        }
    }

    /// Takes back turns that were given out long ago; returns whether calls still wait.
    fn take_back(&self) -> bool {
        let now = self.clock.now();
        let mut line = lock(&self.line);
        line.given.retain(|_, since| now.since(*since) < TURN_UNUSED_MAX);
        let woken = line.give(self.at_once, now);
        let waits = !line.waiting.is_empty();
        drop(line);
        woken.into_iter().for_each(Waker::wake);
        waits
    }

    /// Whether a part of the group's free share is left.
    fn is_free(&self, group: TurnGroup) -> bool {
        let spent = self.spent[usize::from(group.0)].load(Ordering::Relaxed);
        Nanos(spent).since(self.clock.now()) < TURN_FREE_BURST
    }

    fn count(&self, group: TurnGroup, time: Duration) {
        let now = self.clock.now().0;
        let cost =
            u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).saturating_mul(TURN_FREE_SHARE);
        let spent = &self.spent[usize::from(group.0)];
        let before = spent.load(Ordering::Relaxed);
        // Two that count at once may lose one of their steps, which does no harm. Debt is bounded:
        // a group that stops has its share back soon.
        let debt_max =
            now.saturating_add(u64::try_from(2 * TURN_FREE_BURST.as_nanos()).unwrap_or(u64::MAX));
        spent.store(before.max(now).saturating_add(cost).min(debt_max), Ordering::Relaxed);
    }

    /// A turn at once, or a place in line.
    fn ask(&self, group: TurnGroup, cx: &mut Context<'_>) -> Turn {
        let mut line = lock(&self.line);
        let number = line.waiting.number();
        if line.waiting.is_empty() && line.given.len() < self.at_once {
            line.given.insert(number, self.clock.now());
            return Turn::Given(number);
        }
        let first = line.waiting.is_empty();
        line.waiting.add(group, number, cx.waker().clone());
        drop(line);
        if first {
            self.waiting.notify_one();
        }
        Turn::Waiting(number)
    }

    /// Whether a place in line has become a turn.
    fn look(&self, group: TurnGroup, number: u64, cx: &mut Context<'_>) -> Turn {
        let mut line = lock(&self.line);
        if let Some(since) = line.given.get_mut(&number) {
            // The time of the turn begins now, because its holder is here to use it.
            *since = self.clock.now();
            return Turn::Given(number);
        }
        match line.waiting.get_mut(group, number) {
            Some(waker) => {
                waker.clone_from(cx.waker());
                Turn::Waiting(number)
            }
            None => Turn::None,
        }
    }

    /// Gives a turn, or a place in line, back.
    fn give_back(&self, group: TurnGroup, number: u64) {
        let mut line = lock(&self.line);
        if line.given.remove(&number).is_none() {
            line.waiting.remove(group, number);
        }
        let woken = line.give(self.at_once, self.clock.now());
        drop(line);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Line {
    /// Gives out the turns that are free. Returns the wakers of their calls.
    fn give(&mut self, at_once: usize, now: Nanos) -> Vec<Waker> {
        let mut woken = Vec::new();
        while self.given.len() < at_once
            && let Some((number, waker)) = self.waiting.pop()
        {
            self.given.insert(number, now);
            woken.push(waker);
        }
        woken
    }
}

/// The place of a call in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    None,
    Waiting(u64),
    Given(u64),
}

/// How one body is worked on: step by step.
///
/// Before each step [`Pace::poll_turn`] is asked, with the input of the step at hand; before input
/// is waited for, [`Pace::rest`] is called.
pub struct Pace {
    turns: Arc<Turns>,
    group: TurnGroup,
    turn: Turn,
    /// The turn ends when the task runs again.
    gave_way: bool,
    /// So many bytes are worked on at once.
    step_bytes: usize,
    /// Worked on since the task last gave way.
    bytes: usize,
    time: Duration,
    /// Not yet counted for the group.
    uncounted: Duration,
    /// The time of all steps of the body, and their bytes.
    spent: Duration,
    done: u64,
}

/// Shorter times are added up before they are counted.
const COUNTED_MIN: Duration = Duration::from_micros(20);

impl Pace {
    /// Ready when the next step may be done. Gives way first where that is due.
    ///
    /// # Cancel safety
    /// A turn that was given and is not used goes to the next in line.
    pub fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_due() {
            (self.bytes, self.time) = (0, Duration::ZERO);
            self.gave_way = true;
            give_way(cx);
            return Poll::Pending;
        }
        // All other tasks that were ready have run by now. Not before: then steps would follow each
        // other without them.
        if std::mem::take(&mut self.gave_way) {
            self.end_turn();
        }
        loop {
            self.turn = match self.turn {
                Turn::Given(_) => return Poll::Ready(()),
                Turn::None if self.turns.is_free(self.group) => return Poll::Ready(()),
                Turn::None => self.turns.ask(self.group, cx),
                Turn::Waiting(number) => self.turns.look(self.group, number, cx),
            };
            if let Turn::Waiting(_) = self.turn {
                return Poll::Pending;
            }
        }
    }

    /// The same as a future.
    pub async fn turn(&mut self) {
        poll_fn(|cx| self.poll_turn(cx)).await;
    }

    /// So many bytes may be worked on in the next step.
    pub fn step_bytes(&self) -> usize {
        self.step_bytes
    }

    /// Does a step of `bytes` bytes.
    pub fn step<T>(&mut self, bytes: usize, work: impl FnOnce() -> T) -> T {
        let begun = self.begin();
        let made = work();
        self.end(begun, bytes);
        made
    }

    /// A step begins.
    pub fn begin(&self) -> Nanos {
        self.turns.clock.now()
    }

    /// The step that began then is done.
    pub fn end(&mut self, begun: Nanos, bytes: usize) {
        self.did(bytes, self.begin().since(begun));
    }

    fn did(&mut self, bytes: usize, time: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.done = self.done.saturating_add(bytes as u64);
        self.time += time;
        self.spent += time;
        self.uncounted += time;
        if time > STEP_TIME_MAX {
            self.step_bytes = (self.step_bytes / 2).max(STEP_BYTES_MIN);
        } else if time < STEP_TIME_MAX / 4 && bytes >= self.step_bytes {
            self.step_bytes = (2 * self.step_bytes).min(STEP_BYTES_MAX);
        }
        if self.uncounted >= COUNTED_MIN {
            self.turns.count(self.group, std::mem::take(&mut self.uncounted));
        }
    }

    /// Whether the body has taken so long for its bytes that the rest of the work is for
    /// [`Pace::run`].
    pub fn is_slow(&self) -> bool {
        let quick = Duration::from_nanos(self.done.saturating_mul(BODY_QUICK_NANOS_PER_BYTE));
        self.spent.saturating_sub(quick) >= BODY_INLINE_TIME_MAX
    }

    /// Does work on a thread of low priority, when it is the group's turn there. `work` is told the
    /// clock.
    pub fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(Clock) -> T + Send + 'static,
    ) -> Running<T> {
        self.rest();
        let clock = self.turns.clock;
        self.turns.threads.run(self.group, move || work(clock))
    }

    /// Counts work that was done elsewhere.
    pub fn ran(&mut self, time: Duration) {
        self.turns.count(self.group, time);
    }

    fn is_due(&self) -> bool {
        self.bytes >= GIVE_WAY_BYTES || self.time >= STEP_TIME_MAX
    }

    /// There is nothing to do until more input comes: a turn goes to the next in line, and others
    /// have run meanwhile.
    pub fn rest(&mut self) {
        (self.bytes, self.time, self.gave_way) = (0, Duration::ZERO, false);
        self.end_turn();
    }

    fn end_turn(&mut self) {
        if let Turn::Given(number) | Turn::Waiting(number) =
            std::mem::replace(&mut self.turn, Turn::None)
        {
            self.turns.give_back(self.group, number);
        }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.end_turn();
    }
}

/// Lets all other tasks run that are ready, and those whose input or time has come, before this one
/// goes on.
fn give_way(cx: &mut Context<'_>) {
    // The first poll only says when this task is to be woken.
    if pin!(tokio::task::yield_now()).poll(cx).is_ready() {
        cx.waker().wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use tokio_util::task::TaskTracker;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// One call, and how often it was told to look again.
    struct Call {
        pace: Pace,
        woken: Arc<Woken>,
    }

    impl Call {
        fn new(turns: &Arc<Turns>, group: TurnGroup) -> Call {
            Call { pace: turns.pace(group), woken: Arc::default() }
        }

        fn has_turn(&mut self) -> bool {
            let waker = Waker::from(Arc::clone(&self.woken));
            self.pace.poll_turn(&mut Context::from_waker(&waker)).is_ready()
        }

        fn was_woken(&self) -> bool {
            self.woken.0.swap(0, Ordering::SeqCst) > 0
        }
    }

    /// Groups that have used their free share.
    fn busy(threads: usize, groups: u16) -> (Arc<Turns>, Vec<TurnGroup>) {
        let turns = Turns::new(Clock::start(), threads);
        let groups: Vec<TurnGroup> = (0..groups).map(TurnGroup).collect();
        // Far in the future: however slow the machine is, no group has a share again while the test
        // runs.
        groups
            .iter()
            .for_each(|p| turns.spent[usize::from(p.0)].store(u64::MAX / 2, Ordering::Relaxed));
        (turns, groups)
    }

    #[test]
    fn a_group_within_its_share_never_waits_in_line() {
        let (turns, groups) = busy(2, 1);
        let mut hog = Call::new(&turns, groups[0]);
        assert!(hog.has_turn());
        for _ in 0..100 {
            let mut call = Call::new(&turns, TurnGroup(7));
            assert!(call.has_turn());
            assert_eq!(call.pace.turn, Turn::None);
        }
        turns.count(TurnGroup(7), Duration::from_secs(1));
        assert!(!turns.is_free(TurnGroup(7)), "a second of work is more than its share");
    }

    #[test]
    fn after_each_step_the_task_gives_way_and_its_turn_goes_on() {
        let (turns, groups) = busy(2, 2);
        let (mut a, mut b) = (Call::new(&turns, groups[0]), Call::new(&turns, groups[1]));
        assert!(a.has_turn() && !b.has_turn());
        a.pace.did(100, Duration::from_micros(1));
        assert!(a.has_turn(), "a short step is not the end of a turn");
        for done in [(GIVE_WAY_BYTES, Duration::from_micros(1)), (1, STEP_TIME_MAX)] {
            a.pace.did(done.0, done.1);
            assert!(!a.has_turn() && a.was_woken(), "it gives way, and comes again by itself");
            assert!(!b.has_turn(), "and has its turn until then");
            assert!(!a.has_turn() && b.was_woken(), "now it is the other one's turn");
            assert!(b.has_turn());
            std::mem::swap(&mut a, &mut b);
            a.woken.0.store(0, Ordering::SeqCst);
        }
    }

    #[test]
    fn groups_take_turns_however_many_calls_one_of_them_has() {
        let (turns, groups) = busy(2, 3);
        let mut now = Call::new(&turns, groups[0]);
        assert!(now.has_turn());
        let mut waiting: Vec<Call> = (0..50).map(|_| Call::new(&turns, groups[0])).collect();
        waiting.extend((0..2).map(|_| Call::new(&turns, groups[1])));
        waiting.push(Call::new(&turns, groups[2]));
        assert!(waiting.iter_mut().all(|call| !call.has_turn()));
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(now);
            let next = waiting.iter_mut().position(Call::has_turn).expect("somebody's turn");
            now = waiting.remove(next);
            assert!(
                now.was_woken() && waiting.iter().all(|call| !call.was_woken()),
                "one is told, and no other"
            );
            order.push(now.pace.group.0);
        }
        assert_eq!(order[..6], [0, 1, 2, 0, 1, 0]);
        assert_eq!(order.len(), 53);
        drop(now);
        let line = lock(&turns.line);
        assert!(line.given.is_empty() && line.waiting.is_empty());
    }

    #[test]
    fn fewer_steps_than_threads_run_at_once() {
        for (threads, expected) in [(0, 1), (1, 1), (2, 1), (3, 2), (8, 7)] {
            let (turns, groups) = busy(threads, 4);
            let mut calls: Vec<Call> = (0..40).map(|n| Call::new(&turns, groups[n % 4])).collect();
            assert_eq!(
                calls.iter_mut().filter_map(|call| call.has_turn().then_some(())).count(),
                expected,
                "{threads}"
            );
        }
    }

    #[test]
    fn a_call_that_is_dropped_or_rests_holds_nobody_up() {
        let (turns, groups) = busy(2, 3);
        let mut calls: Vec<Call> = (0..9).map(|n| Call::new(&turns, groups[n % 3])).collect();
        assert_eq!(calls.iter_mut().filter_map(|call| call.has_turn().then_some(())).count(), 1);
        // Of those that wait, and of the call whose turn has come and which has not run yet.
        drop(calls.remove(4));
        drop(calls.remove(0));
        assert!(calls[0].was_woken());
        drop(calls.remove(0));
        let at = calls.iter().position(Call::was_woken).expect("the next one is told");
        assert!(calls[at].has_turn());
        calls[at].pace.rest();
        assert_eq!(calls.iter_mut().filter(|call| call.was_woken()).count(), 1);
        drop(calls);
        let line = lock(&turns.line);
        assert!(line.given.is_empty() && line.waiting.is_empty());
    }

    #[test]
    fn a_turn_that_is_not_used_is_taken_back() {
        let (turns, groups) = busy(2, 2);
        let (mut a, mut b) = (Call::new(&turns, groups[0]), Call::new(&turns, groups[1]));
        assert!(a.has_turn() && !b.has_turn());
        let mut c = Call::new(&turns, groups[0]);
        assert!(!c.has_turn());
        // As if all of them had been given long ago.
        let long_ago = |turns: &Turns| {
            lock(&turns.line).given.values_mut().for_each(|since| *since = Nanos(0))
        };
        long_ago(&turns);
        assert!(turns.take_back(), "one still waits");
        assert!(b.was_woken() && b.has_turn() && !c.was_woken());
        a.pace.did(GIVE_WAY_BYTES, Duration::ZERO);
        assert!(!a.has_turn(), "it gives way");
        assert!(!a.has_turn(), "and is the last in line now");
        long_ago(&turns);
        turns.take_back();
        // One that comes too late for its turn asks again.
        assert!(c.was_woken());
        long_ago(&turns);
        turns.take_back();
        assert!(a.was_woken() && !c.has_turn() && a.has_turn());
        drop((a, b));
        assert!(c.was_woken() && c.has_turn());
        drop(c);
        assert!(!turns.take_back());
    }

    #[test]
    fn steps_are_cut_until_they_are_short() {
        let turns = Turns::new(Clock::start(), 2);
        let mut pace = turns.pace(TurnGroup(0));
        for _ in 0..20 {
            pace.did(pace.step_bytes(), 10 * STEP_TIME_MAX);
        }
        assert_eq!(pace.step_bytes(), STEP_BYTES_MIN);
        for _ in 0..20 {
            pace.did(pace.step_bytes(), Duration::from_micros(1));
        }
        assert_eq!(pace.step_bytes(), STEP_BYTES_MAX);
    }

    #[test]
    fn a_body_is_slow_by_its_time_for_its_bytes() {
        let turns = Turns::new(Clock::start(), 2);
        let mut quick = turns.pace(TurnGroup(0));
        for _ in 0..10_000 {
            quick.did(STEP_BYTES_MAX, STEP_TIME_MAX);
        }
        assert!(!quick.is_slow(), "it is long, and each byte is quick");
        let mut slow = turns.pace(TurnGroup(0));
        for _ in 0..3 {
            assert!(!slow.is_slow());
            slow.did(STEP_BYTES_MIN, STEP_TIME_MAX);
        }
        assert!(slow.is_slow());
    }

    /// Many tasks on several threads: each gets all its turns, never more than one at once, and
    /// none is forgotten.
    #[test]
    fn no_turn_is_lost_among_threads() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (turns, groups) = busy(2, 5);
        let (stop, within) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        runtime.block_on(async {
            let tracker = TaskTracker::new();
            let keeper = tracker.spawn(Arc::clone(&turns).keep(stop.clone()));
            let tasks: Vec<_> = (0..60)
                .map(|n| {
                    let (turns, group, within) =
                        (Arc::clone(&turns), groups[n % 5], Arc::clone(&within));
                    tracker.spawn(async move {
                        let mut pace = turns.pace(group);
                        for step in 0..100 {
                            if step == 50 && n % 7 == 0 {
                                // Some leave in the middle of their wait.
                                drop(tokio::time::timeout(Duration::ZERO, pace.turn()).await);
                                return 0;
                            }
                            pace.turn().await;
                            within.fetch_add(1, Ordering::SeqCst);
                            pace.step(GIVE_WAY_BYTES, || {
                                std::hint::black_box(within.load(Ordering::SeqCst))
                            });
                        }
                        100
                    })
                })
                .collect();
            for (n, task) in tasks.into_iter().enumerate() {
                let done = tokio::time::timeout(Duration::from_secs(60), task)
                    .await
                    .expect("nobody waits forever");
                assert_eq!(done.expect("no panic"), if n % 7 == 0 { 0 } else { 100 });
            }
            stop.cancel();
            keeper.await.expect("the keeper ends");
        });
        let line = lock(&turns.line);
        assert!(line.given.is_empty() && line.waiting.is_empty());
    }
}
