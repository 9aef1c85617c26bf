//! The wiring: the only file that knows every room. Starts them in order, and stops them in the
//! reverse one.
//!
//! Level 6 of the map. Promises: both listeners are bound before anything is taken; SIGTERM or
//! SIGINT makes the gateway not ready while it serves on for `drain_delay`, and then drains (no new
//! connections, open calls finish within `shutdown_grace`); each further signal ends the stage at
//! hand; the log is closed last and whole. Does not: decide anything about a call.

mod alerting;
mod audit;
mod budgets;
mod manager;
mod retained;
mod shared_keys;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use listenfd::ListenFd;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin};
use crate::ailog::{AiLog, Options};
use crate::alerts::Alerts;
use crate::audit::{Audit, By, Kind};
use crate::auth::Authenticator;
use crate::bounds::ADMIN_QUERIES_MAX;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::Loaded;
use crate::config::policy::{Access, LimitsStore, Policy, Settings, Tls};
use crate::config::watch::Watcher;
use crate::failure::Failure;
use crate::judge::shadow::Shadow;
use crate::keys::Keys;
use crate::limit::redis::{Outbox, Shared};
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::otlp::Exporter;
use crate::pipeline::admission::counters::Counters;
use crate::pipeline::gateway::{AtWork, Gateway};
use crate::pipeline::org_series::OrgSeries;
use crate::pipeline::tenants::Tenants;
use crate::pipeline::turns::Turns;
use crate::placeholders::PlaceholderKeys;
use crate::priority;
use crate::server::{self, Ending};
use crate::tls::{BOTH_PROTOCOLS, HTTP_1_ALONE, TlsAcceptor};
use crate::trace::Sampling;
use crate::upstream::Upstream;

/// How often idle buckets are forgotten and the log learns of a changed retention.
const TEND_EVERY: Duration = Duration::from_secs(10);
/// The time that cut calls may take to be gone, and then the tasks beside them.
const CUT_WITHIN: Duration = Duration::from_secs(2);
/// The time that the log may take to store its rest, at the end.
const LOG_CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// The signals that end or reload a gateway. Those that come while it starts are kept until it runs.
pub struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// Signals cannot be listened for.
    pub fn listen() -> Result<Signals, Failure> {
        Ok(Signals {
            term: signal(SignalKind::terminate()).context("SIGTERM")?,
            int: signal(SignalKind::interrupt()).context("SIGINT")?,
            hup: signal(SignalKind::hangup()).context("SIGHUP")?,
        })
    }
}

/// A gateway that runs.
pub struct App {
    /// Where applications call.
    pub listen: SocketAddr,
    /// Where operators look.
    pub admin_listen: SocketAddr,
    gateway: Arc<Gateway>,
    watcher: Arc<Watcher>,
    audit: Arc<Audit>,
    log: AiLog,
    settings: Settings,
    ending: Ending,
    /// Ends the operators' side.
    stop_admin: CancellationToken,
    calls: TaskTracker,
    others: TaskTracker,
    traces: Option<Exporter>,
}

/// Starts everything that a configuration names.
///
/// # Errors
/// An address or the data folder is in use, a certificate cannot be read: the user must change
/// something.
pub async fn start(loaded: Loaded) -> Result<App, Failure> {
    let Loaded { settings, policy, origin, .. } = loaded;
    let mut handed = ListenFd::from_env();
    let listener = listening(&mut handed, 0, settings.listen, "listen")?;
    let admin_listener = listening(&mut handed, 1, settings.admin_listen, "admin_listen")?;
    let acceptor = |files: &Option<Tls>, protocols, key: &str| {
        let acceptor = files.as_ref().map(|files| TlsAcceptor::new(files, protocols)).transpose();
        acceptor.map_err(|error| Failure::User(format!("{key}: {error:#}")))
    };
    let tls = acceptor(&settings.options.tls, BOTH_PROTOCOLS, "tls")?;
    let admin_tls = acceptor(&settings.admin_tls, HTTP_1_ALONE, "admin.tls")?;
    let (metrics, clock) = (Metrics::new(), Clock::start());

    let mut options = Options::new(&settings.options.data_dir, 0);
    options.retention = retained::retention(&policy.ailog);
    options.wal.total_bytes_max = settings.options.bounds.log_backlog_bytes;
    options.traces = settings.otlp.is_some();
    let log = AiLog::open(options, settings.store.clone(), Arc::clone(&metrics));
    let log = log.map_err(|error| Failure::User(error.to_string()))?;

    // The folder is ours by now.
    let audit = audit::open(&settings, &policy, &origin, &log, &metrics)?;
    let keys =
        Keys::open(&settings.options.data_dir).map_err(|error| Failure::User(error.to_string()))?;
    let objects = Arc::new(Objects::open(&settings.options.data_dir, Arc::clone(&metrics)));

    let placeholders = PlaceholderKeys::open(&settings)
        .map_err(|error| Failure::User(format!("placeholder_key: {error:#}")))?;
    let shared = shared_limits(&settings, &metrics, clock);
    let upstream = Arc::new(Upstream::new(Arc::clone(&metrics), clock));
    let (bounds, places) =
        (settings.options.bounds, server::descriptors::places(settings.options.bounds.connections));
    let tenants = Tenants::new(places.served, bounds.calls_in_flight, bounds.held_bytes, &metrics);
    let policy = Arc::new(ArcSwap::from_pointee(policy));
    let audited = Some(Arc::clone(&audit));
    let watcher = Watcher::start(&origin, Arc::clone(&policy), audited, Arc::clone(&metrics))
        .context("cannot watch the policy")?;
    let (calls, others, ending) = (TaskTracker::new(), TaskTracker::new(), Ending::default());
    let shadow = Arc::new(Shadow::new(watcher.candidate()));
    let gateway = Arc::new(Gateway {
        policy,
        max_body_bytes: settings.options.max_body_bytes,
        auth: Authenticator::with(keys),
        counters: Counters::new(shared.as_ref().map(|(shared, _)| Arc::clone(shared))),
        shadow,
        upstream,
        log: log.clone(),
        alerts: Arc::new(Alerts::new(&settings.options.data_dir, Arc::clone(&metrics))),
        cache: Cache::new(&settings.options.data_dir, Arc::clone(&metrics)),
        objects,
        placeholders,
        org_series: settings.options.metrics.per_org.then(|| Arc::new(OrgSeries::new(&metrics))),
        metrics,
        clock,
        sampling: sampling(&settings),
        tenants,
        at_work: AtWork::default(),
        turns: Turns::new(clock, tokio::runtime::Handle::current().metrics().num_workers()),
        tasks: calls.clone(),
        cut: ending.cut.clone(),
    });
    let mut app = App {
        listen: listener.local_addr().context("listen")?,
        admin_listen: admin_listener.local_addr().context("admin_listen")?,
        gateway,
        watcher: Arc::new(watcher),
        audit,
        log,
        settings,
        ending,
        stop_admin: CancellationToken::new(),
        calls,
        others,
        traces: None,
    };
    if matches!(app.settings.access, Access::Local) && !app.admin_listen.ip().is_loopback() {
        return Err(Failure::User(format!(
            "admin_listen: the socket of LISTEN_FDS is {}, which other machines reach, and this \
             side has no sign-in; set `admin.access`",
            app.admin_listen
        )));
    }
    if !budgets::at_start(&app.gateway, &app.log, &app.settings).await {
        let (gateway, log, settings) =
            (Arc::clone(&app.gateway), app.log.clone(), app.settings.clone());
        app.others.spawn(budgets::follow(gateway, log, settings, app.stop_admin.clone()));
    }
    if let Some((shared, outbox)) = shared {
        let keys = Arc::clone(&app.gateway.auth.keys);
        app.others.spawn(shared_keys::follow(keys, Arc::clone(&shared), app.stop_admin.clone()));
        // Ends after the calls have, whose use it still settles.
        app.others.spawn(shared.run(outbox, app.stop_admin.clone()));
    }
    if let (Some(otlp), Some(tap)) = (&app.settings.otlp, app.log.take_tap()) {
        let exporter = Exporter::start(otlp, &app.settings, tap, &app.gateway.metrics);
        app.traces = Some(exporter.context("a thread for the traces")?);
    }
    app.open((listener, tls), (admin_listener, admin_tls), places.over)?;
    Ok(app)
}

/// The traces that are exported.
fn sampling(settings: &Settings) -> Option<Sampling> {
    settings.otlp.as_ref().map(|otlp| Sampling::percent(otlp.options.sample_percent))
}

/// The store that replicas share, where one is configured. It need not answer yet.
fn shared_limits(
    settings: &Settings,
    metrics: &Arc<Metrics>,
    clock: Clock,
) -> Option<(Arc<Shared>, Outbox)> {
    let LimitsStore::Redis(options) = &settings.limits_store else { return None };
    Some(Shared::new(options, Arc::clone(metrics), clock))
}

/// The socket that a service manager holds for us, if it does; else one of our own. One that is
/// held elsewhere goes on taking connections while nobody serves it, so that the next process finds
/// them waiting.
fn listening(
    handed: &mut ListenFd,
    at: usize,
    address: SocketAddr,
    key: &str,
) -> Result<TcpListener, Failure> {
    let wrong =
        |error| Failure::User(format!("{key}: the socket of LISTEN_FDS cannot be used: {error}"));
    match handed.take_tcp_listener(at).map_err(wrong)? {
        None => bind(address, key),
        Some(socket) => {
            socket.set_nonblocking(true).map_err(wrong)?;
            TcpListener::from_std(socket).map_err(wrong)
        }
    }
}

fn bind(address: SocketAddr, key: &str) -> Result<TcpListener, Failure> {
    server::bind(address).map_err(|error| {
        Failure::User(format!(
            "{key}: cannot listen on {address}: {error}; stop the process that uses it, or set \
                another `{key}`"
        ))
    })
}

impl App {
    /// `http` or `https`, as the applications' side speaks.
    pub fn scheme(&self) -> &'static str {
        if self.settings.options.tls.is_some() { "https" } else { "http" }
    }

    /// The same of the operators' side.
    pub fn admin_scheme(&self) -> &'static str {
        if self.settings.admin_tls.is_some() { "https" } else { "http" }
    }

    /// Its settings at the start.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The policy in force.
    pub fn policy(&self) -> Arc<Policy> {
        self.gateway.policy.load_full()
    }

    /// The log that its calls leave.
    pub fn log(&self) -> &AiLog {
        &self.log
    }

    fn open(
        &self,
        (listener, tls): (TcpListener, Option<TlsAcceptor>),
        (admin_listener, admin_tls): (TcpListener, Option<TlsAcceptor>),
        over: usize,
    ) -> Result<(), Failure> {
        for (acceptor, files) in
            [(&tls, &self.settings.options.tls), (&admin_tls, &self.settings.admin_tls)]
        {
            if let (Some(acceptor), Some(files)) = (acceptor.clone(), files.clone()) {
                self.others.spawn(acceptor.follow(files, self.stop_admin.clone()));
            }
        }
        let gateway = Arc::clone(&self.gateway);
        // With the calls: it may have taken a connection in the moment it was told to stop.
        self.calls.spawn(server::serve(
            listener,
            over,
            gateway,
            tls,
            self.ending.clone(),
            self.calls.clone(),
        ));
        let admin = Admin::new(
            Arc::clone(&self.gateway),
            self.settings.clone(),
            (Arc::clone(&self.watcher), Arc::clone(&self.audit)),
            self.log.clone(),
            self.admin_listen.ip().is_loopback(),
        );
        self.open_admin(admin, admin_listener, admin_tls)?;
        self.others.spawn(Arc::clone(&self.gateway.turns).keep(self.stop_admin.clone()));
        let (upstream, policy) =
            (Arc::clone(&self.gateway.upstream), Arc::clone(&self.gateway.policy));
        self.others.spawn(upstream.keep_credentials(policy, self.stop_admin.clone()));
        self.others.spawn(tend(Arc::clone(&self.gateway), self.stop_admin.clone()));
        self.others.spawn(alerting::follow(
            Arc::clone(&self.gateway),
            self.log.clone(),
            Arc::clone(&self.watcher),
            self.others.clone(),
            self.stop_admin.clone(),
        ));
        Ok(())
    }

    /// The operators' side has a thread of its own, so that it answers whatever the calls do.
    fn open_admin(
        &self,
        admin: Admin,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
    ) -> Result<(), Failure> {
        let listener = listener.into_std().context("admin_listen")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(ADMIN_QUERIES_MAX)
            // Queries read for long; calls go first.
            .on_thread_start(priority::lower)
            .build()
            .context("a runtime for the operators' side")?;
        let listener = {
            let _here = runtime.enter();
            TcpListener::from_std(listener).context("admin_listen")?
        };
        let (stop, open) = (self.stop_admin.clone(), self.others.token());
        let serve = move || {
            let _open = open;
            runtime.block_on(admin::serve(listener, Arc::new(admin), tls, stop));
            // A query that is at work is not waited for.
            runtime.shutdown_background();
        };
        std::thread::Builder::new()
            .name("operators".to_owned())
            .spawn(serve)
            .context("a thread for the operators' side")?;
        Ok(())
    }

    /// Runs until a signal, then drains.
    pub async fn run(self, signals: Signals) {
        let Signals { mut term, mut int, mut hup } = signals;
        manager::ready();
        self.others.spawn(manager::watchdog(self.stop_admin.clone()));
        let signal = loop {
            tokio::select! {
                _ = term.recv() => break "SIGTERM",
                _ = int.recv() => break "SIGINT",
                _ = hup.recv() => self.reload().await,
            }
        };
        let (delay, grace) =
            (self.settings.options.drain_delay, self.settings.options.shutdown_grace);
        manager::stopping(delay + grace);
        if !delay.is_zero() {
            // Those who send calls here learn by `/readyz` that they should stop, and need a
            // moment.
            self.gateway.drain();
            tracing::info!(
                event = "not_ready",
                signal,
                delay_ms = delay.as_millis() as u64,
                "not ready, still serving"
            );
            let over = tokio::time::sleep(delay);
            tokio::pin!(over);
            loop {
                tokio::select! {
                    () = &mut over => break,
                    _ = term.recv() => break,
                    _ = int.recv() => break,
                    _ = hup.recv() => self.reload().await,
                }
            }
        }
        tracing::info!(
            event = "draining",
            signal,
            grace_ms = grace.as_millis() as u64,
            "draining: open calls may finish"
        );
        tokio::select! {
            () = self.drain(grace) => {}
            _ = term.recv() => tracing::warn!(event = "cut", "another signal: open calls are cut"),
            _ = int.recv() => tracing::warn!(event = "cut", "another signal: open calls are cut"),
        }
        self.end().await;
        tracing::info!(event = "stopped", "stopped");
    }

    /// Reads the policy files because an operator asks for it.
    async fn reload(&self) {
        manager::reloading();
        let watcher = Arc::clone(&self.watcher);
        // A refusal is logged where it is found.
        let by = By::kind(Kind::Sighup);
        let read = tokio::task::spawn_blocking(move || watcher.reload_now(&by)).await;
        let refused = match read {
            Ok(read) => read.err().map(|problems| problems.to_string()),
            Err(_) => Some("the files could not be read".to_owned()),
        };
        manager::reloaded(refused.as_deref());
    }

    /// Ends what is still open, stores what can be stored, and lets go of the data folder.
    pub async fn end(self) {
        self.gateway.drain();
        self.ending.stop.cancel();
        self.log.cut_calls();
        self.ending.cut.cancel();
        self.calls.close();
        // Cut calls write their rows as they are dropped; only then is the log closed.
        drop(tokio::time::timeout(CUT_WITHIN, self.calls.wait()).await);
        self.stop_admin.cancel();
        // The results of the last calls are still on their way to the store that replicas share.
        self.others.close();
        drop(tokio::time::timeout(CUT_WITHIN, self.others.wait()).await);
        let (log, gateway) = (self.log.clone(), Arc::clone(&self.gateway));
        let traces = self.traces;
        let close = move || {
            gateway.objects.close();
            gateway.cache.close();
            log.close(LOG_CLOSE_WITHIN);
            // After the log: the rows that were folded are in it only then.
            if let Some(traces) = traces {
                traces.end();
            }
        };
        drop(tokio::task::spawn_blocking(close).await);
    }

    async fn drain(&self, grace: Duration) {
        self.gateway.drain();
        self.ending.stop.cancel();
        self.calls.close();
        if tokio::time::timeout(grace, self.calls.wait()).await.is_err() {
            tracing::warn!(
                event = "calls_left",
                open = self.calls.len(),
                "calls were still open at the end of the grace"
            );
        }
    }
}

/// Small things that are due now and then.
async fn tend(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut told = None;
    loop {
        retained::tell(&gateway, &mut told);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TEND_EVERY) => {}
        }
        let (cached, policy) = (Arc::clone(&gateway), gateway.policy.load_full());
        let room = move || policy.cache.as_deref().map(|rules| rules.bytes_max);
        drop(tokio::task::spawn_blocking(move || cached.cache.tend(room())).await);
        gateway.tenants.forget_idle();
        gateway.counters.forget_idle(gateway.clock.now(), gateway.clock.wall_ms());
        gateway.shadow.forget_idle(gateway.clock.now(), gateway.clock.wall_ms());
    }
}
