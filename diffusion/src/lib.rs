//! Text-to-image diffusion on ONNX Runtime, driven only by a model folder.
//!
//! The engine runs pipelines in the folder layout that Hugging Face diffusers and optimum export
//! (`model_index.json`, `tokenizer/`, `text_encoder/`, `unet/`, `vae_decoder/`, `scheduler/`): what
//! runs the small model of this repository runs Stable Diffusion 1 and 2, XL, Turbo and LCM. It knows no network and no
//! chain.
//!
//! ```no_run
//! use cuckoo_diffusion::{Control, LoadOptions, ModelFolder, Pipeline, Request};
//!
//! # fn main() -> Result<(), cuckoo_diffusion::Error> {
//! let folder = ModelFolder::open("models/default/model".as_ref())?;
//! let mut pipeline = Pipeline::load(&folder, &LoadOptions::default())?;
//! let request = Request::new(&folder, "a red apple", 7);
//! let picture = pipeline.generate(&request, &mut |_progress| Control::Continue)?;
//! let file = cuckoo_diffusion::png::encode(&picture, &[("prompt", "a red apple")])?;
//! # let _ = file; Ok(())
//! # }
//! ```
//!
//! # Parts
//!
//! | module | its reason |
//! |---|---|
//! | [`runtime`] | finds and loads the ONNX Runtime library, once a process |
//! | [`fusion`] | rewrites a graph before ONNX Runtime sees it: attention that was written out becomes one node |
//! | [`backend`] | what the pipeline asks of a graph; ONNX Runtime, and an analytic stand-in for tests of the logic |
//! | [`model`] | the folder: layout, limits, identity |
//! | [`text`] | CLIP's tokenizer: a prompt to ids |
//! | [`schedulers`] | the arithmetic of the steps: DDIM, Euler, PNDM, DPM++, UniPC, LCM |
//! | [`rng`] | the noise of a seed |
//! | [`pipeline`] | requests to their pictures, and one step of one again |
//! | [`png`] | the picture to a file and back |
//!
//! # Determinism
//!
//! Noise, guidance and scheduler arithmetic are computed here, on the CPU, out of operations that
//! IEEE 754 rounds in one way only: they have the same bits on every machine. On the CPU provider a
//! request gives the same picture bit for bit, again and for any number of threads, on one kind of
//! CPU with one version of ONNX Runtime ([`Pipeline::engine_profile`] names both). Across kinds of
//! CPU and on GPUs, ONNX Runtime's kernels add up in different orders: there, results are compared
//! within a tolerance, step by step, on the [`Trajectory`].

#![deny(missing_docs)]

pub mod backend;
pub mod cuda;
mod device;
mod error;
pub mod fusion;
mod math;
pub mod model;
pub mod pipeline;
pub mod png;
pub mod rng;
pub mod runtime;
pub mod schedulers;
mod stop;
pub mod text;

pub use device::{Device, DeviceClass, InvalidDevice};
pub use error::Error;
pub use model::ModelFolder;
pub use pipeline::{
	Control, LoadOptions, Mask, Options, Picture, Pipeline, Preview, Progress, Request, Start,
	StepError, Trajectory, MAX_PROMPT_BYTES, MAX_STEPS,
};
pub use schedulers::Scheduler;
pub use stop::Stop;
