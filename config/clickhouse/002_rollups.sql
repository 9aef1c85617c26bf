-- What keeps the roll-ups. A batch that is sent again is dropped by them as by ai_rows (deduplicate_blocks_in_dependent_materialized_views).

CREATE MATERIALIZED VIEW IF NOT EXISTS `${database}`.ai_hourly_mv ${on_cluster} TO `${database}`.ai_hourly AS
${hourly_of ai_rows};

CREATE MATERIALIZED VIEW IF NOT EXISTS `${database}`.ai_daily_mv ${on_cluster} TO `${database}`.ai_daily AS
${daily_of};

CREATE MATERIALIZED VIEW IF NOT EXISTS `${database}`.ai_tags_mv ${on_cluster} TO `${database}`.ai_tags AS
${tags_of ai_rows};

-- The last column comes last: a gateway that waits for it writes nothing before the roll-ups are there to count it.
ALTER TABLE `${database}`.ai_rows ${on_cluster}
${last_column};
