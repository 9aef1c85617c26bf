//! A gateway process with a configuration of its own, in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rusqlite::types::ValueRef;
use rusqlite::{Connection as Database, OpenFlags};
use rustix::process::Signal;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{
    Connection, DEADLINE, Provider, Reply, SECRET, eventually, jwt, post, request, signal, within,
};

/// The binary under test.
pub fn tollgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    // What the developer has set must not reach the tests.
    for name in ["OPENAI_API_KEY", "TOLLGATE_JWT_SECRET", "TOLLGATE_CONFIG", "AI_INTENT_ENABLED"] {
        command.env_remove(name);
    }
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.env_remove("RUST_LOG");
    for (name, _) in std::env::vars() {
        if ["AWS_", "AZURE_", "GOOGLE_", "GCE_", "IDENTITY_"].iter().any(|of| name.starts_with(of))
        {
            command.env_remove(name);
        }
    }
    command
}

/// What a gateway is started with. The defaults suit most tests: an HS256 secret, one provider,
/// room for many calls, short backoffs.
pub struct Setup {
    settings: BTreeMap<String, String>,
    sections: BTreeMap<String, String>,
    launch: Launch,
}

/// How the process is begun.
#[derive(Default)]
struct Launch {
    environment: Vec<(String, String)>,
    descriptors: Option<usize>,
    /// A command that becomes the gateway: `nice -n 19`.
    under: String,
    /// A listening socket that is handed to it, as a service manager does.
    socket: Option<TcpListener>,
}

impl Setup {
    pub fn new(provider: &Provider) -> Setup {
        Setup::towards(provider.address)
    }

    /// A gateway whose provider is at an address.
    pub fn towards(provider: SocketAddr) -> Setup {
        let setup = Setup {
            settings: BTreeMap::new(),
            sections: BTreeMap::new(),
            launch: Launch::default(),
        };
        setup
            // Longer than any test waits: calls end by themselves, and are not cut because the
            // machine is slow.
            .setting("shutdown_grace", "60s")
            .section(
                "auth",
                &format!(
                    "accept: [jwt, key, passthrough]\njwt: \
                {{secret: \"{SECRET}\"}}"
                ),
            )
            .section(
                "providers",
                &format!(
                    "openai: {{kind: openai, base_url: \"http://{provider}/v1\", api_key: \
                    sk-gateway-own-key}}"
                ),
            )
            .section("limits", "{requests_per_minute: 60000, burst: 60000}")
            .section("retry", "{base_delay: 10ms, max_delay: 20ms}")
    }

    /// The provider speaks Anthropic's format as well: as another provider, at the same address.
    pub fn with_anthropic(mut self) -> Setup {
        let providers = self.sections.get_mut("providers").unwrap();
        let url = providers.split('"').nth(1).unwrap();
        let other = format!(
            "\nanthropic: {{kind: anthropic, base_url: \"{url}\", api_key: sk-gateway-own-key}}"
        );
        providers.push_str(&other);
        self.section("routing", "{default: [openai, anthropic]}")
    }

    /// Sets a key of `gateway.yaml`.
    pub fn setting(mut self, key: &str, yaml: &str) -> Setup {
        self.settings.insert(key.to_owned(), yaml.to_owned());
        self
    }

    /// Sets a section of the policy, in a file of its own.
    pub fn section(mut self, name: &str, yaml: &str) -> Setup {
        self.sections.insert(name.to_owned(), yaml.to_owned());
        self
    }

    pub fn environment(mut self, name: &str, value: &str) -> Setup {
        self.launch.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs the process with so many file descriptors.
    pub fn descriptors(mut self, limit: usize) -> Setup {
        self.launch.descriptors = Some(limit);
        self
    }

    /// Runs the process under another command, as in `nice -n 19`.
    pub fn under(mut self, command: &str) -> Setup {
        self.launch.under = command.to_owned();
        self
    }

    /// Hands a listening socket for the applications' side to the process.
    pub fn socket(mut self, socket: &TcpListener) -> Setup {
        self.launch.socket = Some(socket.try_clone().unwrap());
        self
    }

    pub fn start(self) -> Gateway {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir(folder.path().join("policies")).unwrap();
        let mut settings = "listen: 127.0.0.1:0\n".to_owned();
        if !self.settings.contains_key("admin_listen") {
            settings.push_str("admin_listen: 127.0.0.1:0\n");
        }
        if !self.settings.contains_key("data_dir") {
            settings.push_str(&format!("data_dir: \"{}\"\n", folder.path().join("data").display()));
        }
        for (key, yaml) in &self.settings {
            settings.push_str(&format!("{key}: {yaml}\n"));
        }
        fs::write(folder.path().join("gateway.yaml"), settings).unwrap();
        for (name, yaml) in &self.sections {
            fs::write(
                folder.path().join("policies").join(format!("{name}.yaml")),
                section(name, yaml),
            )
            .unwrap();
        }
        Gateway::run(folder, self.launch)
    }
}

fn section(name: &str, yaml: &str) -> String {
    let lines: Vec<String> = yaml.lines().map(|line| format!("  {line}\n")).collect();
    format!("{name}:\n{}", lines.concat())
}

/// A running gateway. It is killed when this is dropped.
pub struct Gateway {
    process: Child,
    /// The applications' side.
    pub apps: SocketAddr,
    /// The operators' side.
    pub operators: SocketAddr,
    folder: TempDir,
    launch: Launch,
    /// All that it printed on both outputs.
    printed: Arc<Mutex<String>>,
}

impl Gateway {
    /// With the defaults of [`Setup`].
    pub fn start(provider: &Provider) -> Gateway {
        Setup::new(provider).start()
    }

    /// With a configuration that is there, and these variables.
    pub fn serve(folder: TempDir, environment: &[(&str, &str)]) -> Gateway {
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Gateway::run(folder, Launch { environment: environment.collect(), ..Launch::default() })
    }

    fn run(folder: TempDir, launch: Launch) -> Gateway {
        let printed = Arc::new(Mutex::new(String::new()));
        let mut command = tollgate();
        if launch.descriptors.is_some() || launch.socket.is_some() || !launch.under.is_empty() {
            let mut shell = Command::new("sh");
            // The limit and the socket are the shell's, which then becomes the gateway.
            let limit =
                launch.descriptors.map_or(String::new(), |limit| format!("ulimit -n {limit} && "));
            let socket = "exec 3<&0 0</dev/null && export LISTEN_FDS=1 LISTEN_PID=$$ && ";
            let socket = if launch.socket.is_some() { socket } else { "" };
            shell
                .arg("-c")
                .arg(format!("{limit}{socket}exec {} \"$0\" \"$@\"", launch.under))
                .arg(command.get_program());
            for (name, _) in command.get_envs().filter(|(_, value)| value.is_none()) {
                shell.env_remove(name);
            }
            command = shell;
        }
        let input = launch.socket.as_ref().map(|socket| OwnedFd::from(socket.try_clone().unwrap()));
        let mut process = command
            .args(["serve", "--config"])
            .arg(folder.path())
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder.path())
            .stdin(input.map_or_else(Stdio::null, Stdio::from))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start");
        collect(process.stdout.take().unwrap(), &printed);
        collect(process.stderr.take().unwrap(), &printed);
        let addresses = eventually("the gateway's addresses", || {
            let text = printed.lock().unwrap().clone();
            if let Ok(Some(status)) = process.try_wait() {
                panic!("the gateway ended at once, {status}:\n{text}");
            }
            Some((address(&text, "listening on ")?, address(&text, "operators on ")?))
        });
        Gateway { process, apps: addresses.0, operators: addresses.1, folder, launch, printed }
    }

    /// One chat call of an organisation.
    pub fn chat(&self, org: &str, text: &str) -> Reply {
        self.post("/v1/chat/completions", &jwt(org), &chat(text))
    }

    pub fn post(&self, path: &str, bearer: &str, body: &Value) -> Reply {
        post(self.apps, path, bearer, body)
    }

    /// A request with these headers on the applications' side.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        Connection::open(self.apps).send(&request(method, path, headers, body)).reply()
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.apps)
    }

    /// `GET` on the operators' side.
    pub fn operators(&self, path: &str) -> Reply {
        let host =
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.operators);
        Connection::open(self.operators).send(host.as_bytes()).reply()
    }

    /// A request on the operators' side.
    pub fn ask_operators(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let host = format!("host: {}\r\n", self.operators);
        let more: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\n{host}{more}connection: close\r\ncontent-length: \
             {length}\r\n\r\n"
        );
        Connection::open(self.operators).send((head + body).as_bytes()).reply()
    }

    /// A metric's value: all series that begin so, added up.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.operators("/metrics");
        let series = text.ok().text().lines().filter(|line| line.starts_with(name));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until a metric has this value. Most are counted a moment after the answer has left.
    ///
    /// # Panics
    /// When it never has.
    pub fn counts(&self, name: &str, value: f64) {
        let mut seen = f64::NAN;
        let reached = within(DEADLINE, || {
            seen = self.metric(name);
            (seen == value).then_some(())
        });
        assert!(reached.is_some(), "{name} is {seen}, not {value}");
    }

    /// Waits until a metric is at least this value.
    ///
    /// # Panics
    /// When it never is.
    pub fn reaches(&self, name: &str, least: f64) {
        let mut seen = f64::NAN;
        let reached = within(DEADLINE, || {
            seen = self.metric(name);
            (seen >= least).then_some(())
        });
        assert!(reached.is_some(), "{name} is {seen}, under {least}");
    }

    /// The rows of the log, oldest first, once there are at least `count`.
    pub fn rows(&self, count: usize) -> Vec<Map<String, Value>> {
        let path = self.database();
        eventually(&format!("{count} rows in the store; there are {:?}", count_of(&path)), || {
            rows(&path).filter(|rows| rows.len() >= count)
        })
    }

    /// The only row of the log.
    pub fn only_row(&self) -> Map<String, Value> {
        let rows = self.rows(1);
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows[0].clone()
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("data/tollgate.db")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces a section of the policy, in one move.
    pub fn edit(&self, name: &str, yaml: &str) {
        self.write_policy(name, &section(name, yaml));
    }

    /// Replaces a policy file by any text.
    pub fn write_policy(&self, name: &str, text: &str) {
        let new = self.folder.path().join(format!("{name}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.folder.path().join("policies").join(format!("{name}.yaml"))).unwrap();
    }

    /// What is loaded, as the operators see it.
    pub fn config(&self) -> Value {
        self.operators("/api/config").ok().json()
    }

    pub fn policy_version(&self) -> String {
        self.config()["policy_version"].as_str().expect("policy_version").to_owned()
    }

    /// Edits a section and waits until it is in force.
    pub fn edit_and_wait(&self, name: &str, yaml: &str) {
        let before = self.policy_version();
        self.edit(name, yaml);
        eventually("the edited policy", || (self.policy_version() != before).then_some(()));
    }

    /// Descriptors that the process has open.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("a running process").count()
    }

    /// All that was printed so far.
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// Waits until it has printed this.
    pub fn prints(&self, text: &str) {
        let printed = within(DEADLINE, || self.printed().contains(text).then_some(()));
        assert!(printed.is_some(), "{text} is not in {}", self.printed());
    }

    pub fn signal(&self, which: Signal) {
        signal(&self.process, which);
    }

    /// Waits for the process to end.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the end of the process", || self.process.try_wait().expect("wait"))
    }

    /// Asks it to end, waits for it, and gives the rows that it left.
    pub fn stop(&mut self) -> Vec<Map<String, Value>> {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "{status}\n{}", self.printed());
        rows(&self.database()).expect("a store")
    }

    /// Kills it as `kill -9` does, and starts it again on the same folder.
    pub fn kill_and_restart(mut self) -> Gateway {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
        self.start_again()
    }

    /// The same again, after it has ended.
    pub fn start_again(mut self) -> Gateway {
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Gateway::run(folder, std::mem::take(&mut self.launch))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("---- the gateway printed ----\n{}", self.printed());
        }
    }
}

/// A chat body.
pub fn chat(text: &str) -> Value {
    json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]})
}

fn collect(output: impl Read + Send + 'static, printed: &Arc<Mutex<String>>) {
    let printed = Arc::clone(printed);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let mut printed = printed.lock().unwrap();
            printed.push_str(&line);
            printed.push('\n');
        }
    });
}

fn address(printed: &str, before: &str) -> Option<SocketAddr> {
    let parse = |rest: &str| {
        rest.split_whitespace().next()?.split("://").nth(1)?.trim_end_matches('/').parse().ok()
    };
    // The log says the same, and may do so as JSON.
    printed.lines().filter_map(|line| line.split_once(before)).find_map(|(_, rest)| parse(rest))
}

fn count_of(path: &Path) -> Option<usize> {
    rows(path).map(|rows| rows.len())
}

/// Every row of `ai_log` as JSON; nothing while there is no store yet.
fn rows(path: &Path) -> Option<Vec<Map<String, Value>>> {
    let database = Database::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    database.busy_timeout(DEADLINE).ok()?;
    query(&database, "SELECT * FROM ai_log ORDER BY created_at, id").ok()
}

/// The rows of any query as JSON.
pub fn query(database: &Database, sql: &str) -> rusqlite::Result<Vec<Map<String, Value>>> {
    let mut statement = database.prepare(sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let rows = statement.query_map([], |row| {
        let value = |(index, name): (usize, &String)| {
            let value = match row.get_ref(index)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => json!(number),
                ValueRef::Real(number) => json!(number),
                ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
                ValueRef::Blob(bytes) => json!(String::from_utf8_lossy(bytes)),
            };
            Ok((name.clone(), value))
        };
        names.iter().enumerate().map(value).collect::<rusqlite::Result<Map<String, Value>>>()
    })?;
    rows.collect()
}
