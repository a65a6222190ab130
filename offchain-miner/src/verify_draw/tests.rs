//! A whole run of a coordinator that is asked over HTTP: honest, and with one lie each.

use super::{
	check::tests::{cover_up, honest_attempt, key, operators, registry_of, signed, spec, GENESIS},
	*,
};
use cuckoo_coordinator_api::{
	task::{EligibleEntry, TaskPage, TaskResult, TaskState},
	Amount, ErrorCode,
};
use cuckoo_primitives::{
	signing::{self, ResultCommitment},
	task::DeviceClass,
	AccountId, Balance, CUC,
};
use jsonrpsee::{
	server::{Server, ServerHandle},
	types::ErrorObjectOwned,
	RpcModule,
};
use sp_core::Pair as _;
use std::{
	collections::BTreeMap,
	sync::atomic::{AtomicUsize, Ordering},
};

const TASKS: u32 = 30;

/// What a coordinator publishes: the proofs of every task, by attempt.
#[derive(Clone)]
struct Book(BTreeMap<TaskId, Vec<DrawProof>>);

impl Book {
	/// A run of tasks, every third of which took two attempts.
	fn honest(cap: Balance) -> Self {
		let tasks = (0..TASKS).map(|number| {
			let attempts = 1 + u32::from(number % 3 == 0);
			let nonce = format!("key {number}");
			let proof = |attempt| honest_attempt(cap, &nonce, attempt);
			let proofs: Vec<DrawProof> = (0..attempts).map(proof).collect();
			(proofs[0].assignment.task, proofs)
		});
		Self(tasks.collect())
	}

	/// The proof of a task somewhere in the middle.
	fn victim(&mut self) -> &mut DrawProof {
		let proofs = self.0.values_mut().nth(TASKS as usize / 2).unwrap();
		proofs.last_mut().unwrap()
	}

	fn tasks(&self) -> Vec<TaskId> {
		self.0.keys().copied().collect()
	}
}

fn refused(code: ErrorCode) -> ErrorObjectOwned {
	cuckoo_coordinator_api::error::ApiError::new(code).into()
}

/// Of a task whose last attempt this is the draw of.
fn status(last: &DrawProof) -> TaskStatus {
	TaskStatus {
		id: last.assignment.task,
		state: TaskState::Done,
		spec: spec().into(),
		spec_hash: spec().hash(),
		position: None,
		eta_ms: None,
		steps_done: 10,
		attempt: Some(last.assignment.attempt),
		miner: Some(last.assignment.miner.clone()),
		reason: None,
		price: Amount(0),
		deadline_ms: None,
		created_ms: 1,
		updated_ms: 2,
	}
}

/// The result that the miner drawn there committed to.
fn result(last: &DrawProof) -> TaskResult {
	let assignment = &last.assignment;
	let artifact = H256::repeat_byte(3);
	let commitment = ResultCommitment {
		assignment: signing::signing_hash(&last.genesis_hash, assignment),
		output: artifact,
		trajectory_root: H256::zero(),
		engine_profile: H256::zero(),
		device: DeviceClass::Cpu,
	};
	let worker = (1..100)
		.map(key)
		.find(|key| key.public() == assignment.worker);
	TaskResult {
		id: assignment.task,
		artifact,
		path: String::new(),
		bytes: 1,
		attempt: assignment.attempt,
		miner: assignment.miner.clone(),
		worker: assignment.worker,
		signature: signing::sign(&last.genesis_hash, &commitment, &worker.unwrap()),
		commitment,
		elapsed_ms: 1,
	}
}

/// What is answered about a task instead of what is so.
#[derive(Clone, Default)]
struct Lies {
	/// When its last draw is asked for once more.
	second: Option<DrawProof>,
	status: Option<TaskStatus>,
	/// Or that there is none.
	result: Option<(TaskId, Option<TaskResult>)>,
}

struct Published {
	book: Book,
	lies: Lies,
	asked: AtomicUsize,
}

impl Published {
	fn proofs(&self, task: &TaskId) -> Result<&[DrawProof], ErrorObjectOwned> {
		let proofs = self.book.0.get(task).map(Vec::as_slice);
		proofs.ok_or_else(|| refused(ErrorCode::TaskNotFound))
	}
}

/// Serves the book as a coordinator does.
async fn serve(book: Book, lies: Lies) -> (HttpClient, ServerHandle) {
	let server = Server::builder().build("127.0.0.1:0").await.unwrap();
	let url = format!("http://{}", server.local_addr().unwrap());
	let asked = AtomicUsize::new(0);
	let mut module = RpcModule::new(Published { book, lies, asked });
	module
		.register_method("task_status", |params, it, _| {
			let params: BTreeMap<String, TaskId> = params.parse()?;
			let proofs = it.proofs(&params["id"])?;
			let lie = it.lies.status.clone().filter(|lie| lie.id == params["id"]);
			Ok::<_, ErrorObjectOwned>(lie.unwrap_or_else(|| status(&proofs[proofs.len() - 1])))
		})
		.unwrap();
	module
		.register_method("task_result", |params, it, _| {
			let params: BTreeMap<String, TaskId> = params.parse()?;
			let proofs = it.proofs(&params["id"])?;
			match &it.lies.result {
				Some((task, lie)) if *task == params["id"] => {
					lie.clone().ok_or_else(|| refused(ErrorCode::Internal))
				},
				_ => Ok(result(&proofs[proofs.len() - 1])),
			}
		})
		.unwrap();
	module
		.register_method("coordinator_draw", |params, it, _| {
			let params: Value = params.parse()?;
			let id: TaskId = serde_json::from_value(params["id"].clone()).unwrap();
			let proofs = it.proofs(&id)?;
			let last = proofs.len() as u64 - 1;
			let attempt = params["attempt"].as_u64().unwrap_or(last);
			if let Some(second) = it
				.lies
				.second
				.as_ref()
				.filter(|it| it.assignment.task == id)
			{
				if it.asked.fetch_add(1, Ordering::SeqCst) == proofs.len() {
					return Ok(second.clone());
				}
			}
			// An attempt without a list stands for one that was hidden.
			let proof = proofs
				.get(attempt as usize)
				.filter(|it| !it.eligible.is_empty());
			proof
				.cloned()
				.ok_or_else(|| refused(ErrorCode::AttemptNotFound))
		})
		.unwrap();
	module
		.register_method("task_list", |params, it, _| {
			let params: Value = params.parse()?;
			let from = params["from"].as_u64().unwrap_or(u64::from(TASKS)) as usize;
			let ids: Vec<TaskId> = it.book.tasks()[..from]
				.iter()
				.rev()
				.take(7)
				.copied()
				.collect();
			let left = from - ids.len();
			let tasks = ids.iter().map(|id| status(&it.book.0[id][0])).collect();
			let next = (left > 0).then_some(left as u64);
			Ok::<_, ErrorObjectOwned>(TaskPage { tasks, next })
		})
		.unwrap();
	let handle = server.start(module);
	(connect(&url).unwrap(), handle)
}

/// The chain at its one block.
struct Chain(AtomicUsize);

/// A block whose state the node has dropped.
const OLD: BlockNumber = 4;

impl Blocks for Chain {
	fn genesis_hash(&self) -> H256 {
		GENESIS
	}

	async fn block_hash(&self, number: BlockNumber) -> anyhow::Result<Option<H256>> {
		Ok((number <= 5).then(|| H256::repeat_byte(number as u8)))
	}

	async fn registry_at(&self, block: H256) -> anyhow::Result<Registry> {
		self.0.fetch_add(1, Ordering::SeqCst);
		let registry = registry_of(operators());
		if block != registry.block.hash {
			bail!("state already discarded");
		}
		Ok(registry)
	}
}

fn questions() -> Questions {
	Questions {
		attempts: Attempts::All,
		twice: true,
		idempotency_key: None,
		concurrency: 4,
		run: true,
	}
}

/// What is found in a run.
async fn found(book: Book, lies: Lies) -> Summary {
	let tasks = book.tasks();
	let (rpc, _server) = serve(book, lies).await;
	let chain = Chain(AtomicUsize::new(0));
	let mut verifier = Verifier::new(Some(&chain));
	verifier
		.verify(&rpc, &tasks, &questions(), |_| {})
		.await
		.unwrap();
	assert!(
		chain.0.load(Ordering::SeqCst) <= 2,
		"a block's registry is read once"
	);
	verifier.run.summary()
}

#[tokio::test]
async fn an_honest_run_has_no_deviation() {
	for cap in [Balance::MAX, 60_000 * CUC] {
		let summary = found(Book::honest(cap), Lies::default()).await;
		assert!(summary.is_sound(), "{summary:?}");
		assert_eq!(summary.tasks, u64::from(TASKS));
		// Every attempt, and the last of each task once more.
		assert_eq!(summary.draws, u64::from(TASKS + TASKS / 3 + TASKS));
		assert_eq!(
			(summary.deviations.len(), summary.never_listed.len()),
			(0, 0)
		);
	}
}

/// Plants a lie in one draw of a run, signed as the coordinator would; tells which checks it fails.
async fn planted(lie: impl FnOnce(&mut DrawProof)) -> Vec<Name> {
	let mut book = Book::honest(Balance::MAX);
	let proof = book.victim();
	lie(proof);
	*proof = signed(proof.clone());
	caught(book).await
}

async fn caught(book: Book) -> Vec<Name> {
	let summary = found(book, Lies::default()).await;
	assert_eq!(summary.unsound, 2, "the one draw, each time: {summary:?}");
	summary.deviations.keys().copied().collect()
}

fn other_miner(proof: &DrawProof) -> AccountId {
	let others = proof.eligible.iter().map(|entry| &entry.miner);
	others
		.into_iter()
		.find(|miner| **miner != proof.assignment.miner)
		.unwrap()
		.clone()
}

#[tokio::test]
async fn each_lie_in_a_run_is_named() {
	let winner = planted(|proof| {
		proof.assignment.miner = other_miner(proof);
		let byte = (proof.assignment.miner.as_ref() as &[u8])[0];
		proof.assignment.worker = key(byte).public();
	});
	assert_eq!(winner.await, [Name::DrawnMiner]);

	// The ticket is not published but made: of randomness, task and attempt.
	let ticket = planted(|proof| {
		proof.assignment.randomness = H256::repeat_byte(66);
		cover_up(proof);
	});
	assert_eq!(ticket.await, [Name::Randomness]);
	let root = planted(|proof| proof.assignment.eligible_root = H256::repeat_byte(9));
	assert_eq!(root.await, [Name::EligibleRoot]);
	let total = planted(|proof| {
		proof.assignment.total_weight += 1;
		let assignment = &proof.assignment;
		let list: Vec<_> = proof.eligible.iter().map(Into::into).collect();
		let total = assignment.total_weight;
		let task = &assignment.task;
		let drawn = cuckoo_primitives::draw::ticket(
			&assignment.randomness,
			task,
			assignment.attempt,
			total,
		)
		.and_then(|ticket| cuckoo_primitives::draw::pick(&list, ticket))
		.unwrap();
		proof.assignment.worker = key((drawn.miner.as_ref() as &[u8])[0]).public();
		proof.assignment.miner = drawn.miner.clone();
	});
	assert_eq!(total.await, [Name::TotalWeight]);

	let above = planted(|proof| {
		proof.eligible[0].weight.0 += 1;
		cover_up(proof);
	});
	assert_eq!(above.await, [Name::Weights]);
	let below = planted(|proof| {
		proof.eligible[0].weight.0 -= 1;
		cover_up(proof);
	});
	assert!(below.await.contains(&Name::Weights));
	// Of the heaviest miner one draw alone cannot tell this from a cap.
	let heaviest = planted(|proof| {
		proof.eligible[3].weight.0 -= 1;
		cover_up(proof);
	});
	assert_eq!(heaviest.await, [Name::OneCap]);

	let doubled = planted(|proof| {
		proof.eligible.insert(0, proof.eligible[0].clone());
		cover_up(proof);
	});
	assert_eq!(doubled.await, [Name::ListOrder]);
	let unsorted = planted(|proof| {
		proof.eligible.swap(1, 2);
		cover_up(proof);
	});
	assert_eq!(unsorted.await, [Name::ListOrder]);
	let stranger = planted(|proof| {
		let miner = AccountId::new([99; 32]);
		proof.eligible.push(EligibleEntry {
			miner,
			weight: Amount(1),
		});
		cover_up(proof);
	});
	assert!(stranger.await.contains(&Name::EligibleMiners));

	assert_eq!(
		planted(|proof| proof.assignment.block_number += 1).await,
		[Name::Block]
	);
	let hash = planted(|proof| proof.assignment.block_hash = H256::zero());
	assert_eq!(hash.await, [Name::Block]);
	let spec = planted(|proof| proof.assignment.spec_hash = H256::zero());
	assert_eq!(spec.await, [Name::Spec, Name::TaskId]);
	let worker = planted(|proof| proof.assignment.worker = key(77).public());
	assert_eq!(worker.await, [Name::MinerWorker]);
}

#[tokio::test]
async fn another_keys_signature_is_named() {
	let mut book = Book::honest(Balance::MAX);
	let proof = book.victim();
	proof.signature = signing::sign(&GENESIS, &proof.assignment, &key(11));
	assert_eq!(caught(book).await, [Name::Signature]);
}

#[tokio::test]
async fn two_assignments_for_one_attempt_are_named() {
	let mut book = Book::honest(Balance::MAX);
	let mut second = book.victim().clone();
	// Sound in itself: only that there are two is wrong, and that the miner worked on the other.
	second.assignment.deadline_ms += 1;
	let lies = Lies {
		second: Some(signed(second)),
		..Lies::default()
	};
	let summary = found(book, lies).await;
	assert_eq!(
		summary.deviations,
		BTreeMap::from([(Name::Result, 1), (Name::OneAssignment, 1)])
	);
}

/// A coordinator may work on a task in one attempt and show another. What the miner signed tells.
#[tokio::test]
async fn a_draw_that_the_task_was_not_worked_on_in_is_named() {
	let honest = Book::honest(Balance::MAX);
	// Two attempts were made; the first alone, which is sound, is shown as the only one.
	let redrawn = honest.0.values().find(|proofs| proofs.len() == 2).unwrap();
	let (first, last) = (&redrawn[0], &redrawn[1]);
	let mut hidden = honest.clone();
	hidden.0.get_mut(&first.assignment.task).unwrap().pop();
	let lies_about = |result: Option<TaskResult>| Lies {
		result: Some((first.assignment.task, result)),
		..Lies::default()
	};
	let another = TaskResult {
		attempt: 0,
		miner: first.assignment.miner.clone(),
		worker: first.assignment.worker,
		..result(last)
	};
	let mut forged = result(first);
	forged.signature = signing::sign(&GENESIS, &forged.commitment, &key(11));
	let exchanged = TaskResult {
		artifact: H256::repeat_byte(4),
		..result(first)
	};
	for lie in [
		Some(result(last)),
		Some(another),
		Some(forged),
		Some(exchanged),
		None,
	] {
		let summary = found(hidden.clone(), lies_about(lie)).await;
		assert_eq!(summary.deviations, BTreeMap::from([(Name::Result, 2)]));
	}
}

#[tokio::test]
async fn a_status_that_does_not_name_the_last_attempt_is_named() {
	let book = Book::honest(Balance::MAX);
	let last = book.0.values().next().unwrap().last().unwrap();
	let lie = |change: fn(&mut TaskStatus)| {
		let mut lie = status(last);
		change(&mut lie);
		let lies = Lies {
			status: Some(lie),
			..Lies::default()
		};
		found(book.clone(), lies)
	};
	let another = lie(|status| status.miner = Some(AccountId::new([99; 32]))).await;
	assert_eq!(another.deviations, BTreeMap::from([(Name::Status, 2)]));
	let nobody = lie(|status| status.miner = None).await;
	assert_eq!(nobody.deviations, BTreeMap::from([(Name::Status, 2)]));

	// No task is done without an attempt, nor fails.
	for state in [TaskState::Done, TaskState::Failed, TaskState::Running] {
		let mut undrawn = status(last);
		(undrawn.state, undrawn.attempt, undrawn.miner) = (state, None, None);
		let lies = Lies {
			status: Some(undrawn.clone()),
			..Lies::default()
		};
		let summary = found(book.clone(), lies).await;
		assert_eq!(summary.deviations[&Name::Status], 2, "{state:?}");
		let mut hidden = book.clone();
		for proof in hidden.0.get_mut(&undrawn.id).unwrap() {
			proof.eligible.clear();
		}
		let lies = Lies {
			status: Some(undrawn),
			..Lies::default()
		};
		let summary = found(hidden, lies).await;
		assert_eq!((summary.unanswered, summary.is_sound()), (1, false));
	}
}

/// Honest: it was cancelled before a miner was drawn.
#[tokio::test]
async fn a_task_that_was_never_drawn_is_none_of_a_runs_and_alone_it_is_told() {
	let book = Book::honest(Balance::MAX);
	let mut undrawn = status(book.0.values().next().unwrap().last().unwrap());
	(undrawn.state, undrawn.attempt, undrawn.miner) = (TaskState::Cancelled, None, None);
	let task = undrawn.id;
	let lies = Lies {
		status: Some(undrawn),
		..Lies::default()
	};
	let summary = found(book.clone(), lies.clone()).await;
	assert!(summary.is_sound(), "{summary:?}");
	assert_eq!(summary.tasks, u64::from(TASKS) - 1);

	let (rpc, _server) = serve(book, lies).await;
	for attempts in [Attempts::Last, Attempts::All] {
		let alone = Questions {
			attempts,
			run: false,
			..questions()
		};
		let mut verifier = Verifier::<Chain>::new(None);
		let error = verifier.verify(&rpc, &[task], &alone, |_| {}).await;
		assert!(error.unwrap_err().to_string().contains("cancelled"));
	}
}

/// The coordinator chooses the block: neither one that is none nor one whose state is gone ends the run.
#[tokio::test]
async fn a_block_that_cannot_be_read_hides_nothing_of_the_other_draws() {
	let mut book = Book::honest(Balance::MAX);
	// The very first draw is of a block that is none; one after it is of a wrong miner.
	let first = book.0.values_mut().next().unwrap().last_mut().unwrap();
	first.assignment.block_hash = H256::repeat_byte(77);
	*first = signed(first.clone());
	let victim = book.victim();
	victim.eligible[0].weight.0 += 1;
	cover_up(victim);
	*victim = signed(victim.clone());
	let summary = found(book, Lies::default()).await;
	assert_eq!(
		summary.deviations,
		BTreeMap::from([(Name::Block, 2), (Name::Weights, 2)])
	);

	let mut book = Book::honest(Balance::MAX);
	let first = book.0.values_mut().next().unwrap().last_mut().unwrap();
	(first.assignment.block_number, first.assignment.block_hash) =
		(OLD, H256::repeat_byte(OLD as u8));
	*first = signed(first.clone());
	let tasks = book.tasks();
	let (rpc, _server) = serve(book, Lies::default()).await;
	let chain = Chain(AtomicUsize::new(0));
	let mut verifier = Verifier::new(Some(&chain));
	let looked = verifier.verify(&rpc, &tasks, &questions(), |_| {}).await;
	assert!(format!("{:#}", looked.unwrap_err()).contains("an archive node"));
	let summary = verifier.run.summary();
	assert_eq!((summary.tasks, summary.unchecked), (u64::from(TASKS), 2));
	assert!(!summary.has_deviation() && !summary.is_sound());
}

/// A miner that is left out of one list cannot be told from a busy one: only that it never was in any
/// is public, and is noted.
#[tokio::test]
async fn a_miner_that_is_always_left_out_is_noted() {
	let left_out = AccountId::new([2; 32]);
	let leave_out = |proof: &mut DrawProof| {
		proof.eligible.retain(|entry| entry.miner != left_out);
		cover_up(proof);
		*proof = signed(proof.clone());
	};
	let mut once = Book::honest(Balance::MAX);
	leave_out(once.victim());
	let summary = found(once, Lies::default()).await;
	assert!(
		summary.is_sound() && summary.never_listed.is_empty(),
		"{summary:?}"
	);
	let mut always = Book::honest(Balance::MAX);
	always.0.values_mut().flatten().for_each(leave_out);
	let summary = found(always, Lies::default()).await;
	assert_eq!(summary.never_listed, [left_out]);
}

#[tokio::test]
async fn an_attempt_that_is_hidden_and_a_task_that_is_gone_are_counted() {
	let mut book = Book::honest(Balance::MAX);
	let proofs = book
		.0
		.values_mut()
		.find(|proofs| proofs.len() == 2)
		.unwrap();
	proofs[0].eligible.clear();
	let mut tasks = book.tasks();
	tasks.push(TaskId([0; 16]));
	let (rpc, _server) = serve(book, Lies::default()).await;
	let mut verifier = Verifier::<Chain>::new(None);
	let mut said = Vec::new();
	let tell = |event: Event<'_>| match event {
		Event::Draw(..) => {},
		Event::Missing(_, attempt) => said.push(format!("missing {attempt}")),
		Event::Unanswered(_, error) => said.push(format!("{error:#}")),
	};
	verifier
		.verify(&rpc, &tasks, &questions(), tell)
		.await
		.unwrap();
	assert_eq!(said.len(), 2, "{said:?}");
	assert_eq!(said[0], "missing 0");
	assert!(said[1].contains("the coordinator refused"), "{said:?}");
	let summary = verifier.run.summary();
	assert!(!summary.is_sound() && summary.unsound == 0 && summary.unanswered == 2);
}

#[tokio::test]
async fn the_apps_list_is_read_to_its_end_and_files_have_one_task_a_line() {
	let book = Book::honest(Balance::MAX);
	let (rpc, _server) = serve(book.clone(), Lies::default()).await;
	let mut listed = fetch::tasks_of_app(&rpc).await.unwrap();
	listed.reverse();
	assert_eq!(listed, book.tasks());

	let [first, second] = [book.tasks()[0], book.tasks()[1]];
	let text = format!("# a run\n{first}\n\n  {second} # the apple\n");
	assert_eq!(fetch::parse_tasks(&text).unwrap(), [first, second]);
	let wrong = fetch::parse_tasks("0x12\n").unwrap_err();
	assert!(format!("{wrong:#}").contains("line 1"), "{wrong:#}");
}
