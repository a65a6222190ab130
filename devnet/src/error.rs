use std::{io, path::PathBuf, time::Duration};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the network does not stand.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// A program of the workspace is not built.
	#[error(
		"{name} is not in {}: build it with `cargo build --release --workspace`, or name its folder \
		 in CUCKOO_BIN_DIR",
		looked.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(" or ")
	)]
	BinaryMissing {
		/// The program.
		name: &'static str,
		/// Where it was looked for.
		looked: Vec<PathBuf>,
	},
	/// The model folder was not found.
	#[error("no model folder {}: give one with --model", .0.display())]
	ModelMissing(PathBuf),
	/// A file could not be read or written.
	#[error("{what}: {source}")]
	Io {
		/// What was done with which file.
		what: String,
		/// Why it failed.
		source: io::Error,
	},
	/// A process could not be started.
	#[error("cannot start {name} (is setpriv of util-linux installed?): {source}")]
	Spawn {
		/// The process.
		name: String,
		/// Why.
		source: io::Error,
	},
	/// A process ended by itself.
	#[error("{name} ended ({status}); its log ends with\n{tail}")]
	Exited {
		/// The process.
		name: String,
		/// How.
		status: String,
		/// The log's last lines.
		tail: String,
	},
	/// Something did not come about in time.
	#[error("{what} did not happen within {} s; the log of {name} ends with\n{tail}", after.as_secs())]
	Timeout {
		/// What was waited for.
		what: String,
		/// How long.
		after: Duration,
		/// The process that should have done it.
		name: String,
		/// Its log's last lines.
		tail: String,
	},
	/// The node's chain specification is not as expected.
	#[error("chain specification: {0}")]
	ChainSpec(String),
	/// A part of the network that was not started, or was killed, is needed.
	#[error("{0} is not running")]
	NotRunning(String),
	/// No free port was found.
	#[error("no free port on 127.0.0.1 between {0} and {1}")]
	NoPort(u16, u16),
	/// The coordinator refused a call or could not be reached.
	#[error("coordinator: {0}")]
	Rpc(#[from] jsonrpsee::core::ClientError),
	/// The node refused a call, could not be reached or gave nonsense.
	#[error("node: {0}")]
	Node(String),
	/// The chain refused a transaction or a read.
	#[error("chain: {0}")]
	Chain(#[from] cuckoo_chain_client::Error),
	/// Money did not go where it should.
	#[error("{0}")]
	Money(String),
	/// An artifact could not be fetched.
	#[error("artifact: {0}")]
	Artifact(String),
	/// A task ended otherwise than done.
	#[error("task {id} {state}: {reason}")]
	TaskFailed {
		/// The task.
		id: cuckoo_primitives::task::TaskId,
		/// `failed`, `cancelled`, `expired`, or the state it was stuck in.
		state: String,
		/// Why, as the coordinator says.
		reason: String,
	},
}

impl Error {
	/// Whether its text shows the log that explains it.
	pub fn shows_log(&self) -> bool {
		matches!(self, Self::Exited { .. } | Self::Timeout { .. })
	}

	/// Makes an [`Error::Io`].
	pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
		let what = what.into();
		move |source| Self::Io { what, source }
	}
}
