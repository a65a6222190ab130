// What both tests need: one CUC, steps in a row, and waiting.

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

/** One CUC in the chain's smallest unit. */
export const CUC = 1_000_000_000_000n;

/** Where the node listens. `run` starts one and says so; by hand it is the one of the docs. */
export const NODE = process.env.CUCKOO_WS ?? 'ws://127.0.0.1:9944';

/** No step takes longer than the unbonding time of the fast chain and a reserve. */
const STEP_SECONDS = 150;

/** Whose steps these are: the name of the file that is run. */
const who = path.basename(process.argv[1] ?? '', '.test.js');

let failed = false;

/**
 * The steps of a file build on each other: after one that failed, the rest is skipped.
 *
 * @param {string} name
 * @param {() => Promise<void>} run
 */
export function step(name, run) {
	test(`${who} ${name}`, { timeout: STEP_SECONDS * 1_000 }, async (context) => {
		if (failed) return context.skip('a step before this failed');
		failed = true;
		await run();
		failed = false;
	});
}

/**
 * Looks until there is something to see.
 *
 * @template T
 * @param {string} what - what is waited for, for the message if it does not come
 * @param {number} seconds
 * @param {() => Promise<T | undefined | false>} look
 * @returns {Promise<T>}
 */
export async function until(what, seconds, look) {
	const deadline = Date.now() + seconds * 1_000;
	for (;;) {
		const seen = await look();
		if (seen) return seen;
		assert(Date.now() < deadline, `${what} did not come within ${seconds} s`);
		await sleep(500);
	}
}
