//! Order, fairness and bounds, against a model that is a plain list.

use super::*;
use proptest::prelude::*;

const MODEL: ModelHash = H256::repeat_byte(1);
const OTHER_MODEL: ModelHash = H256::repeat_byte(2);

fn app(number: u8) -> AppId {
	AppId::new(&format!("app {number}"))
}

fn waiting(seq: i64, from: u8, pixel_steps: u64) -> Waiting {
	Waiting {
		seq,
		task: TaskId((seq as u128).to_be_bytes()),
		app: app(from),
		priority: 5,
		model: MODEL,
		spec_hash: H256::zero(),
		steps: 1,
		pixel_steps,
		next_attempt: 0,
		failed_miners: Vec::new(),
		until_ms: 100,
		draw_by_ms: u64::MAX,
		pay: 0,
	}
}

fn overdue(queue: &Queue, now_ms: u64) -> Vec<TaskId> {
	let overdue = queue.overdue(now_ms).into_iter();
	overdue.map(|(task, _)| task).collect()
}

/// Hands out what is next.
fn take(queue: &mut Queue) -> Option<Waiting> {
	let seq = queue.line(&MODEL).next()?.seq;
	queue.take(seq)
}

fn takes(queue: &mut Queue, number: usize) -> Vec<i64> {
	(0..number).filter_map(|_| Some(take(queue)?.seq)).collect()
}

#[test]
fn one_app_is_served_by_priority_then_in_order_also_what_comes_back() {
	let mut queue = Queue::default();
	for (seq, priority) in [(1, 5), (2, 5), (3, 9), (4, 0), (5, 5)] {
		queue.insert(Waiting {
			priority,
			..waiting(seq, 0, 10)
		});
	}
	let first = take(&mut queue).unwrap();
	let second = take(&mut queue).unwrap();
	assert_eq!((first.seq, second.seq), (3, 1));
	queue.put_back(second.clone());
	queue.put_back(second);
	assert_eq!(queue.len(), 4, "twice is once");
	let places: Vec<u64> = queue.line(&MODEL).map(|it| queue.before(it)).collect();
	assert_eq!(places, vec![0, 1, 2, 3]);
	assert_eq!(takes(&mut queue, 9), vec![1, 2, 5, 4]);
	assert!(queue.is_empty() && queue.apps.is_empty() && queue.lines.is_empty());
}

#[test]
fn an_app_with_one_task_passes_one_with_ten_thousand() {
	let mut queue = Queue::default();
	for seq in 0..10_000 {
		queue.insert(waiting(seq, 0, 10));
	}
	takes(&mut queue, 100);
	let late = waiting(10_000, 1, 10);
	queue.insert(late.clone());
	assert_eq!(queue.before(&late), 1, "at most one before it");
	assert!(takes(&mut queue, 2).contains(&10_000));
	let start = std::time::Instant::now();
	for seq in 0..2_000 {
		queue.insert(waiting(20_000 + seq, 1, 10));
		takes(&mut queue, 1);
	}
	let each = start.elapsed() / 2_000;
	println!("{each:?} to insert one and take one of 10,000");
	assert!(each < std::time::Duration::from_millis(1), "{each:?}");
}

#[test]
fn work_counts_and_not_the_number_of_tasks() {
	let mut queue = Queue::default();
	for number in 0..100 {
		queue.insert(waiting(2 * number, 0, 40));
		queue.insert(waiting(2 * number + 1, 1, 10));
	}
	let large = takes(&mut queue, 50)
		.into_iter()
		.filter(|seq| seq % 2 == 0)
		.count();
	assert_eq!(large, 10, "one large for four small");
}

/// Who comes with one task at a time is charged for what it got before as long as others wait.
#[test]
fn leaving_and_coming_back_gains_nothing() {
	let mut queue = Queue::default();
	for seq in 0..100 {
		queue.insert(waiting(seq, 0, 10));
	}
	let mut sly = 0;
	for number in 0..40 {
		if queue.count(&app(1)) == 0 {
			queue.insert(waiting(1_000 + number, 1, 10));
		}
		sly += usize::from(take(&mut queue).unwrap().app == app(1));
	}
	assert!((19..=21).contains(&sly), "{sly} of 40");
}

#[test]
fn a_newcomer_does_not_pass_who_waits_for_the_same_turn() {
	let mut queue = Queue::default();
	for seq in 0..4 {
		queue.insert(waiting(seq, seq as u8 % 2, 10));
	}
	assert_eq!(takes(&mut queue, 3), vec![0, 1, 2]);
	queue.insert(waiting(4, 2, 10));
	assert_eq!(takes(&mut queue, 2), vec![3, 4]);
}

/// An app that waits for a model that nobody serves does not save up turns.
#[test]
fn waiting_for_what_nobody_serves_saves_nothing_up() {
	let mut queue = Queue::default();
	queue.insert(Waiting {
		model: OTHER_MODEL,
		..waiting(0, 1, 10)
	});
	for seq in 1..500 {
		queue.insert(waiting(seq, 0, 10));
	}
	takes(&mut queue, 200);
	for seq in 1_000..1_100 {
		queue.insert(waiting(seq, 1, 10));
	}
	let hoarder = takes(&mut queue, 40)
		.into_iter()
		.filter(|seq| *seq >= 1_000)
		.count();
	assert!((19..=21).contains(&hoarder), "{hoarder} of 40");
}

#[test]
fn a_task_that_comes_back_is_next_and_is_not_charged_twice() {
	let mut queue = Queue::default();
	for number in 0..50 {
		queue.insert(waiting(2 * number, 0, 10));
		queue.insert(waiting(2 * number + 1, 1, 10));
	}
	let failed = take(&mut queue).unwrap();
	takes(&mut queue, 11);
	queue.put_back(failed.clone());
	assert_eq!(take(&mut queue).unwrap().seq, failed.seq);
	let rest = takes(&mut queue, 40);
	let same = rest
		.iter()
		.filter(|seq| (*seq - failed.seq) % 2 == 0)
		.count();
	assert!((19..=21).contains(&same), "{same} of 40");
}

#[test]
fn apps_without_tasks_are_remembered_only_while_that_matters_and_within_bounds() {
	let mut queue = Queue::default();
	queue.insert(Waiting {
		model: OTHER_MODEL,
		..waiting(0, 0, 10)
	});
	for seq in 1..MAX_IDLE as i64 + 1_000 {
		queue.insert(Waiting {
			app: AppId::new(&format!("passer-by {seq}")),
			..waiting(seq, 0, 10)
		});
		takes(&mut queue, 1);
	}
	assert!(queue.apps.len() <= MAX_IDLE + 1);
	assert_eq!(queue.idle.len() + 1, queue.apps.len());
	queue.remove(0);
	assert!(queue.apps.is_empty() && queue.idle.is_empty());
}

#[test]
fn names_the_overdue_until_they_are_taken_out() {
	let mut queue = Queue::default();
	for (seq, until_ms) in [(1, 10), (2, 5)] {
		queue.insert(Waiting {
			until_ms,
			..waiting(seq, 0, 1)
		});
	}
	assert_eq!(queue.overdue(4), vec![]);
	assert_eq!(overdue(&queue, 5), vec![waiting(2, 0, 1).task]);
	queue.remove(2);
	assert_eq!(overdue(&queue, 10), vec![waiting(1, 0, 1).task]);
	queue.remove(1);
	assert!(queue.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
	Insert {
		app: u8,
		priority: u8,
		work: u64,
		other_model: bool,
	},
	Take {
		other_model: bool,
	},
	PutBack(u8),
	Remove(u8),
}

fn step() -> impl Strategy<Value = Step> {
	prop_oneof![
		5 => (0u8..5, 0u8..3, 1u64..50, any::<bool>()).prop_map(|(app, priority, work, other_model)| {
			Step::Insert { app, priority, work, other_model }
		}),
		4 => any::<bool>().prop_map(|other_model| Step::Take { other_model }),
		1 => any::<u8>().prop_map(Step::PutBack),
		1 => any::<u8>().prop_map(Step::Remove),
	]
}

proptest! {
	/// Whatever happens, exactly what was put in and not taken out waits; a model with a task always
	/// has a next one; and what is next is its app's first by priority and then by acceptance.
	#[test]
	fn nothing_is_lost_nobody_blocks_and_each_app_is_in_order(
		steps in prop::collection::vec(step(), 1..200),
	) {
		let mut queue = Queue::default();
		let mut list: Vec<Waiting> = Vec::new();
		let mut out: Vec<Waiting> = Vec::new();
		for (seq, step) in steps.into_iter().enumerate() {
			match step {
				Step::Insert { app, priority, work, other_model } => {
					let model = if other_model { OTHER_MODEL } else { MODEL };
					let new = Waiting { priority, model, ..waiting(seq as i64, app, work) };
					list.push(new.clone());
					queue.insert(new);
				},
				Step::Take { other_model } => {
					let model = if other_model { OTHER_MODEL } else { MODEL };
					let next = queue.line(&model).next().cloned();
					let Some(next) = next else {
						prop_assert!(list.iter().all(|it| it.model != model), "work conserving");
						continue;
					};
					let own = list.iter().filter(|it| it.app == next.app && it.model == model);
					let first = own.min_by_key(|it| (Reverse(it.priority), it.seq)).unwrap();
					prop_assert_eq!(first, &next);
					prop_assert_eq!(queue.take(next.seq), Some(next.clone()));
					list.retain(|it| it.seq != next.seq);
					out.push(next);
				},
				Step::PutBack(pick) if !out.is_empty() => {
					let task = out.remove(usize::from(pick) % out.len());
					list.push(task.clone());
					queue.put_back(task);
				},
				Step::Remove(pick) if !list.is_empty() => {
					let task = list.remove(usize::from(pick) % list.len());
					prop_assert_eq!(queue.remove(task.seq), Some(task));
				},
				Step::PutBack(_) | Step::Remove(_) => {},
			}
			prop_assert_eq!(queue.len(), list.len());
			let both = queue.line(&MODEL).chain(queue.line(&OTHER_MODEL));
			let mut in_lines: Vec<i64> = both.map(|it| it.seq).collect();
			in_lines.sort_unstable();
			let mut expected: Vec<i64> = list.iter().map(|it| it.seq).collect();
			expected.sort_unstable();
			prop_assert_eq!(in_lines, expected);
			for number in 0..5 {
				let count = list.iter().filter(|it| it.app == app(number)).count();
				prop_assert_eq!(queue.count(&app(number)), count);
			}
			for it in &list {
				let own = list.iter().filter(|other| {
					let order = |it: &Waiting| (Reverse(it.priority), it.seq);
					other.app == it.app && other.model == it.model && order(other) < order(it)
				});
				prop_assert!(queue.before(it) >= own.count() as u64);
				prop_assert!(queue.before(it) < list.len() as u64);
			}
		}
	}

	/// Apps that wait all the time, whatever the sizes of their tasks, and with attempts that fail:
	/// each gets its fair share of the work to within the largest task.
	#[test]
	fn each_app_that_waits_gets_its_share(
		works in prop::collection::vec(1u64..100, 2..6),
		failures in prop::collection::vec(any::<bool>(), 400),
	) {
		let mut queue = Queue::default();
		let apps = works.len();
		let mut seq = 0;
		let mut done = vec![0u64; apps];
		let largest = *works.iter().max().unwrap();
		for failed in failures {
			for (number, work) in works.iter().enumerate() {
				while queue.count(&app(number as u8)) < 3 {
					// Sizes vary within an app, too.
					queue.insert(waiting(seq, number as u8, 1 + (work * 7 + seq as u64 * 13) % work));
					seq += 1;
				}
			}
			let taken = take(&mut queue).unwrap();
			if failed {
				queue.put_back(taken);
				continue;
			}
			let number = (0..apps).find(|number| app(*number as u8) == taken.app).unwrap();
			done[number] += taken.pixel_steps;
			let fair = done.iter().sum::<u64>() / apps as u64;
			for (number, done) in done.iter().enumerate() {
				prop_assert!(done + largest >= fair, "app {} got {} of {}", number, done, fair);
			}
		}
	}

	/// A newcomer waits for no more than one task of each app that was there.
	#[test]
	fn a_newcomer_is_served_within_a_round(apps in 1u8..8, before in 0usize..200, work in 1u64..100) {
		let mut queue = Queue::default();
		for seq in 0..300 {
			queue.insert(waiting(seq, seq as u8 % apps, work));
		}
		takes(&mut queue, before);
		let newcomer = waiting(1_000, 100, work);
		queue.insert(newcomer.clone());
		let bound = queue.before(&newcomer) as usize;
		prop_assert!(bound <= usize::from(apps));
		prop_assert!(takes(&mut queue, bound + 1).contains(&1_000));
	}
}

#[test]
fn waits_can_be_prolonged_and_are_not_cut_short() {
	let mut queue = Queue::default();
	for (seq, until_ms) in [(1, 10), (2, 50)] {
		queue.insert(Waiting {
			until_ms,
			..waiting(seq, 0, 10)
		});
	}
	let (first, second) = (queue.get(1).unwrap().task, queue.get(2).unwrap().task);
	queue.keep_until(20);
	assert_eq!((queue.overdue(19), queue.len()), (vec![], 2));
	assert_eq!(overdue(&queue, 20), vec![first]);
	assert_eq!(overdue(&queue, 50), vec![first, second]);
	queue.remove(1).unwrap();
	assert_eq!(
		overdue(&queue, 50),
		vec![second],
		"the two tables still agree"
	);
}

#[test]
fn nobody_waits_past_the_last_draw_that_keeps_a_deadline() {
	let mut queue = Queue::default();
	queue.insert(Waiting {
		draw_by_ms: 70,
		..waiting(1, 0, 10)
	});
	queue.insert(waiting(2, 0, 10));
	queue.keep_until(500);
	let overdue = |queue: &Queue, now_ms| queue.overdue(now_ms).len();
	assert_eq!((overdue(&queue, 69), overdue(&queue, 70)), (0, 1));
	assert_eq!((overdue(&queue, 499), overdue(&queue, 500)), (1, 2));
	let drawn = take(&mut queue).unwrap();
	queue.put_back(Waiting {
		until_ms: 900,
		..drawn
	});
	assert_eq!(overdue(&queue, 70), 1, "also when it comes back");
}
