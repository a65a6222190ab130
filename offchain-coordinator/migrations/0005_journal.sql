-- Every movement of money, booked once: an amount leaves one account (debit) for another (credit), in the
-- transaction that moves it. Nothing is ever changed or removed here: triggers of each database see to it.
CREATE TABLE journal (
	seq    INTEGER PRIMARY KEY AUTOINCREMENT,
	at_ms  INTEGER NOT NULL,
	-- What the movement was, such as spend:12 for the 12th task: it happens once.
	key    TEXT NOT NULL UNIQUE,
	-- Accounts, as ledger/journal.rs writes them.
	debit  TEXT NOT NULL,
	credit TEXT NOT NULL COLLATE BINARY,
	amount BLOB NOT NULL,
	-- The task and the era that it was for.
	task   BLOB,
	era    INTEGER,
	CHECK (debit <> credit)
) STRICT;

-- Of what concerns a payer or a miner it is always an account of theirs that is credited.
CREATE INDEX journal_by_account ON journal (credit, seq);

CREATE INDEX journal_by_task ON journal (task) WHERE task IS NOT NULL;

CREATE INDEX journal_by_era ON journal (era, seq) WHERE era IS NOT NULL;
