-- One row a task whose app is still to be called: written with the task's final state, and removed when
-- the call was answered or given up.
CREATE TABLE webhooks (
	task       BLOB PRIMARY KEY,
	app        TEXT NOT NULL,
	url        TEXT NOT NULL,
	created_ms INTEGER NOT NULL,
	-- When to call next; while a call is being made, when another may be.
	next_ms    INTEGER NOT NULL,
	-- How often it failed, and how the last time.
	tries      INTEGER NOT NULL,
	failure    TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX webhooks_due ON webhooks (next_ms);
CREATE INDEX webhooks_by_app ON webhooks (app);
