//! The coordinator's port from a request's head on: JSON-RPC, OpenAI's API, artifacts' names and
//! uploads, keys and other header fields. The input is a request as HTTP/1.1 writes it.
#![no_main]

use axum::{
	body::Body,
	http::{HeaderName, HeaderValue, Request, StatusCode},
};
use cuckoo_chain_client::{BlockRef, Operator, Registry};
use cuckoo_coordinator_api::error::ErrorCode;
use cuckoo_primitives::{Role, CUC, H256};
use libfuzzer_sys::fuzz_target;
use offchain_coordinator::{
	clock::Clock,
	coordinator::Coordinator,
	http::{self, Answers},
	settings::Settings,
};
use sp_core::{sr25519, Pair};
use std::{
	cell::OnceCell,
	sync::{atomic::AtomicU64, Arc},
	time::Duration,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

/// Far more than a request takes that waits for nothing.
const TIMEOUT: Duration = Duration::from_secs(10);

struct Port {
	runtime: Runtime,
	answers: Answers,
	_data: TempDir,
	_rpc: Box<dyn std::any::Any>,
}

thread_local! {
	static PORT: OnceCell<Port> = const { OnceCell::new() };
}

/// A coordinator that knows its chain and no miners.
fn registry(key: &sr25519::Pair) -> Arc<Registry> {
	let stake = 3_000_000 * CUC;
	let operator = Operator {
		account: key.public().into(),
		role: Role::Coordinator,
		worker: Some(key.public()),
		commission_ppb: 0,
		next_commission: None,
		name: "coordinator".into(),
		endpoint: String::new(),
		text: String::new(),
		self_stake: stake,
		total_stake: stake,
		active: true,
		retired: false,
		suspended: false,
		streaming: 0,
	};
	let block = BlockRef {
		number: 1,
		hash: H256::repeat_byte(1),
	};
	let minima = Role::ALL.map(|role| (role, role.default_min_self_stake()));
	Arc::new(Registry::new(
		block,
		H256::repeat_byte(7),
		vec![operator],
		minima,
	))
}

fn open() -> Port {
	let runtime = Builder::new_current_thread()
		.enable_all()
		.build()
		.expect("a runtime");
	let memory = std::path::Path::new("/dev/shm");
	let data = if memory.is_dir() {
		tempfile::tempdir_in(memory)
	} else {
		tempfile::tempdir()
	};
	let data = data.expect("a folder");
	let key = sr25519::Pair::from_seed(&[1; 32]);
	let settings = Settings {
		submits_per_minute: u32::MAX,
		trust_proxy: true,
		..Settings::default()
	};
	let (answers, rpc) = runtime.block_on(async {
		let clock = Clock::Manual(Arc::new(AtomicU64::new(1_000_000)));
		let coordinator = Coordinator::open(data.path(), key.clone(), settings, clock).await;
		let coordinator = coordinator.expect("an empty folder");
		coordinator
			.set_registry(registry(&key), H256::repeat_byte(0x42))
			.await
			.expect("its chain");
		http::service(coordinator, 100)
	});
	Port {
		runtime,
		answers,
		_data: data,
		_rpc: Box::new(rpc),
	}
}

fn request(data: &[u8]) -> Option<Request<Body>> {
	let end = data.windows(2).position(|pair| pair == b"\n\n");
	let (head, body) = end.map_or((data, &[][..]), |end| (&data[..end], &data[end + 2..]));
	let mut lines = head.split(|byte| *byte == b'\n');
	let mut words = std::str::from_utf8(lines.next()?).ok()?.split(' ');
	let mut request = Request::builder().method(words.next()?).uri(words.next()?);
	for line in lines.take(64) {
		let colon = line.iter().position(|byte| *byte == b':')?;
		let value = line[colon + 1..].trim_ascii();
		let name = HeaderName::from_bytes(&line[..colon]).ok()?;
		request = request.header(name, HeaderValue::from_bytes(value).ok()?);
	}
	request.body(Body::from(body.to_vec())).ok()
}

fuzz_target!(|data: &[u8]| {
	let Some(request) = request(data) else {
		return;
	};
	PORT.with(|port| {
		let port = port.get_or_init(open);
		let answered = async {
			let client = [127, 0, 0, 1].into();
			let response = port.answers.of(client, false).oneshot(request).await;
			let response = response.unwrap_or_else(|never| match never {});
			let status = response.status();
			let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
			(status, body)
		};
		let answered = async { tokio::time::timeout(TIMEOUT, answered).await };
		let (status, body) = port.runtime.block_on(answered).expect("an answer in time");
		let body = body.expect("a body");
		let reply = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
		let code = reply
			.pointer("/error/code")
			.and_then(serde_json::Value::as_i64);
		let inside = code == Some(ErrorCode::Internal.code().into());
		assert!(
			status != StatusCode::INTERNAL_SERVER_ERROR && !inside,
			"{status}: {reply}"
		);
	});
});
