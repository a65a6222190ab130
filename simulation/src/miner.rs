//! A miner: it logs in, polls, works and hands in, and as long as not everything has healed it lies,
//! vanishes, forgets and repeats itself, each as often as its temper says.

use crate::{
	chain::{account, worker, COORDINATOR, GENESIS},
	dice::Dice,
	rules::has_slots,
	world::{lock, Failed, World},
};
use cuckoo_coordinator_api::{
	error::ErrorCode,
	miner::{Held, Hello, Outcome, Poll, Progress, Submit, Work},
	task::ModelInfo,
};
use cuckoo_primitives::{
	signing::{self, MinerLogin, ResultCommitment},
	task::{Attempt, DeviceClass, TaskId},
	H256,
};
use offchain_coordinator::coordinator::Coordinator;
use offchain_miner::assignment::{verify, Expected};
use sp_core::{sr25519, Pair};
use std::{
	collections::{BTreeMap, BTreeSet},
	sync::{Arc, Mutex, OnceLock},
};
use tokio_util::sync::CancellationToken;

/// The model that all have.
pub fn model() -> ModelInfo {
	ModelInfo {
		hash: H256::repeat_byte(0x11),
		name: "tiny".into(),
		default_size: 16,
		size_multiple: 8,
		max_size: 16,
		default_steps: 4,
		default_guidance_milli: 3_000,
	}
}

/// What a miner does badly, each so many times in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Temper {
	/// It hands in what is no result.
	pub lies: u64,
	/// It says that it failed.
	pub fails: u64,
	/// It never hands in.
	pub stalls: u64,
	/// It is gone for a while, with everything that it knew.
	pub vanishes: u64,
	/// It forgets to say what it holds.
	pub forgets: u64,
	/// It hands in more than once.
	pub repeats: u64,
}

/// A miner.
pub struct Miner {
	world: Arc<World>,
	dice: Dice,
	number: u8,
	slots: u16,
	temper: Temper,
}

/// One life of a miner: what it knows between two times that it vanishes.
struct Life {
	miner: Arc<Miner>,
	key: sr25519::Pair,
	token: H256,
	holding: Mutex<BTreeSet<(TaskId, Attempt)>>,
	death: CancellationToken,
}

impl Drop for Life {
	fn drop(&mut self) {
		self.death.cancel();
	}
}

impl Miner {
	/// The miner of this number.
	pub fn new(world: &Arc<World>, dice: Dice, number: u8, temper: Temper) -> Arc<Self> {
		let slots = 1 + dice.number(0..3) as u16;
		has_slots(world, number, slots);
		Arc::new(Self {
			world: world.clone(),
			dice,
			number,
			slots,
			temper,
		})
	}

	/// Lives one life after the other, for ever.
	pub async fn run(self: Arc<Self>) {
		loop {
			self.world.sleep(self.dice.millis(0..3_000)).await;
			if let Some(life) = self.log_in().await {
				let life = Arc::new(life);
				life.poll_on().await;
				life.death.cancel();
			}
			if self.does(self.temper.vanishes) {
				self.note(format_args!("is gone"));
				self.world.sleep(self.dice.millis(1_000..90_000)).await;
			}
		}
	}

	/// Whether it does a bad thing now.
	fn does(&self, per_mille: u64) -> bool {
		!self.world.is_healed() && self.dice.chance(per_mille)
	}

	fn note(&self, what: std::fmt::Arguments<'_>) {
		self.world
			.trace
			.note(format_args!("miner {}", self.number), what);
	}

	fn name(&self) -> String {
		format!("miner {}", self.number)
	}

	async fn log_in(self: &Arc<Self>) -> Option<Life> {
		let version = self.world.chain().miner(self.number).worker;
		let key = worker(self.number, version);
		let public = key.public();
		let ask = move |it: Arc<Coordinator>| async move { it.challenge(public) };
		let challenge = self.world.call(self.name(), "challenge", ask).await.ok()?;
		let login = MinerLogin {
			coordinator: challenge.coordinator.clone(),
			worker: public,
			challenge: challenge.challenge.0,
		};
		let hello = Hello {
			worker: public,
			challenge: challenge.challenge,
			signature: signing::sign(&challenge.genesis_hash, &login, &key),
			models: vec![model()],
			device: DeviceClass::Cpu,
			device_name: String::new(),
			slots: self.slots,
			engine: String::new(),
		};
		let ask = move |it: Arc<Coordinator>| {
			let hello = hello.clone();
			async move { it.hello(hello).await }
		};
		match self.world.call(self.name(), "hello", ask).await {
			Ok(session) => {
				self.note(format_args!("is logged in"));
				Some(Life {
					miner: self.clone(),
					key,
					token: session.token,
					holding: Mutex::default(),
					death: CancellationToken::new(),
				})
			},
			Err(Failed::Lost) => None,
			Err(Failed::Refused(error)) => {
				self.note(format_args!("may not log in: {:?}", error.code));
				None
			},
		}
	}
}

impl Life {
	fn world(&self) -> &Arc<World> {
		&self.miner.world
	}

	/// Polls until the session ends, or this life.
	async fn poll_on(self: &Arc<Self>) {
		loop {
			let holding: Vec<Held> = lock(&self.holding)
				.iter()
				.map(|(task, attempt)| Held {
					task: *task,
					attempt: *attempt,
				})
				.collect();
			let free_slots = self.miner.slots.saturating_sub(holding.len() as u16);
			let forgets = self.miner.does(self.miner.temper.forgets);
			let poll = Poll {
				token: self.token,
				free_slots,
				wait_ms: self.miner.dice.number(0..10_000),
				holding: if forgets { Vec::new() } else { holding },
			};
			let ask = move |it: Arc<Coordinator>| {
				let poll = poll.clone();
				async move { it.poll(poll).await }
			};
			match self.world().call(self.miner.name(), "poll", ask).await {
				Ok(reply) => {
					for held in reply.abandon {
						lock(&self.holding).remove(&(held.task, held.attempt));
					}
					if let Some(work) = reply.work {
						self.take(work);
					}
				},
				Err(Failed::Lost) => {},
				Err(Failed::Refused(error)) => {
					self.miner.note(format_args!("polls: {:?}", error.code));
					if error.code == ErrorCode::SessionInvalid {
						return;
					}
					self.world().sleep(self.miner.dice.millis(100..2_000)).await;
				},
			}
			if self.miner.does(self.miner.temper.vanishes) {
				return;
			}
			let version = self.world().chain().miner(self.miner.number).worker;
			if worker(self.miner.number, version).public() != self.key.public() {
				return;
			}
		}
	}

	fn take(self: &Arc<Self>, work: Work) {
		let held = (work.assignment.task, work.assignment.attempt);
		self.miner
			.note(format_args!("has work {}/{}", held.0, held.1));
		self.world().told_work(&work);
		if !lock(&self.holding).insert(held) {
			return;
		}
		let (life, death) = (Arc::downgrade(self), self.death.clone());
		let miner = self.miner.clone();
		let (key, token) = (self.key.clone(), self.token);
		tokio::spawn(async move {
			let job = Job {
				miner,
				key,
				token,
				work,
			};
			tokio::select! {
				biased;
				() = death.cancelled() => return,
				() = job.run() => {},
			}
			if let Some(life) = life.upgrade() {
				lock(&life.holding).remove(&held);
			}
		});
	}
}

/// One attempt that a miner works on.
struct Job {
	miner: Arc<Miner>,
	key: sr25519::Pair,
	token: H256,
	work: Work,
}

impl Job {
	fn check(&self) {
		let assignment = &self.work.assignment;
		let (coordinator, miner) = (account(COORDINATOR), account(self.miner.number));
		let (coordinator_worker, own) = (worker(COORDINATOR, 0).public(), self.key.public());
		let models = [model().hash];
		let expected = Expected {
			genesis_hash: &GENESIS,
			coordinator: &coordinator,
			coordinator_worker: Some(&coordinator_worker),
			miner: Some(&miner),
			worker: &own,
			finalized: self.miner.world.chain().last().block.number,
			models: &models,
			now_ms: self.miner.world.now_ms(),
		};
		match verify(&self.work, &expected) {
			Err(refusal) if refusal.is_foul() => {
				// The key may have been changed since the draw: the chain is where it stands.
				let other = assignment.worker != self.key.public();
				if !other {
					let name = self.miner.name();
					self.miner
						.world
						.trace
						.broken(format!("{name} was given {refusal}"));
				}
			},
			_ => {},
		}
	}

	async fn run(&self) {
		self.check();
		let (miner, world) = (&self.miner, &self.miner.world);
		let steps = u64::from(self.work.spec.steps);
		for step in 1..=steps {
			world.sleep(miner.dice.millis(50..800)).await;
			if miner.dice.chance(400) && !self.progress(step as u16).await {
				return;
			}
		}
		if miner.does(miner.temper.stalls) {
			// For longer than any lease.
			return world.sleep(miner.dice.millis(30_000..90_000)).await;
		}
		let outcome = self.outcome().await;
		let times = match miner.does(miner.temper.repeats) {
			true => 2,
			false => 1,
		};
		let submits = (0..times).map(|_| self.submit(outcome.clone()));
		futures::future::join_all(submits).await;
	}

	async fn progress(&self, steps_done: u16) -> bool {
		let progress = Progress {
			token: self.token,
			task: self.work.assignment.task,
			attempt: self.work.assignment.attempt,
			steps_done,
		};
		let ask = move |it: Arc<Coordinator>| {
			let progress = progress.clone();
			async move { it.progress(progress).await }
		};
		match self
			.miner
			.world
			.call(self.miner.name(), "progress", ask)
			.await
		{
			Ok(reply) => reply.go_on,
			Err(Failed::Lost) => true,
			Err(Failed::Refused(_)) => false,
		}
	}

	/// A result, or what this miner passes off as one.
	async fn outcome(&self) -> Outcome {
		let (miner, temper) = (&self.miner, self.miner.temper);
		if miner.does(temper.fails) {
			let reason = "it did not work".into();
			return Outcome::Failure { reason };
		}
		let lie = match miner.does(temper.lies) {
			true => miner.dice.number(1..6),
			false => 0,
		};
		let side = if lie == 1 { 8 } else { 16 };
		let picture = match lie {
			2 => b"\x89PNG\r\n\x1a\nno more".to_vec(),
			_ => picture(side),
		};
		let output = H256(*blake3::hash(&picture).as_bytes());
		if lie != 3 {
			for _ in 0..5 {
				if miner.world.upload(output, picture.clone()).await.is_ok() {
					break;
				}
				miner.world.sleep(miner.dice.millis(100..1_000)).await;
			}
		}
		let output = match lie {
			3 => H256::repeat_byte(9),
			_ => output,
		};
		let assignment = match lie {
			4 => H256::zero(),
			_ => signing::signing_hash(&GENESIS, &self.work.assignment),
		};
		let commitment = ResultCommitment {
			assignment,
			output,
			trajectory_root: H256::repeat_byte(1),
			engine_profile: H256::repeat_byte(2),
			device: DeviceClass::Cpu,
		};
		let key = match lie {
			5 => worker(miner.number, 99),
			_ => self.key.clone(),
		};
		if lie > 0 {
			miner.note(format_args!("lies, in way {lie}"));
		}
		Outcome::Result {
			signature: signing::sign(&GENESIS, &commitment, &key),
			commitment,
		}
	}

	/// Hands in until it hears what became of it.
	async fn submit(&self, outcome: Outcome) {
		let held = Held {
			task: self.work.assignment.task,
			attempt: self.work.assignment.attempt,
		};
		let submit = Submit {
			token: self.token,
			task: held.task,
			attempt: held.attempt,
			outcome,
		};
		for _ in 0..8 {
			let submit = submit.clone();
			let ask = move |it: Arc<Coordinator>| {
				let submit = submit.clone();
				async move { it.submit(submit).await }
			};
			match self
				.miner
				.world
				.call(self.miner.name(), "submit", ask)
				.await
			{
				Ok(reply) => {
					let said = if reply.accepted { "stands" } else { "is ended" };
					self.miner
						.note(format_args!("{}/{} {said}", held.task, held.attempt));
					if reply.accepted {
						self.miner.world.told_stands(held);
					}
					return;
				},
				Err(Failed::Lost) => {},
				Err(Failed::Refused(error)) => {
					let code = error.code;
					self.miner
						.note(format_args!("{}/{}: {code:?}", held.task, held.attempt));
					if code != ErrorCode::Internal {
						return;
					}
				},
			}
			self.miner
				.world
				.sleep(self.miner.dice.millis(100..3_000))
				.await;
		}
	}
}

/// A picture of this side, as a PNG.
fn picture(side: u32) -> Vec<u8> {
	static MADE: OnceLock<Mutex<BTreeMap<u32, Vec<u8>>>> = OnceLock::new();
	let mut made = lock(MADE.get_or_init(Mutex::default));
	let make = || {
		let mut bytes = Vec::new();
		let encoder = png::Encoder::new(&mut bytes, side, side);
		let pixels = vec![0; (side * side) as usize];
		let written = encoder.write_header().and_then(|mut writer| {
			writer
				.write_image_data(&pixels)
				.and_then(|()| writer.finish())
		});
		written.expect("memory takes everything; qed");
		bytes
	};
	made.entry(side).or_insert_with(make).clone()
}
