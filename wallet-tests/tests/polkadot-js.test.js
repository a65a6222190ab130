// A staker's life with @polkadot/api, the library that polkadot.js apps is made of.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api';
import { TypeRegistry } from '@polkadot/types';
import { CUC, NODE, step, until } from './steps.js';

const VOTE = 1_000n * CUC;

/** @type {ApiPromise} */
let api;
/** @type {Keyring} */
let keys;
let voter, validator, miner;

/** What the miner takes from the next era on, in billionths of a reward. */
let commission;
/** All that the voter's transactions have cost in fees. */
let fees = 0n;
/** What the voter could spend before the first of them. */
let before;
/** What came back in the end. */
let withdrawn = 0n;
/** The names of all events that finalized blocks had while this ran. */
const seen = new Set();
/** What was thrown when they were decoded. */
const undecoded = [];

let unsubscribe = () => {};

after(async () => {
	unsubscribe();
	await api?.disconnect();
});

/**
 * Signs and sends a transaction and waits until its block is final: with its events, and with what
 * polkadot.js apps says when it failed.
 */
async function send(call, signer, options = {}) {
	const result = await new Promise((resolve, reject) => {
		call
			.signAndSend(signer, options, (result) => {
				if (result.isFinalized) resolve(result);
				if (result.isError) reject(new Error(`the transaction is ${result.status.type}`));
			})
			.catch(reject);
	});
	const events = result.events.map(({ event }) => event);
	const [payer, fee] = events.find(({ method }) => method === 'TransactionFeePaid').data;
	if (payer.eq(voter.address)) fees += fee.toBigInt();

	let error;
	if (result.dispatchError) {
		assert(result.dispatchError.isModule, `${result.dispatchError} is no error of a pallet`);
		const { section, name, docs } = api.registry.findMetaError(result.dispatchError.asModule);
		error = { name: `${section}.${name}`, sentence: docs.join(' ').trim() };
	}
	return { block: result.status.asFinalized, hash: result.txHash, events, error };
}

/** Sends a transaction that the chain accepts; answers the event `staking.{method}`. */
async function expectEvent(method, call, signer, options) {
	const { events, error } = await send(call, signer, options);
	assert.equal(error, undefined);
	const event = events.find((event) => event.section === 'staking' && event.method === method);
	assert(event, `no staking.${method}`);
	return Object.fromEntries(event.data.names.map((name, index) => [name, event.data[index]]));
}

/** Sends a transaction that the chain refuses, for this reason and in a sentence like this. */
async function expectError(name, sentence, call, signer) {
	const { error } = await send(call, signer);
	assert.equal(error?.name, name);
	assert.match(error.sentence, sentence);
	assert.match(error.sentence, /^[A-Z].*\.$/s, 'the sentence of an error is one');
}

const era = async () => (await api.call.stakingApi.info()).era.toNumber();

/** What an account has on the validator, in the block that is asked. */
const position = async (at = api, account = voter) =>
	(await at.call.stakingApi.position(account.address, validator.address))
		.unwrapOrDefault()
		.value.toBigInt();

const free = async () => (await api.query.system.account(voter.address)).data.free.toBigInt();

/**
 * A wallet as a browser extension is one: it gets the transaction as JSON, knows nothing of the
 * chain but what stands there, and returns a signature.
 */
function injectedWallet(pair, payloads) {
	return {
		signPayload: async (payload) => {
			payloads.push(payload);
			const registry = new TypeRegistry();
			registry.setSignedExtensions(payload.signedExtensions);
			const { signature } = registry
				.createType('ExtrinsicPayload', payload, { version: payload.version })
				.sign(pair);
			return { id: payloads.length, signature };
		},
	};
}

step('connects', async () => {
	api = await ApiPromise.create({ provider: new WsProvider(NODE), noInitWarn: true });
	assert.deepEqual(api.registry.chainTokens, ['CUC']);
	assert.equal(10n ** BigInt(api.registry.chainDecimals[0]), CUC);

	keys = new Keyring({ type: 'sr25519', ss58Format: api.registry.chainSS58 });
	voter = keys.addFromUri('//Charlie');
	validator = keys.addFromUri('//Alice');
	miner = keys.addFromUri('//Miner//1');
	before = await free();
	unsubscribe = await api.derive.chain.subscribeFinalizedHeads(async ({ hash }) => {
		try {
			const events = await (await api.at(hash)).query.system.events();
			for (const { event } of events) seen.add(`${event.section}.${event.method}`);
		} catch (error) {
			undecoded.push(error);
		}
	});
});

step('signs nothing that it does not understand', async () => {
	const { lookup, extrinsic } = api.runtimeMetadata.asLatest;
	const extensions = extrinsic.transactionExtensions;
	assert(extensions.length > 0);
	for (const { identifier, type, implicit } of extensions) {
		const registry = new TypeRegistry();
		registry.setSignedExtensions([identifier.toString()]);
		const known =
			Object.keys(registry.getSignedExtensionTypes()).length +
			Object.keys(registry.getSignedExtensionExtra()).length;
		const empty = [type, implicit].every((id) => lookup.getTypeDef(id).type === 'Null');
		assert(known > 0 || empty, `wallets do not know that ${identifier} has data`);
	}
});

step('reads roles and operators', async () => {
	const operators = {};
	for (const role of ['Validator', 'Coordinator', 'Miner']) {
		const list = await api.call.stakingApi.operators(role, null, 100);
		operators[role] = list;
		assert(list.length > 0, `no ${role}`);
		const minimum = (await api.call.stakingApi.roleParams(role)).minSelfStake.toBigInt();
		for (const operator of list) {
			assert.equal(operator.role.type, role);
			assert(operator.active.isTrue);
			assert(operator.selfStake.toBigInt() > minimum);
			assert(operator.totalStake.toBigInt() >= operator.selfStake.toBigInt());
			assert.match(operator.name.toUtf8(), /^cuckoo-dev-/);
		}
	}

	// Page by page it is the same list.
	const [first, second] = operators.Miner;
	const page = await api.call.stakingApi.operators('Miner', first.account, 1);
	assert.deepEqual(page.toJSON(), [second.toJSON()]);

	const alone = await api.call.stakingApi.operator(validator.address);
	assert.equal(alone.unwrap().commission.toNumber(), 100_000_000);
	const [[top]] = await api.call.stakingApi.top('Validator', 1);
	assert.equal(top.toString(), validator.address);

	const { seats } = await api.call.stakingApi.validatorParams();
	assert(operators.Validator.length <= seats.toNumber());
	assert.equal((await api.call.stakingApi.pendingSlashes(null, 10)).length, 0);

	const info = await api.call.stakingApi.info();
	assert.equal(info.minVote.toBigInt(), api.consts.staking.minVote.toBigInt());
	assert.deepEqual(
		info.active.map(([role, count]) => [role.type, count.toNumber()]),
		Object.entries(operators).map(([role, list]) => [role, list.length]),
	);
});

step('votes through a wallet, with an extrinsic of version 4', async () => {
	const payloads = [];
	const call = api.tx.staking.vote(validator.address, VOTE);
	const signer = injectedWallet(voter, payloads);
	const { block, hash, events, error } = await send(call, voter.address, { signer });
	assert.equal(error, undefined);

	const [payload] = payloads;
	assert.equal(payload.version, 4);
	assert.equal(payload.mode, 0, 'the metadata hash is not switched off');
	assert.equal(payload.metadataHash, null);
	const { extrinsics } = (await api.rpc.chain.getBlock(block)).block;
	const included = extrinsics.find((extrinsic) => extrinsic.hash.eq(hash));
	assert.equal(included.toU8a(true)[0], 0x84, 'not signed, or of another version');

	const voted = events.find(({ method }) => method === 'Voted').data;
	assert.equal(voted.voter.toString(), voter.address);
	assert.equal(voted.operator.toString(), validator.address);
	assert.equal(voted.amount.toBigInt(), VOTE);
	const lost = VOTE - voted.position.toBigInt();
	assert(lost >= 0n && lost <= 2n, `going in cost ${lost} units`);
	assert.equal(await free(), before - VOTE - fees);
});

step('is told why a vote is refused', async () => {
	const nobody = keys.addFromUri('//Ferdie');
	await expectError(
		'staking.VoteTooSmall',
		/below the smallest vote.*minVote/,
		api.tx.staking.vote(validator.address, api.consts.staking.minVote.toBigInt() - 1n),
		voter,
	);
	await expectError(
		'staking.OperatorNotFound',
		/No operator has this account/,
		api.tx.staking.vote(nobody.address, VOTE),
		voter,
	);
	await expectError(
		'staking.SelfVoteNotAllowed',
		/does not vote for itself/,
		api.tx.staking.vote(miner.address, VOTE),
		miner,
	);
	assert.equal(await free(), before - VOTE - fees, 'a refused call costs its fee and nothing else');
});

step('raises a commission, no further than is allowed at once', async () => {
	const before = (await api.call.stakingApi.operator(miner.address)).unwrap().commission.toNumber();
	commission = before + api.consts.staking.maxCommissionRaise.toNumber();
	await expectError(
		'staking.CommissionRaiseTooLarge',
		/rises by more than.*maxCommissionRaise/,
		api.tx.staking.setCommission(commission + 1),
		miner,
	);
	const call = api.tx.staking.setCommission(commission);
	const set = await expectEvent('CommissionSet', call, miner);
	assert.equal(set.commission.toNumber(), commission);

	// What is announced can be seen before it counts.
	const announced = (await api.call.stakingApi.operator(miner.address)).unwrap();
	if (announced.nextCommission.isSome) {
		const [next, from] = announced.nextCommission.unwrap();
		assert.equal(next.toNumber(), commission);
		assert.equal(from.toNumber(), set.effectiveEra.toNumber());
		assert.equal(announced.commission.toNumber(), before);
	}
});

step('sees the stake grow over an era', async () => {
	const look = async () => {
		const at = await api.at(await api.rpc.chain.getBlockHash());
		return {
			era: (await at.call.stakingApi.info()).era.toNumber(),
			mine: await position(at),
			own: await position(at, validator),
		};
	};
	const start = await look();
	let last = start;
	await until('growth for a whole era', 90, async () => {
		const now = await look();
		assert(now.mine >= last.mine, 'a vote lost stake');
		last = now;
		return now.era >= start.era + 2;
	});
	assert(last.mine > start.mine, 'the validator has earned nothing for its voter');
	// Of the same reward the operator gets its share as a staker, and its commission.
	assert((last.own - start.own) * start.mine > (last.mine - start.mine) * start.own);
});

step('takes a part back and changes its mind', async () => {
	const part = VOTE / 4n;
	const unvoted = await expectEvent(
		'Unvoted',
		api.tx.staking.unvote(validator.address, { Value: part }),
		voter,
	);
	assert.equal(unvoted.amount.toBigInt(), part);
	const rebonded = await expectEvent(
		'Rebonded',
		api.tx.staking.rebond(validator.address, 'All'),
		voter,
	);
	const lost = part - rebonded.amount.toBigInt();
	assert(lost >= 0n && lost <= 2n, `there and back cost ${lost} units`);
	assert.equal((await api.call.stakingApi.unbonding(voter.address)).length, 0);
});

step('takes all back and sees it unbonding', async () => {
	const unvoted = await expectEvent(
		'Unvoted',
		api.tx.staking.unvote(validator.address, 'All'),
		voter,
	);
	assert.equal(unvoted.position.toBigInt(), 0n);
	assert(unvoted.amount.toBigInt() > VOTE, 'no more came out than went in');
	assert.equal(await position(), 0n);

	const [chunk, ...others] = await api.call.stakingApi.unbonding(voter.address);
	assert.equal(others.length, 0);
	const { unbondingEras } = await api.call.stakingApi.info();
	assert.equal(chunk.operator.toString(), validator.address);
	assert.equal(chunk.value.toBigInt(), unvoted.amount.toBigInt());
	assert.equal(chunk.withdrawableEra.toNumber(), unvoted.withdrawableEra.toNumber());
	assert.equal(
		chunk.withdrawableEra.toNumber(),
		chunk.sinceEra.toNumber() + unbondingEras.toNumber(),
	);
});

step('is told that it is too early to withdraw', async () => {
	await expectError(
		'staking.NothingToWithdraw',
		/Nothing can be withdrawn yet.*in which era/,
		api.tx.staking.withdraw(),
		voter,
	);
});

step('withdraws after the unbonding time', async () => {
	const [{ withdrawableEra, value }] = await api.call.stakingApi.unbonding(voter.address);
	await until('the end of unbonding', 120, async () => (await era()) >= withdrawableEra.toNumber());
	const { account, amount } = await expectEvent('Withdrawn', api.tx.staking.withdraw(), voter);
	assert.equal(account.toString(), voter.address);
	assert.equal(amount.toBigInt(), value.toBigInt());
	withdrawn = amount.toBigInt();
	assert.equal((await api.call.stakingApi.unbonding(voter.address)).length, 0);
});

step('has what it had, its reward, and less its fees', async () => {
	const { data } = await api.query.system.account(voter.address);
	assert.equal(data.free.toBigInt(), before - VOTE + withdrawn - fees);
	assert.equal(data.reserved.toBigInt(), 0n);
	assert.equal(data.frozen.toBigInt(), 0n);
	assert(withdrawn > VOTE);
	assert(fees > 0n && fees < CUC, `fees of ${fees}`);
});

step('finds the commission in force that was announced', async () => {
	const operator = (await api.call.stakingApi.operator(miner.address)).unwrap();
	assert.equal(operator.commission.toNumber(), commission);
	assert(operator.nextCommission.isNone);
});

step('reads the events of every block', async () => {
	const expected = ['EraStarted', 'ValidatorsPaid', 'Voted', 'Unvoted', 'Rebonded', 'Withdrawn'];
	await until('the last event', 10, async () => seen.has('staking.Withdrawn'));
	for (const name of expected) assert(seen.has(`staking.${name}`), `no staking.${name}`);
	assert.deepEqual(undecoded, []);
	assert(seen.has('system.ExtrinsicSuccess') && seen.has('system.ExtrinsicFailed'));
});
