//! `${NAME}` and `${NAME:-default}` in a value.
//!
//! Works on one scalar after the YAML has been parsed, so what a variable holds can never become
//! YAML structure. `${NAME:-default}` stands in for a variable that is unset or empty, as in the
//! shell; `$${` is a literal `${`. A default is taken as it stands: it ends at the first `}` and
//! refers to nothing itself.

use super::place::{Environment, UNSET};

/// Why a reference cannot be resolved. Quotes names of variables, never what they hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvError {
    #[error("{UNSET}{0} is not set; set it, or give a default: ${{{0}:-…}}")]
    Unset(String),
    #[error(
        "`${{` is not closed; write ${{NAME}} or ${{NAME:-default}}, or $${{ for a literal ${{"
    )]
    Open,
    #[error(
        "`${{{0}}}` is not a reference; write ${{NAME}} or ${{NAME:-default}} with a name of A-Z, \
         a-z, 0-9 and _"
    )]
    Name(String),
}

/// Resolves every reference in `text`; `None` if there is none, so that the text stays as it is.
///
/// # Errors
/// The first reference that cannot be resolved.
pub(crate) fn expand(text: &str, lookup: Environment) -> Result<Option<String>, EnvError> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let inside = &rest[at + 2..];
        let end = inside.find('}').ok_or(EnvError::Open)?;
        let (name, default) = match inside[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inside[..end], None),
        };
        if !is_name(name) {
            return Err(EnvError::Name(inside[..end].chars().take(40).collect()));
        }
        match (lookup(name), default) {
            (Some(value), None) => out.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => out.push_str(&value),
            (_, Some(default)) => out.push_str(default),
            (None, None) => return Err(EnvError::Unset(name.to_owned())),
        }
        rest = &inside[end + 1..];
    }
    out.push_str(rest);
    Ok(Some(out))
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(name: &str) -> Option<String> {
        match name {
            "KEY" => Some("sk-1".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${KEY}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn references_are_resolved() {
        let table = [
            ("plain", None),
            ("$HOME and $5", None),
            ("${KEY}", Some("sk-1")),
            ("Bearer ${KEY}!", Some("Bearer sk-1!")),
            ("${KEY}${KEY}", Some("sk-1sk-1")),
            ("${EMPTY}", Some("")),
            ("${EMPTY:-x}", Some("x")),
            ("${NONE:-x y:-z}", Some("x y:-z")),
            ("${NONE:-}", Some("")),
            ("${KEY:-x}", Some("sk-1")),
            ("$${KEY}", Some("${KEY}")),
            ("a$$${KEY}", Some("a$${KEY}")),
            // The value of a variable is never expanded again.
            ("${NESTED}", Some("${KEY}")),
        ];
        for (text, expected) in table {
            assert_eq!(expand(text, look), Ok(expected.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn wrong_references_are_told() {
        assert_eq!(expand("${NONE}", look), Err(EnvError::Unset("NONE".into())));
        assert_eq!(expand("${KEY", look), Err(EnvError::Open));
        for bad in ["${}", "${1A}", "${A B}", "${KEY:x}", "${KEY-x}"] {
            assert!(matches!(expand(bad, look), Err(EnvError::Name(_))), "{bad}");
        }
    }
}
