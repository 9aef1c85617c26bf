-- The ClickHouse schema as migration 5 left it: kept as it was written then, never changed.
-- The AILog: one row per call to a model. Columns as in the embedded store, in the same order.
-- Placeholders (${...}) are filled in by `tollgate clickhouse print` and `apply`. Every statement may be run again.

CREATE DATABASE IF NOT EXISTS `former`;

CREATE TABLE IF NOT EXISTS `former`.ai_log
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
ENGINE = MergeTree
PARTITION BY toYYYYMM(created_at)
ORDER BY (toDate(created_at), org_id, model, created_at, id)
TTL toDateTime(created_at) + INTERVAL 90 DAY DELETE
SETTINGS index_granularity = 8192, non_replicated_deduplication_window = 100000
COMMENT 'One row per call to a model, written by tollgate';

-- Views over ai_log. Exact: nothing is summed up twice or ahead of time. Percentiles by nearest rank, as in the embedded
-- store. An error is provider_error, timeout or refused; a client's own mistakes and rate limiting are counted apart.

CREATE OR REPLACE VIEW `former`.daily_summary AS
SELECT
    toDate(l.created_at)                                                                   AS day,
    l.org_id                                                                               AS org_id,
    l.provider                                                                             AS provider,
    l.model                                                                                AS model,
    l.route                                                                                AS route,
    sum(l.calls)                                                                           AS calls,
    sumIf(l.calls, l.outcome IN ('provider_error', 'timeout', 'refused'))                  AS errors,
    sumIf(l.calls, l.outcome IN ('provider_error', 'timeout', 'refused')) / sum(l.calls)   AS error_rate,
    sumIf(l.calls, l.outcome = 'rate_limited')                                             AS rate_limited,
    sum(l.input_tokens)                                                                    AS input_tokens,
    sum(l.output_tokens)                                                                   AS output_tokens,
    ifNull(sum(l.cost_usd), toDecimal128(0, 9))                                            AS cost_usd,
    arraySort(groupArray(l.latency_ms))[intDiv(50 * count() + 99, 100)]                    AS p50_ms,
    arraySort(groupArray(l.latency_ms))[intDiv(95 * count() + 99, 100)]                    AS p95_ms,
    arraySort(groupArray(l.latency_ms))[intDiv(99 * count() + 99, 100)]                    AS p99_ms
FROM `former`.ai_log AS l
GROUP BY day, org_id, provider, model, route;

CREATE OR REPLACE VIEW `former`.cost_by_org_day AS
SELECT
    toDate(l.created_at)                                                   AS day,
    l.org_id                                                               AS org_id,
    sum(l.calls)                                                           AS calls,
    ifNull(sum(l.cost_usd), toDecimal128(0, 9))                            AS cost_usd,
    sum(l.input_tokens) + sum(l.output_tokens)                             AS tokens,
    sumIf(l.calls, l.cost_usd IS NULL AND l.usage_source != 'none')        AS unpriced_calls
FROM `former`.ai_log AS l
GROUP BY day, org_id;

CREATE OR REPLACE VIEW `former`.errors_hourly AS
SELECT
    toStartOfHour(l.created_at)                 AS hour,
    l.org_id                                    AS org_id,
    l.provider                                  AS provider,
    l.model                                     AS model,
    l.outcome                                   AS outcome,
    l.status                                    AS status,
    l.error_code                                AS error_code,
    sum(l.calls)                                AS calls,
    argMax(l.request_id, l.created_at)          AS last_request_id
FROM `former`.ai_log AS l
WHERE l.outcome IN ('provider_error', 'timeout', 'refused')
GROUP BY hour, org_id, provider, model, outcome, status, error_code;

-- What a cost was made of: the price list, the tokens that have prices of their own, the service tier, and how the attempts went.
-- The log must take the new columns before a gateway of this version writes to it: run `tollgate clickhouse apply` first.

ALTER TABLE `former`.ai_log
    ADD COLUMN IF NOT EXISTS price_version         LowCardinality(String) COMMENT 'price list that cost_usd is from; empty if unpriced',
    ADD COLUMN IF NOT EXISTS cache_write_tokens    UInt64                 COMMENT 'prompt tokens written to the provider''s cache' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS audio_input_tokens    UInt64                 COMMENT 'prompt tokens of sound' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS audio_output_tokens   UInt64                 COMMENT 'answer tokens of sound' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS service_tier          LowCardinality(String) COMMENT 'standard, flex, priority, scale, batch, standard_us, other_geo or other; empty if not reported',
    ADD COLUMN IF NOT EXISTS attempts_detail       String                 COMMENT 'how each attempt went, where the first one did not just answer' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS cache_write_1h_tokens UInt64                 COMMENT 'those of cache_write_tokens that are kept for an hour' CODEC(T64, ZSTD(1));

-- As before, but of several newest calls always the same one is named.
CREATE OR REPLACE VIEW `former`.errors_hourly AS
SELECT
    toStartOfHour(l.created_at)                                     AS hour,
    l.org_id                                                        AS org_id,
    l.provider                                                      AS provider,
    l.model                                                         AS model,
    l.outcome                                                       AS outcome,
    l.status                                                        AS status,
    l.error_code                                                    AS error_code,
    sum(l.calls)                                                    AS calls,
    argMax(l.request_id, tuple(l.created_at, toString(l.id)))       AS last_request_id
FROM `former`.ai_log AS l
WHERE l.outcome IN ('provider_error', 'timeout', 'refused')
GROUP BY hour, org_id, provider, model, outcome, status, error_code;

-- How many inserts the table remembers, to drop one that is sent again after a lost acknowledgement.

ALTER TABLE `former`.ai_log MODIFY SETTING non_replicated_deduplication_window = 100000;

-- Columns that this version of tollgate adds.

ALTER TABLE `former`.ai_log
    ADD COLUMN IF NOT EXISTS translated        LowCardinality(String) COMMENT 'formats of a translated call, e.g. chat>anthropic; empty where bytes passed as they are',
    ADD COLUMN IF NOT EXISTS dropped_fields    String                 COMMENT 'request fields that the provider''s format cannot express; ~name: carried with another value' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS finish_reason     LowCardinality(String) COMMENT 'the provider''s own word for the end of a translated answer',
    ADD COLUMN IF NOT EXISTS redaction_actions String                 COMMENT 'what redaction.actions did besides placeholders: count:phone=2,drop_message=1,reject:iban=1' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS answer_masked     UInt32                 COMMENT 'values taken out of the answer that the call did not send (redaction.answers)' CODEC(T64, ZSTD(1));
