-- How many inserts the table remembers, to drop one that is sent again after a lost acknowledgement.

ALTER TABLE `${database}`.ai_log ${on_cluster} MODIFY SETTING ${deduplication};
