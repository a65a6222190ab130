//! An app: it submits tasks, asks again when it hears nothing, cancels some, and looks how they stand.

use crate::{
	chain::{account, worker, COORDINATOR, GENESIS},
	dice::Dice,
	world::{app_key, Failed, World},
};
use axum::http::HeaderMap;
use cuckoo_coordinator_api::{
	error::ErrorCode,
	payment::ChannelPayment,
	task::{SubmitOptions, TaskRequest, TaskStatus},
	Amount,
};
use cuckoo_primitives::{signing, task::TaskId, voucher::ChannelVoucher, Balance};
use offchain_coordinator::{
	apps::{AppId, Caller},
	coordinator::Coordinator,
};
use std::{
	net::{IpAddr, Ipv4Addr},
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc,
	},
};

/// More than a task here costs, also when its request is doubled on the way.
const MOST: u64 = 1_000_000;

/// How often an app asks again before it gives up.
const TRIES: u32 = 60;

/// An app, known by its address.
pub struct App {
	world: Arc<World>,
	dice: Dice,
	name: String,
	caller: Caller,
	number: u8,
	/// All that it has signed for its channel.
	signed: AtomicU64,
}

impl App {
	/// The app of this number.
	pub fn new(world: &Arc<World>, dice: Dice, number: u8) -> Self {
		let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, number));
		Self {
			world: world.clone(),
			dice,
			name: AppId::of_address(address).as_str().to_owned(),
			caller: Caller::new(&HeaderMap::new(), address, false),
			number,
			signed: AtomicU64::new(0),
		}
	}

	/// Submits so many tasks, and ends.
	pub async fn run(self, tasks: u64) {
		for number in 0..tasks {
			let pause = match self.dice.chance(400) {
				// Some come in bursts.
				true => self.dice.millis(0..20),
				false => self.dice.millis(0..20_000),
			};
			self.world.sleep(pause).await;
			if self.dice.chance(700) {
				let key = format!("{}-{number}", self.name);
				self.submit(number, Some(key)).await;
			} else {
				self.submit(number, None).await;
			}
		}
	}

	/// A voucher over more than any task here costs.
	fn pays(&self) -> Option<ChannelPayment> {
		if self.world.settings().prices.default == 0 {
			return None;
		}
		let before = self.signed.fetch_add(MOST, Ordering::SeqCst);
		let cumulative = Balance::from(before + MOST);
		let channel = self.number.into();
		let voucher = ChannelVoucher {
			coordinator: account(COORDINATOR),
			channel,
			cumulative,
		};
		Some(ChannelPayment {
			channel,
			cumulative: Amount(cumulative),
			signature: signing::sign(&GENESIS, &voucher, &worker(app_key(self.number), 0)),
		})
	}

	async fn submit(&self, number: u64, key: Option<String>) {
		let request = TaskRequest {
			prompt: format!("task {number} of {}", self.name),
			seed: self.dice.chance(500).then(|| self.dice.number(0..100)),
			steps: Some(1 + self.dice.number(0..8) as i64),
			..TaskRequest::default()
		};
		let options = SubmitOptions {
			idempotency_key: key.clone(),
			payment: self.pays(),
			priority: self
				.dice
				.chance(200)
				.then(|| self.dice.number(0..10) as i64),
			max_wait_ms: self
				.dice
				.chance(100)
				.then(|| self.dice.number(1..60_000) as i64),
			..SubmitOptions::default()
		};
		for _ in 0..TRIES {
			match self.ask(request.clone(), options.clone()).await {
				Ok(status) => {
					self.world
						.told_accepted(&self.name, key.as_deref(), &status);
					self.world.told_status(&status);
					self.note(format_args!("accepted {} {:?}", status.id, status.state));
					return self.follow(status.id).await;
				},
				// Without a key nobody knows whether it was taken.
				Err(Failed::Lost) if key.is_none() => return,
				Err(Failed::Lost) => {},
				Err(Failed::Refused(error)) => {
					self.note(format_args!("refused {:?}", error.code));
					if !may_refuse(error.code) {
						self.world
							.trace
							.broken(format!("{} is told {error}", self.name));
						return;
					}
				},
			}
			self.world.sleep(self.dice.millis(100..10_000)).await;
		}
	}

	async fn ask(
		&self,
		request: TaskRequest,
		options: SubmitOptions,
	) -> Result<TaskStatus, Failed> {
		let caller = self.caller;
		let ask = move |coordinator: Arc<Coordinator>| {
			let (request, options) = (request.clone(), options.clone());
			async move {
				let app = coordinator.app(&caller).await?;
				coordinator.submit_task(&app, request, options).await
			}
		};
		self.world.call(&self.name, "submit", ask).await
	}

	/// Looks now and then how a task stands, and may cancel it.
	async fn follow(&self, id: TaskId) {
		let cancels = self.dice.chance(120);
		for _ in 0..self.dice.number(0..3) {
			self.world.sleep(self.dice.millis(0..5_000)).await;
			let ask = move |coordinator: Arc<Coordinator>| async move {
				coordinator.task_status(id).await
			};
			match self.world.call(&self.name, "status", ask).await {
				Ok(status) => self.world.told_status(&status),
				Err(Failed::Lost) => {},
				Err(Failed::Refused(error)) => {
					let rule = format!("{} asks for its task {id}: {error}", self.name);
					self.world.trace.broken(rule);
				},
			}
		}
		if cancels {
			self.cancel(id).await;
		}
	}

	async fn cancel(&self, id: TaskId) {
		let caller = self.caller;
		let ask = move |coordinator: Arc<Coordinator>| async move {
			coordinator.task_cancel(&caller, id).await
		};
		match self.world.call(&self.name, "cancel", ask).await {
			Ok(status) => {
				self.world.told_status(&status);
				self.note(format_args!("cancelled {id}"));
			},
			Err(Failed::Lost) => {},
			Err(Failed::Refused(error)) => {
				self.note(format_args!("cancel of {id}: {:?}", error.code));
				if error.code != ErrorCode::TaskEnded {
					self.world
						.trace
						.broken(format!("{} cancels {id}: {error}", self.name));
				}
			},
		}
	}

	fn note(&self, what: std::fmt::Arguments<'_>) {
		self.world.trace.note(&self.name, what);
	}
}

/// What an app may be told that did nothing wrong.
fn may_refuse(code: ErrorCode) -> bool {
	use ErrorCode::*;
	let busy = matches!(code, QueueFull | AppQueueFull | RateLimited | Draining);
	// The store is gone from under a coordinator that is being killed.
	busy || matches!(code, ChainUnavailable | ModelUnknown | Internal)
}
