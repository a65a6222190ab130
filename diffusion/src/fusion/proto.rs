//! The parts of an ONNX file that fusion reads and writes, in protobuf's encoding.
//!
//! Everything that is not understood here is passed on as the bytes that it is.

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Content<'a> {
	Number(u64),
	Float(f32),
	Bytes(&'a [u8]),
	/// A fixed number of eight bytes, which no field that is read here has.
	Other,
}

/// A field of a message.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Field<'a> {
	pub(super) number: u64,
	pub(super) content: Content<'a>,
	/// All its bytes, with its number and length.
	pub(super) raw: &'a [u8],
}

/// Fields of one message: more than the largest model's graph has nodes and weights.
const MAX_FIELDS: usize = 1 << 20;

/// The fields of a message in their order; `None` where it is none, or has too many.
pub(super) fn fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
	fields_up_to(message, MAX_FIELDS)
}

fn fields_up_to(message: &[u8], most: usize) -> Option<Vec<Field<'_>>> {
	let mut fields = Vec::new();
	let mut rest = message;
	while !rest.is_empty() {
		if fields.len() == most {
			return None;
		}
		let begin = rest;
		// Protobuf's own library cuts a larger one, and would see another field.
		let tag = u32::try_from(varint(&mut rest)?).ok()?;
		let content = match tag & 7 {
			0 => Content::Number(varint(&mut rest)?),
			1 => {
				rest = rest.get(8..)?;
				Content::Other
			},
			2 => {
				let length = usize::try_from(varint(&mut rest)?).ok()?;
				let bytes = rest.get(..length)?;
				rest = &rest[length..];
				Content::Bytes(bytes)
			},
			5 => {
				let bytes = rest.first_chunk()?;
				rest = &rest[4..];
				Content::Float(f32::from_le_bytes(*bytes))
			},
			_ => return None,
		};
		fields.push(Field {
			number: u64::from(tag >> 3),
			content,
			raw: &begin[..begin.len() - rest.len()],
		});
	}
	Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
	let mut value = 0;
	for shift in (0..u64::BITS).step_by(7) {
		let (byte, rest) = bytes.split_first()?;
		*bytes = rest;
		value |= u64::from(byte & 0x7f) << shift;
		if byte & 0x80 == 0 {
			return Some(value);
		}
	}
	None
}

impl<'a> Field<'a> {
	pub(super) fn bytes(&self) -> Option<&'a [u8]> {
		match self.content {
			Content::Bytes(bytes) => Some(bytes),
			_ => None,
		}
	}

	pub(super) fn text(&self) -> Option<&'a str> {
		std::str::from_utf8(self.bytes()?).ok()
	}

	/// A signed number: protobuf writes negative ones as the u64 of the same bits.
	fn signed(&self) -> Option<i64> {
		match self.content {
			Content::Number(number) => Some(number as i64),
			_ => None,
		}
	}

	/// One number, or many packed into one field.
	fn all_signed(&self) -> Option<Vec<i64>> {
		let Content::Bytes(mut rest) = self.content else {
			return Some(vec![self.signed()?]);
		};
		let mut numbers = Vec::new();
		while !rest.is_empty() {
			numbers.push(varint(&mut rest)? as i64);
		}
		Some(numbers)
	}
}

/// A node of a graph.
#[derive(Debug)]
pub(super) struct Node<'a> {
	pub(super) raw: &'a [u8],
	/// The operator's name; of a domain of its own where it is not ONNX' own.
	pub(super) operator: &'a str,
	pub(super) domain: &'a str,
	pub(super) inputs: Vec<&'a str>,
	pub(super) outputs: Vec<&'a str>,
	attributes: Vec<Attribute<'a>>,
}

/// What an operator is told.
#[derive(Debug)]
struct Attribute<'a> {
	name: &'a str,
	number: Option<i64>,
	numbers: Vec<i64>,
	tensor: Option<&'a [u8]>,
	has_graph: bool,
}

impl<'a> Node<'a> {
	/// By the field numbers of onnx.proto's NodeProto; `raw` is the field that holds it.
	pub(super) fn read(field: &Field<'a>) -> Option<Self> {
		let mut node = Self {
			raw: field.raw,
			operator: "",
			domain: "",
			inputs: Vec::new(),
			outputs: Vec::new(),
			attributes: Vec::new(),
		};
		for field in fields(field.bytes()?)? {
			match field.number {
				1 => node.inputs.push(field.text()?),
				2 => node.outputs.push(field.text()?),
				4 => node.operator = field.text()?,
				5 => node.attributes.push(Attribute::read(field.bytes()?)?),
				7 => node.domain = field.text()?,
				_ => {},
			}
		}
		Some(node)
	}

	/// Whether it is this operator of ONNX' own.
	pub(super) fn is(&self, operator: &str) -> bool {
		self.operator == operator && matches!(self.domain, "" | "ai.onnx")
	}

	/// Whether it has graphs within, which may use values that no input names.
	pub(super) fn has_graph(&self) -> bool {
		self.attributes.iter().any(|attribute| attribute.has_graph)
	}

	/// Whether it is told this at all.
	pub(super) fn has(&self, name: &str) -> bool {
		self.attribute(name).is_some()
	}

	pub(super) fn number(&self, name: &str) -> Option<i64> {
		self.attribute(name)?.number
	}

	pub(super) fn numbers(&self, name: &str) -> Option<&[i64]> {
		Some(&self.attribute(name)?.numbers)
	}

	pub(super) fn tensor(&self, name: &str) -> Option<&'a [u8]> {
		self.attribute(name)?.tensor
	}

	fn attribute(&self, name: &str) -> Option<&Attribute<'a>> {
		self.attributes
			.iter()
			.find(|attribute| attribute.name == name)
	}
}

impl<'a> Attribute<'a> {
	/// By the field numbers of AttributeProto.
	fn read(message: &'a [u8]) -> Option<Self> {
		let mut attribute = Self {
			name: "",
			number: None,
			numbers: Vec::new(),
			tensor: None,
			has_graph: false,
		};
		for field in fields(message)? {
			match field.number {
				1 => attribute.name = field.text()?,
				3 => attribute.number = Some(field.signed()?),
				5 => attribute.tensor = Some(field.bytes()?),
				6 | 11 => attribute.has_graph = true,
				8 => attribute.numbers.extend(field.all_signed()?),
				_ => {},
			}
		}
		Some(attribute)
	}
}

/// The numbers of a small tensor.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Numbers {
	Int(Vec<i64>),
	Float(Vec<f64>),
}

/// A tensor's type, and how many numbers it has.
pub(super) fn tensor_size(message: &[u8]) -> Option<(u64, u64)> {
	let (mut kind, mut size) = (0, 1_u64);
	for field in fields(message)? {
		match (field.number, field.content) {
			(1, Content::Number(dimension)) => size = size.saturating_mul(dimension),
			(1, Content::Bytes(mut packed)) => {
				while !packed.is_empty() {
					size = size.saturating_mul(varint(&mut packed)?);
				}
			},
			(2, Content::Number(number)) => kind = number,
			_ => {},
		}
	}
	Some((kind, size))
}

/// Numbers of a tensor that is read; larger ones are weights.
const SMALL: usize = 16;
/// Its fields: each look at a tensor reads them again.
const SMALL_FIELDS: usize = 64;

/// The name of a tensor.
pub(super) fn tensor_name(message: &[u8]) -> Option<&str> {
	fields(message)?
		.iter()
		.find(|field| field.number == 8)?
		.text()
}

/// The numbers of a small tensor, by the field numbers and types of TensorProto; `None` for others.
pub(super) fn small_tensor(message: &[u8]) -> Option<Numbers> {
	const FLOAT: i64 = 1;
	const INT32: i64 = 6;
	const INT64: i64 = 7;
	const FLOAT16: i64 = 10;
	const DOUBLE: i64 = 11;
	let (mut kind, mut ints, mut floats, mut raw) = (0, Vec::new(), Vec::new(), None);
	for field in fields_up_to(message, SMALL_FIELDS)? {
		match (field.number, field.content) {
			(2, _) => kind = field.signed()?,
			(4, Content::Float(number)) => floats.push(f64::from(number)),
			(4, Content::Bytes(packed)) if packed.len() <= 4 * SMALL => {
				floats.extend(
					elements(packed, f32::from_le_bytes)
						.into_iter()
						.map(f64::from),
				);
			},
			(5 | 7, Content::Number(_)) => ints.push(field.signed()?),
			(5 | 7, Content::Bytes(packed)) if packed.len() <= 10 * SMALL => {
				ints.extend(field.all_signed()?);
			},
			(9, Content::Bytes(bytes)) if bytes.len() <= 8 * SMALL => raw = Some(bytes),
			// Weights, here or in another file.
			(4 | 5 | 7 | 9 | 13, _) => return None,
			_ => {},
		}
	}
	let bytes = raw.unwrap_or_default();
	match kind {
		FLOAT => floats.extend(
			elements(bytes, f32::from_le_bytes)
				.into_iter()
				.map(f64::from),
		),
		DOUBLE => floats.extend(elements(bytes, f64::from_le_bytes)),
		FLOAT16 => {
			// Without raw bytes, the bits stand in the list of 32-bit integers.
			let bits = ints.drain(..).map(|bits| half::f16::from_bits(bits as u16));
			let bits = bits.chain(elements(bytes, half::f16::from_le_bytes));
			floats.extend(bits.map(f64::from));
		},
		INT32 => ints.extend(
			elements(bytes, i32::from_le_bytes)
				.into_iter()
				.map(i64::from),
		),
		INT64 => ints.extend(elements(bytes, i64::from_le_bytes)),
		_ => return None,
	}
	Some(match kind {
		INT32 | INT64 => Numbers::Int(ints),
		_ => Numbers::Float(floats),
	})
}

fn elements<const N: usize, T>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
	let (chunks, _) = bytes.as_chunks();
	chunks.iter().map(|chunk| read(*chunk)).collect()
}

/// Appends a varint.
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
	while value >= 0x80 {
		out.push(value as u8 | 0x80);
		value >>= 7;
	}
	out.push(value as u8);
}

/// Appends the number and length of a field of bytes, which are to follow.
pub(super) fn put_header(out: &mut Vec<u8>, number: u64, length: usize) {
	put_varint(out, number << 3 | 2);
	put_varint(out, length as u64);
}

/// Appends a field of bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
	put_header(out, number, bytes.len());
	out.extend(bytes);
}

/// Appends a field of one number.
pub(super) fn put_number(out: &mut Vec<u8>, number: u64, value: u64) {
	put_varint(out, number << 3);
	put_varint(out, value);
}

/// Appends a field of one float.
pub(super) fn put_float(out: &mut Vec<u8>, number: u64, value: f32) {
	put_varint(out, number << 3 | 5);
	out.extend(value.to_le_bytes());
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	#[test]
	fn what_is_written_reads_again() {
		let mut message = Vec::new();
		put_bytes(&mut message, 8, b"name");
		put_number(&mut message, 2, 300);
		put_float(&mut message, 4, 0.5);
		let read = fields(&message).unwrap();
		let contents: Vec<_> = read
			.iter()
			.map(|field| (field.number, field.content))
			.collect();
		assert_eq!(
			contents,
			[
				(8, Content::Bytes(b"name")),
				(2, Content::Number(300)),
				(4, Content::Float(0.5)),
			]
		);
		assert_eq!(
			read.iter().flat_map(|field| field.raw).count(),
			message.len()
		);
		assert_eq!(tensor_name(&message), Some("name"));
	}

	/// Each way in which TensorProto can hold the same numbers.
	#[test]
	fn small_tensors_read_however_they_are_kept() {
		let tensor = |kind: u64, put: &dyn Fn(&mut Vec<u8>)| {
			let mut message = Vec::new();
			put_number(&mut message, 2, kind);
			put(&mut message);
			small_tensor(&message)
		};
		let minus_two = (-2i64) as u64;
		let ints = Some(Numbers::Int(vec![-2]));
		assert_eq!(tensor(7, &|m| put_number(m, 7, minus_two)), ints);
		assert_eq!(
			tensor(7, &|m| put_bytes(m, 9, &(-2i64).to_le_bytes())),
			ints
		);
		assert_eq!(
			tensor(6, &|m| put_bytes(m, 9, &(-2i32).to_le_bytes())),
			ints
		);
		let floats = Some(Numbers::Float(vec![0.5]));
		assert_eq!(tensor(1, &|m| put_float(m, 4, 0.5)), floats);
		assert_eq!(
			tensor(1, &|m| put_bytes(m, 4, &0.5f32.to_le_bytes())),
			floats
		);
		assert_eq!(
			tensor(1, &|m| put_bytes(m, 9, &0.5f32.to_le_bytes())),
			floats
		);
		let half = half::f16::from_f32(0.5);
		assert_eq!(
			tensor(10, &|m| put_bytes(m, 9, &half.to_le_bytes())),
			floats
		);
		assert_eq!(
			tensor(10, &|m| put_number(m, 5, half.to_bits().into())),
			floats
		);
		assert_eq!(tensor(1, &|m| put_bytes(m, 9, &[0; 4096])), None);
		assert_eq!(tensor(1, &|m| put_bytes(m, 13, b"elsewhere")), None);
	}

	/// Of one that has a million of them, not each is read at each look.
	#[test]
	fn tensors_of_many_fields_are_not_small() {
		let mut message = Vec::new();
		put_number(&mut message, 2, 7);
		put_number(&mut message, 7, 5);
		for _ in 2..SMALL_FIELDS {
			put_bytes(&mut message, 12, b"");
		}
		assert_eq!(small_tensor(&message), Some(Numbers::Int(vec![5])));
		put_bytes(&mut message, 12, b"");
		assert_eq!(small_tensor(&message), None);
	}

	/// As protobuf's own library reads it, this is the same field.
	#[test]
	fn tags_that_are_cut_elsewhere_make_no_message() {
		let mut message = Vec::new();
		put_bytes(&mut message, 8, b"name");
		let longer = [&[0x80 | message[0], 0x80, 0x80, 0x80, 0x10], &message[1..]].concat();
		assert!(fields(&message).is_some());
		assert_eq!(fields(&longer), None);
	}

	proptest! {
		#[test]
		fn any_bytes_end_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
			if let Some(fields) = fields(&bytes) {
				let whole: Vec<u8> = fields.iter().flat_map(|field| field.raw).copied().collect();
				prop_assert_eq!(&whole, &bytes);
				for field in &fields {
					let _ = Node::read(field);
				}
			}
			let _ = small_tensor(&bytes);
		}
	}
}
