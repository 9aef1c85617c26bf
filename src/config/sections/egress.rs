//! `proxy` of providers and of the collector: a word, a URL, or a mapping with the password apart.

use serde_json::{Value as Json, json};

use super::super::reader::node::{Node, Value};
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Kind, Shape, section};
use crate::ids::Secret;

/// `env`, `none`, the URL of a proxy, or a [`RawProxy`].
#[derive(Clone, Debug)]
pub enum ProxySource {
    /// A word or a URL.
    Text(String),
    /// The mapping.
    Apart(Box<RawProxy>),
}

impl Shape for ProxySource {
    fn read(node: &Node, problems: &mut Problems) -> Option<ProxySource> {
        if matches!(node.value, Value::Map(_)) {
            return RawProxy::read(node, problems).map(Box::new).map(ProxySource::Apart);
        }
        String::read(node, problems).map(ProxySource::Text)
    }
    fn json(&self) -> Json {
        match self {
            ProxySource::Text(text) => text.json(),
            ProxySource::Apart(proxy) => proxy.json(),
        }
    }
    fn schema() -> Json {
        json!({"anyOf": [{"type": "string"}, RawProxy::schema()]})
    }
    fn kind() -> Kind {
        Kind::Or(
            "env",
            Box::new(Kind::Or("none", Box::new(Kind::Or("http://…", Box::new(RawProxy::kind()))))),
        )
    }
}

section! {
    /// A proxy whose password is not in its address.
    RawProxy {
        /// http(s)://host:port
        url: String;
        /// User at the proxy.
        username: String = "''";
        /// Its password; best `{file: PATH}`, which is watched: new connections use a new one
        /// within a second.
        password: Secret = "''";
    }
}
