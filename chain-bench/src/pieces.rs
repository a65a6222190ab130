//! The pieces of work that are timed.
//!
//! Calls are dispatched as a block does it once their signature has been checked and their fee taken:
//! those parts cost the same at any size of the state, and would only hide what is looked for.

use crate::genesis::{miner_of, Party, Size};
use anyhow::{anyhow, ensure};
use cuckoo_primitives::{AccountId, EraIndex, CUC};
use cuckoo_runtime::{
	constants::{SESSIONS_PER_ERA, SLOTS_PER_SESSION, UNBONDING_ERAS},
	Balance, Balances, BlockNumber, Runtime, RuntimeCall, RuntimeOrigin, Session, Staking, System,
};
use frame_support::{dispatch::GetDispatchInfo, traits::fungible::Balanced, weights::Weight};
use pallet_cuckoo_staking::{Amount, Call as StakingCall, CurrentEra, RewardSink};
use sp_runtime::{traits::Dispatchable, MultiAddress};

/// Calls in one piece of work, each of another account for another operator.
pub const CALLS: u32 = 16;

/// The era in which everything is measured: what left in era 0 can be withdrawn.
pub const NOW: EraIndex = UNBONDING_ERAS + 2;

/// The block in which everything is measured. Not 0, in which there are no events.
const BLOCK: BlockNumber = 1_000;

/// What an account puts into a new vote, and what it transfers.
const AMOUNT: Balance = 20 * CUC;

/// What an operator is rewarded with.
const REWARD: Balance = 5 * CUC;

/// What is timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
	/// A plain transfer between two accounts: what the others are held against.
	Transfer,
	/// A vote for an operator that the account has not voted for yet.
	Vote,
	/// A whole vote taken back.
	Unvote,
	/// One chunk paid out.
	Withdraw,
	/// The slash of the giant, which reaches its pool and what began to leave it in each era since the
	/// offence.
	Slash,
	/// A reward for an operator and its voters.
	Reward,
	/// The end of a session and of its era: authors are paid, a changed set is elected.
	Rotation,
}

impl Piece {
	/// Every piece.
	pub const ALL: [Self; 7] = [
		Self::Transfer,
		Self::Vote,
		Self::Unvote,
		Self::Withdraw,
		Self::Slash,
		Self::Reward,
		Self::Rotation,
	];

	/// Its name in figures.
	pub fn name(self) -> &'static str {
		match self {
			Self::Transfer => "transfer",
			Self::Vote => "vote",
			Self::Unvote => "unvote",
			Self::Withdraw => "withdraw",
			Self::Slash => "slash",
			Self::Reward => "reward",
			Self::Rotation => "session_rotation",
		}
	}

	/// What is done in this round. Rounds differ in who acts, as far as the state has others.
	pub fn steps(self, size: Size, round: u32) -> Vec<Step> {
		let turn = |count: u32| (0..CALLS).map(move |call| (round * CALLS + call) % count);
		// Those who neither have left nor leave the giant in the state.
		let staying = size.voters - size.leavers - NOW;
		let mover = |number: u32| size.leavers + number;
		match self {
			Self::Transfer => turn(staying)
				.map(|number| {
					let dest = Party::Voter(mover((number + 1) % staying)).account();
					let call = RuntimeCall::Balances(pallet_balances::Call::transfer_keep_alive {
						dest: MultiAddress::Id(dest),
						value: AMOUNT,
					});
					Step::call(Party::Voter(mover(number)), call)
				})
				.collect(),
			Self::Vote => turn(staying)
				.map(|number| {
					let voter = mover(number);
					// The one after its own: it has no vote for that one.
					let miner = (miner_of(voter, size) + 1) % size.miners;
					let call = StakingCall::vote {
						operator: Party::Miner(miner).account(),
						amount: AMOUNT,
					};
					Step::call(Party::Voter(voter), RuntimeCall::Staking(call))
				})
				.collect(),
			Self::Unvote => turn(staying)
				.map(|number| {
					let voter = mover(number);
					let call = StakingCall::unvote {
						operator: Party::Miner(miner_of(voter, size)).account(),
						amount: Amount::All,
					};
					Step::call(Party::Voter(voter), RuntimeCall::Staking(call))
				})
				.collect(),
			Self::Withdraw => turn(size.leavers)
				.map(|voter| {
					let call = RuntimeCall::Staking(StakingCall::withdraw {});
					Step::call(Party::Voter(voter), call)
				})
				.collect(),
			Self::Slash => {
				let call = RuntimeCall::Staking(StakingCall::apply_slashes { limit: 1 });
				vec![Step::call(Party::Voter(0), call)]
			},
			Self::Reward => turn(size.miners).map(Step::reward).collect(),
			Self::Rotation => vec![Step::Rotation],
		}
	}

	/// What a call of this piece is charged for beside what every transaction costs. What is no call
	/// has no weight of its own.
	pub fn weight(self, size: Size) -> Option<Weight> {
		match self.steps(size, 0).into_iter().next() {
			Some(Step::Call { call, .. }) => Some(call.get_dispatch_info().call_weight),
			_ => None,
		}
	}
}

/// The rewards of an era: one for each miner.
pub fn era_rewards(size: Size) -> Vec<Step> {
	(0..size.miners).map(Step::reward).collect()
}

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Step {
	/// A call of an account.
	Call {
		/// The account.
		who: AccountId,
		/// The call.
		call: Box<RuntimeCall>,
	},
	/// A reward, as another pallet brings it.
	Reward(AccountId),
	/// The end of a session.
	Rotation,
}

impl Step {
	fn call(who: Party, call: RuntimeCall) -> Self {
		Self::Call {
			who: who.account(),
			call: Box::new(call),
		}
	}

	fn reward(miner: u32) -> Self {
		Self::Reward(Party::Miner(miner).account())
	}

	fn run(self) -> anyhow::Result<()> {
		match self {
			Self::Call { who, call } => call
				.dispatch(RuntimeOrigin::signed(who))
				.map(|_| ())
				.map_err(|failure| anyhow!("a call failed: {:?}", failure.error)),
			Self::Reward(operator) => {
				<Staking as RewardSink>::reward(&operator, Balances::issue(REWARD))
					.map_err(|_| anyhow!("{operator:?} takes no reward"))
			},
			Self::Rotation => {
				let (session, era) = (Session::current_index(), CurrentEra::<Runtime>::get());
				Session::rotate_session();
				ensure!(
					Session::current_index() == session + 1,
					"the session did not end"
				);
				ensure!(
					CurrentEra::<Runtime>::get() == era + 1,
					"the era did not end"
				);
				Ok(())
			},
		}
	}
}

/// Runs all steps; an error is the first that failed.
pub fn run(steps: Vec<Step>) -> anyhow::Result<()> {
	steps.into_iter().try_for_each(Step::run)
}

/// What a block has done before its transactions.
pub fn begin_block() {
	System::set_block_number(BLOCK);
	let slot = u64::from(SESSIONS_PER_ERA) * SLOTS_PER_SESSION;
	pallet_babe::CurrentSlot::<Runtime>::mutate(|current| *current = *current + slot);
}

/// Whether a state of this size has enough accounts for one round.
pub fn check(size: Size) -> anyhow::Result<()> {
	ensure!(size.miners >= CALLS, "at least {CALLS} miners");
	ensure!(size.leavers >= CALLS, "at least {CALLS} leavers");
	let voters = size.leavers + CALLS + NOW;
	ensure!(size.voters >= voters, "at least {voters} voters");
	Ok(())
}
