//! The models that miners have declared. A miner can lie about a model's bounds, so of two
//! declarations that differ the one with more stake behind it counts.

use crate::store::KnownModel;
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	limits,
	task::ModelInfo,
};
use cuckoo_primitives::{task::ModelHash, Balance};

/// Most models that are remembered. Past this, unknown ones are not served.
pub const MAX_MODELS: usize = 4_096;

/// Checks what a miner declares about a model.
pub fn check(model: &ModelInfo) -> Result<(), ApiError> {
	let refuse = |what: &str| {
		let message = format!("model {:?}: {what}", model.hash);
		Err(ApiError::with_message(ErrorCode::CapabilitiesInvalid, message).about("models"))
	};
	if model.name.trim().is_empty() || model.name.len() > limits::MAX_MODEL_NAME_BYTES {
		return refuse("its name must have 1 to 100 bytes");
	}
	if model.max_size == 0 || model.max_size > limits::MAX_SIDE {
		return refuse("its largest side must lie within 1 and 2048");
	}
	if model.size_multiple == 0 || model.size_multiple > model.max_size {
		return refuse("its size multiple must lie within 1 and its largest side");
	}
	if model.default_size == 0
		|| model.default_size > model.max_size
		|| !model.default_size.is_multiple_of(model.size_multiple)
	{
		return refuse("its default size must be a multiple within its largest side");
	}
	if model.default_steps == 0 || model.default_steps > limits::MAX_STEPS {
		return refuse("its default steps must lie within 1 and 150");
	}
	if f64::from(model.default_guidance_milli) > limits::MAX_GUIDANCE * 1_000.0 {
		return refuse("its default guidance scale must not exceed 50");
	}
	Ok(())
}

/// Everything known of models, first seen first.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
	models: Vec<KnownModel>,
}

impl Catalogue {
	/// From the store.
	pub fn new(models: Vec<KnownModel>) -> Self {
		Self { models }
	}

	/// Every model, first seen first.
	pub fn all(&self) -> &[KnownModel] {
		&self.models
	}

	/// Notes a declaration with the stake behind it; true if it changed what is known.
	pub fn declare(&mut self, info: &ModelInfo, stake: Balance) -> bool {
		let has_room = self.models.len() < MAX_MODELS;
		match self
			.models
			.iter_mut()
			.find(|known| known.info.hash == info.hash)
		{
			Some(known) if known.info != *info && stake > known.stake => {
				*known = KnownModel {
					info: info.clone(),
					stake,
				};
				true
			},
			Some(_) => false,
			None if has_room => {
				self.models.push(KnownModel {
					info: info.clone(),
					stake,
				});
				true
			},
			None => false,
		}
	}

	/// The model with this hash.
	pub fn get(&self, hash: &ModelHash) -> Option<&ModelInfo> {
		self.models
			.iter()
			.map(|known| &known.info)
			.find(|info| info.hash == *hash)
	}

	/// The model of this hash (`0x` and hex digits) or name; of several of one name, the one that
	/// `weight` puts first, then the first seen.
	pub fn find(&self, text: &str, weight: impl Fn(&ModelHash) -> Balance) -> Option<&ModelInfo> {
		if let Ok(hash) = text.parse::<ModelHash>() {
			return self.get(&hash);
		}
		let named = self
			.models
			.iter()
			.map(|known| &known.info)
			.filter(|info| info.name == text);
		heaviest(named, weight)
	}

	/// The model that serves requests which name none.
	pub fn default_model(&self, weight: impl Fn(&ModelHash) -> Balance) -> Option<&ModelInfo> {
		heaviest(self.models.iter().map(|known| &known.info), weight)
	}
}

fn heaviest<'a>(
	models: impl Iterator<Item = &'a ModelInfo>,
	weight: impl Fn(&ModelHash) -> Balance,
) -> Option<&'a ModelInfo> {
	// `max_by_key` takes the last of equals: backwards that is the first seen.
	let mut models: Vec<&ModelInfo> = models.collect();
	if models.len() < 2 {
		// Nothing to weigh.
		return models.pop();
	}
	models
		.into_iter()
		.rev()
		.max_by_key(|info| weight(&info.hash))
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_primitives::H256;

	fn model(hash: u8, name: &str) -> ModelInfo {
		ModelInfo {
			hash: H256::repeat_byte(hash),
			name: name.into(),
			default_size: 64,
			size_multiple: 8,
			max_size: 128,
			default_steps: 20,
			default_guidance_milli: 3_000,
		}
	}

	#[test]
	fn stake_decides_between_declarations() {
		let mut catalogue = Catalogue::default();
		assert!(catalogue.declare(&model(1, "a"), 10));
		let liar = ModelInfo {
			max_size: 64,
			..model(1, "a")
		};
		assert!(!catalogue.declare(&liar, 10));
		assert_eq!(catalogue.get(&H256::repeat_byte(1)).unwrap().max_size, 128);
		assert!(catalogue.declare(&liar, 11));
		assert!(!catalogue.declare(&liar, 12), "nothing new");
	}

	#[test]
	fn names_and_defaults_go_by_weight_then_age() {
		let mut catalogue = Catalogue::default();
		for info in [model(1, "a"), model(2, "a"), model(3, "b")] {
			catalogue.declare(&info, 1);
		}
		let hash = |info: Option<&ModelInfo>| info.map(|info| info.hash.0[0]);
		assert_eq!(hash(catalogue.find("a", |_| 0)), Some(1));
		assert_eq!(hash(catalogue.find("a", |hash| hash.0[0].into())), Some(2));
		assert_eq!(
			hash(catalogue.default_model(|hash| hash.0[0].into())),
			Some(3)
		);
		assert_eq!(hash(catalogue.default_model(|_| 0)), Some(1));
		assert_eq!(
			hash(catalogue.find(&format!("{:?}", H256::repeat_byte(2)), |_| 0)),
			Some(2)
		);
		assert_eq!(hash(catalogue.find("c", |_| 0)), None);
	}

	#[test]
	fn declarations_out_of_bounds_are_refused() {
		assert_eq!(check(&model(1, "a")), Ok(()));
		let wrong = [
			ModelInfo {
				name: " ".into(),
				..model(1, "a")
			},
			ModelInfo {
				name: "x".repeat(101),
				..model(1, "a")
			},
			ModelInfo {
				size_multiple: 0,
				..model(1, "a")
			},
			ModelInfo {
				max_size: 4_096,
				..model(1, "a")
			},
			ModelInfo {
				default_size: 65,
				..model(1, "a")
			},
			ModelInfo {
				default_steps: 0,
				..model(1, "a")
			},
			ModelInfo {
				default_guidance_milli: 50_001,
				..model(1, "a")
			},
		];
		for info in wrong {
			assert_eq!(
				check(&info).unwrap_err().code,
				ErrorCode::CapabilitiesInvalid,
				"{info:?}"
			);
		}
	}
}
