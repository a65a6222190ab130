//! Makes one picture of each of 36 prompts and lays them out on one sheet, with captions.
//!
//! `cargo run --release -p cuckoo-diffusion --example contact_sheet -- MODEL_FOLDER SHEET.png`

use cuckoo_diffusion::{
	png, Control, Device, LoadOptions, ModelFolder, Picture, Pipeline, Request, Trajectory,
};
use std::{env, error::Error, fs, path::Path};

const PROMPTS: [&str; 36] = [
	"a red apple",
	"a fox",
	"a pizza",
	"a rocket",
	"a cat face",
	"a dog",
	"a sunflower",
	"a guitar",
	"a snowman",
	"a green apple",
	"a smiling face with sunglasses",
	"a red heart",
	"a whale",
	"an octopus",
	"a hamburger",
	"a birthday cake",
	"a banana",
	"a strawberry",
	"a taxi",
	"a sailboat",
	"a volcano",
	"a house with garden",
	"a locomotive",
	"an airplane",
	"a light bulb",
	"a key",
	"an umbrella",
	"a soccer ball",
	"a trophy",
	"a tiger face",
	"a penguin",
	"a frog",
	"a mushroom",
	"a crescent moon",
	"a rainbow",
	"a blue book",
];
const COLUMNS: usize = 6;
/// Pixels of the sheet for a pixel of a picture.
const ZOOM: usize = 1;
const MARGIN: usize = 12;
const LINE: usize = GLYPH_HEIGHT + 3;
/// A long caption takes two lines.
const CAPTION: usize = 2 * LINE + 4;
const SEED: u64 = 3;

fn main() -> Result<(), Box<dyn Error>> {
	let arguments: Vec<String> = env::args().skip(1).collect();
	let [model, output] = &arguments[..] else {
		return Err("usage: contact_sheet MODEL_FOLDER SHEET.png".into());
	};
	let folder = ModelFolder::open(Path::new(model))?;
	let options = LoadOptions {
		device: Device::Cpu,
		threads: 1,
		..LoadOptions::default()
	};
	let mut pipeline = Pipeline::load(&folder, &options)?;

	let cell = usize::from(folder.default_size()) * ZOOM + MARGIN;
	let rows = PROMPTS.len().div_ceil(COLUMNS);
	let mut sheet = Sheet::white(COLUMNS * cell, rows * (cell + CAPTION));
	for (index, prompt) in PROMPTS.iter().enumerate() {
		let request = Request::new(&folder, *prompt, SEED);
		let picture = pipeline.generate(&request, &mut |_| Control::Continue)?;
		let (left, top) = (index % COLUMNS * cell, index / COLUMNS * (cell + CAPTION));
		sheet.picture(left + MARGIN / 2, top + MARGIN / 2, &picture);
		sheet.caption(left, top + cell, cell, prompt);
	}
	let text = [
		("Software", pipeline.engine_profile()),
		("Title", folder.name()),
	];
	fs::write(output, png::encode(&sheet.into_picture(), &text)?)?;
	Ok(())
}

struct Sheet {
	width: usize,
	rgb: Vec<u8>,
}

impl Sheet {
	fn white(width: usize, height: usize) -> Self {
		Self {
			width,
			rgb: vec![255; width * height * 3],
		}
	}

	fn set(&mut self, x: usize, y: usize, colour: [u8; 3]) {
		let start = (y * self.width + x) * 3;
		self.rgb[start..start + 3].copy_from_slice(&colour);
	}

	fn picture(&mut self, left: usize, top: usize, picture: &Picture) {
		let (width, height) = (picture.width as usize, picture.height as usize);
		for y in 0..height * ZOOM {
			for x in 0..width * ZOOM {
				let pixel = (y / ZOOM * width + x / ZOOM) * 3;
				let colour = [
					picture.rgb[pixel],
					picture.rgb[pixel + 1],
					picture.rgb[pixel + 2],
				];
				self.set(left + x, top + y, colour);
			}
		}
	}

	/// Words, as many a line as fit, each line in the middle.
	fn caption(&mut self, left: usize, top: usize, width: usize, text: &str) {
		let mut lines = vec![String::new()];
		for word in text.split(' ') {
			let last = lines.len() - 1;
			if lines[last].is_empty() {
				lines[last] = word.into();
			} else if (lines[last].len() + 1 + word.len()) * ADVANCE <= width {
				lines[last] = format!("{} {word}", lines[last]);
			} else {
				lines.push(word.into());
			}
		}
		for (number, line) in lines.iter().enumerate() {
			let start = left + (width - line.len() * ADVANCE) / 2;
			for (place, letter) in line.bytes().enumerate() {
				self.letter(start + place * ADVANCE, top + number * LINE, letter);
			}
		}
	}

	fn letter(&mut self, left: usize, top: usize, letter: u8) {
		let Some(glyph) = letter
			.checked_sub(b'a')
			.and_then(|n| FONT.get(usize::from(n)))
		else {
			return;
		};
		for (y, row) in glyph.iter().enumerate() {
			for x in 0..GLYPH_WIDTH {
				if row >> (GLYPH_WIDTH - 1 - x) & 1 == 1 {
					self.set(left + x, top + y, [64; 3]);
				}
			}
		}
	}

	fn into_picture(self) -> Picture {
		let height = self.rgb.len() / 3 / self.width;
		Picture {
			width: self.width as u32,
			height: height as u32,
			rgb: self.rgb,
			trajectory: Trajectory { leaves: Vec::new() },
		}
	}
}

const GLYPH_WIDTH: usize = 5;
const GLYPH_HEIGHT: usize = 9;
const ADVANCE: usize = GLYPH_WIDTH + 1;

/// a to z; seven rows and two below the line, five bits a row.
#[rustfmt::skip]
const FONT: [[u8; GLYPH_HEIGHT]; 26] = [
	[0, 0, 14, 1, 15, 17, 15, 0, 0],
	[16, 16, 22, 25, 17, 17, 30, 0, 0],
	[0, 0, 14, 16, 16, 17, 14, 0, 0],
	[1, 1, 13, 19, 17, 17, 15, 0, 0],
	[0, 0, 14, 17, 31, 16, 14, 0, 0],
	[6, 9, 8, 28, 8, 8, 8, 0, 0],
	[0, 0, 15, 17, 17, 17, 15, 1, 14],
	[16, 16, 22, 25, 17, 17, 17, 0, 0],
	[4, 0, 12, 4, 4, 4, 14, 0, 0],
	[2, 0, 6, 2, 2, 2, 2, 18, 12],
	[16, 16, 18, 20, 24, 20, 18, 0, 0],
	[12, 4, 4, 4, 4, 4, 14, 0, 0],
	[0, 0, 26, 21, 21, 17, 17, 0, 0],
	[0, 0, 22, 25, 17, 17, 17, 0, 0],
	[0, 0, 14, 17, 17, 17, 14, 0, 0],
	[0, 0, 30, 17, 17, 17, 30, 16, 16],
	[0, 0, 15, 17, 17, 17, 15, 1, 1],
	[0, 0, 22, 25, 16, 16, 16, 0, 0],
	[0, 0, 14, 16, 14, 1, 30, 0, 0],
	[8, 8, 28, 8, 8, 9, 6, 0, 0],
	[0, 0, 17, 17, 17, 19, 13, 0, 0],
	[0, 0, 17, 17, 17, 10, 4, 0, 0],
	[0, 0, 17, 17, 21, 21, 10, 0, 0],
	[0, 0, 17, 10, 4, 10, 17, 0, 0],
	[0, 0, 17, 17, 17, 17, 15, 1, 14],
	[0, 0, 31, 2, 4, 8, 31, 0, 0],
];
