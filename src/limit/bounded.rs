//! A bounded map of counted values, one for each key.
//!
//! Exact under concurrency: a value is only touched under its shard's lock, which is held for the
//! arithmetic and nothing else. The caller decides which entries may be forgotten. At the bound
//! such entries are searched for, at most once a second. If there are none, the new key is refused,
//! so that a key cannot get a fresh value by crowding out its old one.
//!
//! Guarantees: never more entries than the bound. Does not: read a clock. The logic is the same
//! over any [`Slots`]; the tests run it under a model checker.

use std::hash::Hash;
use std::ops::DerefMut;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use dashmap::mapref::one::RefMut;

/// The map is full, and no entry may be forgotten.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// The underlying map: dashmap in the gateway; in tests a map that a model checker can interleave.
pub trait Slots<K, V> {
    /// A value and the lock that guards it.
    type Guard<'a>: DerefMut<Target = V>
    where
        Self: 'a;
    /// A known value.
    fn get(&self, key: &K) -> Option<Self::Guard<'_>>;
    /// A known value, or `fresh`; and whether it is fresh.
    fn get_or_insert(&self, key: K, fresh: V) -> (Self::Guard<'_>, bool);
    /// Drops the entries that `forget` selects, and returns their number.
    fn drop_all(&self, forget: &dyn Fn(&V) -> bool) -> usize;
    /// Takes one of `most` places; returns whether one was free.
    fn take_place(&self, most: usize) -> bool;
    /// Frees this many places.
    fn free_places(&self, count: usize);
    /// Places that are taken.
    fn taken(&self) -> usize;
}

/// Many locks, each over a part of the keys.
#[derive(Debug)]
pub struct Sharded<K: Eq + Hash, V> {
    map: DashMap<K, V>,
    taken: AtomicUsize,
}

/// The map with its bound.
#[derive(Debug)]
pub struct Bounded<K, V, S> {
    slots: S,
    most: usize,
    /// When it was last searched, in nanoseconds of the gateway's clock. At the bound every
    /// newcomer would search the whole map, so that a flood of newcomers would do nothing else.
    searched_at: AtomicU64,
    of: std::marker::PhantomData<(K, V)>,
}

const SEARCH_EVERY_NS: u64 = 1_000_000_000;

impl<K: Clone + Eq + Hash, V> Bounded<K, V, Sharded<K, V>> {
    /// An empty map for at most `most` entries.
    pub fn new(most: usize) -> Self {
        Bounded::over(Sharded { map: DashMap::new(), taken: AtomicUsize::new(0) }, most)
    }

    /// Shows every entry, a part of the map at a time.
    pub fn each(&self, mut show: impl FnMut(&K, &V)) {
        self.slots.map.iter().for_each(|entry| show(entry.key(), entry.value()));
    }
}

impl<K: Clone, V, S: Slots<K, V>> Bounded<K, V, S> {
    fn over(slots: S, most: usize) -> Self {
        Bounded { slots, most, searched_at: AtomicU64::new(0), of: std::marker::PhantomData }
    }

    /// The value of `key`, locked; made by `fresh` where there is none.
    ///
    /// # Errors
    /// [`Full`] for a newcomer at the bound.
    #[inline]
    pub fn get_or_make(
        &self,
        key: &K,
        now_ns: u64,
        fresh: impl FnOnce() -> V,
        forget: impl Fn(&V) -> bool,
    ) -> Result<S::Guard<'_>, Full> {
        if let Some(known) = self.slots.get(key) {
            return Ok(known);
        }
        self.make(key, now_ns, fresh(), &forget)
    }

    #[cold]
    fn make(
        &self,
        key: &K,
        now_ns: u64,
        fresh: V,
        forget: &dyn Fn(&V) -> bool,
    ) -> Result<S::Guard<'_>, Full> {
        if !self.slots.take_place(self.most) {
            if self.may_search(now_ns) {
                self.forget(forget);
            }
            if !self.slots.take_place(self.most) {
                // Another thread may have made it meanwhile.
                return self.slots.get(key).ok_or(Full);
            }
        }
        let (guard, made) = self.slots.get_or_insert(key.clone(), fresh);
        if !made {
            self.slots.free_places(1);
        }
        Ok(guard)
    }

    fn may_search(&self, now_ns: u64) -> bool {
        let last = self.searched_at.load(Ordering::Relaxed);
        let due = last == 0 || now_ns.saturating_sub(last) >= SEARCH_EVERY_NS;
        // The thread that sets it searches.
        due && self
            .searched_at
            .compare_exchange(last, now_ns.max(1), Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// A known value, locked.
    #[inline]
    pub fn get(&self, key: &K) -> Option<S::Guard<'_>> {
        self.slots.get(key)
    }

    /// Drops the entries that may be forgotten.
    pub fn forget(&self, forget: &dyn Fn(&V) -> bool) {
        let dropped = self.slots.drop_all(forget);
        self.slots.free_places(dropped);
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.slots.taken()
    }
}

impl<K: Eq + Hash, V> Slots<K, V> for Sharded<K, V> {
    type Guard<'a>
        = RefMut<'a, K, V>
    where
        Self: 'a;

    #[inline]
    fn get(&self, key: &K) -> Option<RefMut<'_, K, V>> {
        self.map.get_mut(key)
    }

    fn get_or_insert(&self, key: K, fresh: V) -> (RefMut<'_, K, V>, bool) {
        match self.map.entry(key) {
            Entry::Occupied(known) => (known.into_ref(), false),
            Entry::Vacant(place) => (place.insert(fresh), true),
        }
    }

    fn drop_all(&self, forget: &dyn Fn(&V) -> bool) -> usize {
        let mut dropped = 0;
        self.map.retain(|_, value| {
            let goes = forget(value);
            dropped += usize::from(goes);
            !goes
        });
        dropped
    }

    fn take_place(&self, most: usize) -> bool {
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            (taken < most).then_some(taken + 1)
        });
        taken.is_ok()
    }

    fn free_places(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::Relaxed);
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::num::NonZeroU32;
    use std::ops::Deref;

    use loom::sync::atomic::AtomicUsize as LoomUsize;
    use loom::sync::{Arc, Mutex, MutexGuard};

    use super::*;
    use crate::limit::bucket::{Cell, Quota};

    /// One lock over all keys, of a kind that loom interleaves.
    struct Modelled {
        map: Mutex<HashMap<u8, Cell>>,
        taken: LoomUsize,
    }

    struct Locked<'a>(MutexGuard<'a, HashMap<u8, Cell>>, u8);

    impl Deref for Locked<'_> {
        type Target = Cell;
        fn deref(&self) -> &Cell {
            &self.0[&self.1]
        }
    }

    impl DerefMut for Locked<'_> {
        fn deref_mut(&mut self) -> &mut Cell {
            self.0.get_mut(&self.1).expect("known")
        }
    }

    impl Slots<u8, Cell> for Modelled {
        type Guard<'a> = Locked<'a>;
        fn get(&self, key: &u8) -> Option<Locked<'_>> {
            let map = self.map.lock().expect("lock");
            map.contains_key(key).then(|| Locked(map, *key))
        }
        fn get_or_insert(&self, key: u8, fresh: Cell) -> (Locked<'_>, bool) {
            let mut map = self.map.lock().expect("lock");
            let made = !map.contains_key(&key);
            map.entry(key).or_insert(fresh);
            (Locked(map, key), made)
        }
        fn drop_all(&self, forget: &dyn Fn(&Cell) -> bool) -> usize {
            let mut map = self.map.lock().expect("lock");
            let before = map.len();
            map.retain(|_, cell| !forget(cell));
            before - map.len()
        }
        fn take_place(&self, most: usize) -> bool {
            let update = |taken| (taken < most).then_some(taken + 1);
            self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update).is_ok()
        }
        fn free_places(&self, count: usize) {
            self.taken.fetch_sub(count, Ordering::Relaxed);
        }
        fn taken(&self) -> usize {
            self.taken.load(Ordering::Relaxed)
        }
    }

    const NOW: u64 = 3_600_000_000_000;

    fn modelled(most: usize) -> Arc<Bounded<u8, Cell, Modelled>> {
        let slots = Modelled { map: Mutex::new(HashMap::new()), taken: LoomUsize::new(0) };
        Arc::new(Bounded::over(slots, most))
    }

    /// Whether a call of `org` passes; `None` where there is no room for it.
    fn passes(map: &Bounded<u8, Cell, Modelled>, org: u8, quota: &Quota) -> Option<bool> {
        let cell = map.get_or_make(&org, NOW, || quota.fresh(), |cell| cell.is_idle(NOW));
        cell.ok().map(|mut cell| cell.take(quota, NOW).wait.is_none())
    }

    /// Every interleaving in which no thread is preempted more than twice: enough to bring out a
    /// lost update, and done in a second.
    fn interleaved(run: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(run);
    }

    fn two() -> Quota {
        let two = NonZeroU32::new(2).expect("two");
        Quota::new(two, two, false)
    }

    /// Two calls of a new organisation pass and no third, while idle cells are being forgotten.
    #[test]
    fn whatever_the_order_exactly_the_quota_passes() {
        interleaved(|| {
            let map = modelled(4);
            let callers: Vec<_> = (0..2)
                .map(|_| {
                    let map = Arc::clone(&map);
                    loom::thread::spawn(move || {
                        (0..2).filter(|_| passes(&map, 1, &two()) == Some(true)).count()
                    })
                })
                .collect();
            map.forget(&|cell| cell.is_idle(NOW));
            let passed: usize =
                callers.into_iter().map(|caller| caller.join().expect("caller")).sum();
            assert_eq!((passed, map.len()), (2, 1));
        });
    }

    /// The bound holds, no throttled key is forgotten, and every place that was taken and not
    /// needed is free again.
    #[test]
    fn whatever_the_order_the_bound_holds_and_no_debt_is_forgotten() {
        interleaved(|| {
            let map = modelled(2);
            assert_eq!([passes(&map, 1, &two()), passes(&map, 1, &two())], [Some(true); 2]);
            let newcomers: Vec<_> = [2, 3]
                .map(|org| {
                    let map = Arc::clone(&map);
                    loom::thread::spawn(move || passes(&map, org, &two()))
                })
                .into();
            let known = passes(&map, 1, &two());
            let passed: Vec<_> =
                newcomers.into_iter().map(|caller| caller.join().expect("caller")).collect();
            assert_eq!(known, Some(false), "throttled, and stays so");
            assert_eq!(
                passed.iter().filter(|passed| passed.is_some()).count(),
                1,
                "one place was free"
            );
            assert_eq!((map.len(), map.slots.map.lock().expect("lock").len()), (2, 2));
        });
    }
}
