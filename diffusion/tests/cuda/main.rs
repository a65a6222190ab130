//! The engine on ONNX Runtime's CUDA provider, with stand-ins for NVIDIA's libraries: see standin.c.
//!
//! `scripts/test cuda` makes them and runs these. Pictures show nothing there, since kernels compute
//! nothing.

#[path = "../common/mod.rs"]
mod common;

use common::{default_model, family};
use cuckoo_diffusion::{
	Control, Device, Error, LoadOptions, ModelFolder, Picture, Pipeline, Request, Stop,
};
use libloading::{Library, Symbol};
use std::{
	ffi::c_longlong,
	sync::{Mutex, MutexGuard, PoisonError},
};

const STEPS: u16 = 4;
/// The GPU that one test loses; the others use the first.
const OTHER: u32 = 1;

/// The stand-in GPUs, for one test at a time.
struct Gpus {
	library: Library,
	_turn: MutexGuard<'static, ()>,
}

impl Gpus {
	#[allow(unsafe_code)]
	fn new() -> Self {
		static TURN: Mutex<()> = Mutex::new(());
		let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
		// SAFETY: its initialisers do nothing.
		let library = unsafe { Library::new("libcudart.so.13") };
		let gpus = Self {
			library: library.expect("the stand-ins: run scripts/test cuda"),
			_turn: turn,
		};
		gpus.has_memory(16 << 30);
		gpus
	}

	#[allow(unsafe_code)]
	fn count(&self, name: &str) -> i64 {
		// SAFETY: as standin.c has it.
		unsafe {
			let function: Symbol<unsafe extern "C" fn() -> c_longlong> =
				self.library.get(name).expect("the stand-in's function");
			function()
		}
	}

	/// Bytes of a GPU that are in use.
	#[allow(unsafe_code)]
	fn used(&self, device: u32) -> usize {
		// SAFETY: as standin.c has it.
		unsafe {
			let function: Symbol<unsafe extern "C" fn(i32) -> usize> = self
				.library
				.get("standin_used")
				.expect("the stand-in's function");
			function(device as i32)
		}
	}

	#[allow(unsafe_code)]
	fn has_memory(&self, bytes: usize) {
		// SAFETY: as standin.c has it.
		unsafe {
			let function: Symbol<unsafe extern "C" fn(usize)> = self
				.library
				.get("standin_memory")
				.expect("the stand-in's function");
			function(bytes);
		}
	}

	/// Loses a GPU at so many further kernels.
	#[allow(unsafe_code)]
	fn lose_after(&self, device: u32, kernels: i64) {
		// SAFETY: as standin.c has it.
		unsafe {
			let function: Symbol<unsafe extern "C" fn(i32, c_longlong)> = self
				.library
				.get("standin_lose_after")
				.expect("the stand-in's function");
			function(device as i32, kernels);
		}
	}

	/// Steps that were recorded, and how often recordings ran.
	fn recorded(&self) -> (i64, i64) {
		(
			self.count("standin_recordings"),
			self.count("standin_replays"),
		)
	}
}

fn on(device: u32) -> LoadOptions {
	LoadOptions {
		device: Device::Cuda(device),
		..LoadOptions::default()
	}
}

fn recording() -> LoadOptions {
	LoadOptions {
		cuda_graphs: true,
		..on(0)
	}
}

fn default_folder() -> ModelFolder {
	ModelFolder::open(&default_model()).unwrap()
}

fn request(folder: &ModelFolder) -> Request {
	Request {
		steps: STEPS,
		..Request::new(folder, "a red apple", 7)
	}
}

fn paint(pipeline: &mut Pipeline, request: &Request) -> Result<Picture, Error> {
	pipeline.generate(request, &mut |_| Control::Continue)
}

#[test]
#[ignore = "needs stand-ins for NVIDIA's libraries: scripts/test cuda"]
fn each_family_runs_and_its_memory_is_given_back() {
	let gpus = Gpus::new();
	let before = gpus.used(0);
	let families = ["sd2", "sdxl", "lcm", "fp16"].map(|name| family(name, None));
	let folders = families
		.iter()
		.map(|it| ModelFolder::open(it.path()).unwrap());
	for folder in folders.chain([default_folder()]) {
		let mut pipeline = Pipeline::load(&folder, &on(0)).unwrap();
		assert_eq!(pipeline.device_name(), "Stand-in");
		let profile = pipeline.engine_profile();
		assert!(profile.contains("cuda sm_90 cudnn 91900 "), "{profile}");
		assert!(gpus.used(0) > before, "no weights on the GPU");
		let kernels = gpus.count("standin_launches");
		paint(&mut pipeline, &request(&folder)).unwrap();
		assert!(gpus.count("standin_launches") > kernels);
		// What goes in stays there for the next picture; what work takes does not.
		let painted = gpus.used(0);
		for _ in 0..3 {
			paint(&mut pipeline, &request(&folder)).unwrap();
			assert!(gpus.used(0) <= painted, "{}", folder.name());
		}
		drop(pipeline);
		assert_eq!(gpus.used(0), before, "{}", folder.name());
	}
}

/// All nodes of a step run on the GPU, or it could not be recorded; and for each there is a kernel.
#[test]
#[ignore = "needs stand-ins for NVIDIA's libraries: scripts/test cuda"]
fn the_steps_of_each_family_are_recorded_once_and_replayed() {
	let gpus = Gpus::new();
	let families = ["sd2", "sdxl", "lcm", "fp16"].map(|name| family(name, None));
	let folders = families
		.iter()
		.map(|it| ModelFolder::open(it.path()).unwrap());
	for folder in folders.chain([default_folder()]) {
		let mut pipeline = Pipeline::load(&folder, &recording()).unwrap();
		let before = gpus.recorded();
		// The first step of these shapes shows what comes out; the second is recorded and replayed.
		paint(&mut pipeline, &request(&folder)).unwrap();
		paint(&mut pipeline, &request(&folder)).unwrap();
		let (recordings, replays) = gpus.recorded();
		assert!(recordings - before.0 <= 1, "{}", folder.name());
		let steps = 2 * i64::from(STEPS);
		assert!(replays - before.1 >= steps - 1, "{}", folder.name());
	}
}

#[test]
#[ignore = "needs stand-ins for NVIDIA's libraries: scripts/test cuda"]
fn a_recording_is_let_go_of_before_another_run() {
	let gpus = Gpus::new();
	let folder = default_folder();
	let mut pipeline = Pipeline::load(&folder, &recording()).unwrap();
	let guided = request(&folder);
	let plain = Request {
		guidance: 1.0,
		..guided.clone()
	};
	// Two samples a step, then one, then two again: each change is a recording of its own.
	let guided = Request {
		guidance: 3.0,
		..guided
	};
	paint(&mut pipeline, &guided).unwrap();
	let (first, _) = gpus.recorded();
	paint(&mut pipeline, &plain).unwrap();
	paint(&mut pipeline, &guided).unwrap();
	assert_eq!(gpus.recorded().0, first + 2);
	// They are bounded; then steps run one by one.
	for _ in 0..10 {
		paint(&mut pipeline, &plain).unwrap();
		paint(&mut pipeline, &guided).unwrap();
	}
	let (all, replays) = gpus.recorded();
	assert!(all <= first + 8, "{all}");
	let kernels = gpus.count("standin_launches");
	paint(&mut pipeline, &plain).unwrap();
	assert_eq!(gpus.recorded(), (all, replays));
	assert!(gpus.count("standin_launches") > kernels);
}

#[test]
#[ignore = "needs stand-ins for NVIDIA's libraries: scripts/test cuda"]
fn a_stop_leaves_no_half_recording() {
	let gpus = Gpus::new();
	let folder = default_folder();
	let mut pipeline = Pipeline::load(&folder, &recording()).unwrap();
	let stop = Stop::new();
	let told = stop.clone();
	let stopped = pipeline.generate_until(&request(&folder), &stop, &mut |progress| {
		if progress.step == 2 {
			told.stop();
		}
		Control::Continue
	});
	assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
	let (before, _) = gpus.recorded();
	paint(&mut pipeline, &request(&folder)).unwrap();
	let (after, _) = gpus.recorded();
	assert!(after <= before + 1);
}

/// As when two tasks follow one another on two threads.
#[test]
#[ignore = "needs stand-ins for NVIDIA's libraries: scripts/test cuda"]
fn another_thread_does_not_replay_what_this_one_recorded() {
	let gpus = Gpus::new();
	let folder = default_folder();
	let mut pipeline = Pipeline::load(&folder, &recording()).unwrap();
	paint(&mut pipeline, &request(&folder)).unwrap();
	let (before, _) = gpus.recorded();
	let painted = std::thread::scope(|scope| {
		let painting = scope.spawn(|| paint(&mut pipeline, &request(&folder)));
		painting.join().unwrap()
	});
	painted.unwrap();
	assert_eq!(gpus.recorded().0, before + 1);
}

/// While one records, the other takes and frees memory.
#[test]
#[ignore = "needs stand-ins for NVIDIA's libraries: scripts/test cuda"]
fn two_slots_record_at_the_same_time() {
	let gpus = Gpus::new();
	let folder = default_folder();
	let (before, _) = gpus.recorded();
	let work = || {
		for _ in 0..3 {
			let mut pipeline = Pipeline::load(&folder, &recording()).unwrap();
			for guidance in [1.0, 3.0, 1.0, 3.0] {
				let request = Request {
					guidance,
					..request(&folder)
				};
				paint(&mut pipeline, &request).unwrap();
			}
		}
	};
	std::thread::scope(|scope| {
		scope.spawn(work);
		work();
	});
	assert_eq!(gpus.recorded().0, before + 2 * 3 * 4);
}

#[test]
#[ignore = "needs stand-ins for NVIDIA's libraries: scripts/test cuda"]
fn a_gpu_without_room_is_told_from_a_broken_one() {
	let gpus = Gpus::new();
	let folder = default_folder();
	gpus.has_memory(4 << 20);
	let error = Pipeline::load(&folder, &on(0)).err().unwrap();
	assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
	gpus.has_memory(16 << 30);
	let mut pipeline = Pipeline::load(&folder, &on(0)).unwrap();
	// Enough for the weights and nothing else.
	gpus.has_memory(gpus.used(0));
	let error = paint(&mut pipeline, &request(&folder)).unwrap_err();
	assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
	gpus.has_memory(16 << 30);
	paint(&mut pipeline, &request(&folder)).unwrap();
}

#[test]
#[ignore = "needs stand-ins for NVIDIA's libraries: scripts/test cuda"]
fn a_limit_below_the_weights_is_refused() {
	let gpus = Gpus::new();
	let folder = default_folder();
	let limited = |gpu_memory_limit| {
		let options = LoadOptions {
			gpu_memory_limit: Some(gpu_memory_limit),
			..on(0)
		};
		Pipeline::load(&folder, &options)
	};
	let error = limited(1 << 20).err().unwrap();
	assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
	let mut pipeline = limited(256 << 20).unwrap();
	paint(&mut pipeline, &request(&folder)).unwrap();
	assert!(gpus.used(0) < 3 * (256 << 20));
}

/// Without ending the process, which is what ONNX Runtime does where it may not free memory.
#[test]
#[ignore = "needs stand-ins for NVIDIA's libraries: scripts/test cuda"]
fn a_lost_gpu_is_used_no_more_and_the_other_goes_on() {
	let gpus = Gpus::new();
	let folder = default_folder();
	let mut lost = Pipeline::load(&folder, &on(OTHER)).unwrap();
	let mut well = Pipeline::load(&folder, &on(0)).unwrap();
	// Within a step.
	gpus.lose_after(OTHER, 300);
	let error = paint(&mut lost, &request(&folder)).unwrap_err();
	assert!(
		matches!(
			&error,
			Error::Device {
				device: Device::Cuda(OTHER),
				..
			}
		),
		"{error}"
	);
	assert!(
		error.to_string().contains("start the program again"),
		"{error}"
	);
	drop(lost);
	let error = Pipeline::load(&folder, &on(OTHER)).err().unwrap();
	assert!(
		error.to_string().contains("illegal memory access"),
		"{error}"
	);
	paint(&mut well, &request(&folder)).unwrap();
	drop(well);
	Pipeline::load(&folder, &on(0)).unwrap();
}

#[test]
#[ignore = "needs stand-ins for NVIDIA's libraries: scripts/test cuda"]
fn a_gpu_that_is_not_there_is_named() {
	let _gpus = Gpus::new();
	let error = Pipeline::load(&default_folder(), &on(7)).err().unwrap();
	assert!(error.to_string().contains("there is no GPU 7"), "{error}");
}
