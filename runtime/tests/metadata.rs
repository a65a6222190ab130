//! The off-chain programs are compiled against a copy of this runtime's metadata. It must be this
//! runtime's.

// The fast runtime has other constants: the copy is of the normal one.
#![cfg(not(feature = "fast-runtime"))]

use cuckoo_runtime::Runtime;
use std::{fs, path::Path};

/// The newest stable version: the one that clients ask a node for.
const VERSION: u32 = 16;

/// Set to write the copy instead of comparing it.
const UPDATE: &str = "CUCKOO_UPDATE_METADATA";

#[test]
fn checked_in_metadata_is_this_runtimes() {
	let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chain-client/metadata/cuckoo.scale");
	let metadata = Runtime::metadata_at_version(VERSION).expect("the version is supported");
	let metadata: &[u8] = &metadata;
	if std::env::var_os(UPDATE).is_some() {
		fs::create_dir_all(path.parent().expect("the path has a parent"))
			.expect("the folder can be made");
		fs::write(&path, metadata).expect("the copy can be written");
	}
	let copy = fs::read(&path).unwrap_or_default();
	assert!(
		copy == metadata,
		"chain-client/metadata/cuckoo.scale is not the metadata of this runtime. If the change is \
		 meant, write it anew: {UPDATE}=1 cargo test --release -p cuckoo-runtime --test metadata",
	);
}

#[test]
fn the_newest_version_is_the_one_that_is_kept() {
	let newest = Runtime::metadata_versions()
		.into_iter()
		.filter(|version| *version != u32::MAX)
		.max();
	assert_eq!(newest, Some(VERSION));
}
