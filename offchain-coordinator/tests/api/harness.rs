//! A real coordinator on a free port, with a fixed registry instead of a chain and a clock that the
//! test moves; and miners that speak the real protocol.

use crate::postgres_server;
use cuckoo_chain_client::{BlockRef, Operator, Registry};
use cuckoo_coordinator_api::{
	error::{from_object, ApiError, ErrorCode},
	miner::{Held, Hello, Outcome, Poll, PollReply, Session, Submit, SubmitReply, Work},
	rpc::{MinerRpcClient, TaskRpcClient},
	task::{ModelInfo, TaskRequest, TaskState, TaskStatus},
};
use cuckoo_primitives::{
	signing::{self, MinerLogin, ResultCommitment},
	task::{DeviceClass, TaskId},
	AccountId, Balance, Role, CUC, H256,
};
use jsonrpsee::{
	core::client::Error as ClientError,
	http_client::{HttpClient, HttpClientBuilder},
};
use offchain_coordinator::{
	admin,
	clock::Clock,
	connections::{Bounds, Listener},
	coordinator::{Coordinator, Error},
	http,
	keys::Keys,
	peers, scheduler,
	settings::Settings,
	store::{Place, SQLITE},
	tls::Tls,
	webhooks,
};
use postgres::{config::Host, Config};
use sp_core::{sr25519, Pair};
use std::{
	net::SocketAddr,
	path::{Path, PathBuf},
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc,
	},
	time::Duration,
};
use tokio::{
	net::TcpListener,
	runtime::{Builder, Runtime},
	task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub const GENESIS: H256 = H256::repeat_byte(0x42);
pub const MODEL: H256 = H256::repeat_byte(0x11);

pub fn pair(name: &str) -> sr25519::Pair {
	Pair::from_string(&format!("//{name}//worker"), None).unwrap()
}

pub fn account(name: &str) -> AccountId {
	let pair: sr25519::Pair = Pair::from_string(&format!("//{name}"), None).unwrap();
	pair.public().into()
}

pub fn operator(name: &str, role: Role, stake: Balance) -> Operator {
	Operator {
		account: account(name),
		role,
		worker: Some(pair(name).public()),
		commission_ppb: 0,
		next_commission: None,
		name: name.into(),
		endpoint: String::new(),
		text: String::new(),
		self_stake: stake,
		total_stake: stake,
		active: stake > role.default_min_self_stake(),
		retired: false,
		suspended: false,
		streaming: 0,
	}
}

pub fn miner(name: &str, stake_cuc: Balance) -> Operator {
	operator(name, Role::Miner, stake_cuc * CUC)
}

/// A coordinator, two good miners, and one of each kind that cannot mine.
pub fn operators() -> Vec<Operator> {
	vec![
		operator("coordinator", Role::Coordinator, 3_000_000 * CUC),
		operator("validator", Role::Validator, 200_000 * CUC),
		miner("alice", 30_000),
		miner("bob", 60_000),
		miner("poor", 20_000),
		Operator {
			active: false,
			retired: true,
			..miner("retired", 30_000)
		},
	]
}

pub fn registry(number: u32, operators: Vec<Operator>) -> Arc<Registry> {
	let block = BlockRef {
		number,
		hash: H256::from_low_u64_be(number.into()),
	};
	let minima = Role::ALL.map(|role| (role, role.default_min_self_stake()));
	Arc::new(Registry::new(
		block,
		H256::repeat_byte(7),
		operators,
		minima,
	))
}

pub fn model() -> ModelInfo {
	ModelInfo {
		hash: MODEL,
		name: "tiny".into(),
		default_size: 16,
		size_multiple: 8,
		max_size: 64,
		default_steps: 4,
		default_guidance_milli: 3_000,
	}
}

pub struct Server {
	pub coordinator: Arc<Coordinator>,
	pub address: SocketAddr,
	pub admin: SocketAddr,
	pub client: HttpClient,
	now: Arc<AtomicU64>,
	stop: CancellationToken,
	tasks: Vec<JoinHandle<()>>,
	/// Its own, so that it can die at once with everything in it.
	runtime: Option<Runtime>,
}

impl Drop for Server {
	fn drop(&mut self) {
		if let Some(runtime) = self.runtime.take() {
			runtime.shutdown_background();
		}
	}
}

/// Says that the tests are to run on PostgreSQL.
pub const STORE_VARIABLE: &str = "CUCKOO_TEST_STORE";

pub fn on_postgres() -> bool {
	std::env::var(STORE_VARIABLE).is_ok_and(|store| store == "postgres")
}

/// Where the store of a data directory is: on PostgreSQL in a database of its own.
pub fn place(directory: &Path) -> Place {
	if !on_postgres() {
		return Place::Directory(directory.to_owned());
	}
	let hash = blake3::hash(directory.as_os_str().as_encoded_bytes());
	let name = format!("cuckoo_test_{}", &hash.to_hex()[..16]);
	let database = postgres_server::database(&name).expect("there is a PostgreSQL");
	Place::Postgres(Box::new(database))
}

/// The address of that store, as an operator gives it.
pub fn store_url(directory: &Path) -> String {
	match place(directory) {
		Place::Postgres(config) => database_url(&config),
		_ => SQLITE.into(),
	}
}

/// The database's address, as an operator gives it.
pub fn database_url(config: &Config) -> String {
	let user = config.get_user().unwrap_or("postgres");
	let database = config.get_dbname().unwrap_or("postgres");
	let host = match config.get_hosts() {
		[Host::Unix(folder)] => folder.display().to_string().replace('/', "%2F"),
		[Host::Tcp(host)] => host.clone(),
		other => panic!("one host, not {other:?}"),
	};
	let port = config.get_ports().first().copied().unwrap_or(5432);
	format!("postgres://{user}@{host}:{port}/{database}")
}

/// The apps with keys in a data directory, on another thread: what they do blocks.
pub fn with_keys<T: Send>(directory: &Path, work: impl FnOnce(&mut Keys) -> T + Send) -> T {
	let place = place(directory);
	let work = move || work(&mut Keys::open_at(&place).unwrap());
	std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// Opens the data directory, as soon as the one who died before has let go of it.
async fn open(
	place: Place,
	directory: PathBuf,
	settings: Settings,
	clock: Clock,
) -> Arc<Coordinator> {
	for _ in 0..200 {
		let (settings, clock) = (settings.clone(), clock.clone());
		let key = pair("coordinator");
		match Coordinator::open_at(&place, &directory, key, settings, clock).await {
			Err(Error::InUse) => tokio::time::sleep(Duration::from_millis(10)).await,
			opened => return opened.unwrap(),
		}
	}
	panic!("{directory:?} stays in use");
}

impl Server {
	pub async fn start(directory: &Path) -> Self {
		Self::start_with(directory, Settings::default(), 1_000_000).await
	}

	pub async fn start_with(directory: &Path, settings: Settings, now_ms: u64) -> Self {
		let server = Self::start_without_chain(directory, settings, now_ms).await;
		server
			.coordinator
			.set_registry(registry(1, operators()), GENESIS)
			.await
			.unwrap();
		server
	}

	pub async fn start_without_chain(directory: &Path, settings: Settings, now_ms: u64) -> Self {
		let now = Arc::new(AtomicU64::new(now_ms));
		let clock = Clock::Manual(now.clone());
		Self::start_at(place(directory), directory, settings, clock, now).await
	}

	/// With the store in this place and this clock.
	pub async fn start_at(
		place: Place,
		directory: &Path,
		settings: Settings,
		clock: Clock,
		now: Arc<AtomicU64>,
	) -> Self {
		let settings = Settings {
			tick_ms: 10,
			..settings
		};
		let runtime = Builder::new_multi_thread()
			.worker_threads(2)
			.enable_all()
			.build()
			.unwrap();
		let (handle, directory) = (runtime.handle().clone(), directory.to_owned());
		let opening = move || handle.block_on(open(place, directory, settings, clock));
		let coordinator = tokio::task::spawn_blocking(opening).await.unwrap();
		let listener = runtime
			.spawn(TcpListener::bind("127.0.0.1:0"))
			.await
			.unwrap()
			.unwrap();
		let address = listener.local_addr().unwrap();
		let admin_listener = runtime
			.spawn(TcpListener::bind("127.0.0.1:0"))
			.await
			.unwrap()
			.unwrap();
		let admin = admin_listener.local_addr().unwrap();
		let stop = CancellationToken::new();
		let tasks = vec![
			runtime.spawn(scheduler::run(coordinator.clone(), stop.clone())),
			runtime.spawn(peers::run(coordinator.clone(), stop.clone())),
			runtime.spawn(webhooks::run(coordinator.clone(), stop.clone())),
			runtime.spawn(http::serve(
				coordinator.clone(),
				listener,
				Bounds::of(100),
				stop.clone(),
			)),
			runtime.spawn(admin::server::serve(
				coordinator.clone(),
				admin_listener,
				false,
				stop.clone(),
			)),
		];
		let client = HttpClientBuilder::default()
			.build(format!("http://{address}"))
			.unwrap();
		Self {
			coordinator,
			address,
			admin,
			client,
			now,
			stop,
			tasks,
			runtime: Some(runtime),
		}
	}

	/// Serves the same over TLS too; gives where.
	pub async fn serve_tls(&mut self, tls: Arc<Tls>, max_connections: u32) -> SocketAddr {
		let runtime = self.runtime.as_ref().unwrap();
		let listening = runtime.spawn(TcpListener::bind("127.0.0.1:0")).await;
		let listener = listening.unwrap().unwrap();
		let address = listener.local_addr().unwrap();
		self.tasks.push(runtime.spawn(http::serve(
			self.coordinator.clone(),
			Listener::tls(listener, tls),
			Bounds::of(max_connections),
			self.stop.clone(),
		)));
		address
	}

	pub fn url(&self, path: &str) -> String {
		format!("http://{}{path}", self.address)
	}

	pub fn now_ms(&self) -> u64 {
		self.now.load(Ordering::SeqCst)
	}

	/// Moves the clock.
	pub fn pass(&self, ms: u64) {
		self.now.fetch_add(ms, Ordering::SeqCst);
	}

	/// As by SIGKILL: nothing is finished, nothing is closed.
	pub fn kill(self) {
		drop(self);
	}

	/// As by SIGTERM.
	pub async fn stop(mut self) {
		self.coordinator.stop();
		self.stop.cancel();
		for task in std::mem::take(&mut self.tasks) {
			task.await.unwrap();
		}
		self.coordinator.close().await;
	}

	pub async fn submit(&self, prompt: &str) -> TaskStatus {
		self.client
			.task_submit(request(prompt), None)
			.await
			.unwrap()
	}

	pub async fn state(&self, id: TaskId) -> TaskState {
		self.client.task_status(id).await.unwrap().state
	}

	/// Waits until the task is in that state.
	pub async fn until(&self, id: TaskId, state: TaskState) -> TaskStatus {
		for _ in 0..500 {
			let status = self.client.task_status(id).await.unwrap();
			if status.state == state {
				return status;
			}
			tokio::time::sleep(Duration::from_millis(10)).await;
		}
		panic!(
			"the task is not {state:?} but {:?}",
			self.client.task_status(id).await
		);
	}

	/// A good miner takes the task and does it: nothing that came before has done it harm.
	pub async fn completes_with(&self, name: &str, id: TaskId) {
		let good = TestMiner::connect(self, name).await;
		for _ in 0..10 {
			if self.state(id).await == TaskState::Done {
				return;
			}
			if let Some(work) = good.poll(500).await.work {
				good.finish(&work).await;
			}
		}
		self.until(id, TaskState::Done).await;
	}
}

pub fn request(prompt: &str) -> TaskRequest {
	TaskRequest {
		prompt: prompt.into(),
		..TaskRequest::default()
	}
}

/// The API's error behind a client's.
pub fn api_error(error: ClientError) -> ApiError {
	match error {
		ClientError::Call(object) => {
			from_object(&object).unwrap_or_else(|| panic!("no code of the API: {object:?}"))
		},
		other => panic!("no error of the API: {other:?}"),
	}
}

pub fn code<T: std::fmt::Debug>(result: Result<T, ClientError>) -> ErrorCode {
	let error = api_error(result.expect_err("this is refused"));
	assert!(error.message.len() > 10, "a sentence: {error:?}");
	error.code
}

pub fn png(width: u32, height: u32, shade: u8) -> Vec<u8> {
	let mut bytes = Vec::new();
	let mut encoder = png::Encoder::new(&mut bytes, width, height);
	encoder.set_color(png::ColorType::Rgb);
	let mut writer = encoder.write_header().unwrap();
	writer
		.write_image_data(&vec![shade; (width * height * 3) as usize])
		.unwrap();
	writer.finish().unwrap();
	bytes
}

pub fn hash(bytes: &[u8]) -> H256 {
	H256(*blake3::hash(bytes).as_bytes())
}

pub struct TestMiner {
	pub name: String,
	pub key: sr25519::Pair,
	pub session: Session,
	pub client: HttpClient,
	pub server: String,
}

impl TestMiner {
	pub async fn hello(server: &Server, name: &str) -> Hello {
		Self::hello_at(&server.client, name).await.unwrap()
	}

	async fn hello_at(client: &HttpClient, name: &str) -> Result<Hello, ClientError> {
		let key = pair(name);
		let challenge = client.miner_challenge(key.public()).await?;
		let login = MinerLogin {
			coordinator: challenge.coordinator,
			worker: key.public(),
			challenge: challenge.challenge.0,
		};
		Ok(Hello {
			worker: key.public(),
			challenge: challenge.challenge,
			signature: signing::sign(&challenge.genesis_hash, &login, &key),
			models: vec![model()],
			device: DeviceClass::Cpu,
			device_name: "test".into(),
			slots: 1,
			engine: "test".into(),
		})
	}

	pub async fn connect(server: &Server, name: &str) -> Self {
		let url = server.url("");
		let connected = Self::connect_at(&server.client, &url, name).await;
		connected.unwrap()
	}

	/// Says hello to a server that may be gone.
	pub async fn connect_at(
		client: &HttpClient,
		url: &str,
		name: &str,
	) -> Result<Self, ClientError> {
		let hello = Self::hello_at(client, name).await?;
		let session = client.miner_hello(hello).await?;
		assert_eq!(session.miner, account(name));
		Ok(Self {
			name: name.into(),
			key: pair(name),
			session,
			client: client.clone(),
			server: url.into(),
		})
	}

	pub async fn poll(&self, wait_ms: u64) -> PollReply {
		self.poll_holding(wait_ms, vec![]).await
	}

	pub async fn poll_holding(&self, wait_ms: u64, holding: Vec<Held>) -> PollReply {
		let poll = Poll {
			token: self.session.token,
			free_slots: 1,
			wait_ms,
			holding,
		};
		self.client.miner_poll(poll).await.unwrap()
	}

	/// Polls until there is work.
	pub async fn work(&self) -> Work {
		for _ in 0..20 {
			if let Some(work) = self.poll(500).await.work {
				return work;
			}
		}
		panic!("{} gets no work", self.name);
	}

	pub async fn upload(&self, hash: &H256, bytes: Vec<u8>) -> reqwest::Response {
		reqwest::Client::new()
			.put(format!("{}/artifacts/{hash:?}", self.server))
			.bearer_auth(format!("{:?}", self.session.token))
			.body(bytes)
			.send()
			.await
			.unwrap()
	}

	pub fn commitment(&self, work: &Work, output: H256) -> ResultCommitment {
		ResultCommitment {
			assignment: signing::signing_hash(&GENESIS, &work.assignment),
			output,
			trajectory_root: H256::repeat_byte(1),
			engine_profile: H256::repeat_byte(2),
			device: DeviceClass::Cpu,
		}
	}

	pub async fn submit(
		&self,
		work: &Work,
		commitment: ResultCommitment,
	) -> Result<SubmitReply, ClientError> {
		let signature = signing::sign(&GENESIS, &commitment, &self.key);
		self.submit_outcome(
			work,
			Outcome::Result {
				commitment,
				signature,
			},
		)
		.await
	}

	pub async fn submit_outcome(
		&self,
		work: &Work,
		outcome: Outcome,
	) -> Result<SubmitReply, ClientError> {
		let submit = Submit {
			token: self.session.token,
			task: work.assignment.task,
			attempt: work.assignment.attempt,
			outcome,
		};
		self.client.miner_submit(submit).await
	}

	/// Does the work as a good miner does.
	pub async fn finish(&self, work: &Work) {
		let picture = png(
			work.spec.width.into(),
			work.spec.height.into(),
			work.spec.seed as u8,
		);
		let uploaded = self.upload(&hash(&picture), picture.clone()).await;
		assert!(
			uploaded.status().is_success(),
			"{}",
			uploaded.text().await.unwrap()
		);
		let reply = self
			.submit(work, self.commitment(work, hash(&picture)))
			.await
			.unwrap();
		assert!(reply.accepted);
	}
}

pub fn held(work: &Work) -> Held {
	Held {
		task: work.assignment.task,
		attempt: work.assignment.attempt,
	}
}

/// A miner that does whatever comes, until it is aborted.
pub async fn mine(server: &Server, name: &str) -> JoinHandle<()> {
	let miner = TestMiner::connect(server, name).await;
	tokio::spawn(async move {
		loop {
			if let Some(work) = miner.poll(200).await.work {
				miner.finish(&work).await;
			}
		}
	})
}
