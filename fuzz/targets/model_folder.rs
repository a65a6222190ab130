//! A model folder in which one file is the input: its first byte says which, the rest is the content.
//! The folder is refused or opened, and a tokenizer that was read makes as many tokens as it says.
#![no_main]

use cuckoo_diffusion::{text::Tokenizer, ModelFolder};
use libfuzzer_sys::fuzz_target;
use std::{cell::OnceCell, fs, path::Path};
use tempfile::TempDir;

/// A folder that has all a model has, but empty graphs.
const FILES: [(&str, &str); 13] = [
	(
		"model_index.json",
		r#"{"_class_name":"StableDiffusionPipeline"}"#,
	),
	("scheduler/scheduler_config.json", "{}"),
	("tokenizer/vocab.json", include_str!("../seeds/vocab.json")),
	("tokenizer/merges.txt", "#version: 0.2\na b</w>\n"),
	("tokenizer/tokenizer_config.json", "{}"),
	("tokenizer/special_tokens_map.json", "{}"),
	(
		"text_encoder/config.json",
		r#"{"max_position_embeddings":8,"vocab_size":55}"#,
	),
	(
		"unet/config.json",
		r#"{"in_channels":4,"sample_size":4,"block_out_channels":[1,1]}"#,
	),
	(
		"vae_decoder/config.json",
		r#"{"latent_channels":4,"block_out_channels":[1,1,1],"scaling_factor":0.5}"#,
	),
	("cuckoo.json", r#"{"name":"small"}"#),
	("text_encoder/model.onnx", ""),
	("unet/model.onnx", ""),
	("vae_decoder/model.onnx", ""),
];

thread_local! {
	static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

fn make() -> TempDir {
	let memory = Path::new("/dev/shm");
	let folder = if memory.is_dir() {
		tempfile::tempdir_in(memory)
	} else {
		tempfile::tempdir()
	};
	let folder = folder.expect("a folder");
	for (name, content) in FILES {
		let path = folder.path().join(name);
		fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
		fs::write(path, content).expect("a file");
	}
	ModelFolder::open(folder.path()).expect("a good folder");
	folder
}

fuzz_target!(|data: &[u8]| {
	let Some((which, content)) = data.split_first() else {
		return;
	};
	FOLDER.with(|folder| {
		let root = folder.get_or_init(make).path();
		let (name, before) = FILES[usize::from(*which) % FILES.len()];
		fs::write(root.join(name), content).expect("a file");
		if let Ok(folder) = ModelFolder::open(root) {
			assert!(folder.default_size() <= folder.max_size() && folder.default_size() > 0);
			if let Ok(tokenizer) = Tokenizer::load(folder.tokenizer_config()) {
				let tokens = tokenizer.encode("a cab, 12 <|endoftext|>\u{301}");
				assert!(tokens.is_ok_and(|tokens| tokens.ids.len() == tokenizer.length().max(2)));
			}
		}
		fs::write(root.join(name), before).expect("a file");
	});
});
