//! Builds the wasm runtime beside the native one.

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
	builder.build();
}

/// The builder looks for the workspace's Cargo.lock above the target folder, which may stand somewhere
/// else. Without the lockfile the wasm runtime would be built from other versions.
#[cfg(feature = "std")]
fn point_to_lockfile() {
	const VARIABLE: &str = "WASM_BUILD_WORKSPACE_HINT";
	if std::env::var_os(VARIABLE).is_none() {
		std::env::set_var(VARIABLE, concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
	}
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
