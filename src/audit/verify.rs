//! Whether both copies of the audit hold one unbroken chain.
//!
//! Pure. Guarantees: of any record that was altered, removed, inserted or put elsewhere in either
//! copy, the first is named. Cannot tell: that the ends of both copies were cut alike, or that all
//! records of both were written anew; for that a head that has left the machine is compared.

use std::collections::HashSet;

use super::record::Entry;
use crate::digest::{from_hex, hex};

/// One copy, in its order; `None` is a line that is no record.
pub(crate) type Copy = [Option<Entry>];

/// The number and the hash of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) hash: [u8; 32],
}

impl Head {
    /// `SEQ:HASH`.
    pub(crate) fn text(&self) -> String {
        format!("{}:{}", self.seq, hex(&self.hash))
    }

    /// Reads `SEQ:HASH`.
    pub(crate) fn read(text: &str) -> Option<Head> {
        let (seq, hash) = text.split_once(':')?;
        Some(Head { seq: seq.parse().ok().filter(|seq| *seq > 0)?, hash: from_hex(hash)? })
    }
}

/// The first broken record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Its number.
    pub(crate) record: u64,
    /// The copy in which it is broken; `None` if the copies differ.
    pub(crate) copy: Option<&'static str>,
    /// A sentence that begins with the record.
    pub(crate) message: String,
    /// The store does not have the newest records (yet).
    pub(crate) is_store_behind: bool,
}

pub(crate) const FILE: &str = "audit.jsonl";
pub(crate) const STORE: &str = "store";

/// The first fault of the chain in a copy.
pub(crate) fn check_copy(copy: &'static str, entries: &Copy) -> Option<Fault> {
    let present: HashSet<u64> = entries.iter().flatten().map(|entry| entry.seq).collect();
    let fault = |record: u64, message: String| {
        Some(Fault { record, copy: Some(copy), message, is_store_behind: false })
    };
    let mut prev = [0; 32];
    for (expected, entry) in (1_u64..).zip(entries) {
        let Some(entry) = entry else {
            return fault(expected, format!("record {expected}: it is not a record"));
        };
        let seq = entry.seq;
        if !entry.is_intact {
            return fault(
                expected,
                format!("record {expected}: its content does not match its hash"),
            );
        }
        if seq < expected || (seq > expected && present.contains(&expected)) {
            return fault(expected, format!("record {seq} stands where record {expected} should"));
        }
        if seq > expected {
            let before = match expected {
                1 => format!("the copy begins with record {seq}"),
                _ => format!("record {seq} follows record {}", expected - 1),
            };
            return fault(expected, format!("record {expected} is missing: {before}"));
        }
        if entry.prev != prev {
            let before = match expected {
                1 => "it names a record before it".to_owned(),
                _ => format!("the hash that it names is not that of record {}", expected - 1),
            };
            return fault(expected, format!("record {expected}: {before}"));
        }
        prev = entry.hash;
    }
    None
}

/// The first record that the copies do not share.
fn compare(file: &Copy, store: &Copy) -> Option<Fault> {
    let fault = |record: u64, message: String, is_store_behind: bool| {
        Some(Fault { record, copy: None, message, is_store_behind })
    };
    for (number, place) in (1_u64..).zip(0..file.len().max(store.len())) {
        match (file.get(place), store.get(place)) {
            (None, _) => {
                return fault(
                    number,
                    format!("record {number} is in the store, not in {FILE}"),
                    false,
                );
            }
            (_, None) => {
                let message = format!("record {number} is in {FILE}, not in the store");
                return fault(number, message, true);
            }
            (Some(Some(one)), Some(Some(other))) if one.hash != other.hash => {
                let message = format!("record {number} differs between {FILE} and the store");
                return fault(number, message, false);
            }
            _ => {}
        }
    }
    None
}

/// The first broken record of both copies; a copy that is not given is not compared.
pub(crate) fn check(file: &Copy, store: Option<&Copy>) -> Option<Fault> {
    let of_store = store.and_then(|store| check_copy(STORE, store));
    let between = store.and_then(|store| compare(file, store));
    let faults = [check_copy(FILE, file), of_store, between];
    faults.into_iter().flatten().min_by_key(|fault| fault.record)
}

/// Whether the chain reaches a head that was noted elsewhere.
pub(crate) fn check_head(file: &Copy, head: &Head) -> Option<Fault> {
    let place = usize::try_from(head.seq - 1).unwrap_or(usize::MAX);
    let message = match file.get(place) {
        Some(Some(entry)) if entry.hash == head.hash => return None,
        Some(_) => format!("record {} does not have the hash of --head", head.seq),
        None => {
            format!("record {} is missing: the chain ends with record {}", head.seq, file.len())
        }
    };
    Some(Fault { record: head.seq, copy: Some(FILE), message, is_store_behind: false })
}

#[cfg(test)]
mod tests {
    use super::super::record::{divided, entry, hash, line};
    use super::*;

    /// Records as (record, hash).
    fn chain(length: u64) -> Vec<(String, String)> {
        let mut prev = [0; 32];
        let mut made = Vec::new();
        for seq in 1..=length {
            let record = format!(
                "{{\"seq\":{seq},\"at\":\"2026-11-{seq:02}T00:00:00.000Z\",\"prev\":\"{}\"}}",
                hex(&prev)
            );
            prev = hash(&prev, record.as_bytes());
            made.push((record, hex(&prev)));
        }
        made
    }

    fn read(records: &[(String, String)]) -> Vec<Option<Entry>> {
        records.iter().map(|(record, hash)| entry(record, hash)).collect()
    }

    type Break = fn(&mut Vec<(String, String)>);

    /// All that somebody may do to records 1 to 6 of a copy, and the record that is named.
    const BREAKS: [(Break, u64, &str); 13] = [
        (
            |c| c[2].0 = c[2].0.replace("11-03", "11-30"),
            3,
            "record 3: its content does not match its hash",
        ),
        (|c| c[2].1 = "0".repeat(64), 3, "record 3: its content does not match its hash"),
        (
            |c| c[2].0 = c[2].0.replace("\"seq\":3", "\"seq\":9"),
            3,
            "record 3: its content does not match its hash",
        ),
        (|c| c[2].0 = "{}".into(), 3, "record 3: it is not a record"),
        (|c| c[2].0 = "3".into(), 3, "record 3: it is not a record"),
        (|c| drop(c.remove(0)), 1, "record 1 is missing: the copy begins with record 2"),
        (|c| drop(c.remove(3)), 4, "record 4 is missing: record 5 follows record 3"),
        (|c| drop(c.drain(1..4)), 2, "record 2 is missing: record 5 follows record 1"),
        (|c| c.swap(2, 3), 3, "record 4 stands where record 3 should"),
        (|c| c.reverse(), 1, "record 6 stands where record 1 should"),
        (
            |c| {
                let again = c[1].clone();
                c.insert(4, again);
            },
            5,
            "record 2 stands where record 5 should",
        ),
        (
            |c| {
                let again = c[5].clone();
                c.push(again);
            },
            7,
            "record 6 stands where record 7 should",
        ),
        // A record that was made anew fits its own hash; the next one tells.
        (
            |c| {
                let record = c[2].0.replace("11-03", "11-30");
                let prev = entry(&c[2].0, &c[2].1).unwrap().prev;
                c[2] = (record.clone(), hex(&hash(&prev, record.as_bytes())));
            },
            4,
            "record 4: the hash that it names is not that of record 3",
        ),
    ];

    #[test]
    fn whatever_is_done_to_a_record_of_a_copy_is_named() {
        let whole = read(&chain(6));
        assert_eq!(check(&whole, None), None);
        assert_eq!(check(&whole, Some(&whole)), None);
        for (damage, record, message) in BREAKS {
            let mut records = chain(6);
            damage(&mut records);
            let broken = read(&records);
            let alone = check(&broken, None).unwrap_or_else(|| panic!("{message}"));
            assert_eq!((alone.record, alone.message.as_str()), (record, message));
            let in_file = check(&broken, Some(&whole)).expect("broken");
            let in_store = check(&whole, Some(&broken)).expect("broken");
            // Beside a whole copy the record itself is found, also one that was made anew.
            let is_anew = message.contains("the hash that it names");
            for (fault, copy) in [(in_file, FILE), (in_store, STORE)] {
                if is_anew {
                    assert_eq!(
                        fault.message,
                        format!("record 3 differs between {FILE} and the store")
                    );
                } else {
                    assert_eq!((fault.message.as_str(), fault.copy), (message, Some(copy)));
                }
            }
        }
    }

    #[test]
    fn every_single_change_of_a_byte_is_named() {
        let records = chain(3);
        let whole = read(&records);
        for (place, (record, hash)) in records.iter().enumerate() {
            let text = line(record, &from_hex(hash).expect("hex"));
            for at in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
                let text = String::from_utf8(bytes).expect("ASCII");
                let mut broken = whole.clone();
                broken[place] = divided(&text).and_then(|(record, hash)| entry(&record, hash));
                let fault = check(&broken, None).unwrap_or_else(|| panic!("{text}"));
                assert_eq!(fault.record, place as u64 + 1, "{text}: {}", fault.message);
            }
        }
    }

    #[test]
    fn a_cut_end_is_told_by_the_other_copy_or_by_a_head() {
        let (whole, cut) = (read(&chain(6)), read(&chain(4)));
        let fault = check(&cut, Some(&whole)).expect("cut");
        assert_eq!(fault.message, "record 5 is in the store, not in audit.jsonl");
        assert!(!fault.is_store_behind);
        let fault = check(&whole, Some(&cut)).expect("cut");
        assert_eq!(fault.message, "record 5 is in audit.jsonl, not in the store");
        assert!(fault.is_store_behind);
        assert_eq!(check(&whole, Some(&[])).expect("cut").record, 1);
        assert_eq!(check(&[], Some(&whole)).expect("cut").record, 1);
        // Both copies are cut alike.
        assert_eq!(check(&cut, Some(&cut)), None);
        let entry = whole[5].as_ref().expect("an entry");
        let head = Head { seq: 6, hash: entry.hash };
        assert_eq!(Head::read(&head.text()), Some(head));
        assert_eq!(check_head(&whole, &head), None);
        let fault = check_head(&cut, &head).expect("cut");
        assert_eq!(fault.message, "record 6 is missing: the chain ends with record 4");
        let fault = check_head(&whole, &Head { seq: 5, ..head }).expect("another hash");
        assert_eq!(fault.message, "record 5 does not have the hash of --head");
        for wrong in ["", "6", "0:", "x:00", &format!("0:{}", "0".repeat(64))] {
            assert_eq!(Head::read(wrong), None, "{wrong}");
        }
    }
}
