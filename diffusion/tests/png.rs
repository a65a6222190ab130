//! PNG files, there and back.

use cuckoo_diffusion::{
	png::{decode, decode_any, encode, inspect, Limits},
	Picture, Trajectory,
};
use proptest::prelude::*;

fn picture(width: u32, height: u32) -> Picture {
	let rgb = (0..width * height * 3)
		.map(|n| (n * 7 % 251) as u8)
		.collect();
	Picture {
		width,
		height,
		rgb,
		trajectory: Trajectory { leaves: Vec::new() },
	}
}

#[test]
fn a_picture_and_its_text_come_back() {
	let picture = picture(17, 9);
	let text = [
		("prompt", "a red apple 🍎 яблоко"),
		("seed", "18446744073709551615"),
	];
	let file = encode(&picture, &text).unwrap();
	let decoded = decode(&file, &Limits::default()).unwrap();
	assert_eq!(decoded.rgb, picture.rgb);
	assert_eq!((decoded.info.width, decoded.info.height), (17, 9));
	let expected: Vec<_> = text
		.iter()
		.map(|(k, v)| (k.to_string(), v.to_string()))
		.collect();
	assert_eq!(decoded.info.text, expected);
	assert_eq!(inspect(&file, &Limits::default()).unwrap(), decoded.info);
	assert_eq!(encode(&picture, &text).unwrap(), file);
}

#[test]
fn what_makes_no_file_is_refused() {
	assert!(encode(&picture(0, 4), &[]).is_err());
	assert!(encode(
		&Picture {
			width: 5,
			..picture(4, 4)
		},
		&[]
	)
	.is_err());
	for keyword in ["", "имя", &"k".repeat(80)] {
		assert!(
			encode(&picture(4, 4), &[(keyword, "x")]).is_err(),
			"{keyword}"
		);
	}
}

#[test]
fn limits_hold_before_anything_is_unpacked() {
	let file = encode(&picture(64, 64), &[("prompt", "a fox")]).unwrap();
	let base = Limits::default();
	for limits in [
		Limits { width: 63, ..base },
		Limits { height: 63, ..base },
		Limits {
			bytes: file.len() - 1,
			..base
		},
		Limits {
			text_bytes: 4,
			..base
		},
	] {
		assert!(inspect(&file, &limits).is_err(), "{limits:?}");
		assert!(decode(&file, &limits).is_err(), "{limits:?}");
	}
	let exact = Limits {
		bytes: file.len(),
		width: 64,
		height: 64,
		text_bytes: 5,
	};
	assert!(decode(&file, &exact).is_ok());
}

/// Text of each of the three kinds of chunks, packed and not, within one limit.
#[test]
fn text_of_all_kinds_is_read_up_to_a_limit_of_all() {
	use png::{
		text_metadata::{ITXtChunk, ZTXtChunk},
		Encoder,
	};
	let write = |kilobytes: usize| {
		let text = "x".repeat(kilobytes << 10);
		let mut file = Vec::new();
		let mut writer = Encoder::new(&mut file, 1, 1).write_header().unwrap();
		writer
			.write_text_chunk(&png::text_metadata::TEXtChunk::new("plain", "word"))
			.unwrap();
		for number in 0..3 {
			let packed = ZTXtChunk::new(format!("packed {number}"), text.clone());
			writer.write_text_chunk(&packed).unwrap();
			let mut packed = ITXtChunk::new(format!("text {number}"), text.clone());
			packed.compressed = true;
			packed.compress_text().unwrap();
			writer.write_text_chunk(&packed).unwrap();
		}
		writer.write_image_data(&[0]).unwrap();
		writer.finish().unwrap();
		file
	};
	let limits = |text_bytes| Limits {
		text_bytes,
		..Limits::default()
	};
	let file = write(10);
	let info = inspect(&file, &limits((60 << 10) + 4)).unwrap();
	let read: Vec<_> = info
		.text
		.iter()
		.map(|(keyword, text)| (keyword.as_str(), text.len()))
		.collect();
	let long = 10 << 10;
	let expected = [
		("plain", 4),
		("packed 0", long),
		("packed 1", long),
		("packed 2", long),
		("text 0", long),
		("text 1", long),
		("text 2", long),
	];
	assert_eq!(read, expected);
	assert!(inspect(&file, &limits((60 << 10) + 3)).is_err());
	// Each of them is within the limit.
	assert!(inspect(&write(60), &limits(64 << 10)).is_err());
}

/// A header that promises 4 thousand million pixels costs nothing.
#[test]
fn a_pixel_bomb_is_refused() {
	let mut file = encode(&picture(4, 4), &[]).unwrap();
	file[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
	let checksum = crc32(&file[12..29]);
	file[29..33].copy_from_slice(&checksum.to_be_bytes());
	let error = inspect(&file, &Limits::default()).unwrap_err().to_string();
	assert!(error.contains("65536x65536"), "{error}");
}

/// The PNG specification's checksum.
fn crc32(bytes: &[u8]) -> u32 {
	let step = |crc: u32, byte: &u8| {
		(0..8).fold(crc ^ u32::from(*byte), |crc, _| {
			if crc & 1 == 1 {
				crc >> 1 ^ 0xEDB8_8320
			} else {
				crc >> 1
			}
		})
	};
	!bytes.iter().fold(!0, step)
}

#[test]
fn cut_and_changed_files_are_refused() {
	let file = encode(&picture(8, 8), &[("prompt", "a fox")]).unwrap();
	for length in 0..file.len() {
		assert!(
			decode(&file[..length], &Limits::default()).is_err(),
			"cut at {length}"
		);
	}
	for place in 0..file.len() {
		let mut changed = file.clone();
		changed[place] ^= 0x10;
		if let Ok(decoded) = decode(&changed, &Limits::default()) {
			panic!("byte {place} changed, and {:?} was read", decoded.info);
		}
	}
}

proptest! {
	#[test]
	fn any_bytes_end_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
		let signed = [b"\x89PNG\r\n\x1a\n".as_slice(), &bytes].concat();
		for bytes in [&signed, &bytes] {
			let _ = decode(bytes, &Limits::default());
			let _ = decode_any(bytes, &Limits::default());
		}
	}
}

/// Any kind of PNG as it comes from other programs: half of the picture is white, half black, and where
/// there is transparency, black is half of it.
#[test]
fn pictures_of_any_kind_become_colours() {
	use png::{BitDepth, ColorType, Encoder};
	let write = |color, depth, palette: Option<&[u8]>, data: &[u8]| {
		let mut file = Vec::new();
		let mut encoder = Encoder::new(&mut file, 2, 1);
		encoder.set_color(color);
		encoder.set_depth(depth);
		if let Some(palette) = palette {
			encoder.set_palette(palette.to_vec());
		}
		let mut writer = encoder.write_header().unwrap();
		writer.write_image_data(data).unwrap();
		writer.finish().unwrap();
		file
	};
	let (white, black, grey) = ([255; 3], [0; 3], [127; 3]);
	let eight = BitDepth::Eight;
	let palette: &[u8] = &[0, 0, 0, 255, 255, 255];
	let cases = [
		(
			write(ColorType::Rgb, eight, None, &[255, 255, 255, 0, 0, 0]),
			black,
		),
		(write(ColorType::Grayscale, eight, None, &[255, 0]), black),
		(
			write(ColorType::Grayscale, BitDepth::One, None, &[0b1000_0000]),
			black,
		),
		(
			write(
				ColorType::Grayscale,
				BitDepth::Sixteen,
				None,
				&[255, 255, 0, 0],
			),
			black,
		),
		(
			write(ColorType::GrayscaleAlpha, eight, None, &[255, 255, 0, 128]),
			grey,
		),
		(
			write(ColorType::Rgba, eight, None, &[9, 9, 9, 0, 0, 0, 0, 128]),
			grey,
		),
		(
			write(ColorType::Indexed, eight, Some(palette), &[1, 0]),
			black,
		),
	];
	for (number, (file, second)) in cases.iter().enumerate() {
		let decoded = decode_any(file, &Limits::default()).unwrap();
		assert_eq!(decoded.rgb, [white, *second].concat(), "{number}");
		let is_plain = decode(file, &Limits::default()).is_ok();
		assert_eq!(is_plain, number == 0, "{number}");
	}
}

/// The library that reads PNGs panics at such a one.
#[test]
fn a_palette_of_no_whole_colours_is_refused() {
	use png::{BitDepth, ColorType, Encoder};
	let mut file = Vec::new();
	let mut encoder = Encoder::new(&mut file, 2, 1);
	encoder.set_color(ColorType::Indexed);
	encoder.set_depth(BitDepth::Eight);
	encoder.set_palette(vec![9; 4]);
	encoder.set_trns(vec![0; 2]);
	let mut writer = encoder.write_header().unwrap();
	writer.write_image_data(&[1, 0]).unwrap();
	writer.finish().unwrap();
	let error = decode_any(&file, &Limits::default())
		.unwrap_err()
		.to_string();
	assert!(error.contains("palette"), "{error}");
}
