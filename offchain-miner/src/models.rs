//! Finds the model folders: those named, or the default one.

use std::{
	env,
	path::{Path, PathBuf},
};

/// The environment variable that names a model folder.
pub const MODEL_VARIABLE: &str = "CUCKOO_MODEL";

/// Where the default model lies in a checkout, and beside an installation.
const IN_CHECKOUT: &str = "models/default/model";
/// Where it lies in the user's data folder.
const IN_DATA: &str = "cuckoo/models/default";
/// What makes a folder a model folder.
pub const INDEX: &str = "model_index.json";

/// No model was named, and the default one is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
	"no model: name a folder with --model or in {MODEL_VARIABLE}; no {INDEX} in {}",
	.looked_in.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ")
)]
pub struct NoModel {
	/// The places without one.
	pub looked_in: Vec<PathBuf>,
}

/// The folders named, or else the default one.
pub fn find(named: &[PathBuf]) -> Result<Vec<PathBuf>, NoModel> {
	if !named.is_empty() {
		return Ok(named.to_vec());
	}
	let data = directories::BaseDirs::new().map(|dirs| dirs.data_dir().to_owned());
	let places = places(
		env::current_dir().ok().as_deref(),
		env::current_exe().ok().as_deref(),
		data,
	);
	match places.iter().find(|place| place.join(INDEX).is_file()) {
		Some(found) => Ok(vec![found.clone()]),
		None => Err(NoModel { looked_in: places }),
	}
}

/// Where the default model may be: the current folder, those above the executable, the user's data.
fn places(here: Option<&Path>, executable: Option<&Path>, data: Option<PathBuf>) -> Vec<PathBuf> {
	let above = executable
		.into_iter()
		.flat_map(|path| path.ancestors().skip(1));
	let mut places: Vec<PathBuf> = Vec::new();
	for place in here
		.into_iter()
		.chain(above)
		.map(|folder| folder.join(IN_CHECKOUT))
		.chain(data.map(|folder| folder.join(IN_DATA)))
	{
		if !places.contains(&place) {
			places.push(place);
		}
	}
	places
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn the_current_folder_comes_first_and_no_place_twice() {
		let places = places(
			Some(Path::new("/a")),
			Some(Path::new("/a/target/miner")),
			Some(PathBuf::from("/data")),
		);
		let expected = [
			"/a/models/default/model",
			"/a/target/models/default/model",
			"/models/default/model",
			"/data/cuckoo/models/default",
		];
		assert_eq!(places, expected.map(PathBuf::from));
	}

	#[test]
	fn what_is_named_is_taken_as_it_is() {
		let named = vec![PathBuf::from("/nowhere")];
		assert_eq!(find(&named), Ok(named.clone()));
	}
}
