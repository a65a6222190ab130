//! CLIP's tokenizer: a prompt to the ids that the text encoder reads.
//!
//! Built of the folder's `vocab.json` and `merges.txt` the way transformers builds its
//! `CLIPTokenizerFast`, and equal to it id for id (`reference/tokenizer.json` holds its answers).

use crate::{model::TokenizerConfig, Error};
use tokenizers::{
	models::bpe::BPE,
	normalizers::{replace::ReplacePattern, Lowercase, Replace, Sequence, NFC},
	pre_tokenizers::{
		byte_level::ByteLevel,
		sequence::Sequence as PreSequence,
		split::{Split, SplitPattern},
	},
	AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior,
};

/// How CLIP cuts a text into words.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
const END_OF_WORD: &str = "</w>";
/// Words that the tokenizer remembers; bounds its memory in a process that runs for months.
const CACHED_WORDS: usize = 4096;

/// Turns prompts into ids.
pub struct Tokenizer {
	inner: tokenizers::Tokenizer,
	length: usize,
	start: u32,
	end: u32,
	padding: u32,
}

/// A prompt's ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tokens {
	/// Start, prompt, end, padding: always as many as the model's length.
	pub ids: Vec<u32>,
	/// How many tokens at the prompt's end did not fit and were left out.
	pub cut: usize,
}

impl Tokenizer {
	/// Reads the tokenizer's files.
	pub fn load(config: &TokenizerConfig) -> Result<Self, Error> {
		let vocab_path = &config.vocab;
		let text = |path: &std::path::Path| {
			path.to_str()
				.map(str::to_owned)
				.ok_or_else(|| Error::model(path, "has a path that is not UTF-8; rename it"))
		};
		let damaged = |error: tokenizers::Error| {
			Error::model(
				vocab_path,
				format!("and merges.txt make no tokenizer: {error}"),
			)
		};
		let (vocab, merges) =
			BPE::read_file(&text(vocab_path)?, &text(&config.merges)?).map_err(damaged)?;
		if vocab.values().any(|id| *id as usize >= config.vocab_size) {
			let problem = format!(
				"has ids that the text encoder ({}) has not",
				config.vocab_size
			);
			return Err(Error::model(vocab_path, problem));
		}
		let model = BPE::builder()
			.vocab_and_merges(vocab, merges)
			.end_of_word_suffix(END_OF_WORD.into())
			.unk_token(config.unknown.clone())
			.cache_capacity(CACHED_WORDS)
			.build()
			.map_err(damaged)?;
		let mut inner = tokenizers::Tokenizer::new(model);

		let whitespace =
			Replace::new(ReplacePattern::Regex(r"\s+".into()), " ").map_err(damaged)?;
		inner.with_normalizer(Some(Sequence::new(vec![
			NormalizerWrapper::NFC(NFC),
			NormalizerWrapper::Replace(whitespace),
			NormalizerWrapper::Lowercase(Lowercase),
		])));
		let words = SplitPattern::Regex(WORDS.into());
		let words = Split::new(words, SplitDelimiterBehavior::Removed, true).map_err(damaged)?;
		inner.with_pre_tokenizer(Some(PreSequence::new(vec![
			PreTokenizerWrapper::Split(words),
			PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true)),
		])));

		let id = |token: &str| {
			let missing = || Error::model(vocab_path, format!("lacks the token `{token}`"));
			inner.token_to_id(token).ok_or_else(missing)
		};
		let (start, end, padding) = (id(&config.start)?, id(&config.end)?, id(&config.padding)?);
		// Else only a prompt that needs it would show that it is missing.
		id(&config.unknown)?;
		// A prompt that spells them out gets them whole, as it does from transformers: also a `!` where that
		// is what pads.
		let special = [&config.start, &config.end, &config.padding, &config.unknown]
			.map(|token| AddedToken::from(token.clone(), true));
		inner.add_special_tokens(&special);
		Ok(Self {
			inner,
			length: config.length,
			start,
			end,
			padding,
		})
	}

	/// The ids of a prompt. What does not fit is cut, as CLIP was trained.
	pub fn encode(&self, prompt: &str) -> Result<Tokens, Error> {
		let mut chunks = self.chunks(&[(prompt.to_owned(), 1.0)])?.into_iter();
		let ids = chunks.next().map(|chunk| chunk.ids).unwrap_or_default();
		Ok(Tokens {
			ids,
			cut: chunks.map(|chunk| chunk.words).sum(),
		})
	}

	/// The ids of a weighted prompt, in as many chunks of the model's length as it takes: one at
	/// least.
	pub fn chunks(&self, parts: &[(String, f32)]) -> Result<Vec<Chunk>, Error> {
		const ENDS: usize = 2;
		let mut words: Vec<(u32, f32)> = Vec::new();
		for (part, weight) in parts {
			let encoding = self
				.inner
				.encode_fast(part.as_str(), false)
				.map_err(|error| Error::request("prompt", format!("cannot be read: {error}")))?;
			words.extend(encoding.get_ids().iter().map(|&id| (id, *weight)));
		}
		let room = self.length.saturating_sub(ENDS).max(1);
		let mut chunks: Vec<Chunk> = words.chunks(room).map(|words| self.chunk(words)).collect();
		if chunks.is_empty() {
			chunks.push(self.empty_chunk());
		}
		Ok(chunks)
	}

	/// The chunk of an empty prompt.
	pub fn empty_chunk(&self) -> Chunk {
		self.chunk(&[])
	}

	/// Start, words, end, padding.
	fn chunk(&self, words: &[(u32, f32)]) -> Chunk {
		let words = &words[..words.len().min(self.length.saturating_sub(2))];
		let length = self.length.max(2);
		let mut chunk = Chunk {
			ids: vec![self.start],
			weights: vec![1.0],
			words: words.len(),
		};
		chunk.ids.extend(words.iter().map(|(id, _)| id));
		chunk.weights.extend(words.iter().map(|(_, weight)| weight));
		chunk.ids.push(self.end);
		chunk.ids.resize(length, self.padding);
		chunk.weights.resize(length, 1.0);
		chunk
	}

	/// The length of every answer, in tokens.
	pub fn length(&self) -> usize {
		self.length
	}
}

/// Ids for one run of the text encoder.
#[derive(Clone, PartialEq, Debug)]
pub struct Chunk {
	/// Start, words, end, padding: always as many as the model's length.
	pub ids: Vec<u32>,
	/// How much each counts.
	pub weights: Vec<f32>,
	/// How many of them are the prompt's own.
	pub words: usize,
}

/// Weights that are taken; others are brought to the nearest.
const WEIGHTS: std::ops::RangeInclusive<f32> = 0.0..=10.0;

/// A prompt's parts with their weights, by the notation that Stable Diffusion's users write: `(words)`
/// counts 1.1 times, `(words:1.3)` 1.3 times, `[words]` 1/1.1 times, brackets within brackets multiply,
/// and a backslash makes a bracket a mere character. What is not closed counts to the end.
pub fn weights(prompt: &str) -> Vec<(String, f32)> {
	const STEP: f32 = 1.1;
	let mut parts: Vec<(String, f32)> = Vec::new();
	// Where each open bracket's parts begin.
	let (mut round, mut square) = (Vec::new(), Vec::new());
	let mut text = String::new();
	let mut rest = prompt.chars().peekable();
	fn flush(text: &mut String, parts: &mut Vec<(String, f32)>) {
		if !text.is_empty() {
			parts.push((std::mem::take(text), 1.0));
		}
	}
	fn multiply(parts: &mut [(String, f32)], by: f32) {
		for (_, weight) in parts {
			// Infinity times 0 would be no weight.
			*weight = (*weight * by).clamp(f32::MIN, f32::MAX);
		}
	}
	while let Some(character) = rest.next() {
		match character {
			'\\' if rest.peek().is_some_and(|next| "()[]\\".contains(*next)) => {
				text.extend(rest.next());
			},
			'(' => {
				flush(&mut text, &mut parts);
				round.push(parts.len());
			},
			'[' => {
				flush(&mut text, &mut parts);
				square.push(parts.len());
			},
			')' if !round.is_empty() => {
				let explicit = text.rsplit_once(':').and_then(|(words, number)| {
					let weight: f32 = number.trim().parse().ok()?;
					weight.is_finite().then(|| (words.to_owned(), weight))
				});
				let by = explicit.map_or(STEP, |(words, weight)| {
					text = words;
					weight
				});
				flush(&mut text, &mut parts);
				let from = round.pop().unwrap_or(parts.len());
				multiply(&mut parts[from..], by);
			},
			']' if !square.is_empty() => {
				flush(&mut text, &mut parts);
				let from = square.pop().unwrap_or(parts.len());
				multiply(&mut parts[from..], 1.0 / STEP);
			},
			_ => text.push(character),
		}
	}
	flush(&mut text, &mut parts);
	for from in round {
		multiply(&mut parts[from..], STEP);
	}
	for from in square {
		multiply(&mut parts[from..], 1.0 / STEP);
	}
	for (_, weight) in &mut parts {
		*weight = weight.clamp(*WEIGHTS.start(), *WEIGHTS.end());
	}
	parts
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	#[track_caller]
	fn check(prompt: &str, expected: &[(&str, f32)]) {
		let parts = weights(prompt);
		assert_eq!(parts.len(), expected.len(), "{parts:?}");
		for ((text, weight), (expected, number)) in parts.iter().zip(expected) {
			assert_eq!(text, expected);
			assert!((weight - number).abs() < 1e-5, "{parts:?}");
		}
	}

	#[test]
	fn brackets_are_weights() {
		check("a red apple", &[("a red apple", 1.0)]);
		check("", &[]);
		check(
			"a (red) apple",
			&[("a ", 1.0), ("red", 1.1), (" apple", 1.0)],
		);
		check("(red:1.3) apple", &[("red", 1.3), (" apple", 1.0)]);
		check("((red))", &[("red", 1.21)]);
		check("[red]", &[("red", 1.0 / 1.1)]);
		check("(a [b] c:2)", &[("a ", 2.0), ("b", 2.0 / 1.1), (" c", 2.0)]);
		check("\\(red\\)", &[("(red)", 1.0)]);
		check("(red", &[("red", 1.1)]);
		check("red)", &[("red)", 1.0)]);
		check("(red:x)", &[("red:x", 1.1)]);
		check("(red:-3)", &[("red", 0.0)]);
		check("(red:1e30)", &[("red", 10.0)]);
		check("(red:nan)", &[("red:nan", 1.1)]);
		check(
			"(((red:3e38)b:9)c:0)",
			&[("red", 0.0), ("b", 0.0), ("c", 0.0)],
		);
		check("((red:100):0.01)", &[("red", 1.0)]);
		check("()", &[]);
	}

	proptest! {
		#[test]
		fn any_text_has_weights_within_the_limits(prompt in "[a-f()\\[\\]:0-9.\\\\ ]{0,60}") {
			for (_, weight) in weights(&prompt) {
				prop_assert!(WEIGHTS.contains(&weight));
			}
		}
	}
}
