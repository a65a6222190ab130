-- number -> a process that serves, where several share the store.
CREATE TABLE instances (
	number     INTEGER PRIMARY KEY AUTOINCREMENT,
	-- How many transactions it has committed: tells whether one happened whose answer got lost.
	turns      INTEGER NOT NULL DEFAULT 0,
	started_ms INTEGER NOT NULL,
	-- When another process took over what it had; it can commit nothing more.
	dead_ms    INTEGER
) STRICT;

-- The process whose miner has the attempt at work; NULL where only one serves.
ALTER TABLE tasks ADD COLUMN instance INTEGER;
