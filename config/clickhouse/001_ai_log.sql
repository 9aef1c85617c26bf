-- The AILog: one row per call to a model. Columns as in the embedded store, in the same order.
-- Placeholders (${...}) are filled in by `tollgate clickhouse print` and `apply`. Every statement may be run again.

CREATE DATABASE IF NOT EXISTS `${database}` ${on_cluster};

CREATE TABLE IF NOT EXISTS `${database}`.ai_log ${on_cluster}
(
${columns},

    INDEX ix_id         id         TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_request_id request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_caller     caller     TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_status     status     TYPE set(64)            GRANULARITY 4
)
ENGINE = ${engine}
PARTITION BY toYYYYMM(created_at)
ORDER BY (toDate(created_at), org_id, model, created_at, id)
TTL toDateTime(created_at) + INTERVAL ${retention_days} DAY DELETE
SETTINGS index_granularity = 8192, ${deduplication}
COMMENT 'One row per call to a model, written by tollgate';
