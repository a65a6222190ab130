//! A diffusion whose answer is known, for tests of the pipeline's and the schedulers' logic.
//!
//! Its data distribution is a single picture x₀ for each prompt. The prediction of a perfect UNet is
//! then a formula, (x − √ᾱ·x₀)/√(1−ᾱ) for the noise, and every right scheduler arrives at x₀ exactly,
//! from any noise, in any number of steps. With guidance g it arrives at u + g·(c − u).

use super::{Backend, Element, Graph, Port, Tensor};
use crate::{
	schedulers::{alphas_cumprod, PredictionType, SchedulerConfig},
	Error, Stop,
};
use std::path::Path;

/// The backend. It computes the graphs by the name of their folder and never opens a file.
#[derive(Clone, Debug)]
pub struct Analytic {
	/// Noise schedule and prediction type of the UNet.
	pub scheduler: SchedulerConfig,
	/// Channels of the latents.
	pub channels: usize,
	/// Side of a picture over the side of its latents.
	pub vae_factor: usize,
	/// The VAE's scaling factor.
	pub scaling: f32,
	/// Element type of pictures, latents and embeddings.
	pub float: Element,
	/// Element type of the token ids.
	pub ids: Element,
	/// Element type of the timestep.
	pub timestep: Element,
	/// Whether the timestep has a dimension.
	pub timestep_is_array: bool,
	/// The UNet's batch size, where it takes only one.
	pub batch: Option<usize>,
	/// The UNet gives NaN below this timestep.
	pub nan_below: f32,
}

impl Analytic {
	/// Size of an embedding.
	const WIDTH: usize = 2;

	/// What a prompt's ids stand for.
	fn meaning(ids: &[f32]) -> f32 {
		const SPREAD: f32 = 0.01;
		ids.iter()
			.enumerate()
			.map(|(place, id)| id * SPREAD / (place + 1) as f32)
			.sum()
	}

	/// x₀ at a place of the latents, for a prompt of these ids.
	pub fn target(ids: &[u32], channel: usize, y: usize, x: usize) -> f32 {
		let ids: Vec<f32> = ids.iter().map(|&id| id as f32).collect();
		Self::target_of(Self::meaning(&ids), channel, y, x)
	}

	fn target_of(meaning: f32, channel: usize, y: usize, x: usize) -> f32 {
		meaning * (channel + 1) as f32 + 0.1 * y as f32 - 0.05 * x as f32
	}

	fn port(&self, name: &str, element: Element, shape: &[Option<usize>]) -> Port {
		Port {
			name: name.into(),
			element: Some(element),
			shape: shape.to_vec(),
		}
	}
}

impl Backend for Analytic {
	fn load(&self, path: &Path) -> Result<Box<dyn Graph>, Error> {
		let component = path
			.parent()
			.and_then(Path::file_name)
			.and_then(|name| name.to_str());
		let latents = [self.batch, Some(self.channels), None, None];
		let hidden = [self.batch, None, Some(Self::WIDTH)];
		let float = self.float;
		let (part, inputs, output) = match component {
			Some("text_encoder") => (
				Part::TextEncoder,
				vec![self.port("input_ids", self.ids, &[None, None])],
				self.port("last_hidden_state", float, &hidden),
			),
			Some("unet") => {
				let timestep: &[Option<usize>] = if self.timestep_is_array { &[None] } else { &[] };
				(
					Part::Unet,
					vec![
						self.port("sample", float, &latents),
						self.port("timestep", self.timestep, timestep),
						self.port("encoder_hidden_states", float, &hidden),
					],
					self.port("out_sample", float, &latents),
				)
			},
			Some("vae_decoder") => (
				Part::VaeDecoder,
				vec![self.port("latent_sample", float, &[None; 4])],
				self.port("sample", float, &[None; 4]),
			),
			Some("vae_encoder") => (
				Part::VaeEncoder,
				vec![self.port("sample", float, &[None; 4])],
				self.port("latent_sample", float, &[None; 4]),
			),
			_ => return Err(Error::model(path, "is no graph of the analytic backend")),
		};
		let alphas =
			alphas_cumprod(&self.scheduler).map_err(|problem| Error::model(path, problem))?;
		Ok(Box::new(AnalyticGraph {
			part,
			backend: self.clone(),
			alphas,
			inputs,
			outputs: vec![output],
		}))
	}
}

enum Part {
	TextEncoder,
	Unet,
	VaeDecoder,
	VaeEncoder,
}

struct AnalyticGraph {
	part: Part,
	backend: Analytic,
	alphas: Vec<f32>,
	inputs: Vec<Port>,
	outputs: Vec<Port>,
}

impl AnalyticGraph {
	/// ᾱ at a timestep; between two, by the line between their sigmas, as Euler's schedule has it.
	fn alpha(&self, timestep: f32) -> f32 {
		let sigma = |index: usize| {
			let alpha = self.alphas[index.min(self.alphas.len() - 1)];
			((1.0 - alpha) / alpha).sqrt()
		};
		let below = timestep.floor();
		let (low, high) = (sigma(below as usize), sigma(below as usize + 1));
		let sigma = low + (high - low) * (timestep - below);
		1.0 / (1.0 + sigma * sigma)
	}

	/// `[batch, tokens]` to `[batch, tokens, WIDTH]`, the meaning at every place.
	fn encode(&self, ids: &Tensor) -> Tensor {
		let (batch, tokens) = (ids.shape[0], ids.shape[1]);
		let numbers = ids.clone().into_floats();
		let hidden: Vec<f32> = numbers
			.chunks_exact(tokens)
			.flat_map(|ids| vec![Analytic::meaning(ids); tokens * Analytic::WIDTH])
			.collect();
		Tensor::from_floats(
			self.backend.float,
			&[batch, tokens, Analytic::WIDTH],
			&hidden,
		)
	}

	fn predict(&self, sample: &Tensor, timestep: &Tensor, hidden: &Tensor) -> Tensor {
		let [_, channels, height, width] = sample.shape[..] else {
			panic!("latents have rank 4")
		};
		let timestep = timestep.clone().into_floats()[0];
		let alpha = self.alpha(timestep);
		let (signal, noise) = (alpha.sqrt(), (1.0 - alpha).sqrt());
		let per_prompt = hidden.shape[1] * hidden.shape[2];
		let hidden = hidden.clone().into_floats();
		let mut numbers = sample.clone().into_floats();
		for (index, number) in numbers.iter_mut().enumerate() {
			let (plane, place) = (index / (height * width), index % (height * width));
			let meaning = hidden[plane / channels * per_prompt];
			let target =
				Analytic::target_of(meaning, plane % channels, place / width, place % width);
			let epsilon = (*number - signal * target) / noise;
			*number = match self.backend.scheduler.prediction_type {
				None | Some(PredictionType::Epsilon) => epsilon,
				Some(PredictionType::Sample) => target,
				Some(PredictionType::VPrediction) => signal * epsilon - noise * target,
			};
			if timestep < self.backend.nan_below {
				*number = f32::NAN;
			}
		}
		Tensor::from_floats(self.backend.float, &sample.shape, &numbers)
	}

	/// The first three channels, each number as a square of pixels.
	fn decode(&self, latents: &Tensor) -> Tensor {
		const COLOURS: usize = 3;
		let [batch, channels, height, width] = latents.shape[..] else {
			panic!("latents have rank 4")
		};
		let factor = self.backend.vae_factor;
		let numbers = latents.clone().into_floats();
		let mut pixels = Vec::new();
		for plane in 0..batch * COLOURS {
			let start = (plane / COLOURS * channels + plane % COLOURS) * height * width;
			for y in 0..height * factor {
				for x in 0..width * factor {
					let number = numbers[start + y / factor * width + x / factor];
					pixels.push(number * self.backend.scaling);
				}
			}
		}
		let shape = [batch, COLOURS, height * factor, width * factor];
		Tensor::from_floats(self.backend.float, &shape, &pixels)
	}
}

impl AnalyticGraph {
	/// The upper left pixel of each square, as the decoder's latents; other channels are 0.
	fn look(&self, picture: &Tensor) -> Tensor {
		let [batch, colours, height, width] = picture.shape[..] else {
			panic!("pictures have rank 4")
		};
		let (factor, channels) = (self.backend.vae_factor, self.backend.channels);
		let pixels = picture.clone().into_floats();
		let shape = [batch, channels, height / factor, width / factor];
		let mut numbers = Vec::new();
		for plane in 0..batch * channels {
			let (picture, channel) = (plane / channels, plane % channels);
			for y in 0..shape[2] {
				for x in 0..shape[3] {
					let pixel = (y * width + x) * factor;
					let start = (picture * colours + channel) * height * width;
					let known = channel < colours;
					let number = if known { pixels[start + pixel] } else { 0.0 };
					numbers.push(number / self.backend.scaling);
				}
			}
		}
		Tensor::from_floats(self.backend.float, &shape, &numbers)
	}
}

impl Graph for AnalyticGraph {
	fn inputs(&self) -> &[Port] {
		&self.inputs
	}

	fn outputs(&self) -> &[Port] {
		&self.outputs
	}

	fn run(
		&mut self,
		inputs: &[(&str, &Tensor)],
		outputs: &[&str],
		stop: &Stop,
	) -> Result<Vec<Tensor>, Error> {
		if stop.is_stopped() {
			return Err(Error::Cancelled);
		}
		assert_eq!(
			outputs,
			[self.outputs[0].name.as_str()],
			"there is one output"
		);
		let tensors: Vec<&Tensor> = self
			.inputs
			.iter()
			.map(|port| {
				let given = inputs.iter().find(|(name, _)| *name == port.name);
				let (_, tensor) = given.unwrap_or_else(|| panic!("{} is missing", port.name));
				assert_eq!(
					tensor.shape.len(),
					port.shape.len(),
					"rank of {}",
					port.name
				);
				for (size, allowed) in tensor.shape.iter().zip(&port.shape) {
					assert!(
						allowed.is_none_or(|allowed| allowed == *size),
						"shape of {}",
						port.name
					);
				}
				*tensor
			})
			.collect();
		Ok(vec![match self.part {
			Part::TextEncoder => self.encode(tensors[0]),
			Part::Unet => self.predict(tensors[0], tensors[1], tensors[2]),
			Part::VaeDecoder => self.decode(tensors[0]),
			Part::VaeEncoder => self.look(tensors[0]),
		}])
	}
}
