//! The keys of `admin`: the operators' side, and who may use it.

use serde_json::{Value as Json, json};

use super::super::reader::node::{Node, Value};
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Kind, Named, Shape, section, words};
use super::tls::RawTls;
use crate::ids::{OrgId, Secret};

words! {
    /// A role on the operators' side. Each has all that the one before it has.
    Role {
        /// Figures, and rows without texts.
        "viewer" => Viewer,
        /// Also the captured texts.
        "auditor" => Auditor,
        /// Also changes: keys, reloads.
        "operator" => Operator,
    }
}
words! {
    /// An operators' side without sign-in.
    OpenAccess {
        /// Only this machine may reach it.
        "none" => None,
        /// Any machine may read it.
        "insecure" => Insecure,
    }
}

/// How operators sign in.
#[derive(Clone, Debug)]
pub enum RawAccess {
    Open(OpenAccess),
    Tokens(Box<RawTokens>),
}

impl Shape for RawAccess {
    fn read(node: &Node, problems: &mut Problems) -> Option<RawAccess> {
        match &node.value {
            Value::Map(_) => {
                RawTokens::read(node, problems).map(|tokens| RawAccess::Tokens(Box::new(tokens)))
            }
            _ => OpenAccess::read(node, problems).map(RawAccess::Open),
        }
    }
    fn json(&self) -> Json {
        match self {
            RawAccess::Open(word) => word.json(),
            RawAccess::Tokens(tokens) => tokens.json(),
        }
    }
    fn schema() -> Json {
        json!({"anyOf": [OpenAccess::schema(), RawTokens::schema()]})
    }
    fn kind() -> Kind {
        Kind::Or("none, insecure", Box::new(RawTokens::kind()))
    }
}

/// The rights of a value of the role claim: a role for all organisations, or a [`RawScope`].
#[derive(Clone, Debug)]
pub enum RawGrant {
    /// For all organisations.
    Role(Role),
    /// For some of them.
    Scope(Box<RawScope>),
}

impl Shape for RawGrant {
    fn read(node: &Node, problems: &mut Problems) -> Option<RawGrant> {
        match &node.value {
            Value::Map(_) => RawScope::read(node, problems).map(Box::new).map(RawGrant::Scope),
            _ => Role::read(node, problems).map(RawGrant::Role),
        }
    }
    fn json(&self) -> Json {
        match self {
            RawGrant::Role(role) => role.json(),
            RawGrant::Scope(scope) => scope.json(),
        }
    }
    fn schema() -> Json {
        json!({"anyOf": [Role::schema(), RawScope::schema()]})
    }
    fn kind() -> Kind {
        Kind::Or("viewer, auditor, operator", Box::new(RawScope::kind()))
    }
}

section! {
    /// The operators' side.
    RawAdmin {
        /// Host names under which the dashboard and the API answer, besides `localhost` and IP
        /// addresses; without a port. /metrics, /healthz and /readyz answer to any name.
        allowed_hosts: Vec<At<String>> = "[]", eg "tollgate.internal";
        /// Sign-in: none (only while `admin_listen` is a loopback address), insecure (none, on any
        /// address), or `{tokens: [{name: alice, role: operator, sha256: …, orgs: []}]}`. Only the
        /// SHA-256 of a token is kept. Roles: viewer (figures, and rows without texts), auditor
        /// (also captured texts), operator (also changes). With `orgs`, a token sees only these
        /// organisations. Beside the tokens or instead of them, people sign in by OpenID Connect:
        /// `{oidc: {issuer: …, client_id: …, client_secret: …, roles: {GROUP: operator}}}`.
        access: RawAccess = "none";
        /// TLS on the operators' side; null for plain HTTP.
        tls: Option<RawTls> = "null", eg "{cert_file: /etc/tollgate/admin.crt, key_file: \
            /etc/tollgate/admin.key}";
        /// Address at which browsers reach the operators' side, such as
        /// https://tollgate.example.com, if it has a name or a TLS proxy stands before it. Required
        /// for `oidc` unless `admin_listen` is a loopback address.
        public_url: String = "''";
        /// If true, /metrics needs no sign-in.
        metrics_open: bool = "false";
    }
}
section! {
    /// Sign-in by tokens and by OpenID Connect.
    RawTokens {
        /// Tokens, for programs and people. Make one with `openssl rand -base64 32`.
        tokens: Vec<At<RawToken>> = "[]";
        /// OpenID Connect, for people.
        oidc: Option<RawOidc> = "null";
    }
}
section! {
    /// Sign-in by an OpenID provider, with authorization code and PKCE.
    RawOidc {
        /// The issuer, exactly as its discovery document names it.
        issuer: String;
        /// Name of the gateway at the issuer. Its redirect URI there is `/sign-in/callback` of
        /// `public_url`.
        client_id: String;
        /// Its secret, or `{file: PATH}`, which is watched; empty for a public client.
        client_secret: Secret = "''";
        /// Scopes that are asked for; `openid` is one of them.
        scopes: Vec<At<String>> = "[openid, profile, email]";
        /// Claim of the ID token with the groups or roles of a person: a text or a list. Dots lead
        /// into objects; a claim that is a URL is one name.
        role_claim: String = "groups";
        /// Role for each value of that claim, for all organisations, or with the organisations:
        /// `acme-team: {role: viewer, orgs: [acme]}`. The highest role counts, with the
        /// organisations of all values that give it. A person without a role is refused.
        roles: Named<RawGrant>;
    }
}
section! {
    /// The rights of a value of the role claim.
    RawScope {
        /// viewer, auditor or operator.
        role: Role;
        /// Organisations whose figures and rows such people see; empty: all, or those of `org_claim`.
        orgs: Vec<At<OrgId>> = "[]";
        /// Claim of the ID token with the names of those organisations: a text or a list, as in
        /// `role_claim`. Without a name in it, the value gives no role.
        org_claim: String = "''";
    }
}
section! {
    /// A token of an operator.
    RawToken {
        /// Holder of the token; the name in the log.
        name: String;
        /// SHA-256 of the token, as 64 hex digits: `printf %s "$TOKEN" | sha256sum`.
        sha256: String;
        /// viewer, auditor or operator.
        role: Role;
        /// Organisations whose figures and rows it sees; empty: all.
        orgs: Vec<At<OrgId>> = "[]";
    }
}
