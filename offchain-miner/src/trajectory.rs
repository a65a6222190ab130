//! A picture's trajectory as a file: what was asked for, and every leaf of the commitment's
//! `trajectory_root`.
//!
//! ```text
//! "cuckoo/trajectory/1\n" | u32 | the spec as JSON | u32 | for each leaf: u32 | its bytes
//! ```
//!
//! Each u32 is little-endian and says how many bytes, or leaves, follow.

use anyhow::{ensure, Context};
use cuckoo_coordinator_api::task::Spec;
use cuckoo_diffusion::MAX_STEPS;
use cuckoo_primitives::{merkle, task::TaskSpec, H256};
use std::{
	fs::File,
	io::{BufReader, BufWriter, Read, Write},
	path::Path,
};

const MAGIC: &[u8] = b"cuckoo/trajectory/1\n";
const MAX_SPEC_BYTES: u32 = 64 << 10;
/// Two runs a step are more than any scheduler has; then noise, embedding and picture.
const MAX_LEAVES: u32 = 2 * MAX_STEPS as u32 + 3;
/// More than a picture of the largest size, or its latents, has.
const MAX_LEAF_BYTES: u32 = 64 << 20;
/// All leaves together.
const MAX_BYTES: u64 = 4 << 30;

/// A stored trajectory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
	/// What was asked for.
	pub spec: TaskSpec,
	/// The leaves, in the commitment's order.
	pub leaves: Vec<Vec<u8>>,
}

impl Stored {
	/// The root that a commitment to this trajectory has.
	pub fn root(&self) -> H256 {
		let leaves: Vec<H256> = self
			.leaves
			.iter()
			.map(|leaf| merkle::leaf_hash(leaf))
			.collect();
		merkle::root(&leaves)
	}
}

/// Writes a trajectory, whole or not at all.
pub fn write(path: &Path, spec: &TaskSpec, leaves: &[Vec<u8>]) -> anyhow::Result<()> {
	let mut beside = path.as_os_str().to_owned();
	beside.push(".part");
	let failed = || format!("cannot write {}", path.display());
	let file = File::create(&beside).with_context(failed)?;
	let mut out = BufWriter::new(file);
	let spec = serde_json::to_vec(&Spec::from(spec.clone()))?;
	let put = |out: &mut BufWriter<File>| -> anyhow::Result<()> {
		out.write_all(MAGIC)?;
		write_sized(out, &spec)?;
		out.write_all(&u32::try_from(leaves.len())?.to_le_bytes())?;
		for leaf in leaves {
			write_sized(out, leaf)?;
		}
		out.flush()?;
		Ok(())
	};
	put(&mut out).with_context(failed)?;
	std::fs::rename(&beside, path).with_context(failed)
}

fn write_sized(out: &mut impl Write, bytes: &[u8]) -> anyhow::Result<()> {
	out.write_all(&u32::try_from(bytes.len())?.to_le_bytes())?;
	out.write_all(bytes)?;
	Ok(())
}

/// Reads a trajectory.
pub fn read(path: &Path) -> anyhow::Result<Stored> {
	let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
	parse(BufReader::new(file))
		.with_context(|| format!("{} is no trajectory, or was cut", path.display()))
}

fn parse(mut input: impl Read) -> anyhow::Result<Stored> {
	let mut magic = [0; MAGIC.len()];
	input.read_exact(&mut magic)?;
	ensure!(magic == *MAGIC, "it begins with other bytes");
	let spec: Spec = serde_json::from_slice(&read_sized(&mut input, MAX_SPEC_BYTES)?)?;
	let count = read_number(&mut input)?;
	ensure!(count <= MAX_LEAVES, "it says that it has {count} leaves");
	let mut leaves = Vec::new();
	let mut total = 0;
	for _ in 0..count {
		let leaf = read_sized(&mut input, MAX_LEAF_BYTES)?;
		total += leaf.len() as u64;
		ensure!(total <= MAX_BYTES, "it has more than {MAX_BYTES} bytes");
		leaves.push(leaf);
	}
	let rest = input.read(&mut [0])?;
	ensure!(rest == 0, "there is more after the last leaf");
	Ok(Stored {
		spec: spec.into(),
		leaves,
	})
}

fn read_number(input: &mut impl Read) -> anyhow::Result<u32> {
	let mut bytes = [0; 4];
	input.read_exact(&mut bytes)?;
	Ok(u32::from_le_bytes(bytes))
}

fn read_sized(input: &mut impl Read, most: u32) -> anyhow::Result<Vec<u8>> {
	let length = read_number(input)?;
	ensure!(length <= most, "a part says that it has {length} bytes");
	// Not all at once: a file that says much and has little must not take the memory.
	let mut bytes = Vec::new();
	input.take(u64::from(length)).read_to_end(&mut bytes)?;
	ensure!(bytes.len() == length as usize, "its end is missing");
	Ok(bytes)
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_primitives::task::SchedulerKind;
	use proptest::prelude::*;

	fn stored() -> Stored {
		Stored {
			spec: TaskSpec {
				model: H256::repeat_byte(1),
				prompt: "a red apple".into(),
				negative_prompt: String::new(),
				seed: u64::MAX,
				steps: 1,
				width: 64,
				height: 64,
				guidance_milli: 3_000,
				scheduler: SchedulerKind::DpmPlusPlus2m,
			},
			leaves: vec![vec![1, 2], Vec::new(), vec![3; 5000]],
		}
	}

	fn bytes(stored: &Stored) -> Vec<u8> {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("t");
		write(&path, &stored.spec, &stored.leaves).unwrap();
		std::fs::read(path).unwrap()
	}

	#[test]
	fn what_is_written_is_read() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("t");
		write(&path, &stored().spec, &stored().leaves).unwrap();
		assert_eq!(read(&path).unwrap(), stored());
		assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
		assert!(read(&folder.path().join("nowhere")).is_err());
	}

	#[test]
	fn cut_and_longer_files_are_refused() {
		let whole = bytes(&stored());
		assert!(parse(&whole[..]).is_ok());
		for length in [0, 5, MAGIC.len(), MAGIC.len() + 4, whole.len() - 1] {
			assert!(parse(&whole[..length]).is_err(), "{length}");
		}
		assert!(parse(&[&whole[..], &[0]].concat()[..]).is_err());
		let mut large = MAGIC.to_vec();
		large.extend(u32::MAX.to_le_bytes());
		assert!(parse(&large[..]).is_err());
	}

	proptest! {
		#[test]
		fn any_bytes_end_without_a_panic(rest in prop::collection::vec(any::<u8>(), 0..200)) {
			let _ = parse(&[MAGIC, &rest].concat()[..]);
		}
	}
}
