//! Signing, sending and waiting.

use crate::{
	call::{Amount, Call, Included, Introduction, ProxyKind, Until},
	client::ChainClient,
	error::Error,
	registry::BlockRef,
	runtime::{
		address,
		runtime_types::{
			cuckoo_runtime::configs::accounts::ProxyType, pallet_cuckoo_staking::types,
			pallet_cuckoo_staking_runtime_api::ValidatorParams, sp_arithmetic::per_things::Perbill,
		},
		tx,
	},
	settlement,
	snapshot::{block_ref, AtBlock},
};
use cuckoo_primitives::H256;
use sp_core::{crypto::Pair as _, sr25519};
use std::time::Duration;
use subxt::{
	client::OnlineClientAtBlockImpl,
	config::{
		substrate::{AccountId32, MultiSignature},
		SubstrateConfig, SubstrateExtrinsicParamsBuilder,
	},
	error::{BackendError, DispatchError, ExtrinsicError, RpcError, TransactionEventsError},
	ext::{
		codec::{Compact, Encode},
		scale_encode::{EncodeAsFields, FieldIter},
		scale_type_resolver::TypeResolver,
	},
	extrinsics::ExtrinsicEvents,
	transactions::{Payload, Signer, TransactionInBlock, TransactionProgress, TransactionStatus},
};
use tokio::time;

/// Blocks within which a transaction must be included, or it is void: a lost one cannot come back.
const MORTAL_BLOCKS: u64 = 64;

/// For sending: several requests.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// For the block it waits for. A chain that finalizes nothing for so long has a problem of its own.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(300);

type Client = OnlineClientAtBlockImpl<SubstrateConfig>;
type Progress = TransactionProgress<SubstrateConfig, Client>;
type InBlock = TransactionInBlock<SubstrateConfig, Client>;

/// The same key type that signs everywhere else.
struct PairSigner<'a>(&'a sr25519::Pair);

impl Signer<SubstrateConfig> for PairSigner<'_> {
	fn account_id(&self) -> AccountId32 {
		AccountId32(self.0.public().0)
	}

	fn sign(&self, payload: &[u8]) -> MultiSignature {
		MultiSignature::Sr25519(self.0.sign(payload).0)
	}
}

pub(crate) async fn submit(
	client: &ChainClient,
	call: &Call,
	signer: &sr25519::Pair,
	until: Until,
) -> Result<Included, Error> {
	let progress = time::timeout(SEND_TIMEOUT, send(client, call, signer))
		.await
		.unwrap_or(Err(Error::Timeout {
			what: "sending a transaction",
			after: SEND_TIMEOUT,
		}))?;
	let transaction = progress.extrinsic_hash();
	time::timeout(SETTLE_TIMEOUT, settle(progress, until))
		.await
		.unwrap_or_else(|_| {
			let reason = format!(
				"it was in no such block after {} s",
				SETTLE_TIMEOUT.as_secs()
			);
			Err(Error::Undecided {
				transaction,
				reason,
			})
		})
}

/// The call as the runtime at this block decodes it.
fn call_data(at: &AtBlock, call: &Call) -> Result<Vec<u8>, Error> {
	let staking = tx().staking();
	match call.clone() {
		Call::Register {
			role,
			worker,
			worker_signature,
			stake,
			commission_ppb,
			introduction,
		} => {
			let call = staking.register(
				role.into(),
				worker.0,
				worker_signature.0,
				stake,
				Perbill(commission_ppb),
				introduction_input(introduction),
			);
			encode(at, &call)
		},
		Call::SetWorker {
			worker,
			worker_signature,
		} => encode(at, &staking.set_worker(worker.0, worker_signature.0)),
		Call::SetIntroduction(introduction) => encode(
			at,
			&staking.set_introduction(introduction_input(introduction)),
		),
		Call::SetCommission(ppb) => encode(at, &staking.set_commission(Perbill(ppb))),
		Call::StakeMore(amount) => encode(at, &staking.stake_more(amount)),
		Call::Unstake(amount) => encode(at, &staking.unstake(amount.into())),
		Call::Vote { operator, amount } => encode(at, &staking.vote(operator.into(), amount)),
		Call::Unvote { operator, amount } => {
			encode(at, &staking.unvote(operator.into(), amount.into()))
		},
		Call::Withdraw => encode(at, &staking.withdraw()),
		Call::Rebond { operator, amount } => {
			encode(at, &staking.rebond(operator.into(), amount.into()))
		},
		Call::Retire => encode(at, &staking.retire()),
		Call::Reactivate {
			worker,
			worker_signature,
		} => encode(at, &staking.reactivate(worker.0, worker_signature.0)),
		Call::SetValidatorParams {
			seats,
			floor,
			yearly_inflation_ppb,
		} => {
			let params = ValidatorParams {
				seats,
				floor,
				yearly_inflation: Perbill(yearly_inflation_ppb),
			};
			encode(at, &staking.set_validator_params(params))
		},
		Call::Settlement(call) => settlement::call_data(at, call),
		Call::AddProxy { delegate, kind } => {
			let call = tx().proxy().add_proxy(address(&delegate), kind.into(), 0);
			encode(at, &call)
		},
		Call::Proxy { real, call } => {
			// Any of the proxy's kinds that lets the call through.
			const ANY_KIND: u8 = 0;
			let mut fields = address(&real).encode();
			fields.push(ANY_KIND);
			fields.extend(call_data(at, &call)?);
			let call = RawCall {
				pallet: "Proxy".to_owned(),
				name: "proxy".to_owned(),
				fields: RawFields(fields),
			};
			encode(at, &call)
		},
		Call::Batch(calls) => {
			let count =
				u32::try_from(calls.len()).map_err(|error| cannot_prepare(error.to_string()))?;
			let mut fields = Compact(count).encode();
			for call in &calls {
				fields.extend(call_data(at, call)?);
			}
			let call = RawCall {
				pallet: "Utility".to_owned(),
				name: "batch_all".to_owned(),
				fields: RawFields(fields),
			};
			encode(at, &call)
		},
		Call::Sudo(call) => {
			let call = RawCall {
				pallet: "Sudo".to_owned(),
				name: "sudo".to_owned(),
				fields: RawFields(call_data(at, &call)?),
			};
			encode(at, &call)
		},
		Call::Encoded(bytes) => Ok(bytes),
		Call::Transfer { to, amount } => {
			let call = tx().balances().transfer_keep_alive(address(&to), amount);
			encode(at, &call)
		},
	}
}

pub(crate) fn encode<P: Payload>(at: &AtBlock, call: &P) -> Result<Vec<u8>, Error> {
	let encoded = at.transactions().call_data(call);
	encoded.map_err(|error| cannot_prepare(error.to_string()))
}

fn cannot_prepare(reason: String) -> Error {
	Error::Read {
		what: "what a transaction needs",
		reason,
	}
}

/// A call whose fields are encoded already.
struct RawCall {
	pallet: String,
	name: String,
	fields: RawFields,
}

struct RawFields(Vec<u8>);

impl RawCall {
	/// The call that these bytes are, by the names that this block's runtime has for it.
	fn named(at: &AtBlock, call: &[u8]) -> Result<Self, Error> {
		let unknown = || cannot_prepare("the runtime has no such call".to_owned());
		let [pallet, name, fields @ ..] = call else {
			return Err(unknown());
		};
		let pallet = at
			.metadata_ref()
			.pallets()
			.find(|known| known.call_index() == *pallet)
			.ok_or_else(unknown)?;
		let call = pallet.call_variant_by_index(*name).ok_or_else(unknown)?;
		Ok(Self {
			pallet: pallet.name().to_owned(),
			name: call.name.clone(),
			fields: RawFields(fields.to_vec()),
		})
	}
}

impl Payload for RawCall {
	type CallData = RawFields;

	fn pallet_name(&self) -> &str {
		&self.pallet
	}

	fn call_name(&self) -> &str {
		&self.name
	}

	fn call_data(&self) -> &RawFields {
		&self.fields
	}
}

impl EncodeAsFields for RawFields {
	fn encode_as_fields_to<R: TypeResolver>(
		&self,
		_: &mut dyn FieldIter<'_, R::TypeId>,
		_: &R,
		out: &mut Vec<u8>,
	) -> Result<(), subxt::ext::scale_encode::Error> {
		out.extend_from_slice(&self.0);
		Ok(())
	}
}

fn introduction_input(introduction: Introduction) -> types::IntroductionInput {
	types::IntroductionInput {
		name: introduction.name.into_bytes(),
		endpoint: introduction.endpoint.into_bytes(),
		text: introduction.text.into_bytes(),
	}
}

impl From<ProxyKind> for ProxyType {
	fn from(kind: ProxyKind) -> Self {
		match kind {
			ProxyKind::Any => Self::Any,
			ProxyKind::Staking => Self::Staking,
			ProxyKind::Settlement => Self::Settlement,
		}
	}
}

impl From<Amount> for types::Amount {
	fn from(amount: Amount) -> Self {
		match amount {
			Amount::All => Self::All,
			Amount::Value(value) => Self::Value(value),
		}
	}
}

/// Signs and sends. The nonce counts what waits in the node's pool, so that several transactions can
/// be under way.
async fn send(
	client: &ChainClient,
	call: &Call,
	signer: &sr25519::Pair,
) -> Result<Progress, Error> {
	let signer = PairSigner(signer);
	let _sending = client.sending.lock().await;
	let at = client.at_finalized().await?;
	let call = RawCall::named(&at, &call_data(&at, call)?)?;
	let nonce = client
		.rpc
		.system_account_next_index(&signer.account_id())
		.await
		.map_err(|error| cannot_prepare(error.to_string()))?;
	let params = SubstrateExtrinsicParamsBuilder::new()
		.nonce(nonce)
		.mortal(MORTAL_BLOCKS)
		.build();
	let signed = at
		.transactions()
		.create_signed(&call, &signer, params)
		.await
		.map_err(|error| cannot_prepare(error.to_string()))?;
	let transaction = signed.hash();
	signed
		.submit_and_watch()
		.await
		.map_err(|error| match refusal(&error) {
			Some(reason) => Error::Refused(reason),
			None => Error::Undecided {
				transaction,
				reason: error.to_string(),
			},
		})
}

/// What the node said when it refused a transaction; `None` when it did not get to say anything.
fn refusal(error: &ExtrinsicError) -> Option<String> {
	let ExtrinsicError::ErrorSubmittingTransaction(BackendError::Rpc(RpcError::ClientError(
		subxt::rpcs::Error::User(answer),
	))) = error
	else {
		return None;
	};
	let details = answer
		.data
		.as_ref()
		.map(|data| format!(": {}", data.get()))
		.unwrap_or_default();
	Some(format!("{}{details}", answer.message))
}

async fn settle(mut progress: Progress, until: Until) -> Result<Included, Error> {
	let transaction = progress.extrinsic_hash();
	let undecided = |reason: String| Error::Undecided {
		transaction,
		reason,
	};
	while let Some(status) = progress.next().await {
		match status.map_err(|error| undecided(error.to_string()))? {
			TransactionStatus::InBestBlock(block) if until == Until::InBlock => {
				return outcome(block, transaction).await;
			},
			TransactionStatus::InFinalizedBlock(block) => return outcome(block, transaction).await,
			TransactionStatus::Error { message } => return Err(undecided(message)),
			TransactionStatus::Invalid { message } | TransactionStatus::Dropped { message } => {
				return Err(Error::Refused(message));
			},
			_ => {},
		}
	}
	Err(undecided("the connection ended".into()))
}

async fn outcome(included: InBlock, transaction: H256) -> Result<Included, Error> {
	let undecided = |reason: String| Error::Undecided {
		transaction,
		reason,
	};
	let at = included
		.at()
		.await
		.map_err(|error| undecided(error.to_string()))?;
	let block = block_ref(at.block_number(), included.block_hash())?;
	match included.wait_for_success().await {
		Ok(events) => match failed_inside(&at, &events).map_err(undecided)? {
			Some(error) => Err(failure(block, &error)),
			None => Ok(Included { block, transaction }),
		},
		Err(TransactionEventsError::ExtrinsicFailed(error)) => Err(failure(block, &error)),
		Err(error) => Err(undecided(error.to_string())),
	}
}

/// Calls that succeed also when the call inside them failed, by the events that tell it: their first field
/// is what came of that.
const WRAPPERS: [(&str, &str); 2] = [("Proxy", "ProxyExecuted"), ("Sudo", "Sudid")];

/// Why the call inside a proxy's or sudo's failed, if it did.
fn failed_inside(
	at: &AtBlock,
	events: &ExtrinsicEvents<SubstrateConfig>,
) -> Result<Option<DispatchError>, String> {
	const OK: u8 = 0;
	for event in events.iter() {
		let event = event.map_err(|error| error.to_string())?;
		if !WRAPPERS.contains(&(event.pallet_name(), event.event_name())) {
			continue;
		}
		match event.field_bytes() {
			[OK, ..] => {},
			[_, error @ ..] => {
				let error = DispatchError::decode_from(error, at.metadata());
				return error.map(Some).map_err(|error| error.to_string());
			},
			[] => return Err(format!("{} says nothing", event.event_name())),
		}
	}
	Ok(None)
}

/// A pallet's error by its name and the sentence that its author wrote about it.
fn failure(block: BlockRef, error: &DispatchError) -> Error {
	let details = match error {
		DispatchError::Module(module) => module.details().ok(),
		_ => None,
	};
	let (name, reason) = match details {
		Some(details) => (
			format!("{}::{}", details.pallet.name(), details.variant.name),
			details.variant.docs.join(" ").trim().to_string(),
		),
		None => ("DispatchError".to_string(), error.to_string()),
	};
	Error::Failed {
		block,
		name,
		reason,
	}
}
