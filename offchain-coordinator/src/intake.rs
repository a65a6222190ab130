//! What apps ask about tasks beyond one task's way: many at once, which there are, and what one would
//! take.

use crate::{
	apps::{App, Caller},
	coordinator::{internal, Coordinator, Result},
	settle, terms,
};
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	limits,
	task::{
		BatchReply, BatchTask, Quote, SubmitOptions, TaskPage, TaskRequest, TaskState, TaskStatus,
	},
};
use cuckoo_primitives::task::TaskSpec;
use std::sync::Arc;

/// Pixels of a megapixel.
const MEGA: f64 = 1_000_000.0;

impl Coordinator {
	/// Accepts tasks, each by itself.
	pub async fn submit_batch(
		self: &Arc<Self>,
		caller: &Caller,
		tasks: Vec<BatchTask>,
	) -> Result<Vec<BatchReply>> {
		if tasks.is_empty() || tasks.len() > limits::MAX_BATCH_TASKS {
			let message = format!("A batch has 1 to {} tasks.", limits::MAX_BATCH_TASKS);
			return Err(ApiError::with_message(ErrorCode::ParameterInvalid, message).about("tasks"));
		}
		let app = match tasks
			.iter()
			.any(|task| task.options.as_ref().is_some_and(has_payment))
		{
			// Those that are paid by a channel may be taken without a key.
			true => None,
			false => Some(self.app(caller).await?),
		};
		let app = app.as_ref();
		let submit = |task: BatchTask| async move {
			let app = match app {
				Some(app) => app.clone(),
				None => self.submitter(caller, task.options.as_ref()).await?,
			};
			self.submit_task(&app, task.spec, task.options.unwrap_or_default())
				.await
		};
		// All at once, so that one commit takes them together.
		let submitted = futures::future::join_all(tasks.into_iter().map(submit)).await;
		let reply = |submitted: Result<TaskStatus>| match submitted {
			Ok(status) => BatchReply::Task(Box::new(status)),
			Err(error) => BatchReply::Error(error.into()),
		};
		Ok(submitted.into_iter().map(reply).collect())
	}

	/// The app's tasks, newest first.
	pub async fn list_tasks(
		&self,
		app: &App,
		from: Option<u64>,
		limit: Option<u32>,
		state: Option<TaskState>,
	) -> Result<TaskPage> {
		let limit = limit.unwrap_or(limits::MAX_TASK_PAGE);
		if limit == 0 || limit > limits::MAX_TASK_PAGE {
			let message = format!("A page has 1 to {} tasks.", limits::MAX_TASK_PAGE);
			return Err(ApiError::with_message(ErrorCode::ParameterInvalid, message).about("limit"));
		}
		let before = from.map_or(i64::MAX, |from| i64::try_from(from).unwrap_or(i64::MAX));
		// One more, to know whether there are more.
		let rows = self
			.store()
			.tasks_of(&app.id, before, state, limit + 1)
			.await;
		let mut rows = rows.map_err(internal)?;
		let more = rows.len() > limit as usize;
		rows.truncate(limit as usize);
		let last = rows.last().filter(|_| more);
		let next = last.and_then(|row| u64::try_from(row.seq).ok());
		let live = self.live();
		let tasks = rows.iter().map(|row| live.status(row)).collect();
		Ok(TaskPage { tasks, next })
	}

	/// What would be made, and when it would be done if it were submitted now.
	pub fn quote(&self, app: &App, request: TaskRequest, options: &SubmitOptions) -> Result<Quote> {
		self.identity()?;
		let priority = settle::priority(options.priority)?;
		settle::max_wait_ms(options.max_wait_ms)?;
		let seed = request.seed;
		let now_ms = self.now_ms();
		let live = self.live();
		let model = self.choose_model(&live, request.model.as_deref(), now_ms)?;
		let spec = settle::settle(request, &model, 0)?;
		let lease_ms = self.settings().lease_ms(spec.steps);
		terms::deadline_ms(options.deadline_ms, lease_ms, now_ms)?;
		let price = self
			.settings()
			.prices
			.of(&model, settle::pixel_steps(&spec));
		let (position, eta_ms) = live.foresee(&app.id, priority, &spec);
		Ok(Quote {
			megapixel_steps: settle::pixel_steps(&spec) as f64 / MEGA,
			price,
			spec: as_request(spec, seed),
			position,
			eta_ms,
		})
	}
}

fn has_payment(options: &SubmitOptions) -> bool {
	options.payment.is_some()
}

/// A settled spec as a request that asks for exactly that.
fn as_request(spec: TaskSpec, seed: Option<u64>) -> TaskRequest {
	TaskRequest {
		prompt: spec.prompt,
		negative_prompt: Some(spec.negative_prompt),
		model: Some(format!("{:?}", spec.model)),
		seed,
		steps: Some(spec.steps.into()),
		width: Some(spec.width.into()),
		height: Some(spec.height.into()),
		guidance: Some(f64::from(spec.guidance_milli) / 1_000.0),
		scheduler: Some(spec.scheduler),
	}
}
