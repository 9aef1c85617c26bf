//! Signatures of JWTs: one place that says which primitive belongs to which algorithm.
//!
//! Pure. The cryptography is that of aws-lc-rs. Guarantees: a key verifies with its own family
//! only, so the token cannot choose another; comparisons take the same time for every signature.
//! Does not: decide which algorithms a policy allows (see `jwt`).
//!
//! # Source
//! RFC 7518 section 3, RFC 8037 section 3.1.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

use crate::config::policy::Algorithm;

/// A public key.
#[derive(Debug)]
pub enum PublicKey {
    /// Modulus and exponent.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point of the algorithm's curve, uncompressed.
    Ec {
        algorithm: Algorithm,
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// Whether this key signed the message so.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self {
            PublicKey::Rsa { n, e } => rsa(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }),
            PublicKey::Ec { algorithm: own, point } => {
                let curve: &'static dyn VerificationAlgorithm = match own {
                    Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
                    Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED,
                    Algorithm::ES512 => &ECDSA_P521_SHA512_FIXED,
                    _ => return false,
                };
                *own == algorithm
                    && UnparsedPublicKey::new(curve, point).verify(message, signature).is_ok()
            }
            PublicKey::Ed25519(key) => {
                algorithm == Algorithm::EdDSA
                    && UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
            }
        }
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

/// The HMAC key of a shared secret; `None` for an algorithm of another family.
pub fn hmac_key(algorithm: Algorithm, secret: &[u8]) -> Option<hmac::Key> {
    let hash = match algorithm {
        Algorithm::HS256 => hmac::HMAC_SHA256,
        Algorithm::HS384 => hmac::HMAC_SHA384,
        Algorithm::HS512 => hmac::HMAC_SHA512,
        _ => return None,
    };
    Some(hmac::Key::new(hash, secret))
}
