//! The pallet's tests, by topic. [`support`] has one `assert_<call>` a call, which compares the whole
//! state that the call touches before and after it.

mod access;
mod arithmetic;
mod attacks;
mod commission;
mod economic_attacks;
mod election;
mod eras;
mod evidence;
mod genesis;
mod migrations;
mod model;
mod offences;
mod operators;
mod params;
mod pool;
mod random;
mod reactivate;
mod rebond;
mod rewards;
mod slashing;
mod support;
mod try_state;
mod unbonding;
mod views;
mod votes;
mod workers;
