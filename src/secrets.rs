//! Secrets: text or bytes that must never be printed, fixed or from a file that may change.
//!
//! A leaf. Guarantees: `Debug` shows neither the value nor its length; a value is wiped when the
//! last user drops it; reading one takes no lock and no allocation, and sees the newest good
//! content of its file. Does not: watch files (`live` does).

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::Guard;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::{Zeroize as _, Zeroizing};

use crate::bounds::{PLACEHOLDER_KEY_BYTES_MIN, SECRET_FILE_BYTES_MAX};
use crate::live::{Content, Kind, Live, LiveFiles, Wrong};

/// A secret text: a key, a password.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(Held<Text>);

/// Secret bytes: the key of a signature.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretBytes(Held<Bytes>);

/// 256 random bits as 43 characters of base64url; nothing if the system gives no random numbers.
pub fn random() -> Option<String> {
    let mut bits = [0; 32];
    rand::fill(&mut bits).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bits))
}

/// The text of a secret, as it is now. Do not keep it.
pub struct Revealed<'s>(Now<&'s str>);

/// The bytes of a secret, as they are now. Do not keep them.
pub struct RevealedBytes<'s>(Now<&'s [u8]>);

#[derive(Clone)]
enum Held<T> {
    Fixed(T),
    File(Arc<Live<FromFile>>),
}

enum Now<T> {
    Fixed(T),
    File(Guard<Arc<FromFile>>),
}

#[derive(Clone, PartialEq, Eq)]
struct Text(Arc<str>);

#[derive(Clone, PartialEq, Eq)]
struct Bytes(Arc<[u8]>);

/// A secret that was read from a file.
pub struct FromFile {
    value: Value,
    /// Differs for each content that a process reads.
    generation: u64,
}

enum Value {
    Text(Zeroizing<String>),
    Bytes(Zeroizing<Vec<u8>>),
}

/// A text that may become the value of a header.
pub static PLAIN: Kind<FromFile> = Kind {
    name: "secret",
    bytes_max: SECRET_FILE_BYTES_MAX,
    private: Some(0),
    read: |contents| text(&contents[0], char::is_control).map(Value::Text).map(FromFile::new),
};

/// A text that is used as the key of signatures.
pub static TEXT: Kind<FromFile> = Kind {
    name: "secret text",
    bytes_max: SECRET_FILE_BYTES_MAX,
    private: Some(0),
    read: |contents| text(&contents[0], |c| c == '\0').map(Value::Text).map(FromFile::new),
};

/// Bytes in base64.
pub static BASE64: Kind<FromFile> = Kind {
    name: "secret in base64",
    bytes_max: SECRET_FILE_BYTES_MAX,
    private: Some(0),
    read: |contents| {
        let text = text(&contents[0], |c| c == '\0')?;
        let reason = "is not base64; write the bytes in base64, as `openssl rand -base64 32` does";
        let bytes = decode(text.trim()).filter(|bytes| !bytes.is_empty());
        bytes.map(Value::Bytes).map(FromFile::new).ok_or_else(|| (0, reason.to_owned()))
    },
};

/// Any bytes, at least [`PLACEHOLDER_KEY_BYTES_MIN`].
pub static KEY: Kind<FromFile> = Kind {
    name: "key",
    bytes_max: SECRET_FILE_BYTES_MAX,
    private: Some(0),
    read: |contents| {
        let bytes = without_line_end(&contents[0]);
        if bytes.len() < PLACEHOLDER_KEY_BYTES_MIN {
            let reason = format!("is too short; give at least {PLACEHOLDER_KEY_BYTES_MIN} bytes");
            return Err((0, reason));
        }
        Ok(FromFile::new(Value::Bytes(Zeroizing::new(bytes.to_vec()))))
    },
};

/// Base64 with or without padding.
const PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, PADDING);

/// The bytes of a text in either alphabet of base64.
pub fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    [&STANDARD, &URL_SAFE].iter().find_map(|code| code.decode(text).ok()).map(Zeroizing::new)
}

/// A file without its last line end. Passwords may end in blanks.
fn without_line_end(content: &[u8]) -> &[u8] {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    content.strip_suffix(b"\r").unwrap_or(content)
}

fn text(content: &Content, is_refused: fn(char) -> bool) -> Result<Zeroizing<String>, Wrong> {
    let refused = |reason: &str| (0, reason.to_owned());
    let text = std::str::from_utf8(without_line_end(content)).map_err(|_| {
        refused("is not UTF-8 text; give text, or a secret of other bytes in base64")
    })?;
    if text.contains('\0') {
        return Err(refused("has a NUL byte; give the secret as text"));
    }
    if text.contains(is_refused) {
        return Err(refused(
            "has a line break or another control character; give the secret alone",
        ));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

impl FromFile {
    fn new(value: Value) -> FromFile {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        FromFile { value, generation: GENERATION.fetch_add(1, Ordering::Relaxed) }
    }

    fn bytes(&self) -> &[u8] {
        match &self.value {
            Value::Text(text) => text.as_bytes(),
            Value::Bytes(bytes) => bytes,
        }
    }

    fn text(&self) -> &str {
        match &self.value {
            Value::Text(text) => text,
            // The kinds that a `Secret` is read by give text.
            Value::Bytes(_) => "",
        }
    }
}

impl Secret {
    /// Wraps a secret.
    pub fn new(text: &str) -> Secret {
        Secret(Held::Fixed(Text(Arc::from(text))))
    }

    /// The secret in a file, as it is at each use.
    ///
    /// # Errors
    /// `reason; remedy`: the file cannot be read, or holds no such text.
    pub fn of_file(files: &LiveFiles, path: PathBuf) -> Result<Secret, String> {
        files.open(&PLAIN, vec![path]).map(|live| Secret(Held::File(live)))
    }

    /// The secret itself. Call it only where it is used.
    pub fn reveal(&self) -> Revealed<'_> {
        Revealed(match &self.0 {
            Held::Fixed(Text(text)) => Now::Fixed(text),
            Held::File(live) => Now::File(live.load()),
        })
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.reveal().is_empty()
    }

    /// The file that holds it.
    pub fn file(&self) -> Option<&Path> {
        self.0.file()
    }
}

impl SecretBytes {
    /// Wraps a secret.
    pub fn new(bytes: &[u8]) -> SecretBytes {
        SecretBytes(Held::Fixed(Bytes(Arc::from(bytes))))
    }

    /// The secret in a file, as it is at each use.
    ///
    /// # Errors
    /// `reason; remedy`: the file cannot be read, or its content is not of this kind.
    pub fn of_file(
        files: &LiveFiles,
        kind: &'static Kind<FromFile>,
        path: PathBuf,
    ) -> Result<SecretBytes, String> {
        files.open(kind, vec![path]).map(|live| SecretBytes(Held::File(live)))
    }

    /// The secret itself. Call it only where it is used.
    pub fn reveal(&self) -> RevealedBytes<'_> {
        RevealedBytes(match &self.0 {
            Held::Fixed(Bytes(bytes)) => Now::Fixed(bytes),
            Held::File(live) => Now::File(live.load()),
        })
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.reveal().is_empty()
    }

    /// The file that holds it.
    pub fn file(&self) -> Option<&Path> {
        self.0.file()
    }

    /// A number that changes with the content of the file; 0 for a secret that cannot change.
    pub fn generation(&self) -> u64 {
        match &self.0 {
            Held::Fixed(_) => 0,
            Held::File(live) => live.load().generation,
        }
    }
}

impl<T> Held<T> {
    fn file(&self) -> Option<&Path> {
        match self {
            Held::Fixed(_) => None,
            Held::File(live) => live.paths().first().map(PathBuf::as_path),
        }
    }
}

/// Equal secrets have the same value, and keep it: of files, the same file is meant.
impl<T: PartialEq> PartialEq for Held<T> {
    fn eq(&self, other: &Held<T>) -> bool {
        match (self, other) {
            (Held::Fixed(own), Held::Fixed(other)) => own == other,
            (Held::File(own), Held::File(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }
}

impl<T: Eq> Eq for Held<T> {}

impl<T: Default> Default for Held<T> {
    fn default() -> Held<T> {
        Held::Fixed(T::default())
    }
}

impl Default for Text {
    fn default() -> Text {
        Text(Arc::from(""))
    }
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes(Arc::from([]))
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        if let Some(text) = Arc::get_mut(&mut self.0) {
            text.zeroize();
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Some(bytes) = Arc::get_mut(&mut self.0) {
            bytes.zeroize();
        }
    }
}

impl Deref for Revealed<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Now::Fixed(text) => text,
            Now::File(file) => file.text(),
        }
    }
}

impl Deref for RevealedBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Now::Fixed(bytes) => bytes,
            Now::File(file) => file.bytes(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hidden(f, self.file(), self.is_empty())
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hidden(f, self.file(), self.is_empty())
    }
}

fn hidden(f: &mut fmt::Formatter<'_>, file: Option<&Path>, is_empty: bool) -> fmt::Result {
    match file {
        Some(file) => write!(f, "(secret in {})", file.display()),
        None => f.write_str(if is_empty { "(none)" } else { "(secret)" }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The value of a file with this content.
    fn read(kind: &'static Kind<FromFile>, content: &[u8]) -> Result<Vec<u8>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        fs::write(&path, content).expect("written");
        let secret = SecretBytes::of_file(&LiveFiles::default(), kind, path)?;
        Ok(secret.reveal().to_vec())
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?} {:?}", Secret::new("sk-1"), Secret::default()), "(secret) (none)");
        assert_eq!(format!("{:?}", SecretBytes::new(b"sk-1")), "(secret)");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, "sk-1234").expect("written");
        let secret = Secret::of_file(&LiveFiles::default(), path).expect("a secret");
        let shown = format!("{secret:?}");
        assert!(shown.contains("key") && !shown.contains("sk-"), "{shown}");
    }

    #[test]
    fn one_line_end_is_no_part_of_a_secret() {
        for (content, expected) in [
            ("sk-1", "sk-1"),
            ("sk-1\n", "sk-1"),
            ("sk-1\r\n", "sk-1"),
            ("sk-1 ", "sk-1 "),
            (" sk-1", " sk-1"),
        ] {
            assert_eq!(read(&PLAIN, content.as_bytes()), Ok(expected.as_bytes().to_vec()));
        }
    }

    #[test]
    fn each_kind_refuses_what_it_cannot_use() {
        let long = vec![b'x'; usize::try_from(SECRET_FILE_BYTES_MAX).expect("fits") + 1];
        let table: &[(&'static Kind<FromFile>, &[u8], &str)] = &[
            (&PLAIN, b"", "is empty"),
            (&PLAIN, b"\n", "is empty"),
            (&PLAIN, b"a\0b", "has a NUL byte"),
            (&PLAIN, b"one\n\n", "has a line break"),
            (&PLAIN, b"one\ntwo\n", "has a line break"),
            (&PLAIN, b"a\x1b[0m", "another control character"),
            (&PLAIN, b"\xff\xfe", "is not UTF-8"),
            (&PLAIN, &long, "is larger than 64 KiB"),
            (&TEXT, b"a\0b", "has a NUL byte"),
            (&BASE64, b"?", "is not base64"),
            (&BASE64, b"===", "is not base64"),
            (&KEY, &[7; 31], "is too short"),
        ];
        for (kind, content, reason) in table {
            let refused = read(kind, content).expect_err("refused");
            assert!(refused.contains(reason), "{refused}");
        }
        assert_eq!(read(&TEXT, b"one\ntwo\n"), Ok(b"one\ntwo".to_vec()));
        assert_eq!(read(&BASE64, b"AP-AIAEC_w==\n"), Ok(vec![0, 255, 128, 32, 1, 2, 255]));
        assert_eq!(read(&KEY, &[0; 32]), Ok(vec![0; 32]));
    }

    #[test]
    fn a_new_content_has_another_generation() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        fs::write(&path, "one").expect("written");
        let files = LiveFiles::default();
        let secret = SecretBytes::of_file(&files, &TEXT, path.clone()).expect("a secret");
        let before = secret.generation();
        files.look();
        assert_eq!(secret.generation(), before);
        fs::write(&path, "two").expect("written");
        files.look();
        assert_ne!(secret.generation(), before);
        assert_eq!((&*secret.reveal(), SecretBytes::new(b"x").generation()), (&b"two"[..], 0));
    }

    #[test]
    fn equality_is_of_text_or_of_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, "sk-1").expect("written");
        let files = LiveFiles::default();
        let of_file = || Secret::of_file(&files, path.clone()).expect("a secret");
        assert_eq!(of_file(), of_file());
        assert_ne!(of_file(), Secret::new("sk-1"));
        assert_eq!(Secret::new("sk-1"), Secret::new("sk-1"));
    }
}
