//! Looks into an ONNX file for weights that are kept in other files.
//!
//! A tensor may name the file that holds its bytes, and ONNX Runtime opens whatever it names. A
//! model is data from a stranger: a name that leaves the model's folder (`../../etc/…`), or of a file
//! that does not count in the model's identity, is refused before ONNX Runtime sees it. Only the protobuf fields on the way to such names are read; weights
//! are skipped, so that it takes milliseconds for gigabytes.

use crate::Error;
use std::{
	fs::File,
	io::{self, BufReader, Read, Seek, SeekFrom},
	path::{Component, Path},
};

/// Graphs within nodes within graphs; real ones have two or three levels.
const MAX_DEPTH: usize = 32;
/// A file name's bytes.
const MAX_NAME_BYTES: u64 = 4096;

/// The messages of onnx.proto that lie on the way to an external file's name.
#[derive(Clone, Copy)]
enum Message {
	Model,
	Graph,
	Node,
	Attribute,
	Function,
	Tensor,
	SparseTensor,
	ExternalData,
}

impl Message {
	/// The message in this field, if it is on the way. Numbers of onnx.proto (IR version 3 and up).
	fn field(self, number: u64) -> Option<Message> {
		use Message::*;
		match (self, number) {
			(Model, 7) => Some(Graph),
			(Model, 25) => Some(Function),
			(Graph, 1) | (Function, 7) => Some(Node),
			(Graph, 5) | (Attribute, 5 | 10) => Some(Tensor),
			(Graph, 15) | (Attribute, 22 | 23) => Some(SparseTensor),
			(Node, 5) | (Function, 11) => Some(Attribute),
			(Attribute, 6 | 11) => Some(Graph),
			(SparseTensor, 1 | 2) => Some(Tensor),
			(Tensor, 13) => Some(ExternalData),
			_ => None,
		}
	}
}

/// Refuses the graph of a component if a tensor's bytes are to come from elsewhere than from one of the
/// model's files in its folder; `counts` says whether a file of the model's folder is one.
pub(super) fn check_external_data(
	path: &Path,
	component: &str,
	counts: impl Fn(&str) -> bool,
) -> Result<(), Error> {
	let read_error = |source| Error::Read {
		path: path.into(),
		source,
	};
	let file = File::open(path).map_err(read_error)?;
	let length = file.metadata().map_err(read_error)?.len();
	let mut walker = Walker {
		input: BufReader::new(file),
		position: 0,
		counts: |name: &str| counts(&format!("{component}/{name}")),
	};
	walker
		.message(Message::Model, length, MAX_DEPTH)
		.map_err(|problem| match problem {
			Problem::Read(source) => read_error(source),
			Problem::Malformed => Error::model(path, "is no ONNX file, or was cut; copy it anew"),
			Problem::Escape(name) => Error::model(
				path,
				format!("keeps weights in `{name}`, outside its folder; refused for safety"),
			),
			Problem::Uncounted(name) => Error::model(
				path,
				format!(
					"keeps weights in `{name}`, which is none of the files that the model's hash is of; \
					 put them into a file beside it whose name does not start with a dot"
				),
			),
		})
}

enum Problem {
	Read(io::Error),
	Malformed,
	Escape(String),
	Uncounted(String),
}

impl From<io::Error> for Problem {
	fn from(error: io::Error) -> Self {
		match error.kind() {
			io::ErrorKind::UnexpectedEof => Self::Malformed,
			_ => Self::Read(error),
		}
	}
}

struct Walker<R, C> {
	input: R,
	position: u64,
	/// Whether a file in the graph's folder, of this plain name, counts in the model's identity.
	counts: C,
}

impl<R: Read + Seek, C: Fn(&str) -> bool> Walker<R, C> {
	/// Reads the message that ends at `end`.
	fn message(&mut self, message: Message, end: u64, depth: usize) -> Result<(), Problem> {
		let depth = depth.checked_sub(1).ok_or(Problem::Malformed)?;
		let mut key = String::new();
		let mut value = String::new();
		while self.position < end {
			let tag = self.varint()?;
			// ONNX Runtime's protobuf cuts a larger one, and would see another field than is seen here.
			if tag > u64::from(u32::MAX) {
				return Err(Problem::Malformed);
			}
			// The wire types of protobuf: varint, 8 bytes, length-delimited, 4 bytes.
			match tag & 7 {
				0 => drop(self.varint()?),
				1 => self.skip(8)?,
				5 => self.skip(4)?,
				2 => {
					let length = self.varint()?;
					let field_end = self
						.position
						.checked_add(length)
						.ok_or(Problem::Malformed)?;
					if field_end > end {
						return Err(Problem::Malformed);
					}
					match (message, tag >> 3) {
						(Message::ExternalData, 1) => key = self.text(length)?,
						(Message::ExternalData, 2) => value = self.text(length)?,
						(_, number) => match message.field(number) {
							Some(inner) => self.message(inner, field_end, depth)?,
							None => self.skip(length)?,
						},
					}
				},
				_ => return Err(Problem::Malformed),
			}
		}
		if self.position != end {
			return Err(Problem::Malformed);
		}
		if matches!(message, Message::ExternalData) && key == "location" {
			let Some(name) = inside(&value) else {
				return Err(Problem::Escape(value));
			};
			if !(self.counts)(&name) {
				return Err(Problem::Uncounted(value));
			}
		}
		Ok(())
	}

	fn byte(&mut self) -> Result<u8, Problem> {
		let mut byte = [0];
		self.input.read_exact(&mut byte)?;
		self.position += 1;
		Ok(byte[0])
	}

	fn varint(&mut self) -> Result<u64, Problem> {
		let mut value = 0;
		for shift in (0..u64::BITS).step_by(7) {
			let byte = self.byte()?;
			value |= u64::from(byte & 0x7f) << shift;
			if byte & 0x80 == 0 {
				return Ok(value);
			}
		}
		Err(Problem::Malformed)
	}

	fn skip(&mut self, length: u64) -> Result<(), Problem> {
		let offset = i64::try_from(length).map_err(|_| Problem::Malformed)?;
		self.position = self
			.position
			.checked_add(length)
			.ok_or(Problem::Malformed)?;
		// Relative, so that the buffer is kept where the target is still in it.
		if length < 4096 {
			io::copy(&mut self.input.by_ref().take(length), &mut io::sink())?;
		} else {
			self.input.seek(SeekFrom::Current(offset))?;
		}
		Ok(())
	}

	fn text(&mut self, length: u64) -> Result<String, Problem> {
		if length > MAX_NAME_BYTES {
			return Err(Problem::Malformed);
		}
		let mut bytes = vec![0; length as usize];
		self.input.read_exact(&mut bytes)?;
		self.position += length;
		String::from_utf8(bytes).map_err(|_| Problem::Malformed)
	}
}

/// A relative name without what means nothing in it, if it stays in the folder that it is relative to.
/// Links are checked where the folder is hashed.
fn inside(name: &str) -> Option<String> {
	// A backslash separates on Windows only, and a star is of ONNX Runtime's names for addresses in
	// memory; no exporter writes one on purpose.
	if name.contains(['\\', '*']) {
		return None;
	}
	let mut parts = Vec::new();
	for part in Path::new(name).components() {
		match part {
			Component::Normal(part) => parts.push(part.to_str()?),
			Component::CurDir => {},
			_ => return None,
		}
	}
	(!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;
	use std::io::Cursor;

	/// A length-delimited field.
	fn field(number: u8, content: &[u8]) -> Vec<u8> {
		let mut bytes = vec![number << 3 | 2];
		let mut length = content.len();
		while length >= 0x80 {
			bytes.push(length as u8 | 0x80);
			length >>= 7;
		}
		bytes.push(length as u8);
		bytes.extend(content);
		bytes
	}

	fn tensor(location: &str) -> Vec<u8> {
		let entry = [field(1, b"location"), field(2, location.as_bytes())].concat();
		[field(9, &[0; 5000]), field(13, &entry)].concat()
	}

	/// In a folder whose files that count are `model.onnx_data` and two of the name `weights.bin`.
	fn check(bytes: &[u8]) -> Result<(), Problem> {
		let files = ["model.onnx_data", "weights.bin", "sub/weights.bin", "a"];
		let mut walker = Walker {
			input: Cursor::new(bytes),
			position: 0,
			counts: |name: &str| files.contains(&name),
		};
		walker.message(Message::Model, bytes.len() as u64, MAX_DEPTH)
	}

	#[test]
	fn names_in_the_folder_pass() {
		for name in [
			"model.onnx_data",
			"./weights.bin",
			"sub/weights.bin",
			"sub//./weights.bin",
		] {
			assert!(check(&field(7, &field(5, &tensor(name)))).is_ok(), "{name}");
		}
	}

	/// ONNX Runtime would load them, and the model's hash would say nothing of them.
	#[test]
	fn names_of_files_that_do_not_count_are_refused() {
		for name in [
			".w",
			"./.w",
			".cache/weights.bin",
			"sub/.w",
			"weights.bin\0",
			"other",
		] {
			let result = check(&field(7, &field(5, &tensor(name))));
			assert!(matches!(result, Err(Problem::Uncounted(_))), "{name}");
		}
	}

	/// As protobuf's own library reads it, this is the field of the weights with one bit more.
	#[test]
	fn tags_that_are_cut_elsewhere_are_malformed() {
		let hidden = field(7, &field(5, &tensor("../x")));
		assert!(matches!(check(&hidden), Err(Problem::Escape(_))));
		let longer = [&[0x80 | hidden[0], 0x80, 0x80, 0x80, 0x10], &hidden[1..]].concat();
		assert!(matches!(check(&longer), Err(Problem::Malformed)));
	}

	#[test]
	fn names_that_leave_the_folder_are_refused_wherever_they_hide() {
		for name in [
			"../x",
			"/etc/passwd",
			"a/../../x",
			"",
			".",
			"..\\x",
			"*/_ORT_MEM_ADDR_/*",
		] {
			let tensor = tensor(name);
			let hiding_places = [
				field(7, &field(5, &tensor)),                        // initializer
				field(7, &field(1, &field(5, &field(5, &tensor)))),  // constant node
				field(7, &field(1, &field(5, &field(10, &tensor)))), // list of tensors
				field(7, &field(1, &field(5, &field(6, &field(5, &tensor))))), // subgraph
				field(7, &field(15, &field(1, &tensor))),            // sparse initializer
			];
			for place in hiding_places {
				assert!(matches!(check(&place), Err(Problem::Escape(_))), "{name}");
			}
		}
	}

	#[test]
	fn cut_files_are_malformed() {
		let whole = field(7, &field(5, &tensor("a")));
		for length in 1..whole.len() {
			assert!(check(&whole[..length]).is_err(), "{length}");
		}
	}

	#[test]
	fn nesting_has_an_end() {
		let mut bytes = tensor("a");
		for _ in 0..40 {
			bytes = field(1, &field(5, &field(6, &bytes)));
		}
		assert!(matches!(check(&field(7, &bytes)), Err(Problem::Malformed)));
	}

	proptest! {
		#[test]
		fn any_bytes_end_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
			let _ = check(&bytes);
		}
	}
}
