//! Random histories: whatever miners, apps and time do, every open task waits or is leased, nobody
//! holds more than it can, and exactly those without a lack can be drawn.

use super::*;
use crate::terms::Terms;
use crate::{
	apps::AppId,
	draw::{tests::recorded, ListEntries},
	state::Event,
};
use cuckoo_chain_client::BlockRef;
use cuckoo_coordinator_api::task::ModelInfo;
use cuckoo_primitives::{
	draw,
	task::{DeviceClass, SchedulerKind, TaskSpec},
	WorkerId, CUC,
};
use proptest::prelude::*;

const MINERS: u8 = 4;
const COORDINATOR: AccountId = AccountId::new([0xcc; 32]);

fn account(number: u8) -> AccountId {
	AccountId::new([number; 32])
}

fn worker(number: u8) -> WorkerId {
	WorkerId::from_raw([number; 32])
}

fn token(number: u8, session: u8) -> H256 {
	H256::from_low_u64_be(u64::from(number) * 256 + u64::from(session))
}

fn model() -> ModelInfo {
	ModelInfo {
		hash: H256::repeat_byte(1),
		name: "tiny".into(),
		default_size: 64,
		size_multiple: 8,
		max_size: 64,
		default_steps: 4,
		default_guidance_milli: 0,
	}
}

fn registry(block: u32, miners: u32, is_active: impl Fn(u32) -> bool) -> Arc<Registry> {
	let operators = (0..miners).map(|number| {
		let mut key = [number as u8; 32];
		if number > 255 {
			key[..4].copy_from_slice(&number.to_be_bytes());
		}
		let stake = Balance::from(20_001 + number) * CUC;
		Operator {
			account: AccountId::new(key),
			role: Role::Miner,
			worker: Some(WorkerId::from_raw(key)),
			commission_ppb: 0,
			next_commission: None,
			name: String::new(),
			endpoint: String::new(),
			text: String::new(),
			self_stake: stake,
			total_stake: stake,
			active: is_active(number),
			retired: false,
			suspended: false,
			streaming: 0,
		}
	});
	let block = BlockRef {
		number: block,
		hash: H256::zero(),
	};
	let minima = Role::ALL.map(|role| (role, role.default_min_self_stake()));
	Arc::new(Registry::new(
		block,
		H256::repeat_byte(7),
		operators.collect(),
		minima,
	))
}

fn hello(worker: WorkerId, slots: u16) -> Hello {
	Hello {
		worker,
		challenge: H256::zero(),
		signature: WorkerSignature::from_raw([0; 64]),
		models: vec![model()],
		device: DeviceClass::Cpu,
		device_name: String::new(),
		slots,
		engine: String::new(),
	}
}

fn live() -> Live {
	let challenges = Challenges::new([0; 32]);
	Live::new(
		Settings::default(),
		challenges,
		Catalogue::default(),
		Vec::new(),
		0,
	)
}

/// The tables with what the store would hold.
struct World {
	live: Live,
	tasks: BTreeMap<TaskId, (TaskRow, Stage)>,
	lists: Vec<(u64, u32, ListEntries)>,
	sessions: [u8; MINERS as usize],
	/// What each miner may still be told: the most that it offered, less what it was told of since.
	open: [u16; MINERS as usize],
	told: BTreeSet<(TaskId, u32)>,
	now_ms: UnixMs,
}

#[derive(Clone, Debug)]
enum Step {
	Hello(u8),
	Poll {
		miner: u8,
		free_slots: u16,
		names_all: bool,
	},
	Task,
	Draw {
		commits: bool,
	},
	Finish {
		pick: u8,
		good: bool,
	},
	Cancel(u8),
	Block {
		inactive: u8,
	},
	Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
	let miner = 0..MINERS;
	prop_oneof![
		1 => miner.clone().prop_map(Step::Hello),
		4 => (miner, 0u16..4, any::<bool>()).prop_map(|(miner, free_slots, names_all)| {
			Step::Poll { miner, free_slots, names_all }
		}),
		4 => Just(Step::Task),
		4 => prop::bool::weighted(0.9).prop_map(|commits| Step::Draw { commits }),
		3 => (any::<u8>(), any::<bool>()).prop_map(|(pick, good)| Step::Finish { pick, good }),
		1 => any::<u8>().prop_map(Step::Cancel),
		1 => (0..MINERS + 1).prop_map(|inactive| Step::Block { inactive }),
		2 => (0u64..40_000).prop_map(Step::Pass),
	]
}

impl World {
	fn new() -> Self {
		let mut live = live();
		live.set_registry(registry(0, MINERS.into(), |_| true), 0);
		Self {
			live,
			tasks: BTreeMap::new(),
			lists: Vec::new(),
			sessions: [0; MINERS as usize],
			open: [0; MINERS as usize],
			told: BTreeSet::new(),
			now_ms: 1,
		}
	}

	fn take(&mut self, step: Step) {
		let now_ms = self.now_ms;
		match step {
			Step::Hello(miner) => {
				let session = &mut self.sessions[usize::from(miner)];
				*session = session.wrapping_add(1).max(1);
				let token = token(miner, *session);
				let slots = 1 + u16::from(miner) % 2;
				self.live
					.hello(&account(miner), &hello(worker(miner), slots), token, now_ms);
			},
			Step::Poll {
				miner,
				free_slots,
				names_all,
			} => {
				self.poll(miner, free_slots, names_all);
			},
			Step::Task => self.accept(),
			Step::Draw { commits } => self.draw(commits),
			Step::Finish { pick, good } => {
				let leased: Vec<TaskId> = self.live.leases.overdue_tasks();
				let Some(id) = leased.get(usize::from(pick) % leased.len().max(1)) else {
					return;
				};
				let lease = self.live.leases.get(id).unwrap();
				let attempt = lease.assignment.attempt;
				let miner = lease.assignment.miner.clone();
				if good {
					self.happen(*id, &Event::Submit(attempt), None);
					self.happen(*id, &Event::Accept(attempt), Some((miner, Ending::Done)));
				} else {
					let event = Event::Fail {
						attempt,
						miner: miner.clone(),
					};
					self.happen(*id, &event, Some((miner, Ending::LeaseExpired)));
				}
			},
			Step::Cancel(pick) => {
				let ids: Vec<TaskId> = self.tasks.keys().copied().collect();
				let Some(id) = ids.get(usize::from(pick) % ids.len().max(1)) else {
					return;
				};
				self.happen(*id, &Event::Cancel, None);
			},
			Step::Block { inactive } => {
				let active = |number| number != u32::from(inactive);
				self.live
					.set_registry(registry(1, MINERS.into(), active), now_ms);
			},
			Step::Pass(ms) => {
				self.now_ms += ms;
				self.live.tick(self.now_ms);
			},
		}
	}

	fn poll(&mut self, miner: u8, free_slots: u16, names_all: bool) {
		let leased = self.live.leases.of(&account(miner));
		let held = leased
			.iter()
			.filter_map(|task| self.live.leases.get(task))
			.map(Lease::held);
		let holding = held.filter(|_| names_all).collect();
		self.poll_holding(miner, free_slots, holding);
	}

	fn poll_holding(&mut self, miner: u8, free_slots: u16, holding: Vec<Held>) {
		let token = token(miner, self.sessions[usize::from(miner)]);
		let poll = Poll {
			token,
			free_slots,
			wait_ms: 0,
			holding,
		};
		let Ok(polling) = self.live.poll_begins(&poll, self.now_ms) else {
			return;
		};
		for held in &polling.lost {
			let event = Event::Fail {
				attempt: held.attempt,
				miner: account(miner),
			};
			self.happen(held.task, &event, Some((account(miner), Ending::Lost)));
		}
		let reply = self
			.live
			.poll_looks(&poll, &polling, true, self.now_ms)
			.unwrap()
			.unwrap();
		let open = &mut self.open[usize::from(miner)];
		*open = free_slots.max(*open);
		if let Some(work) = reply.work {
			let Assignment { task, attempt, .. } = work.assignment;
			assert_eq!(work.assignment.miner, account(miner));
			// Told again, it is no more than before.
			if self.told.insert((task, attempt)) {
				assert!(*open > 0, "more work than slots were offered");
				*open -= 1;
			}
		}
		self.live.poll_ends(&account(miner), &token, self.now_ms);
	}

	fn accept(&mut self) {
		let seq = self.tasks.len() as i64;
		let spec = TaskSpec {
			model: model().hash,
			prompt: "a red apple".into(),
			negative_prompt: String::new(),
			seed: seq as u64,
			steps: 4,
			width: 64,
			height: 64,
			guidance_milli: 0,
			scheduler: SchedulerKind::Ddim,
		};
		let mut id = [0; 16];
		id[..8].copy_from_slice(&seq.to_be_bytes());
		let task = TaskRow {
			seq,
			id: TaskId(id),
			app: AppId::new("app"),
			nonce: String::new(),
			request_hash: H256::zero(),
			spec_hash: spec.hash(),
			spec,
			priority: 5,
			state: TaskState::Queued,
			attempt: None,
			miner: None,
			reason: None,
			created_ms: self.now_ms,
			updated_ms: self.now_ms,
			queue_until_ms: UnixMs::MAX,
			max_wait_ms: None,
			instance: None,
			terms: Terms::default(),
		};
		self.live.enqueue(&task, &Stage::new());
		self.tasks.insert(task.id, (task, Stage::new()));
	}

	fn draw(&mut self, commits: bool) {
		let lacking: Vec<AccountId> = (0..MINERS)
			.map(account)
			.filter(|it| self.live.lacks(it, self.now_ms).is_some())
			.collect();
		for draw in self.live.draw(&COORDINATOR, 3, self.now_ms) {
			let assignment = &draw.assignment;
			assert!(
				!lacking.contains(&assignment.miner),
				"drawn without being eligible"
			);
			if self.live.is_on_probation(&assignment.miner) {
				assert_eq!(self.live.leases.count(&assignment.miner), 1);
			}
			let list = recorded(&mut self.lists, &draw.list);
			assert!(list.iter().all(|entry| !lacking.contains(&entry.miner)));
			assert_eq!(draw::eligible_root(&list), assignment.eligible_root);
			if commits {
				let id = assignment.task;
				self.happen(id, &Event::Assign(assignment.attempt), None);
				let (task, _) = self.tasks[&id].clone();
				self.live.drawn(&task, WorkerSignature::from_raw([0; 64]));
			} else {
				self.live
					.undrawn(&assignment.task, Some(draw.waiting), self.now_ms);
			}
		}
	}

	/// What the store does, without the store.
	fn happen(&mut self, id: TaskId, event: &Event, ended: Option<(AccountId, Ending)>) {
		let (mut task, before) = self.tasks[&id].clone();
		let Ok(after) = before.after(event) else {
			return;
		};
		(task.state, task.attempt) = (after.state, after.attempt);
		self.tasks.insert(id, (task.clone(), after.clone()));
		let transition = Transition {
			task,
			after,
			ended,
			earned: None,
		};
		self.live.apply(&transition, self.now_ms);
	}

	fn check(&mut self) {
		let waiting: Vec<TaskId> = self
			.live
			.queue
			.line(&model().hash)
			.map(|waiting| waiting.task)
			.collect();
		assert_eq!(waiting.len(), self.live.queue.len());
		for (id, (task, _)) in &self.tasks {
			let places = (waiting.contains(id), self.live.leases.get(id).is_some());
			let expected = match task.state {
				TaskState::Queued => (true, false),
				TaskState::Assigned | TaskState::Running => (false, true),
				_ => (false, false),
			};
			assert_eq!(places, expected, "{id} is {:?}", task.state);
		}
		self.live.refresh_all(self.now_ms);
		let mut total = 0;
		for number in 0..MINERS {
			let account = account(number);
			let most = usize::from(1 + u16::from(number) % 2) * ATTEMPTS_PER_SLOT;
			assert!(
				self.live.leases.count(&account) <= most,
				"miner {number} holds too much"
			);
			if self.live.lacks(&account, self.now_ms).is_none() {
				total += self.live.weight(&account);
			}
		}
		assert_eq!(self.live.draw.total_weight(), total);
		assert_eq!(self.live.draw.model_weight(&model().hash), total);
	}
}

impl Leases {
	/// Every leased task that was committed.
	fn overdue_tasks(&self) -> Vec<TaskId> {
		let mut tasks: Vec<TaskId> = self
			.overdue(UnixMs::MAX)
			.into_iter()
			.map(|(held, ..)| held.task)
			.collect();
		tasks.sort_unstable();
		tasks
	}
}

proptest! {
	#[test]
	fn random_histories_lose_no_task_and_overload_no_miner(
		steps in prop::collection::vec(step(), 1..150),
	) {
		let mut world = World::new();
		for step in steps {
			world.take(step);
			world.check();
		}
	}
}

/// A miner of two slots gets one task at a time until three of its results stand, then two.
#[test]
fn a_new_miner_gets_one_task_at_a_time() {
	let mut world = World::new();
	let newcomer = 1;
	world.take(Step::Hello(newcomer));
	for _ in 0..6 {
		world.take(Step::Task);
	}
	let mut held = Vec::new();
	for _ in 0..=PROBATION_RESULTS {
		world.poll(newcomer, 2, true);
		world.draw(true);
		held.push(world.live.leases.count(&account(newcomer)));
		let lacks = world.live.lacks(&account(newcomer), world.now_ms).unwrap();
		assert_eq!(lacks.contains("probation"), held.len() <= 3, "{lacks}");
		world.take(Step::Finish {
			pick: 0,
			good: true,
		});
		world.check();
	}
	assert_eq!(held, [1, 1, 1, 2]);
}

/// Two tasks are drawn on an offer of two slots, and one is told; by then another coordinator has taken the
/// other slot. The second is told all the same, so that nothing is held against the miner.
#[test]
fn what_was_drawn_on_an_earlier_offer_is_told_to_a_miner_that_is_busy_by_now() {
	let mut world = World::new();
	let miner = 1;
	world.take(Step::Hello(miner));
	world.live.counts.insert(account(miner), (3, 0));
	world.take(Step::Task);
	world.take(Step::Task);
	world.poll(miner, 2, true);
	world.draw(true);
	assert_eq!(world.live.leases.count(&account(miner)), 2);
	for _ in 0..2 {
		let told = world.told.iter();
		let holding = told.map(|(task, attempt)| Held {
			task: *task,
			attempt: *attempt,
		});
		let holding = holding.collect();
		world.poll_holding(miner, 0, holding);
	}
	assert_eq!(world.told.len(), 2);
	world.take(Step::Pass(Settings::default().pick_up_ms));
	assert!(world.live.leases.overdue(world.now_ms).is_empty());
}

/// Among 100,000 miners a draw, with the commitment to its list, takes microseconds; only the first
/// hashes the whole list and writes it down.
#[test]
fn a_hundred_thousand_miners_can_be_drawn_from() {
	const MANY: u32 = 100_000;
	const DRAWS: u32 = 500;
	let mut live = live();
	let registry = registry(1, MANY, |_| true);
	live.set_registry(registry.clone(), 1);
	for operator in registry.operators() {
		let token = H256(operator.account.clone().into());
		let hello = hello(operator.worker.unwrap(), 1);
		live.hello(&operator.account, &hello, token, 1);
		let poll = Poll {
			token,
			free_slots: 1,
			wait_ms: 0,
			holding: Vec::new(),
		};
		live.poll_begins(&poll, 1).unwrap();
	}
	let mut world = World {
		live,
		tasks: BTreeMap::new(),
		lists: Vec::new(),
		sessions: [0; 4],
		open: [0; 4],
		told: BTreeSet::new(),
		now_ms: 1,
	};
	for _ in 0..=DRAWS {
		world.accept();
	}
	let first = world.live.draw(&COORDINATOR, 1, 1);
	assert_eq!(first[0].eligible, MANY as usize);
	let start = std::time::Instant::now();
	let draws = world.live.draw(&COORDINATOR, DRAWS as usize, 1);
	let each = start.elapsed() / DRAWS;
	assert_eq!(draws.len(), DRAWS as usize);
	println!("{each:?} for a draw");
	assert!(each < std::time::Duration::from_millis(1), "{each:?}");
	let mut lists = Vec::new();
	for draw in first.iter().chain(&draws) {
		if let Some(entries) = draw.list.entries.clone() {
			lists.push((draw.list.chain, draw.list.step, entries));
		}
	}
	let last = draws.last().unwrap();
	let last_known = ListRecord {
		entries: None,
		..last.list.clone()
	};
	let list = recorded(&mut lists, &last_known);
	assert_eq!(draw::eligible_root(&list), last.assignment.eligible_root);
	assert_eq!(list.len(), (MANY - DRAWS) as usize);
}
