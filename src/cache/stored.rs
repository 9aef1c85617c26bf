//! A kept answer, and its bytes in a file.
//!
//! Pure. A file is a mark, the SHA-256 of the rest, the length of the head, the head as JSON and
//! the body. The body is what the provider sent, in the format of the caller: values have been
//! neither put back nor taken out, which every call does for itself.
//!
//! Guarantees: a file that is cut, damaged or another one's is no answer. Does not: touch files.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::key::Key;
use crate::bounds::CACHE_HEAD_BYTES_MAX;
use crate::digest::{hex, sha256};

/// How a file begins.
const MARK: &[u8; 16] = b"tollgate cache 1";
const HEAD_AT: usize = MARK.len() + 32 + 4;

/// An answer to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub head: StoredHead,
    pub body: Bytes,
}

/// All of an answer but its body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredHead {
    /// Hexadecimal digits.
    pub key: String,
    pub org: String,
    /// Milliseconds since 1970.
    pub expires_ms: i64,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Of a translated call: its formats, the answer's header about it, and the fields of the row.
    pub translated: String,
    pub translation: String,
    pub dropped_fields: String,
    /// The cost of the call in 10⁻⁹ USD; `None` if it had no price.
    pub cost_nano_usd: Option<i64>,
}

impl Stored {
    /// Bytes that it takes, in a file and about in memory.
    pub fn bytes(&self) -> u64 {
        let headers: usize =
            self.head.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        (self.body.len() + headers + 512) as u64
    }

    /// The content of its file; `None` if its head is too long.
    pub fn to_file(&self) -> Option<Vec<u8>> {
        let head = serde_json::to_vec(&self.head).ok()?;
        let head_bytes = u32::try_from(head.len()).ok()?;
        if head.len() > CACHE_HEAD_BYTES_MAX {
            return None;
        }
        let mut file = Vec::with_capacity(HEAD_AT + head.len() + self.body.len());
        file.extend_from_slice(MARK);
        file.extend_from_slice(&[0; 32]);
        file.extend_from_slice(&head_bytes.to_be_bytes());
        file.extend_from_slice(&head);
        file.extend_from_slice(&self.body);
        let sum = sha256(&file[MARK.len() + 32..]);
        file[MARK.len()..MARK.len() + 32].copy_from_slice(&sum);
        Some(file)
    }

    /// The answer in a file; `None` if it is not whole, or not that of `key`.
    pub fn of_file(file: Vec<u8>, key: &Key) -> Option<Stored> {
        let head = head_of(&file)?;
        let sum = file.get(MARK.len()..MARK.len() + 32)?;
        if head.key != hex(&key.0) || sha256(file.get(MARK.len() + 32..)?) != sum {
            return None;
        }
        let begin = HEAD_AT + head_bytes(&file)?;
        Some(Stored { head, body: Bytes::from(file).split_off(begin) })
    }
}

/// The head in the first [`CACHE_HEAD_BYTES_MAX`] and a few bytes of a file, which is not checked.
pub fn head_of(file: &[u8]) -> Option<StoredHead> {
    if !file.starts_with(MARK) {
        return None;
    }
    let head = file.get(HEAD_AT..HEAD_AT + head_bytes(file)?)?;
    serde_json::from_slice(head).ok()
}

/// Bytes of a file that have its head.
pub const BEGINNING_BYTES: usize = HEAD_AT + CACHE_HEAD_BYTES_MAX;

fn head_bytes(file: &[u8]) -> Option<usize> {
    let bytes = file.get(HEAD_AT - 4..HEAD_AT)?.first_chunk::<4>()?;
    usize::try_from(u32::from_be_bytes(*bytes)).ok().filter(|n| *n <= CACHE_HEAD_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_and_its_own_or_no_answer() {
        let key = Key([7; 32]);
        let head = StoredHead {
            key: key.name(),
            org: "acme".to_owned(),
            expires_ms: 5,
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            cost_nano_usd: Some(12),
            ..StoredHead::default()
        };
        let stored = Stored { head, body: Bytes::from_static(b"{\"a\":1}") };
        let file = stored.to_file().expect("a file");
        assert_eq!(Stored::of_file(file.clone(), &key).as_ref(), Some(&stored));
        assert_eq!(head_of(&file).as_ref(), Some(&stored.head));
        assert_eq!(Stored::of_file(file.clone(), &Key([8; 32])), None);
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert_eq!(Stored::of_file(damaged, &key), None, "byte {at}");
            assert_eq!(Stored::of_file(file[..at].to_vec(), &key), None, "cut at {at}");
        }
        let long = "x".repeat(CACHE_HEAD_BYTES_MAX);
        let head = StoredHead { headers: vec![(long, String::new())], ..StoredHead::default() };
        assert_eq!(Stored { head, body: Bytes::new() }.to_file(), None);
    }
}
