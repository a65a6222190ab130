//! The pallet's tests, by topic. [`support`] has one `assert_<call>` a call, which compares the whole
//! state that the call touches before and after it.

mod attacks;
mod eras;
mod genesis;
mod operators;
mod pool;
mod random;
mod support;
mod try_state;
mod unbonding;
mod views;
mod votes;
mod weights;
mod workers;
