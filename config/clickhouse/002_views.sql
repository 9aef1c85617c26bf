-- Views over ai_log. Exact: nothing is summed up twice or ahead of time. Percentiles by nearest rank, as in the embedded
-- store. An error is provider_error, timeout or refused; a client's own mistakes and rate limiting are counted apart.

CREATE OR REPLACE VIEW `${database}`.daily_summary ${on_cluster} AS
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
FROM `${database}`.ai_log AS l
GROUP BY day, org_id, provider, model, route;

CREATE OR REPLACE VIEW `${database}`.cost_by_org_day ${on_cluster} AS
SELECT
    toDate(l.created_at)                                                   AS day,
    l.org_id                                                               AS org_id,
    sum(l.calls)                                                           AS calls,
    ifNull(sum(l.cost_usd), toDecimal128(0, 9))                            AS cost_usd,
    sum(l.input_tokens) + sum(l.output_tokens)                             AS tokens,
    sumIf(l.calls, l.cost_usd IS NULL AND l.usage_source != 'none')        AS unpriced_calls
FROM `${database}`.ai_log AS l
GROUP BY day, org_id;

CREATE OR REPLACE VIEW `${database}`.errors_hourly ${on_cluster} AS
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
FROM `${database}`.ai_log AS l
WHERE l.outcome IN ('provider_error', 'timeout', 'refused')
GROUP BY hour, org_id, provider, model, outcome, status, error_code;
