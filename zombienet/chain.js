// What the scenarios' scripts share: connections, transactions, validators, and waiting.
//
// zombienet runs the scripts inside its own process and keeps them loaded, so what a script remembers
// in one step is there in the next. It puts its own copy of @polkadot/api into `zombie`.

'use strict';

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { setTimeout: sleep } = require('node:timers/promises');
const { promisify } = require('node:util');

/** One CUC in the chain's smallest unit. */
const CUC = 1_000_000_000_000n;

/** What a worker key signs to act for an operator is told from other messages by this. */
const WORKER_PROOF_DOMAIN = 'cuckoo/worker-proof/1';

/** How long a transaction may take until its block is final. */
const FINAL_SECONDS = 30;

/** Between two looks at the chain, of which the fast one writes a block each second. */
const LOOK_EVERY_MS = 300;

/** Node name -> connection; they stay open as long as zombienet runs. */
const connections = new Map();

/**
 * A connection to the node of that name.
 *
 * @param {object} network - what zombienet hands to each script
 * @param {string} name
 */
async function connect(network, name) {
	let api = connections.get(name);
	if (!api) {
		const provider = new global.zombie.WsProvider(network.nodesByName[name].wsUri);
		api = await global.zombie.ApiPromise.create({ provider, noInitWarn: true });
		connections.set(name, api);
	}
	return api;
}

/** The development key `//Name`. */
function key(name) {
	return new global.zombie.Keyring({ type: 'sr25519' }).addFromUri(`//${name}`);
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
async function until(what, seconds, look) {
	const deadline = Date.now() + seconds * 1_000;
	for (;;) {
		const seen = await look();
		if (seen) return seen;
		assert(Date.now() < deadline, `not within ${seconds} s: ${what}`);
		await sleep(LOOK_EVERY_MS);
	}
}

/**
 * Signs and sends a transaction and waits until its block is final.
 *
 * @returns {Promise<Array>} its events
 */
async function send(api, call, signer) {
	const name = `${call.method.section}.${call.method.method}`;
	let unsubscribe = () => {};
	let patience;
	const result = await new Promise((resolve, reject) => {
		const late = new Error(`${name} is not final within ${FINAL_SECONDS} s`);
		patience = setTimeout(reject, FINAL_SECONDS * 1_000, late);
		call
			.signAndSend(signer, { nonce: -1 }, (result) => {
				if (result.isFinalized) resolve(result);
				if (result.isError) reject(new Error(`${name} is ${result.status.type}`));
			})
			.then((stop) => {
				unsubscribe = stop;
			}, reject);
	}).finally(() => clearTimeout(patience));
	unsubscribe();
	assert(!result.dispatchError, `${name}: ${explain(api, result.dispatchError)}`);
	return result.events.map(({ event }) => event);
}

/** Why a call failed, in the pallet's words. */
function explain(api, error) {
	if (!error?.isModule) return `${error}`;
	const { section, name, docs } = api.registry.findMetaError(error.asModule);
	return `${section}.${name}: ${docs.join(' ').trim()}`;
}

/** Sends a call as governance, which is Alice in the development networks. */
async function govern(api, call) {
	const events = await send(api, api.tx.sudo.sudo(call), key('Alice'));
	const done = events.find(({ section, method }) => section === 'sudo' && method === 'Sudid');
	assert(done, 'no sudo.Sudid');
	const [outcome] = done.data;
	assert(outcome.isOk, `governance: ${outcome.isErr && explain(api, outcome.asErr)}`);
}

/** The names of those who validate in the present session, in order of the alphabet. */
async function validators(api) {
	const names = new Map(
		['Alice', 'Bob', 'Charlie', 'Dave', 'Eve', 'Ferdie'].map((name) => [key(name).address, name]),
	);
	const accounts = (await api.query.session.validators()).map(
		(account) => names.get(account.toString()) ?? account.toString(),
	);
	return accounts.sort();
}

/**
 * Waits until exactly these validate, and then until a block that they wrote is final.
 *
 * @param {string[]} names - in order of the alphabet
 */
async function waitForValidators(api, names, seconds) {
	let present;
	await until(`the validators are ${names.join(', ')}`, seconds, async () => {
		present = await validators(api);
		return present.join() === names.join();
	}).catch((error) => {
		throw new Error(`${error.message}; they are ${present?.join(', ')}`);
	});
	const best = (await api.rpc.chain.getHeader()).number.toNumber();
	await waitForFinal(api, best + 1, FINAL_SECONDS);
}

/** The number of the last final block. */
async function finalNumber(api) {
	const hash = await api.rpc.chain.getFinalizedHead();
	return (await api.rpc.chain.getHeader(hash)).number.toNumber();
}

/** Waits until the block of this number is final. */
async function waitForFinal(api, number, seconds) {
	await until(`block ${number} is final`, seconds, async () => (await finalNumber(api)) >= number);
}

/** Waits until this account has written a block after `number`; returns that block's number. */
async function waitForBlockBy(api, address, number, seconds) {
	let next = number + 1;
	return until(`a block by ${address}`, seconds, async () => {
		const best = (await api.rpc.chain.getHeader()).number.toNumber();
		for (; next <= best; next += 1) {
			const hash = await api.rpc.chain.getBlockHash(next);
			const header = await api.derive.chain.getHeader(hash);
			if (header.author?.toString() === address) return next;
		}
		return false;
	});
}

/** The text as SCALE has it: its length, then its bytes. All texts here are short. */
function scaleText(text) {
	const bytes = Buffer.from(text);
	assert(bytes.length < 64);
	return Buffer.concat([Buffer.from([bytes.length << 2]), bytes]);
}

/** A u32 as SCALE has it. */
function littleEndian(number) {
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32LE(number);
	return bytes;
}

/**
 * Makes an account a validator: registers it with this stake, has its node make session keys, and
 * sets them. It is elected at one of the next sessions.
 */
async function becomeValidator(network, name, stake) {
	const node = name.toLowerCase();
	const api = await connect(network, node);
	const operator = key(name);
	const worker = key(`${name}//worker`);
	const nonce = await api.query.staking.workerNonces(operator.address);
	const proof = worker.sign(
		Buffer.concat([
			scaleText(WORKER_PROOF_DOMAIN),
			api.genesisHash.toU8a(),
			operator.publicKey,
			littleEndian(nonce.toNumber()),
		]),
	);
	const introduction = { name: `validator-${node}`, endpoint: '', text: '' };
	const commission = 0;
	const { register } = api.tx.staking;
	await send(
		api,
		register('Validator', worker.publicKey, proof, stake, commission, introduction),
		operator,
	);
	const rotated = await sessionKeys(network.nodesByName[node].wsUri, operator.address);
	await send(api, api.tx.session.setKeys(rotated.keys, rotated.proof), operator);
}

/** New session keys out of a running node, by the command that operators use. */
async function sessionKeys(wsUri, address) {
	const url = wsUri.replace(/^ws/, 'http');
	const { stdout } = await promisify(execFile)(
		'cuckoo-node',
		['key', 'rotate-for', '--account', address, '--url', url, '--json'],
		{ timeout: FINAL_SECONDS * 1_000 },
	);
	return JSON.parse(stdout);
}

/**
 * What zombienet calls: the script's step of the name that the scenario gives. Steps build on each
 * other: zombienet goes on after one that failed, and the rest then fails at once.
 *
 * @param {Record<string, (network: object) => Promise<void>>} steps
 */
function stepsOf(steps) {
	let failed = false;
	return async (_node, network, [name]) => {
		assert(!failed, 'a step before this failed');
		failed = true;
		const step = steps[name];
		assert(step, `the script has no step "${name}"; it has: ${Object.keys(steps).join('; ')}`);
		await step(network);
		failed = false;
	};
}

module.exports = {
	CUC,
	becomeValidator,
	connect,
	finalNumber,
	govern,
	key,
	send,
	stepsOf,
	until,
	waitForBlockBy,
	waitForFinal,
	waitForValidators,
};
