//! The commands, as a person types them.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::{Gateway, Provider, step, tollgate};

/// Runs a command in `folder` with `input` on its standard input and `config` as its configuration.
fn run(folder: &Path, config: Option<&Path>, arguments: &[&str], input: &str) -> Output {
    let mut command = tollgate();
    if let Some(config) = config {
        command.env("TOLLGATE_CONFIG", config);
    }
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = command.spawn().expect("start");
    // A command that reads nothing may be gone already.
    let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
    process.wait_with_output().expect("wait")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn usage_and_version() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| run(folder.path(), None, arguments, "");
    assert_eq!(run(&["--no-such-flag"]).status.code(), Some(2));
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for command in [
        "serve",
        "demo",
        "mock",
        "check",
        "schema",
        "report",
        "export",
        "prices",
        "reprice",
        "redact",
        "token",
        "clickhouse",
        "healthcheck",
        "completions",
    ] {
        assert!(text(&help).contains(command), "{command} is not in {}", text(&help));
    }
    assert!(text(&run(&["--version"])).contains(env!("CARGO_PKG_VERSION")));
    assert!(text(&run(&["completions", "bash"])).contains("tollgate"));
    // A port below 1024: no other test's gateway or demo can be behind it.
    let asked = run(&["healthcheck", "--addr", "127.0.0.1:1"]);
    assert_eq!(asked.status.code(), Some(1), "no gateway answers: {}", text(&asked));
    let schema: Value = serde_json::from_slice(&run(&["schema"]).stdout).expect("JSON");
    assert!(schema["properties"].is_object(), "{schema}");
    let ddl = run(&["clickhouse", "print"]);
    assert!(
        ddl.status.success()
            && text(&ddl).contains("ai_log")
            && text(&ddl).contains("daily_summary"),
        "{}",
        text(&ddl)
    );
}

#[test]
fn check_tells_every_problem_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::create_dir_all(config.join("policies")).unwrap();
    std::fs::write(
        config.join("gateway.yaml"),
        "listen: 127.0.0.1:0\nlissten: 1\nmax_body_bytes: lots\n",
    )
    .unwrap();
    std::fs::write(config.join("policies/limits.yaml"), "limits:\n  requests_per_minute: 0\n")
        .unwrap();
    let check = run(folder.path(), None, &["check"], "");
    let told = text(&check);
    assert_eq!(check.status.code(), Some(1), "{told}");
    for place in ["gateway.yaml:2:", "gateway.yaml:3:", "limits.yaml:2:"] {
        assert!(told.contains(place), "{place} is not in {told}");
    }
    assert!(told.contains("listen"), "a suggestion for the unknown key: {told}");
    let serve = run(folder.path(), None, &["serve"], "");
    assert_eq!(serve.status.code(), Some(1), "{}", text(&serve));
    std::fs::write(config.join("gateway.yaml"), "listen: 127.0.0.1:0\n").unwrap();
    std::fs::write(config.join("policies/limits.yaml"), "limits:\n  requests_per_minute: 10\n")
        .unwrap();
    std::fs::write(config.join("policies/auth.yaml"), "auth: {accept: [key]}\n").unwrap();
    let check = run(folder.path(), None, &["check"], "");
    assert_eq!(check.status.code(), Some(0), "{}", text(&check));
    let missing = run(folder.path(), None, &["check", "--config", "nowhere"], "");
    assert_eq!(missing.status.code(), Some(1), "{}", text(&missing));

    // Files that the configuration names.
    let gateway = "listen: 127.0.0.1:0\ntls: {cert_file: no.crt, key_file: no.key}\n";
    std::fs::write(config.join("gateway.yaml"), gateway).unwrap();
    let auth = "auth:\n  jwt: {algorithms: [RS256], jwks: keys.json}\n";
    std::fs::write(config.join("policies/auth.yaml"), auth).unwrap();
    let told = text(&run(folder.path(), None, &["check"], ""));
    for line in [
        "gateway.yaml:2:18: tls.cert_file: `no.crt`",
        "gateway.yaml:2:36: tls.key_file",
        "auth.yaml:2:36: auth.jwt.jwks",
        "3 problems",
    ] {
        assert!(told.contains(line), "{told}");
    }
    for name in ["no.crt", "no.key", "keys.json"] {
        std::fs::write(folder.path().join(name), "nothing").unwrap();
    }
    let told = run(folder.path(), None, &["check"], "");
    assert_eq!(told.status.code(), Some(1), "{}", text(&told));
    assert!(text(&told).contains("gateway.yaml:2:18: tls.cert_file: "), "{}", text(&told));
}

#[test]
fn mistakes_on_the_command_line_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let table: [(&[&str], i32, &str); 6] = [
        (&["report", "--from", "yesterday"], 2, "write e.g. 2026-11-23"),
        (&["reprice", "--from", "1", "--to", "2026-11-23"], 2, "write e.g. 2026-11-23"),
        (&["token", "--org", "acme", "--ttl", "0s"], 1, "at least 1s"),
        (&["token", "--org", "a b"], 1, "--org: not the name"),
        (&["token", "--org", "anonymous"], 1, "give another name"),
        (&["key", "new", "--org", "key-0123456789ab", "--name", "ci"], 1, "give another name"),
    ];
    for (arguments, code, words) in table {
        let told = run(folder.path(), None, arguments, "");
        assert!(
            told.status.code() == Some(code) && text(&told).contains(words),
            "{arguments:?}: {}",
            text(&told)
        );
    }
}

#[test]
fn a_token_opens_the_gateway() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let signed = run(
        gateway.folder(),
        Some(gateway.folder()),
        &["token", "--org", "acme", "--ttl", "1h"],
        "",
    );
    assert!(signed.status.success(), "{}", text(&signed));
    let token = String::from_utf8(signed.stdout).unwrap();
    gateway.post("/v1/chat/completions", token.trim(), &crate::support::chat("hi")).ok();
    assert_eq!(gateway.only_row()["org_id"], "acme");
    let empty = tempfile::tempdir().unwrap();
    let without = run(empty.path(), None, &["token", "--org", "acme"], "");
    assert_eq!(without.status.code(), Some(1), "{}", text(&without));
    assert!(text(&without).contains("secret"), "{}", text(&without));
}

#[test]
fn redact_shows_what_would_leave_the_house() {
    let folder = tempfile::tempdir().unwrap();
    let plain = run(folder.path(), None, &["redact", "--text"], "mail jane@example.com now\n");
    let out = String::from_utf8(plain.stdout).unwrap();
    assert!(out.starts_with("mail [") && out.ends_with(" now\n") && !out.contains("jane"), "{out}");
    let body = r#"{ "messages":[{"content":"mail \u006aane@example.com","n":1e999}] }"#;
    let json = run(folder.path(), None, &["redact", "--json"], body);
    let out = String::from_utf8(json.stdout).unwrap();
    assert!(
        out.starts_with(r#"{ "messages":[{"content":"mail ["#)
            && out.ends_with(r#"","n":1e999}] }"#),
        "{out}"
    );
    std::fs::write(folder.path().join("note.txt"), "call +49 30 1234567").unwrap();
    let file = run(folder.path(), None, &["redact", "--text", "note.txt"], "");
    assert!(!text(&file).contains("1234567") && text(&file).contains("call ["), "{}", text(&file));
    let broken = run(folder.path(), None, &["redact", "--json"], "{");
    assert_eq!(broken.status.code(), Some(1), "{}", text(&broken));
}

#[test]
fn redact_follows_the_rules_of_an_organisation() {
    let folder = tempfile::tempdir().unwrap();
    let policy = "auth: {accept: [key]}\nredaction: {entities: [email], orgs: {acme: {entities: \
        [phone]}}}\n";
    std::fs::write(folder.path().join("p.yaml"), policy).unwrap();
    let input = "jane@example.com +49 30 901820";
    let redacted = |arguments: &[&str]| {
        let output = run(folder.path(), Some(&folder.path().join("p.yaml")), arguments, input);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let of = |org: &str| redacted(&["redact", "--text", "--org", org]).1;
    assert_eq!(redacted(&["redact", "--text"]).1, "[REDACTED_EMAIL] +49 30 901820");
    assert_eq!(of("acme"), "jane@example.com [REDACTED_PHONE]");
    assert_eq!(of("other"), "[REDACTED_EMAIL] +49 30 901820");
    assert_eq!(redacted(&["redact", "--text", "--org", "a b"]).0, Some(2));
}

#[test]
fn report_adds_up_while_the_gateway_runs() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    for org in ["acme", "acme", "other"] {
        gateway.chat(org, "hi").ok();
    }
    provider.script((0..3).map(|_| step::error(503, "x")));
    gateway.chat("acme", "hi");
    gateway.rows(4);
    let config = Some(gateway.folder());
    let json = run(gateway.folder(), config, &["report", "--by", "org", "--format", "json"], "");
    let rows: Value = serde_json::from_slice(&json.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&json)));
    let rows =
        rows.as_array().or(rows["rows"].as_array()).unwrap_or_else(|| panic!("{rows}")).clone();
    let acme = rows
        .iter()
        .find(|row| row["org_id"] == "acme" || row["org"] == "acme")
        .unwrap_or_else(|| panic!("{rows:?}"));
    assert_eq!((&acme["calls"], &acme["errors"]), (&3.into(), &1.into()), "{acme}");
    for (format, needle) in [
        ("table", "acme"),
        ("csv", "acme,"),
        ("md", "\n| `acme` | 3 | 1 | "),
        ("html", "<td>acme</td><td class=\"figure\">3</td>"),
    ] {
        let out = run(gateway.folder(), config, &["report", "--by", "org", "--format", format], "");
        assert!(out.status.success() && text(&out).contains(needle), "{format}: {}", text(&out));
    }
}

#[test]
fn the_demo_shows_itself_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    // Whoever listens on one of the usual ports, be it this test: the demo finds others.
    let _taken = std::net::TcpListener::bind("127.0.0.1:9090");
    let demo = run(folder.path(), None, &["demo", "--requests", "60", "--exit"], "");
    let told = text(&demo);
    assert!(demo.status.success(), "{told}");
    assert!(["redact", "acme", "cost", "retry"].iter().all(|word| told.contains(word)), "{told}");
    // One call is answered by the other provider, in the caller's format.
    let line = |name: &str| told.lines().find(|line| line.trim().starts_with(name)).unwrap();
    assert!(line("format of the answer").contains("chat.completion"), "{told}");
    assert!(line("answer  ").contains("You wrote: Where is the museum?"), "{told}");
    assert!(line("translated").contains("chat>anthropic"), "{told}");
    assert!(line("attempts").split_whitespace().nth(1) == Some("2"), "{told}");
    let cost: f64 = line("cost USD").split_whitespace().nth(2).unwrap().parse().unwrap();
    assert!(cost > 0.0, "{told}");
}

/// Moves a stored call to another time: the row, and its share of the sums by hour and by day, to
/// which all calls of a test add the same.
fn move_to(gateway: &Gateway, row: &serde_json::Map<String, Value>, at: &str) {
    let database = rusqlite::Connection::open(gateway.database()).unwrap();
    let (day, hour): (&str, u32) = (&at[..10], at[11..13].parse().unwrap());
    database
        .execute("UPDATE ai_rows SET created_at = ?1 WHERE id = ?2", (at, row["id"].as_str()))
        .unwrap();
    let columns = |table: &str| -> Vec<String> {
        let sql = format!("SELECT name FROM pragma_table_info('{table}') WHERE pk = 0");
        let mut found = database.prepare(&sql).unwrap();
        let names = found.query_map([], |row| row.get(0)).unwrap();
        let is_sum = |name: &String| name != "newest" && !name.ends_with("_digest");
        names.map(Result::unwrap).filter(is_sum).collect()
    };
    let share = |table: &str, key: &str, moved: &str| {
        let names = columns(table);
        let parts: Vec<String> =
            names.iter().map(|n| format!("sum({n}) / sum(row_count)")).collect();
        let sums: Vec<String> = names.iter().map(|n| format!("{n} = {n} + excluded.{n}")).collect();
        database
            .execute_batch(&format!(
                "INSERT INTO {table} ({key}, {names}) SELECT {moved}, {} FROM {table} \
                 WHERE day > '2026-08' OR day < '2026-07' GROUP BY {} ON CONFLICT DO UPDATE SET {}",
                parts.join(", "),
                key.rsplit(", ").next().unwrap(),
                sums.join(", "),
                names = names.join(", "),
            ))
            .unwrap();
    };
    share("ai_hourly", "day, hour, grp", &format!("'{day}', {hour}, grp"));
    share("ai_daily", "day, series, outcome", &format!("'{day}', series, outcome"));
}

#[test]
fn a_report_has_the_days_of_its_time_zone() {
    let provider = Provider::start();
    let mut gateway = Gateway::start(&provider);
    (0..3).for_each(|_| drop(gateway.chat("acme", "hi")));
    let rows = gateway.stop();
    // Half past ten in the evening of the 14th (UTC) is past midnight in Berlin, and the clocks
    // there are an hour ahead of winter.
    move_to(&gateway, &rows[0], "2026-07-14T21:59:59.999Z");
    rows[1..].iter().for_each(|row| move_to(&gateway, row, "2026-07-14T22:30:00.000Z"));
    let folder = tempfile::tempdir().unwrap();
    let yaml = format!("data_dir: {}\n", gateway.folder().join("data").display());
    std::fs::write(folder.path().join("all.yaml"), yaml).unwrap();
    let run = |more: &[&str]| {
        let output =
            run(folder.path(), None, &[&["report", "--config", "all.yaml"], more].concat(), "");
        (output.status.code(), text(&output))
    };
    let calls = |zone: &str, day: &str| {
        let (code, json) =
            run(&["--tz", zone, "--from", day, "--to", day, "--by", "day", "--format", "json"]);
        assert_eq!(code, Some(0), "{json}");
        let lines: Value = serde_json::from_str(&json).expect("JSON");
        lines
            .as_array()
            .unwrap()
            .iter()
            .map(|l| (l["day"] == day, l["calls"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!((calls("UTC", "2026-07-14"), calls("UTC", "2026-07-15")), (vec![(true, 3)], vec![]));
    assert_eq!(calls("Europe/Berlin", "2026-07-14"), [(true, 1)]);
    assert_eq!(calls("Europe/Berlin", "2026-07-15"), [(true, 2)]);

    let (_, daily) = run(&["--daily", "--to", "2026-07-15", "--tz", "Europe/Berlin"]);
    assert!(
        daily.starts_with(
            "# LLM calls of 2026-07-15 (Europe/Berlin)\n\n**2 calls** (+100 % to the day before), "
        ),
        "{daily}"
    );
    assert!(daily.contains("\n| `acme` | 2 | 0 | 22 | 14 | 0.0000111 | "), "{daily}");
    let (code, empty) = run(&["--daily"]);
    assert!(code == Some(0) && empty.contains("No calls were logged"), "{empty}");
    assert_eq!(run(&["--tz", "Mars/Olympus"]).0, Some(2));
    assert_eq!(run(&["--daily", "--by", "org"]).0, Some(2));
}

#[test]
fn stored_calls_are_priced_again() {
    let provider = Provider::start();
    let mut gateway = Gateway::start(&provider);
    gateway.chat("acme", "hi").ok();
    let row = gateway.stop().pop().unwrap();
    let day = &row["created_at"].as_str().unwrap()[..10];
    // 7 input and 4 cached tokens, 7 output tokens: before by the built-in list, now at 1000, 0 and
    // 1 USD per million.
    let yaml = format!(
        "data_dir: {}\nprices: [{{model: 'gpt-4o-mini*', input: 1000, cached_input: 0, output: \
            1}}]\n",
        gateway.folder().join("data").display()
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.yaml"), yaml).unwrap();
    let run = |more: &[&str]| {
        let arguments = ["reprice", "--config", "all.yaml", "--from", day, "--to", day];
        text(&run(folder.path(), None, &[&arguments[..], more].concat(), ""))
    };
    let expected =
        "cost before 0.00000555 USD, now 0.007007 USD, difference +0.00700145 USD\n1 rows ";
    for dry in [&["--dry-run"][..], &[]] {
        let said = run(dry);
        assert!(
            said.starts_with("1 rows, price list 2026-11-23.") && said.contains(expected),
            "{said}"
        );
    }
    let again = run(&[]);
    assert!(again.contains("difference 0.00 USD\n0 rows have another cost"), "{again}");
}

#[test]
fn price_lists_of_others_become_policy() {
    let folder = tempfile::tempdir().unwrap();
    let list = r#"{"m-1": {"litellm_provider": "openai", "input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07},
        "m-2": {"litellm_provider": "openai", "input_cost_per_second": 1}, "m-3": {"litellm_provider": "groq", "input_cost_per_token": 1}}"#;
    std::fs::write(folder.path().join("list.json"), list).unwrap();
    let run = |arguments: &[&str], input: &str| run(folder.path(), None, arguments, input);
    let printed = run(&["prices", "import", "list.json"], "");
    let (yaml, said) =
        (String::from_utf8(printed.stdout).unwrap(), String::from_utf8(printed.stderr).unwrap());
    assert!(yaml.ends_with("prices:\n  - {model: \"m-1\", input: 0.15, output: 0.6}\n"), "{yaml}");
    assert!(
        said.contains("1 of 2 entries taken as 1 lines, 1 refused")
            && said.contains("refused m-2: "),
        "{said}"
    );
    assert_eq!(
        run(&["prices", "import", "-"], list).stdout,
        run(&["prices", "import", "-"], list).stdout
    );

    // Written only where nothing is lost.
    let write = ["prices", "import", "list.json", "--output", "prices.yaml"];
    assert_eq!(run(&write, "").status.code(), Some(0));
    let again = run(&write, "");
    assert!(again.status.code() == Some(1) && text(&again).contains("--force"), "{}", text(&again));
    assert_eq!(
        run(&[&write[..], &["--force", "--model", "m-*"]].concat(), "").status.code(),
        Some(0)
    );
    assert_eq!(
        std::fs::read_to_string(folder.path().join("prices.yaml")).unwrap().lines().last(),
        yaml.lines().last()
    );
    assert!(!folder.path().join("prices.yaml.new").exists());

    // The file is a policy, and its line stands before the built-in ones.
    let json = run(
        &[
            "prices",
            "list",
            "--config",
            "prices.yaml",
            "--format",
            "json",
            "--model",
            "m-*",
            "--model",
            "gpt-5",
        ],
        "",
    );
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(
        (&json["prices"][0]["model"], &json["prices"][0]["input"]),
        (&"m-1".into(), &0.15.into())
    );
    assert_eq!(
        (&json["prices"][1]["model"], &json["prices"][1]["output"]),
        (&"gpt-5".into(), &10.into())
    );
    assert!(
        json["prices"][1]["source"].as_str().is_some_and(|source| source.contains("2026-11-23")),
        "{json}"
    );
    let table = text(&run(&["prices", "list", "--model", "gpt-5"], ""));
    assert!(table.contains("priority") && table.contains("USD per million tokens"), "{table}");

    for (arguments, words) in [
        (&["prices", "import", "nowhere.json"][..], "nowhere.json"),
        (
            &["prices", "import", "list.json", "--from", "nobody"],
            "give --from with some of groq, openai",
        ),
        (&["prices", "import", "prices.yaml"], "not JSON"),
    ] {
        let refused = run(arguments, "");
        assert!(
            refused.status.code() == Some(1) && text(&refused).contains(words),
            "{}",
            text(&refused)
        );
    }
}

/// Names of models and callers come from outside: no report of them steers a terminal or a
/// spreadsheet.
#[test]
fn reports_are_safe_to_print_and_to_open() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let models = [
        "\u{1b}]0;pwned\u{7}",
        "m;=cmd|'/c calc'!A0",
        "=HYPERLINK(\"http://evil\",\"x\")",
        "@SUM(1+1)",
        "+1",
        "-1+1",
        "\t=1",
        "a\u{202e}b\u{2066}\u{200b}\u{feff}",
        "a\r\n=1",
    ];
    for model in models {
        let mut body = crate::support::chat("hi");
        body["model"] = model.into();
        gateway.post("/v1/chat/completions", &crate::support::jwt("acme"), &body);
    }
    gateway.rows(models.len());
    let hidden = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\r'))
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    for format in [
        &["--format", "table"][..],
        &["--format", "csv"],
        &["--format", "json"],
        &["--format", "md"],
        &["--format", "html"],
        &["--daily"],
    ] {
        let by = if format == ["--daily"] { &[][..] } else { &["--by", "model"] };
        let day = [&["report"], by, format].concat();
        let told = run(gateway.folder(), Some(gateway.folder()), &day, "");
        assert!(told.status.success(), "{format:?}: {}", text(&told));
        let told = text(&told);
        assert!(!told.contains(hidden), "{format:?}: {told:?}");
        if format.contains(&"csv") {
            let lines: Vec<&str> = told.split("\r\n").collect();
            assert!(
                lines.len() >= models.len() && !told.replace("\r\n", "").contains(['\r', '\n']),
                "{told:?}"
            );
            for line in lines {
                let cell = line.trim_start_matches('"').trim_start();
                assert!(!cell.starts_with(['=', '+', '-', '@', '\t']), "{line}");
                // A cell with a mark that parts cells elsewhere is in quotes.
                assert!(!line.contains(';') || line.starts_with('"'), "{line}");
            }
        }
    }
    // Nor do messages about a configuration.
    std::fs::write(
        gateway.folder().join("bad.yaml"),
        "\"evil\\e]0;x\\a\\u202e\": 1\nlimits: {burst: \"\\e[2J\\u200b\"}\n",
    )
    .unwrap();
    let told = text(&run(gateway.folder(), None, &["check", "--config", "bad.yaml"], ""));
    assert!(told.contains("unknown key") && !told.contains(hidden), "{told:?}");
}
