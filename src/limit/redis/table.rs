//! The servers that count, and which of them counts for whom.
//!
//! A single server, or the master that sentinels name, counts for everyone. In a cluster the slot
//! of a key decides: CRC-16 of the text between the first braces, of 16,384 slots. Pure but for the
//! connection that a server's entry holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::dial::Link;
use crate::config::policy::RedisAddress;

/// Slots of a cluster.
pub const SLOTS: usize = 16_384;
/// No server has this slot.
pub const UNOWNED: u16 = u16::MAX;

/// A server that counts.
pub struct Node {
    /// Its address.
    pub address: RedisAddress,
    /// Absent while it is away.
    link: ArcSwapOption<Link>,
    /// Its connection failed.
    pub broken: Notify,
    /// It is being replaced: it takes no calls, those under way are answered.
    paused: AtomicBool,
    /// The first attempt to connect it is over.
    pub tried: CancellationToken,
    /// It does not count any more.
    pub gone: CancellationToken,
    /// A refusal of the user has been told.
    pub told: AtomicBool,
}

impl Node {
    /// A server that is not connected yet.
    pub fn new(address: RedisAddress) -> Arc<Node> {
        Arc::new(Node {
            address,
            link: ArcSwapOption::empty(),
            broken: Notify::new(),
            paused: AtomicBool::new(false),
            tried: CancellationToken::new(),
            gone: CancellationToken::new(),
            told: AtomicBool::new(false),
        })
    }

    /// The connection, unless it is away or paused.
    pub fn link(&self) -> Option<Arc<Link>> {
        if self.paused.load(Ordering::Acquire) { None } else { self.link.load_full() }
    }

    /// Whether calls can be decided.
    pub fn is_up(&self) -> bool {
        !self.paused.load(Ordering::Acquire) && self.link.load().is_some()
    }

    /// It is connected; not if it has been replaced meanwhile.
    pub fn connected(&self, link: Link) -> Arc<Link> {
        let link = Arc::new(link);
        self.told.store(false, Ordering::Relaxed);
        self.link.store(Some(Arc::clone(&link)));
        if self.gone.is_cancelled() {
            self.close();
        }
        link
    }

    /// Drops this connection, if it is still the one in use. Calls that wait for an answer on it go
    /// on waiting.
    pub fn drop_link(&self, link: &Arc<Link>) -> bool {
        let current = self.link.load();
        let is_current = current.as_ref().is_some_and(|current| Arc::ptr_eq(current, link));
        if is_current {
            drop(self.link.compare_and_swap(&*current, None));
            self.broken.notify_one();
        }
        is_current
    }

    /// Takes no further calls, or takes them again. Returns whether that is a change.
    pub fn pause(&self, paused: bool) -> bool {
        self.paused.swap(paused, Ordering::AcqRel) != paused
    }

    /// It does not count any more: its connection ends at once.
    pub fn retire(&self) {
        self.gone.cancel();
        self.close();
    }

    fn close(&self) {
        if let Some(link) = self.link.swap(None) {
            link.close();
        }
    }
}

/// Which server counts for whom.
pub struct Table {
    /// The servers that count.
    pub nodes: Vec<Arc<Node>>,
    /// The place in `nodes` for each slot of a cluster.
    owners: Option<Box<[u16; SLOTS]>>,
}

impl Table {
    /// No server is known yet, or one that counts for everyone.
    pub fn of_one(node: Option<Arc<Node>>) -> Table {
        Table { nodes: node.into_iter().collect(), owners: None }
    }

    /// The masters of a cluster.
    pub fn of_slots(nodes: Vec<Arc<Node>>, owners: Box<[u16; SLOTS]>) -> Table {
        Table { nodes, owners: Some(owners) }
    }

    /// The server for a key.
    pub fn node_of(&self, key: &[u8]) -> Option<&Arc<Node>> {
        match &self.owners {
            None => self.nodes.first(),
            Some(owners) => self.nodes.get(usize::from(owners[usize::from(slot(key))])),
        }
    }

    /// The keys that one script may have together have the same group.
    pub fn group(&self, key: &[u8]) -> u16 {
        if self.owners.is_some() { slot(key) } else { 0 }
    }

    /// The server with this address.
    pub fn at(&self, address: &RedisAddress) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|node| node.address == *address)
    }

    /// Whether every key has a server that can be asked.
    pub fn is_whole(&self) -> bool {
        !self.nodes.is_empty()
            && self.nodes.iter().all(|node| node.is_up())
            && self.owners.as_ref().is_none_or(|owners| !owners.contains(&UNOWNED))
    }

    /// A tag, for between the braces of a key, of which this server has the slot.
    pub fn tag_of(&self, node: &Arc<Node>) -> Option<String> {
        let Some(owners) = &self.owners else { return Some(String::new()) };
        let place = self.nodes.iter().position(|other| Arc::ptr_eq(other, node))?;
        let fits = |tag: &String| {
            usize::from(owners[usize::from(slot(format!("{{{tag}}}").as_bytes()))]) == place
        };
        (0..TAGS_TRIED).map(|number| number.to_string()).find(fits)
    }
}

/// A tag, for between the braces of a key, whose slot is one of these.
pub fn tag_between(from: u16, to: u16) -> Option<String> {
    let fits = |tag: &String| (from..=to).contains(&slot(format!("{{{tag}}}").as_bytes()));
    (0..TAGS_TRIED).map(|number| number.to_string()).find(fits)
}

/// Enough to find one of any 10 slots with near certainty.
const TAGS_TRIED: u32 = 20_000;

/// The slot of a key.
pub fn slot(key: &[u8]) -> u16 {
    let tag = tag(key);
    let crc =
        tag.iter().fold(0_u16, |crc, byte| (crc << 8) ^ CRC[usize::from((crc >> 8) as u8 ^ byte)]);
    crc % SLOTS as u16
}

/// The part of a key that decides on its slot.
fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let inside = &key[open + 1..];
    match inside.iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(close) => &inside[..close],
    }
}

/// CRC-16/XMODEM, by the byte.
const CRC: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the Redis Cluster specification and of `CLUSTER KEYSLOT`.
    #[test]
    fn slots_are_those_of_the_servers() {
        for (key, expected) in [
            ("123456789", 0x31c3),
            ("foo", 12_182),
            ("foo{}{bar}", 8_363),
            ("{user1000}.following", 3_443),
            ("tollgate:{user1000}:o:r", 3_443),
            ("foo{{bar}}zap", 4_015),
        ] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn each_server_has_a_tag_of_its_own() {
        let node = |port| Node::new(RedisAddress { host: "h".to_owned(), port });
        let nodes = vec![node(1), node(2)];
        let mut owners = Box::new([0; SLOTS]);
        owners[9_000..].fill(1);
        let table = Table::of_slots(nodes, owners);
        for node in &table.nodes {
            let key = format!("tollgate:{{{}}}:x", table.tag_of(node).expect("a tag"));
            assert!(table.node_of(key.as_bytes()).is_some_and(|found| Arc::ptr_eq(found, node)));
        }
    }
}
