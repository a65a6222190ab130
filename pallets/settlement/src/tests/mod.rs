//! The pallet's tests, by topic. [`random`] runs any calls in any order beside [`model`], a plain second
//! writing of the rules.

mod channels;
mod documents;
mod genesis;
mod market;
mod model;
mod random;
mod reserves;
mod settlements;
mod short;
mod split;
mod try_state;
mod vouchers;
