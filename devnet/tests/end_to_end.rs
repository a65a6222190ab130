//! What the network promises, shown on real processes: nodes, coordinator, miners. One network at a
//! time, so that two cores are enough; each test says in its name what must hold.
//!
//! `CUCKOO_KEEP=1` leaves each network's data and logs behind.

#[path = "end_to_end/support.rs"]
mod support;

#[allow(dead_code)]
#[path = "../../examples/channel.rs"]
mod channel;
#[path = "end_to_end/demo.rs"]
mod demo;
#[path = "end_to_end/failures.rs"]
mod failures;
#[path = "end_to_end/hostile.rs"]
mod hostile;
#[path = "end_to_end/picture.rs"]
mod picture;
#[path = "end_to_end/seats.rs"]
mod seats;
#[path = "end_to_end/settlement.rs"]
mod settlement;
#[path = "end_to_end/stake.rs"]
mod stake;
