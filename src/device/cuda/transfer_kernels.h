// What fills a GPU's tensors besides ops: conversion of uploaded matrices, and random numbers.
#pragma once

#include <cuda_runtime_api.h>

#include "device/device.h"
#include "tensor/tensor.h"

namespace batchscope {

// to = from, each element rounded to nearest even; shapes are equal, both on the device, rows may be strided. i32 only
// to i32.
void convert_cuda(cudaStream_t stream, const Tensor& from, const Tensor& to);

// The values that a host draws (tensor/drawn_values.h), rounded to the tensor's dtype.
void draw_cuda(cudaStream_t stream, const DrawnMatrix& values, const Tensor& to);

}  // namespace batchscope
