-- When the artifact was removed though its task is still here; NULL while it is kept.
ALTER TABLE results ADD COLUMN removed_ms INTEGER;

-- What can be removed next: the oldest artifact.
CREATE INDEX results_kept ON results (submitted_ms) WHERE removed_ms IS NULL;

-- Whether an attempt still names a list, also for the check of the foreign key.
CREATE INDEX attempts_by_list ON attempts (list_chain, list_step);
