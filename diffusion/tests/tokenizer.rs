//! Token ids, against transformers.

mod common;

use common::{default_model, reference, reference_json};
use cuckoo_diffusion::{
	model::{ModelFolder, TokenizerConfig},
	text::Tokenizer,
};
use serde_json::Value;

fn check(tokenizer: &Tokenizer, cases: &Value) {
	let cases = cases.as_array().unwrap();
	assert!(!cases.is_empty());
	for case in cases {
		let prompt = case["prompt"].as_str().unwrap();
		let expected: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
		assert_eq!(
			tokenizer.encode(prompt).unwrap().ids,
			expected,
			"{prompt:?}"
		);
	}
}

fn clip() -> TokenizerConfig {
	TokenizerConfig {
		vocab: reference("clip_vocab.json"),
		merges: reference("clip_merges.txt"),
		length: 77,
		vocab_size: 49408,
		start: "<|startoftext|>".into(),
		end: "<|endoftext|>".into(),
		padding: "<|endoftext|>".into(),
		unknown: "<|endoftext|>".into(),
	}
}

#[test]
fn ids_are_those_of_clip() {
	check(
		&Tokenizer::load(&clip()).unwrap(),
		&reference_json("tokenizer.json")["clip"],
	);
}

#[test]
fn ids_are_those_of_the_default_model() {
	let folder = ModelFolder::open(&default_model()).unwrap();
	let tokenizer = Tokenizer::load(folder.tokenizer_config()).unwrap();
	check(
		&tokenizer,
		&reference_json("tokenizer.json")["default_model"],
	);
}

/// Stable Diffusion 2 pads with `!`, id 0.
#[test]
fn padding_is_the_models_own() {
	let tokenizer = Tokenizer::load(&TokenizerConfig {
		padding: "!".into(),
		..clip()
	})
	.unwrap();
	let ids = tokenizer.encode("a red apple").unwrap().ids;
	assert_eq!(ids[..6], [49406, 320, 736, 3055, 49407, 0]);
	assert!(ids[5..].iter().all(|id| *id == 0));
}

#[test]
fn what_does_not_fit_is_counted() {
	let tokenizer = Tokenizer::load(&clip()).unwrap();
	assert_eq!(tokenizer.encode(&"word ".repeat(75)).unwrap().cut, 0);
	assert_eq!(tokenizer.encode(&"word ".repeat(80)).unwrap().cut, 5);
}

#[test]
fn a_vocabulary_beyond_the_text_encoder_is_refused() {
	let error = Tokenizer::load(&TokenizerConfig {
		vocab_size: 1000,
		..clip()
	})
	.err()
	.unwrap();
	assert!(error.to_string().contains("1000"), "{error}");
}

#[test]
fn a_missing_special_token_is_named() {
	let config = TokenizerConfig {
		padding: "<pad>".into(),
		..clip()
	};
	let error = Tokenizer::load(&config).err().unwrap();
	assert!(error.to_string().contains("<pad>"), "{error}");
}

/// A folder whose token for unknown letters is itself unknown is at fault, not the prompt that has one.
#[test]
fn a_token_for_the_unknown_that_is_missing_is_found_when_loading() {
	let unknown = "<|nowhere|>".into();
	let config = TokenizerConfig { unknown, ..clip() };
	let error = Tokenizer::load(&config).err().unwrap().to_string();
	assert!(error.contains("lacks the token `<|nowhere|>`"), "{error}");
}
