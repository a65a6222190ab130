//! The loaded models of a device, shared by its slots: what [`Warm`] decides is done here.

use crate::warm::{PlaceId, Stage, Take, TooLarge, Warm};
use std::{
	collections::HashMap,
	ops::{Deref, DerefMut},
	sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// See the module's documentation. `P` is a loaded model.
pub struct Shelf<P> {
	state: Mutex<State<P>>,
	/// Held by the one who is next: whoever waits for room is not passed by those who need less.
	turn: Mutex<()>,
	freed: Condvar,
}

struct State<P> {
	warm: Warm,
	idle: HashMap<PlaceId, P>,
}

/// How the shelf is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stock {
	/// What the loaded copies need, in bytes.
	pub used: u64,
	/// What they may need, in bytes.
	pub limit: u64,
	/// Of each model, how many copies are being loaded and how many are ready or busy.
	pub models: Vec<Copies>,
}

/// Copies of one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copies {
	/// Being loaded.
	pub loading: usize,
	/// Ready, or busy.
	pub warm: usize,
}

/// A loaded model while one task uses it. Goes back when dropped, unless the thread panics or
/// [`Borrowed::spoil`] was called.
pub struct Borrowed<'a, P> {
	shelf: &'a Shelf<P>,
	id: PlaceId,
	model: Option<P>,
	spoilt: bool,
}

impl<P> Shelf<P> {
	/// An empty shelf for models that need so many bytes each.
	pub fn new(limit: u64, sizes: Vec<u64>) -> Result<Self, TooLarge> {
		Ok(Self {
			state: Mutex::new(State {
				warm: Warm::new(limit, sizes)?,
				idle: HashMap::new(),
			}),
			turn: Mutex::new(()),
			freed: Condvar::new(),
		})
	}

	/// The model of this number, loaded if it has to be; waits while there is no room for it.
	pub fn borrow<E>(
		&self,
		model: usize,
		load: impl FnOnce() -> Result<P, E>,
	) -> Result<Borrowed<'_, P>, E> {
		let id = match self.place(model) {
			(id, Some(ready)) => return Ok(self.lend(id, ready)),
			(id, None) => id,
		};
		// Until it is lent, an error or a panic frees the room.
		let mut borrowed = Borrowed {
			shelf: self,
			id,
			model: None,
			spoilt: true,
		};
		borrowed.model = Some(load()?);
		borrowed.spoilt = false;
		self.state().warm.loaded(id);
		Ok(borrowed)
	}

	/// What is on it now.
	pub fn stock(&self) -> Stock {
		let state = self.state();
		let mut models = vec![Copies::default(); state.warm.models()];
		for (model, stage) in state.warm.places() {
			match stage {
				Stage::Loading => models[model].loading += 1,
				Stage::Busy | Stage::Idle { .. } => models[model].warm += 1,
			}
		}
		Stock {
			used: state.warm.used(),
			limit: state.warm.limit(),
			models,
		}
	}

	/// A place, and the model if it is in it already.
	fn place(&self, model: usize) -> (PlaceId, Option<P>) {
		let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
		let mut state = self.state();
		loop {
			match state.warm.take(model) {
				Take::Warm(id) => match state.idle.remove(&id) {
					Some(ready) => return (id, Some(ready)),
					// An idle place always has its model; without one it would be no place.
					None => state.warm.discard(id),
				},
				Take::Load { place, evict } => {
					// Gone for good before the lock is: the room they took is given to the new one.
					for gone in evict {
						state.idle.remove(&gone);
					}
					return (place, None);
				},
				Take::Wait => {
					state = self
						.freed
						.wait(state)
						.unwrap_or_else(PoisonError::into_inner);
				},
			}
		}
	}

	fn lend(&self, id: PlaceId, model: P) -> Borrowed<'_, P> {
		Borrowed {
			shelf: self,
			id,
			model: Some(model),
			spoilt: false,
		}
	}

	/// Whole after every line that changes it, also if a thread panicked.
	fn state(&self) -> MutexGuard<'_, State<P>> {
		self.state.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

impl<P> Borrowed<'_, P> {
	/// It is not to be used again: the device failed under it.
	pub fn spoil(&mut self) {
		self.spoilt = true;
	}
}

const LENT: &str = "a borrowed model is there until it is dropped; qed";

impl<P> Deref for Borrowed<'_, P> {
	type Target = P;

	fn deref(&self) -> &P {
		self.model.as_ref().expect(LENT)
	}
}

impl<P> DerefMut for Borrowed<'_, P> {
	fn deref_mut(&mut self) -> &mut P {
		self.model.as_mut().expect(LENT)
	}
}

impl<P> Drop for Borrowed<'_, P> {
	fn drop(&mut self) {
		let model = self.model.take();
		let mut state = self.shelf.state();
		match model {
			Some(model) if !self.spoilt && !std::thread::panicking() => {
				state.idle.insert(self.id, model);
				state.warm.release(self.id);
			},
			// Its memory is free before its room is.
			spoilt => {
				drop(spoilt);
				state.warm.discard(self.id);
			},
		}
		drop(state);
		self.shelf.freed.notify_one();
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::{
		convert::Infallible,
		sync::atomic::{AtomicUsize, Ordering},
		thread,
		time::Duration,
	};

	fn get(shelf: &Shelf<usize>, model: usize) -> Borrowed<'_, usize> {
		shelf.borrow(model, || Ok::<_, Infallible>(model)).unwrap()
	}

	#[test]
	fn what_is_warm_is_not_loaded_again_and_the_longest_unused_goes() {
		let shelf = Shelf::new(2, vec![1, 1, 1]).unwrap();
		drop(get(&shelf, 0));
		drop(get(&shelf, 1));
		let warm = shelf.borrow(0, || Err("loaded again"));
		assert_eq!(*warm.unwrap(), 0);
		drop(get(&shelf, 2));
		let warm: Vec<usize> = shelf.stock().models.iter().map(|it| it.warm).collect();
		assert_eq!(warm, [1, 0, 1]);
	}

	#[test]
	fn what_does_not_load_or_is_spoilt_or_panics_leaves_no_trace() {
		let shelf = Shelf::new(1, vec![1]).unwrap();
		assert_eq!(shelf.borrow(0, || Err("no file")).err(), Some("no file"));
		assert_eq!(shelf.stock().used, 0);
		get(&shelf, 0).spoil();
		assert_eq!(shelf.stock().used, 0);
		let paniced = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
			let _lent = get(&shelf, 0);
			panic!("as asked");
		}));
		assert!(paniced.is_err());
		let paniced = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
			let _ = shelf.borrow::<()>(0, || panic!("as asked"));
		}));
		assert!(paniced.is_err());
		assert_eq!(shelf.stock().used, 0);
		assert_eq!(*get(&shelf, 0), 0);
	}

	#[test]
	fn several_slots_never_hold_more_than_the_limit_and_all_get_done() {
		const LIMIT: usize = 5;
		let sizes = [1usize, 2, 3, 5];
		let (held, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
		let shelf = Shelf::new(LIMIT as u64, sizes.map(|size| size as u64).to_vec()).unwrap();
		/// Counts its memory while it lives.
		struct Model<'a>(&'a AtomicUsize, usize);
		impl Drop for Model<'_> {
			fn drop(&mut self) {
				self.0.fetch_sub(self.1, Ordering::SeqCst);
			}
		}
		thread::scope(|scope| {
			for slot in 0..4 {
				let (shelf, held, done) = (&shelf, &held, &done);
				scope.spawn(move || {
					for turn in 0..50 {
						let model = (slot * 7 + turn * 3) % sizes.len();
						let load = || {
							let now = held.fetch_add(sizes[model], Ordering::SeqCst) + sizes[model];
							assert!(now <= LIMIT, "{now}");
							Ok::<_, Infallible>(Model(held, sizes[model]))
						};
						let lent = shelf.borrow(model, load).unwrap();
						assert_eq!(lent.1, sizes[model]);
						thread::sleep(Duration::from_micros(50));
						drop(lent);
						done.fetch_add(1, Ordering::SeqCst);
					}
				});
			}
		});
		assert_eq!(done.load(Ordering::SeqCst), 200);
	}
}
