-- The embedded store as the first layout was: kept as it was written then, never changed.
PRAGMA page_size = 16384;
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE ai_log (id TEXT PRIMARY KEY, created_at TEXT NOT NULL, org_id TEXT NOT NULL, caller TEXT NOT NULL, route TEXT NOT NULL, endpoint TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, response_model TEXT NOT NULL, stream INTEGER NOT NULL, status INTEGER NOT NULL, outcome TEXT NOT NULL, error_code TEXT NOT NULL, attempts INTEGER NOT NULL, latency_ms INTEGER NOT NULL, ttfb_ms INTEGER NOT NULL, gateway_us INTEGER NOT NULL, input_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL, cost_usd REAL GENERATED ALWAYS AS (cost_nano_usd / 1e9) VIRTUAL, usage_source TEXT NOT NULL, redacted_emails INTEGER NOT NULL, redacted_phones INTEGER NOT NULL, redacted_other INTEGER NOT NULL, attachments_dropped INTEGER NOT NULL, request TEXT, response TEXT, request_bytes INTEGER NOT NULL, response_bytes INTEGER NOT NULL, truncated INTEGER NOT NULL, category TEXT, priority TEXT, confidence REAL, request_id TEXT NOT NULL, policy_version TEXT NOT NULL, calls INTEGER NOT NULL, cost_nano_usd INTEGER);
CREATE INDEX ai_log_created_at ON ai_log (created_at);
CREATE TABLE log_position (one INTEGER PRIMARY KEY CHECK (one = 1), segment BLOB NOT NULL,
                           "offset" INTEGER NOT NULL);
CREATE VIEW IF NOT EXISTS daily_summary AS
WITH ranked AS (
    SELECT substr(created_at, 1, 10) AS day, org_id, provider, model, route, calls, outcome, input_tokens,
           output_tokens, cost_nano_usd, latency_ms,
           row_number() OVER (PARTITION BY substr(created_at, 1, 10), org_id, provider, model, route
                              ORDER BY latency_ms) AS rank,
           count(*) OVER (PARTITION BY substr(created_at, 1, 10), org_id, provider, model, route) AS rows
    FROM ai_log
)
SELECT day, org_id, provider, model, route,
       sum(calls) AS calls,
       sum(CASE WHEN outcome IN ('provider_error', 'timeout', 'refused') THEN calls ELSE 0 END) AS errors,
       sum(CASE WHEN outcome IN ('provider_error', 'timeout', 'refused') THEN calls ELSE 0 END) * 1.0 / sum(calls)
           AS error_rate,
       sum(CASE WHEN outcome = 'rate_limited' THEN calls ELSE 0 END) AS rate_limited,
       sum(input_tokens) AS input_tokens,
       sum(output_tokens) AS output_tokens,
       coalesce(sum(cost_nano_usd), 0) / 1e9 AS cost_usd,
       max(CASE WHEN rank = (50 * rows + 99) / 100 THEN latency_ms END) AS p50_ms,
       max(CASE WHEN rank = (95 * rows + 99) / 100 THEN latency_ms END) AS p95_ms,
       max(CASE WHEN rank = (99 * rows + 99) / 100 THEN latency_ms END) AS p99_ms
FROM ranked
GROUP BY day, org_id, provider, model, route;
PRAGMA user_version = 1;
INSERT INTO ai_log (id, created_at, org_id, caller, route, endpoint, provider, model, response_model, stream, status, outcome, error_code,
    attempts, latency_ms, ttfb_ms, gateway_us, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_nano_usd, usage_source,
    redacted_emails, redacted_phones, redacted_other, attachments_dropped, request, response, request_bytes, response_bytes, truncated,
    category, priority, confidence, request_id, policy_version, calls)
VALUES ('01935a00-0000-7000-8000-000000000001', '2026-11-02T10:00:00.000Z', 'acme', 'ci', 'proxy', '/v1/chat/completions', 'openai',
    'gpt-4o-mini', 'gpt-4o-mini-2024-07-18', 0, 200, 'ok', '', 1, 812, 320, 95, 1000, 200, 100, 0, 195000, 'provider', 1, 0, 0, 0,
    '{}', NULL, 2, 3, 0, NULL, NULL, NULL, 'req-1', '0123456789ab', 1);
COMMIT;
