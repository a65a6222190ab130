//! The time that graphs run, so that what is spent outside of them is known.

use cuckoo_diffusion::{
	backend::{Backend, Graph, Port, Tensor},
	Error, Stop,
};
use std::{
	path::Path,
	sync::{
		atomic::{AtomicU64, Ordering::Relaxed},
		Arc,
	},
	time::Instant,
};

/// A clock that graphs advance while they run.
#[derive(Clone, Default)]
pub struct Inside(Arc<AtomicU64>);

impl Inside {
	/// Seconds since it was last asked.
	pub fn take(&self) -> f64 {
		self.0.swap(0, Relaxed) as f64 * 1e-9
	}
}

/// A backend that adds up the time its graphs run.
pub struct Timed<B> {
	inner: B,
	inside: Inside,
}

impl<B> Timed<B> {
	pub fn new(inner: B, inside: Inside) -> Self {
		Self { inner, inside }
	}
}

impl<B: Backend> Backend for Timed<B> {
	fn load(&self, path: &Path) -> Result<Box<dyn Graph>, Error> {
		let inner = self.inner.load(path)?;
		let inside = self.inside.clone();
		Ok(Box::new(TimedGraph { inner, inside }))
	}
}

struct TimedGraph {
	inner: Box<dyn Graph>,
	inside: Inside,
}

impl Graph for TimedGraph {
	fn inputs(&self) -> &[Port] {
		self.inner.inputs()
	}

	fn outputs(&self) -> &[Port] {
		self.inner.outputs()
	}

	fn run(
		&mut self,
		inputs: &[(&str, &Tensor)],
		outputs: &[&str],
		stop: &Stop,
	) -> Result<Vec<Tensor>, Error> {
		let start = Instant::now();
		let result = self.inner.run(inputs, outputs, stop);
		let spent = start.elapsed().as_nanos() as u64;
		self.inside.0.fetch_add(spent, Relaxed);
		result
	}
}
