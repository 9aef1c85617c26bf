-- The views, with the names and columns of the embedded store. An error is provider_error, timeout or refused; a client's own
-- mistakes and rate limiting are counted apart. Percentiles are within 1 % of the nearest rank. All but ai_log, slowest_calls and
-- dearest_calls read the roll-ups. On a cluster, NAME_all is NAME over all shards, and the views read it; ai_log is the part of
-- the server that is asked.

-- Every column. The captured texts are subqueries, so that a query which does not name them does not read them.
CREATE OR REPLACE VIEW `${database}`.ai_log ${on_cluster} AS
SELECT
${log_columns}
FROM `${database}`.ai_rows AS r;

${distributed}

-- Rows that are there before ai_daily_mv is: the day after tomorrow is the first that it has seen from its beginning.
INSERT INTO `${database}`.ai_daily_gaps (begin, end)
SELECT toDate('1970-01-01') AS begin,
    if((SELECT count() FROM (SELECT 1 FROM `${database}`.${of ai_hourly} LIMIT 1)) = 0, begin, toDate(now('UTC')) + 2) AS end
WHERE (SELECT count() FROM `${database}`.${of ai_daily_gaps}) = 0;

-- The sums of days: of those in the gap from the sums of hours.
CREATE OR REPLACE VIEW `${database}`.ai_days ${on_cluster} AS
SELECT
    d.day AS day, d.org_id AS org_id, d.model AS model, d.provider AS provider, d.route AS route, d.outcome AS outcome,
${measures_of d},
    d.latency AS latency, d.first_token AS first_token
FROM `${database}`.${of ai_daily} AS d
WHERE d.day < ${gap begin} OR d.day >= ${gap end}
UNION ALL
SELECT
    toDate(h.hour) AS day, h.org_id AS org_id, h.model AS model, h.provider AS provider, h.route AS route, h.outcome AS outcome,
${measures_of h},
    h.latency AS latency, h.first_token AS first_token
FROM `${database}`.${of ai_hourly} AS h
WHERE toDate(h.hour) >= ${gap begin} AND toDate(h.hour) < ${gap end};

CREATE OR REPLACE VIEW `${database}`.daily_summary ${on_cluster} AS
SELECT
    day, org_id, provider, model, route, calls, errors, errors / calls AS error_rate, rate_limited, input_tokens, output_tokens,
    cost_usd,
    ${percentile 50 latency} AS p50_ms,
    ${percentile 95 latency} AS p95_ms,
    ${percentile 99 latency} AS p99_ms
FROM
(
    SELECT
        h.day                                   AS day,
        h.org_id                                AS org_id,
        h.provider                              AS provider,
        h.model                                 AS model,
        h.route                                 AS route,
        sum(h.calls)                            AS calls,
        sumIf(h.calls, h.outcome IN ${errors})  AS errors,
        sumIf(h.calls, h.outcome = 'rate_limited') AS rate_limited,
        sum(h.input_tokens)                     AS input_tokens,
        sum(h.output_tokens)                    AS output_tokens,
        ${cost h}                               AS cost_usd,
        sumMap(h.latency)                       AS latency
    FROM `${database}`.ai_days AS h
    GROUP BY day, org_id, provider, model, route
);

CREATE OR REPLACE VIEW `${database}`.hourly ${on_cluster} AS
SELECT
    hour, toDate(hour) AS day, org_id, caller, provider, model, route, outcome, calls, errors, input_tokens, cached_tokens,
    output_tokens, cost_usd, unpriced_calls,
    ${percentile 50 latency} AS p50_ms,
    ${percentile 95 latency} AS p95_ms,
    ${percentile 99 latency} AS p99_ms,
    ${percentile 50 first_token} AS first_token_p50_ms,
    ${percentile 95 first_token} AS first_token_p95_ms
FROM
(
    SELECT
        h.hour AS hour, h.org_id AS org_id, h.caller AS caller, h.provider AS provider, h.model AS model, h.route AS route,
        h.outcome AS outcome,
        sum(h.calls)                            AS calls,
        sumIf(h.calls, h.outcome IN ${errors})  AS errors,
        sum(h.input_tokens)                     AS input_tokens,
        sum(h.cached_tokens)                    AS cached_tokens,
        sum(h.output_tokens)                    AS output_tokens,
        ${cost h}                               AS cost_usd,
        sum(h.unpriced_calls)                   AS unpriced_calls,
        sumMap(h.latency)                       AS latency,
        sumMap(h.first_token)                   AS first_token
    FROM `${database}`.${of ai_hourly} AS h
    GROUP BY hour, org_id, caller, provider, model, route, outcome
);

CREATE OR REPLACE VIEW `${database}`.cost_by_org_day ${on_cluster} AS
SELECT
    h.day                                       AS day,
    h.org_id                                    AS org_id,
    sum(h.calls)                                AS calls,
    ${cost h}                                   AS cost_usd,
    sum(h.input_tokens) + sum(h.output_tokens)  AS tokens,
    sum(h.unpriced_calls)                       AS unpriced_calls
FROM `${database}`.ai_days AS h
GROUP BY day, org_id;

CREATE OR REPLACE VIEW `${database}`.cost_by_tag_day ${on_cluster} AS
SELECT
    h.day AS day, h.org_id AS org_id, h.tag AS tag, h.value AS value,
    sum(h.calls)                                AS calls,
    sumIf(h.calls, h.outcome IN ${errors})      AS errors,
    ${cost h}                                   AS cost_usd,
    sum(h.input_tokens) + sum(h.output_tokens)  AS tokens,
    sum(h.unpriced_calls)                       AS unpriced_calls
FROM `${database}`.${of ai_tags} AS h
GROUP BY day, org_id, tag, value;

CREATE OR REPLACE VIEW `${database}`.errors_hourly ${on_cluster} AS
SELECT hour, org_id, provider, model, outcome, status, error_code, calls, last_request_id, all_calls, calls / all_calls AS error_rate
FROM
(
    SELECT
        h.hour AS hour, h.org_id AS org_id, h.provider AS provider, h.model AS model, h.outcome AS outcome, h.status AS status,
        h.error_code AS error_code,
        sum(h.calls)                            AS calls,
        substring(max(h.newest), 63)            AS last_request_id,
        sum(sum(h.calls)) OVER (PARTITION BY hour, org_id, provider, model) AS all_calls
    FROM `${database}`.${of ai_hourly} AS h
    GROUP BY hour, org_id, provider, model, outcome, status, error_code
)
WHERE outcome IN ${errors};

CREATE OR REPLACE VIEW `${database}`.cache_savings ${on_cluster} AS
SELECT
    h.day AS day, h.org_id AS org_id, h.provider AS provider, h.model AS model,
    sum(h.calls)                                AS calls,
    sum(h.input_tokens)                         AS input_tokens,
    sum(h.cached_tokens)                        AS cached_tokens,
    sum(h.cached_tokens) * 100 / sum(h.input_tokens) AS cached_percent,
    ${cost h}                                   AS cost_usd,
    sum(h.saved_by_cache_usd)                   AS saved_by_cache_usd
FROM `${database}`.ai_days AS h
GROUP BY day, org_id, provider, model
HAVING sum(h.input_tokens) > 0;

CREATE OR REPLACE VIEW `${database}`.limits_hit ${on_cluster} AS
SELECT
    h.hour AS hour, toDate(h.hour) AS day, h.org_id AS org_id, h.caller AS caller, h.provider AS provider, h.model AS model,
    h.limited_by AS limited_by,
    sum(h.calls)                                AS calls
FROM `${database}`.${of ai_hourly} AS h
WHERE h.limited_by != ''
GROUP BY hour, day, org_id, caller, provider, model, limited_by;

-- The lines of an organisation count before those of *, also those that lift a limit.
CREATE OR REPLACE VIEW `${database}`.budget_used ${on_cluster} AS
WITH
    spent AS
    (
        SELECT
            period,
            if(period = 'day', toDate(h.hour), toStartOfMonth(h.hour)) AS day,
            h.org_id                            AS org_id,
            if(is_org, '', h.caller)            AS caller,
            is_org,
            sum(h.cost_usd)                     AS usd
        FROM `${database}`.${of ai_hourly} AS h
        ARRAY JOIN ['day', 'month', 'day', 'month'] AS period, [true, true, false, false] AS is_org
        GROUP BY period, day, org_id, caller, is_org
    ),
    limits AS
    (
        SELECT
            l.org_id AS org_id, l.scope AS scope, l.name AS name, l.period AS period, l.limit_usd AS limit_usd, l.place AS place
        FROM `${database}`.${of ai_limits} AS l
        WHERE l.written_at = (SELECT max(written_at) FROM `${database}`.${of ai_limits})
    ),
    keys AS (SELECT DISTINCT org_id, name AS caller FROM limits WHERE scope = 'key'),
    subjects AS
    (
        SELECT
            p.period AS period, p.day AS day, p.org_id AS org_id, p.caller AS name, p.usd AS usd,
            multiIf(p.is_org, 'org', (p.org_id, p.caller) IN (SELECT org_id, caller FROM keys), 'key', 'user') AS scope,
            if(scope = 'user', '*', p.caller)   AS line
        FROM spent AS p
    ),
    found AS
    (
        SELECT
            s.period AS period, s.day AS day, s.org_id AS org_id, s.scope AS scope, s.name AS name, s.usd AS usd,
            argMin(l.limit_usd, l.org_id = '*') AS limit_usd
        FROM subjects AS s
        INNER JOIN limits AS l ON l.scope = s.scope AND l.name = s.line AND l.period = s.period
        WHERE l.org_id IN (s.org_id, '*')
        GROUP BY period, day, org_id, scope, name, usd
    ),
    -- Of the patterns of models that an organisation has (those of * without any limits of its own) the first that matches counts.
    models AS
    (
        SELECT
            period,
            if(period = 'day', h.day, toStartOfMonth(h.day)) AS day,
            h.org_id                            AS org_id,
            h.model                             AS model,
            sum(h.cost_usd)                     AS usd
        FROM `${database}`.ai_days AS h
        ARRAY JOIN ['day', 'month'] AS period
        GROUP BY period, day, org_id, model
    ),
    matched AS
    (
        SELECT
            m.period AS period, m.day AS day, m.org_id AS org_id, m.model AS model, m.usd AS usd,
            argMin(l.name, l.place) AS name, argMin(l.limit_usd, l.place) AS limit_usd
        FROM
        (
            SELECT
                period, day, org_id, model, usd,
                if(org_id IN (SELECT org_id FROM limits WHERE scope = 'org'), org_id, '*') AS list
            FROM models
        ) AS m
        INNER JOIN limits AS l ON l.org_id = m.list AND l.period = m.period
        WHERE l.scope = 'model' AND like(m.model,
            replaceAll(replaceAll(replaceAll(replaceAll(l.name, '\\', '\\\\'), '%', '\\%'), '_', '\\_'), '*', '%'))
        GROUP BY period, day, org_id, model, usd
    )
SELECT
    f.period AS period, f.day AS day, f.org_id AS org_id, f.scope AS scope, f.name AS name, f.limit_usd AS limit_usd,
    f.usd                                       AS spent_usd,
    toFloat64(f.usd) * 100 / toFloat64(f.limit_usd) AS used_percent
FROM
(
    SELECT period, day, org_id, scope, name, limit_usd, usd FROM found
    UNION ALL
    SELECT period, day, org_id, 'model' AS scope, name, limit_usd, sum(m.usd) AS usd
    FROM matched AS m GROUP BY period, day, org_id, name, limit_usd
) AS f
WHERE f.limit_usd > 0;

CREATE OR REPLACE VIEW `${database}`.tickets_daily ${on_cluster} AS
SELECT
    toDate(h.hour) AS day, h.org_id AS org_id, nullIf(h.category, '') AS category, nullIf(h.priority, '') AS priority,
    sum(h.calls)                                AS tickets,
    sum(h.confidence_millionths) / 1000000 / nullIf(sum(h.confidences), 0) AS mean_confidence,
    ${cost h}                                   AS cost_usd
FROM `${database}`.${of ai_hourly} AS h
WHERE h.route = 'intent' AND h.outcome = 'ok'
GROUP BY day, org_id, category, priority;

CREATE OR REPLACE VIEW `${database}`.unpriced_models ${on_cluster} AS
SELECT
    h.day AS day, h.org_id AS org_id, h.provider AS provider, h.model AS model,
    sum(h.unpriced_calls)                       AS calls,
    sum(h.unpriced_tokens)                      AS tokens
FROM `${database}`.ai_days AS h
GROUP BY day, org_id, provider, model
HAVING sum(h.unpriced_calls) > 0;

CREATE OR REPLACE VIEW `${database}`.slowest_calls ${on_cluster} AS
SELECT
    toDate(l.created_at) AS day, l.created_at AS created_at, l.org_id AS org_id, l.caller AS caller, l.provider AS provider,
    l.model AS model, l.route AS route, l.outcome AS outcome, l.latency_ms AS latency_ms, l.ttfb_ms AS ttfb_ms,
    l.first_token_ms AS first_token_ms, l.gateway_us AS gateway_us, l.attempts AS attempts, l.request_id AS request_id,
    l.prompt AS prompt
FROM `${database}`.${of ai_log} AS l
WHERE l.attempts > 0;

CREATE OR REPLACE VIEW `${database}`.dearest_calls ${on_cluster} AS
SELECT
    toDate(l.created_at) AS day, l.created_at AS created_at, l.org_id AS org_id, l.caller AS caller, l.provider AS provider,
    l.model AS model, l.input_tokens AS input_tokens, l.cached_tokens AS cached_tokens, l.output_tokens AS output_tokens,
    l.cost_usd AS cost_usd, l.saved_by_cache_usd AS saved_by_cache_usd, l.tags AS tags, l.request_id AS request_id,
    l.prompt AS prompt, l.answer AS answer
FROM `${database}`.${of ai_log} AS l
WHERE l.cost_usd > 0;

CREATE OR REPLACE VIEW `${database}`.providers_daily ${on_cluster} AS
SELECT
    day, provider, calls, errors, errors / calls AS error_rate, cost_usd,
    ${percentile 50 latency} AS p50_ms,
    ${percentile 95 latency} AS p95_ms,
    ${percentile 99 latency} AS p99_ms,
    ${percentile 50 first_token} AS first_token_p50_ms,
    ${percentile 95 first_token} AS first_token_p95_ms
FROM
(
    SELECT
        h.day AS day, h.provider AS provider,
        sum(h.calls)                            AS calls,
        sumIf(h.calls, h.outcome IN ${errors})  AS errors,
        ${cost h}                               AS cost_usd,
        sumMap(h.latency)                       AS latency,
        sumMap(h.first_token)                   AS first_token
    FROM `${database}`.ai_days AS h
    WHERE h.provider != ''
    GROUP BY day, provider
);

CREATE OR REPLACE VIEW `${database}`.provider_health ${on_cluster} AS
SELECT
    hour, toDate(hour) AS day, provider, model, calls, errors, errors / calls AS error_rate, rate_limited, timeouts, retried_calls,
    ${percentile 50 latency} AS p50_ms,
    ${percentile 95 latency} AS p95_ms,
    ${percentile 99 latency} AS p99_ms,
    ${percentile 50 first_token} AS first_token_p50_ms,
    ${percentile 95 first_token} AS first_token_p95_ms
FROM
(
    SELECT
        h.hour AS hour, h.provider AS provider, h.model AS model,
        sum(h.calls)                            AS calls,
        sumIf(h.calls, h.outcome IN ${errors})  AS errors,
        sumIf(h.calls, h.outcome = 'provider_rate_limited') AS rate_limited,
        sumIf(h.calls, h.outcome = 'timeout')   AS timeouts,
        sum(h.retried_calls)                    AS retried_calls,
        sumMap(h.latency)                       AS latency,
        sumMap(h.first_token)                   AS first_token
    FROM `${database}`.${of ai_hourly} AS h
    WHERE h.provider != ''
    GROUP BY hour, provider, model
);

CREATE OR REPLACE VIEW `${database}`.retries_saved ${on_cluster} AS
SELECT
    h.day AS day, h.org_id AS org_id, h.provider AS provider, h.model AS model,
    sum(h.calls)                                AS calls,
    sum(h.retried_calls)                        AS retried_calls,
    sum(h.saved_calls)                          AS saved_calls,
    sum(h.saved_calls) * 100 / sum(h.retried_calls) AS saved_percent
FROM `${database}`.ai_days AS h
GROUP BY day, org_id, provider, model
HAVING sum(h.retried_calls) > 0;
