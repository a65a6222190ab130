//! What proxies may do, also through batches.

mod common;

use codec::Encode;
use common::{account, state_of};
use cuckoo_primitives::CUC;
use cuckoo_runtime::{
	configs::ProxyType, Balances, Proxy, Runtime, RuntimeCall, RuntimeOrigin, SessionKeys, Staking,
};
use frame_support::assert_ok;
use sp_runtime::MultiAddress;

const AMOUNT: u128 = 100 * CUC;

fn vote() -> RuntimeCall {
	RuntimeCall::Staking(pallet_cuckoo_staking::Call::vote {
		operator: account("//Miner//1"),
		amount: AMOUNT,
	})
}

fn transfer() -> RuntimeCall {
	RuntimeCall::Balances(pallet_balances::Call::transfer_keep_alive {
		dest: MultiAddress::Id(account("//Eve")),
		value: AMOUNT,
	})
}

fn batch(call: RuntimeCall) -> RuntimeCall {
	RuntimeCall::Utility(pallet_utility::Call::batch_all { calls: vec![call] })
}

fn make_bob_proxy(kind: ProxyType) {
	let alice = RuntimeOrigin::signed(account("//Alice"));
	assert_ok!(Proxy::add_proxy(
		alice,
		MultiAddress::Id(account("//Bob")),
		kind,
		0
	));
}

/// Bob acts for Alice. What is refused shows in its effect: the call itself always succeeds.
fn act_for_alice(call: RuntimeCall) {
	let bob = RuntimeOrigin::signed(account("//Bob"));
	assert_ok!(Proxy::proxy(
		bob,
		MultiAddress::Id(account("//Alice")),
		None,
		Box::new(call)
	));
}

fn alices_vote() -> u128 {
	Staking::position(account("//Alice"), account("//Miner//1")).map_or(0, |vote| vote.value)
}

fn eves_gain(act: impl FnOnce()) -> u128 {
	let before = Balances::free_balance(account("//Eve"));
	act();
	Balances::free_balance(account("//Eve")) - before
}

#[test]
fn a_staking_proxy_votes_and_does_not_transfer() {
	state_of("development").execute_with(|| {
		make_bob_proxy(ProxyType::Staking);
		act_for_alice(vote());
		act_for_alice(batch(vote()));
		assert_eq!(alices_vote(), 2 * AMOUNT);
		assert_eq!(eves_gain(|| act_for_alice(transfer())), 0);
		assert_eq!(eves_gain(|| act_for_alice(batch(transfer()))), 0);
	});
}

/// A validator's operator account stays cold while its proxy renews the session keys.
#[test]
fn a_staking_proxy_sets_session_keys() {
	state_of("development").execute_with(|| {
		make_bob_proxy(ProxyType::Staking);
		let generated = SessionKeys::generate(&account("//Alice").encode(), None);
		act_for_alice(RuntimeCall::Session(pallet_session::Call::set_keys {
			keys: generated.keys.clone(),
			proof: generated.proof.encode(),
		}));
		let set = pallet_session::NextKeys::<Runtime>::get(account("//Alice"));
		assert_eq!(set, Some(generated.keys));
	});
}

#[test]
fn a_non_transfer_proxy_neither_transfers_nor_makes_a_stronger_proxy() {
	state_of("development").execute_with(|| {
		make_bob_proxy(ProxyType::NonTransfer);
		act_for_alice(vote());
		assert_eq!(alices_vote(), AMOUNT);
		act_for_alice(RuntimeCall::Proxy(pallet_proxy::Call::add_proxy {
			delegate: MultiAddress::Id(account("//Bob")),
			proxy_type: ProxyType::Any,
			delay: 0,
		}));
		assert_eq!(eves_gain(|| act_for_alice(transfer())), 0);
		assert_eq!(eves_gain(|| act_for_alice(batch(transfer()))), 0);
	});
}

/// A coordinator's account stays cold while its daemon settles.
#[test]
fn a_settlement_proxy_funds_the_reserve_and_does_nothing_else() {
	state_of("development").execute_with(|| {
		let coordinator = account("//Coordinator//1");
		let reserve =
			|| pallet_cuckoo_settlement::Reserves::<Runtime>::get(account("//Coordinator//1"));
		let bob = MultiAddress::Id(account("//Bob"));
		assert_ok!(Proxy::add_proxy(
			RuntimeOrigin::signed(coordinator.clone()),
			bob,
			ProxyType::Settlement,
			0
		));
		let act = |call| {
			assert_ok!(Proxy::proxy(
				RuntimeOrigin::signed(account("//Bob")),
				MultiAddress::Id(account("//Coordinator//1")),
				None,
				Box::new(call)
			));
		};
		let fund = RuntimeCall::Settlement(pallet_cuckoo_settlement::Call::fund_reserve {
			amount: AMOUNT,
		});
		act(fund.clone());
		act(batch(fund));
		assert_eq!(reserve().balance, 2 * AMOUNT);
		let votes = || Staking::position(account("//Coordinator//1"), account("//Miner//1"));
		act(vote());
		act(batch(vote()));
		assert_eq!(votes(), None);
		assert_eq!(eves_gain(|| act(transfer())), 0);
		assert_eq!(eves_gain(|| act(batch(transfer()))), 0);
	});
}

#[test]
fn a_full_proxy_transfers() {
	state_of("development").execute_with(|| {
		make_bob_proxy(ProxyType::Any);
		assert_eq!(eves_gain(|| act_for_alice(transfer())), AMOUNT);
	});
}
