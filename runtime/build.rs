//! Builds the wasm runtimes beside the native one: the normal one and, with the feature `fast-runtime`,
//! the fast one.

#[cfg(feature = "std")]
fn main() {
	point_to_lockfile();
	wasm_toolchain::select();
	// A lint driver put around the workspace's own crates must not drive the wasm compiler, which may
	// be of another toolchain.
	std::env::remove_var("RUSTC_WORKSPACE_WRAPPER");

	let builder = substrate_wasm_builder::WasmBuilder::init_with_defaults();
	#[cfg(feature = "metadata-hash")]
	let builder = builder.enable_metadata_hash("CUC", 12);
	linked::forget();
	builder.build();

	// In the same wasm project: only the runtime's own crate is compiled once more. With the feature in
	// force already both would be the same.
	#[cfg(not(feature = "fast-runtime"))]
	{
		linked::forget();
		substrate_wasm_builder::WasmBuilder::init_with_defaults()
			.set_file_name("fast_wasm_binary.rs")
			.enable_feature("fast-runtime")
			.build();
		linked::assert_different("wasm_binary.rs", "fast_wasm_binary.rs");
	}
}

/// What the two builds of one wasm project leave behind.
#[cfg(feature = "std")]
mod linked {
	use std::{env, fs, path::PathBuf};

	fn out_dir() -> PathBuf {
		env::var_os("OUT_DIR")
			.expect("cargo sets it for build scripts")
			.into()
	}

	/// Removes the linked library of the build before.
	///
	/// Cargo gives a path crate's wasm library one file name for any set of features. It would take the
	/// other build's library for this one's when nothing else has changed.
	pub fn forget() {
		let out_dir = out_dir();
		// OUT_DIR is PROFILE/build/NAME-HASH/out; the builder works in PROFILE/wbuild/NAME.
		let Some(profile) = out_dir.ancestors().nth(3) else {
			return;
		};
		let target = profile
			.join("wbuild")
			.join(env!("CARGO_PKG_NAME"))
			.join("target");
		let library = format!("{}.wasm", env!("CARGO_PKG_NAME").replace('-', "_"));
		let folders = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
		for triple in folders(target) {
			for profile in folders(triple.path()) {
				// None there is what is wanted.
				let _ = fs::remove_file(profile.path().join("deps").join(&library));
			}
		}
	}

	/// Ends the build if two of the files that name a wasm runtime lead to the same bytes.
	#[cfg(not(feature = "fast-runtime"))]
	pub fn assert_different(one: &str, other: &str) {
		let (one, other) = (runtime(one), runtime(other));
		assert!(
			one.is_none() || one != other,
			"both wasm runtimes are the same: remove the folder wbuild in the target folder",
		);
	}

	/// The bytes of the runtime that the generated file `name` includes; `None` where the wasm build is
	/// skipped.
	#[cfg(not(feature = "fast-runtime"))]
	fn runtime(name: &str) -> Option<Vec<u8>> {
		let generated = fs::read_to_string(out_dir().join(name)).ok()?;
		let (_, rest) = generated.split_once("include_bytes!(\"")?;
		let (path, _) = rest.split_once('"')?;
		fs::read(path).ok()
	}
}

/// The builder looks for the workspace's Cargo.lock above the target folder, which may stand somewhere
/// else. Without the lockfile the wasm runtime would be built from other versions.
#[cfg(feature = "std")]
fn point_to_lockfile() {
	const VARIABLE: &str = "WASM_BUILD_WORKSPACE_HINT";
	if std::env::var_os(VARIABLE).is_some() {
		return;
	}
	// Asked for now and not when this was compiled: cargo takes what it compiled in another checkout as
	// good when both have one target folder.
	let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts");
	let workspace = std::path::Path::new(&package).join("..");
	assert!(
		workspace.join("Cargo.lock").exists(),
		"the workspace has no Cargo.lock: run cargo in the workspace's own folder"
	);
	std::env::set_var(VARIABLE, workspace);
}

/// Inside the wasm build itself there is nothing left to build.
#[cfg(not(feature = "std"))]
fn main() {}

#[cfg(feature = "std")]
mod wasm_toolchain {
	use std::{env, path::Path, process::Command};

	/// What the builder compiles for, and the name of its folder in a sysroot.
	const TARGET: &str = "wasm32v1-none";

	/// The toolchain that the set-up script links where rustup cannot add [`TARGET`] to the pinned one
	/// (rustup's servers out of reach): the distribution's rustc with a self-built core and alloc.
	const FALLBACK: &str = "cuckoo-wasm";

	/// The builder's own variable: which rustup toolchain compiles the wasm runtime.
	const VARIABLE: &str = "WASM_BUILD_TOOLCHAIN";

	/// Chooses the toolchain for the wasm part, so that a plain `cargo build` works. In this order:
	/// what the user set, the pinned toolchain if it has the target, the fallback if it is linked. If
	/// none fits, nothing is set, and the builder says itself which target is missing.
	///
	/// A `rust-toolchain.toml` that names a target which rustup could not add is accepted without a
	/// word, hence the look into the sysroot.
	pub fn select() {
		println!("cargo:rerun-if-env-changed={VARIABLE}");
		if env::var_os(VARIABLE).is_some() {
			return;
		}
		let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
		if has_target(&mut Command::new(rustc)) {
			return;
		}
		if has_target(Command::new("rustup").args(["run", FALLBACK, "rustc"])) {
			env::set_var(VARIABLE, FALLBACK);
		}
	}

	/// Whether the sysroot of this compiler holds the target's libraries.
	fn has_target(rustc: &mut Command) -> bool {
		// The variable would override the toolchain that the command names.
		let output = rustc
			.env_remove("RUSTC")
			.args(["--print", "sysroot"])
			.output();
		match output {
			Ok(output) if output.status.success() => {
				let sysroot = String::from_utf8_lossy(&output.stdout);
				Path::new(sysroot.trim())
					.join("lib/rustlib")
					.join(TARGET)
					.join("lib")
					.is_dir()
			},
			_ => false,
		}
	}
}
