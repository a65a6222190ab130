-- account -> why the operator of this coordinator leaves the miner out, and until when; NULL for ever.
CREATE TABLE bans (
	account  BLOB PRIMARY KEY,
	since_ms INTEGER NOT NULL,
	until_ms INTEGER,
	reason   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The tasks that ended, for the operator's lists: the youngest of a state first.
CREATE INDEX tasks_ended ON tasks (state, updated_ms)
	WHERE state IN ('done', 'failed', 'cancelled', 'expired');
