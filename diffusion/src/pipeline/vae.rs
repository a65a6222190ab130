//! Latents to pictures and back.

use super::{
	finite,
	stage::{Role, Stage, Turn},
	COLOURS,
};
use crate::{backend::Tensor, math, model::VaeConfig, Error, Stop};

/// Numbers of a picture's planes, or of latents': channels, height, width.
pub(super) struct Planes {
	pub(super) height: usize,
	pub(super) width: usize,
	pub(super) numbers: Vec<f32>,
}

/// The decoder's output for some latents: red, green and blue from −1 to 1.
pub(super) fn decode(
	stage: &mut Stage,
	config: &VaeConfig,
	latents: &[f32],
	[height, width]: [usize; 2],
	turn: Turn,
	stop: &Stop,
) -> Result<Planes, Error> {
	let shape = [1, config.latent_channels, height, width];
	let unscaled: Vec<f32> = latents
		.iter()
		.enumerate()
		.map(|(index, number)| {
			let channel = index / (height * width);
			number * config.deviations[channel] / config.scaling + config.means[channel]
		})
		.collect();
	let input = Tensor::from_floats(stage.element(Role::Main), &shape, &unscaled);
	let name = stage.output_or_first(&["sample"]);
	let output = stage.run(&[(Role::Main, &input)], &[&name], turn, stop)?;
	let factor = config.factor as usize;
	let expected = [1, COLOURS, height * factor, width * factor];
	match output.into_iter().next() {
		Some(output) if output.shape == expected => {
			let numbers = output.into_floats();
			finite(&numbers, || "the VAE decoder".into())?;
			Ok(Planes {
				height: expected[2],
				width: expected[3],
				numbers,
			})
		},
		output => Err(stage.unusable(format!(
			"its output has shape {:?}, not that of a picture of {}x{}",
			output.map(|output| output.shape),
			expected[3],
			expected[2]
		))),
	}
}

/// The same in overlapping tiles of `tile` latents a side, whose edges are blended: for pictures that
/// do not fit the memory at once. As diffusers' `tiled_decode` does it.
pub(super) fn decode_tiled(
	stage: &mut Stage,
	config: &VaeConfig,
	latents: &[f32],
	[height, width]: [usize; 2],
	tile: usize,
	stop: &Stop,
) -> Result<Planes, Error> {
	/// A quarter of a tile is its neighbour's as well, in whole latents.
	const OVERLAP: usize = 4;
	let factor = config.factor as usize;
	let overlap = tile.div_ceil(OVERLAP);
	let stride = (tile - overlap).max(1);
	// Of the latents' numbers: pixels lie where the latents that they are of lay.
	let (blend, limit) = (overlap * factor, stride * factor);
	let mut rows: Vec<Vec<Planes>> = Vec::new();
	for top in (0..height).step_by(stride) {
		let mut row = Vec::new();
		for left in (0..width).step_by(stride) {
			let (bottom, right) = ((top + tile).min(height), (left + tile).min(width));
			let mut part = Vec::new();
			for channel in 0..config.latent_channels {
				for y in top..bottom {
					let start = (channel * height + y) * width;
					part.extend(&latents[start + left..start + right]);
				}
			}
			row.push(decode(
				stage,
				config,
				&part,
				[bottom - top, right - left],
				Turn::last(top + stride >= height && left + stride >= width),
				stop,
			)?);
		}
		rows.push(row);
	}
	let mut whole = Planes {
		height: height * factor,
		width: width * factor,
		numbers: vec![0.0; COLOURS * height * factor * width * factor],
	};
	for row in 0..rows.len() {
		for column in 0..rows[row].len() {
			if row > 0 {
				let (above, below) = rows.split_at_mut(row);
				blend_down(&above[row - 1][column], &mut below[0][column], blend);
			}
			if column > 0 {
				let (left, right) = rows[row].split_at_mut(column);
				blend_right(&left[column - 1], &mut right[0], blend);
			}
			place(
				&rows[row][column],
				&mut whole,
				[row * limit, column * limit],
				limit,
			);
		}
	}
	Ok(whole)
}

/// Turns the upper edge of `below` gradually from the lower edge of `above`.
fn blend_down(above: &Planes, below: &mut Planes, extent: usize) {
	let extent = extent.min(above.height).min(below.height);
	for channel in 0..COLOURS {
		for y in 0..extent {
			let part = y as f32 / extent as f32;
			let from = (channel * above.height + above.height - extent + y) * above.width;
			let to = (channel * below.height + y) * below.width;
			for x in 0..below.width.min(above.width) {
				let number = &mut below.numbers[to + x];
				*number = above.numbers[from + x] * (1.0 - part) + *number * part;
			}
		}
	}
}

/// Turns the left edge of `right` gradually from the right edge of `left`.
fn blend_right(left: &Planes, right: &mut Planes, extent: usize) {
	let extent = extent.min(left.width).min(right.width);
	for line in 0..COLOURS * right.height.min(left.height) {
		let (channel, y) = (
			line / right.height.min(left.height),
			line % right.height.min(left.height),
		);
		let from = (channel * left.height + y) * left.width + left.width - extent;
		let to = (channel * right.height + y) * right.width;
		for x in 0..extent {
			let part = x as f32 / extent as f32;
			let number = &mut right.numbers[to + x];
			*number = left.numbers[from + x] * (1.0 - part) + *number * part;
		}
	}
}

/// Copies what is a tile's own to its place.
fn place(tile: &Planes, whole: &mut Planes, [top, left]: [usize; 2], limit: usize) {
	let rows = tile.height.min(limit).min(whole.height.saturating_sub(top));
	let columns = tile.width.min(limit).min(whole.width.saturating_sub(left));
	for channel in 0..COLOURS {
		for y in 0..rows {
			let from = (channel * tile.height + y) * tile.width;
			let to = (channel * whole.height + top + y) * whole.width + left;
			whole.numbers[to..to + columns].copy_from_slice(&tile.numbers[from..from + columns]);
		}
	}
}

/// A picture's latents, drawn by `noise` from what the encoder says of it.
pub(super) fn encode(
	stage: &mut Stage,
	config: &VaeConfig,
	rgb: &[u8],
	[height, width]: [usize; 2],
	noise: &[f32],
	stop: &Stop,
) -> Result<Vec<f32>, Error> {
	let pixels = height * width;
	let planes: Vec<f32> = (0..COLOURS * pixels)
		.map(|index| f32::from(rgb[index % pixels * COLOURS + index / pixels]) / 255.0 * 2.0 - 1.0)
		.collect();
	let shape = [1, COLOURS, height, width];
	let input = Tensor::from_floats(stage.element(Role::Main), &shape, &planes);
	let name = stage.output_or_first(&["latent_parameters", "latent_sample", "latent_dist"]);
	let output = stage.run(&[(Role::Main, &input)], &[&name], Turn::Last, stop)?;
	let count = noise.len();
	let numbers = output
		.into_iter()
		.next()
		.map(Tensor::into_floats)
		.unwrap_or_default();
	finite(&numbers, || "the VAE encoder".into())?;
	let drawn: Vec<f32> = if numbers.len() == 2 * count {
		// Mean and logarithm of the variance, within diffusers' limits.
		let (mean, log) = numbers.split_at(count);
		mean.iter()
			.zip(log)
			.zip(noise)
			.map(|((mean, log), noise)| {
				let half = 0.5 * log.clamp(-30.0, 20.0);
				mean + math::exp(f64::from(half)) as f32 * noise
			})
			.collect()
	} else if numbers.len() == count {
		numbers
	} else {
		return Err(stage.unusable("its output has not the shape of latents"));
	};
	let plane = count / config.latent_channels;
	Ok(drawn
		.into_iter()
		.enumerate()
		.map(|(index, number)| {
			let channel = index / plane;
			(number - config.means[channel]) * config.scaling / config.deviations[channel]
		})
		.collect())
}

/// Red, green and blue of each pixel, as diffusers rounds them.
pub(super) fn to_rgb(planes: &Planes) -> Vec<u8> {
	let pixels = planes.height * planes.width;
	(0..pixels * COLOURS)
		.map(|index| to_byte(planes.numbers[index % COLOURS * pixels + index / COLOURS]))
		.collect()
}

/// −1…1 to 0…255.
fn to_byte(number: f32) -> u8 {
	((number / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
}
