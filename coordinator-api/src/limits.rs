//! Bounds on everything that comes from outside. A coordinator may be stricter per model, never laxer.

/// Longest prompt and negative prompt, in bytes of UTF-8.
pub const MAX_PROMPT_BYTES: usize = 4_096;
/// Most denoising steps.
pub const MAX_STEPS: u16 = 150;
/// Longest side, in pixels.
pub const MAX_SIDE: u16 = 2_048;
/// Highest guidance scale.
pub const MAX_GUIDANCE: f64 = 50.0;
/// Longest idempotency key, in bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 128;
/// Longest URL of a webhook, in bytes.
pub const MAX_WEBHOOK_BYTES: usize = 2_048;
/// Highest priority of a task among its app's.
pub const MAX_PRIORITY: u8 = 9;
/// The priority when an app names none.
pub const DEFAULT_PRIORITY: u8 = 5;
/// Most tasks of one `task_submit_batch`.
pub const MAX_BATCH_TASKS: usize = 32;
/// Most tasks of one `task_list`.
pub const MAX_TASK_PAGE: u32 = 100;
/// Largest JSON-RPC request body, in bytes.
pub const MAX_REQUEST_BYTES: u32 = 128 * 1024;
/// Largest artifact, in bytes.
pub const MAX_ARTIFACT_BYTES: usize = 32 * 1024 * 1024;
/// Most models a miner declares.
pub const MAX_MODELS_PER_MINER: usize = 64;
/// Longest name of a model, in bytes.
pub const MAX_MODEL_NAME_BYTES: usize = 100;
/// Most slots a miner declares.
pub const MAX_SLOTS: u16 = 64;
/// Longest free text in a miner's messages (engine, device name, failure reason), in bytes.
pub const MAX_TEXT_BYTES: usize = 1_024;
/// Most entries in one page.
pub const MAX_PAGE: u32 = 1_000;
/// Longest long poll, in milliseconds.
pub const MAX_POLL_WAIT_MS: u64 = 60_000;
