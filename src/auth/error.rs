//! Why a call has no caller: for the client in general words, for operators exactly.
//!
//! Pure. Guarantees: no message quotes a part of the request; a client learns more than "not
//! valid" only where its token carries a valid signature, or nothing secret is said. The
//! [`Reason`] is for the operators' counter, log and dashboard alone.

use crate::code::Code;

/// Why a call has no caller. `Display` is the message for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AuthError {
    code: Code,
    reason: Reason,
    message: &'static str,
}

impl AuthError {
    /// No credential was sent.
    pub(super) const fn missing(message: &'static str) -> AuthError {
        AuthError { code: Code::MissingToken, reason: Reason::Missing, message }
    }

    /// The credential is not valid.
    pub(super) const fn invalid(reason: Reason, message: &'static str) -> AuthError {
        AuthError { code: Code::InvalidToken, reason, message }
    }

    /// The token cannot be verified. The client is not told why: that would help a forger more
    /// than a user.
    pub(super) const fn unverified(reason: Reason) -> AuthError {
        AuthError::invalid(
            reason,
            "the token cannot be verified; check that it was issued for this gateway and copied \
             whole",
        )
    }

    /// The token is valid, but names no organisation.
    pub(super) const fn no_org() -> AuthError {
        AuthError {
            code: Code::OrgMissing,
            reason: Reason::NoOrg,
            message: "the token is valid but names no organization that can be used; its \
                organization claim has to be a short name or a number",
        }
    }

    /// The public code.
    pub fn code(self) -> Code {
        self.code
    }

    /// The exact reason, for operators.
    pub fn reason(self) -> Reason {
        self.reason
    }
}

/// Declares the reasons, with the text of each.
macro_rules! reasons {
    ($( $(#[$doc:meta])* $reason:ident: $text:literal, )*) => {
        /// Why a credential was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason { $( $(#[$doc])* $reason, )* }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Reason] = &[ $( Reason::$reason, )* ];

            /// The value of the counter's label `reason`: lower snake case, stable.
            pub const fn as_str(self) -> &'static str {
                match self { $( Reason::$reason => $text, )* }
            }
        }
    };
}

reasons! {
    /// No credential was sent.
    Missing: "missing",
    /// Two readers could understand the headers differently: sent twice, another scheme.
    Headers: "headers",
    /// A JWT or gateway key stands in both places.
    TwoCredentials: "two_credentials",
    /// `auth.accept` does not have this kind of credential, or the bearer is of no known kind.
    NotAccepted: "not_accepted",
    /// The endpoint needs a JWT, and the credential is none.
    JwtNeeded: "jwt_needed",
    /// A gateway key that the policy does not have.
    UnknownKey: "unknown_key",
    /// A token with a valid signature, or a known key, whose time is over.
    Expired: "expired",
    /// A token with a valid signature whose time has not come (`nbf`, `iat`).
    NotYetValid: "not_yet_valid",
    /// `aud` does not name the audience of the policy.
    Audience: "audience",
    /// `iss` is not the issuer of the policy.
    Issuer: "issuer",
    /// The signature does not belong to the token under the key that verifies it.
    Signature: "signature",
    /// No key of the set has this key id and algorithm.
    UnknownKid: "unknown_kid",
    /// No key set has been read yet.
    NoKeySet: "no_key_set",
    /// The algorithm is not allowed by the policy, or there is no key for it.
    Algorithm: "algorithm",
    /// Not three parts of base64url, or a header that the strict profile refuses.
    Malformed: "malformed",
    /// The signature is valid, but a claim is missing (`exp`) or has the wrong type.
    Claims: "claims",
    /// The token is valid, but its organisation claim is missing or cannot be used.
    NoOrg: "no_org",
}
