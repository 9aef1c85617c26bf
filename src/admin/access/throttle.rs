//! Wrong tokens, counted by address and in all.
//!
//! Pure but for the log. A window of one minute: at its bound, further wrong tokens are refused at
//! once, whether they are wrong or not, until it is over; right bearers never come here. The first
//! of a window are told to operators, without the text that was tried.
//!
//! # Bounds
//! [`ADDRESSES_MAX`] addresses in a window; further ones count in all alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::Nanos;
use crate::lock::lock;

const WINDOW: Duration = Duration::from_secs(60);
/// Wrong tokens of one address in a window.
const OF_ADDRESS_MAX: u32 = 10;
/// Wrong tokens in a window.
const IN_ALL_MAX: u32 = 200;
const ADDRESSES_MAX: usize = 1024;
/// Lines of the log in a window.
const TOLD_MAX: u32 = 5;

#[derive(Default)]
pub(crate) struct Throttle(Mutex<Window>);

#[derive(Default)]
struct Window {
    began: Option<Nanos>,
    in_all: u32,
    by_address: HashMap<IpAddr, u32>,
}

impl Throttle {
    /// Seconds to wait, if this address may not try now.
    pub(crate) fn wait(&self, address: IpAddr, now: Nanos) -> Option<u64> {
        let mut window = lock(&self.0);
        window.turn(now);
        let of_address = window.by_address.get(&address).copied().unwrap_or_default();
        let is_full = of_address >= OF_ADDRESS_MAX || window.in_all >= IN_ALL_MAX;
        is_full.then(|| window.left_s(now))
    }

    /// A wrong token came from this address.
    ///
    /// # Errors
    /// There were too many: seconds to wait.
    pub(crate) fn failed(&self, address: IpAddr, now: Nanos) -> Result<(), u64> {
        if let Some(wait) = self.wait(address, now) {
            return Err(wait);
        }
        let mut window = lock(&self.0);
        window.in_all += 1;
        let in_all = window.in_all;
        if window.by_address.len() < ADDRESSES_MAX || window.by_address.contains_key(&address) {
            *window.by_address.entry(address).or_default() += 1;
        }
        drop(window);
        if in_all <= TOLD_MAX {
            tracing::warn!(event = "sign_in_refused", %address, "a wrong token");
        }
        Ok(())
    }
}

impl Window {
    fn turn(&mut self, now: Nanos) {
        if self.began.is_none_or(|began| now.since(began) >= WINDOW) {
            *self = Window { began: Some(now), ..Window::default() };
        }
    }

    fn left_s(&self, now: Nanos) -> u64 {
        let passed = self.began.map_or(Duration::ZERO, |began| now.since(began));
        WINDOW.saturating_sub(passed).as_secs().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tokens_are_bounded_by_address_and_in_all() {
        let throttle = Throttle::default();
        let at = |s: u64| Nanos::default().plus(Duration::from_secs(s));
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        for _ in 0..OF_ADDRESS_MAX {
            assert_eq!(throttle.failed(address(1), at(10)), Ok(()));
        }
        assert_eq!(throttle.failed(address(1), at(20)), Err(50));
        assert_eq!(throttle.wait(address(2), at(20)), None);
        for n in 0..IN_ALL_MAX - OF_ADDRESS_MAX {
            assert_eq!(throttle.failed(address(100 + n), at(20)), Ok(()));
        }
        assert_eq!(throttle.wait(address(2), at(21)), Some(49));
        // A new window.
        assert_eq!(throttle.wait(address(1), at(70)), None);
        assert_eq!(throttle.failed(address(1), at(70)), Ok(()));
    }
}
