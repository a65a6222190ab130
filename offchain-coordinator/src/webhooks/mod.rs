//! Webhooks: an app that names a URL with its task is called there when the task has ended.
//!
//! What is to be called is written with the task's final state, in one transaction, so that no call is
//! lost; each is made at least once, and again with growing pauses for a day until it is answered by a
//! 2xx. Calls follow the Standard Webhooks specification: an id that stays the same, a time, and a
//! signature by a secret of the app's own.

mod address;
mod deliver;
mod sign;
mod target;

pub use address::is_public;
pub use deliver::run;
pub use sign::{Secret, SECRET_CONTEXT};
pub use target::{check, Rules};
