//! Pictures as PNG files, with what made them in their text chunks.

use crate::{Error, Picture};
use png::{
	BitDepth, ColorType, Compression, DecodeOptions, Decoder, Encoder, Filter, Transformations,
};
use std::io::Cursor;

/// The signature that every PNG begins with.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// The PNG specification's limit of a keyword.
const MAX_KEYWORD_BYTES: usize = 79;
/// Bytes a pixel of 8-bit RGB.
const PIXEL_BYTES: u64 = 3;

/// What a file from outside may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
	/// The file's bytes.
	pub bytes: usize,
	/// Pixels in a row.
	pub width: u32,
	/// Rows.
	pub height: u32,
	/// Bytes of all text chunks, unpacked.
	pub text_bytes: usize,
}

impl Default for Limits {
	/// Room for the largest picture that the engine makes.
	fn default() -> Self {
		let side = u32::from(crate::model::MAX_SIDE);
		Self {
			bytes: 32 << 20,
			width: side,
			height: side,
			text_bytes: 64 << 10,
		}
	}
}

/// What a PNG says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Info {
	/// Pixels in a row.
	pub width: u32,
	/// Rows.
	pub height: u32,
	/// Keyword and text of each text chunk before the picture's data.
	pub text: Vec<(String, String)>,
}

/// A PNG's picture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded {
	/// What it says of itself.
	pub info: Info,
	/// Red, green and blue of each pixel, row by row from the top.
	pub rgb: Vec<u8>,
}

/// The picture as a PNG with these text chunks (keyword, text in UTF-8).
///
/// The same picture and text give the same bytes with the same version of this program: no time is
/// written, and the compression is fixed.
pub fn encode(picture: &Picture, text: &[(&str, &str)]) -> Result<Vec<u8>, Error> {
	encode_rgb(picture.width, picture.height, &picture.rgb, text)
}

/// The same of red, green and blue of each pixel, row by row from the top.
pub fn encode_rgb(
	width: u32,
	height: u32,
	rgb: &[u8],
	text: &[(&str, &str)],
) -> Result<Vec<u8>, Error> {
	let pixels = u64::from(width) * u64::from(height);
	if pixels == 0 || rgb.len() as u64 != pixels * PIXEL_BYTES {
		return Err(Error::Png(format!(
			"{} bytes make no picture of {width}x{height}",
			rgb.len()
		)));
	}
	let failed = |error: png::EncodingError| Error::Png(error.to_string());
	let mut file = Vec::new();
	let mut encoder = Encoder::new(&mut file, width, height);
	encoder.set_color(ColorType::Rgb);
	encoder.set_depth(BitDepth::Eight);
	encoder.set_compression(Compression::Balanced);
	encoder.set_filter(Filter::Adaptive);
	for (keyword, text) in text {
		if keyword.is_empty() || keyword.len() > MAX_KEYWORD_BYTES || !keyword.is_ascii() {
			return Err(Error::Png(format!(
				"`{keyword}` is no keyword of a text chunk"
			)));
		}
		encoder
			.add_itxt_chunk((*keyword).into(), (*text).into())
			.map_err(failed)?;
	}
	let mut writer = encoder.write_header().map_err(failed)?;
	writer.write_image_data(rgb).map_err(failed)?;
	writer.finish().map_err(failed)?;
	Ok(file)
}

/// Reads a PNG's size and text without unpacking the picture.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Info, Error> {
	open(bytes, limits, Transformations::IDENTITY).map(|(info, _)| info)
}

/// Reads a PNG of 8-bit colour whole. Nothing larger than the limits is ever unpacked.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, Error> {
	let unpacked = unpack(bytes, limits, Transformations::IDENTITY)?;
	if (unpacked.color, unpacked.depth) != (ColorType::Rgb, BitDepth::Eight) {
		return Err(Error::Png(
			"is not of 8-bit red, green and blue without transparency".into(),
		));
	}
	Ok(Decoded {
		info: unpacked.info,
		rgb: unpacked.values,
	})
}

/// Reads a PNG of any kind whole: greys and palettes become colours of 8 bits, and what is transparent
/// lies on white.
pub fn decode_any(bytes: &[u8], limits: &Limits) -> Result<Decoded, Error> {
	let Unpacked {
		info,
		color,
		values,
		..
	} = unpack(bytes, limits, Transformations::normalize_to_color8())?;
	let on_white = |value: u8, opacity: u8| {
		let (value, opacity) = (u16::from(value), u16::from(opacity));
		// At most 255 * 255, and rounded.
		((value * opacity + 255 * (255 - opacity) + 127) / 255) as u8
	};
	let rgb = match color {
		ColorType::Rgb => values,
		ColorType::Rgba => values
			.chunks_exact(4)
			.flat_map(|pixel| [0, 1, 2].map(|colour| on_white(pixel[colour], pixel[3])))
			.collect(),
		ColorType::Grayscale => values.iter().flat_map(|grey| [*grey; 3]).collect(),
		ColorType::GrayscaleAlpha => values
			.chunks_exact(2)
			.flat_map(|pixel| [on_white(pixel[0], pixel[1]); 3])
			.collect(),
		// What was asked for has none.
		ColorType::Indexed => return Err(Error::Png("has a palette that does not read".into())),
	};
	Ok(Decoded { info, rgb })
}

/// A PNG's values as they are after transformations.
struct Unpacked {
	info: Info,
	color: ColorType,
	depth: BitDepth,
	values: Vec<u8>,
}

fn unpack(
	bytes: &[u8],
	limits: &Limits,
	transformations: Transformations,
) -> Result<Unpacked, Error> {
	let (info, mut reader) = open(bytes, limits, transformations)?;
	let size = reader
		.output_buffer_size()
		.ok_or_else(|| Error::Png("is too large".into()))?;
	let mut values = vec![0; size];
	let frame = reader.next_frame(&mut values).map_err(damaged)?;
	values.truncate(frame.buffer_size());
	// The end of the file, with its checksum.
	reader.finish().map_err(damaged)?;
	Ok(Unpacked {
		info,
		color: frame.color_type,
		depth: frame.bit_depth,
		values,
	})
}

fn damaged(error: png::DecodingError) -> Error {
	Error::Png(format!("is damaged: {error}"))
}

type Reader<'a> = png::Reader<Cursor<&'a [u8]>>;

fn open<'a>(
	bytes: &'a [u8],
	limits: &Limits,
	transformations: Transformations,
) -> Result<(Info, Reader<'a>), Error> {
	if !bytes.starts_with(SIGNATURE) {
		return Err(Error::Png("has not the signature of a PNG".into()));
	}
	if bytes.len() > limits.bytes {
		let length = bytes.len();
		return Err(Error::Png(format!(
			"has {length} bytes; at most {} are read",
			limits.bytes
		)));
	}
	// The library's own limit is on what it unpacks besides the caller's buffer: a row and the text.
	let row = u64::from(limits.width) * PIXEL_BYTES;
	let working = usize::try_from(row)
		.unwrap_or(usize::MAX)
		.saturating_add(limits.text_bytes);
	let mut options = DecodeOptions::default();
	// By default a text chunk that was changed is left out without a word.
	options.set_skip_ancillary_crc_failures(false);
	let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
	decoder.set_limits(png::Limits {
		bytes: working.saturating_mul(4),
	});
	decoder.set_transformations(transformations);
	let reader = decoder.read_info().map_err(damaged)?;
	let header = reader.info();
	let (width, height) = (header.width, header.height);
	if width > limits.width || height > limits.height {
		return Err(Error::Png(format!(
			"is {width}x{height}; at most {}x{} are read",
			limits.width, limits.height
		)));
	}
	// Of three bytes each, which the library takes for granted.
	let palette = header.palette.as_deref().unwrap_or_default();
	if !palette.len().is_multiple_of(PIXEL_BYTES as usize) {
		return Err(Error::Png("has a palette of no whole colours".into()));
	}
	let mut text = Text {
		left: limits.text_bytes,
		chunks: Vec::new(),
	};
	for chunk in &header.uncompressed_latin1_text {
		text.add(&chunk.keyword, |_| Ok(chunk.text.clone()))?;
	}
	for chunk in &header.compressed_latin1_text {
		text.add(&chunk.keyword, |left| {
			let mut chunk = chunk.clone();
			chunk.decompress_text_with_limit(left)?;
			chunk.get_text()
		})?;
	}
	for chunk in &header.utf8_text {
		text.add(&chunk.keyword, |left| {
			let mut chunk = chunk.clone();
			chunk.decompress_text_with_limit(left)?;
			chunk.get_text()
		})?;
	}
	let text = text.chunks;
	Ok((
		Info {
			width,
			height,
			text,
		},
		reader,
	))
}

/// Text chunks, within a limit of all of them together.
struct Text {
	/// Bytes that there may still be.
	left: usize,
	chunks: Vec<(String, String)>,
}

impl Text {
	/// Adds a chunk, whose text `unpack` gives, up to so many bytes.
	fn add(
		&mut self,
		keyword: &str,
		unpack: impl FnOnce(usize) -> Result<String, png::DecodingError>,
	) -> Result<(), Error> {
		let text = unpack(self.left).map_err(damaged)?;
		let left = self.left.checked_sub(text.len());
		self.left = left.ok_or_else(|| Error::Png("has too much text".into()))?;
		self.chunks.push((keyword.to_owned(), text));
		Ok(())
	}
}
