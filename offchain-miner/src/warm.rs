//! Which models are in memory, as a pure state machine: no device, no clock, no threads.
//!
//! A *place* is one loaded copy of a model. A place is loading, busy with a task, or idle; a model
//! without a place is cold. Two tasks of one model at once take two places. All places together never
//! need more than the limit; what must go to make room is the idle place that was used longest ago,
//! and a place that is loading or busy never goes. [`Shelf`](crate::shelf::Shelf) does what this says.

/// A loaded copy of a model, by a number that is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(u64);

/// What a place is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
	/// Its files are being read.
	Loading,
	/// A task uses it.
	Busy,
	/// Ready. The number grows with each use of any place.
	Idle {
		/// When it was used last.
		since: u64,
	},
}

#[derive(Clone, Copy, Debug)]
struct Place {
	id: PlaceId,
	model: usize,
	stage: Stage,
}

/// How a task gets its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Take {
	/// This place is ready, and busy from now on.
	Warm(PlaceId),
	/// Let these go, then load into this place.
	Load {
		/// The new place.
		place: PlaceId,
		/// Idle places that are no more; the longest unused first.
		evict: Vec<PlaceId>,
	},
	/// There is room only when a busy place is let go of. Nothing was changed.
	Wait,
}

/// A model that never has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
	"the model needs about {} MiB of memory, and the limit is {} MiB: raise --memory-limit, or leave \
	 the model out", needs.div_ceil(MIB), limit / MIB
)]
pub struct TooLarge {
	/// Its number.
	pub model: usize,
	/// What it needs, in bytes.
	pub needs: u64,
	/// What there is, in bytes.
	pub limit: u64,
}

const MIB: u64 = 1024 * 1024;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Warm {
	limit: u64,
	/// What a place of each model needs, in bytes.
	sizes: Vec<u64>,
	places: Vec<Place>,
	next: u64,
	uses: u64,
}

impl Warm {
	/// All cold. A model that does not fit alone is refused now, and not when its first task has come.
	pub fn new(limit: u64, sizes: Vec<u64>) -> Result<Self, TooLarge> {
		let largest = sizes
			.iter()
			.enumerate()
			.find(|(_, needs)| **needs > limit)
			.map(|(model, needs)| TooLarge {
				model,
				needs: *needs,
				limit,
			});
		match largest {
			Some(error) => Err(error),
			None => Ok(Self {
				limit,
				sizes,
				places: Vec::new(),
				next: 0,
				uses: 0,
			}),
		}
	}

	/// A place for a task of this model (its number must be one of those given at the start).
	pub fn take(&mut self, model: usize) -> Take {
		let idle =
			|place: &&mut Place| place.model == model && matches!(place.stage, Stage::Idle { .. });
		if let Some(place) = self.places.iter_mut().find(idle) {
			place.stage = Stage::Busy;
			return Take::Warm(place.id);
		}
		let Some(evict) = self.to_evict(self.sizes[model]) else {
			return Take::Wait;
		};
		self.places.retain(|place| !evict.contains(&place.id));
		let id = PlaceId(self.next);
		self.next += 1;
		self.places.push(Place {
			id,
			model,
			stage: Stage::Loading,
		});
		Take::Load { place: id, evict }
	}

	/// The fewest of the longest unused whose going makes room for `needs`, if that can be.
	fn to_evict(&self, needs: u64) -> Option<Vec<PlaceId>> {
		let mut idle: Vec<(u64, &Place)> = self
			.places
			.iter()
			.filter_map(|place| match place.stage {
				Stage::Idle { since } => Some((since, place)),
				Stage::Loading | Stage::Busy => None,
			})
			.collect();
		idle.sort_by_key(|(since, _)| *since);
		let mut room = self.limit - self.used();
		let mut evict = Vec::new();
		for (_, place) in idle {
			if room >= needs {
				break;
			}
			room += self.sizes[place.model];
			evict.push(place.id);
		}
		(room >= needs).then_some(evict)
	}

	/// A place that was loading is ready, for the task that it was loaded for.
	pub fn loaded(&mut self, id: PlaceId) {
		if let Some(place) = self.place(id) {
			place.stage = Stage::Busy;
		}
	}

	/// The task that used it has ended.
	pub fn release(&mut self, id: PlaceId) {
		self.uses += 1;
		let since = self.uses;
		if let Some(place) = self.place(id) {
			place.stage = Stage::Idle { since };
		}
	}

	/// It did not load, or is not to be used again.
	pub fn discard(&mut self, id: PlaceId) {
		self.places.retain(|place| place.id != id);
	}

	/// What all places need, in bytes.
	pub fn used(&self) -> u64 {
		self.places
			.iter()
			.map(|place| self.sizes[place.model])
			.sum()
	}

	/// What they may need, in bytes.
	pub fn limit(&self) -> u64 {
		self.limit
	}

	/// How many models there are.
	pub fn models(&self) -> usize {
		self.sizes.len()
	}

	/// The model and stage of every place.
	pub fn places(&self) -> impl Iterator<Item = (usize, Stage)> + '_ {
		self.places.iter().map(|place| (place.model, place.stage))
	}

	fn place(&mut self, id: PlaceId) -> Option<&mut Place> {
		self.places.iter_mut().find(|place| place.id == id)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;
	use std::collections::BTreeMap;

	fn load(warm: &mut Warm, model: usize) -> PlaceId {
		match warm.take(model) {
			Take::Load { place, .. } => {
				warm.loaded(place);
				place
			},
			other => panic!("{other:?}"),
		}
	}

	#[test]
	fn the_least_recently_used_goes_and_no_more_than_must() {
		let mut warm = Warm::new(10, vec![4, 3, 3, 2]).unwrap();
		let (a, b, c) = (load(&mut warm, 0), load(&mut warm, 1), load(&mut warm, 2));
		for place in [b, a, c] {
			warm.release(place);
		}
		let Take::Load { evict, .. } = warm.take(3) else {
			panic!("no room");
		};
		assert_eq!(evict, [b]);
		assert_eq!(warm.take(0), Take::Warm(a));
		// 4 of a, 3 of c and 2 are taken: 1 is free, and c is idle.
		assert_eq!(
			warm.take(0),
			Take::Load {
				place: PlaceId(4),
				evict: vec![c]
			}
		);
		assert_eq!(warm.take(1), Take::Wait);
		assert_eq!(warm.used(), 10);
	}

	#[test]
	fn a_model_that_never_fits_is_refused_at_once() {
		let error = Warm::new(3 * MIB, vec![MIB, 4 * MIB]).unwrap_err();
		assert_eq!((error.model, error.limit), (1, 3 * MIB));
		let sentence = error.to_string();
		assert!(
			sentence.contains("4 MiB") && sentence.contains("--memory-limit"),
			"{sentence}"
		);
	}

	#[derive(Clone, Debug)]
	enum Event {
		Take(prop::sample::Index),
		Ends(prop::sample::Index, End),
	}

	#[derive(Clone, Copy, Debug)]
	enum End {
		Well,
		Badly,
	}

	fn event() -> impl Strategy<Value = Event> {
		prop_oneof![
			any::<prop::sample::Index>().prop_map(Event::Take),
			(
				any::<prop::sample::Index>(),
				prop_oneof![3 => Just(End::Well), 1 => Just(End::Badly)]
			)
				.prop_map(|(index, end)| Event::Ends(index, end)),
		]
	}

	proptest! {
		/// Against a plain model: never above the limit, the longest unused goes first, what is in use
		/// never goes, and a task waits only when idle places alone cannot make room.
		#[test]
		fn it_keeps_its_word(
			sizes in prop::collection::vec(1u64..50, 1..6),
			more in 0u64..100,
			events in prop::collection::vec(event(), 0..80),
		) {
			let limit = sizes.iter().max().unwrap() + more;
			let mut warm = Warm::new(limit, sizes.clone()).unwrap();
			// What the caller holds, and what it gave back with the moment of that.
			let mut held: Vec<(PlaceId, usize, bool)> = Vec::new();
			let mut idle: BTreeMap<u64, (PlaceId, usize)> = BTreeMap::new();
			let mut moment = 0;
			for event in events {
				match event {
					Event::Take(index) => {
						let model = index.index(sizes.len());
						let in_use: u64 = held.iter().map(|(_, model, _)| sizes[*model]).sum();
						match warm.take(model) {
							Take::Warm(place) => {
								let found = idle.iter().find(|(_, known)| **known == (place, model));
								let key = *found.expect("was idle").0;
								idle.remove(&key);
								held.push((place, model, true));
							},
							Take::Load { place, evict } => {
								prop_assert!(idle.values().all(|(_, known)| *known != model));
								let mut room = limit - in_use
									- idle.values().map(|(_, model)| sizes[*model]).sum::<u64>();
								for gone in evict {
									prop_assert!(room < sizes[model], "{gone:?} went for nothing");
									let (key, (oldest, of)) =
										idle.iter().next().map(|(k, v)| (*k, *v)).unwrap();
									prop_assert_eq!(gone, oldest);
									idle.remove(&key);
									room += sizes[of];
								}
								held.push((place, model, false));
							},
							Take::Wait => prop_assert!(in_use + sizes[model] > limit),
						}
					},
					Event::Ends(index, end) if !held.is_empty() => {
						let (place, model, loaded) = held.swap_remove(index.index(held.len()));
						if !loaded {
							warm.loaded(place);
						}
						match end {
							End::Well => {
								warm.release(place);
								moment += 1;
								idle.insert(moment, (place, model));
							},
							End::Badly => warm.discard(place),
						}
					},
					Event::Ends(..) => {},
				}
				prop_assert!(warm.used() <= limit);
				prop_assert_eq!(warm.places().count(), held.len() + idle.len());
			}
		}
	}
}
