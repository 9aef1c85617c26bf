//! `cache`, checked.

use super::super::policy::{CachePolicy, CacheRules};
use super::super::reader::place::Problems;
use super::super::reader::shape::{PerOrg, Plain as _};
use super::super::sections::{CacheMode, RawCache};
use super::auth::is_api_path;
use super::globs;

/// `Some(None)` if the cache is off for every organisation, so that it costs nothing.
pub(crate) fn cache(
    raw: &PerOrg<RawCache>,
    problems: &mut Problems,
) -> Option<Option<Box<CacheRules>>> {
    let orgs = raw.checked(|raw| {
        let reason = "not a path of the API; give one below /v1/, e.g. /v1/embeddings";
        let endpoints = globs(&raw.endpoints, is_api_path, reason, problems);
        Some(CachePolicy { endpoints, options: raw.plain() })
    })?;
    let bytes_max = orgs.default.options.max_bytes;
    for (_, own) in &raw.orgs {
        if own.max_bytes.given && own.max_bytes.value.0 > bytes_max {
            let reason = "more than `cache.max_bytes`, which is the room of all organisations; give \
                less, or raise that";
            problems.add(&own.max_bytes.at, reason);
        }
    }
    let is_on = orgs.all().any(|policy| policy.options.mode == CacheMode::Exact);
    Some(is_on.then(|| Box::new(CacheRules { orgs, bytes_max })))
}
