-- The AILog: one row per call to a model. Columns as in the embedded store, in the same order.
-- Placeholders (${...}) are filled in by `tollgate clickhouse print` and `apply`. Every statement may be run again.

CREATE DATABASE IF NOT EXISTS `${database}` ${on_cluster};

CREATE TABLE IF NOT EXISTS `${database}`.ai_log ${on_cluster}
(
    id                  UUID                             COMMENT 'UUIDv7 of the row',
    created_at          DateTime64(3, 'UTC')             COMMENT 'when the call began, UTC, milliseconds' CODEC(DoubleDelta, ZSTD(1)),
    org_id              LowCardinality(String)           COMMENT 'organisation of the caller',
    caller              String                           COMMENT 'name of the gateway key, or subject of the JWT' CODEC(ZSTD(1)),
    route               LowCardinality(String)           COMMENT 'proxy or intent',
    endpoint            LowCardinality(String)           COMMENT 'canonical path, e.g. /v1/chat/completions',
    provider            LowCardinality(String)           COMMENT 'provider that answered, or was tried last',
    model               LowCardinality(String)           COMMENT 'model as asked for',
    response_model      LowCardinality(String)           COMMENT 'model as answered',
    stream              Bool                             COMMENT 'the answer was asked for as server-sent events',
    status              UInt16                           COMMENT 'status the client got; 499 if it left before' CODEC(ZSTD(1)),
    outcome             LowCardinality(String)           COMMENT 'ok, client_error, rate_limited, provider_error, timeout, client_disconnect, refused',
    error_code          LowCardinality(String)           COMMENT 'the gateway''s own error code; empty if there is none',
    attempts            UInt8                            COMMENT 'sends to a provider',
    latency_ms          UInt32                           COMMENT 'whole call' CODEC(T64, ZSTD(1)),
    ttfb_ms             UInt32                           COMMENT 'until the provider''s first byte; 0 if there was none' CODEC(T64, ZSTD(1)),
    gateway_us          UInt32                           COMMENT 'microseconds spent in the gateway itself' CODEC(T64, ZSTD(1)),
    input_tokens        UInt64                           COMMENT 'all prompt tokens, cached ones included' CODEC(T64, ZSTD(1)),
    cached_tokens       UInt64                           COMMENT 'prompt tokens read from the provider''s cache' CODEC(T64, ZSTD(1)),
    output_tokens       UInt64                           COMMENT 'all answer tokens, reasoning included' CODEC(T64, ZSTD(1)),
    reasoning_tokens    UInt64                           COMMENT 'answer tokens spent on reasoning' CODEC(T64, ZSTD(1)),
    cost_usd            Nullable(Decimal(18, 9))         COMMENT 'exact; null when the model has no price' CODEC(ZSTD(1)),
    usage_source        LowCardinality(String)           COMMENT 'provider, estimated or none',
    redacted_emails     UInt32                           COMMENT 'addresses taken out of the request' CODEC(T64, ZSTD(1)),
    redacted_phones     UInt32                           COMMENT 'phone numbers taken out of the request' CODEC(T64, ZSTD(1)),
    redacted_other      UInt32                           COMMENT 'everything else taken out of the request' CODEC(T64, ZSTD(1)),
    attachments_dropped UInt32                           COMMENT 'attachments taken out of the request' CODEC(T64, ZSTD(1)),
    request             Nullable(String)                 COMMENT 'redacted and cut; null where capture is off' CODEC(ZSTD(3)),
    response            Nullable(String)                 COMMENT 'redacted and cut; null where capture is off' CODEC(ZSTD(3)),
    request_bytes       UInt64                           COMMENT 'length of the whole request body' CODEC(T64, ZSTD(1)),
    response_bytes      UInt64                           COMMENT 'length of the whole answer body' CODEC(T64, ZSTD(1)),
    truncated           Bool                             COMMENT 'one of the captured bodies was cut',
    category            LowCardinality(Nullable(String)) COMMENT 'of a ticket',
    priority            LowCardinality(Nullable(String)) COMMENT 'of a ticket',
    confidence          Nullable(Float64)                COMMENT 'of a ticket, 0 to 1',
    request_id          String                           COMMENT 'x-request-id' CODEC(ZSTD(1)),
    policy_version      LowCardinality(String)           COMMENT 'the policy in force',
    calls               UInt32                           COMMENT 'calls this row stands for; more than 1 where refused calls were folded' CODEC(T64, ZSTD(1)),

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
