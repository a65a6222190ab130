// What the others do while one node of three is gone, and what it does when it is back.

'use strict';

const assert = require('node:assert/strict');
const {
	connect,
	finalNumber,
	key,
	stepsOf,
	until,
	waitForBlockBy,
	waitForFinal,
} = require('../chain.js');

/** How often the network is looked at while the node is gone. */
const SAMPLE_EVERY_MS = 500;

/** A node that does not answer in this time is gone. */
const ANSWER_MS = 400;

/**
 * Charlie has a third of the slots: in the 15 s that it is gone, the others write some 10 blocks. Less
 * than this many are written once in more than a thousand runs.
 */
const FEWEST_BLOCKS_ALONE = 3;

/** Votes that were on their way when Charlie died may make these blocks final yet. */
const MOST_FINAL_ALONE = 2;

const SECONDS = 40;

/** What was seen of the network: { gone, best, final }. */
const samples = [];
let sampler;

async function isGone(network) {
	const url = network.nodesByName.charlie.prometheusUri;
	return fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) }).then(
		() => false,
		() => true,
	);
}

/** The number of Alice's best block. */
async function bestNumber(api) {
	return (await api.rpc.chain.getHeader()).number.toNumber();
}

exports.run = stepsOf({
	async watch(network) {
		const api = await connect(network, 'alice');
		const look = async () => {
			const gone = await isGone(network);
			const [best, final] = await Promise.all([bestNumber(api), finalNumber(api)]);
			samples.push({ gone, best, final });
		};
		await look();
		assert(!samples[0].gone, 'Charlie is there at the start');
		sampler = setInterval(() => look().catch(() => {}), SAMPLE_EVERY_MS);
	},

	async 'went on alone'() {
		clearInterval(sampler);
		const alone = samples.filter(({ gone }) => gone);
		assert(alone.length > 0, 'Charlie was gone');
		const [first, last] = [alone[0], alone[alone.length - 1]];
		const blocks = last.best - first.best;
		const final = last.final - first.final;
		console.log(`step: while Charlie was gone: ${blocks} new blocks, ${final} of them final`);
		assert(blocks >= FEWEST_BLOCKS_ALONE, `only ${blocks} blocks while Charlie was gone`);
		// Of three validators all three must vote.
		assert(final <= MOST_FINAL_ALONE, `${final} blocks became final without Charlie`);
	},

	async 'caught up'(network) {
		const [alice, charlie] = await Promise.all([
			connect(network, 'alice'),
			connect(network, 'charlie'),
		]);
		const target = await bestNumber(alice);
		await until(`Charlie has block ${target}`, SECONDS, async () => {
			return (await bestNumber(charlie)) >= target;
		});
		await Promise.all([waitForFinal(alice, target, SECONDS), waitForFinal(charlie, target, SECONDS)]);
		const hashes = await Promise.all(
			[alice, charlie].map((api) => api.rpc.chain.getBlockHash(target)),
		);
		assert.equal(hashes[0].toHex(), hashes[1].toHex(), `both have the same block ${target}`);
	},

	async 'writes blocks'(network) {
		const api = await connect(network, 'alice');
		await waitForBlockBy(api, key('Charlie').address, await bestNumber(api), SECONDS);
	},
});
