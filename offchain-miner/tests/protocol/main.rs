//! The miner against coordinators that speak the real protocol over real HTTP: what it does when they
//! are late, gone, forgetful or hostile, and when it is itself killed.

mod coordinator;
mod offers;
mod paid;
mod tls;

use coordinator::{account, key, spec, Coordinator, GENESIS, MINER, MODEL};
use cuckoo_chain_client::{BlockRef, Operator, Registry};
use cuckoo_coordinator_api::{miner::Held, task::ModelInfo, ErrorCode};
use cuckoo_diffusion::Stop as Halt;
use cuckoo_primitives::{
	signing,
	task::{DeviceClass, TaskSpec},
	Role, CUC, H256,
};
use offchain_miner::{
	assignment::Verified,
	device::{DeviceProfile, Devices, Engine, Go, Layout, PaintError, Profile},
	fleet::{self, Wishes},
	link::Chain,
	metrics::{Metrics, Now},
	monitor::{self, Watched},
	outbox::{Outbox, Painting},
	purse::{keeper::Asking, store::Store, Purse},
	session::{Miner, Stop, Timing},
	trust::Trust,
	ui::Ui,
};
use sp_core::Pair;
use std::{
	collections::BTreeMap,
	net::SocketAddr,
	path::Path,
	sync::{
		atomic::{AtomicBool, AtomicU32, Ordering},
		Arc,
	},
	thread,
	time::Duration,
};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

/// The task at which the device fails.
const LOST: u8 = 66;

/// Paints something else every time, as a device may that does not compute the same bits twice.
#[derive(Clone)]
struct Moody {
	paintings: Arc<AtomicU32>,
	step: Duration,
}

impl Engine for Moody {
	fn paint(
		&mut self,
		specs: &[TaskSpec],
		_: &Halt,
		observe: &mut dyn FnMut(usize, u16) -> Go,
	) -> Vec<Result<Painting, PaintError>> {
		let pictures = specs.len() as u32;
		let number = self.paintings.fetch_add(pictures, Ordering::SeqCst);
		if specs
			.iter()
			.any(|spec| spec.prompt == format!("task {LOST}"))
		{
			return vec![Err(PaintError::Device("the device is lost".into())); specs.len()];
		}
		let mut going = vec![true; specs.len()];
		for step in 1..=specs[0].steps {
			thread::sleep(self.step);
			for (place, goes) in going.iter_mut().enumerate() {
				*goes &= observe(place, step) == Go::On;
			}
			if !going.contains(&true) {
				break;
			}
		}
		let painting = |(place, spec): (usize, &TaskSpec)| {
			if !going[place] {
				return Err(PaintError::Stopped);
			}
			let number = number + place as u32;
			Ok(Painting {
				png: format!("{} {number}", spec.prompt).into_bytes(),
				trajectory_root: H256::from_low_u64_be(number.into()),
				// As the real one says of how many its batch was.
				engine_profile: H256::from_low_u64_be(pictures.into()),
				device: DeviceClass::Cpu,
			})
		};
		specs.iter().enumerate().map(painting).collect()
	}
}

fn operator(byte: u8, worker: u8, role: Role, endpoint: String) -> Operator {
	Operator {
		account: account(byte),
		role,
		worker: Some(key(worker).public()),
		commission_ppb: 0,
		next_commission: None,
		name: format!("operator {byte}"),
		endpoint,
		text: String::new(),
		self_stake: 3_000_000 * CUC,
		total_stake: 3_000_000 * CUC,
		active: true,
		retired: false,
		suspended: false,
		streaming: 0,
	}
}

fn registry(coordinators: &[(&Coordinator, SocketAddr)]) -> Registry {
	let named = coordinators
		.iter()
		.map(|(coordinator, address)| (*coordinator, format!("http://{address}")));
	registry_with(named)
}

fn registry_with<'a>(coordinators: impl Iterator<Item = (&'a Coordinator, String)>) -> Registry {
	let mut operators = vec![operator(MINER, MINER, Role::Miner, String::new())];
	for (coordinator, endpoint) in coordinators {
		operators.push(operator(
			coordinator.byte,
			coordinator.byte + 1,
			Role::Coordinator,
			endpoint,
		));
	}
	let block = BlockRef {
		number: 5,
		hash: H256::repeat_byte(5),
	};
	let minima = Role::ALL.map(|role| (role, role.default_min_self_stake()));
	Registry::new(block, H256::repeat_byte(6), operators, minima)
}

/// Short pauses, and patience for any machine.
fn timing() -> Timing {
	Timing {
		first_pause: Duration::from_millis(20),
		longest_pause: Duration::from_millis(100),
		poll_gap: Duration::from_millis(10),
		progress_gap: Duration::from_millis(10),
		patience: Duration::from_secs(60),
		probe_gap: Duration::from_millis(20),
		chain_patience: Duration::from_secs(300),
		asking: Asking {
			first: Duration::from_millis(20),
			longest: Duration::from_millis(200),
		},
	}
}

/// A whole miner, without its process.
struct Running {
	stop: Stop,
	paintings: Arc<AtomicU32>,
	metrics: Arc<Metrics>,
	devices: Devices,
	outbox: Arc<Outbox>,
	purse: Arc<Purse>,
	fleet: JoinHandle<()>,
	chain_stalled: Arc<AtomicBool>,
	registry: watch::Sender<Option<Arc<Registry>>>,
}

impl Running {
	async fn start(folder: &Path, registry: Registry, step: Duration) -> Self {
		Self::start_with(folder, registry, step, Trust::system().unwrap()).await
	}

	async fn start_with(folder: &Path, registry: Registry, step: Duration, trust: Trust) -> Self {
		Self::start_laid_out(folder, registry, step, trust, 1, Layout::default()).await
	}

	async fn start_laid_out(
		folder: &Path,
		registry: Registry,
		step: Duration,
		trust: Trust,
		devices: usize,
		layout: Layout,
	) -> Self {
		Self::start_timed(folder, registry, step, trust, devices, layout, timing()).await
	}

	async fn start_timed(
		folder: &Path,
		registry: Registry,
		step: Duration,
		trust: Trust,
		devices: usize,
		layout: Layout,
		timing: Timing,
	) -> Self {
		let metrics = Arc::new(Metrics::new());
		let paintings = Arc::new(AtomicU32::new(0));
		let brush = Moody {
			paintings: paintings.clone(),
			step,
		};
		let model = ModelInfo {
			hash: MODEL,
			name: "model".into(),
			default_size: 64,
			size_multiple: 8,
			max_size: 64,
			default_steps: 5,
			default_guidance_milli: 3_000,
		};
		let profiles = (0..devices).map(|number| DeviceProfile {
			label: format!("cuda:{number}"),
			device: DeviceClass::Cpu,
			name: "test".into(),
			engine: "test".into(),
		});
		let profile = Profile::new(profiles.collect(), vec![model], layout).unwrap();
		let brushes = vec![brush; devices];
		let devices = Devices::start(move || Ok((brushes, profile)))
			.await
			.unwrap();
		let outbox = Arc::new(Outbox::open(folder).unwrap());
		let store = Store::new(folder, GENESIS);
		let purse = Arc::new(Purse::open(store, 0, &outbox.pending()));
		let miner = Miner {
			worker: key(MINER),
			devices: devices.clone(),
			outbox: outbox.clone(),
			purse: purse.clone(),
			ui: Ui::new(),
			timing,
			trust,
			metrics: metrics.clone(),
		};
		let registry = watch::Sender::new(Some(Arc::new(registry)));
		let chain_stalled = Arc::<AtomicBool>::default();
		let chain = Chain {
			genesis_hash: GENESIS,
			registry: registry.subscribe(),
			stalled: chain_stalled.clone(),
		};
		let wishes = Wishes {
			most: 3,
			only: BTreeMap::new(),
			seed: [3; 32],
		};
		let stop = Stop::default();
		let fleet = tokio::spawn(fleet::run(Arc::new(miner), chain, wishes, stop.clone()));
		Self {
			stop,
			paintings,
			metrics,
			devices,
			outbox,
			purse,
			fleet,
			chain_stalled,
			registry,
		}
	}

	fn painted(&self) -> u32 {
		self.paintings.load(Ordering::SeqCst)
	}

	async fn settled(&self) {
		for _ in 0..200 {
			if self.outbox.pending().is_empty() {
				return;
			}
			sleep(Duration::from_millis(20)).await;
		}
		panic!("the outbox was not emptied");
	}

	/// Waits until the metrics say this.
	async fn tells(&self, line: &str) {
		let line = format!("\ncuckoo_miner_{line}\n");
		for _ in 0..1_000 {
			if self.metrics.text(&Now::default()).unwrap().contains(&line) {
				return;
			}
			sleep(Duration::from_millis(20)).await;
		}
		panic!("never told {line}");
	}

	/// As SIGKILL does: nothing is finished, nothing is said.
	async fn kill(self) {
		let Self {
			fleet,
			outbox,
			purse,
			..
		} = self;
		fleet.abort();
		let _ = fleet.await;
		// The lock goes with the last handle, as it goes with a process.
		for _ in 0..200 {
			if Arc::strong_count(&outbox) == 1 && Arc::strong_count(&purse) == 1 {
				return;
			}
			sleep(Duration::from_millis(20)).await;
		}
		panic!("something still holds the outbox or the purse");
	}
}

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const FAST: Duration = Duration::from_millis(1);
const SLOW: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_done_under_a_signed_commitment() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), SLOW).await;
	let assignment = coordinator.ask_for(1);
	coordinator
		.wait_for("a result", |seen| !seen.commitments().is_empty())
		.await;
	miner.settled().await;
	let seen = &coordinator.lock().seen;
	let (commitment, _) = &seen.commitments()[0];
	assert_eq!(
		commitment.assignment,
		signing::signing_hash(&GENESIS, &assignment)
	);
	assert_eq!(seen.artifacts[&commitment.output], b"task 1 0");
	assert_eq!(seen.hellos, 1);
	assert_eq!(
		seen.progress[0].steps_done, 0,
		"the first report says that it was picked up"
	);
	assert!(seen.progress.iter().any(|progress| progress.steps_done > 0));
	let held = Held {
		task: assignment.task,
		attempt: 0,
	};
	assert!(
		seen.polls
			.iter()
			.any(|poll| poll.holding == [held] && poll.free_slots == 0),
		"polls go on while it works, and say what it holds"
	);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_is_opened_again_at_every_stage() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), SLOW).await;
	coordinator
		.wait_for("a poll", |seen| !seen.polls.is_empty())
		.await;
	coordinator.forget_sessions();
	coordinator.ask_for(1);
	coordinator
		.wait_for("the work's begin", |seen| !seen.progress.is_empty())
		.await;
	coordinator.forget_sessions();
	coordinator
		.wait_for("a result", |seen| !seen.commitments().is_empty())
		.await;
	miner.settled().await;
	assert_eq!(miner.painted(), 1);
	assert!(coordinator.lock().seen.hellos >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_comes_up_later_or_again_is_served() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	// An address that nobody listens at yet.
	let (server, address) = coordinator.serve(ANY).await;
	drop(server);
	sleep(Duration::from_millis(50)).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), SLOW).await;
	sleep(Duration::from_millis(200)).await;
	let (server, _) = coordinator.serve(address).await;
	coordinator.ask_for(1);
	coordinator
		.wait_for("the work's begin", |seen| !seen.progress.is_empty())
		.await;
	// Down while the miner works, up after it is done.
	drop(server);
	coordinator.forget_sessions();
	sleep(Duration::from_millis(800)).await;
	assert!(coordinator.lock().seen.submits.is_empty());
	let (_server, _) = coordinator.serve(address).await;
	coordinator
		.wait_for("a result", |seen| !seen.commitments().is_empty())
		.await;
	miner.settled().await;
	assert_eq!(miner.painted(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_submit_is_repeated_with_the_same_commitment() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	coordinator.lock().submit_faults = [
		ErrorCode::Internal,
		ErrorCode::ChainUnavailable,
		ErrorCode::ArtifactMissing,
	]
	.into();
	coordinator.lock().forget_uploads = 1;
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), FAST).await;
	coordinator.ask_for(1);
	coordinator
		.wait_for("four submits", |seen| seen.submits.len() == 4)
		.await;
	miner.settled().await;
	let seen = &coordinator.lock().seen;
	let commitments = seen.commitments();
	assert!(
		commitments.windows(2).all(|pair| pair[0] == pair[1]),
		"{commitments:?}"
	);
	assert_eq!(
		seen.uploads, 2,
		"uploaded again when it was missing, and not before"
	);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_result_is_given_up_and_the_next_task_is_done() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	coordinator.lock().submit_faults = [ErrorCode::LeaseExpired].into();
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), FAST).await;
	coordinator.ask_for(1);
	coordinator
		.wait_for("a result", |seen| seen.submits.len() == 1)
		.await;
	miner.settled().await;
	coordinator.ask_for(2);
	coordinator
		.wait_for("the next", |seen| seen.submits.len() == 2)
		.await;
	miner.settled().await;
	let seen = &coordinator.lock().seen;
	assert_eq!(
		seen.submits[0].task,
		cuckoo_primitives::task::TaskId([1; 16])
	);
	assert_eq!(
		seen.submits[1].task,
		cuckoo_primitives::task::TaskId([2; 16])
	);
}

/// The one that is slashed for: the device would give other bits, and must not be asked again.
#[tokio::test(flavor = "multi_thread")]
async fn killed_between_work_and_acknowledgement_it_sends_what_it_signed_before() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	coordinator.lock().submit_faults = vec![ErrorCode::Internal; 1_000].into();
	let (_server, address) = coordinator.serve(ANY).await;
	let chain = registry(&[(&coordinator, address)]);
	let miner = Running::start(folder.path(), chain.clone(), FAST).await;
	let assignment = coordinator.ask_for(1);
	coordinator
		.wait_for("a result", |seen| !seen.submits.is_empty())
		.await;
	miner.kill().await;

	coordinator.forget_sessions();
	coordinator.lock().submit_faults.clear();
	let before = coordinator.lock().seen.submits.len();
	let miner = Running::start(folder.path(), chain, FAST).await;
	// The coordinator never heard that the assignment arrived, and hands it out again.
	coordinator.hand_out(coordinator.sign(assignment, spec("task 1")));
	coordinator
		.wait_for("the result", |seen| seen.submits.len() > before)
		.await;
	miner.settled().await;
	let commitments = coordinator.lock().seen.commitments();
	assert!(commitments.len() > before);
	assert!(
		commitments.windows(2).all(|pair| pair[0] == pair[1]),
		"{commitments:?}"
	);
	assert_eq!(
		miner.painted(),
		0,
		"worked again for what was signed before"
	);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivered_assignment_that_comes_again_is_not_signed_again() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), FAST).await;
	let assignment = coordinator.ask_for(1);
	coordinator
		.wait_for("a result", |seen| seen.submits.len() == 1)
		.await;
	miner.settled().await;
	// The miner may still be at the end of it when it comes the first time, and then says nothing.
	let mut tries = 0;
	while coordinator.lock().seen.submits.len() < 2 {
		tries += 1;
		assert!(tries <= 20, "no answer");
		coordinator.hand_out(coordinator.sign(assignment.clone(), spec("task 1")));
		let answer = coordinator.wait_for("an answer", |seen| seen.submits.len() >= 2);
		let _ = tokio::time::timeout(Duration::from_secs(1), answer).await;
	}
	let seen = &coordinator.lock().seen;
	assert_eq!(seen.commitments().len(), 1);
	let reason = "this attempt's result was delivered before";
	assert!(seen.failures().iter().all(|given| given == reason));
	assert_eq!(miner.painted(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_assignments_of_one_attempt_are_worked_on_once_at_a_time() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	coordinator.lock().submit_faults = vec![ErrorCode::Internal; 5].into();
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), FAST).await;
	let first = coordinator.ask_for(1);
	coordinator
		.wait_for("a result", |seen| !seen.submits.is_empty())
		.await;
	// Another lease for the same attempt, while the first one's result is on its way.
	let mut second = first.clone();
	second.deadline_ms += 1;
	coordinator.hand_out(coordinator.sign(second, spec("task 1")));
	coordinator
		.wait_for("acceptance", |seen| seen.submits.len() == 6)
		.await;
	miner.settled().await;
	let named = signing::signing_hash(&GENESIS, &first);
	let commitments = coordinator.lock().seen.commitments();
	assert!(commitments
		.iter()
		.all(|(commitment, _)| commitment.assignment == named));
	assert_eq!(miner.painted(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_assignment_is_given_back_unworked_and_its_sender_left() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), FAST).await;
	let spec = spec("task 1");
	let mut work = coordinator.sign(coordinator.assignment(1, 0, &spec), spec);
	work.assignment.total_weight += 1;
	coordinator.hand_out(work);
	coordinator
		.wait_for("an answer", |seen| seen.submits.len() == 1)
		.await;
	coordinator.ask_for(2);
	sleep(Duration::from_millis(300)).await;
	let seen = &coordinator.lock().seen;
	let reason = "the assignment's signature is not of the coordinator's worker on chain";
	assert_eq!(seen.failures(), [reason]);
	assert_eq!(
		seen.submits.len(),
		1,
		"took more from a coordinator that forges"
	);
	assert_eq!(miner.painted(), 0);
}

/// What the chain said long ago, such as of the coordinator's worker, is nothing to leave a coordinator for; and
/// when the chain goes on, it is again.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_chain_stalls_coordinators_are_not_blamed() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let chain = registry(&[(&coordinator, address)]);
	let trust = Trust::system().unwrap();
	let timing = Timing {
		chain_patience: Duration::from_millis(100),
		..timing()
	};
	let layout = Layout::default();
	let miner = Running::start_timed(folder.path(), chain, FAST, trust, 1, layout, timing).await;
	for _ in 0..1_000 {
		if miner.chain_stalled.load(Ordering::SeqCst) {
			break;
		}
		sleep(Duration::from_millis(20)).await;
	}
	assert!(miner.chain_stalled.load(Ordering::SeqCst));
	let spec = spec("task 1");
	let mut work = coordinator.sign(coordinator.assignment(1, 0, &spec), spec);
	work.assignment.total_weight += 1;
	coordinator.hand_out(work);
	coordinator.ask_for(2);
	coordinator
		.wait_for("a result", |seen| seen.commitments().len() == 1)
		.await;
	assert_eq!(coordinator.lock().seen.failures().len(), 1);
	assert_eq!(coordinator.lock().seen.hellos, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_signed_for_one_who_claims_to_be_another() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	coordinator.lock().claims_to_be = Some(account(30));
	let (_server, address) = coordinator.serve(ANY).await;
	let _miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), FAST).await;
	sleep(Duration::from_millis(300)).await;
	assert_eq!(coordinator.lock().seen.hellos, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_is_stopped_and_not_submitted() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), SLOW).await;
	// Told so in the answer to a progress report.
	coordinator.lock().stop = true;
	coordinator.ask_for(1);
	coordinator
		.wait_for("the work's begin", |seen| seen.progress.len() == 1)
		.await;
	coordinator.lock().stop = false;
	// Told so in the answer to a poll.
	let second = coordinator.ask_for(2);
	coordinator
		.wait_for("the next", |seen| seen.progress.len() >= 2)
		.await;
	coordinator.lock().abandon.push(Held {
		task: second.task,
		attempt: 0,
	});
	coordinator.ask_for(3);
	coordinator
		.wait_for("a result", |seen| seen.submits.len() == 1)
		.await;
	miner.settled().await;
	let seen = &coordinator.lock().seen;
	assert_eq!(
		seen.submits[0].task,
		cuckoo_primitives::task::TaskId([3; 16])
	);
	assert_eq!(seen.commitments().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ends_during_the_work_ends_the_work() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), SLOW).await;
	coordinator.ask_for_within(1, 250);
	coordinator
		.wait_for("the work's begin", |seen| !seen.progress.is_empty())
		.await;
	coordinator.ask_for(2);
	coordinator
		.wait_for("a result", |seen| !seen.commitments().is_empty())
		.await;
	let seen = &coordinator.lock().seen;
	assert_eq!(
		seen.failures(),
		["it would not be done before its lease ends"],
		"given back, and not left to run out"
	);
	assert_eq!(seen.submits[0].task.0, [1; 16]);
	assert_eq!(seen.submits[1].task.0, [2; 16]);
	assert_eq!(miner.painted(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_drain_it_finishes_and_takes_nothing_new() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), SLOW).await;
	coordinator.ask_for(1);
	coordinator
		.wait_for("the work's begin", |seen| !seen.progress.is_empty())
		.await;
	miner.stop.drain.cancel();
	coordinator.ask_for(2);
	miner.fleet.await.unwrap();
	let seen = &coordinator.lock().seen;
	assert_eq!(seen.commitments().len(), 1);
	assert_eq!(seen.submits.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_at_once_it_gives_the_task_back() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), SLOW).await;
	coordinator.ask_for(1);
	coordinator
		.wait_for("the work's begin", |seen| !seen.progress.is_empty())
		.await;
	miner.stop.drain.cancel();
	miner.stop.at_once.cancel();
	miner.fleet.await.unwrap();
	assert_eq!(
		coordinator.lock().seen.failures(),
		["the miner is shutting down"]
	);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_coordinators_share_one_device() {
	let folder = tempfile::tempdir().unwrap();
	let (first, second) = (Coordinator::new(10), Coordinator::new(12));
	let (_server, address) = first.serve(ANY).await;
	let (_other_server, other_address) = second.serve(ANY).await;
	let chain = registry(&[(&first, address), (&second, other_address)]);
	let miner = Running::start(folder.path(), chain, FAST).await;
	for task in 1..=3 {
		first.ask_for(task);
		second.ask_for(task);
	}
	for coordinator in [&first, &second] {
		coordinator
			.wait_for("three results", |seen| seen.commitments().len() == 3)
			.await;
	}
	miner.settled().await;
	assert_eq!(miner.painted(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_leaves_the_chain_is_left_and_one_that_comes_is_served() {
	let folder = tempfile::tempdir().unwrap();
	let (old, new) = (Coordinator::new(10), Coordinator::new(12));
	let (_server, address) = old.serve(ANY).await;
	let (_other_server, other_address) = new.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&old, address)]), FAST).await;
	old.wait_for("a poll", |seen| !seen.polls.is_empty()).await;
	miner
		.registry
		.send_replace(Some(Arc::new(registry(&[(&new, other_address)]))));
	new.ask_for(1);
	new.wait_for("a result", |seen| !seen.commitments().is_empty())
		.await;
	miner.settled().await;
	let polls = old.lock().seen.polls.len();
	sleep(Duration::from_millis(700)).await;
	assert_eq!(old.lock().seen.polls.len(), polls, "polls one that is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_with_https_is_served_when_its_authority_is_trusted() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let front = tls::Front::of(address).await;
	let chain = || registry_with([(&coordinator, front.url())].into_iter());

	let miner = Running::start(folder.path(), chain(), FAST).await;
	front.wait_for_refusals(2).await;
	assert_eq!(coordinator.lock().seen.hellos, 0, "nobody vouches for it");
	miner.kill().await;

	let ca = folder.path().join("ca.pem");
	std::fs::write(&ca, front.authority()).unwrap();
	let trust = Trust::and(Some(&ca)).unwrap();
	let miner = Running::start_with(folder.path(), chain(), FAST, trust).await;
	coordinator.ask_for(1);
	coordinator
		.wait_for("a result", |seen| !seen.commitments().is_empty())
		.await;
	miner.settled().await;
	assert_eq!(coordinator.lock().seen.artifacts.len(), 1, "uploaded too");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_uploaded_waits_for_no_picture_and_no_picture_waits_for_it() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	// The first result is not taken before the third picture is begun.
	coordinator.lock().submit_faults = vec![ErrorCode::Internal; 1_000].into();
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), FAST).await;
	coordinator.ask_for(1);
	coordinator.ask_for(2);
	coordinator.ask_for(3);
	coordinator
		.wait_for("submits of three tasks", |seen| {
			(1..=3).all(|task| {
				seen.submits
					.iter()
					.any(|submit| submit.task.0 == [task; 16])
			})
		})
		.await;
	assert_eq!(miner.painted(), 3);
	coordinator.lock().submit_faults.clear();
	miner.settled().await;
	assert_eq!(miner.painted(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_fails_gives_the_task_back_and_the_miner_goes_on() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), FAST).await;
	coordinator.ask_for(LOST);
	coordinator
		.wait_for("an answer", |seen| seen.submits.len() == 1)
		.await;
	coordinator.ask_for(2);
	coordinator
		.wait_for("a result", |seen| seen.commitments().len() == 1)
		.await;
	miner.settled().await;
	assert_eq!(coordinator.lock().seen.failures(), ["the device is lost"]);
	let text = miner.metrics.text(&Now::default()).unwrap();
	for line in [
		"tasks_total{outcome=\"failed\"} 1",
		"tasks_total{outcome=\"accepted\"} 1",
	] {
		assert!(text.contains(line), "{text}");
	}
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_disk_takes_no_results_no_work_is_asked_for() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), SLOW).await;
	let assignment = coordinator.ask_for(1);
	coordinator
		.wait_for("the work's begin", |seen| !seen.progress.is_empty())
		.await;
	// Places on which every write fails as on a full disk; a failed write takes its place away.
	let full = |path: std::path::PathBuf| std::os::unix::fs::symlink("/dev/full", path);
	let hash = hex::encode(signing::signing_hash(&GENESIS, &assignment));
	full(folder.path().join(format!("pictures/{hash}.part"))).unwrap();
	// In the way of a file: the disk looks full until it is gone.
	let probe = folder.path().join("probe.part");
	std::fs::create_dir(&probe).unwrap();
	coordinator
		.wait_for("the task given back", |seen| seen.failures().len() == 1)
		.await;
	let polls = coordinator.lock().seen.polls.len();
	coordinator
		.wait_for("polls", |seen| seen.polls.len() >= polls + 3)
		.await;
	let offers = |from: usize| -> Vec<u16> {
		let seen = &coordinator.lock().seen;
		seen.polls[from..].iter().map(|it| it.free_slots).collect()
	};
	assert!(offers(polls + 1).iter().all(|slots| *slots == 0));
	assert!(miner.outbox.is_stuck());

	std::fs::remove_dir(&probe).unwrap();
	coordinator.ask_for(2);
	coordinator
		.wait_for("a result", |seen| seen.commitments().len() == 1)
		.await;
	miner.settled().await;
	assert_eq!(miner.painted(), 2);
}

/// A machine may begin with a clock that is days ahead: by that, everything would be too old to be kept.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_forgotten_by_a_clock_that_was_not_watched_yet() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (server, address) = coordinator.serve(ANY).await;
	drop(server);
	let spec = spec("task 1");
	let mut assignment = coordinator.assignment(1, 0, &spec);
	assignment.deadline_ms = 1_000;
	let verified = Verified {
		hash: signing::signing_hash(&GENESIS, &assignment),
		assignment,
		spec,
		pay: 0,
	};
	let painting = Painting {
		png: vec![1],
		trajectory_root: H256::zero(),
		engine_profile: H256::zero(),
		device: DeviceClass::Cpu,
	};
	let outbox = Outbox::open(folder.path()).unwrap();
	let sign = |commitment: &_| signing::sign(&GENESIS, commitment, &key(MINER));
	let record = outbox.commit(&GENESIS, &verified, &painting, sign).unwrap();
	drop(outbox);
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), FAST).await;
	miner.tells("coordinators_served 1").await;
	sleep(Duration::from_millis(200)).await;
	assert_eq!(miner.outbox.pending(), [record]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_slots_work_on_two_tasks_and_the_metrics_tell() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let chain = registry(&[(&coordinator, address)]);
	let trust = Trust::system().unwrap();
	let layout = Layout {
		slots: 2,
		..Layout::default()
	};
	let miner = Running::start_laid_out(folder.path(), chain, SLOW * 5, trust, 1, layout).await;
	coordinator.ask_for(1);
	coordinator.ask_for(2);
	// Each has begun, and neither is done.
	first_steps(&coordinator, 2).await;
	assert!(coordinator.lock().seen.submits.is_empty());
	let watched = Watched {
		metrics: miner.metrics.clone(),
		devices: miner.devices.clone(),
		outbox: miner.outbox.clone(),
		chain_stalled: miner.chain_stalled.clone(),
		stop: miner.stop.clone(),
	};
	let monitor = monitor::listen(ANY, watched.clone()).await.unwrap();
	let (status, text) = get(monitor.address, "/metrics").await;
	assert_eq!(status, 200);
	assert!(text.contains("\ncuckoo_miner_jobs 2\n"), "{text}");
	assert!(text.contains("\ncuckoo_miner_slots 2\n"), "{text}");
	assert!(text.contains("\ncuckoo_miner_tasks_at_once 2\n"), "{text}");
	let (status, health) = get(monitor.address, "/healthz").await;
	assert_eq!(status, 200);
	assert!(health.contains("\"coordinators_up\":1"), "{health}");
	coordinator
		.wait_for("both results", |seen| seen.commitments().len() == 2)
		.await;
	miner.settled().await;
	let (_, text) = get(monitor.address, "/metrics").await;
	assert!(
		text.contains("tasks_total{outcome=\"accepted\"} 2"),
		"{text}"
	);
	assert!(coordinator
		.lock()
		.seen
		.polls
		.iter()
		.any(|poll| poll.free_slots == 2));
	let open = SocketAddr::from(([0, 0, 0, 0], 0));
	assert!(
		monitor::listen(open, watched).await.is_err(),
		"served to everybody"
	);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_tasks_are_done_in_one_batch_each_under_its_own_commitment() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let assignments = [1, 2, 3].map(|task| coordinator.ask_for(task));
	let (_server, address) = coordinator.serve(ANY).await;
	let chain = registry(&[(&coordinator, address)]);
	let trust = Trust::system().unwrap();
	let layout = Layout {
		slots: 1,
		batch: 3,
		// Until it is full.
		batch_wait: Duration::from_secs(20),
	};
	let miner = Running::start_laid_out(folder.path(), chain, SLOW, trust, 1, layout).await;
	coordinator
		.wait_for("three results", |seen| seen.commitments().len() == 3)
		.await;
	miner.settled().await;
	assert_eq!(miner.painted(), 3);
	let seen = &coordinator.lock().seen;
	let mut offered: Vec<u16> = seen.polls.iter().map(|poll| poll.free_slots).collect();
	offered.dedup();
	assert_eq!(offered[..4], [3, 2, 1, 0], "{offered:?}");
	let commitments = seen.commitments();
	for assignment in assignments {
		let named = signing::signing_hash(&GENESIS, &assignment);
		let of_it: Vec<_> = commitments
			.iter()
			.filter(|(commitment, _)| commitment.assignment == named)
			.collect();
		let [(commitment, _)] = of_it[..] else {
			panic!("{} commitments", of_it.len())
		};
		assert_eq!(
			commitment.engine_profile,
			H256::from_low_u64_be(3),
			"made in a batch of three"
		);
		let task = assignment.task.0[0];
		let picture = &seen.artifacts[&commitment.output];
		assert!(picture.starts_with(format!("task {task} ").as_bytes()));
	}
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_a_batch_is_cancelled_and_the_others_are_delivered() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let [_, second, _] = [1, 2, 3].map(|task| coordinator.ask_for(task));
	let (_server, address) = coordinator.serve(ANY).await;
	let chain = registry(&[(&coordinator, address)]);
	let trust = Trust::system().unwrap();
	let layout = Layout {
		slots: 1,
		batch: 3,
		batch_wait: Duration::from_secs(20),
	};
	let miner = Running::start_laid_out(folder.path(), chain, SLOW, trust, 1, layout).await;
	first_steps(&coordinator, 3).await;
	coordinator.lock().abandon.push(Held {
		task: second.task,
		attempt: 0,
	});
	coordinator
		.wait_for("two results", |seen| seen.commitments().len() == 2)
		.await;
	miner.settled().await;
	let seen = &coordinator.lock().seen;
	assert!(seen.submits.iter().all(|submit| submit.task != second.task));
	let three = H256::from_low_u64_be(3);
	assert!(seen
		.commitments()
		.iter()
		.all(|(commitment, _)| commitment.engine_profile == three));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_work_on_two_tasks_of_one_worker() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let chain = registry(&[(&coordinator, address)]);
	let trust = Trust::system().unwrap();
	let layout = Layout::default();
	let miner = Running::start_laid_out(folder.path(), chain, SLOW * 5, trust, 2, layout).await;
	coordinator.ask_for(1);
	coordinator.ask_for(2);
	first_steps(&coordinator, 2).await;
	assert!(coordinator.lock().seen.submits.is_empty());
	coordinator
		.wait_for("both results", |seen| seen.commitments().len() == 2)
		.await;
	miner.settled().await;
	assert_eq!(coordinator.lock().seen.hellos, 1);
	assert_eq!(miner.devices.profile().device_name, "2 x test");
}

/// Waits until the first step of each of the tasks 1 to `last` was reported.
async fn first_steps(coordinator: &Coordinator, last: u8) {
	coordinator
		.wait_for("the first steps", |seen| {
			(1..=last).all(|task| {
				seen.progress
					.iter()
					.any(|report| report.task.0 == [task; 16] && report.steps_done > 0)
			})
		})
		.await;
}

/// A plain HTTP GET: status and body.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
	use tokio::io::{AsyncReadExt, AsyncWriteExt};
	let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
	let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
	stream.write_all(request.as_bytes()).await.unwrap();
	let mut reply = String::new();
	stream.read_to_string(&mut reply).await.unwrap();
	let (head, body) = reply.split_once("\r\n\r\n").unwrap();
	let status = head.split(' ').nth(1).unwrap().parse().unwrap();
	(status, body.to_owned())
}
