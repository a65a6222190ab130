//! What proxies may do, also through batches.

mod common;

use codec::Encode;
use common::{account, state_of};
use cuckoo_primitives::CUC;
use cuckoo_runtime::{
	configs::ProxyType, Balances, Proxy, Runtime, RuntimeCall, RuntimeOrigin, SessionKeys, Staking,
	System,
};
use frame_support::assert_ok;
use sp_runtime::{traits::Dispatchable, MultiAddress};

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

type SettlementCall = pallet_cuckoo_settlement::Call<Runtime>;

/// What puts the signer's own money where others can get it.
fn putting_in() -> Vec<RuntimeCall> {
	let calls = [
		SettlementCall::open_channel {
			coordinator: account("//Coordinator//1"),
			signer: sp_core::sr25519::Public::from_raw([7; 32]),
			amount: AMOUNT,
		},
		SettlementCall::top_up {
			channel: 0,
			amount: AMOUNT,
		},
		SettlementCall::fund_reserve { amount: AMOUNT },
	];
	calls.map(RuntimeCall::Settlement).to_vec()
}

/// A root with one leaf, of somebody's.
fn root() -> RuntimeCall {
	let leaf = cuckoo_primitives::sum_tree::Leaf {
		miner: account("//Eve"),
		amount: CUC,
	};
	let context = cuckoo_primitives::sum_tree::context(
		&System::block_hash(0),
		&account("//Coordinator//1"),
		0,
	);
	let tree = cuckoo_primitives::sum_tree::SumTree::new(&context, vec![leaf]);
	RuntimeCall::Settlement(SettlementCall::settle_era {
		era: 0,
		root: tree.expect("one leaf is a tree").root(),
	})
}

/// Makes Bob a proxy of a coordinator that has a reserve and a channel of its own. What he does is seen
/// by its free balance, its reserve and the roots that it posted.
fn as_a_coordinators_proxy(kind: ProxyType, test: impl FnOnce(&dyn Fn(RuntimeCall), &dyn Fn())) {
	state_of("development").execute_with(|| {
		let coordinator = || account("//Coordinator//1");
		let signed = || RuntimeOrigin::signed(coordinator());
		let bob = MultiAddress::Id(account("//Bob"));
		assert_ok!(Proxy::add_proxy(signed(), bob, kind, 0));
		for call in putting_in() {
			assert_ok!(call.dispatch(signed()));
		}
		let act = |call: RuntimeCall| {
			assert_ok!(Proxy::proxy(
				RuntimeOrigin::signed(account("//Bob")),
				MultiAddress::Id(coordinator()),
				None,
				Box::new(call)
			));
		};
		let state = || {
			(
				Balances::free_balance(coordinator()),
				pallet_cuckoo_settlement::Reserves::<Runtime>::get(coordinator()),
				pallet_cuckoo_settlement::Settlements::<Runtime>::iter().count(),
			)
		};
		let before = state();
		test(&act, &|| assert_eq!(state(), before));
	});
}

/// A coordinator's account stays cold while its daemon settles and allots; and a thief of the daemon's key
/// gets no more than what is free in the reserve.
#[test]
fn a_settlement_proxy_settles_and_puts_nothing_in() {
	as_a_coordinators_proxy(ProxyType::Settlement, |act, is_as_before| {
		for call in putting_in() {
			act(call.clone());
			act(batch(call));
			is_as_before();
		}
		let votes = || Staking::position(account("//Coordinator//1"), account("//Miner//1"));
		act(vote());
		act(batch(vote()));
		assert_eq!(votes(), None);
		assert_eq!(eves_gain(|| act(transfer())), 0);
		assert_eq!(eves_gain(|| act(batch(transfer()))), 0);
		act(RuntimeCall::Settlement(SettlementCall::allot {
			miner: account("//Miner//1"),
			amount: 10 * CUC,
		}));
		let reserve =
			pallet_cuckoo_settlement::Reserves::<Runtime>::get(account("//Coordinator//1"));
		assert_eq!((reserve.balance, reserve.allotted), (AMOUNT, 10 * CUC));
		common::until_era(1);
		act(root());
		assert_eq!(
			pallet_cuckoo_settlement::Settlements::<Runtime>::iter().count(),
			1
		);
	});
}

#[test]
fn a_proxy_that_must_not_transfer_neither_puts_in_nor_settles() {
	as_a_coordinators_proxy(ProxyType::NonTransfer, |act, is_as_before| {
		for call in putting_in() {
			act(call.clone());
			act(batch(call));
			is_as_before();
		}
		common::until_era(1);
		act(root());
		act(batch(root()));
		assert_eq!(
			pallet_cuckoo_settlement::Settlements::<Runtime>::iter().count(),
			0
		);
		// Nor does it make another the proxy that may.
		act(RuntimeCall::Proxy(pallet_proxy::Call::add_proxy {
			delegate: MultiAddress::Id(account("//Eve")),
			proxy_type: ProxyType::Settlement,
			delay: 0,
		}));
		let (proxies, _) = pallet_proxy::Proxies::<Runtime>::get(account("//Coordinator//1"));
		assert_eq!(proxies.len(), 1);
		// What brings the principal's own back, it does.
		let reserve =
			|| pallet_cuckoo_settlement::Reserves::<Runtime>::get(account("//Coordinator//1"));
		act(RuntimeCall::Settlement(SettlementCall::withdraw_reserve {
			amount: AMOUNT,
		}));
		assert_eq!(reserve().balance, 0);
	});
}

#[test]
fn a_full_proxy_transfers() {
	state_of("development").execute_with(|| {
		make_bob_proxy(ProxyType::Any);
		assert_eq!(eves_gain(|| act_for_alice(transfer())), AMOUNT);
	});
}
