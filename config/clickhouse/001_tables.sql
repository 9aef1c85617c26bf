-- The AILog: one row per call to a model, with the columns of the embedded store.
-- Placeholders (${...}) are filled in by `tollgate clickhouse print` and `apply`. Every statement may be run again.

CREATE DATABASE IF NOT EXISTS `${database}` ${on_cluster};

-- The rows without the captured texts. Partitions are months, so that hundreds of days are few parts; with ttl_only_drop_parts a
-- month goes as a whole when its last row is due.
CREATE TABLE IF NOT EXISTS `${database}`.ai_rows ${on_cluster}
(
${row_columns},

    INDEX ix_id         id         TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_request_id request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_caller     caller     TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_status     status     TYPE set(64)            GRANULARITY 4
)
ENGINE = ${engine ai_rows}
PARTITION BY toYYYYMM(created_at)
ORDER BY (toDate(created_at), org_id, model, created_at, id)
TTL toDateTime(created_at) + INTERVAL ${rows_days} DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, ${deduplication}
COMMENT 'One row per call to a model without the captured texts, written by tollgate';

-- The captured texts. Partitions are days: a day is dropped whole when its time has come, and nothing is rewritten for it.
CREATE TABLE IF NOT EXISTS `${database}`.ai_captures ${on_cluster}
(
    created_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    id         UUID,
${capture_columns}
)
ENGINE = ${engine ai_captures}
PARTITION BY toDate(created_at)
ORDER BY (created_at, id)
TTL toDateTime(created_at) + INTERVAL ${captures_days} DAY DELETE
SETTINGS index_granularity = 256, ttl_only_drop_parts = 1, ${deduplication}
COMMENT 'Redacted texts of the calls in ai_rows';

-- Sums of each hour, and the digests of its latencies: how many calls fell into each bucket. They are merged by adding.
CREATE TABLE IF NOT EXISTS `${database}`.ai_hourly ${on_cluster}
(
    hour        DateTime('UTC')         CODEC(DoubleDelta, ZSTD(1)),
    org_id      LowCardinality(String),
    model       LowCardinality(String),
    provider    LowCardinality(String),
    route       LowCardinality(String),
    caller      String                  CODEC(ZSTD(1)),
    outcome     LowCardinality(String),
    status      UInt16                  CODEC(ZSTD(1)),
    error_code  LowCardinality(String),
    limited_by  LowCardinality(String),
    category    LowCardinality(String),
    priority    LowCardinality(String),
${measure_columns},
    latency     SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)) CODEC(ZSTD(1)),
    first_token SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)) CODEC(ZSTD(1)),
    newest      SimpleAggregateFunction(max, String)                 CODEC(ZSTD(1))
)
ENGINE = ${engine ai_hourly Aggregating}
PARTITION BY toYYYYMM(hour)
PRIMARY KEY (toDate(hour), org_id, model)
ORDER BY (toDate(hour), org_id, model, provider, route, caller, outcome, hour, status, error_code, limited_by, category, priority)
TTL hour + INTERVAL ${hourly_days} DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, ${deduplication}
COMMENT 'Sums of ai_rows by hour, kept by ai_hourly_mv';

-- Sums of each day, for questions about whole days that name no caller and no error: far fewer than those of the hours.
CREATE TABLE IF NOT EXISTS `${database}`.ai_daily ${on_cluster}
(
    day         Date                    CODEC(DoubleDelta, ZSTD(1)),
    org_id      LowCardinality(String),
    model       LowCardinality(String),
    provider    LowCardinality(String),
    route       LowCardinality(String),
    outcome     LowCardinality(String),
${measure_columns},
    latency     SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)) CODEC(ZSTD(1)),
    first_token SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)) CODEC(ZSTD(1))
)
ENGINE = ${engine ai_daily Aggregating}
PARTITION BY toYYYYMM(day)
ORDER BY (day, org_id, model, provider, route, outcome)
TTL day + INTERVAL ${hourly_days} DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, ${deduplication}
COMMENT 'Sums of ai_hourly by day, kept by ai_daily_mv';

-- From begin to before end, ai_daily may lack sums: these days are read from ai_hourly. The newest line counts.
CREATE TABLE IF NOT EXISTS `${database}`.ai_daily_gaps ${on_cluster}
(
    written_at DateTime64(3, 'UTC') DEFAULT now64(3),
    begin      Date,
    end        Date
)
ENGINE = ${engine ai_daily_gaps}
ORDER BY written_at
COMMENT 'Days that ai_daily does not have in full, because it is younger than they are';

CREATE TABLE IF NOT EXISTS `${database}`.ai_tags ${on_cluster}
(
    day     Date                    CODEC(DoubleDelta, ZSTD(1)),
    org_id  LowCardinality(String),
    tag     LowCardinality(String),
    value   String                  CODEC(ZSTD(1)),
    outcome LowCardinality(String),
${measure_columns}
)
ENGINE = ${engine ai_tags Aggregating}
PARTITION BY toYYYYMM(day)
ORDER BY (day, org_id, tag, value, outcome)
TTL day + INTERVAL ${hourly_days} DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, ${deduplication}
COMMENT 'Sums of ai_rows by tag and day, kept by ai_tags_mv';

-- The limits on money of the policy in force; of each change only the last one counts.
CREATE TABLE IF NOT EXISTS `${database}`.ai_limits ${on_cluster}
(
    written_at DateTime64(3, 'UTC') DEFAULT now64(3),
    org_id     LowCardinality(String),
    scope      LowCardinality(String),
    name       String,
    period     LowCardinality(String),
    limit_usd  Decimal(18, 9),
    place      UInt16
)
ENGINE = ${engine ai_limits}
ORDER BY (written_at, org_id, scope, name, period)
TTL toDateTime(written_at) + INTERVAL ${hourly_days} DAY DELETE
COMMENT 'Limits on money of the policy in force, written by tollgate; org_id * is each one without a line of its own';

-- The second copy of the audit of policies; `tollgate audit verify` compares it with audit.jsonl. Records are never deleted.
CREATE TABLE IF NOT EXISTS `${database}`.policy_audit ${on_cluster}
(
    chain  String,
    seq    UInt64,
    record String  CODEC(ZSTD(1)),
    hash   String
)
ENGINE = ${engine policy_audit Replacing}
ORDER BY (chain, seq, hash)
COMMENT 'Records of the audit as they are hashed, written by tollgate; a chain is that of one data folder';

-- The columns that a table of a former version lacks.
ALTER TABLE `${database}`.ai_limits ${on_cluster} ADD COLUMN IF NOT EXISTS place UInt16;

ALTER TABLE `${database}`.ai_rows ${on_cluster}
${added_row_columns};

ALTER TABLE `${database}`.ai_captures ${on_cluster}
${added_capture_columns};

ALTER TABLE `${database}`.ai_rows ${on_cluster} MODIFY SETTING ttl_only_drop_parts = 1, ${deduplication};
