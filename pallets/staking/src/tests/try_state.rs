//! Each invariant is broken on purpose, and caught.

use cuckoo_primitives::{AccountId, Role, CUC};
use frame_support::{
	storage::{unhashed, StoragePrefixedMap},
	traits::fungible::Unbalanced,
};
use sp_runtime::Perbill;

use super::support::*;
use crate::{
	mock::*,
	pool::{Pool, Position, Shares},
	stake::Stream,
	types::{
		Amount, DescendingStake, Introduction, Moment, Offence, Slash, UnbondingChunk, WorkerOwner,
		MAX_RELEASED_WORKERS,
	},
	AuthoredBlocks, ByStake, CurrentEra, Held, Introductions, Offences, Operators, Pools,
	Positions, RecentEras, ReleasedWorkers, RoleMembers, RoleParameters, SlashQueue, Slashes,
	Streams, Totals, Unbonding, UnbondingPools, ValidatorParameters, WorkerNonces, WorkerOwners,
};

/// The worker key of the operator that has committed an offence.
const OFFENDING_KEY: u32 = 70;

/// Makes a state with something in every map, breaks it, and expects the message.
fn breaks(message: &'static str, corrupt: impl FnOnce()) {
	let operators = vec![
		genesis_operator(MINER, Role::Miner, MINER_STAKE),
		genesis_operator(VALIDATOR, Role::Validator, VALIDATOR_STAKE),
		genesis_operator(COORDINATOR, Role::Coordinator, COORDINATOR_STAKE),
	];
	genesis(operators, Vec::new()).execute_with(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_vote(BOB, VALIDATOR, 100 * CUC);
		assert_unvote(ALICE, MINER, Amount::Value(20 * CUC));
		assert_set_worker(MINER, 50);
		assert_register(ALICE, Role::Miner, OFFENDING_KEY, MINER_STAKE);
		pass_eras(1);
		assert_eq!(pay(MINER, 100 * CUC), Ok(()));
		assert_report(BOB, ALICE, two_results(ALICE, OFFENDING_KEY, block(), 0), 1);
		<Staking as pallet_authorship::EventHandler<AccountId, u64>>::note_author(account(
			VALIDATOR,
		));
		assert_eq!(Staking::do_try_state(), Ok(()));
		corrupt();
		assert_eq!(Staking::do_try_state(), Err(message.into()));
	});
}

/// Adds tokens to the pot that are owed to somebody.
fn owe(amount: u128) {
	let pot = Balances::free_balance(Staking::pot());
	Balances::write_balance(&Staking::pot(), pot + amount).unwrap();
	Held::<Test>::mutate(|held| *held += amount);
}

fn change_record(who: u8, change: impl FnOnce(&mut crate::Operator)) {
	Operators::<Test>::mutate(account(who), |record| change(record.as_mut().unwrap()));
}

#[test]
fn invariant_1_money() {
	const SUM: &str = "1: Held is not the sum of all pools and streams";
	breaks(SUM, || Held::<Test>::mutate(|held| *held += 1));
	breaks(SUM, || {
		Pools::<Test>::mutate(account(MINER), |pool| pool.value -= 1)
	});
	breaks(SUM, || {
		UnbondingPools::<Test>::mutate(account(MINER), 0, |pool| pool.as_mut().unwrap().value += 1)
	});
	breaks(SUM, || {
		Pools::<Test>::mutate(account(MINER), |pool| pool.value = u128::MAX)
	});
	breaks(SUM, || {
		Streams::<Test>::mutate(account(MINER), |stream| stream.amount -= 1)
	});
	breaks(SUM, || Streams::<Test>::remove(account(MINER)));
	breaks("1: the pot has less than it owes", || {
		let pot = Balances::free_balance(Staking::pot());
		Balances::write_balance(&Staking::pot(), pot - 1).unwrap();
	});
}

#[test]
fn invariant_2_pools() {
	const SUM: &str = "2: positions do not add up to the pool's shares";
	let position = |shares, generation| Position {
		shares: Shares(shares),
		generation,
	};
	let insert = |voter: u8, operator: u8, position| {
		Positions::<Test>::insert(account(voter), account(operator), position)
	};
	breaks("2: a position has no shares", || {
		insert(BOB, MINER, position(0, 0))
	});
	breaks("2: a position has no pool", || {
		insert(BOB, CAROL, position(1, 0))
	});
	breaks("2: a position is of a generation to come", || {
		insert(BOB, MINER, position(1, 1))
	});
	breaks("2: positions overflow", || {
		insert(BOB, MINER, position(u128::MAX, 0));
	});
	breaks(SUM, || insert(BOB, MINER, position(1, 0)));
	breaks(SUM, || {
		Positions::<Test>::remove(account(ALICE), account(MINER))
	});
	breaks(SUM, || {
		Pools::<Test>::mutate(account(MINER), |pool| {
			pool.shares = Shares(pool.shares.0 + 1)
		})
	});
	breaks("2: a pool has value but no shares", || {
		owe(5);
		Pools::<Test>::insert(
			account(BOB),
			Pool {
				value: 5,
				..Default::default()
			},
		);
	});
}

#[test]
fn invariant_2_spent_pools() {
	let devalue = |value: fn(u128) -> u128| {
		Pools::<Test>::mutate(account(MINER), |pool| {
			Held::<Test>::mutate(|held| *held -= pool.value);
			pool.value = value(pool.shares.0);
			Held::<Test>::mutate(|held| *held += pool.value);
		})
	};
	breaks("2: a pool's shares are worth nothing", || devalue(|_| 0));
	breaks("2: a pool's shares are worth nothing", || {
		devalue(|shares| shares / 1_000_000_000 - 1)
	});
}

#[test]
fn invariant_2_streams() {
	let stream = |who: u8, stream: Stream| Streams::<Test>::insert(account(who), stream);
	let empty = || Stream {
		amount: 0,
		since: block(),
		until: block() + 1,
	};
	breaks("2: a stream has nothing left", || {
		stream(VALIDATOR, empty())
	});
	let change = |change: fn(&mut Stream)| Streams::<Test>::mutate(account(MINER), change);
	const NO_TIME: &str = "2: a stream has no time to flow";
	breaks(NO_TIME, || change(|stream| stream.until = stream.since));
	breaks(NO_TIME, || change(|stream| stream.since += 1));
	breaks("2: a stream flows to nobody", || {
		owe(5);
		let of_five = Stream {
			amount: 5,
			..empty()
		};
		stream(BOB, of_five);
	});
}

#[test]
fn invariant_3_unbonding() {
	const SUM: &str = "3: chunks do not add up to the unbonding pool's shares";
	fn change(who: u8, change: impl FnOnce(&mut Vec<UnbondingChunk>)) {
		Unbonding::<Test>::mutate(account(who), |chunks| {
			let mut list = chunks.clone().into_inner();
			change(&mut list);
			*chunks = list.try_into().unwrap();
		});
	}
	breaks("3: a chunk is from the future", || {
		change(ALICE, |chunks| chunks[0].era = 2)
	});
	breaks("3: a chunk has no shares", || {
		change(ALICE, |chunks| chunks[0].shares = Shares(0))
	});
	breaks("3: a chunk is twice in a list", || {
		change(ALICE, |chunks| chunks.push(chunks[0].clone()))
	});
	breaks("3: chunks overflow", || {
		let mut chunk = Unbonding::<Test>::get(account(ALICE))[0].clone();
		chunk.shares = Shares(u128::MAX);
		change(BOB, |chunks| chunks.push(chunk));
	});
	breaks(SUM, || change(ALICE, |chunks| chunks[0].shares.0 += 1));
	breaks(SUM, || Unbonding::<Test>::remove(account(ALICE)));
	breaks("3: an unbonding pool has value but no shares", || {
		owe(5);
		let pool = Pool {
			value: 5,
			..Default::default()
		};
		UnbondingPools::<Test>::insert(account(MINER), 1, pool);
	});
	const NO_POOL: &str = "3: a chunk has no unbonding pool";
	let add = |era, generation| {
		let operator = account(MINER);
		let chunk = UnbondingChunk {
			operator,
			era,
			generation,
			shares: Shares(1),
		};
		change(BOB, |chunks| chunks.push(chunk));
	};
	breaks(NO_POOL, || add(1, 0));
	breaks(NO_POOL, || add(0, 1));
}

#[test]
fn invariant_4_activity() {
	const ACTIVE: &str = "4: an operator is active and should not be, or the reverse";
	breaks(ACTIVE, || {
		change_record(MINER, |record| record.counted = None)
	});
	breaks(ACTIVE, || {
		change_record(MINER, |record| record.retired = Some(1))
	});
	breaks(ACTIVE, || {
		change_record(MINER, |record| record.suspended = Some(1))
	});
	breaks(ACTIVE, || {
		change_record(MINER, |record| record.minimum = u128::MAX)
	});
	breaks(
		"4: a slash waits for an operator that is not suspended",
		|| {
			change_record(ALICE, |record| {
				record.suspended = None;
				record.minimum = u128::MAX;
			})
		},
	);
	breaks(
		"4: an operator counts with another stake than its pool's",
		|| change_record(MINER, |record| record.counted = Some(1)),
	);
}

#[test]
fn invariant_5_workers() {
	let own = |key, who: u8, released| {
		let owner = WorkerOwner {
			operator: account(who),
			since: 0,
			released,
		};
		WorkerOwners::<Test>::insert(worker(key), owner);
	};
	let at = |era| Moment { era, block: 1 };
	let list = |who: u8, keys: &[u32]| {
		let keys: Vec<_> = keys.iter().map(|key| worker(*key)).collect();
		ReleasedWorkers::<Test>::insert(
			account(who),
			frame_support::BoundedVec::truncate_from(keys),
		);
	};
	const FORMER: u32 = MINER as u32;
	breaks(
		"5: a worker is missing, or bound to a retired operator",
		|| change_record(MINER, |record| record.worker = None),
	);
	const NOT_OWN: &str = "5: an operator's worker is not recorded as its own";
	breaks(NOT_OWN, || WorkerOwners::<Test>::remove(worker(50)));
	breaks(NOT_OWN, || own(50, VALIDATOR, None));
	breaks(NOT_OWN, || own(50, MINER, Some(at(0))));
	breaks("5: a bound worker was not counted", || {
		WorkerNonces::<Test>::remove(account(MINER))
	});
	breaks("5: there is no room to let go of a worker", || {
		let keys: Vec<_> = (100..100 + MAX_RELEASED_WORKERS).collect();
		keys.iter()
			.for_each(|key| own(*key, COORDINATOR, Some(at(0))));
		list(COORDINATOR, &keys);
	});
	breaks("5: a worker in use is not its owner's", || {
		own(60, MINER, None)
	});
	breaks("5: a worker let go of is not on its owner's list", || {
		own(60, MINER, Some(at(0)))
	});
	breaks("5: a worker let go of is not on its owner's list", || {
		list(MINER, &[FORMER, 50]);
	});
	const NO_TIME: &str = "5: a worker is let go of in the future, or before it was bound";
	breaks(NO_TIME, || own(FORMER, MINER, Some(at(9))));
	breaks(NO_TIME, || {
		WorkerOwners::<Test>::mutate(worker(FORMER), |owner| {
			owner.as_mut().unwrap().since = block()
		});
	});
	breaks("5: a worker is bound in the future", || {
		WorkerOwners::<Test>::mutate(worker(50), |owner| {
			owner.as_mut().unwrap().since = block() + 1
		});
	});
	breaks("5: a worker is twice on a list", || {
		list(MINER, &[FORMER, FORMER])
	});
	breaks("5: a list has a worker of another owner", || {
		list(VALIDATOR, &[FORMER])
	});
}

#[test]
fn invariant_6_order() {
	const LISTED: &str = "6: the order by stake does not list the active operators";
	let key = |role, stake: u128, who: u8| (role, DescendingStake::from(stake), account(who));
	let place = || key(Role::Coordinator, COORDINATOR_STAKE, COORDINATOR);
	breaks(LISTED, || ByStake::<Test>::remove(place()));
	breaks(LISTED, || {
		ByStake::<Test>::insert(key(Role::Validator, CUC, CAROL), ())
	});
	breaks(LISTED, || {
		ByStake::<Test>::remove(place());
		let wrong = key(Role::Coordinator, COORDINATOR_STAKE + 1, COORDINATOR);
		ByStake::<Test>::insert(wrong, ());
	});
	breaks(LISTED, || {
		ByStake::<Test>::insert(key(Role::Validator, COORDINATOR_STAKE, COORDINATOR), ())
	});
	breaks(LISTED, || {
		ByStake::<Test>::insert(key(Role::Miner, MINER_STAKE + 80 * CUC, MINER), ())
	});
}

#[test]
fn invariant_7_totals() {
	const TOTALS: &str = "7: a role's totals are not those of its active operators";
	for role in Role::ALL {
		breaks(TOTALS, || {
			Totals::<Test>::mutate(role, |totals| totals.stake += 1)
		});
		breaks(TOTALS, || {
			Totals::<Test>::mutate(role, |totals| totals.operators += 1)
		});
		breaks(TOTALS, || Totals::<Test>::remove(role));
	}
}

#[test]
fn invariant_8_records() {
	let introduce = |who: AccountId, name: &[u8]| {
		let name = name.to_vec().try_into().unwrap();
		let empty = Introduction::<Test> {
			name,
			endpoint: Default::default(),
			text: Default::default(),
		};
		Introductions::<Test>::insert(who, empty);
	};
	const UNREADABLE: &str = "8: an operator has no readable introduction";
	breaks(UNREADABLE, || Introductions::<Test>::remove(account(MINER)));
	breaks(UNREADABLE, || introduce(account(MINER), b"\xff"));
	breaks("8: an introduction is nobody's", || {
		introduce(account(CAROL), b"x")
	});
	breaks("8: an operator is not listed under its role", || {
		RoleMembers::<Test>::remove(Role::Miner, account(MINER))
	});
	breaks(
		"8: an account is listed under a role that it does not have",
		|| RoleMembers::<Test>::insert(Role::Validator, account(MINER), ()),
	);
	breaks("8: a pool is nobody's", || {
		Pools::<Test>::insert(account(CAROL), Pool::default())
	});
	breaks("8: a role has no parameters", || {
		RoleParameters::<Test>::remove(Role::Miner)
	});
	const UNUSABLE: &str = "8: the validators' parameters cannot be used";
	breaks(UNUSABLE, || {
		ValidatorParameters::<Test>::mutate(|params| params.seats = 0)
	});
	breaks(UNUSABLE, || {
		ValidatorParameters::<Test>::mutate(|params| params.seats = MAX_VALIDATORS + 1)
	});
	breaks(UNUSABLE, || {
		ValidatorParameters::<Test>::mutate(|params| params.floor = params.seats + 1)
	});
}

#[test]
fn invariant_10_slashes() {
	let change = |change: fn(&mut Vec<Offence>)| {
		Offences::<Test>::mutate(account(ALICE), |offences| {
			let mut list = offences.clone().into_inner();
			change(&mut list);
			*offences = list.try_into().unwrap();
		})
	};
	let change_slash = |change: fn(&mut Slash)| {
		Slashes::<Test>::mutate(0, |slash| change(slash.as_mut().unwrap()))
	};
	breaks("10: an era is twice on an operator's record", || {
		change(|offences| offences.push(Offence::none(offences[0].era)))
	});
	breaks("10: an offence waits for no slash", || {
		Slashes::<Test>::remove(0)
	});
	const COUNTS: &str = "10: an offence counts with another part than was taken or waits";
	breaks(COUNTS, || {
		change(|offences| offences[0].counted = Perbill::from_percent(11))
	});
	breaks(COUNTS, || {
		Slashes::<Test>::remove(0);
		change(|offences| offences[0].pending = None)
	});
	breaks("10: a slash takes no more than was taken", || {
		change(|offences| offences[0].applied = Perbill::from_percent(10))
	});
	breaks("10: a slash waits whose proof could be used again", || {
		change(|offences| offences[0].proofs.clear())
	});
	const OUTSIDE: &str = "10: a slash is outside of the queue";
	breaks(OUTSIDE, || {
		SlashQueue::<Test>::mutate(|queue| queue.first = 1)
	});
	breaks(OUTSIDE, || {
		SlashQueue::<Test>::mutate(|queue| queue.next = 0)
	});
	const NOT_ON_RECORD: &str = "10: a slash is not on its operator's record";
	breaks(NOT_ON_RECORD, || Offences::<Test>::remove(account(ALICE)));
	breaks(NOT_ON_RECORD, || change(|offences| offences[0].era = 0));
	breaks(NOT_ON_RECORD, || {
		change(|offences| {
			offences[0].pending = None;
			offences[0].counted = Perbill::zero();
		})
	});
	breaks(NOT_ON_RECORD, || {
		change_slash(|slash| slash.operator = account(MINER))
	});
	breaks(NOT_ON_RECORD, || change_slash(|slash| slash.era = 0));
	breaks(NOT_ON_RECORD, || {
		let twin = Slashes::<Test>::get(0).unwrap();
		Slashes::<Test>::insert(1, twin);
		SlashQueue::<Test>::mutate(|queue| queue.next = 2);
	});
}

#[test]
fn invariant_11_eras() {
	const FOLLOW: &str = "11: eras do not follow each other";
	let last = |change: fn(&mut crate::EraStartedAt)| {
		RecentEras::<Test>::mutate(|eras| change(eras.last_mut().unwrap()))
	};
	breaks(FOLLOW, || last(|start| start.era = 2));
	breaks(FOLLOW, || last(|start| start.era = 0));
	breaks(FOLLOW, || last(|start| start.session = 0));
	breaks(FOLLOW, || {
		RecentEras::<Test>::mutate(|eras| eras[0].block = eras[1].block + 1)
	});
	const PRESENT: &str = "11: the present era is not the last on record";
	breaks(PRESENT, || CurrentEra::<Test>::put(2));
	breaks(PRESENT, RecentEras::<Test>::kill);
}

#[test]
fn invariant_9_decoding() {
	let maps: [[u8; 32]; 17] = [
		Streams::<Test>::final_prefix(),
		Offences::<Test>::final_prefix(),
		Slashes::<Test>::final_prefix(),
		AuthoredBlocks::<Test>::final_prefix(),
		RoleParameters::<Test>::final_prefix(),
		Totals::<Test>::final_prefix(),
		Operators::<Test>::final_prefix(),
		RoleMembers::<Test>::final_prefix(),
		Introductions::<Test>::final_prefix(),
		WorkerOwners::<Test>::final_prefix(),
		ReleasedWorkers::<Test>::final_prefix(),
		WorkerNonces::<Test>::final_prefix(),
		Pools::<Test>::final_prefix(),
		Positions::<Test>::final_prefix(),
		UnbondingPools::<Test>::final_prefix(),
		Unbonding::<Test>::final_prefix(),
		ByStake::<Test>::final_prefix(),
	];
	for prefix in maps {
		breaks("9: a value does not decode", || {
			unhashed::put_raw(&[&prefix[..], b"key"].concat(), &[0xFF; 3])
		});
	}
	let values = [
		CurrentEra::<Test>::hashed_key(),
		RecentEras::<Test>::hashed_key(),
		ValidatorParameters::<Test>::hashed_key(),
		SlashQueue::<Test>::hashed_key(),
		Held::<Test>::hashed_key(),
	];
	for key in values {
		breaks("9: a value does not decode", || {
			unhashed::put_raw(&key, &[0xFF; 3])
		});
	}
}
