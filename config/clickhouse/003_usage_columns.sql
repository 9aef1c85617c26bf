-- What a cost was made of: the price list, the tokens that have prices of their own, the service tier, and how the attempts went.
-- The log must take the new columns before a gateway of this version writes to it: run `tollgate clickhouse apply` first.

ALTER TABLE `${database}`.ai_log ${on_cluster}
    ADD COLUMN IF NOT EXISTS price_version         LowCardinality(String) COMMENT 'price list that cost_usd is from; empty if unpriced',
    ADD COLUMN IF NOT EXISTS cache_write_tokens    UInt64                 COMMENT 'prompt tokens written to the provider''s cache' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS audio_input_tokens    UInt64                 COMMENT 'prompt tokens of sound' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS audio_output_tokens   UInt64                 COMMENT 'answer tokens of sound' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS service_tier          LowCardinality(String) COMMENT 'standard, flex, priority, scale, batch or other; empty if the provider did not say',
    ADD COLUMN IF NOT EXISTS attempts_detail       String                 COMMENT 'how each attempt went, where the first one did not just answer' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS cache_write_1h_tokens UInt64                 COMMENT 'those of cache_write_tokens that are kept for an hour' CODEC(T64, ZSTD(1));

-- As before, but of several newest calls always the same one is named.
CREATE OR REPLACE VIEW `${database}`.errors_hourly ${on_cluster} AS
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
FROM `${database}`.ai_log AS l
WHERE l.outcome IN ('provider_error', 'timeout', 'refused')
GROUP BY hour, org_id, provider, model, outcome, status, error_code;
