// Who validates changes while the network runs: by joining, by stake, by seats, by leaving.

'use strict';

const {
	CUC,
	becomeValidator,
	connect,
	govern,
	key,
	send,
	stepsOf,
	waitForBlockBy,
	waitForFinal,
	waitForValidators,
} = require('../chain.js');

/** More than the validators of genesis have: Dave takes the first seat. */
const DAVE_STAKE = 200_000n * CUC;

/** What puts Alice and Bob ahead of Charlie, who began with the same stake. */
const LEAD = 10_000n * CUC;

/** A session of the fast chain lasts 10 s, and who is elected validates from the session after next. */
const ELECTION_SECONDS = 45;

/** Dave writes a quarter of all blocks: not one of 30 is a matter of less than one in 5,000. */
const BLOCK_SECONDS = 30;

/** Changes the number of seats and nothing else. */
async function setSeats(api, seats) {
	const present = await api.query.staking.validatorParameters();
	const params = { seats, floor: present.floor, yearlyInflation: present.yearlyInflation };
	await govern(api, api.tx.staking.setValidatorParams(params));
}

exports.run = stepsOf({
	async begin(network) {
		const api = await connect(network, 'alice');
		await waitForValidators(api, ['Alice', 'Bob', 'Charlie'], ELECTION_SECONDS);
	},

	async join(network) {
		const api = await connect(network, 'alice');
		await becomeValidator(network, 'Dave', DAVE_STAKE);
		await waitForValidators(api, ['Alice', 'Bob', 'Charlie', 'Dave'], ELECTION_SECONDS);
		const best = (await api.rpc.chain.getHeader()).number.toNumber();
		const block = await waitForBlockBy(api, key('Dave').address, best, BLOCK_SECONDS);
		await waitForFinal(api, block, BLOCK_SECONDS);
	},

	async 'lose a seat'(network) {
		const api = await connect(network, 'alice');
		await Promise.all(
			['Alice', 'Bob'].map((name) => send(api, api.tx.staking.stakeMore(LEAD), key(name))),
		);
		await setSeats(api, 3);
		await waitForValidators(api, ['Alice', 'Bob', 'Dave'], ELECTION_SECONDS);
	},

	async 'win it back'(network) {
		const api = await connect(network, 'alice');
		await setSeats(api, 4);
		await waitForValidators(api, ['Alice', 'Bob', 'Charlie', 'Dave'], ELECTION_SECONDS);
	},

	async retire(network) {
		const api = await connect(network, 'alice');
		await send(api, api.tx.staking.retire(), key('Bob'));
		await waitForValidators(api, ['Alice', 'Charlie', 'Dave'], ELECTION_SECONDS);
	},
});
