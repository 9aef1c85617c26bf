//! The parties that share the gateway, and the share of each.
//!
//! Stages 1 and 4 of the walk. Every bound on what callers hold is a pool of `share`; here are the
//! pools, and the parties that share them: each organisation with a JWT or a gateway key; all
//! pass-through callers together, in which each address is a part; anonymous callers likewise; and
//! all connections that have had no authenticated call yet, by address. Promises: a party costs one
//! look-up; the maps are bounded, and what holds nothing is forgotten. Does not: say what a refused
//! caller is told.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use super::readers::Readers;
use crate::auth::Caller;
use crate::bounds::{
    INTENTS_BACKGROUND_MAX, SHARE_OF_FREE_UNKNOWN, SHARING_PARTIES_MAX, decoder_bytes_max,
    readers_max,
};
use crate::config::policy::Accept;
use crate::ids::OrgId;
use crate::metrics::Metrics;
use crate::share::{Party, Pool, Resource};

/// Where a connection comes from, as far as it is counted: an IPv4 address, or the first 64 bits of
/// an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(IpAddr);

impl Address {
    /// Of a peer.
    pub fn of(ip: IpAddr) -> Address {
        Address(match ip.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
            ip => ip,
        })
    }
}

/// The shared bounds, and the parties.
pub struct Tenants {
    /// Connections that are served.
    pub connections: Arc<Pool>,
    /// Calls whose body is being read.
    pub reading: Arc<Pool>,
    /// Calls at work.
    pub calls: Arc<Pool>,
    /// Bytes that calls hold beyond their own allowance.
    pub bytes: Arc<Pool>,
    /// Bytes that decoders of compressed bodies hold.
    pub decoders: Arc<Pool>,
    /// Work that goes on after its call.
    pub behind: Arc<Pool>,
    pub readers: Arc<Readers>,
    organizations: Parties<OrgId>,
    passthrough: ByAddress,
    anonymous: ByAddress,
    unknown: ByAddress,
}

impl Tenants {
    /// No party yet.
    pub fn new(connections: usize, calls: usize, held_bytes: usize, metrics: &Metrics) -> Tenants {
        let pool = |resource, most| Pool::new(resource, most, metrics);
        Tenants {
            connections: pool(Resource::Connections, connections),
            reading: pool(Resource::Readers, readers_max(calls)),
            calls: pool(Resource::Calls, calls),
            bytes: pool(Resource::Bytes, held_bytes),
            decoders: pool(Resource::DecoderBytes, decoder_bytes_max(held_bytes)),
            behind: pool(Resource::Background, INTENTS_BACKGROUND_MAX),
            readers: Arc::default(),
            organizations: Parties::new(Party::new()),
            passthrough: ByAddress::new(Party::new()),
            anonymous: ByAddress::new(Party::new()),
            unknown: ByAddress::new(Party::with_share(SHARE_OF_FREE_UNKNOWN)),
        }
    }

    /// Whom a call counts for.
    pub fn party(&self, caller: &Caller, address: Address) -> Arc<Party> {
        match caller.via {
            Accept::Jwt | Accept::Key => self.organizations.of(&caller.org, Party::new),
            Accept::Passthrough => self.passthrough.of(address),
            Accept::Anonymous => self.anonymous.of(address),
        }
    }

    /// Whom a connection counts for of which is known only where it comes from.
    pub fn unknown(&self, address: Address) -> Arc<Party> {
        self.unknown.of(address)
    }

    /// Forgets parties that hold nothing.
    pub fn forget_idle(&self) {
        self.organizations.forget_idle();
        [&self.passthrough, &self.anonymous, &self.unknown]
            .into_iter()
            .for_each(|by| by.parts.forget_idle());
    }
}

/// A party whose parts are addresses.
struct ByAddress {
    whole: Arc<Party>,
    parts: Parties<Address>,
}

impl ByAddress {
    fn new(whole: Arc<Party>) -> ByAddress {
        ByAddress { parts: Parties::new(whole.part()), whole }
    }

    fn of(&self, address: Address) -> Arc<Party> {
        self.parts.of(&address, || self.whole.part())
    }
}

/// Parties by what tells them apart.
struct Parties<K> {
    map: DashMap<K, Arc<Party>>,
    len: AtomicUsize,
    /// All for whom there is no room in the map.
    others: Arc<Party>,
}

impl<K: Clone + Eq + Hash> Parties<K> {
    fn new(others: Arc<Party>) -> Parties<K> {
        Parties { map: DashMap::new(), len: AtomicUsize::new(0), others }
    }

    fn of(&self, key: &K, new: impl FnOnce() -> Arc<Party>) -> Arc<Party> {
        if let Some(party) = self.map.get(key) {
            return Arc::clone(&party);
        }
        if self.len.fetch_add(1, Ordering::Relaxed) >= SHARING_PARTIES_MAX {
            self.len.fetch_sub(1, Ordering::Relaxed);
            return Arc::clone(&self.others);
        }
        let mut made = false;
        let party = self.map.entry(key.clone()).or_insert_with(|| {
            made = true;
            new()
        });
        if !made {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        Arc::clone(&party)
    }

    /// Under the lock of its shard nobody else can begin to use a party that only the map knows.
    fn forget_idle(&self) {
        self.map.retain(|_, party| {
            let used = Arc::strong_count(party) > 1;
            if !used {
                self.len.fetch_sub(1, Ordering::Relaxed);
            }
            used
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(org: &str, via: Accept) -> Caller {
        let org = OrgId::new(org).expect("name");
        Caller { org, name: Arc::from(""), via, upstream_key: None, key: None, tags: None }
    }

    fn address(text: &str) -> Address {
        Address::of(text.parse().expect("address"))
    }

    #[test]
    fn an_address_is_what_one_customer_has() {
        for (a, b, same) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8:1:2:3::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ] {
            assert_eq!(address(a) == address(b), same, "{a} {b}");
        }
    }

    #[test]
    fn organisations_are_parties_and_callers_without_one_are_parts_of_theirs() {
        let tenants = Tenants::new(10, 10, 10, &Metrics::new());
        let (here, there) = (address("10.0.0.1"), address("10.0.0.2"));
        let of = |org: &str, via, address| tenants.party(&caller(org, via), address);
        let acme = of("acme", Accept::Jwt, here);
        assert!(Arc::ptr_eq(&acme, &of("acme", Accept::Key, there)));
        assert!(!Arc::ptr_eq(&acme, &of("beta", Accept::Jwt, here)));
        // One that is named like callers without an organisation is another.
        assert!(!Arc::ptr_eq(&acme, &of("acme", Accept::Passthrough, here)));
        let (one, other) =
            (of("key-1", Accept::Passthrough, here), of("key-2", Accept::Passthrough, here));
        assert!(Arc::ptr_eq(&one, &other));
        let far = of("key-1", Accept::Passthrough, there);
        assert!(!Arc::ptr_eq(&one, &far) && std::ptr::eq(one.whole(), far.whole()));
        assert!(!std::ptr::eq(one.whole(), of("a", Accept::Anonymous, here).whole()));
        assert!(!std::ptr::eq(one.whole(), tenants.unknown(here).whole()));
        drop((acme, one, other, far));
        tenants.forget_idle();
        assert_eq!(
            (tenants.organizations.map.len(), tenants.organizations.len.load(Ordering::Relaxed)),
            (0, 0)
        );
        assert_eq!(tenants.passthrough.parts.map.len(), 0);
    }

    #[test]
    fn parties_beyond_the_bound_count_together() {
        let parties = Parties::new(Party::new());
        let all: Vec<_> =
            (0..SHARING_PARTIES_MAX + 2).map(|n| parties.of(&n, Party::new)).collect();
        let others = all.iter().filter(|party| Arc::ptr_eq(party, &parties.others)).count();
        assert_eq!(others, 2);
        parties.forget_idle();
        assert_eq!(parties.map.len(), SHARING_PARTIES_MAX);
        drop(all);
        parties.forget_idle();
        assert!(!Arc::ptr_eq(&parties.of(&(SHARING_PARTIES_MAX + 1), Party::new), &parties.others));
    }
}
