//! Which of the tasks that wait are made in one run of the model.

use cuckoo_primitives::task::TaskSpec;
use std::collections::VecDeque;

/// Whether two tasks can be made in one run: they differ in their prompts and seeds only.
pub fn go_together(one: &TaskSpec, other: &TaskSpec) -> bool {
	// By name, so that a new field asks where it belongs.
	let TaskSpec {
		model,
		prompt: _,
		negative_prompt: _,
		seed: _,
		steps,
		width,
		height,
		guidance_milli,
		scheduler,
	} = one;
	(model, steps, width, height) == (&other.model, &other.steps, &other.width, &other.height)
		&& (guidance_milli, scheduler) == (&other.guidance_milli, &other.scheduler)
}

/// The places in the queue of those who make the next batch: the oldest, then in their order those that
/// go with it, `most` in all.
pub fn choose<T>(
	waiting: &VecDeque<T>,
	most: usize,
	go_together: impl Fn(&T, &T) -> bool,
) -> Vec<usize> {
	let Some(first) = waiting.front() else {
		return Vec::new();
	};
	let places = waiting.iter().enumerate();
	places
		.filter(|(place, one)| *place == 0 || go_together(first, one))
		.map(|(place, _)| place)
		.take(most)
		.collect()
}

/// Takes the next batch out of the queue. Who stays keeps the order.
pub fn take<T>(
	waiting: &mut VecDeque<T>,
	most: usize,
	go_together: impl Fn(&T, &T) -> bool,
) -> Vec<T> {
	let places = choose(waiting, most, go_together);
	// From the back: no place moves before it was used.
	let mut batch: Vec<T> = places
		.into_iter()
		.rev()
		.filter_map(|place| waiting.remove(place))
		.collect();
	batch.reverse();
	batch
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::engine::request;
	use cuckoo_primitives::{task::SchedulerKind, H256};
	use proptest::prelude::*;

	/// A number, and what it must have in common with another to go with it.
	type Waiting = (usize, u8);

	fn alike(one: &Waiting, other: &Waiting) -> bool {
		one.1 == other.1
	}

	fn queue(kinds: &[u8]) -> VecDeque<Waiting> {
		kinds.iter().copied().enumerate().collect()
	}

	fn spec() -> impl Strategy<Value = TaskSpec> {
		let schedulers = vec![SchedulerKind::Ddim, SchedulerKind::Euler];
		let sides = prop_oneof![Just(64u16), Just(128u16)];
		(
			0u8..2,
			"[ab]",
			any::<u64>(),
			1u16..3,
			sides.clone(),
			sides,
			3_000u32..3_002,
			prop::sample::select(schedulers),
		)
			.prop_map(
				|(model, prompt, seed, steps, width, height, guidance_milli, scheduler)| TaskSpec {
					model: H256::repeat_byte(model),
					negative_prompt: prompt.clone(),
					prompt,
					seed,
					steps,
					width,
					height,
					guidance_milli,
					scheduler,
				},
			)
	}

	#[test]
	fn the_oldest_takes_along_those_that_go_with_it() {
		let mut waiting = queue(&[1, 2, 1, 1, 2]);
		assert_eq!(choose(&waiting, 2, alike), [0, 2]);
		assert_eq!(choose(&waiting, 16, alike), [0, 2, 3]);
		assert_eq!(take(&mut waiting, 2, alike), [(0, 1), (2, 1)]);
		assert_eq!(waiting, [(1, 2), (3, 1), (4, 2)]);
		assert!(choose(&VecDeque::new(), 2, alike).is_empty());
	}

	proptest! {
		/// Batch after batch, until nobody waits.
		#[test]
		fn batches_are_bounded_alike_and_in_order_and_all_come_once(
			kinds in prop::collection::vec(0u8..4, 0..40),
			most in 1usize..17,
		) {
			let mut waiting = queue(&kinds);
			let mut done = Vec::new();
			while let Some(oldest) = waiting.front().copied() {
				let before = waiting.clone();
				let batch = take(&mut waiting, most, alike);
				prop_assert_eq!(batch[0], oldest);
				prop_assert!(batch.len() <= most);
				prop_assert!(batch.iter().all(|one| alike(one, &oldest)));
				prop_assert!(batch.windows(2).all(|pair| pair[0].0 < pair[1].0));
				// None that would have fitted was passed over for a younger one, or left out.
				let fitting: Vec<Waiting> =
					before.iter().filter(|one| alike(one, &oldest)).copied().collect();
				prop_assert_eq!(&batch[..], &fitting[..fitting.len().min(most)]);
				// The others stay as they stood.
				let rest: Vec<Waiting> =
					before.into_iter().filter(|one| !batch.contains(one)).collect();
				prop_assert_eq!(Vec::from(waiting.clone()), rest);
				done.extend(batch);
			}
			done.sort_unstable();
			prop_assert_eq!(done, Vec::from(queue(&kinds)));
		}

		/// The engine takes what is put together here, and would take nothing else.
		#[test]
		fn tasks_go_together_where_the_engine_says_so(one in spec(), other in spec()) {
			let engine = one.model == other.model && request(&one).goes_with(&request(&other));
			prop_assert_eq!(go_together(&one, &other), engine);
			prop_assert_eq!(go_together(&other, &one), engine);
		}
	}
}
