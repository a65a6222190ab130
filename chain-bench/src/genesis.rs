//! The states that are measured: 120 validators for 100 seats, a coordinator, a number of miners and voters, and one miner for whom
//! every voter votes, the *giant*.
//!
//! Every voter has two votes: one for a miner of the crowd, in turn, and one for the giant. The
//! runtime's genesis builder does the most of it; what genesis cannot say is done by the runtime's
//! calls afterwards, in block 0.

use crate::pieces::{self, NOW};
use anyhow::anyhow;
use cuckoo_primitives::{
	signing::{sign, signing_hash, Assignment, ResultCommitment},
	task::{DeviceClass, TaskId},
	AccountId, Balance, Role, WorkerId, CUC, H256,
};
use cuckoo_runtime::{
	constants::{SESSIONS_PER_ERA, SLOTS_PER_SESSION},
	BabeConfig, BalancesConfig, Runtime, RuntimeGenesisConfig, RuntimeOrigin, Session,
	SessionConfig, SessionKeys, Staking, StakingConfig, System, BABE_GENESIS_EPOCH_CONFIG,
};
use frame_support::{storage::storage_prefix, traits::BuildGenesisConfig};
use pallet_authorship::EventHandler;
use pallet_cuckoo_staking::{
	evidence::{Evidence, Signed},
	Amount, CurrentEra, GenesisOperator, GenesisVote,
};
use sp_core::{ed25519, sr25519, storage::Storage, Pair};
use sp_crypto_hashing::{blake2_256, twox_128};
use sp_runtime::Perbill;
use sp_state_machine::BasicExternalities;
use std::ops::Add;

/// Validators of every state, so that a session's end has the same work: more than there are seats.
pub const VALIDATORS: u32 = 120;

/// The seats that staking has by default.
pub const SEATS: u32 = 100;

/// Every account's funds beside its stake.
const FREE: Balance = 1_000 * CUC;

/// The least vote, and what votes differ by.
const VOTE: Balance = 10 * CUC;
const VOTES_DIFFER: u32 = 90;

const COMMISSION: Perbill = Perbill::from_percent(10);

/// How much of a state there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
	/// Miners beside the giant.
	pub miners: u32,
	/// Accounts with two votes each.
	pub voters: u32,
	/// How many of the voters have taken their vote for a miner back, long enough ago to withdraw.
	pub leavers: u32,
}

impl Size {
	/// Just enough for one round of each piece of work.
	pub const NEARLY_EMPTY: Self = Self {
		miners: pieces::CALLS,
		voters: 2 * pieces::CALLS + NOW,
		leavers: pieces::CALLS,
	};
}

/// Who an account is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Party {
	/// The coordinator that settles.
	Coordinator,
	/// The miner with all the voters.
	Giant,
	/// A miner of the crowd.
	Miner(u32),
	/// A validator.
	Validator(u32),
	/// A voter.
	Voter(u32),
}

impl Party {
	fn name(self) -> String {
		match self {
			Party::Coordinator => "coordinator".into(),
			Party::Giant => "giant".into(),
			Party::Miner(number) => format!("miner-{number}"),
			Party::Validator(number) => format!("validator-{number}"),
			Party::Voter(number) => format!("voter-{number}"),
		}
	}

	fn hash(self, purpose: &str) -> [u8; 32] {
		blake2_256(format!("cuckoo-chain-bench/{purpose}/{}", self.name()).as_bytes())
	}

	/// Its account. Nobody has the key: calls are dispatched without signatures.
	pub fn account(self) -> AccountId {
		AccountId::new(self.hash("account"))
	}

	/// Its worker, whose key is known.
	pub fn worker_pair(self) -> sr25519::Pair {
		sr25519::Pair::from_seed(&self.hash("worker"))
	}

	/// Its worker. A real key where one signs; making a hundred thousand would only take time.
	fn worker(self) -> WorkerId {
		match self {
			Party::Giant => self.worker_pair().public(),
			_ => WorkerId::from_raw(self.hash("worker")),
		}
	}

	fn session_keys(self) -> SessionKeys {
		SessionKeys {
			babe: sr25519::Public::from_raw(self.hash("babe")).into(),
			grandpa: ed25519::Public::from_raw(self.hash("grandpa")).into(),
		}
	}
}

/// The miner of the crowd for whom a voter votes.
pub fn miner_of(voter: u32, size: Size) -> u32 {
	voter % size.miners
}

/// What a voter votes with for its miner.
pub fn vote_of(voter: u32) -> Balance {
	VOTE + Balance::from(voter % VOTES_DIFFER) * CUC
}

/// The state of this size.
pub fn build(size: Size) -> anyhow::Result<Storage> {
	let mut ext = BasicExternalities::new_empty();
	ext.execute_with(|| {
		config(size).build();
		age(size)
	})?;
	Ok(ext.into_storages())
}

fn operator(party: Party, role: Role) -> GenesisOperator {
	let stake = 2 * role.default_min_self_stake();
	GenesisOperator {
		account: party.account(),
		role,
		worker: party.worker(),
		stake,
		commission: COMMISSION,
		name: party.name(),
		endpoint: String::new(),
		text: format!("A {} of the benchmark.", role.name()),
	}
}

fn operators(size: Size) -> Vec<GenesisOperator> {
	let validators = (0..VALIDATORS).map(|number| {
		let mut validator = operator(Party::Validator(number), Role::Validator);
		// Different stakes have different places in the order.
		validator.stake += Balance::from(number) * CUC;
		validator
	});
	let miners = (0..size.miners).map(|number| operator(Party::Miner(number), Role::Miner));
	let giant = operator(Party::Giant, Role::Miner);
	let coordinator = operator(Party::Coordinator, Role::Coordinator);
	validators
		.chain([coordinator, giant])
		.chain(miners)
		.collect()
}

fn votes(size: Size) -> Vec<GenesisVote> {
	let giant = Party::Giant.account();
	(0..size.voters)
		.flat_map(|number| {
			let voter = Party::Voter(number).account();
			let crowd = GenesisVote {
				voter: voter.clone(),
				operator: Party::Miner(miner_of(number, size)).account(),
				amount: vote_of(number),
			};
			let giant = GenesisVote {
				voter,
				operator: giant.clone(),
				amount: VOTE,
			};
			[crowd, giant]
		})
		.collect()
}

fn config(size: Size) -> RuntimeGenesisConfig {
	let operators = operators(size);
	let staked = operators
		.iter()
		.map(|operator| (operator.account.clone(), operator.stake + FREE));
	let voting = (0..size.voters).map(|number| {
		let funds = vote_of(number) + VOTE + FREE;
		(Party::Voter(number).account(), funds)
	});
	let balances = staked.chain(voting).collect();
	let keys = (0..VALIDATORS)
		.map(|number| {
			let validator = Party::Validator(number);
			(
				validator.account(),
				validator.account(),
				validator.session_keys(),
			)
		})
		.collect();
	RuntimeGenesisConfig {
		balances: BalancesConfig {
			balances,
			..Default::default()
		},
		babe: BabeConfig {
			epoch_config: BABE_GENESIS_EPOCH_CONFIG,
			..Default::default()
		},
		staking: StakingConfig {
			operators,
			votes: votes(size),
			..Default::default()
		},
		session: SessionConfig {
			keys,
			..Default::default()
		},
		..Default::default()
	}
}

/// Does what takes a chain weeks. All of it happens in block 0, and the eras are set.
fn age(size: Size) -> anyhow::Result<()> {
	for number in 0..size.leavers {
		let miner = Party::Miner(miner_of(number, size));
		take_back(Party::Voter(number), miner)?;
	}
	// Every pool has a reward streaming into it, as on a chain that is in use.
	pieces::run(pieces::era_rewards(size))?;
	let report = evidence_against_the_giant();
	Staking::report_equivocation(origin(Party::Voter(0)), Box::new(report))
		.map_err(|failure| anyhow!("the giant's offence: {:?}", failure.error))?;
	// Each era since then somebody has left the giant.
	for era in 0..NOW {
		CurrentEra::<Runtime>::put(era);
		take_back(Party::Voter(size.voters - 1 - era), Party::Giant)?;
	}
	CurrentEra::<Runtime>::put(NOW);
	// Up to the last session of an era, in which every validator has authored blocks.
	while Session::current_index() + 1 < SESSIONS_PER_ERA {
		pallet_babe::CurrentSlot::<Runtime>::mutate(|slot| *slot = *slot + SLOTS_PER_SESSION);
		Session::rotate_session();
	}
	for author in Session::validators() {
		<Staking as EventHandler<_, _>>::note_author(author);
	}
	// Who had no seat overtakes: the next election has another result.
	for number in 0..VALIDATORS - SEATS {
		Staking::stake_more(origin(Party::Validator(number)), FREE / 2)
			.map_err(|error| anyhow!("validator {number} stakes more: {error:?}"))?;
	}
	Ok(())
}

fn origin(party: Party) -> RuntimeOrigin {
	RuntimeOrigin::signed(party.account())
}

fn take_back(voter: Party, operator: Party) -> anyhow::Result<()> {
	Staking::unvote(origin(voter), operator.account(), Amount::All)
		.map_err(|error| anyhow!("{voter:?} leaves {operator:?}: {error:?}"))
}

/// Two results of one assignment, signed by the giant's worker.
fn evidence_against_the_giant() -> Evidence {
	let worker = Party::Giant.worker_pair();
	let genesis = System::block_hash(0);
	let assignment = Assignment {
		coordinator: Party::Validator(0).account(),
		task: TaskId([1; 16]),
		attempt: Default::default(),
		miner: Party::Giant.account(),
		worker: worker.public(),
		spec_hash: H256::zero(),
		model: Default::default(),
		deadline_ms: 0,
		block_number: 0,
		block_hash: genesis,
		randomness: H256::zero(),
		eligible_root: H256::zero(),
		total_weight: 0,
	};
	let result = |output| {
		let payload = ResultCommitment {
			assignment: signing_hash(&genesis, &assignment),
			output,
			trajectory_root: H256::zero(),
			engine_profile: H256::zero(),
			device: DeviceClass::Cpu,
		};
		let signature = sign(&genesis, &payload, &worker);
		Signed { payload, signature }
	};
	let (first, second) = (result(H256::repeat_byte(1)), result(H256::repeat_byte(2)));
	Evidence::Results {
		assignment,
		first,
		second,
	}
}

/// Entries of the state under one prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entries {
	/// How many.
	pub count: usize,
	/// The bytes of their keys and values.
	pub bytes: usize,
}

impl Entries {
	/// Those of one map of the staking pallet.
	pub fn of_map(state: &Storage, map: &str) -> Self {
		Self::under(state, &storage_prefix(b"Staking", map.as_bytes()))
	}

	/// All of the staking pallet.
	pub fn of_staking(state: &Storage) -> Self {
		Self::under(state, &twox_128(b"Staking"))
	}

	fn under(state: &Storage, prefix: &[u8]) -> Self {
		let under = state
			.top
			.range(prefix.to_vec()..)
			.take_while(|(key, _)| key.starts_with(prefix));
		under.fold(Self::default(), |sum, (key, value)| Self {
			count: sum.count + 1,
			bytes: sum.bytes + key.len() + value.len(),
		})
	}
}

impl Add for Entries {
	type Output = Self;

	fn add(self, other: Self) -> Self {
		Self {
			count: self.count + other.count,
			bytes: self.bytes + other.bytes,
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn the_state_has_what_its_size_says() {
		let size = Size {
			miners: 20,
			voters: 100,
			leavers: 18,
		};
		let state = build(size).unwrap();
		let operators = VALIDATORS + 2 + size.miners;
		let count = |map| Entries::of_map(&state, map).count as u32;
		assert_eq!(count("Operators"), operators);
		// Every operator has one in its own pool, every voter two, less those that were taken back.
		let positions = operators + 2 * size.voters - size.leavers - NOW;
		assert_eq!(count("Positions"), positions);
		assert_eq!(count("Unbonding"), size.leavers + NOW);
		assert_eq!(count("UnbondingPools"), size.leavers + NOW);
		assert_eq!(count("Slashes"), 1);
	}

	#[test]
	fn entries_are_counted_under_their_prefix_only() {
		let mut state = Storage::default();
		let prefix = storage_prefix(b"Staking", b"Pools");
		state.top.insert([&prefix[..], b"a"].concat(), vec![0; 10]);
		state.top.insert([&prefix[..], b"bc"].concat(), vec![0; 7]);
		let other = storage_prefix(b"Stakinh", b"Pools");
		state.top.insert(other.to_vec(), vec![0; 100]);
		let pools = Entries::of_map(&state, "Pools");
		assert_eq!(
			pools,
			Entries {
				count: 2,
				bytes: 33 + 10 + 34 + 7
			}
		);
		assert_eq!(Entries::of_staking(&state), pools);
	}
}
