//! The keys of stable placeholders: one secret, and a key of its own for each organisation.
//!
//! Level 3 of the map. Guarantees: without the secret nobody can tell which value a placeholder
//! stands for, be the value a telephone number of which all can be tried; the placeholders of two
//! organisations have nothing in common. Does not: keep values (`redact` does, for one call).
//!
//! `orgkey = HKDF-SHA256(ikm = secret, salt = "tollgate placeholder v1", info = "org\0" ‖ org)`;
//! `digest = HMAC-SHA256(orgkey, kind ‖ 0 ‖ value)` (RFC 5869, RFC 2104).

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::{ArcSwap, Guard};
use aws_lc_rs::{hkdf, hmac, rand};

use crate::bounds::PLACEHOLDER_KEY_BYTES_MIN;
use crate::config::policy::Settings;
use crate::ids::{OrgId, SecretBytes};
use crate::redact::PlaceholderKey;

/// The secret that is kept where none is configured, in `data_dir`.
const FILE: &str = "placeholder.key";
/// Separates these keys from all others that may follow from the same secret.
const SALT: &[u8] = b"tollgate placeholder v1";

/// Makes the keys of organisations.
#[derive(Debug)]
pub struct PlaceholderKeys {
    secret: SecretBytes,
    derived: ArcSwap<Derived>,
}

/// The root of all keys.
#[derive(Debug)]
struct Derived {
    root: hkdf::Prk,
    /// That of the secret it follows from.
    generation: u64,
}

/// The key of one organisation.
#[derive(Debug)]
struct OrgKey(hmac::Key);

impl PlaceholderKeys {
    /// Those of the configured secret, or of one that `data_dir` keeps from now on.
    ///
    /// # Errors
    /// The secret cannot be read, or a new one not be written.
    pub fn open(settings: &Settings) -> anyhow::Result<PlaceholderKeys> {
        Ok(PlaceholderKeys::of_secret(match &settings.placeholder_key {
            Some(secret) => secret.clone(),
            None => SecretBytes::new(&own(&settings.options.data_dir)?),
        }))
    }

    /// The same for looking on: nothing is made, so there may be no secret.
    ///
    /// # Errors
    /// The configured secret cannot be read.
    pub fn existing(settings: &Settings) -> anyhow::Result<Option<PlaceholderKeys>> {
        let is_made = settings.options.data_dir.join(FILE).exists();
        if settings.placeholder_key.is_none() && !is_made {
            return Ok(None);
        }
        PlaceholderKeys::open(settings).map(Some)
    }

    fn of_secret(secret: SecretBytes) -> PlaceholderKeys {
        let derived = ArcSwap::from_pointee(Derived::of(&secret));
        PlaceholderKeys { secret, derived }
    }

    /// The root of the keys, which follows from the secret as it is now.
    fn derived(&self) -> Guard<Arc<Derived>> {
        let derived = self.derived.load();
        if derived.generation == self.secret.generation() {
            return derived;
        }
        self.derived.store(Arc::new(Derived::of(&self.secret)));
        self.derived.load()
    }

    /// The key of an organisation.
    pub fn of(&self, org: &OrgId) -> Option<Arc<dyn PlaceholderKey>> {
        let mut key = [0; 32];
        let info = [b"org\0", org.as_str().as_bytes()];
        self.derived().root.expand(&info, hkdf::HKDF_SHA256).ok()?.fill(&mut key).ok()?;
        Some(Arc::new(OrgKey(hmac::Key::new(hmac::HMAC_SHA256, &key))))
    }
}

impl Derived {
    fn of(secret: &SecretBytes) -> Derived {
        // Before the secret: one that changes in between is taken once more.
        let generation = secret.generation();
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&secret.reveal());
        Derived { root, generation }
    }
}

impl PlaceholderKey for OrgKey {
    fn digest(&self, kind: &str, value: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(kind.as_bytes());
        context.update(&[0]);
        context.update(value);
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

/// The secret that `data_dir` keeps; made now, if there is none.
fn own(data_dir: &Path) -> anyhow::Result<Vec<u8>> {
    let path = data_dir.join(FILE);
    match fs::read(&path) {
        Ok(secret) if secret.len() >= PLACEHOLDER_KEY_BYTES_MIN => {
            let ours = fs::Permissions::from_mode(0o600);
            fs::set_permissions(&path, ours).with_context(|| path.display().to_string())?;
            Ok(secret)
        }
        Ok(_) => anyhow::bail!("{}: damaged; delete it, or restore it", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut secret = vec![0; 32];
            rand::fill(&mut secret).ok().context("no random numbers")?;
            write(data_dir, &path, &secret).with_context(|| path.display().to_string())?;
            Ok(secret)
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Writes the file whole or not at all.
fn write(data_dir: &Path, path: &Path, secret: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
    file.write_all(secret)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    fs::File::open(data_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(secret: &[u8], org: &str, kind: &str, value: &str) -> [u8; 32] {
        let org = OrgId::new(org).expect("an organisation");
        let keys = PlaceholderKeys::of_secret(SecretBytes::new(secret));
        keys.of(&org).expect("a key").digest(kind, value.as_bytes())
    }

    #[test]
    fn a_digest_depends_on_secret_organisation_kind_and_value() {
        let known = digest(&[7; 32], "acme", "email", "jane@example.com");
        assert_eq!(known, digest(&[7; 32], "acme", "email", "jane@example.com"));
        for other in [
            digest(&[8; 32], "acme", "email", "jane@example.com"),
            digest(&[7; 32], "globex", "email", "jane@example.com"),
            digest(&[7; 32], "acme", "phone", "jane@example.com"),
            digest(&[7; 32], "acme", "email", "Jane@example.com"),
        ] {
            assert_ne!(known, other);
        }
    }

    #[test]
    fn the_secret_of_the_data_folder_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("a folder");
        let made = own(dir.path()).expect("made");
        assert_eq!(made.len(), 32);
        let wide = fs::Permissions::from_mode(0o644);
        fs::set_permissions(dir.path().join(FILE), wide).expect("set");
        assert_eq!(own(dir.path()).expect("read"), made);
        let mode = fs::metadata(dir.path().join(FILE)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(dir.path().join(FILE), "short").expect("written");
        assert!(own(dir.path()).is_err());
    }
}
