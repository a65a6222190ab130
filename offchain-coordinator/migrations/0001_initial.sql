-- Written for SQLite; store/migrations.rs translates it for PostgreSQL.
--
-- Hashes, ids, keys and accounts are their bytes; times are milliseconds of Unix time; specs,
-- assignments and commitments are SCALE, the form that is hashed and signed.

-- key -> value: the chain and the operator this store belongs to.
CREATE TABLE meta (
	key   TEXT PRIMARY KEY,
	value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

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
CREATE TABLE tasks (
	seq             INTEGER PRIMARY KEY AUTOINCREMENT,
	id              BLOB NOT NULL UNIQUE,
	-- The id of the app that submitted it: of a row of `apps`, or of a client's address.
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

-- What recovery reads: everything that has not ended.
CREATE INDEX tasks_open ON tasks (seq)
	WHERE state IN ('queued', 'assigned', 'running', 'submitted');

-- A key is an app's own: two apps can use the same.
CREATE UNIQUE INDEX tasks_by_key ON tasks (app, idempotency_key)
	WHERE idempotency_key IS NOT NULL;

-- An app's tasks, newest first, also of one state.
CREATE INDEX tasks_by_app ON tasks (app, seq);
CREATE INDEX tasks_by_app_and_state ON tasks (app, state, seq);

-- The tasks that ended, for the operator's lists: the youngest of a state first.
CREATE INDEX tasks_ended ON tasks (state, updated_ms)
	WHERE state IN ('done', 'failed', 'cancelled', 'expired');

-- (chain, step) -> SCALE of a whole list of (account, weight) at step 0, of what changed since the step
-- before at others. Draws from the same list share a step.
CREATE TABLE eligible_lists (
	chain   INTEGER NOT NULL,
	step    INTEGER NOT NULL,
	entries BLOB NOT NULL,
	PRIMARY KEY (chain, step)
) STRICT;

-- One row a draw, kept for good: the proof of the draw and what became of it.
CREATE TABLE attempts (
	task               BLOB NOT NULL REFERENCES tasks (id),
	attempt            INTEGER NOT NULL,
	miner              BLOB NOT NULL,
	assignment         BLOB NOT NULL,
	signature          BLOB NOT NULL,
	coordinator_worker BLOB NOT NULL,
	-- The list that was drawn from: the chain up to this step.
	list_chain         INTEGER NOT NULL,
	list_step          INTEGER NOT NULL,
	assigned_ms        INTEGER NOT NULL,
	ended_ms           INTEGER,
	-- How it ended: NULL while the lease is held or the result is being checked.
	ending             TEXT,
	reason             TEXT,
	PRIMARY KEY (task, attempt),
	FOREIGN KEY (list_chain, list_step) REFERENCES eligible_lists (chain, step)
) STRICT, WITHOUT ROWID;

-- Whether an attempt still names a list, also for the check of the foreign key.
CREATE INDEX attempts_by_list ON attempts (list_chain, list_step);

-- What the miner of an attempt committed to. A row whose attempt ended otherwise than done is
-- evidence against the miner and serves nothing else.
CREATE TABLE results (
	task         BLOB NOT NULL,
	attempt      INTEGER NOT NULL,
	commitment   BLOB NOT NULL,
	signature    BLOB NOT NULL,
	artifact     BLOB NOT NULL,
	bytes        INTEGER NOT NULL,
	submitted_ms INTEGER NOT NULL,
	-- When the artifact was removed though its task is still here; NULL while it is kept.
	removed_ms   INTEGER,
	PRIMARY KEY (task, attempt),
	FOREIGN KEY (task, attempt) REFERENCES attempts (task, attempt)
) STRICT, WITHOUT ROWID;

-- An artifact is served once it is the result of a task that is done.
CREATE INDEX results_by_artifact ON results (artifact);

-- What can be removed next: the oldest artifact.
CREATE INDEX results_kept ON results (submitted_ms) WHERE removed_ms IS NULL;

-- hash -> what miners declared about a model, with the stake behind that declaration.
CREATE TABLE models (
	hash          BLOB PRIMARY KEY,
	info          TEXT NOT NULL,
	stake         BLOB NOT NULL,
	first_seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- account -> what the miner did here, and the worker it last said hello with.
CREATE TABLE miners (
	account BLOB PRIMARY KEY,
	worker  BLOB,
	done    INTEGER NOT NULL DEFAULT 0,
	failed  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX miners_by_worker ON miners (worker);

-- account -> why the operator of this coordinator leaves the miner out, and until when; NULL for ever.
CREATE TABLE bans (
	account  BLOB PRIMARY KEY,
	since_ms INTEGER NOT NULL,
	until_ms INTEGER,
	reason   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
