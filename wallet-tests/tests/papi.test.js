// A staker's life with PAPI and the descriptors that `papi add cuckoo -w ws://…` makes from a
// node: the names and types below are those of the chain, and the TypeScript compiler checks them.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { decAnyMetadata, unifyMetadata } from '@polkadot-api/substrate-bindings';
import { sr25519CreateDerive } from '@polkadot-labs/hdkd';
import { DEV_MINI_SECRET, ss58Address } from '@polkadot-labs/hdkd-helpers';
import { createClient, Enum } from 'polkadot-api';
import { getPolkadotSigner } from 'polkadot-api/signer';
import { getWsProvider } from 'polkadot-api/ws';
import { cuckoo } from '#cuckoo';
import { CUC, NODE, step, until } from './steps.js';

/** @typedef {import('#cuckoo').CuckooDispatchError} DispatchError */
/** @typedef {import('polkadot-api').PolkadotSigner} Signer */
/** @typedef {import('polkadot-api').TxFinalizedPayload} Result */
/** @typedef {{ signAndSubmit: (signer: Signer) => Promise<Result> }} Call */

const VOTE = 500n * CUC;

const client = createClient(getWsProvider(NODE));
const api = client.getTypedApi(cuckoo);

const derive = sr25519CreateDerive(DEV_MINI_SECRET);

/** @param {string} path - of a key that everybody can derive */
function account(path) {
	const pair = derive(path);
	return {
		address: ss58Address(pair.publicKey),
		signer: getPolkadotSigner(pair.publicKey, 'Sr25519', pair.sign),
	};
}

const voter = account('//Dave');
const validator = account('//Alice');

/** All that the voter's transactions have cost in fees. */
let fees = 0n;
/** What the voter could spend before the first of them. */
let before = 0n;
/** What came back in the end. */
let withdrawn = 0n;

after(() => client.destroy());

/**
 * Signs and sends a transaction and waits until its block is final.
 *
 * @param {Call} call
 * @param {Signer} signer
 */
async function send(call, signer = voter.signer) {
	const result = await call.signAndSubmit(signer);
	for (const { payload } of api.event.TransactionPayment.TransactionFeePaid.filter(result.events)) {
		if (payload.who === voter.address) fees += payload.actual_fee;
	}
	return result;
}

/**
 * Sends a transaction that the chain accepts.
 *
 * @param {Call} call
 * @param {Signer} [signer]
 */
async function expectOk(call, signer) {
	const result = await send(call, signer);
	assert.deepEqual(result.dispatchError, undefined);
	return result.events;
}

/**
 * The one event of this kind.
 *
 * @template T
 * @param {{ filter: (events: Result['events']) => { payload: T }[] }} kind
 * @param {Result['events']} events
 * @returns {T}
 */
function only(kind, events) {
	const [first, ...others] = kind.filter(events);
	assert(first && others.length === 0, 'not exactly one event of this kind');
	return first.payload;
}

/**
 * The sentence that the chain's metadata has for an error.
 *
 * @param {string} pallet
 * @param {string} name
 */
async function sentence(pallet, name) {
	const { hash } = await client.getFinalizedBlock();
	const { lookup, pallets } = unifyMetadata(decAnyMetadata(await client.getMetadata(hash)));
	const errors = lookup[pallets.find((one) => one.name === pallet)?.errors?.type ?? -1];
	assert(errors?.def.tag === 'variant');
	return errors.def.value.find((variant) => variant.name === name)?.docs.join(' ').trim() ?? '';
}

/**
 * Sends a transaction that the chain refuses, for this reason and in a sentence like this.
 *
 * @param {string} name
 * @param {RegExp} expected
 * @param {Call} call
 * @param {Signer} [signer]
 */
async function expectError(name, expected, call, signer) {
	const result = await send(call, signer);
	assert(!result.ok);
	const error = /** @type {DispatchError} */ (result.dispatchError);
	assert(error.type === 'Module', `${error.type} is no error of a pallet`);
	assert.equal(error.value.type, 'Staking');
	assert.equal(error.value.value?.type, name);
	const explained = await sentence(error.value.type, name);
	assert.match(explained, expected);
	assert.match(explained, /^[A-Z].*\.$/s, 'the sentence of an error is one');
}

const free = async () => (await api.query.System.Account.getValue(voter.address)).data.free;

const position = async () =>
	(await api.apis.StakingApi.position(voter.address, validator.address))?.value ?? 0n;

step('connects', async () => {
	const { name, properties } = await client.getChainSpecData();
	assert.match(name, /Cuckoo/);
	assert.equal(properties.tokenSymbol, 'CUC');
	assert.equal(10n ** BigInt(properties.tokenDecimals), CUC);
	before = await free();
});

step('reads roles and operators', async () => {
	const roles = /** @type {const} */ (['Validator', 'Coordinator', 'Miner']);
	const counts = [];
	for (const role of roles) {
		const operators = await api.apis.StakingApi.operators(Enum(role), undefined, 100);
		const { min_self_stake } = await api.apis.StakingApi.role_params(Enum(role));
		assert(operators.length > 0, `no ${role}`);
		for (const operator of operators) {
			assert.equal(operator.role.type, role);
			assert(operator.active && !operator.retired && !operator.suspended);
			assert(operator.self_stake > min_self_stake);
			assert(operator.total_stake >= operator.self_stake);
			assert.match(new TextDecoder().decode(operator.name), /^cuckoo-dev-/);
		}
		counts.push([role, operators.length]);
	}

	const info = await api.apis.StakingApi.info();
	assert.equal(info.min_vote, await api.constants.Staking.MinVote());
	assert.deepEqual(
		info.active.map(([role, count]) => [role.type, count]),
		counts,
	);
	assert.deepEqual(await api.apis.StakingApi.pending_slashes(undefined, 10), []);
	const { seats } = await api.apis.StakingApi.validator_params();
	assert(counts.some(([role, count]) => role === 'Validator' && Number(count) <= seats));
	const [top] = await api.apis.StakingApi.top(Enum('Validator'), 1);
	assert.equal(top?.[0], validator.address);
	// The same by a function of the pallet itself.
	const [viewed, called] = await Promise.all([
		api.view.Staking.operator(validator.address),
		api.apis.StakingApi.operator(validator.address),
	]);
	assert.equal(viewed?.commission, 100_000_000);
	assert.equal(viewed?.commission, called?.commission);
});

step('votes', async () => {
	const call = api.tx.Staking.vote({ operator: validator.address, amount: VOTE });
	const estimate = await call.getEstimatedFees(voter.address);
	const event = only(api.event.Staking.Voted, await expectOk(call));
	assert.equal(event.voter, voter.address);
	assert.equal(event.operator, validator.address);
	assert.equal(event.amount, VOTE);
	const lost = VOTE - event.position;
	assert(lost >= 0n && lost <= 2n, `going in cost ${lost} units`);
	assert(fees > 0n && fees <= estimate, `${estimate} was expected, ${fees} was paid`);
	assert.equal(await free(), before - VOTE - fees);
});

step('is told why a vote is refused', async () => {
	const miner = account('//Miner//2');
	const minimum = await api.constants.Staking.MinVote();
	/** @param {string} operator */
	const vote = (operator, amount = VOTE) => api.tx.Staking.vote({ operator, amount });
	await expectError(
		'VoteTooSmall',
		/below the smallest vote.*minVote/,
		vote(validator.address, minimum - 1n),
	);
	await expectError(
		'OperatorNotFound',
		/No operator has this account/,
		vote(account('//Ferdie').address),
	);
	await expectError(
		'SelfVoteNotAllowed',
		/does not vote for itself/,
		vote(miner.address),
		miner.signer,
	);
	assert.equal(await free(), before - VOTE - fees, 'a refused call costs its fee, nothing else');
});

step('sees the stake grow over an era, and the reward that does it', async () => {
	/** @type {number[]} */
	const paid = [];
	const subscription = api.event.Staking.ValidatorsPaid.watch().subscribe(({ block, events }) => {
		for (const _ of events) paid.push(block.number);
	});
	const start = (await api.apis.StakingApi.info()).era;
	const first = await position();
	let last = first;
	await until('growth for a whole era', 90, async () => {
		const now = await position();
		assert(now >= last, 'a vote lost stake');
		last = now;
		return (await api.apis.StakingApi.info()).era >= start + 2;
	});
	subscription.unsubscribe();
	assert(last > first, 'the validator has earned nothing for its voter');
	assert(paid.length > 0, 'no validator was paid');
});

step('takes a part back and changes its mind', async () => {
	const part = VOTE / 4n;
	const operator = validator.address;
	const unvote = api.tx.Staking.unvote({ operator, amount: Enum('Value', part) });
	assert.equal(only(api.event.Staking.Unvoted, await expectOk(unvote)).amount, part);
	const rebond = api.tx.Staking.rebond({ operator, amount: Enum('All') });
	const { amount } = only(api.event.Staking.Rebonded, await expectOk(rebond));
	assert(part - amount >= 0n && part - amount <= 2n, `there and back cost ${part - amount} units`);
	assert.deepEqual(await api.apis.StakingApi.unbonding(voter.address), []);
});

step('takes all back and sees it unbonding', async () => {
	const call = api.tx.Staking.unvote({ operator: validator.address, amount: Enum('All') });
	const event = only(api.event.Staking.Unvoted, await expectOk(call));
	assert.equal(event.position, 0n);
	assert(event.amount > VOTE, 'no more came out than went in');
	assert.equal(await position(), 0n);

	const [chunk, ...others] = await api.apis.StakingApi.unbonding(voter.address);
	const { unbonding_eras } = await api.apis.StakingApi.info();
	assert(chunk && others.length === 0);
	assert.equal(chunk.operator, validator.address);
	assert.equal(chunk.value, event.amount);
	assert.equal(chunk.withdrawable_era, event.withdrawable_era);
	assert.equal(chunk.withdrawable_era, chunk.since_era + unbonding_eras);
});

step('is told that it is too early to withdraw', async () => {
	await expectError(
		'NothingToWithdraw',
		/Nothing can be withdrawn yet.*in which era/,
		api.tx.Staking.withdraw(),
	);
});

step('withdraws after the unbonding time', async () => {
	const [chunk] = await api.apis.StakingApi.unbonding(voter.address);
	assert(chunk);
	await until(
		'the end of unbonding',
		120,
		async () => (await api.apis.StakingApi.info()).era >= chunk.withdrawable_era,
	);
	const event = only(api.event.Staking.Withdrawn, await expectOk(api.tx.Staking.withdraw()));
	assert.equal(event.account, voter.address);
	assert.equal(event.amount, chunk.value);
	withdrawn = event.amount;
	assert.deepEqual(await api.apis.StakingApi.unbonding(voter.address), []);
});

step('has what it had, its reward, and less its fees', async () => {
	const { data } = await api.query.System.Account.getValue(voter.address);
	assert.equal(data.free, before - VOTE + withdrawn - fees);
	assert.equal(data.reserved, 0n);
	assert.equal(data.frozen, 0n);
	assert(withdrawn > VOTE);
	assert(fees < CUC, `fees of ${fees}`);
});
