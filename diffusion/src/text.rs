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
		// A prompt that spells them out gets them whole, as it does from transformers.
		let special =
			[&config.start, &config.end].map(|token| AddedToken::from(token.clone(), true));
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
		const ENDS: usize = 2;
		let encoding = self
			.inner
			.encode_fast(prompt, false)
			.map_err(|error| Error::request("prompt", format!("cannot be read: {error}")))?;
		let words = encoding.get_ids();
		let kept = words.len().min(self.length.saturating_sub(ENDS));
		let mut ids = Vec::with_capacity(self.length);
		ids.push(self.start);
		ids.extend(&words[..kept]);
		ids.push(self.end);
		ids.resize(self.length.max(ENDS), self.padding);
		Ok(Tokens {
			ids,
			cut: words.len() - kept,
		})
	}

	/// The length of every answer, in tokens.
	pub fn length(&self) -> usize {
		self.length
	}
}
