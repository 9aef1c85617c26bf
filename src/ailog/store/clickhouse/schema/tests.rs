//! The schema as text; `src/ailog/tests/clickhouse.rs` runs it.

use super::*;

fn options(cluster: Option<&str>) -> SchemaOptions {
    SchemaOptions {
        database: "d".into(),
        cluster: cluster.map(str::to_owned),
        retention: Retention { rows: 90, captures: 30, hourly: 1_095 },
        changes_retention: false,
    }
}

#[test]
fn a_retention_is_read_as_the_server_writes_it() {
    let of = |rule: &str| {
        kept_for(&format!("MergeTree PARTITION BY m ORDER BY (a, b){rule} SETTINGS g = 8192"))
    };
    assert_eq!(of(" TTL toDateTime(created_at) + toIntervalDay(730)"), KeptFor::Days(730));
    assert_eq!(of(""), KeptFor::Never);
    for other in [
        " TTL toDateTime(created_at) + toIntervalMonth(3)",
        " TTL toDateTime(created_at) + toIntervalDay(7), toDateTime(created_at) + \
            toIntervalDay(1) TO VOLUME 'cold'",
    ] {
        assert_eq!(of(other), KeptFor::Other, "{other}");
    }
}

#[test]
fn every_placeholder_is_filled() {
    for cluster in [None, Some("main")] {
        let sql = options(cluster).sql();
        assert!(!sql.replace("(${...})", "").contains("${"), "{sql}");
        assert!(!sql.lines().any(|line| line.ends_with(' ')), "{sql}");
        let runs_everywhere = |statement: &&String| !statement.starts_with("INSERT");
        let on_cluster =
            cluster.map_or(0, |_| statements(&sql).iter().filter(runs_everywhere).count());
        assert_eq!(
            sql.matches("ON CLUSTER 'main'").count(),
            on_cluster,
            "every statement runs on the cluster"
        );
    }
    assert!(
        options(Some("main"))
            .sql()
            .contains("ReplicatedMergeTree('/clickhouse/tables/{shard}/d/ai_rows', '{replica}')")
    );
    assert!(options(None).sql().contains("ENGINE = MergeTree\n"));
}

/// A gateway that runs while the schema is applied writes nothing before the roll-ups are there.
#[test]
fn the_last_column_comes_last_and_no_roll_up_needs_it() {
    let sql = options(None).sql();
    let last = last_column().name;
    let defined = format!("ADD COLUMN IF NOT EXISTS {last} ");
    let at = sql.find(&defined).expect("it is added");
    assert_eq!(sql.matches(&format!("{last} {}", type_of(last_column().of))).count(), 1);
    let before = &sql[..at];
    for view in ["ai_hourly_mv", "ai_daily_mv", "ai_tags_mv", ".ai_captures"] {
        assert!(before.contains(view), "{view}");
    }
    let rollups = [options(None).hourly_of("t"), options(None).tags_of("t")];
    assert!(rollups.iter().all(|sql| !sql.contains(last)), "{rollups:?}");
    assert_ne!(layout::home(last_column()), Home::Capture);
}

#[test]
fn every_column_is_in_one_table() {
    let sql = options(None).sql();
    for Column { name, of, .. } in COLUMNS {
        let definition = format!("{name} ");
        let defines = |line: &&str| {
            let line = line.trim_start();
            line.starts_with(&definition) && line.contains(" COMMENT '")
        };
        let expected = usize::from(name != last_column().name);
        assert_eq!(sql.lines().filter(defines).count(), expected, "{name} {of:?}");
    }
}
