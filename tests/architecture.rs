//! Which room may import which: modules of one crate have no walls, so this test is the wall.
//!
//! Reads `src/**/*.rs` and `crates/*/src/**/*.rs` as text: removes comments, strings and
//! `#[cfg(test)]` modules, then searches the rest for `crate::`, `super::` and `tollgate_wire::`
//! paths (groups in braces are expanded) and for names that pure files must not use. A new folder
//! under `src/` fails until it has a line in the table. Does not see through macros.
//!
//! Also holds the rules for tests: those that need a service are ignored with its name, and the
//! integration tests read no clock and no memory of a process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Everyone may import these.
const LEAVES: &[&str] = &[
    "bounds", "clock", "code", "digest", "failure", "glob", "ids", "live", "lock", "metrics",
    "money", "priority", "secrets", "share", "trace", "visible",
];

/// What a file may do besides computing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    /// No I/O, no clock, no tasks.
    Nothing,
    /// Tasks and waiting, but no sockets and no files.
    Wait,
    /// Its own sockets, files and tasks.
    Io,
}

use May::{Io, Nothing, Wait};

/// Rooms of level 1 whose option types stand in the policy.
const OPTION_TYPES: &[&str] = &[
    "redact",
    "cost",
    "wire",
    "intent/prompt",
    "limit/bucket",
    "limit/caps",
    "route",
    "upstream/retry",
    "upstream/breaker",
    "egress",
];

/// The same without `route`, which works with the policy, and with the structs that the sections
/// declare.
const POLICY_TYPES: &[&str] = &[
    "config/reader",
    "config/sections",
    "redact",
    "cost",
    "wire",
    "intent/prompt",
    "limit/bucket",
    "limit/caps",
    "upstream/retry",
    "upstream/breaker",
    "egress",
];

/// Room (or file of a room), what it may do, and what it may import besides the leaves and its own
/// folder. The longest name that fits a file counts; a pure file of another room (`limit/bucket`)
/// has a line of its own so that it can be imported without its room. Arrows point down only:
/// siblings of one level meet in `pipeline`.
const ROOMS: &[(&str, May, &[&str])] = &[
    // Level 0: leaves. They know nobody.
    ("bounds", Nothing, &["redact"]),
    ("clock", Io, &[]),
    ("code", Nothing, &[]),
    ("digest", Nothing, &[]),
    ("failure", Nothing, &[]),
    ("glob", Nothing, &[]),
    ("ids", Nothing, &[]),
    ("live", Io, &[]),
    ("lock", Nothing, &[]),
    ("metrics", Nothing, &[]),
    // `/proc` of the process itself.
    ("metrics/process", Io, &[]),
    ("money", Nothing, &[]),
    ("priority", Io, &[]),
    ("secrets", Nothing, &[]),
    ("share", Nothing, &[]),
    ("trace", Nothing, &[]),
    ("visible", Nothing, &[]),
    // Level 1: pure.
    // The crates `tollgate-redact` and `tollgate-wire`.
    ("redact", Nothing, &[]),
    ("wire", Nothing, &["redact"]),
    ("cost", Nothing, &["wire"]),
    ("intent/ticket", Nothing, &[]),
    ("intent/prompt", Nothing, &["config/sections", "wire"]),
    ("intent/parse", Nothing, &["intent/prompt", "intent/ticket"]),
    ("intent/prefer", Nothing, &[]),
    ("intent/question", Nothing, &["intent/prompt", "intent/ticket", "redact", "wire"]),
    ("intent/reader", Nothing, &["intent/ticket", "redact"]),
    ("limit/bucket", Nothing, &[]),
    ("limit/calendar", Nothing, &[]),
    ("limit/caps", Nothing, &["limit/bucket"]),
    ("limit/meter", Nothing, &["limit/bucket", "limit/calendar", "limit/caps"]),
    ("route", Nothing, &["redact", "wire", "config/policy"]),
    ("egress/alert", Nothing, &[]),
    ("egress/fault", Nothing, &[]),
    ("egress/issuer", Nothing, &[]),
    ("egress/rules", Nothing, &[]),
    ("upstream/retry", Nothing, &["egress/fault", "upstream/budget"]),
    ("upstream/budget", Nothing, &[]),
    ("upstream/breaker", Nothing, &[]),
    ("upstream/parties", Nothing, &["upstream/breaker", "upstream/budget", "upstream/retry"]),
    // The way out, for every room that connects.
    ("egress", Io, &[]),
    ("upstream/credentials/schedule", Nothing, &[]),
    ("upstream/credentials/token", Nothing, &["upstream/credentials/schedule"]),
    (
        "upstream/credentials/requests",
        Nothing,
        &["upstream/credentials/schedule", "upstream/credentials/token"],
    ),
    // Level 2: data, with the option types of level 1.
    ("config", Io, OPTION_TYPES),
    // Level 3, but for its place in the tree.
    (
        "config/watch",
        Io,
        &["audit", "config", "cost", "redact", "upstream/breaker", "upstream/retry", "wire"],
    ),
    ("config/reader", Nothing, &[]),
    (
        "config/sections",
        Nothing,
        &["config/reader", "cost", "redact", "upstream/breaker", "upstream/retry", "wire"],
    ),
    ("config/policy", Nothing, POLICY_TYPES),
    // Gateway keys made at run time, for the room that checks them.
    ("keys", Io, &["config"]),
    // Certificates of both listeners.
    ("tls", Io, &["config"]),
    // Records of edits, which the watcher of files writes before an edit is in force.
    ("audit", Io, &["config"]),
    ("audit/record", Nothing, &["config"]),
    ("audit/verify", Nothing, &["audit/record"]),
    // Level 3: rooms with I/O of their own. Never a sibling.
    ("auth", Io, &["config", "keys"]),
    // Operators' sign-in: asks the issuer itself.
    ("auth/oidc", Io, &["auth", "config", "egress"]),
    ("limit", Io, &["config"]),
    ("upstream", Io, &["config", "egress", "redact", "route", "wire"]),
    ("ailog", Io, &["config", "egress", "redact", "wire"]),
    ("report", Io, &["ailog", "config", "cost", "wire"]),
    ("alerts", Io, &["config", "egress"]),
    ("alerts/message", Nothing, &[]),
    ("alerts/pulse", Nothing, &[]),
    ("alerts/rules", Nothing, &["alerts/message", "alerts/pulse", "config/policy"]),
    ("cache", Io, &[]),
    ("cache/index", Nothing, &["cache/key", "cache/stored"]),
    ("cache/key", Nothing, &[]),
    ("cache/stored", Nothing, &["cache/key"]),
    // Reads the log, as `report` reads its stores; its makers of spans are pure.
    ("otlp", Io, &["ailog", "config", "egress"]),
    ("otlp/answer", Nothing, &["otlp"]),
    ("otlp/content", Nothing, &["otlp", "config"]),
    ("otlp/names", Nothing, &["config"]),
    ("otlp/protobuf", Nothing, &[]),
    ("otlp/span", Nothing, &["ailog", "config", "otlp"]),
    ("otlp/value", Nothing, &["otlp"]),
    ("objects", Io, &[]),
    ("placeholders", Io, &["config", "redact"]),
    // What a policy decides, for calls in progress and for rows of the log.
    ("judge", Nothing, &["config", "cost", "limit", "redact", "route", "wire"]),
    // A refusal, and the tickets in progress: all that calls share is in `pipeline/gateway`.
    ("pipeline/refusal", Nothing, &["limit/bucket", "wire"]),
    ("intent/flights", Wait, &["intent/ticket", "pipeline/refusal"]),
    ("intent/results", Wait, &["intent/flights", "intent/ticket"]),
    // Level 4: the walk. It waits and spawns, but opens no socket.
    (
        "pipeline",
        Wait,
        &[
            "ailog",
            "alerts",
            "auth",
            "cache",
            "config",
            "cost",
            "egress",
            "intent/flights",
            "intent/results",
            "judge",
            "limit",
            "objects",
            "placeholders",
            "redact",
            "report",
            "route",
            "upstream",
            "wire",
        ],
    ),
    // Starts threads.
    ("pipeline/body_threads", Io, &["pipeline"]),
    // The tickets, on the stages of the walk.
    (
        "intent",
        Wait,
        &[
            "ailog", "auth", "config", "cost", "limit", "pipeline", "redact", "route", "upstream",
            "wire",
        ],
    ),
    // Level 5: the edges.
    ("server", Io, &["config", "intent", "pipeline", "route", "tls"]),
    (
        "admin",
        Io,
        &["alerts", "pipeline", "audit", "config", "ailog", "auth/oidc", "keys", "report", "tls"],
    ),
    // The simulated provider stands outside the gateway and knows nothing of it.
    ("mock", Io, &[]),
    // Level 6: everything.
    ("app", Io, ANYTHING),
    ("cli", Io, ANYTHING),
    ("main", Io, ANYTHING),
    ("lib", Io, ANYTHING),
];

const ANYTHING: &[&str] = &["*"];

/// What a file that may not do I/O must not name. A path that begins so is a breach, unless an
/// entry of `HARMLESS` fits.
const IO_NAMES: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "tokio::net",
    "tokio::fs",
    "rusqlite",
    "clickhouse",
    "notify",
];
/// What a file that may not wait must not name either.
const WAITING_NAMES: &[&str] =
    &["tokio", "tokio_util", "hyper", "hyper_util", "std::time::Instant", "std::time::SystemTime"];
/// Addresses are data.
const HARMLESS: &[&str] = &[
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::net::SocketAddr",
    "std::net::AddrParseError",
];

/// Folders with sources, and the prefix of their modules' names.
const FOLDERS: &[(&str, &str)] =
    &[("src", ""), ("crates/redact/src", "redact/"), ("crates/wire/src", "wire/")];

#[test]
fn rooms_import_only_what_they_may() {
    let breaches: Vec<String> =
        sources().iter().flat_map(|(name, source)| check(name, source)).collect();
    assert!(breaches.is_empty(), "{} breach(es):\n{}", breaches.len(), breaches.join("\n"));
}

/// Two files that import each other are one file in two parts. A `mod.rs` is the interface of its
/// folder, so the files in the folder may import it.
#[test]
fn files_do_not_import_each_other() {
    let circles = circles(&sources());
    assert!(
        circles.is_empty(),
        "{} circle(s) of imports; move what they share to a file below both: {circles:#?}",
        circles.len()
    );
}

/// Every source file by the name of its module.
fn sources() -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    for (folder, room) in FOLDERS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut files = vec![];
        collect(&folder, &mut files);
        assert!(files.len() > 3, "only {} files under {}", files.len(), folder.display());
        for file in files {
            let name = file.strip_prefix(&folder).expect("below the folder");
            let name = name
                .to_str()
                .expect("plain names")
                .trim_end_matches(".rs")
                .trim_end_matches("/mod");
            sources.insert(format!("{room}{name}"), fs::read_to_string(&file).expect("readable"));
        }
    }
    sources
}

/// Sets of files of which each imports all others, directly or through some of them.
fn circles(sources: &BTreeMap<String, String>) -> BTreeSet<BTreeSet<String>> {
    let imports: BTreeMap<&str, BTreeSet<&str>> = sources
        .iter()
        .map(|(name, source)| (name.as_str(), imported(name, source, sources)))
        .collect();
    let reachable = |from: &str| {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut next: Vec<&str> = imports[from].iter().copied().collect();
        while let Some(file) = next.pop() {
            if seen.insert(file) {
                next.extend(&imports[file]);
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|name| (*name, reachable(name))).collect();
    let mut circles = BTreeSet::new();
    for (name, seen) in &reached {
        let both = seen
            .iter()
            .filter(|other| reached[*other].contains(name))
            .map(|other| (*other).to_owned());
        let circle: BTreeSet<String> = both.collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles
}

/// The files that a file imports, without itself and without the `mod.rs` of its folders.
fn imported<'s>(
    name: &str,
    source: &str,
    sources: &'s BTreeMap<String, String>,
) -> BTreeSet<&'s str> {
    let mut found = BTreeSet::new();
    for path in paths(&plain(source)) {
        // In a `mod.rs`, a path may begin with the name of a file in the folder.
        let inside = || format!("{name}/{}", path.replace("::", "/"));
        let mut module = resolve(name, &path).unwrap_or_else(inside);
        let file = loop {
            if let Some((file, _)) = sources.get_key_value(&module) {
                break Some(file.as_str());
            }
            match module.rsplit_once('/') {
                Some((shorter, _)) => module.truncate(shorter.len()),
                None => break None,
            }
        };
        if let Some(file) =
            file.filter(|file| *file != name && !name.starts_with(&format!("{file}/")))
        {
            found.insert(file);
        }
    }
    found
}

/// The Rust files of a folder, without those of tests.
fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    collect_if(folder, files, &|path| {
        // A room's tests may import what they like.
        !path
            .file_stem()
            .is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests"))
    });
}

fn collect_if(folder: &Path, files: &mut Vec<std::path::PathBuf>, wanted: &dyn Fn(&Path) -> bool) {
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if !wanted(&path) {
            continue;
        }
        if path.is_dir() {
            collect_if(&path, files, wanted);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

/// What is wrong with a file; `name` is its path below `src/`, without `.rs` and `/mod`.
fn check(name: &str, source: &str) -> Vec<String> {
    let Some((room, may, imports)) = room_of(name) else {
        return vec![format!("src/{name}: belongs to no room; give it a line in ROOMS")];
    };
    let code = plain(source);
    let mut breaches = vec![];
    for path in paths(&code) {
        if let Some(target) = resolve(name, &path) {
            let allowed = room_of(&target).is_none_or(|(other, ..)| {
                let own = other == room
                    || (other.starts_with(&format!("{}/", top(room))) && room == top(room));
                let listed = imports
                    .iter()
                    .any(|import| *import == "*" || *import == other || *import == top(other));
                own || listed || LEAVES.contains(&other)
            });
            let leaf = LEAVES.contains(&room);
            // The bounds of the redactor are bounds of the gateway.
            let outside = !target.starts_with(room)
                && !LEAVES.contains(&top(&target))
                && target != "redact/bounds";
            if !allowed || (leaf && outside) {
                breaches.push(format!("src/{name}: {room} may not import {path}"));
            }
        }
        let begins = |names: &[&str]| {
            names.iter().any(|name| path == *name || path.starts_with(&format!("{name}::")))
        };
        let breach = match may {
            Io => false,
            Wait => begins(IO_NAMES),
            Nothing => begins(IO_NAMES) || begins(WAITING_NAMES),
        };
        if breach && !begins(HARMLESS) {
            breaches.push(format!("src/{name}: {room} may not use {path}"));
        }
    }
    breaches
}

fn top(room: &str) -> &str {
    room.split('/').next().unwrap_or(room)
}

/// The line of the table that a module belongs to: the longest name that it begins with.
fn room_of(module: &str) -> Option<(&'static str, May, &'static [&'static str])> {
    let fits = |room: &str| module == room || module.starts_with(&format!("{room}/"));
    ROOMS.iter().copied().filter(|(room, ..)| fits(room)).max_by_key(|(room, ..)| room.len())
}

/// The module that a `crate::` or `super::` path names, with `/` between its parts; nothing for
/// other paths.
fn resolve(name: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split("::").collect();
    let mut base: Vec<&str> = name.split('/').collect();
    match parts.first() {
        Some(&"crate") if ["redact/", "wire/"].iter().any(|of| name.starts_with(of)) => {
            base.truncate(1)
        }
        Some(&"crate") => base.clear(),
        Some(&"tollgate_redact") => base = vec!["redact"],
        Some(&"tollgate_wire") => base = vec!["wire"],
        Some(&"super") => {
            while parts.get(1) == Some(&"super") {
                parts.remove(0);
                base.pop();
            }
            base.pop();
        }
        _ => return None,
    }
    base.extend(&parts[1..]);
    // Only names of modules count, not those of types and functions in them.
    let modules = base.iter().take_while(|part| part.starts_with(|c: char| c.is_ascii_lowercase()));
    Some(modules.copied().collect::<Vec<_>>().join("/"))
}

/// Every path of two names or more in `code`, groups expanded, in order.
fn paths(code: &str) -> Vec<String> {
    let mut found = vec![];
    let bytes = code.as_bytes();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut at = 0;
    while at < bytes.len() {
        let starts = is_name(bytes[at])
            && (at == 0 || !is_name(bytes[at - 1]))
            && !code[..at].ends_with("::");
        if starts
            && code[at..]
                .trim_start_matches(|c: char| c == '_' || c.is_ascii_alphanumeric())
                .starts_with("::")
        {
            at += tree(&code[at..], "", &mut found);
        } else {
            at += 1;
            while !code.is_char_boundary(at) {
                at += 1;
            }
        }
    }
    found
}

/// Reads one use tree at the start of `code` into `found`, each path with `prefix`; says how many
/// bytes it read.
fn tree(code: &str, prefix: &str, found: &mut Vec<String>) -> usize {
    let mut path = prefix.to_owned();
    let mut at = 0;
    loop {
        let rest = &code[at..];
        let name: String =
            rest.chars().take_while(|c| *c == '_' || c.is_ascii_alphanumeric()).collect();
        at += name.len();
        if !name.is_empty() && name != "self" {
            path = if path.is_empty() { name } else { format!("{path}::{name}") };
        }
        if !code[at..].starts_with("::") {
            break;
        }
        at += 2;
        if code[at..].starts_with('{') {
            at += 1;
            loop {
                at += code[at..].len()
                    - code[at..].trim_start_matches(|c: char| c.is_whitespace() || c == ',').len();
                if code[at..].is_empty() || code[at..].starts_with('}') {
                    return (at + 1).min(code.len());
                }
                // `*`, `as name` and anything else that is no path is stepped over.
                let read = tree(&code[at..], &path, found);
                let other = || code[at..].chars().next().map_or(1, char::len_utf8);
                at += if read == 0 { other() } else { read };
            }
        }
    }
    if path.contains("::") || !prefix.is_empty() {
        found.push(path);
    }
    at
}

/// `source` without comments, strings, characters and `#[cfg(test)]` items with a body.
fn plain(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if first == '"' {
            string(rest)
        } else if first == '\'' {
            character(rest)
        } else {
            0
        };
        if skip > 0 {
            code.push(' ');
            rest = &rest[skip..];
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    without_tests(&code)
}

fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let inside = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opened = text.len() - inside.len();
    Some(inside.find(&end).map_or(text.len(), |at| opened + at + end.len()))
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            text.char_indices().skip(3).find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1)
        }
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        let item = &rest[at..];
        let mut depth = 0_usize;
        let mut end = item.len();
        for (at, c) in item.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if (c == '}' || c == ';') && depth == 0 {
                end = at + 1;
                break;
            }
        }
        rest = &item[end..];
    }
    kept.push_str(rest);
    kept
}

/// Pure by their dependencies: crates that compute, and no others.
#[test]
fn the_pure_crates_depend_on_no_io() {
    let redact =
        ["aho-corasick", "base64", "bytes", "memchr", "regex", "serde_json", "thiserror", "wide"];
    let wire = ["base64", "tollgate-redact", "bytes", "flate2", "memchr", "serde", "serde_json"];
    for (name, expected) in [("redact", &redact[..]), ("wire", &wire)] {
        let manifest =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("crates").join(name).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).expect("readable");
        let section = manifest
            .split("\n[")
            .find_map(|section| section.strip_prefix("dependencies]"))
            .expect("dependencies");
        let lines = section.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let names: Vec<&str> =
            lines.filter_map(|line| line.split(['.', ' ', '=']).next()).collect();
        assert_eq!(names, expected, "tollgate-{name} has no runtime, HTTP or clock");
    }
}

/// Words of a test that uses something which may be missing, and its name in the reason for which a
/// plain `cargo test` ignores that test.
const SERVICES: &[(&str, &str)] = &[
    ("ZooKeeper::start()", "ZooKeeper"),
    ("RedisNode::valkey(", "Valkey"),
    ("Redis::start()", "redis-server"),
    ("RedisCluster::start()", "redis-server"),
    ("RedisNode::start(", "redis-server"),
    ("RedisSentinels::start()", "redis-server"),
    ("Engine::start(", "the ClickHouse engine"),
    ("Engine::start_with(", "the ClickHouse engine"),
    ("Engine::own()", "the ClickHouse engine"),
    ("Engine::shared()", "the ClickHouse engine"),
    ("Server::start(", "clickhouse-server"),
    ("schemathesis(&", "schemathesis"),
    ("curl.sh", "curl"),
    ("Command::new(\"curl\")", "curl"),
    ("python_sdk.py", "the Python SDK"),
    ("chat.py", "the Python SDK"),
    ("langchain.py", "LangChain"),
    ("llamaindex.py", "LlamaIndex"),
    ("refusals.py", "the Python SDK"),
    ("node_sdk.mjs", "the Node SDK"),
    ("chat.mjs", "the Node SDK"),
    ("vercel-ai.mjs", "the Vercel AI SDK"),
    ("refusals.mjs", "the Node SDK"),
    ("matrix_openai.py", "the Python SDK"),
    ("matrix_openai.mjs", "the Node SDK"),
    ("matrix_anthropic.py", "Anthropic's Python SDK"),
    ("agent(\"claude\"", "Claude Code"),
    ("agent(\"codex\"", "Codex"),
    ("pii_leak_benchmark.", "pii-leak-benchmark"),
    ("parquet/rows.py", "PyArrow and DuckDB"),
    ("otlp/read.py", "opentelemetry-proto"),
    ("Prometheus::start(", "Prometheus"),
    ("promtool(", "Prometheus"),
    ("var(\"TOLLGATE_TEXTS\")", "a folder of texts"),
    ("page/walk.py", "Chromium"),
    ("page/oidc.py", "Chromium"),
    ("page/newcomer.py", "Chromium"),
    ("terminal/top.py", "Python"),
    ("bench/checks.py", "Python"),
    ("\"checks.py\"", "Helm's SDK and hadolint"),
    ("\"image.py\"", "buildah and podman"),
    ("var(\"TOLLGATE_DATA\")", "a folder for a million rows"),
];

/// What takes long to install, or much room, or is not the same everywhere: the tests that need it
/// are run by hand.
const BY_HAND: &[&str] = &[
    "ZooKeeper",
    "LlamaIndex",
    "Claude Code",
    "Codex",
    "a folder of texts",
    "a folder for a million rows",
    "buildah and podman",
];

/// What is wrong with the tests of a file: a test that needs a service is ignored with a reason of
/// one form, and no other test is ignored.
fn wrongly_ignored(source: &str) -> Vec<String> {
    let mut wrong = vec![];
    for test in source.split("#[test]\n").skip(1) {
        // Up to the closing brace at the margin of the function.
        let margin = &test[..test.len() - test.trim_start_matches(' ').len()];
        let end = test.find(&format!("\n{margin}}}\n")).unwrap_or(test.len());
        let test = &test[..end];
        let needed = SERVICES.iter().find(|(word, _)| test.contains(word)).map(|(_, name)| *name);
        let ignored = test.trim_start().strip_prefix("#[ignore = \"needs ");
        let by = if needed.is_some_and(|name| BY_HAND.contains(&name)) {
            "; run by hand\"]"
        } else {
            "; run by scripts/test\"]"
        };
        let reason = ignored.and_then(|rest| Some(rest.split_once(by)?.0));
        if reason != needed || (reason.is_none() && test.contains("#[ignore")) {
            let name = test.split_once("fn ").and_then(|(_, rest)| rest.split('(').next());
            wrong.push(format!("{}: needs {needed:?}, {reason:?} is said", name.unwrap_or("?")));
        }
    }
    wrong
}

#[test]
fn tests_that_need_a_service_are_ignored_with_its_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![];
    for folder in ["src", "crates", "tests/it"] {
        collect_if(&root.join(folder), &mut files, &|_| true);
    }
    let wrong: Vec<String> = files
        .iter()
        .flat_map(|path| {
            let found = wrongly_ignored(&fs::read_to_string(path).expect("a file"));
            found.into_iter().map(|wrong| format!("{}: {wrong}", path.display()))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let named = "#[test]\n#[ignore = \"needs redis-server; run by scripts/test\"]\nfn a() {\n    \
                 Redis::start();\n}\n";
    assert!(wrongly_ignored(named).is_empty());
    for other in [
        named.replace("redis-server", "something"),
        named.replace("Redis::start", "nothing"),
        named.replace(" = \"needs redis-server; run by scripts/test\"", ""),
        named.replace("#[ignore = \"needs redis-server; run by scripts/test\"]\n", ""),
    ] {
        assert_eq!(wrongly_ignored(&other).len(), 1, "{other}");
    }
}

/// Lines of a file without its tests.
const FILE_LINES_MAX: usize = 500;
/// Files that are longer, at most 600 lines: most of them run for each byte of a body.
const LONG_FILES: [&str; 4] = [
    "redact/src/detect/words.rs",
    "redact/src/scan/judge.rs",
    "redact/src/scan/escapes.rs",
    "redact/src/rules.rs",
];
/// Lines of the map.
const MAP_LINES_MAX: usize = 150;
/// Uses of `pub(super)` in all files.
const PUB_SUPER_MAX: usize = 80;

#[test]
fn files_are_short_and_open_to_their_parents_only_where_that_helps() {
    let mut files = vec![];
    for folder in ["src", "crates/redact/src", "crates/wire/src"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        collect_if(&root, &mut files, &|_| true);
    }
    let (mut long, mut to_parents) = (vec![], 0);
    for path in &files {
        let text = fs::read_to_string(path).expect("a file");
        to_parents += text.matches("pub(super)").count();
        let shown = path.display().to_string();
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        let is_long = LONG_FILES.iter().any(|long| path.ends_with(long));
        let lines_max = if is_long { 600 } else { FILE_LINES_MAX };
        if lines > lines_max && !shown.contains("/tests") && !shown.contains("_tests.rs") {
            long.push(format!("{shown}: {lines} lines"));
        }
    }
    assert!(files.len() > 400, "{}", files.len());
    assert!(long.is_empty(), "{}", long.join("\n"));
    assert!(to_parents <= PUB_SUPER_MAX, "{to_parents} times pub(super)");
    let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let map = fs::read_to_string(map).expect("the map").lines().count();
    assert!(map <= MAP_LINES_MAX, "ARCHITECTURE.md has {map} lines");
}

#[test]
fn integration_tests_read_no_clock_and_no_memory() {
    let mut files = vec![];
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"), &mut files);
    assert!(files.len() > 40, "{}", files.len());
    for path in files {
        // The one wait with a deadline.
        if path.ends_with("support/mod.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a file");
        for word in ["Instant", ".elapsed()", "metric(\"process_", "VmRSS", "VmHWM", "statm"] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn a_circle_is_found() {
    let sources = |files: &[(&str, &str)]| {
        files.iter().map(|(n, s)| ((*n).to_owned(), (*s).to_owned())).collect()
    };
    let found = circles(&sources(&[
        ("a", "mod x; mod y; use x::X; use y::Y;"),
        ("a/x", "use super::y::Y; use super::Shared;"),
        ("a/y", "fn f() { crate::b::z::call() }"),
        ("b", "mod z;"),
        ("b/z", "use crate::a::x::X;"),
        ("c", "use crate::a::A; #[cfg(test)] mod tests { use crate::b::z; }"),
    ]));
    let circle = ["a/x", "a/y", "b/z"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from([BTreeSet::from(circle)]));
}

/// The checker itself, on made-up sources.
#[test]
fn the_wall_holds() {
    let good = [
        (
            "redact/json",
            "use std::time::Duration;\nuse crate::bounds::HELD;\nuse super::Rules;\nfn f(a: \
                std::net::IpAddr) {}",
        ),
        ("auth", "use crate::config::policy::{AuthPolicy, JwtPolicy};\nuse tokio::net::TcpStream;"),
        ("limit/store", "use super::bucket::Quota; use crate::{clock::{self, Nanos}, ids::OrgId};"),
        ("limit", "mod bucket; pub use self::bucket::Quota;"),
        (
            "redact",
            "// use tokio::net\nconst A: &str = \"crate::auth::B\"; const C: char = '\"'; fn \
                f<'a>() {} /* crate::app */",
        ),
        (
            "redact",
            "fn a() {}\n#[cfg(test)]\nmod tests { use crate::ailog::Row; fn f() { if true { } } \
                }\nfn b() {}",
        ),
        ("pipeline", "use crate::upstream::Client; use tokio::sync::Mutex;"),
        ("cli/serve", "use crate::app::run; use super::Failure;"),
        ("cost", "use tollgate_wire::usage::TokenUsage;"),
        ("wire/estimate", "use crate::usage::TokenUsage; use super::sse::Event;"),
    ];
    for (name, source) in good {
        assert_eq!(check(name, source), Vec::<String>::new(), "{name}: {source}");
    }
    let bad = [
        ("redact/json", "use tokio::time::sleep;", "redact may not use tokio::time::sleep"),
        (
            "redact",
            "use std::{fmt, time::{Duration, Instant}};",
            "redact may not use std::time::Instant",
        ),
        (
            "cost",
            "fn f() { let t = std::time::SystemTime::now(); }",
            "may not use std::time::SystemTime::now",
        ),
        (
            "redact",
            "use crate::{bounds, ailog::row::{Row, Outcome}};",
            "redact may not import crate::ailog::row::Row",
        ),
        (
            "redact",
            "use tollgate_wire::usage::TokenUsage;",
            "redact may not import tollgate_wire::usage::TokenUsage",
        ),
        ("wire/sse", "use tokio::net::TcpStream;", "wire may not use tokio::net::TcpStream"),
        ("limit/bucket", "use super::store::Map;", "limit/bucket may not import super::store::Map"),
        (
            "limit/store",
            "use super::super::auth::Caller;",
            "limit may not import super::super::auth::Caller",
        ),
        (
            "auth/jwt",
            "fn f(x: crate::upstream::Client) {}",
            "auth may not import crate::upstream::Client",
        ),
        (
            "config/policy",
            "use crate::limit::store::Store;",
            "config/policy may not import crate::limit::store::Store",
        ),
        (
            "config/check",
            "use crate::upstream::client::Client;",
            "config may not import crate::upstream::client::Client",
        ),
        ("intent/http", "use tokio::net::TcpStream;", "intent may not use tokio::net::TcpStream"),
        ("pipeline", "use crate::intent::batch;", "pipeline may not import crate::intent::batch"),
        (
            "intent/flights",
            "use crate::pipeline::walk::Walk;",
            "may not import crate::pipeline::walk::Walk",
        ),
        ("server", "use crate::ailog::AiLog;", "server may not import crate::ailog::AiLog"),
        ("ids", "use crate::auth::Caller;", "ids may not import crate::auth::Caller"),
        (
            "mock",
            "use crate::config::policy::Policy;",
            "mock may not import crate::config::policy::Policy",
        ),
        (
            "redact",
            "#[cfg(test)]\nmod tests;\nuse crate::auth::Caller;",
            "redact may not import crate::auth::Caller",
        ),
        ("helpers", "", "src/helpers: belongs to no room"),
    ];
    for (name, source, expected) in bad {
        let breaches = check(name, source);
        assert!(
            breaches.iter().any(|breach| breach.contains(expected)),
            "{name}: {source}\ngave {breaches:?}"
        );
    }
}
