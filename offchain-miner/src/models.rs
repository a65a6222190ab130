//! Finds the model folders: those named, or the default one.

use cuckoo_coordinator_api::limits;
use cuckoo_diffusion::ModelFolder;
use std::{
	collections::BTreeSet,
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

/// Coordinators would not take what this miner holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDeclared {
	/// Too many models.
	#[error(
		"{0} models are held, and coordinators take at most {MAX_MODELS} from a miner: name fewer"
	)]
	TooMany(usize),
	/// A name that they refuse.
	#[error(
		"the model in {folder} is called {name:?}: coordinators take names of 1 to {MAX_NAME_BYTES} bytes"
	)]
	Name {
		/// The folder.
		folder: PathBuf,
		/// The name.
		name: String,
	},
}

const MAX_MODELS: usize = limits::MAX_MODELS_PER_MINER;
const MAX_NAME_BYTES: usize = limits::MAX_MODEL_NAME_BYTES;

/// Each model once, wherever else it lies too.
pub fn distinct(mut folders: Vec<ModelFolder>) -> Vec<ModelFolder> {
	let mut seen = BTreeSet::new();
	folders.retain(|folder| seen.insert(folder.hash()));
	folders
}

/// Whether coordinators take so many models of these names.
pub fn declarable(folders: &[ModelFolder]) -> Result<(), NotDeclared> {
	if folders.len() > MAX_MODELS {
		return Err(NotDeclared::TooMany(folders.len()));
	}
	let wrong = folders.iter().find(|folder| !is_name(folder.name()));
	wrong.map_or(Ok(()), |folder| {
		Err(NotDeclared::Name {
			folder: folder.path().to_owned(),
			name: folder.name().to_owned(),
		})
	})
}

fn is_name(name: &str) -> bool {
	!name.trim().is_empty() && name.len() <= MAX_NAME_BYTES
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

	/// As `--imported` brings them when one of them is named with `--model` too.
	#[test]
	fn a_model_that_lies_in_two_places_is_held_once() {
		let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default/model");
		let folder = ModelFolder::open(&path).unwrap();
		let held = distinct(vec![folder.clone(), folder.clone()]);
		assert_eq!(held.len(), 1);
		assert_eq!(declarable(&held), Ok(()));
		let many = vec![folder; MAX_MODELS + 1];
		assert_eq!(declarable(&many), Err(NotDeclared::TooMany(MAX_MODELS + 1)));
	}

	#[test]
	fn names_are_those_that_coordinators_take() {
		assert!(is_name("tiny") && is_name(&"x".repeat(MAX_NAME_BYTES)));
		for wrong in ["", " ", &"x".repeat(MAX_NAME_BYTES + 1)] {
			assert!(!is_name(wrong), "{wrong:?}");
		}
	}

	#[test]
	fn what_is_named_is_taken_as_it_is() {
		let named = vec![PathBuf::from("/nowhere")];
		assert_eq!(find(&named), Ok(named.clone()));
	}
}
