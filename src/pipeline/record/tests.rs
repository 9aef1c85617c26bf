use std::path::Path;

use super::*;
use crate::ailog::Options;
use crate::ailog::row::RouteKind;
use crate::config::load;
use crate::config::policy::StoreKind;
use crate::ids::{OrgId, RequestId};

/// Long enough for a busy machine; reached only by a failure.
const SOON: Duration = Duration::from_secs(60);

fn log(dir: &Path) -> (AiLog, Arc<Metrics>) {
    let metrics = Metrics::new();
    let log = AiLog::open(Options::new(dir, 0), StoreKind::Embedded, Arc::clone(&metrics));
    (log.expect("log"), metrics)
}

fn record(log: &AiLog, metrics: &Arc<Metrics>) -> Record {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("file");
    std::fs::write(&file, "auth: {accept: [anonymous]}").expect("a policy");
    let policy = Arc::new(load(Some(file.path())).expect("a policy").policy);
    let (org, id) = (OrgId::anonymous(), RequestId::random());
    let clock = Clock::start();
    let row = Row::begin(clock.wall_ms(), org, RouteKind::Proxy, id, Arc::clone(&policy.version));
    Record::new(log.clone(), Arc::clone(metrics), policy, row, (clock, clock.now()))
}

fn rows(dir: &Path, condition: &str) -> i64 {
    let database = rusqlite::Connection::open(dir.join("tollgate.db")).expect("database");
    let sql = format!("SELECT coalesce(sum(calls), 0) FROM ai_log WHERE {condition}");
    database.query_row(&sql, [], |row| row.get(0)).expect("a number")
}

#[test]
fn each_record_leaves_one_row() {
    let dir = tempfile::tempdir().expect("dir");
    let (log, metrics) = log(dir.path());
    let mut closed = record(&log, &metrics);
    closed.close(200, Outcome::Ok, None);
    closed.close(503, Outcome::Refused, None);
    drop(closed);
    drop(record(&log, &metrics));
    drop(record(&log, &metrics).if_dropped(503, Outcome::Refused));
    log.cut_calls();
    drop(record(&log, &metrics));
    log.close(SOON);
    assert_eq!(rows(dir.path(), "1"), 4);
    assert_eq!(rows(dir.path(), "status = 200 AND outcome = 'ok'"), 1);
    assert_eq!(rows(dir.path(), "status = 499 AND outcome = 'client_disconnect'"), 1);
    assert_eq!(rows(dir.path(), "status = 503 AND outcome = 'refused'"), 2);
}

#[test]
fn refusals_are_folded_only_before_any_work() {
    let dir = tempfile::tempdir().expect("dir");
    let (log, metrics) = log(dir.path());
    let limited = Refusal::new(Code::RateLimitExceeded, "slow down");
    let overloaded = Refusal::new(Code::Overloaded, "full");
    for (refusal, work) in [(&limited, Work::None), (&overloaded, Work::Begun)] {
        for _ in 0..3 {
            record(&log, &metrics).refuse_at_head(refusal);
        }
        let mut record = record(&log, &metrics);
        record.refuse(refusal);
        assert_eq!(record.work, work, "{refusal:?}");
    }
    log.close(SOON);
    assert_eq!(rows(dir.path(), "outcome = 'rate_limited' AND status = 429"), 4);
    assert_eq!(rows(dir.path(), "outcome = 'refused' AND status = 503"), 4);
    let histogram = metrics.request_duration.with_label_values(&["proxy"]);
    assert_eq!(
        histogram.get_sample_count(),
        2,
        "the time of a refusal at the head is not measured"
    );
}
