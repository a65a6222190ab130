//! The JSON files of a model folder: bounded, checked, and reduced to what the engine uses.

use crate::Error;
use serde::{de::DeserializeOwned, Deserialize};
use std::{
	fs::File,
	io::Read,
	path::{Path, PathBuf},
};

/// Larger than any configuration or vocabulary in use (CLIP's vocabulary has 862 kB).
const MAX_TEXT_BYTES: u64 = 16 << 20;
/// More channels, levels or tokens than any model has: a file that says more is damaged.
const MAX_CHANNELS: usize = 64;
const MAX_LEVELS: usize = 8;
const MAX_TOKENS: usize = 1024;

/// A small file's text.
pub(super) fn read_text(path: &Path) -> Result<String, Error> {
	let failed = |source| Error::Read {
		path: path.into(),
		source,
	};
	// A pipe would be waited for.
	if path.exists() && !path.is_file() {
		return Err(Error::model(path, "is no file"));
	}
	let mut text = String::new();
	File::open(path)
		.map_err(failed)?
		.take(MAX_TEXT_BYTES + 1)
		.read_to_string(&mut text)
		.map_err(failed)?;
	if text.len() as u64 > MAX_TEXT_BYTES {
		return Err(Error::model(
			path,
			format!("has more than {MAX_TEXT_BYTES} bytes"),
		));
	}
	Ok(text)
}

/// A JSON file's content.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
	serde_json::from_str(&read_text(path)?)
		.map_err(|error| Error::model(path, format!("not the JSON that is expected: {error}")))
}

/// A JSON file as Python writes it, which says `-Infinity` for a limit that is none. No text in such a
/// file has the word after a colon.
pub(super) fn read_python_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
	serde_json::from_str(&read_text(path)?.replace(": -Infinity", ": null"))
		.map_err(|error| Error::model(path, format!("not the JSON that is expected: {error}")))
}

/// A file that may be missing.
fn read_json_if_there<T: DeserializeOwned + Default>(path: &Path) -> Result<T, Error> {
	if path.exists() {
		read_json(path)
	} else {
		Ok(T::default())
	}
}

fn in_bounds(path: &Path, name: &str, value: usize, max: usize) -> Result<usize, Error> {
	if (1..=max).contains(&value) {
		Ok(value)
	} else {
		Err(Error::model(
			path,
			format!("{name} is {value}; it must be from 1 to {max}"),
		))
	}
}

/// `model_index.json`: only whether this is a pipeline of our kind.
#[derive(Deserialize)]
pub(super) struct ModelIndex {
	#[serde(rename = "_class_name")]
	class_name: String,
	#[serde(flatten)]
	components: serde_json::Map<String, serde_json::Value>,
}

/// Which of diffusers' pipelines a folder is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
	/// Stable Diffusion 1 and 2.
	StableDiffusion,
	/// Stable Diffusion XL.
	Xl,
	/// Latent consistency models.
	Lcm,
}

impl ModelIndex {
	/// Refuses pipelines with parts that this engine would silently leave out, or says which it is.
	pub(super) fn check(&self, root: &Path) -> Result<Kind, Error> {
		let path = root.join("model_index.json");
		// Both forms are written: `StableDiffusionPipeline`, `OnnxStableDiffusionPipeline`,
		// `ORTStableDiffusionPipeline`.
		let kinds = [
			("StableDiffusionPipeline", Kind::StableDiffusion),
			("StableDiffusionXLPipeline", Kind::Xl),
			("LatentConsistencyModelPipeline", Kind::Lcm),
		];
		let kind = kinds
			.iter()
			.find(|(name, _)| self.class_name.ends_with(name));
		// `"text_encoder_2": [null, null]` stands for a part that is not there.
		let second = self
			.components
			.get("text_encoder_2")
			.is_some_and(|part| part.get(0).is_some_and(|library| !library.is_null()));
		let set = |name: &str| self.components.get(name) == Some(&serde_json::Value::Bool(true));
		if set("requires_aesthetics_score") {
			let problem = "is of the XL refiner, which this engine does not run";
			return Err(Error::model(path, problem));
		}
		if let Some((_, kind)) = kind.filter(|(_, kind)| second == (*kind == Kind::Xl)) {
			return Ok(*kind);
		}
		let class: String = self.class_name.chars().take(80).collect();
		Err(Error::model(
			path,
			format!(
				"{class} is no pipeline that this engine runs: it runs StableDiffusionPipeline, \
				 StableDiffusionXLPipeline with two text encoders, and LatentConsistencyModelPipeline"
			),
		))
	}

	/// Whether an empty negative prompt is zeros: Stable Diffusion XL's default.
	pub(super) fn zeros_for_empty(&self, kind: Kind) -> bool {
		let said = self.components.get("force_zeros_for_empty_prompt");
		kind == Kind::Xl && said.and_then(serde_json::Value::as_bool).unwrap_or(true)
	}
}

/// What `text_encoder/config.json` says.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct TextEncoderConfig {
	/// Length of a prompt in tokens, with start, end and padding.
	pub max_position_embeddings: usize,
	/// Number of tokens.
	pub vocab_size: usize,
}

impl TextEncoderConfig {
	pub(super) fn read(root: &Path, component: &str) -> Result<Self, Error> {
		let path = root.join(component).join("config.json");
		let config: Self = read_json(&path)?;
		let tokens = config.max_position_embeddings;
		in_bounds(&path, "max_position_embeddings", tokens, MAX_TOKENS)?;
		Ok(config)
	}
}

/// How a prompt becomes ids; of the files in `tokenizer/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenizerConfig {
	/// `vocab.json`.
	pub vocab: PathBuf,
	/// `merges.txt`.
	pub merges: PathBuf,
	/// Length of a prompt in tokens, with start, end and padding.
	pub length: usize,
	/// Tokens that the text encoder knows; more are refused.
	pub vocab_size: usize,
	/// The token before the prompt.
	pub start: String,
	/// The token after the prompt.
	pub end: String,
	/// The token that fills the length.
	pub padding: String,
	/// The token for what the vocabulary lacks.
	pub unknown: String,
}

/// A token in `tokenizer_config.json` and `special_tokens_map.json`: its text, or an object with it.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Token {
	Text(String),
	Added { content: String },
}

impl From<Token> for String {
	fn from(token: Token) -> Self {
		match token {
			Token::Text(content) | Token::Added { content } => content,
		}
	}
}

#[derive(Default, Deserialize)]
struct SpecialTokens {
	bos_token: Option<Token>,
	eos_token: Option<Token>,
	pad_token: Option<Token>,
	unk_token: Option<Token>,
	/// A float in some folders: 1e30 stands for "no limit".
	model_max_length: Option<f64>,
}

impl TokenizerConfig {
	pub(super) fn read(
		root: &Path,
		component: &str,
		encoder: &TextEncoderConfig,
	) -> Result<Self, Error> {
		const START: &str = "<|startoftext|>";
		const END: &str = "<|endoftext|>";
		let folder = root.join(component);
		let config: SpecialTokens = read_json_if_there(&folder.join("tokenizer_config.json"))?;
		let map: SpecialTokens = read_json_if_there(&folder.join("special_tokens_map.json"))?;
		// As transformers does it: the map, where there is one, has the last word.
		let token = |of: fn(&SpecialTokens) -> &Option<Token>, default: &str| -> String {
			of(&map)
				.clone()
				.or_else(|| of(&config).clone())
				.map_or(default.into(), String::from)
		};
		let limit = config.model_max_length.filter(|length| *length >= 1.0);
		let length = limit.map_or(usize::MAX, |length| length as usize);
		let [vocab, merges] = ["vocab.json", "merges.txt"].map(|name| folder.join(name));
		for path in [&vocab, &merges] {
			let metadata = path.metadata().map_err(|source| Error::Read {
				path: path.clone(),
				source,
			})?;
			if metadata.len() > MAX_TEXT_BYTES {
				return Err(Error::model(
					path,
					format!("has more than {MAX_TEXT_BYTES} bytes"),
				));
			}
		}
		Ok(Self {
			vocab,
			merges,
			length: length.min(encoder.max_position_embeddings),
			vocab_size: encoder.vocab_size,
			start: token(|tokens| &tokens.bos_token, START),
			end: token(|tokens| &tokens.eos_token, END),
			padding: token(|tokens| &tokens.pad_token, END),
			unknown: token(|tokens| &tokens.unk_token, END),
		})
	}
}

/// A side, or height and width.
#[derive(Deserialize)]
#[serde(untagged)]
enum Side {
	Square(u32),
	Sides([u32; 2]),
}

#[derive(Deserialize)]
struct UnetFile {
	in_channels: usize,
	sample_size: Side,
	block_out_channels: Vec<u32>,
	time_cond_proj_dim: Option<usize>,
}

/// What `unet/config.json` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnetConfig {
	/// Channels of its input.
	pub in_channels: usize,
	/// Side of the latents that it was trained on.
	pub sample_side: u32,
	/// It halves its input until it is smaller by this factor.
	pub factor: u32,
	/// Numbers of the guidance scale's embedding, where it was distilled with one.
	pub guidance_width: Option<usize>,
}

impl UnetConfig {
	pub(super) fn read(root: &Path) -> Result<Self, Error> {
		let path = root.join("unet").join("config.json");
		let file: UnetFile = read_json(&path)?;
		let levels = in_bounds(
			&path,
			"number of levels",
			file.block_out_channels.len(),
			MAX_LEVELS,
		)?;
		let sample_side = match file.sample_size {
			Side::Square(side) => side,
			Side::Sides([height, width]) => height.min(width),
		};
		Ok(Self {
			in_channels: in_bounds(&path, "in_channels", file.in_channels, MAX_CHANNELS)?,
			sample_side,
			factor: 1 << (levels - 1),
			guidance_width: file
				.time_cond_proj_dim
				.map(|width| in_bounds(&path, "time_cond_proj_dim", width, MAX_TOKENS))
				.transpose()?,
		})
	}
}

#[derive(Deserialize)]
struct VaeFile {
	latent_channels: usize,
	block_out_channels: Vec<u32>,
	scaling_factor: Option<f32>,
	latents_mean: Option<Vec<f32>>,
	latents_std: Option<Vec<f32>>,
}

/// What `vae_decoder/config.json` says.
#[derive(Clone, PartialEq, Debug)]
pub struct VaeConfig {
	/// Channels of the latents.
	pub latent_channels: usize,
	/// A picture is larger than its latents by this factor a side.
	pub factor: u32,
	/// The decoder takes latents divided by this.
	pub scaling: f32,
	/// What each channel is multiplied with before that.
	pub deviations: Vec<f32>,
	/// What is added to each channel after that.
	pub means: Vec<f32>,
}

impl VaeConfig {
	/// Means and deviations are read by the pipelines of Stable Diffusion XL alone, and none of these reads
	/// a `shift_factor`.
	pub(super) fn read(root: &Path, kind: Kind) -> Result<Self, Error> {
		/// diffusers' default, that of Stable Diffusion 1 and 2.
		const DEFAULT_SCALING: f32 = 0.18215;
		let path = root.join("vae_decoder").join("config.json");
		let file: VaeFile = read_json(&path)?;
		let levels = in_bounds(
			&path,
			"number of levels",
			file.block_out_channels.len(),
			MAX_LEVELS,
		)?;
		let scaling = file.scaling_factor.unwrap_or(DEFAULT_SCALING);
		if !scaling.is_finite() || scaling <= 0.0 {
			return Err(Error::model(path, format!("scaling_factor is {scaling}")));
		}
		let channels = file.latent_channels;
		let latent_channels = in_bounds(&path, "latent_channels", channels, MAX_CHANNELS)?;
		let (means, deviations) = match (file.latents_mean, file.latents_std) {
			(Some(means), Some(deviations)) if kind == Kind::Xl => (means, deviations),
			_ => (vec![0.0; channels], vec![1.0; channels]),
		};
		let usable = means.iter().all(|mean| mean.is_finite())
			&& deviations.iter().all(|it| it.is_finite() && *it > 0.0);
		if !usable || means.len() != channels || deviations.len() != channels {
			let problem = format!(
				"latents_mean and latents_std must have a number for each of the {channels} channels, the \
				 latter above 0"
			);
			return Err(Error::model(path, problem));
		}
		Ok(Self {
			latent_channels,
			factor: 1 << (levels - 1),
			scaling,
			deviations,
			means,
		})
	}
}

/// `cuckoo.json`: what the layout has no place for. Optional, and so is everything in it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CuckooConfig {
	pub(super) name: Option<String>,
	pub(super) default_steps: Option<u16>,
	pub(super) default_guidance: Option<f32>,
	pub(super) max_size: Option<u16>,
}

impl CuckooConfig {
	pub(super) fn read(root: &Path) -> Result<Self, Error> {
		const MAX_NAME_BYTES: usize = 64;
		let path = root.join("cuckoo.json");
		let config: Self = read_json_if_there(&path)?;
		if config
			.name
			.as_ref()
			.is_some_and(|name| name.is_empty() || name.len() > MAX_NAME_BYTES)
		{
			return Err(Error::model(
				path,
				format!("name must have 1 to {MAX_NAME_BYTES} bytes"),
			));
		}
		if config
			.default_steps
			.is_some_and(|steps| !(1..=crate::MAX_STEPS).contains(&steps))
		{
			let problem = format!("default_steps must be from 1 to {}", crate::MAX_STEPS);
			return Err(Error::model(path, problem));
		}
		if config
			.default_guidance
			.is_some_and(|scale| !crate::pipeline::GUIDANCE.contains(&scale))
		{
			let problem = format!(
				"default_guidance must be in {:?}",
				crate::pipeline::GUIDANCE
			);
			return Err(Error::model(path, problem));
		}
		Ok(config)
	}
}
