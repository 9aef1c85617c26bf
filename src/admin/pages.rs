//! The pages of the dashboard and their parts, as they are built into the program.
//!
//! Each page is the same document: its script reads the path. Guarantees: nothing is loaded from
//! elsewhere; a part that the browser has is not sent again. Does not: put anything of a request or
//! of the log into a page.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::access::Asker;
use super::body::Body;
use super::typed;
use crate::digest::sha256;

const PAGE: &str = include_str!("assets/index.html");
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// Paths of the pages. That of one call goes on with its id.
const PAGES: [&str; 7] =
    ["/", "/calls", "/organizations", "/providers", "/policy", "/log", "/calls/"];

/// A part of the pages.
struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! assets {
    ($($path:literal $kind:ident $file:literal,)*) => {
        [$(Asset { path: $path, kind: $kind, text: include_str!(concat!("assets/", $file)) }),*]
    };
}

const ASSETS: [Asset; 16] = assets! {
    "/assets/icon.svg" IMAGE "icon.svg",
    "/dashboard.css" STYLE "dashboard.css",
    "/assets/uplot.css" STYLE "uplot/uPlot.min.css",
    "/assets/uplot.js" SCRIPT "uplot/uPlot.iife.min.js",
    "/assets/main.js" SCRIPT "main.js",
    "/assets/dom.js" SCRIPT "dom.js",
    "/assets/state.js" SCRIPT "state.js",
    "/assets/charts.js" SCRIPT "charts.js",
    "/assets/filters.js" SCRIPT "filters.js",
    "/assets/overview.js" SCRIPT "overview.js",
    "/assets/calls.js" SCRIPT "calls.js",
    "/assets/call.js" SCRIPT "call.js",
    "/assets/organizations.js" SCRIPT "organizations.js",
    "/assets/providers.js" SCRIPT "providers.js",
    "/assets/policy.js" SCRIPT "policy.js",
    "/assets/log.js" SCRIPT "log.js",
};

/// The version of each part, for `ETag`.
static TAGS: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
    let tag = |asset: &Asset| {
        let digest = sha256(asset.text.as_bytes());
        let hex: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        HeaderValue::try_from(format!("\"{hex}\""))
    };
    ASSETS.iter().filter_map(|asset| tag(asset).ok()).collect()
});

/// The page or part at a path.
pub(crate) fn answer(path: &str, headers: &HeaderMap, asker: &Asker) -> Option<Response<Body>> {
    if is_page(path) {
        return Some(typed(HTML, page(asker)));
    }
    let (asset, tag) = ASSETS.iter().zip(TAGS.iter()).find(|(asset, _)| asset.path == path)?;
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag);
    let mut response = typed(asset.kind, Body::full(if is_known { "" } else { asset.text }));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response.headers_mut().insert(header::ETAG, tag.clone());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(response)
}

fn is_page(path: &str) -> bool {
    let of_call = |page: &str| page.ends_with('/') && page.len() > 1 && path.starts_with(page);
    PAGES.iter().any(|page| path == *page || of_call(page))
}

/// The document, with a way out for those who have signed in.
fn page(asker: &Asker) -> Body {
    if !asker.has_signed_in {
        return Body::full(PAGE);
    }
    let out = "<form method=\"post\" action=\"/sign-out\"><button>Sign out</button></form>";
    Body::full(PAGE.replace("<!--sign-out-->", out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_vendored_is_what_its_note_says() {
        let note = include_str!("assets/uplot/README.md");
        let sum = |text: &str| -> String {
            sha256(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let license = include_str!("assets/uplot/LICENSE");
        assert!(note.contains(&format!("{}  LICENSE", sum(license))));
        for Asset { path, text, .. } in ASSETS.iter().filter(|asset| asset.path.contains("uplot")) {
            assert!(note.contains(&sum(text)), "{path} has changed");
        }
    }

    #[test]
    fn the_document_names_every_part_and_nothing_from_elsewhere() {
        for Asset { path, text, .. } in &ASSETS {
            let is_named = PAGE.contains(path) || ASSETS.iter().any(|a| a.text.contains(path));
            let name = path.rsplit('/').next().expect("a name");
            let is_imported = ASSETS.iter().any(|a| a.text.contains(&format!("./{name}")));
            assert!(is_named || is_imported, "{path} is named nowhere");
            let is_ours = !path.contains("uplot") && !path.ends_with(".svg");
            assert!(!is_ours || !text.contains("http://") && !text.contains("https://"), "{path}");
        }
        assert!(!PAGE.contains("http") && !PAGE.contains("<style"), "{PAGE}");
        assert!(["/", "/calls", "/calls/0-1", "/log"].iter().all(|path| is_page(path)));
        assert!(!["/call", "/calls2", "/api/x", ""].iter().any(|path| is_page(path)));
    }
}
