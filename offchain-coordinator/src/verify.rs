//! Whether a result is what was asked for: the commitment's signature and the picture.

use cuckoo_coordinator_api::error::{ApiError, ErrorCode};
use cuckoo_primitives::{
	signing::{self, Assignment, ResultCommitment},
	WorkerSignature, H256,
};
use std::io::Cursor;

/// The first bytes of every PNG file.
pub const PNG_SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// The chunk that ends every PNG file: length zero, type, checksum.
const PNG_END: [u8; 12] = *b"\0\0\0\0IEND\xaeB`\x82";

/// Most bytes a picture's side chunks may take while it is decoded.
const SIDE_CHUNK_BYTES: usize = 1024 * 1024;

/// Most bytes a pixel takes: four channels of 16 bits.
const MAX_PIXEL_BYTES: usize = 8;

/// Checks that the assignment's worker signed this commitment to this assignment.
pub fn commitment(
	genesis: &H256,
	assignment: &Assignment,
	commitment: &ResultCommitment,
	signature: &WorkerSignature,
) -> Result<(), ApiError> {
	if commitment.assignment != signing::signing_hash(genesis, assignment) {
		return Err(ApiError::new(ErrorCode::AssignmentMismatch).about(assignment.task));
	}
	if !signing::verify(genesis, commitment, signature, &assignment.worker) {
		let message = "The signature is not the assignment's worker's over this commitment.";
		return Err(
			ApiError::with_message(ErrorCode::SignatureInvalid, message).about(assignment.task)
		);
	}
	Ok(())
}

/// Checks that the bytes are one whole PNG of that size. The size is compared before anything is
/// decoded and memory is bounded by it, so a small file that claims to be a huge picture costs
/// nothing.
pub fn picture(bytes: &[u8], width: u16, height: u16) -> Result<(), ApiError> {
	let not_png = |why: String| {
		ApiError::with_message(
			ErrorCode::ArtifactNotPng,
			format!("This is no valid PNG: {why}."),
		)
	};
	if !bytes.starts_with(&PNG_SIGNATURE) {
		return Err(not_png("it does not begin like one".into()));
	}
	if !bytes.ends_with(&PNG_END) {
		return Err(not_png("it does not end like one".into()));
	}
	let pixels = usize::from(width) * usize::from(height);
	let limits = png::Limits {
		bytes: pixels * MAX_PIXEL_BYTES + SIDE_CHUNK_BYTES,
	};
	let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
	decoder.set_ignore_text_chunk(true);
	let info = decoder
		.read_header_info()
		.map_err(|error| not_png(error.to_string()))?;
	if (info.width, info.height) != (u32::from(width), u32::from(height)) {
		let message = format!(
			"The picture has {} by {} pixels, the task asks for {width} by {height}.",
			info.width, info.height,
		);
		return Err(ApiError::with_message(
			ErrorCode::ArtifactWrongSize,
			message,
		));
	}
	let mut reader = decoder
		.read_info()
		.map_err(|error| not_png(error.to_string()))?;
	if reader.info().is_animated() {
		return Err(not_png("it is animated".into()));
	}
	let size = reader
		.output_buffer_size()
		.filter(|size| *size <= pixels * MAX_PIXEL_BYTES)
		.ok_or_else(|| not_png("its rows are too long".into()))?;
	let mut pixels = vec![0; size];
	reader
		.next_frame(&mut pixels)
		.map_err(|error| not_png(error.to_string()))?;
	reader.finish().map_err(|error| not_png(error.to_string()))
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn encode(width: u32, height: u32) -> Vec<u8> {
		let mut bytes = Vec::new();
		let mut encoder = png::Encoder::new(&mut bytes, width, height);
		encoder.set_color(png::ColorType::Rgb);
		let mut writer = encoder.write_header().unwrap();
		let pixels: Vec<u8> = (0..width * height * 3).map(|n| (n % 251) as u8).collect();
		writer.write_image_data(&pixels).unwrap();
		writer.finish().unwrap();
		bytes
	}

	fn code(bytes: &[u8], width: u16, height: u16) -> Option<ErrorCode> {
		picture(bytes, width, height).err().map(|error| error.code)
	}

	#[test]
	fn only_a_whole_png_of_the_right_size_passes() {
		let good = encode(16, 24);
		assert_eq!(code(&good, 16, 24), None);
		assert_eq!(code(&good, 24, 16), Some(ErrorCode::ArtifactWrongSize));
		assert_eq!(code(b"", 16, 24), Some(ErrorCode::ArtifactNotPng));
		assert_eq!(code(b"GIF89a", 16, 24), Some(ErrorCode::ArtifactNotPng));
		assert_eq!(
			code(&good[..good.len() - 1], 16, 24),
			Some(ErrorCode::ArtifactNotPng)
		);
		assert_eq!(
			code(&[good.clone(), vec![0]].concat(), 16, 24),
			Some(ErrorCode::ArtifactNotPng)
		);
		let only_header = [&good[..33], &PNG_END].concat();
		assert_eq!(code(&only_header, 16, 24), Some(ErrorCode::ArtifactNotPng));
	}

	/// A file of some hundred bytes that claims 65,535 by 65,535 pixels is refused by its header.
	#[test]
	fn a_pixel_bomb_is_refused_before_it_is_decoded() {
		let mut bytes = Vec::new();
		let mut encoder = png::Encoder::new(&mut bytes, 65_535, 65_535);
		encoder.set_color(png::ColorType::Rgba);
		encoder.set_depth(png::BitDepth::Sixteen);
		drop(encoder.write_header().unwrap());
		bytes.extend_from_slice(&PNG_END);
		assert_eq!(code(&bytes, 64, 64), Some(ErrorCode::ArtifactWrongSize));
	}

	proptest! {
		#[test]
		fn no_bytes_make_it_panic(noise in prop::collection::vec(any::<u8>(), 0..400)) {
			let _ = picture(&noise, 16, 24);
			let framed = [&PNG_SIGNATURE[..], &noise, &PNG_END].concat();
			let _ = picture(&framed, 16, 24);
		}

		/// Any changed byte is either caught or does not touch the pixels' size.
		#[test]
		fn damaged_files_never_panic(index in any::<prop::sample::Index>(), flip in 1u8..) {
			let mut bytes = encode(16, 24);
			let index = index.index(bytes.len());
			bytes[index] ^= flip;
			let _ = picture(&bytes, 16, 24);
		}
	}
}
