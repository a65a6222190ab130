-- Money. Amounts are SCALE, as prices are.

-- Who pays for the task: an app by its id, or channel-NUMBER; NULL if nobody does.
ALTER TABLE tasks ADD COLUMN payer TEXT;
-- What its miner earns; NULL if nobody pays.
ALTER TABLE tasks ADD COLUMN pay BLOB;
-- The era for which that was earned, once the task is done.
ALTER TABLE tasks ADD COLUMN earned_era INTEGER;

-- What apps have paid in, and what became of it. What is neither held nor spent can be spent.
CREATE TABLE purses (
	payer     TEXT PRIMARY KEY,
	-- What was credited; of a channel, the highest voucher.
	paid_in   BLOB NOT NULL,
	-- Set aside for tasks that have not ended.
	held      BLOB NOT NULL,
	-- What tasks have cost that are done.
	spent     BLOB NOT NULL,
	-- Of that, what no task shows that is still kept.
	forgotten BLOB NOT NULL,
	-- Only of channels: the number, the highest voucher's signature, what was redeemed as of the last look
	-- at the chain, and when the chain had the channel no longer.
	channel   INTEGER,
	signature BLOB,
	redeemed  BLOB,
	gone_ms   INTEGER
) STRICT, WITHOUT ROWID;

-- The channels of which something can be redeemed.
CREATE INDEX purses_redeemable ON purses (channel)
	WHERE channel IS NOT NULL AND gone_ms IS NULL AND redeemed <> paid_in;

-- What miners have earned in each era. Of an era that is closed nothing changes any more.
CREATE TABLE earnings (
	era       INTEGER NOT NULL,
	miner     BLOB NOT NULL,
	amount    BLOB NOT NULL,
	-- Of that, what no task shows that is still kept.
	forgotten BLOB NOT NULL,
	PRIMARY KEY (era, miner)
) STRICT, WITHOUT ROWID;

CREATE INDEX earnings_by_miner ON earnings (miner, era);

-- The eras that are closed and in which something was earned.
CREATE TABLE eras (
	era     INTEGER PRIMARY KEY,
	-- closed, posted, or missed: it was too late to post it.
	state   TEXT NOT NULL,
	-- The root of the tree of its earnings, once that was made.
	root    BLOB,
	-- Of how many leaves, from the first on, it is known that they were claimed.
	claimed INTEGER NOT NULL
) STRICT;

CREATE INDEX eras_closed ON eras (era) WHERE state = 'closed';
