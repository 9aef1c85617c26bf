//! Edits of files while the gateway runs.

use std::fs;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tempfile::TempDir;

use super::{folder, write};
use crate::clock::Clock;
use crate::config::load::Source;
use crate::config::policy::Policy;
use crate::config::watch::{Folders, Signal, Status, Watcher};
use crate::metrics::Metrics;

struct Watched {
    dir: TempDir,
    policy: Arc<ArcSwap<Policy>>,
    metrics: Arc<Metrics>,
    watcher: Watcher,
}

fn watched(files: &[(&str, &str)]) -> Watched {
    watched_by(Folders::new, files)
}

fn watched_by(folders: fn(SyncSender<Signal>) -> Folders, files: &[(&str, &str)]) -> Watched {
    let dir = folder(files);
    write(dir.path(), "policies/access.yaml", "auth: {accept: [key]}\n");
    let loaded = Source::Folder(dir.path().to_owned()).load(1).expect("good");
    let (policy, metrics) = (Arc::new(ArcSwap::from_pointee(loaded.policy)), Metrics::new());
    let watcher =
        Watcher::start_with(folders, &loaded.origin, policy.clone(), None, metrics.clone())
            .expect("thread");
    Watched { dir, policy, metrics, watcher }
}

impl Watched {
    fn rpm(&self) -> u32 {
        self.policy.load().limits.requests.default.quota.requests_per_minute()
    }

    /// Waits until the status is as wanted; a test that waits in vain fails after a minute.
    fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let shared = self.watcher.shared();
        let state = shared.lock();
        let (state, timeout) = shared
            .changed
            .wait_timeout_while(state, Duration::from_secs(60), |state| !wanted(&state.status))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "{what}: {:?}", state.status);
        state.status.clone()
    }
}

#[test]
fn edits_are_taken_and_bad_ones_refused() {
    let w = watched(&[("policies/limits.yaml", "limits: {requests_per_minute: 60}\n")]);
    let first = w.watcher.status();
    assert_eq!(w.metrics.config_last_reload_successful.get(), 1);

    write(w.dir.path(), "policies/limits.yaml", "limits: {requests_per_minute: 10}\n");
    let second = w.until("edit", |s| s.version != first.version);
    assert_eq!(w.rpm(), 10);
    assert!(second.loaded_at_ms > first.loaded_at_ms);

    write(w.dir.path(), "policies/limits.yaml", "limits:\n  requests_per_minute: 0\n");
    let refused = w.until("bad edit", |s| s.refused).last_refused.expect("refused");
    assert!(
        refused.problems[0]
            .contains("limits.yaml:2:24: limits.requests_per_minute: 0 is not allowed"),
        "{refused:?}"
    );
    assert_eq!((w.rpm(), w.metrics.config_last_reload_successful.get()), (10, 0));
    assert_eq!(w.watcher.status().config["policy"]["limits"]["requests_per_minute"], 10);

    // Put back as it was: nothing is refused any more.
    write(w.dir.path(), "policies/limits.yaml", "limits: {requests_per_minute: 10}\n");
    let repaired = w.until("repaired", |s| !s.refused);
    assert_eq!(
        (repaired.version, w.rpm(), w.metrics.config_last_reload_successful.get()),
        (second.version, 10, 1)
    );
    assert!(repaired.last_refused.is_some());
}

/// A secret that an edit empties leaves the former one in force.
#[test]
fn an_edit_that_empties_the_secret_is_refused() {
    let w = watched(&[]);
    let good = "auth: {jwt: {secret: 0123456789abcdef0123456789abcdef}}\n";
    let before = w.watcher.status().version;
    write(w.dir.path(), "policies/access.yaml", good);
    let version = w.until("secret", |s| s.version != before).version;
    let edits = [
        "auth: {jwt: {secret: ''}}\n",
        "auth: {jwt: {secret: '${TOLLGATE_NO_SUCH_SECRET:-}'}}\n",
        "auth: {accept: [jwt, passthrough]}\n",
        "auth: {}\n",
    ];
    for edit in edits {
        write(w.dir.path(), "policies/access.yaml", edit);
        let wanted = |s: &Status| {
            s.last_refused.as_ref().is_some_and(|r| r.problems[0].contains("neither a secret"))
        };
        w.until(edit, |s| s.refused && wanted(s));
        assert!(w.watcher.reload_now(&crate::audit::By::kind(crate::audit::Kind::Sighup)).is_err());
        let policy = w.policy.load();
        assert_eq!((&policy.version, policy.auth.jwt.is_some()), (&version, true));
        write(w.dir.path(), "policies/access.yaml", good);
        w.until("put back", |s| !s.refused);
    }
}

/// A file that cannot be read is not a file that is not there.
#[test]
fn new_files_that_cannot_be_read_are_told() {
    let w = watched(&[("policies/limits.yaml", "limits: {requests_per_minute: 60}\n")]);
    let path = w.dir.path().join("policies/more.yaml");
    fs::write(&path, b"retry: {max_retries: 1} # \xff\n").expect("write");
    let refused = w.until("bad file", |s| s.refused).last_refused.expect("refused");
    assert!(refused.problems[0].contains("more.yaml:1:27: not UTF-8"), "{refused:?}");
    assert_eq!((w.rpm(), w.metrics.config_last_reload_successful.get()), (60, 0));
    fs::remove_file(&path).expect("remove");
    w.until("repaired", |s| !s.refused);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere", &path).expect("link");
        let refused = w.until("dangling link", |s| s.refused).last_refused.expect("refused");
        assert!(refused.problems[0].contains("more.yaml:1:1: cannot be read"), "{refused:?}");
    }
}

#[test]
fn edits_are_soon_taken_where_the_system_tells_nothing() {
    let w = watched_by(
        Folders::untold,
        &[("policies/limits.yaml", "limits: {requests_per_minute: 60}\n")],
    );
    let clock = Clock::start();
    let begun = clock.now();
    for rpm in 1..4 {
        let before = w.watcher.status().version;
        write(
            w.dir.path(),
            "policies/limits.yaml",
            &format!("limits: {{requests_per_minute: {rpm}}}\n"),
        );
        w.until("edit", |s| s.version != before);
        assert_eq!(w.rpm(), rpm);
    }
    // A look every 15 s would take 45.
    let took = clock.now().0 - begun.0;
    assert!(took < 40_000_000_000, "{took}");
}

#[test]
fn files_are_replaced_by_renaming_again_and_again() {
    let w = watched(&[("policies/limits.yaml", "limits: {}\n")]);
    for rpm in 1..4 {
        let before = w.watcher.status().version;
        write(
            w.dir.path(),
            "policies/.limits.tmp",
            &format!("limits: {{requests_per_minute: {rpm}}}\n"),
        );
        fs::rename(
            w.dir.path().join("policies/.limits.tmp"),
            w.dir.path().join("policies/limits.yaml"),
        )
        .expect("rename");
        w.until("rename", |s| s.version != before);
        assert_eq!(w.rpm(), rpm);
    }
}

#[cfg(unix)]
#[test]
fn mounted_config_maps_are_followed() {
    use std::os::unix::fs::symlink;
    let dir = folder(&[("policies/..v0/limits.yaml", "limits: {requests_per_minute: 100}\n")]);
    let policies = dir.path().join("policies");
    write(&policies, "access.yaml", "auth: {accept: [key]}\n");
    symlink("..v0", policies.join("..data")).expect("link");
    symlink("..data/limits.yaml", policies.join("limits.yaml")).expect("link");
    let loaded = Source::Folder(dir.path().to_owned()).load(1).expect("good");
    let (policy, metrics) = (Arc::new(ArcSwap::from_pointee(loaded.policy)), Metrics::new());
    let watcher =
        Watcher::start(&loaded.origin, policy.clone(), None, metrics.clone()).expect("thread");
    let w = Watched { dir, policy, metrics, watcher };
    for rpm in 1..4_u32 {
        let before = w.watcher.status().version;
        write(
            &policies,
            &format!("..v{rpm}/limits.yaml"),
            &format!("limits: {{requests_per_minute: {rpm}}}\n"),
        );
        symlink(format!("..v{rpm}"), policies.join("..data_tmp")).expect("link");
        fs::rename(policies.join("..data_tmp"), policies.join("..data")).expect("swap");
        fs::remove_dir_all(policies.join(format!("..v{}", rpm - 1))).expect("old version");
        w.until("swap", |s| s.version != before);
        assert_eq!(w.rpm(), rpm);
    }
}

#[test]
fn a_file_that_vanishes_or_is_emptied_does_not_loosen_the_rules() {
    let w = watched(&[
        ("policies/limits.yaml", "limits: {requests_per_minute: 5}\n"),
        ("policies/b.yaml", "retry: {}\n"),
    ]);
    fs::remove_file(w.dir.path().join("policies/limits.yaml")).expect("remove");
    let refused = w.until("removed", |s| s.refused).last_refused.expect("refused");
    assert!(
        refused.problems[0].contains("limits.yaml:1:1: limits: the file is gone"),
        "{refused:?}"
    );
    assert_eq!(w.rpm(), 5);

    write(w.dir.path(), "policies/limits.yaml", "");
    w.until("emptied", |s| {
        s.last_refused.as_ref().is_some_and(|r| r.problems[0].contains("the file is empty"))
    });
    assert_eq!(w.rpm(), 5);

    // The section moves to another file: taken.
    write(w.dir.path(), "policies/b.yaml", "retry: {}\nlimits: {requests_per_minute: 6}\n");
    w.until("moved", |s| !s.refused);
    assert_eq!(w.rpm(), 6);

    // Taken out of a file that is still there: meant.
    write(w.dir.path(), "policies/b.yaml", "retry: {}\n");
    let version = w.watcher.status().version;
    w.until("taken out", |s| s.version != version || s.files.len() == 3 && w.rpm() == 60);
    assert_eq!(w.rpm(), 60);
}

#[test]
fn an_operator_may_insist_and_the_gateway_file_waits_for_a_restart() {
    let w = watched(&[("policies/limits.yaml", "limits: {requests_per_minute: 5}\n")]);
    fs::remove_file(w.dir.path().join("policies/limits.yaml")).expect("remove");
    w.watcher.reload_now(&crate::audit::By::kind(crate::audit::Kind::Sighup)).expect("meant");
    assert_eq!(w.rpm(), 60);
    write(w.dir.path(), "gateway.yaml", "listen: 127.0.0.1:1\n");
    w.watcher.reload_now(&crate::audit::By::kind(crate::audit::Kind::Sighup)).expect("good");
    assert!(w.watcher.status().restart_needed);
    write(w.dir.path(), "gateway.yaml", "listen: wrong\n");
    assert!(w.watcher.reload_now(&crate::audit::By::kind(crate::audit::Kind::Sighup)).is_err());
    assert!(w.watcher.status().refused);
    fs::remove_file(w.dir.path().join("gateway.yaml")).expect("remove");
    w.watcher.reload_now(&crate::audit::By::kind(crate::audit::Kind::Sighup)).expect("good");
    assert!(!w.watcher.status().restart_needed);
}
