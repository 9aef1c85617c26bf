-- What a cost was made of: the price list, the tokens that have prices of their own, the service tier, and how the attempts went.
-- The log must take the new columns before a gateway of this version writes to it: run `tollgate clickhouse apply` first.

ALTER TABLE `${database}`.ai_log ${on_cluster}
${added_columns};

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
