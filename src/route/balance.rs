//! In which order a call goes to the targets of a list.
//!
//! Stage 7 of the walk. Pure: chance, load and health are arguments. Promises: calls are shared by
//! weight; among equal weights the target with the fewest calls is next; a target whose circuit is
//! open gets its share only when the others are no better; a sticky caller stays at one target
//! while that is well, and if it moves, only from one that is not; what is not chosen follows in
//! the order of the list, targets of weight 0 last. Does not: know how a target is doing.

use crate::config::policy::{Spread, Target, Targets};

/// How a target is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Its circuit is open.
    pub open: bool,
    /// Calls that are there now.
    pub calls: u32,
}

/// The places of the list in the order in which they are tried; empty where that is the list's own
/// order.
///
/// `caller`: who calls, for lists that are sticky. `random` is in 0..1.
pub fn order(
    targets: &Targets,
    caller: &str,
    random: f64,
    load: impl Fn(&Target) -> Load,
) -> Vec<usize> {
    if targets.spread == Spread::InOrder {
        return Vec::new();
    }
    let list = &targets.list;
    let mut choice: Vec<(usize, Load)> =
        list.iter().enumerate().filter(|(_, t)| t.weight > 0).map(|(i, t)| (i, load(t))).collect();
    if choice.iter().any(|(_, load)| !load.open) {
        choice.retain(|(_, load)| !load.open);
    }
    let first = if targets.sticky {
        drawn(&choice, |i| f64::from(list[i].weight) / -share(caller, &list[i]).ln())
    } else if targets.spread == Spread::LeastLoaded {
        let fewest = choice.iter().map(|(_, load)| load.calls).min();
        choice.retain(|(_, load)| Some(load.calls) == fewest);
        by_weight(&choice, |_| 1, random)
    } else {
        by_weight(&choice, |i| list[i].weight, random)
    };
    let rest = |weighs: bool| {
        (0..list.len()).filter(move |i| (list[*i].weight > 0) == weighs && Some(*i) != first)
    };
    first.into_iter().chain(rest(true)).chain(rest(false)).collect()
}

/// One of them, each as likely as it weighs.
fn by_weight(
    choice: &[(usize, Load)],
    weight: impl Fn(usize) -> u32,
    random: f64,
) -> Option<usize> {
    let total: u64 = choice.iter().map(|(i, _)| u64::from(weight(*i))).sum();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "64 weights of a million are exact in a double"
    )]
    let mut left = (random.clamp(0.0, 1.0) * total as f64) as u64;
    let drawn = choice.iter().find(|(i, _)| {
        let weight = u64::from(weight(*i));
        let here = left < weight;
        left = left.saturating_sub(weight);
        here
    });
    drawn.or(choice.last()).map(|(i, _)| *i)
}

/// The one with the highest lot.
fn drawn(choice: &[(usize, Load)], lot: impl Fn(usize) -> f64) -> Option<usize> {
    choice.iter().map(|(i, _)| *i).max_by(|a, b| lot(*a).total_cmp(&lot(*b)))
}

/// A number in 0..1 that a caller always draws for a target, here and in every replica (weighted
/// rendezvous hashing: whoever goes away takes only its own callers along).
fn share(caller: &str, target: &Target) -> f64 {
    let model = target.model.as_deref().unwrap_or_default();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in [caller, &*target.provider.name, model] {
        for byte in part.bytes().chain([0xff]) {
            // FNV-1a: the same on every machine and in every version.
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    // FNV mixes its last bytes badly; this is the finish of MurmurHash3.
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in a double")]
    let share = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    share
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::options;
    use crate::config::policy::Provider;
    use crate::config::sections::{RawProvider, RawTimeouts};

    fn targets(spread: Spread, sticky: bool, weights: &[u32]) -> Targets {
        let timeouts = options::<RawTimeouts>("{}");
        let target = |(i, weight): (usize, &u32)| {
            let provider = Provider {
                name: Arc::from(format!("p{i}")),
                base_url: http::Uri::from_static("http://localhost/v1"),
                forward_headers: vec![],
                egress: Arc::default(),
                auth: None,
                options: options::<RawProvider>("{}"),
            };
            Target {
                provider: Arc::new(provider),
                weight: *weight,
                model: None,
                timeouts,
                facts: Default::default(),
            }
        };
        Targets { list: weights.iter().enumerate().map(target).collect(), spread, sticky }
    }

    fn well(_: &Target) -> Load {
        Load { open: false, calls: 0 }
    }

    /// How many of a thousand evenly spread draws come first at each target.
    fn firsts(targets: &Targets, load: impl Fn(&Target) -> Load) -> Vec<usize> {
        let mut firsts = vec![0; targets.list.len()];
        for n in 0..1000 {
            let order = order(targets, "acme", f64::from(n) / 1000.0, &load);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(
                sorted,
                (0..targets.list.len()).collect::<Vec<_>>(),
                "everyone once: {order:?}"
            );
            firsts[order[0]] += 1;
        }
        firsts
    }

    #[test]
    fn calls_are_shared_by_weight() {
        let three_to_one = targets(Spread::ByWeight, false, &[3, 1, 0]);
        assert_eq!(firsts(&three_to_one, well), [750, 250, 0]);
        assert_eq!(
            order(&three_to_one, "", 0.9, well),
            [1, 0, 2],
            "the others follow, the reserve last"
        );
        // An open circuit gives its share to the others, by their weights; if all are open, nobody
        // is left out.
        let ill = |name: &'static str| {
            move |t: &Target| Load { open: *t.provider.name == *name, calls: 0 }
        };
        assert_eq!(firsts(&targets(Spread::ByWeight, false, &[6, 3, 1]), ill("p0")), [0, 750, 250]);
        assert_eq!(firsts(&three_to_one, |_| Load { open: true, calls: 0 }), [750, 250, 0]);
        assert_eq!(order(&targets(Spread::InOrder, false, &[1, 1]), "", 0.5, well), [0; 0]);
    }

    #[test]
    fn among_equals_the_one_with_the_fewest_calls_is_next() {
        let equals = targets(Spread::LeastLoaded, false, &[2, 2, 2]);
        let calls =
            |t: &Target| Load { open: false, calls: if *t.provider.name == *"p1" { 1 } else { 5 } };
        assert_eq!(firsts(&equals, calls), [0, 1000, 0]);
        let ties = firsts(&equals, well);
        assert!(ties.iter().all(|n| (333..=334).contains(n)), "{ties:?}");
    }

    #[test]
    fn a_sticky_caller_moves_only_from_a_target_that_is_not_well() {
        let sticky = targets(Spread::ByWeight, true, &[1, 2, 1]);
        let mut shares = [0; 3];
        for n in 0..1000 {
            let caller = format!("org-{n}");
            let first = order(&sticky, &caller, 0.1, well)[0];
            shares[first] += 1;
            assert_eq!(order(&sticky, &caller, 0.9, well)[0], first, "whatever chance says");
            let other = format!("p{}", (first + 1) % 3);
            let ill = |t: &Target| Load { open: *t.provider.name == *other, calls: 0 };
            assert_eq!(
                order(&sticky, &caller, 0.5, ill)[0],
                first,
                "another's illness moves nobody"
            );
            let own = format!("p{first}");
            let ill = |t: &Target| Load { open: *t.provider.name == *own, calls: 0 };
            assert_ne!(order(&sticky, &caller, 0.5, ill)[0], first);
        }
        assert!(
            (400..=600).contains(&shares[1]) && shares[0] > 170 && shares[2] > 170,
            "{shares:?}"
        );
    }
}
