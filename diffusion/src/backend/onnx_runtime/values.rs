//! Tensors of this engine as values of ONNX Runtime, and back.

use super::super::{Element, Port, Tensor, Values};
use half::f16;
use ort::{
	memory::Allocator,
	session::{SessionInputValue, SessionOutputs},
	value::{
		DynTensor, Outlet, TensorElementType, TensorRef, TensorValueTypeMarker, Value, ValueType,
	},
};

pub(super) fn port(outlet: &Outlet) -> Port {
	let (element, shape) = match outlet.dtype() {
		ValueType::Tensor { ty, shape, .. } => {
			let element = match ty {
				TensorElementType::Float32 => Some(Element::F32),
				TensorElementType::Float16 => Some(Element::F16),
				TensorElementType::Int32 => Some(Element::I32),
				TensorElementType::Int64 => Some(Element::I64),
				_ => None,
			};
			// A dimension of any size is -1.
			(
				element,
				shape
					.iter()
					.map(|&size| usize::try_from(size).ok())
					.collect(),
			)
		},
		_ => (None, Vec::new()),
	};
	Port {
		name: outlet.name().into(),
		element,
		shape,
	}
}

/// The outputs of these names, as tensors of our own.
pub(super) fn all(outputs: &SessionOutputs<'_>, names: &[&str]) -> ort::Result<Vec<Tensor>> {
	names
		.iter()
		.map(|name| {
			let missing = || ort::Error::new(format!("there is no output `{name}`"));
			copy(outputs.get(name).ok_or_else(missing)?)
		})
		.collect()
}

/// A value that does not borrow.
pub(super) fn owned(tensor: &Tensor) -> ort::Result<DynTensor> {
	use ort::value::Tensor;
	let shape = tensor.shape.clone();
	Ok(match &tensor.values {
		Values::F32(values) => Tensor::from_array((shape, values.clone()))?.upcast(),
		Values::F16(values) => Tensor::from_array((shape, values.clone()))?.upcast(),
		Values::I32(values) => Tensor::from_array((shape, values.clone()))?.upcast(),
		Values::I64(values) => Tensor::from_array((shape, values.clone()))?.upcast(),
	})
}

/// A place for tensors like this one.
pub(super) fn empty(allocator: &Allocator, like: &Tensor) -> ort::Result<DynTensor> {
	let element = match like.values {
		Values::F32(_) => TensorElementType::Float32,
		Values::F16(_) => TensorElementType::Float16,
		Values::I32(_) => TensorElementType::Int32,
		Values::I64(_) => TensorElementType::Int64,
	};
	DynTensor::new(allocator, element, like.shape.clone())
}

/// Copies a tensor to its place, wherever that is.
pub(super) fn put(tensor: &Tensor, place: &mut DynTensor) -> ort::Result<()> {
	owned(tensor)?.copy_into(place)
}

pub(super) fn view(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
	let shape = tensor.shape.clone();
	Ok(match &tensor.values {
		Values::F32(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
		Values::F16(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
		Values::I32(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
		Values::I64(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
	})
}

/// The value as a tensor of our own; an error if it is none of a known type.
pub(super) fn copy<T: TensorValueTypeMarker + ?Sized>(value: &Value<T>) -> ort::Result<Tensor> {
	let element = match value.dtype() {
		ValueType::Tensor { ty, .. } => *ty,
		_ => TensorElementType::Undefined,
	};
	let (shape, values) = match element {
		TensorElementType::Float16 => {
			let (shape, values) = value.try_extract_tensor::<f16>()?;
			(shape, Values::F16(values.to_vec()))
		},
		TensorElementType::Int32 => {
			let (shape, values) = value.try_extract_tensor::<i32>()?;
			(shape, Values::I32(values.to_vec()))
		},
		TensorElementType::Int64 => {
			let (shape, values) = value.try_extract_tensor::<i64>()?;
			(shape, Values::I64(values.to_vec()))
		},
		_ => {
			let (shape, values) = value.try_extract_tensor::<f32>()?;
			(shape, Values::F32(values.to_vec()))
		},
	};
	// A value's dimensions are never negative.
	let shape = shape.iter().map(|&size| size.max(0) as usize).collect();
	Ok(Tensor { shape, values })
}
