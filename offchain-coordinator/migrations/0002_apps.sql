-- Runs with foreign keys off (`Store::open` sees to that and checks them afterwards): a UNIQUE of a
-- column goes away only with its table, and `attempts` points at `tasks`.

-- One row an app that has a key. Of the key only the BLAKE3 hash is kept.
CREATE TABLE apps (
	id                 TEXT PRIMARY KEY,
	name               TEXT NOT NULL UNIQUE,
	key_hash           BLOB NOT NULL UNIQUE,
	created_ms         INTEGER NOT NULL,
	-- When the key was revoked; the app keeps its id and can get a new key.
	revoked_ms         INTEGER,
	-- Where NULL, what the coordinator sets for all.
	max_queued         INTEGER CHECK (max_queued > 0),
	submits_per_minute INTEGER CHECK (submits_per_minute > 0)
) STRICT, WITHOUT ROWID;

-- One row a task. `seq` is the order of acceptance, and of the queue within an app and a priority.
CREATE TABLE tasks_new (
	seq             INTEGER PRIMARY KEY AUTOINCREMENT,
	id              BLOB NOT NULL UNIQUE,
	-- The id of the app that submitted it: of a row of `apps`, or of a client's address. Tasks from
	-- before there were apps are 'anonymous', which nobody is.
	app             TEXT NOT NULL,
	nonce           TEXT NOT NULL,
	-- The app's key for the request, if it gave one, and the hash of what it asked for under it.
	idempotency_key TEXT,
	request_hash    BLOB NOT NULL,
	spec            BLOB NOT NULL,
	spec_hash       BLOB NOT NULL,
	priority        INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 9),
	state           TEXT NOT NULL CHECK (state IN
		('queued', 'assigned', 'running', 'submitted', 'done', 'failed', 'cancelled', 'expired')),
	-- The attempt at work or the last one.
	attempt         INTEGER,
	miner           BLOB,
	reason          TEXT,
	created_ms      INTEGER NOT NULL,
	updated_ms      INTEGER NOT NULL,
	-- When the task stops waiting, while it is queued.
	queue_until_ms  INTEGER NOT NULL,
	-- How long it waits at most each time, if the app said so.
	max_wait_ms     INTEGER
) STRICT;

INSERT INTO tasks_new
	(seq, id, app, nonce, idempotency_key, request_hash, spec, spec_hash, priority, state, attempt,
	 miner, reason, created_ms, updated_ms, queue_until_ms, max_wait_ms)
SELECT
	seq, id, 'anonymous', nonce, idempotency_key, request_hash, spec, spec_hash, 5, state, attempt,
	miner, reason, created_ms, updated_ms, queue_until_ms, NULL
FROM tasks;

DROP TABLE tasks;
ALTER TABLE tasks_new RENAME TO tasks;

-- What recovery reads: everything that has not ended.
CREATE INDEX tasks_open ON tasks (seq)
	WHERE state IN ('queued', 'assigned', 'running', 'submitted');

-- A key is an app's own: two apps can use the same.
CREATE UNIQUE INDEX tasks_by_key ON tasks (app, idempotency_key)
	WHERE idempotency_key IS NOT NULL;

-- An app's tasks, newest first, also of one state.
CREATE INDEX tasks_by_app ON tasks (app, seq);
CREATE INDEX tasks_by_app_and_state ON tasks (app, state, seq);
