-- Roles for users of your own: `GRANT tollgate_writer TO gateway`. `apply` does not run these statements, which need the right to
-- manage access.

CREATE ROLE IF NOT EXISTS tollgate_writer ${on_cluster};
GRANT ${on_cluster} INSERT ON `${database}`.ai_rows TO tollgate_writer;
GRANT ${on_cluster} INSERT ON `${database}`.ai_captures TO tollgate_writer;
GRANT ${on_cluster} INSERT ON `${database}`.ai_limits TO tollgate_writer;
GRANT ${on_cluster} INSERT ON `${database}`.policy_audit TO tollgate_writer;
CREATE ROLE IF NOT EXISTS tollgate_reader ${on_cluster};
GRANT ${on_cluster} SELECT ON `${database}`.* TO tollgate_reader;
