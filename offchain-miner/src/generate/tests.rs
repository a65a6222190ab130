use super::*;
use crate::cli::{Cli, Command};
use clap::Parser;

#[test]
fn sizes_are_width_and_height() {
	assert_eq!(
		"64x128".parse(),
		Ok(Size {
			width: 64,
			height: 128
		})
	);
	for wrong in ["", "64", "64x", "x64", "0x64", "64x-1", "64x70000", "64×64"] {
		assert!(wrong.parse::<Size>().is_err(), "{wrong}");
	}
}

#[test]
fn several_pictures_have_numbers() {
	let out = Path::new("folder/picture.png");
	assert_eq!(numbered(out, 0, 1), out);
	assert_eq!(numbered(out, 1, 3), Path::new("folder/picture-2.png"));
	assert_eq!(numbered(Path::new("a.b.png"), 0, 2), Path::new("a.b-1.png"));
	assert_eq!(numbered(Path::new("bare"), 9, 10), Path::new("bare-10"));
}

fn args(line: &[&str]) -> GenerateArgs {
	let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/default/model");
	let words = [
		"offchain-miner",
		"generate",
		"a red apple",
		"--device",
		"cpu",
	];
	let words = words.into_iter().chain(["--model", model]);
	match Cli::try_parse_from(words.chain(line.iter().copied()))
		.unwrap()
		.command
	{
		Command::Generate(args) => args,
		other => panic!("{other:?}"),
	}
}

#[test]
fn what_needs_another_option_is_not_taken_alone() {
	let parse = |line: &[&str]| {
		let words = ["offchain-miner", "generate", "a fox"].iter().chain(line);
		Cli::try_parse_from(words).is_ok()
	};
	assert!(parse(&["--count", "16"]) && parse(&["--from", "a.png", "--strength", "0.5"]));
	for wrong in [
		&["--count", "0"][..],
		&["--count", "17"],
		&["--strength", "0.5"],
		&["--mask", "a.png"],
		&["--preview-every", "3"],
		&["--trajectory", "a", "--weights"],
		&["--trajectory", "a", "--from", "a.png"],
	] {
		assert!(!parse(wrong), "{wrong:?}");
	}
}

/// Runs a command line, with an `out` and more in a folder of its own.
fn generate(folder: &Path, line: &[&str]) -> anyhow::Result<()> {
	let out = folder.join("out.png");
	let out = [
		"--out",
		out.to_str().unwrap(),
		"--seed",
		"7",
		"--steps",
		"4",
	];
	let line: Vec<&str> = out.iter().chain(line).copied().collect();
	run(&args(&line), &Stop::new())
}

fn run(args: &GenerateArgs, stop: &Stop) -> anyhow::Result<()> {
	make(args, &Files::begin(args)?, &Ui::new(), stop)
}

fn names(folder: &Path) -> Vec<String> {
	let entries = fs::read_dir(folder).unwrap();
	let mut names: Vec<String> = entries
		.map(|entry| entry.unwrap().file_name().into_string().unwrap())
		.collect();
	names.sort();
	names
}

/// With the switch turned nothing is made: what is told then was known before.
#[test]
fn a_file_that_cannot_be_written_is_known_before_anything_is_made() {
	let folder = tempfile::tempdir().unwrap();
	let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
	fs::create_dir(at("is-a-folder")).unwrap();
	let stopped = Stop::new();
	stopped.stop();
	let told = |line: &[&str]| format!("{:#}", run(&args(line), &stopped).unwrap_err());
	for wrong in ["no/folder.png", "is-a-folder"] {
		let (out, wrong) = (at("out.png"), at(wrong));
		for line in [
			&["--out", &wrong][..],
			&["--out", &out, "--trajectory", &wrong],
			&["--out", &out, "--preview", &wrong],
		] {
			let error = told(line);
			assert!(error.contains(&wrong), "{line:?}: {error}");
		}
	}
	let interrupted = told(&["--out", &at("out.png"), "--count", "2"]);
	assert_eq!(interrupted, "interrupted");
	assert_eq!(names(folder.path()), ["is-a-folder"], "nothing is left");
}

#[test]
fn what_is_not_finished_goes_and_what_is_finished_stays() {
	let folder = tempfile::tempdir().unwrap();
	let out = folder.path().join("out.png");
	let args = args(&["--count", "2", "--out", out.to_str().unwrap()]);
	let files = Files::begin(&args).unwrap();
	files.pictures[0].finish(b"a picture").unwrap();
	assert_eq!(names(folder.path()), ["out-1.png", "out-2.png.part"]);
	// As at the second Ctrl-C: the thread that has them is not waited for.
	files.sweep();
	assert_eq!(names(folder.path()), ["out-1.png"]);
}

fn read(path: &Path) -> png::Decoded {
	png::decode(&fs::read(path).unwrap(), &png::Limits::default()).unwrap()
}

#[test]
fn a_plain_picture_is_a_tasks_and_others_say_what_they_are() {
	let folder = tempfile::tempdir().unwrap();
	let at = |name: &str| folder.path().join(name);
	let names = |decoded: &png::Decoded| -> Vec<String> {
		let text = decoded.info.text.iter();
		text.map(|(name, _)| name.clone()).collect()
	};
	generate(folder.path(), &[]).unwrap();
	let plain = read(&at("out.png"));
	assert!(names(&plain).contains(&"spec_hash".into()));

	// Together with others, the first is the same but for last bits; the second is another seed's.
	generate(folder.path(), &["--count", "2"]).unwrap();
	let first = read(&at("out-1.png"));
	let worst = first
		.rgb
		.iter()
		.zip(&plain.rgb)
		.map(|(a, b)| a.abs_diff(*b));
	assert!(worst.max() <= Some(1));
	assert_ne!(read(&at("out-2.png")).rgb, plain.rgb);

	let from = at("from.png");
	fs::copy(at("out.png"), &from).unwrap();
	let from = from.to_str().unwrap();
	let preview = at("preview.png");
	let preview = preview.to_str().unwrap();
	let line = ["--from", from, "--strength", "0.5", "--preview", preview];
	generate(
		folder.path(),
		&[&line[..], &["--preview-every", "1"]].concat(),
	)
	.unwrap();
	let changed = read(&at("out.png"));
	assert_ne!(changed.rgb, plain.rgb);
	let names = names(&changed);
	assert!(names.contains(&"strength".into()) && !names.contains(&"spec_hash".into()));
	assert_eq!(read(Path::new(preview)).rgb.len(), plain.rgb.len());
}

#[test]
fn what_a_mask_leaves_black_stays() {
	let folder = tempfile::tempdir().unwrap();
	let at = |name: &str| folder.path().join(name);
	let (white, half) = (vec![255; 3 * 128 * 128], |pixel: usize| pixel % 128 < 64);
	let mask: Vec<u8> = (0..128 * 128)
		.flat_map(|pixel| [if half(pixel) { 255 } else { 0 }; 3])
		.collect();
	for (name, rgb) in [("from.png", &white), ("mask.png", &mask)] {
		fs::write(at(name), png::encode_rgb(128, 128, rgb, &[]).unwrap()).unwrap();
	}
	let (from, mask) = (at("from.png"), at("mask.png"));
	let line = [
		"--from",
		from.to_str().unwrap(),
		"--mask",
		mask.to_str().unwrap(),
	];
	generate(folder.path(), &[&line[..], &["--strength", "1"]].concat()).unwrap();
	let made = read(&at("out.png")).rgb;
	let mean = |wanted: &dyn Fn(usize) -> bool| {
		let pixels = made
			.chunks_exact(3)
			.enumerate()
			.filter(|(pixel, _)| wanted(*pixel));
		let values: Vec<f64> = pixels.map(|(_, rgb)| f64::from(rgb[1])).collect();
		values.iter().sum::<f64>() / values.len() as f64
	};
	// Far from the border, where the decoder mixes both.
	let (stays, anew) = (
		mean(&|pixel| pixel % 128 >= 96),
		mean(&|pixel| pixel % 128 < 32),
	);
	assert!(stays > 250.0, "{stays}");
	assert!(anew < stays, "{anew}");
}

#[test]
fn files_that_do_not_fit_are_named() {
	let folder = tempfile::tempdir().unwrap();
	let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
	let picture =
		|side: u32| png::encode_rgb(side, side, &vec![9; 3 * (side * side) as usize], &[]);
	fs::write(at("from.png"), picture(128).unwrap()).unwrap();
	fs::write(at("small.png"), picture(64).unwrap()).unwrap();
	fs::write(at("text.png"), "no picture").unwrap();
	let told = |line: &[&str]| format!("{:#}", generate(folder.path(), line).unwrap_err());
	let error = told(&["--from", &at("missing.png")]);
	assert!(error.contains("missing.png"), "{error}");
	let error = told(&["--from", &at("text.png")]);
	assert!(
		error.contains("text.png") && error.contains("PNG"),
		"{error}"
	);
	let error = told(&["--from", &at("from.png"), "--mask", &at("small.png")]);
	assert!(
		error.contains("64x64") && error.contains("128x128"),
		"{error}"
	);
	let error = told(&["--from", &at("from.png"), "--size", "64x64"]);
	assert!(error.contains("--from is 128x128"), "{error}");
	let error = told(&["--preview", &at("no/folder.png"), "--preview-every", "1"]);
	assert!(error.contains("no/folder.png"), "{error}");
	let error = told(&["--trajectory", &at("steps"), "--count", "2"]);
	assert!(error.contains("--count"), "{error}");
}
