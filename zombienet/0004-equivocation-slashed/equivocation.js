// One validator's key on two machines: both write a block in the same slot. The other nodes see it,
// report it, and the chain suspends, disables and slashes the validator.

'use strict';

const assert = require('node:assert/strict');
const {
	CUC,
	becomeValidator,
	connect,
	finalNumber,
	key,
	send,
	stepsOf,
	until,
	waitForValidators,
} = require('../chain.js');

const VALIDATORS = ['Alice', 'Bob', 'Charlie', 'Dave'];

const DAVE_STAKE = 150_000n * CUC;

/** Ferdie's vote for Charlie. */
const VOTE = 50_000n * CUC;

/** A session of the fast chain lasts 10 s, and who is elected validates from the session after next. */
const ELECTION_SECONDS = 45;

/** Charlie has a quarter of the slots. */
const REPORT_SECONDS = 50;

/** A slash waits for one era of 20 s after the one in which it is queued. */
const SLASH_SECONDS = 75;

/** Perbill's whole. */
const WHOLE = 1_000_000_000n;

/** The least that a consensus offence costs: one percent. */
const LEAST = WHOLE / 100n;

/** What rounding to shares may take less than the fraction, in the smallest unit of CUC. */
const ROUNDING = 1_000n;

/** How pallet-babe names the offence. */
const BABE_EQUIVOCATION = 'babe:equivocatio';

/** The next block whose events are to be looked at. */
let next;
/** What the chain has told of the offence: { number, ...fields of SlashQueued }. */
let queued;

/**
 * The part that `offenders` of `validators` lose: (3k/n)^2, at most all, as pallet-babe has it. Each
 * operation rounds down to a billionth.
 */
function fraction(offenders, validators) {
	const ratio = (3n * BigInt(offenders) * WHOLE) / BigInt(validators);
	const bounded = ratio < WHOLE ? ratio : WHOLE;
	const square = (bounded * bounded) / WHOLE;
	return square > LEAST ? square : LEAST;
}

/** An event's fields by name. */
function fields(event) {
	return Object.fromEntries(event.data.names.map((name, index) => [name, event.data[index]]));
}

/** Goes through the events of final blocks that were not looked at yet until one fits. */
async function nextEvent(api, what, seconds, fits) {
	return until(what, seconds, async () => {
		const final = await finalNumber(api);
		for (; next <= final; next += 1) {
			const hash = await api.rpc.chain.getBlockHash(next);
			const events = (await (await api.at(hash)).query.system.events()).map(({ event }) => event);
			const found = events.find(fits);
			if (found) {
				const number = next;
				next += 1;
				return { number, hash, events, event: found };
			}
		}
		return false;
	});
}

/** Whether an event is this one. */
function isEvent(section, method) {
	return (event) => event.section === section && event.method === method;
}

/** Whether an event is this one, and about this account. */
function isOf(name, section, method) {
	const { address } = key(name);
	return (event) =>
		event.section === section &&
		event.method === method &&
		event.data.some((field) => field.toString() === address);
}

/** Charlie as an operator. */
async function charlie(api) {
	return (await api.call.stakingApi.operator(key('Charlie').address)).unwrap();
}

async function ferdiesVote(api) {
	const position = await api.call.stakingApi.position(key('Ferdie').address, key('Charlie').address);
	return position.unwrap().value.toBigInt();
}

exports.run = stepsOf({
	async 'four validators and a voter'(network) {
		const api = await connect(network, 'alice');
		const vote = api.tx.staking.vote(key('Charlie').address, VOTE);
		await Promise.all([
			becomeValidator(network, 'Dave', DAVE_STAKE),
			send(api, vote, key('Ferdie')),
		]);
		await waitForValidators(api, VALIDATORS, ELECTION_SECONDS);
	},

	async 'one key on two machines'(network) {
		const [alice, eve] = await Promise.all([connect(network, 'alice'), connect(network, 'eve')]);
		next = (await finalNumber(alice)) + 1;
		const babe = Buffer.from(key('Charlie').publicKey).toString('hex');
		await eve.rpc.author.insertKey('babe', '//Charlie', `0x${babe}`);
	},

	async reported(network) {
		const api = await connect(network, 'alice');
		const seen = await nextEvent(
			api,
			'staking.SlashQueued for Charlie',
			REPORT_SECONDS,
			isOf('Charlie', 'staking', 'SlashQueued'),
		);
		const offence = seen.events.find(isEvent('offences', 'Offence'));
		assert(offence, 'offences.Offence in the same block');
		const kind = Buffer.from(fields(offence).kind.toU8a(true)).toString();
		assert.equal(kind, BABE_EQUIVOCATION);

		queued = fields(seen.event);
		assert.equal(queued.fraction.toBigInt(), fraction(1, VALIDATORS.length));
		// Unsigned reports are the merit of the block's author.
		const { author } = await api.derive.chain.getHeader(seen.hash);
		assert.equal(queued.reporter.unwrap().toString(), author.toString());
		const era = await (await api.at(seen.hash)).query.staking.currentEra();
		const deferral = api.consts.staking.slashDeferEras.toNumber();
		assert.equal(queued.dueEra.toNumber(), era.toNumber() + deferral);
		assert(seen.events.some(isOf('Charlie', 'staking', 'OperatorSuspended')), 'OperatorSuspended');
		assert(seen.events.some(isOf('Charlie', 'session', 'ValidatorDisabled')), 'ValidatorDisabled');
	},

	async suspended(network) {
		const api = await connect(network, 'charlie');
		const operator = await charlie(api);
		assert(operator.suspended.isTrue, 'Charlie is suspended');
		assert(operator.active.isFalse, 'Charlie is not active');
	},

	async slashed(network) {
		const api = await connect(network, 'alice');
		const seen = await nextEvent(
			api,
			'staking.Slashed for Charlie',
			SLASH_SECONDS,
			isOf('Charlie', 'staking', 'Slashed'),
		);
		const slashed = fields(seen.event);
		assert.equal(slashed.slash.toNumber(), queued.slash.toNumber());

		const [before, after] = await Promise.all([
			api.at(await api.rpc.chain.getBlockHash(seen.number - 1)),
			api.at(seen.hash),
		]);
		const [was, is] = await Promise.all([charlie(before), charlie(after)]);
		// An era's pay comes in the block that begins the next, before the slash.
		const paid = seen.events
			.filter(isOf('Charlie', 'staking', 'Rewarded'))
			.reduce((sum, event) => sum + fields(event).amount.toBigInt(), 0n);
		const worth = ({ totalStake, streaming }) => totalStake.toBigInt() + streaming.toBigInt();
		const reach = worth(was) + paid;
		const expected = (reach * fraction(1, VALIDATORS.length)) / WHOLE;
		const amount = slashed.amount.toBigInt();
		assert(
			amount <= expected && expected - amount <= ROUNDING,
			`${amount} were slashed of ${reach}, not ${expected}`,
		);
		const lost = reach - worth(is);
		assert(lost - amount <= ROUNDING && amount - lost <= ROUNDING, `the pool lost ${lost}`);

		// The offender's own stake covers all of it: the voter loses nothing.
		assert(was.selfStake.toBigInt() > amount);
		const [vote, left] = await Promise.all([ferdiesVote(before), ferdiesVote(after)]);
		assert(left + ROUNDING >= vote && left >= VOTE, `Ferdie's ${vote} became ${left}`);

		const reward = slashed.reporterReward.toBigInt();
		assert.equal(slashed.reporter.toString(), queued.reporter.toString());
		assert.equal(reward, amount / 10n);
		console.log(`step: slashed ${amount / CUC} of ${reach / CUC} CUC; ${reward / CUC} to the reporter`);
	},

	async 'out of the validators'(network) {
		const api = await connect(network, 'alice');
		const others = VALIDATORS.filter((name) => name !== 'Charlie');
		await waitForValidators(api, others, ELECTION_SECONDS);
	},
});
