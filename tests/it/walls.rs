//! A principal of one organisation sees nothing of another one, and a viewer no text of anyone, by
//! any path of the operators' side.
//!
//! The paths and their parameters are those of `config/openapi.yaml`, which has to name every path
//! of the program, so that a new one is walked, too. Each organisation has texts, names and ids
//! that occur nowhere else; none of the other one may be in an answer, and no answer may tell
//! whether they are there.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::access::sha256;
use crate::sdk::Mock;
use crate::support::{Gateway, Reply, SECRET, Setup, sign};

const DOCUMENT: &str = include_str!("../../config/openapi.yaml");
const ORGS: [&str; 2] = ["acme-zqa", "globex-zqb"];
/// Name, role and organisations on the operators' side.
const PRINCIPALS: [(&str, &str, &str); 5] = [
    ("viewer-of-one", "viewer", "[acme-zqa]"),
    ("auditor-of-one", "auditor", "[acme-zqa]"),
    ("operator-of-one", "operator", "[acme-zqa]"),
    ("viewer", "viewer", "[]"),
    ("operator", "operator", "[]"),
];
/// All of the log, so that answers do not depend on the moment.
const ALWAYS: &str = "from=2020-01-01&to=2099-12-28";

/// What occurs in calls and keys of one organisation alone.
struct Marks {
    names: Vec<String>,
    texts: Vec<String>,
}

/// A path of the operators' side.
#[derive(Debug)]
struct Route {
    path: String,
    /// Parameters of its query.
    parameters: Vec<String>,
}

/// The paths of the operators' side in the document. It is read line by line: a path stands in the
/// second column, the rest of it deeper.
fn routes() -> Vec<Route> {
    let paths = DOCUMENT.split_once("\npaths:\n").expect("paths").1;
    let paths = paths.split_once("\ncomponents:\n").expect("components").0;
    let mut routes: Vec<(Route, bool)> = Vec::new();
    for line in paths.lines() {
        if let Some(path) = line.strip_prefix("  /") {
            let path = format!("/{}", path.trim_end_matches(':'));
            routes.push((Route { path, parameters: Vec::new() }, false));
        }
        let Some((route, is_here)) = routes.last_mut() else { continue };
        *is_here |= line.contains("tags: [operators]") || line.contains("tags: [health]");
        let part = line.trim_start().trim_start_matches("- ");
        for (begin, end) in
            [("{name: ", ","), ("name: ", "\n"), ("{$ref: \"#/components/parameters/", "\"")]
        {
            if let Some(rest) = part.strip_prefix(begin)
                && line.trim_start().starts_with("- ")
            {
                let name = rest.split(end).next().expect("a name").trim().to_lowercase();
                route.parameters.push(name);
            }
        }
    }
    let here = routes.into_iter().filter(|(_, is_here)| *is_here).map(|(route, _)| route);
    here.collect()
}

fn read_all(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_all(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("text");
            into.push_str(text.split("#[cfg(test)]").next().unwrap_or_default());
        }
    }
}

#[test]
fn the_document_names_every_path_of_the_operators_side() {
    let documented: BTreeSet<String> = routes().into_iter().map(|route| route.path).collect();
    assert!(documented.len() > 15, "{documented:?}");
    let mut source = String::new();
    read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin"), &mut source);
    let quoted: BTreeSet<String> = source
        .split('"')
        .filter(|text| text.starts_with("/api/") && !text.contains([' ', '\n', '{']))
        .map(|text| text.trim_end_matches('/').to_owned())
        .filter(|path| path != "/api")
        .collect();
    assert!(quoted.len() > 10, "{quoted:?}");
    let missing: Vec<&String> = quoted.difference(&documented).collect();
    assert!(missing.is_empty(), "config/openapi.yaml lacks {missing:?}");
    // And so does the answer to an unknown path.
    let gateway = Gateway::start(&crate::support::Provider::start());
    let told = gateway.operators("/nothing");
    let told: BTreeSet<String> = told
        .text()
        .split_whitespace()
        .filter(|word| word.starts_with('/') && *word != "/")
        .map(str::to_owned)
        .collect();
    let plain: BTreeSet<String> =
        documented.into_iter().filter(|path| !path.contains('{')).collect();
    assert_eq!(told, plain);
}

fn setup(mock: &Mock) -> Gateway {
    let tokens: Vec<String> = PRINCIPALS
        .iter()
        .map(|(name, role, orgs)| {
            let sha = sha256(&format!("token of {name}"));
            format!("{{name: {name}, role: {role}, orgs: {orgs}, sha256: {sha}}}")
        })
        .collect();
    Setup::towards(mock.address)
        .setting("admin", &format!("{{access: {{tokens: [{}]}}}}", tokens.join(", ")))
        .setting("metrics", "{per_org: true}")
        .section("ailog", "tags: {feature: 'header:x-feature'}\ncapture: {bytes: 4KiB}")
        .section("cache", "{mode: exact}")
        .section(
            "limits",
            "{requests_per_minute: 600, orgs: {acme-zqa: {usd_per_day: 7}, globex-zqb: \
                {usd_per_day: \
             9}}}",
        )
        .start()
}

/// Calls and a key of an organisation.
fn make(gateway: &Gateway, at: usize) -> Marks {
    let mark = |what: &str| format!("{what}-zq{}", ["a", "b"][at]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"org_id": ORGS[at], "sub": mark("caller"), "exp": now + 3600});
    let bearer =
        format!("Bearer {}", sign(&json!({"alg": "HS256", "typ": "JWT"}), &claims, SECRET));
    let trace = format!("{:032x}", 0x00a1_b2c3_d4e5_f607_0000_0000_0000_0001_u128 + at as u128);
    let (request, tag) = (mark("request"), mark("tag"));
    let traceparent = format!("00-{trace}-00f067aa0ba902b7-01");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-request-id", &request),
        ("x-feature", &tag),
        ("traceparent", &traceparent),
    ];
    let model = mark("model");
    let [prompt, answer] = [mark("prompt"), mark("answer")];
    for text in [format!("{prompt} [[mock:say={answer}]]"), format!("{prompt} [[mock:status=400]]")]
    {
        let body = json!({"model": model, "messages": [{"role": "user", "content": text}]});
        gateway.send("POST", "/v1/chat/completions", &headers, body.to_string().as_bytes());
    }
    let operator =
        [("authorization", "Bearer token of operator"), ("content-type", "application/json")];
    let wanted = json!({"name": mark("key"), "org": ORGS[at]}).to_string();
    let key = gateway.ask_operators("POST", "/api/keys", &operator, &wanted);
    assert_eq!(key.status, 201, "{}", key.text());
    let id = key.json()["id"].as_str().expect("an id").to_owned();
    let names =
        vec![ORGS[at].to_owned(), mark("caller"), request, tag, trace, model, mark("key"), id];
    Marks { names, texts: vec![prompt, answer] }
}

fn ask(gateway: &Gateway, name: &str, method: &str, path: &str) -> Reply {
    let bearer = format!("Bearer token of {name}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = if method == "POST" {
        json!({"name": "x", "org": ORGS[1]}).to_string()
    } else {
        String::new()
    };
    gateway.ask_operators(method, path, &headers, &body)
}

/// Head and body.
fn all_of(reply: &Reply) -> String {
    format!("{:?} {}", reply.headers, String::from_utf8_lossy(&reply.body))
}

/// Panics if an answer has one of these marks, but for the one that was sent.
fn is_without(reply: &Reply, marks: &[&String], sent: &str, what: &str) {
    let text = all_of(reply);
    for mark in marks.iter().filter(|mark| !sent.contains(mark.as_str())) {
        assert!(!text.contains(mark.as_str()), "{what}: `{mark}` is in {text}");
    }
}

#[test]
fn no_path_shows_another_organisation_or_a_text_to_a_viewer() {
    let mock = Mock::start();
    let gateway = setup(&mock);
    let [ours, theirs] = [0, 1].map(|at| make(&gateway, at));
    let rows = gateway.rows(4);
    let id_of = |org: &str| {
        let row = rows.iter().find(|row| row["org_id"] == org && row["status"] == 200);
        row.expect("a row")["id"].as_str().expect("an id").to_owned()
    };
    let (our_row, their_row) = (id_of(ORGS[0]), id_of(ORGS[1]));
    let texts: Vec<&String> = ours.texts.iter().chain(&theirs.texts).collect();
    let foreign: Vec<&String> =
        theirs.names.iter().chain(&theirs.texts).chain([&their_row]).collect();

    // All of it is there, for those who may see it.
    let everything = all_of(&ask(&gateway, "operator", "GET", "/api/logs?limit=1000"));
    let keys = all_of(&ask(&gateway, "operator", "GET", "/api/keys"));
    for mark in foreign.iter().chain(&texts) {
        assert!(everything.contains(mark.as_str()) || keys.contains(mark.as_str()), "{mark}");
    }
    let own = all_of(&ask(&gateway, "auditor-of-one", "GET", "/api/logs?limit=1000"));
    assert!(ours.texts.iter().all(|text| own.contains(text.as_str())), "{own}");

    let mut routes = routes();
    let pages =
        ["/", "/calls", "/organizations", "/providers", "/policy", "/log", "/sign-in", "/nothing"];
    routes.extend(pages.map(|path| Route { path: path.to_owned(), parameters: Vec::new() }));
    for path in ["/calls/{id}", "/assets/main.js", "/assets/{id}"] {
        routes.push(Route { path: path.to_owned(), parameters: Vec::new() });
    }
    for (name, _, orgs) in &PRINCIPALS[..4] {
        let is_restricted = *orgs != "[]";
        let mut hidden: Vec<&String> = if is_restricted { foreign.clone() } else { Vec::new() };
        if name.starts_with("viewer") {
            hidden.extend(&texts);
        }
        for route in &routes {
            for id in [&their_row, &our_row, theirs.names.last().expect("a key")] {
                let path = route.path.replace("{id}", id);
                for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
                    let what = format!("{name} {method} {path}");
                    let reply = ask(&gateway, name, method, &path);
                    is_without(&reply, &hidden, &path, &what);
                    let changes = method != "GET" && method != "HEAD" && path.starts_with("/api/");
                    assert!(
                        !changes || matches!(reply.status, 403..=405),
                        "{what}: {}",
                        reply.status
                    );
                }
                if !route.path.contains("{id}") {
                    break;
                }
            }
        }
        if is_restricted {
            asked_for(&gateway, name, &routes, &hidden, &foreign);
        }
    }
    // Nothing was changed by all that.
    let listed = ask(&gateway, "operator", "GET", "/api/keys").ok().json();
    assert!(listed["keys"].as_array().expect("keys").iter().all(|key| key["revoked_at"].is_null()));
    search_of_viewers(&gateway, &texts);
}

/// Asks for each mark of the other organisation by each parameter: the answer is the same as for a
/// name that is nowhere.
fn asked_for(
    gateway: &Gateway,
    name: &str,
    routes: &[Route],
    hidden: &[&String],
    foreign: &[&String],
) {
    let mut compared = 0;
    for route in routes.iter().filter(|route| !route.parameters.is_empty()) {
        for parameter in &route.parameters {
            for mark in foreign {
                let nowhere = "q".repeat(mark.len());
                let value = |text: &str| match parameter.as_str() {
                    "tag" => format!("feature:{text}"),
                    _ => text.to_owned(),
                };
                let query = |text: &str| {
                    let given = format!("{parameter}={}", value(text));
                    match parameter.as_str() {
                        "from" | "to" => format!("{}?{given}", route.path),
                        _ => format!("{}?{ALWAYS}&{given}", route.path),
                    }
                };
                let what = format!("{name} {}", query(mark));
                let there = ask(gateway, name, "GET", &query(mark));
                is_without(&there, hidden, mark, &what);
                let absent = ask(gateway, name, "GET", &query(&nowhere));
                let told = |reply: &Reply, sent: &str| {
                    (reply.status, String::from_utf8_lossy(&reply.body).replace(sent, "SENT"))
                };
                assert_eq!(told(&there, mark), told(&absent, &nowhere), "{what}");
                compared += 1;
            }
        }
    }
    assert!(compared > 200, "{compared}");
}

/// A search tells a viewer nothing of texts, neither of its own organisation nor of others.
fn search_of_viewers(gateway: &Gateway, texts: &[&String]) {
    let found = |name: &str, text: &str| -> usize {
        let reply = ask(gateway, name, "GET", &format!("/api/logs?q={text}"));
        reply.ok().json()["rows"].as_array().map_or(0, Vec::len)
    };
    for (at, text) in texts.iter().enumerate() {
        assert_eq!(found("viewer", text), 0, "{text}");
        assert_eq!(found("viewer-of-one", text), 0, "{text}");
        // The first ones are its own.
        assert_eq!(found("auditor-of-one", text) > 0, at < texts.len() / 2, "{text}");
    }
    let session: Value = ask(gateway, "viewer-of-one", "GET", "/api/session").ok().json();
    assert_eq!((&session["orgs"], &session["sees_texts"]), (&json!([ORGS[0]]), &json!(false)));
}
