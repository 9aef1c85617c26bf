//! `cors`, checked.

use http::{HeaderName, Uri};

use super::super::policy::Cors;
use super::super::reader::place::Problems;
use super::super::reader::shape::At;
use super::super::sections::RawCors;
use super::{distinct, port_fits};

pub(crate) fn cors(raw: &RawCors, problems: &mut Problems) -> Cors {
    distinct(&raw.origins, problems);
    for origin in raw.origins.iter().filter(|origin| !is_origin(&origin.value)) {
        problems.add(
            &origin.at,
            "not an origin; give scheme, host and port as browsers do, without a path: \
                https://app.example.com",
        );
    }
    if raw.origins.len() > 1
        && let Some(any) = raw.origins.iter().find(|origin| origin.value == "*")
    {
        problems.add(&any.at, "`*` already stands for every origin; give it alone");
    }
    Cors {
        origins: raw.origins.iter().map(|origin| origin.value.clone()).collect(),
        headers: raw.headers.iter().filter_map(|name| header(name, problems)).collect(),
        max_age: raw.max_age.value,
    }
}

/// `*`, or an origin in the form in which browsers send it.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return text == "*" };
    let is_plain = !scheme.is_empty()
        && !authority.is_empty()
        && text.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase())
        && !authority.contains(['/', '?', '#', '@', '*']);
    is_plain && text.parse::<Uri>().is_ok_and(|uri| uri.host().is_some() && port_fits(&uri))
}

fn header(given: &At<String>, problems: &mut Problems) -> Option<HeaderName> {
    let name = given.value.trim().parse().ok();
    if name.is_none() {
        problems.add(
            &given.at,
            "not the name of a header; give letters, digits and `-`, e.g. \
            x-team",
        );
    }
    name
}
