//! What apps ask about tasks beyond one task's way: what one would take.

use crate::{
	apps::App,
	coordinator::{Coordinator, Result},
	settle,
};
use cuckoo_coordinator_api::task::{Quote, SubmitOptions, TaskRequest};
use cuckoo_primitives::task::TaskSpec;

/// Pixels of a megapixel.
const MEGA: f64 = 1_000_000.0;

impl Coordinator {
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
		let (position, eta_ms) = live.foresee(&app.id, priority, &spec);
		Ok(Quote {
			megapixel_steps: settle::pixel_steps(&spec) as f64 / MEGA,
			spec: as_request(spec, seed),
			position,
			eta_ms,
		})
	}
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
