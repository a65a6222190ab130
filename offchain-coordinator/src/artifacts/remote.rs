//! Artifacts in object storage, one object each. Every operation has an end and is tried a few times;
//! one that came to nothing says that the storage is away, and may go well later.

use super::{place::Credentials, upload::Upload, Error, Memory, Result, S3};
use crate::outbound::{self, chain_of_causes, Outbound};
use bytes::Bytes;
use cuckoo_primitives::H256;
use futures::{
	stream::{self, BoxStream},
	StreamExt,
};
use http_body_util::BodyExt;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use jsonrpsee::core::async_trait;
use object_store::{
	aws::AmazonS3Builder,
	client::{
		HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
		HttpResponse, HttpResponseBody, HttpService,
	},
	path::Path as Key,
	Attribute, AttributeValue, Attributes, BackoffConfig, ClientOptions, ObjectMeta, ObjectStore,
	ObjectStoreExt, PutOptions, PutPayload, RetryConfig,
};
use std::{
	future::Future,
	io,
	sync::Arc,
	time::{Duration, SystemTime},
};
use tokio::{sync::Semaphore, time::timeout};

/// How long one answer of the storage may take to begin.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an operation may take with all its tries, if it carries no picture.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one may take that carries a picture.
const CARRY_TIMEOUT: Duration = Duration::from_secs(120);
/// How long to wait for a part of a picture that is passed on.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a request is made again.
const MAX_RETRIES: usize = 3;
/// After this time no further try begins.
const RETRY_FOR: Duration = Duration::from_secs(15);
/// Most pictures that are whole in memory on their way to the storage.
const MAX_UPLOADS: usize = 8;

/// The storage.
#[derive(Debug)]
pub(super) struct Remote {
	store: Arc<dyn ObjectStore>,
	prefix: Key,
	uploads: Semaphore,
}

impl Remote {
	pub(super) fn memory(memory: &Memory) -> Self {
		Self::new(memory.0.clone(), "")
	}

	pub(super) fn s3(s3: &S3) -> Result<Self> {
		let unusable =
			|error: &(dyn std::error::Error + 'static)| Error::Unusable(chain_of_causes(error));
		let http = outbound::client(Tcp::new()).map_err(|error| unusable(&error))?;
		// The environment as Amazon's own tools read it; what is configured counts more.
		let mut builder = AmazonS3Builder::from_env()
			.with_bucket_name(&s3.bucket)
			.with_http_connector(Connector(Http(http)))
			.with_retry(retries());
		if let Some(endpoint) = &s3.endpoint {
			builder = builder
				.with_endpoint(endpoint)
				.with_allow_http(endpoint.starts_with("http://"));
		}
		if let Some(region) = &s3.region {
			builder = builder.with_region(region);
		}
		if let Some(path) = &s3.credentials {
			let credentials = Credentials::read(path).map_err(|error| unusable(&error))?;
			builder = builder
				.with_access_key_id(credentials.id)
				.with_secret_access_key(credentials.secret);
			if let Some(token) = credentials.token {
				builder = builder.with_token(token);
			}
		}
		let store = builder.build().map_err(|error| unusable(&error))?;
		Ok(Self::new(Arc::new(store), &s3.prefix))
	}

	fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
		Self {
			store,
			prefix: Key::from(prefix),
			uploads: Semaphore::new(MAX_UPLOADS),
		}
	}

	fn key(&self, hash: &H256) -> Key {
		self.prefix.clone().join(hex::encode(hash))
	}

	async fn head(&self, hash: &H256) -> Result<Option<ObjectMeta>> {
		found(within(LOOK_TIMEOUT, self.store.head(&self.key(hash))).await?)
	}

	pub(super) async fn size(&self, hash: &H256) -> Result<Option<u64>> {
		Ok(self.head(hash).await?.map(|meta| meta.size))
	}

	pub(super) async fn stream(
		&self,
		hash: &H256,
	) -> Result<Option<(BoxStream<'static, io::Result<Bytes>>, u64)>> {
		let got = within(LOOK_TIMEOUT, self.store.get(&self.key(hash))).await?;
		let Some(got) = found(got)? else {
			return Ok(None);
		};
		let size = got.meta.size;
		let next = |mut parts: BoxStream<'static, object_store::Result<Bytes>>| async move {
			let part = match timeout(CHUNK_TIMEOUT, parts.next()).await {
				Ok(part) => part?.map_err(io::Error::other),
				Err(_) => Err(io::ErrorKind::TimedOut.into()),
			};
			Some((part, parts))
		};
		Ok(Some((
			stream::unfold(got.into_stream(), next).boxed(),
			size,
		)))
	}

	pub(super) async fn read(&self, hash: &H256) -> Result<Option<Vec<u8>>> {
		let key = self.key(hash);
		let read = async {
			match self.store.get(&key).await {
				Ok(got) => got.bytes().await,
				Err(error) => Err(error),
			}
		};
		Ok(found(within(CARRY_TIMEOUT, read).await?)?.map(Vec::from))
	}

	/// Brings an upload there: stored for good when this returns.
	pub(super) async fn keep(&self, hash: &H256, upload: Upload) -> Result<()> {
		let Ok(_place) = self.uploads.acquire().await else {
			return Err(Error::Away("it is closed".into()));
		};
		let bytes = upload.read().await?;
		let png = AttributeValue::from("image/png");
		let options = PutOptions {
			attributes: Attributes::from_iter([(Attribute::ContentType, png)]),
			..PutOptions::default()
		};
		let key = self.key(hash);
		let put = self.store.put_opts(&key, PutPayload::from(bytes), options);
		within(CARRY_TIMEOUT, put).await?.map_err(away)?;
		Ok(())
	}

	pub(super) async fn remove(&self, hash: &H256) -> Result<()> {
		let key = self.key(hash);
		let removed = within(LOOK_TIMEOUT, self.store.delete(&key)).await?;
		found(removed).map(drop)
	}

	pub(super) async fn is_older(&self, hash: &H256, than: SystemTime) -> Result<bool> {
		let meta = self.head(hash).await?;
		Ok(meta.is_some_and(|meta| SystemTime::from(meta.last_modified) < than))
	}

	pub(super) fn walk(&self) -> BoxStream<'static, Result<H256>> {
		let named = |listed: object_store::Result<ObjectMeta>| async move {
			match listed {
				Ok(meta) => meta.location.filename()?.parse().ok().map(Ok),
				Err(error) => Some(Err(away(error))),
			}
		};
		self.store
			.list(Some(&self.prefix))
			.filter_map(named)
			.boxed()
	}
}

fn retries() -> RetryConfig {
	RetryConfig {
		backoff: BackoffConfig {
			init_backoff: Duration::from_millis(100),
			max_backoff: Duration::from_secs(3),
			base: 2.0,
		},
		max_retries: MAX_RETRIES,
		retry_timeout: RETRY_FOR,
	}
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T> {
	let late = |_| Error::Away(format!("no answer within {} s", limit.as_secs()));
	timeout(limit, work).await.map_err(late)
}

fn found<T>(looked: object_store::Result<T>) -> Result<Option<T>> {
	match looked {
		Ok(found) => Ok(Some(found)),
		Err(object_store::Error::NotFound { .. }) => Ok(None),
		Err(error) => Err(away(error)),
	}
}

/// Also for a refusal: that is the operator's to mend, and nobody else's fault.
fn away(error: object_store::Error) -> Error {
	Error::Away(chain_of_causes(&error))
}

/// Requests to the storage.
#[derive(Clone, Debug)]
struct Http(Outbound<HttpRequestBody>);

#[derive(Debug)]
struct Connector(Http);

impl HttpConnector for Connector {
	fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
		Ok(HttpClient::new(self.0.clone()))
	}
}

#[async_trait]
impl HttpService for Http {
	async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
		let answer = match timeout(ANSWER_TIMEOUT, self.0.request(request)).await {
			Ok(answer) => answer.map_err(|error| {
				let kind = if error.is_connect() {
					HttpErrorKind::Connect
				} else {
					HttpErrorKind::Interrupted
				};
				HttpError::new(kind, error)
			})?,
			Err(late) => return Err(HttpError::new(HttpErrorKind::Timeout, late)),
		};
		let broken = |error| HttpError::new(HttpErrorKind::Interrupted, error);
		Ok(answer.map(|body| HttpResponseBody::new(body.map_err(broken))))
	}
}
