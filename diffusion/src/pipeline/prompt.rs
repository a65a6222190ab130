//! Prompts to what the UNet reads: token embeddings, and for Stable Diffusion XL one of the whole.

use super::{
	finite,
	stage::{Role, Stage, Turn},
	Options,
};
use crate::{
	backend::Tensor,
	text::{self, Chunk, Tokenizer},
	Error, Stop,
};

/// A prompt as the text encoders give it.
#[derive(Clone)]
pub(super) struct Embedding {
	/// Tokens and width.
	pub(super) tokens: usize,
	pub(super) width: usize,
	/// A row of numbers for each token.
	pub(super) numbers: Vec<f32>,
	/// One row for the whole prompt; empty where the model has none.
	pub(super) pooled: Vec<f32>,
}

impl Embedding {
	fn zeros(&self) -> Self {
		Self {
			numbers: vec![0.0; self.numbers.len()],
			pooled: vec![0.0; self.pooled.len()],
			..self.clone()
		}
	}
}

/// A text encoder with its tokenizer.
pub(super) struct Encoder {
	tokenizer: Tokenizer,
	stage: Stage,
	/// The names of the hidden states' outputs, the input's first; empty if the graph has none.
	hidden: Vec<String>,
	/// Scale and shift of the normalisation after the last layer, once they were needed.
	normalisation: Option<Vec<(f64, f64)>>,
}

/// What an encoder made of a prompt's chunks.
struct Encoded {
	width: usize,
	/// A row for each token of all chunks.
	numbers: Vec<f32>,
	/// Of the first chunk.
	pooled: Vec<f32>,
}

impl Encoder {
	pub(super) fn new(tokenizer: Tokenizer, stage: Stage) -> Self {
		let hidden = (0..)
			.map(|layer| format!("hidden_states.{layer}"))
			.take_while(|name| stage.output_names().any(|output| output == name))
			.collect();
		Self {
			tokenizer,
			stage,
			hidden,
			normalisation: None,
		}
	}

	/// A prompt's tokens, in chunks of the encoder's length.
	fn chunks(&self, prompt: &str, options: &Options) -> Result<Vec<Chunk>, Error> {
		let parts = if options.weighting {
			text::weights(prompt)
		} else {
			vec![(prompt.to_owned(), 1.0)]
		};
		let mut chunks = self.tokenizer.chunks(&parts)?;
		if !options.long_prompts && chunks.len() > 1 {
			let cut: usize = chunks[1..].iter().map(|chunk| chunk.words).sum();
			tracing::warn!(cut, "the prompt is too long for the model; its end is cut");
			chunks.truncate(1);
		}
		Ok(chunks)
	}

	/// One run for a chunk: the hidden state that the UNet reads, and the pooled one if `pooled`.
	fn encode(
		&mut self,
		chunks: &[Chunk],
		xl: bool,
		pooled: bool,
		clip_skip: u8,
		stop: &Stop,
	) -> Result<Encoded, Error> {
		// Stable Diffusion XL reads the layer before the last, without the normalisation after it.
		let back = usize::from(clip_skip) + usize::from(xl);
		let names = self.outputs(back, pooled, xl)?;
		let normalise = back > 0 && !xl;
		if normalise && self.normalisation.is_none() {
			self.normalisation = Some(self.find_normalisation(stop)?);
		}
		let mut encoded = Encoded {
			width: 0,
			numbers: Vec::new(),
			pooled: Vec::new(),
		};
		for (index, chunk) in chunks.iter().enumerate() {
			let shape = [1, chunk.ids.len()];
			let ids = Tensor::from_ids(self.stage.element(Role::Main), &shape, &chunk.ids);
			let names: Vec<&str> = names.iter().map(String::as_str).collect();
			let mut outputs = self
				.stage
				.run(&[(Role::Main, &ids)], &names, Turn::Between, stop)?
				.into_iter();
			let hidden = outputs.next().filter(|hidden| {
				hidden.shape.len() == 3 && hidden.shape[..2] == shape && hidden.shape[2] > 0
			});
			let hidden = hidden.ok_or_else(|| {
				self.stage
					.unusable("its output has not the shape of its prompt")
			})?;
			encoded.width = hidden.shape[2];
			let mut numbers = hidden.into_floats();
			if let (true, Some(scales)) = (normalise, &self.normalisation) {
				numbers
					.chunks_exact_mut(scales.len())
					.for_each(|row| normalised(row, scales));
			}
			weigh(&mut numbers, chunk, encoded.width);
			encoded.numbers.extend(numbers);
			if let (0, Some(pooled)) = (index, outputs.next()) {
				encoded.pooled = pooled.into_floats();
			}
		}
		finite(&encoded.numbers, || "the text encoder".into())?;
		finite(&encoded.pooled, || "the text encoder".into())?;
		Ok(encoded)
	}

	/// The outputs to ask for.
	fn outputs(&self, back: usize, pooled: bool, xl: bool) -> Result<Vec<String>, Error> {
		let hidden = if back == 0 {
			self.stage
				.output_or_first(&["last_hidden_state", "hidden_states"])
		} else {
			let layer = self.hidden.len().checked_sub(back + 1);
			let Some(layer) = layer else {
				return Err(if self.hidden.is_empty() && xl {
					self.stage.unusable(
						"lacks the outputs hidden_states.N that Stable Diffusion XL reads",
					)
				} else {
					Error::request(
						"clip_skip",
						format!(
							"the text encoder shows {} of its layers; export it with hidden states",
							self.hidden.len()
						),
					)
				});
			};
			self.hidden[layer].clone()
		};
		let mut names = vec![hidden];
		if pooled {
			let name = self.stage.output(&["text_embeds"]);
			names.push(name.ok_or_else(|| self.stage.unusable("lacks the output text_embeds"))?);
		}
		Ok(names)
	}

	/// Scale and shift of the normalisation after the last layer. The graph does not tell them, but
	/// shows what goes in and what comes out: a line through the points of all tokens, channel by
	/// channel.
	fn find_normalisation(&mut self, stop: &Stop) -> Result<Vec<(f64, f64)>, Error> {
		// Words that are all different, so that no channel is the same at every place.
		const WORDS: &str = "a b c d e f g h i j k l m n o p q r s t u v w x y z";
		let (Some(before), Some(after)) = (
			self.hidden.last().cloned(),
			self.stage.output(&["last_hidden_state"]),
		) else {
			return Err(Error::request(
				"clip_skip",
				"this text encoder shows no layers",
			));
		};
		let chunks = self.tokenizer.chunks(&[(WORDS.into(), 1.0)])?;
		let shape = [1, chunks[0].ids.len()];
		let ids = Tensor::from_ids(self.stage.element(Role::Main), &shape, &chunks[0].ids);
		let outputs = self.stage.run(
			&[(Role::Main, &ids)],
			&[&before, &after],
			Turn::Between,
			stop,
		)?;
		let [before, after] = outputs.try_into().map_err(|_| {
			self.stage
				.unusable("gave other outputs than it was asked for")
		})?;
		let width = before.shape.last().copied().unwrap_or(0);
		if width == 0 || before.shape != after.shape {
			return Err(self.stage.unusable("its layers differ in shape"));
		}
		let plain = vec![(1.0, 0.0); width];
		let mut input = before.into_floats();
		input
			.chunks_exact_mut(width)
			.for_each(|row| normalised(row, &plain));
		let output = after.into_floats();
		Ok((0..width)
			.map(|channel| {
				let column = |numbers: &[f32]| -> Vec<f64> {
					let column = numbers.iter().skip(channel).step_by(width);
					column.copied().map(f64::from).collect()
				};
				line_through(&column(&input), &column(&output))
			})
			.collect())
	}
}

/// Slope and height of the line through points, by least squares; flat where they have all one x.
fn line_through(x: &[f64], y: &[f64]) -> (f64, f64) {
	let count = x.len() as f64;
	let (mean_x, mean_y) = (x.iter().sum::<f64>() / count, y.iter().sum::<f64>() / count);
	let both: f64 = x
		.iter()
		.zip(y)
		.map(|(x, y)| (x - mean_x) * (y - mean_y))
		.sum();
	let square: f64 = x.iter().map(|x| (x - mean_x) * (x - mean_x)).sum();
	let slope = if square > 0.0 { both / square } else { 0.0 };
	(slope, mean_y - slope * mean_x)
}

/// Layer normalisation of a row.
fn normalised(row: &mut [f32], scales: &[(f64, f64)]) {
	/// CLIP's.
	const EPSILON: f64 = 1e-5;
	let count = row.len() as f64;
	let mean = row.iter().copied().map(f64::from).sum::<f64>() / count;
	let variance = row
		.iter()
		.map(|&x| (f64::from(x) - mean) * (f64::from(x) - mean))
		.sum::<f64>()
		/ count;
	let deviation = (variance + EPSILON).sqrt();
	for (number, (scale, shift)) in row.iter_mut().zip(scales) {
		*number = ((f64::from(*number) - mean) / deviation * scale + shift) as f32;
	}
}

/// Multiplies each token's row by its weight, and all of them so that their mean stays what it was.
fn weigh(numbers: &mut [f32], chunk: &Chunk, width: usize) {
	if chunk.weights.iter().all(|weight| *weight == 1.0) {
		return;
	}
	let mean = |numbers: &[f32]| -> f64 {
		numbers.iter().copied().map(f64::from).sum::<f64>() / numbers.len() as f64
	};
	let before = mean(numbers);
	for (row, weight) in numbers.chunks_exact_mut(width).zip(&chunk.weights) {
		row.iter_mut().for_each(|number| *number *= weight);
	}
	let after = mean(numbers);
	let ratio = before / after;
	// A mean near 0 says nothing: then the weights alone stand.
	if ratio.is_finite() && (0.1..=10.0).contains(&ratio) {
		let ratio = ratio as f32;
		numbers.iter_mut().for_each(|number| *number *= ratio);
	}
}

/// The text encoders of a pipeline: one, or Stable Diffusion XL's two.
pub(super) struct Prompts {
	pub(super) encoders: Vec<Encoder>,
	/// Whether an empty negative prompt is zeros, instead of an empty text's embedding.
	pub(super) zeros_for_empty: bool,
}

impl Prompts {
	/// The embeddings that the UNet runs on: the negative prompt's first where there is one. All have
	/// the same number of tokens.
	pub(super) fn embed(
		&mut self,
		prompt: &str,
		negative: Option<&str>,
		options: &Options,
		stop: &Stop,
	) -> Result<Vec<Embedding>, Error> {
		let zeros = self.zeros_for_empty && negative == Some("");
		let texts: Vec<&str> = negative.into_iter().chain([prompt]).collect();
		let mut chunked: Vec<Vec<Vec<Chunk>>> = Vec::new();
		for encoder in &self.encoders {
			let chunks: Result<_, _> = texts
				.iter()
				.map(|text| encoder.chunks(text, options))
				.collect();
			chunked.push(chunks?);
		}
		// The UNet takes both prompts at once, and both encoders' rows side by side.
		let most = chunked.iter().flatten().map(Vec::len).max().unwrap_or(1);
		for (encoder, texts) in self.encoders.iter().zip(&mut chunked) {
			for chunks in texts {
				chunks.resize(most, encoder.tokenizer.empty_chunk());
			}
		}
		let mut embeddings = Vec::with_capacity(texts.len());
		for text in 0..texts.len() {
			// As in diffusers, no layer of the negative prompt is left out: the prompt comes last.
			let clip_skip = if text + 1 == texts.len() {
				options.clip_skip
			} else {
				0
			};
			embeddings.push(self.embed_chunks(&chunked, text, clip_skip, stop)?);
		}
		if zeros {
			embeddings[0] = embeddings[1].zeros();
		}
		Ok(embeddings)
	}

	fn embed_chunks(
		&mut self,
		chunked: &[Vec<Vec<Chunk>>],
		text: usize,
		clip_skip: u8,
		stop: &Stop,
	) -> Result<Embedding, Error> {
		let xl = self.encoders.len() > 1;
		let last = self.encoders.len() - 1;
		let mut encoded = Vec::with_capacity(self.encoders.len());
		for (index, encoder) in self.encoders.iter_mut().enumerate() {
			let pooled = xl && index == last;
			encoded.push(encoder.encode(&chunked[index][text], xl, pooled, clip_skip, stop)?);
		}
		let tokens = encoded[0].numbers.len() / encoded[0].width;
		if encoded
			.iter()
			.any(|one| one.numbers.len() != tokens * one.width)
		{
			return Err(self.encoders[last]
				.stage
				.unusable("it reads prompts of another length than the first text encoder"));
		}
		let width = encoded.iter().map(|one| one.width).sum();
		let mut numbers = Vec::with_capacity(tokens * width);
		for token in 0..tokens {
			for one in &encoded {
				numbers.extend(&one.numbers[token * one.width..(token + 1) * one.width]);
			}
		}
		Ok(Embedding {
			tokens,
			width,
			numbers,
			pooled: encoded.pop().map(|one| one.pooled).unwrap_or_default(),
		})
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_line_is_found() {
		let x = [-1.0, 0.5, 2.0, 7.0];
		let (slope, height) = line_through(&x, &x.map(|x| 3.0 * x - 2.0));
		assert!((slope - 3.0).abs() < 1e-12 && (height + 2.0).abs() < 1e-12);
		assert_eq!(line_through(&[1.0; 4], &[5.0; 4]), (0.0, 5.0));
	}

	#[test]
	fn weights_leave_the_mean() {
		let chunk = Chunk {
			ids: vec![0; 2],
			weights: vec![1.0, 2.0],
			words: 0,
		};
		let mut numbers = vec![1.0, 3.0, 2.0, 2.0];
		weigh(&mut numbers, &chunk, 2);
		let mean: f32 = numbers.iter().sum::<f32>() / 4.0;
		assert!((mean - 2.0).abs() < 1e-6);
		assert!(numbers[2] / numbers[0] > 3.9);
	}
}
