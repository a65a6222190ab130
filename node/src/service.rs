//! Puts the node together: client, transaction pool, network, BABE, GRANDPA, off-chain workers, and
//! the servers for JSON-RPC and metrics.

use crate::{equivocation, rpc};
use cuckoo_runtime::{apis::RuntimeApi, opaque::Block};
use futures::FutureExt;
use sc_client_api::{Backend, BlockBackend};
use sc_consensus_babe::{BabeBlockImport, BabeLink, BabeWorkerHandle, SlotProportion};
use sc_consensus_grandpa::{
	FinalityProofProvider, GrandpaBlockImport, LinkHalf, SharedVoterState, VotingRulesBuilder,
};
use sc_consensus_slots::BackoffAuthoringOnFinalizedHeadLagging;
use sc_network::{service::traits::NotificationService, types::ProtocolName, NetworkBackend};
use sc_service::{
	config::Configuration, error::Error as ServiceError, KeystoreContainer, TaskManager,
	WarpSyncConfig,
};
use sc_telemetry::{Telemetry, TelemetryHandle, TelemetryWorker};
use sc_transaction_pool_api::{OffchainTransactionPoolFactory, RejectAllTxPool};
use sp_consensus_babe::{inherents::InherentDataProvider as SlotProvider, SlotDuration};
use sp_inherents::CreateInherentDataProviders;
use sp_runtime::traits::{Block as BlockT, NumberFor};
use sp_timestamp::InherentDataProvider as TimeProvider;
use std::{sync::Arc, time::Duration};
use substrate_prometheus_endpoint::Registry;

/// The client: database, runtime and their state.
pub type FullClient =
	sc_service::TFullClient<Block, RuntimeApi, sc_executor::WasmExecutor<HostFunctions>>;

/// The database.
pub type FullBackend = sc_service::TFullBackend<Block>;

/// The best fork is the longest that contains the last finalized block.
pub type FullSelectChain = sc_consensus::LongestChain<FullBackend, Block>;

/// The transactions that wait.
pub type FullPool = sc_transaction_pool::TransactionPoolHandle<Block, FullClient>;

/// What the runtime may call in the node.
type HostFunctions = sp_io::SubstrateHostFunctions;

type Hash = <Block as BlockT>::Hash;

/// A block's time and the slot that the time falls into.
type Inherents = Arc<
	dyn CreateInherentDataProviders<
		Block,
		(),
		InherentDataProviders = (SlotProvider, TimeProvider),
	>,
>;

type GrandpaImport = GrandpaBlockImport<FullBackend, Block, FullClient, FullSelectChain>;
type GrandpaLink = LinkHalf<Block, FullClient, FullSelectChain>;
type BabeImport = BabeBlockImport<Block, FullClient, GrandpaImport, Inherents, FullSelectChain>;

/// Every so many blocks a proof of finality is kept for peers that sync, even where the authorities do
/// not change.
const JUSTIFICATION_PERIOD: u32 = 512;

/// Between two rounds of GRANDPA's gossip.
const GOSSIP_DURATION: Duration = Duration::from_millis(333);

/// The part of a slot in which a block is filled with transactions. The rest is for the network.
const PROPOSAL_PORTION: f32 = 0.5;

/// Telemetry messages that may wait for the network.
const TELEMETRY_BUFFER: usize = 16;

/// A node's parts that sub-commands need, too.
pub struct Components {
	/// Database, runtime and state.
	pub client: Arc<FullClient>,
	/// The database.
	pub backend: Arc<FullBackend>,
	/// Runs the node's tasks and ends them.
	pub task_manager: TaskManager,
	/// Checks and imports blocks.
	pub import_queue: sc_consensus::DefaultImportQueue<Block>,
	keystore: KeystoreContainer,
	select_chain: FullSelectChain,
	pool: Arc<FullPool>,
	inherents: Inherents,
	block_import: BabeImport,
	babe_link: BabeLink<Block>,
	babe_worker: BabeWorkerHandle<Block>,
	grandpa_link: GrandpaLink,
	telemetry: Option<Telemetry>,
}

/// Opens the database and sets up everything that checks blocks, without a network.
pub fn components(config: &Configuration) -> Result<Components, ServiceError> {
	let telemetry = telemetry(config)?;
	let handle = telemetry.as_ref().map(|(_, telemetry)| telemetry.handle());
	let executor = sc_service::new_wasm_executor::<HostFunctions>(&config.executor);
	let (client, backend, keystore, task_manager) = sc_service::new_full_parts::<
		Block,
		RuntimeApi,
		_,
	>(
		config, handle.clone(), executor, Vec::new()
	)?;
	let client = Arc::new(client);
	let telemetry = telemetry.map(|(worker, telemetry)| {
		task_manager
			.spawn_handle()
			.spawn("telemetry", None, worker.run());
		telemetry
	});

	let select_chain = FullSelectChain::new(backend.clone());
	let pool = Arc::new(
		sc_transaction_pool::Builder::new(
			task_manager.spawn_essential_handle(),
			client.clone(),
			config.role.is_authority().into(),
		)
		.with_options(config.transaction_pool.clone())
		.with_prometheus(config.prometheus_registry())
		.build(),
	);

	let (grandpa_import, grandpa_link) = sc_consensus_grandpa::block_import(
		client.clone(),
		JUSTIFICATION_PERIOD,
		&client,
		select_chain.clone(),
		handle.clone(),
	)?;
	let babe_config = sc_consensus_babe::configuration(&*client)?;
	let slot_duration = babe_config.slot_duration();
	let inherents = inherents(slot_duration);
	let (block_import, babe_link) = sc_consensus_babe::block_import(
		babe_config,
		grandpa_import.clone(),
		client.clone(),
		inherents.clone(),
		select_chain.clone(),
		// Its reports of equivocations cannot be proven; those of `equivocation` take their place.
		OffchainTransactionPoolFactory::new(RejectAllTxPool::default()),
	)?;
	let (import_queue, babe_worker) =
		sc_consensus_babe::import_queue(sc_consensus_babe::ImportQueueParams {
			link: babe_link.clone(),
			block_import: block_import.clone(),
			justification_import: Some(Box::new(grandpa_import)),
			client: client.clone(),
			slot_duration,
			spawner: &task_manager.spawn_essential_handle(),
			registry: config.prometheus_registry(),
			telemetry: handle,
		})?;

	Ok(Components {
		client,
		backend,
		task_manager,
		import_queue,
		keystore,
		select_chain,
		pool,
		inherents,
		block_import,
		babe_link,
		babe_worker,
		grandpa_link,
		telemetry,
	})
}

/// Starts the node on the network backend `Network`.
pub fn start<Network: NetworkBackend<Block, Hash>>(
	config: Configuration,
) -> Result<TaskManager, ServiceError> {
	let Components {
		client,
		backend,
		mut task_manager,
		import_queue,
		keystore,
		select_chain,
		pool,
		inherents,
		block_import,
		babe_link,
		babe_worker,
		grandpa_link,
		mut telemetry,
	} = components(&config)?;

	let registry = config.prometheus_registry().cloned();
	let metrics = Network::register_notification_metrics(registry.as_ref());
	let mut net_config = sc_network::config::FullNetworkConfiguration::<_, _, Network>::new(
		&config.network,
		registry.clone(),
	);
	let genesis_hash = client
		.block_hash(0)?
		.ok_or_else(|| ServiceError::Other("the database has no genesis block".into()))?;
	let grandpa_protocol =
		sc_consensus_grandpa::protocol_standard_name(&genesis_hash, &config.chain_spec);
	let (grandpa_notifications_config, grandpa_notifications) =
		sc_consensus_grandpa::grandpa_peers_set_config::<_, Network>(
			grandpa_protocol.clone(),
			metrics.clone(),
			net_config.peer_store_handle(),
		);
	net_config.add_notification_protocol(grandpa_notifications_config);
	let warp_sync = Arc::new(sc_consensus_grandpa::warp_proof::NetworkProvider::new(
		backend.clone(),
		grandpa_link.shared_authority_set().clone(),
		Vec::new(),
	));
	let (network, system_rpc_tx, tx_handler_controller, sync_service, _bitswap) =
		sc_service::build_network(sc_service::BuildNetworkParams {
			config: &config,
			net_config,
			client: client.clone(),
			transaction_pool: pool.clone(),
			spawn_handle: task_manager.spawn_handle(),
			spawn_essential_handle: task_manager.spawn_essential_handle(),
			import_queue,
			block_announce_validator_builder: None,
			warp_sync_config: Some(WarpSyncConfig::WithProvider(warp_sync)),
			block_relay: None,
			metrics,
			gap_sync_body_policy: None,
		})?;

	if config.offchain_worker.enabled {
		let workers = sc_offchain::OffchainWorkers::new(sc_offchain::OffchainWorkerOptions {
			runtime_api_provider: client.clone(),
			is_validator: config.role.is_authority(),
			keystore: Some(keystore.keystore()),
			offchain_db: backend.offchain_storage(),
			transaction_pool: Some(OffchainTransactionPoolFactory::new(pool.clone())),
			network_provider: Arc::new(network.clone()),
			enable_http_requests: false,
			custom_extensions: |_| Vec::new(),
		})?;
		task_manager.spawn_handle().spawn(
			"offchain-workers-runner",
			"offchain-worker",
			workers
				.run(client.clone(), task_manager.spawn_handle())
				.boxed(),
		);
	}

	task_manager.spawn_handle().spawn(
		"equivocation-watch",
		None,
		equivocation::watch(
			client.clone(),
			OffchainTransactionPoolFactory::new(pool.clone()),
		),
	);

	let voter_state = SharedVoterState::empty();
	let rpc_sources = rpc::Sources {
		client: client.clone(),
		pool: pool.clone(),
		select_chain: select_chain.clone(),
		keystore: keystore.keystore(),
		babe_worker,
		grandpa_authorities: grandpa_link.shared_authority_set().clone(),
		grandpa_voter: voter_state.clone(),
		justifications: grandpa_link.justification_stream(),
		finality_proofs: FinalityProofProvider::new_for_service(
			backend.clone(),
			Some(grandpa_link.shared_authority_set().clone()),
		),
	};

	let role = config.role;
	let name = config.network.node_name.clone();
	let force_authoring = config.force_authoring;
	let grandpa_enabled = !config.disable_grandpa;
	sc_service::spawn_tasks(sc_service::SpawnTasksParams {
		config,
		client: client.clone(),
		backend,
		task_manager: &mut task_manager,
		keystore: keystore.keystore(),
		transaction_pool: pool.clone(),
		rpc_builder: Box::new(move |executor| {
			rpc::module(&rpc_sources, executor).map_err(ServiceError::Application)
		}),
		network: network.clone(),
		system_rpc_tx,
		tx_handler_controller,
		sync_service: sync_service.clone(),
		telemetry: telemetry.as_mut(),
		tracing_execute_block: None,
	})?;

	let telemetry = telemetry.as_ref().map(Telemetry::handle);
	if role.is_authority() {
		let babe = sc_consensus_babe::BabeParams {
			keystore: keystore.keystore(),
			client: client.clone(),
			select_chain,
			env: sc_basic_authorship::ProposerFactory::new(
				task_manager.spawn_handle(),
				client,
				pool.clone(),
				registry.as_ref(),
				telemetry.clone(),
			),
			block_import,
			sync_oracle: sync_service.clone(),
			justification_sync_link: sync_service.clone(),
			create_inherent_data_providers: inherents,
			force_authoring,
			// Where finality lags, blocks slow down, so that it can catch up.
			backoff_authoring_blocks: Some(BackoffAuthoringOnFinalizedHeadLagging::<
				NumberFor<Block>,
			>::default()),
			babe_link,
			block_proposal_slot_portion: SlotProportion::new(PROPOSAL_PORTION),
			max_block_proposal_slot_portion: None,
			telemetry: telemetry.clone(),
		};
		let authoring = sc_consensus_babe::start_babe(babe)?;
		// An authority that no longer authors is of no use: the node ends when the task does.
		task_manager.spawn_essential_handle().spawn_blocking(
			"babe-proposer",
			Some("block-authoring"),
			authoring,
		);
	}
	if grandpa_enabled {
		let grandpa = Grandpa {
			role,
			name,
			keystore: role.is_authority().then(|| keystore.keystore()),
			protocol: grandpa_protocol,
			link: grandpa_link,
			notifications: grandpa_notifications,
			voter_state,
			registry,
			telemetry,
			pool,
		};
		grandpa.spawn(&task_manager, network, sync_service)?;
	}
	Ok(task_manager)
}

/// What GRANDPA's voter needs beside the network.
struct Grandpa {
	role: sc_service::Role,
	name: String,
	/// None for a node that only follows.
	keystore: Option<sp_keystore::KeystorePtr>,
	protocol: ProtocolName,
	link: GrandpaLink,
	notifications: Box<dyn NotificationService>,
	voter_state: SharedVoterState,
	registry: Option<Registry>,
	telemetry: Option<TelemetryHandle>,
	pool: Arc<FullPool>,
}

impl Grandpa {
	/// Every node runs the full voter, with or without keys: it serves votes to its peers.
	fn spawn(
		self,
		task_manager: &TaskManager,
		network: Arc<dyn sc_network::service::traits::NetworkService>,
		sync: Arc<sc_network_sync::SyncingService<Block>>,
	) -> Result<(), ServiceError> {
		let voter = sc_consensus_grandpa::run_grandpa_voter(sc_consensus_grandpa::GrandpaParams {
			config: sc_consensus_grandpa::Config {
				gossip_duration: GOSSIP_DURATION,
				justification_generation_period: JUSTIFICATION_PERIOD,
				name: Some(self.name),
				observer_enabled: false,
				keystore: self.keystore,
				local_role: self.role,
				telemetry: self.telemetry.clone(),
				protocol_name: self.protocol,
			},
			link: self.link,
			network,
			sync,
			notification_service: self.notifications,
			voting_rule: VotingRulesBuilder::default().build(),
			prometheus_registry: self.registry,
			shared_voter_state: self.voter_state,
			telemetry: self.telemetry,
			offchain_tx_pool_factory: OffchainTransactionPoolFactory::new(self.pool),
		})?;
		task_manager
			.spawn_essential_handle()
			.spawn_blocking("grandpa-voter", None, voter);
		Ok(())
	}
}

/// Takes back what BABE and GRANDPA noted beside the last `blocks` blocks.
pub fn revert(
	client: Arc<FullClient>,
	backend: Arc<FullBackend>,
	blocks: NumberFor<Block>,
) -> sc_cli::Result<()> {
	sc_consensus_babe::revert(client.clone(), backend, blocks)?;
	sc_consensus_grandpa::revert(client, blocks)?;
	Ok(())
}

fn inherents(slot_duration: SlotDuration) -> Inherents {
	Arc::new(move |_parent, ()| async move {
		let time = TimeProvider::from_system_time();
		let slot = SlotProvider::from_timestamp_and_slot_duration(*time, slot_duration);
		Ok((slot, time))
	})
}

fn telemetry(
	config: &Configuration,
) -> Result<Option<(TelemetryWorker, Telemetry)>, sc_telemetry::Error> {
	let endpoints = config
		.telemetry_endpoints
		.clone()
		.filter(|endpoints| !endpoints.is_empty());
	endpoints
		.map(|endpoints| {
			let worker = TelemetryWorker::new(TELEMETRY_BUFFER)?;
			let telemetry = worker.handle().new_telemetry(endpoints);
			Ok((worker, telemetry))
		})
		.transpose()
}
