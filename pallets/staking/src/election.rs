//! Who validates next: a plain function of the candidates' order, the incumbents and the bounds.

use alloc::vec::Vec;

/// The bounds of a set of validators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seats {
	/// Most validators.
	pub most: usize,
	/// Fewest validators: below it incumbents keep their seats although they are no candidates.
	pub floor: usize,
}

/// The next validators, or `None` where the incumbents stay as they are.
///
/// `candidates` are those who may validate, the best first; `incumbents` those who do now. The best
/// get the seats. Are there fewer candidates than the floor, incumbents that `may_stay` fill up to it in
/// their order: a chain with too few validators is safer with a suspended one than with none. The same validators
/// in another order are no change, so that sessions do not change for nothing.
pub fn elect<Id: Ord + Clone>(
	candidates: impl IntoIterator<Item = Id>,
	incumbents: &[Id],
	may_stay: impl Fn(&Id) -> bool,
	seats: Seats,
) -> Option<Vec<Id>> {
	let mut elected: Vec<Id> = candidates.into_iter().take(seats.most).collect();
	for incumbent in incumbents.iter().filter(|incumbent| may_stay(incumbent)) {
		if elected.len() >= seats.floor.max(1) {
			break;
		}
		if !elected.contains(incumbent) {
			elected.push(incumbent.clone());
		}
	}
	let sorted = |ids: &[Id]| {
		let mut sorted = ids.to_vec();
		sorted.sort();
		sorted
	};
	(!elected.is_empty() && sorted(&elected) != sorted(incumbents)).then_some(elected)
}
